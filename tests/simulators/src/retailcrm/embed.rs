//! What modules show in RetailCRM's own pages: `embedJs` of a registration, and `host.httpCall` of a
//! running widget, which RetailCRM passes on with the module's `clientId`
//! (protocols/retailcrm.md#widget).
//!
//! A widget's `httpCall(path)` is `POST /embed/ACCOUNT/MODULE/path` here: RetailCRM's sandbox for
//! extensions sends it below the address that it is told.

use anyhow::Context;
use serde_json::Value;

use super::patch::FieldErrors;
use super::state::AccountId;
use super::wire::Params;
use super::{Answer, RetailcrmSim};

/// What is wrong with the `embedJs` of a registration; nothing where there is none.
pub(super) fn errors(embed: &Value, is_allowed: bool) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if embed.is_null() {
        return errors;
    }
    let mut wrong = |field: &str, text: &str| errors.insert(format!("integrations[embedJs]{field}"), text.to_owned());
    if !is_allowed {
        wrong("", "Access denied.");
        return errors;
    }
    let is_url = |name: &str| embed[name].as_str().is_some_and(|text| url::Url::parse(text).is_ok());
    for name in ["entrypoint", "stylesheet"].into_iter().filter(|name| !is_url(name)) {
        wrong(&format!("[{name}]"), "This value is not a valid URL.");
    }
    if embed["runner"] != "worker" {
        wrong("[runner]", "The value you selected is not a valid choice.");
    }
    if embed["targets"].as_array().is_none_or(|targets| targets.iter().any(|target| !target.is_string())) {
        wrong("[targets]", "This value should be of type array.");
    }
    for (place, page) in embed["pages"].as_array().into_iter().flatten().enumerate() {
        let texts = [&page["code"], &page["menu"]].into_iter();
        let titles = ["ru", "en", "es"].into_iter().map(|language| &page["menuItemTitle"][language]);
        if texts.chain(titles).any(|text| text.as_str().is_none_or(str::is_empty)) {
            wrong(&format!("[pages][{place}]"), "This value should not be blank.");
        }
    }
    errors
}

impl RetailcrmSim {
    /// `host.httpCall` of a module's widget; `payload` is JSON, or nothing.
    ///
    /// # Errors
    /// When the module has no widget, or no answer comes.
    pub async fn http_call(
        &self,
        account: AccountId,
        module: &str,
        path: &str,
        payload: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let (url, client_id) = {
            let world = self.world();
            let module = world.account(account).and_then(|row| row.modules.get(module)).context("no such module")?;
            anyhow::ensure!(module.config["integrations"]["embedJs"].is_object(), "the module has no widget");
            let text = |name: &str| module.config[name].as_str().unwrap_or_default().to_owned();
            (format!("{}/{}", text("baseUrl").trim_end_matches('/'), path.trim_start_matches('/')), text("clientId"))
        };
        let fields: Vec<(&str, &str)> =
            [("clientId", client_id.as_str())].into_iter().chain(payload.map(|payload| ("payload", payload))).collect();
        self.post(&url, &fields).await
    }

    /// [`Self::http_call`] as the sandbox sends it: status and body for the widget.
    pub(super) async fn pass_on(&self, segments: &[String], params: &Params) -> (u16, String) {
        let [_, account, module, path @ ..] = segments else { return (404, String::new()) };
        let account = AccountId(account.parse().unwrap_or(usize::MAX));
        match self.http_call(account, module, &path.join("/"), params.get("payload")).await {
            Ok(answer) => (answer.status, answer.text()),
            Err(error) => (502, error.to_string()),
        }
    }
}
