//! «Проверить соединение»: both logins, the key's rights, and a sample tariff. Also for an
//! integration that is paused: that is when one wants to know.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use shared::domain::{Grams, Kopecks, Language, Settings};
use shared::draft::Draft;
use shared::explain;
use shared::measoft::{CalcRequest, MeasoftError};
use shared::retailcrm::CrmError;
use shared::retailcrm::codes::{self, Lists};
use shared::retailcrm::wire::order::Address;

use crate::callbacks::texts::pick;
use crate::callbacks::{Answered, CallbackContext, Request, calculate, result, tariff, texts};
use crate::vendor::ActiveIntegration;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub ok: bool,
    /// What was found, for people.
    pub text: String,
}

/// Body: `{"town": "…", "weight": grams, "language": "ru" | "en", "draft": "…"}`, all optional:
/// the page may be read in another language than the integration's messages are, and what was
/// entered on it need not be saved yet. What fails is a finding.
pub async fn check(context: &CallbackContext, request: &Request) -> Answered {
    let text = |name: &str| request.body.get(name).and_then(Value::as_str);
    let mut findings = Findings::default();
    let (active, on_trial) = match entered(context, &request.active, text("draft")) {
        None => (request.active.clone(), false),
        Some(Ok(active)) => (active, true),
        Some(Err(why)) => {
            findings.add("crm_key", false, why);
            return Ok(result(findings.0));
        }
    };
    let active = &spoken(&active, text("language"));
    findings.crm(active).await;
    let logged_in = findings.courier(context, active, on_trial).await;
    if let Some(town) = text("town").map(str::trim).filter(|town| logged_in && !town.is_empty()) {
        let weight = request.body.get("weight").and_then(Value::as_u64).and_then(|g| u32::try_from(g).ok());
        let grams = weight.unwrap_or(active.integration.settings.default_weight_g);
        let (ok, text) = tariffs(context, active, town, grams).await;
        findings.add("tariffs", ok, text);
    }
    Ok(result(findings.0))
}

/// What was looked at so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, what: &'static str, ok: bool, text: impl Into<String>) {
        self.0.push(Finding { what, ok, text: text.into() });
    }

    /// The key, its rights, and whether RetailCRM has the codes of the settings.
    async fn crm(&mut self, active: &ActiveIntegration) {
        let language = active.integration.settings.language;
        let credentials = match active.vendors.crm.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return self.add("crm_key", false, crm_words(language, &error)),
        };
        self.add("crm_key", true, pick(language, "Ключ API принят", "The API key is accepted"));
        let missing = credentials.missing_scopes();
        if missing.is_empty() {
            self.add("crm_rights", true, pick(language, "Прав достаточно", "It has all rights needed"));
        } else {
            let text = pick(language, "Не хватает прав", "Rights are missing");
            self.add("crm_rights", false, format!("{text}: {}", missing.join(", ")));
        }
        if codes::has_new(&active.integration.settings, &Settings::default()) {
            let (ok, text) = known_codes(active).await;
            self.add("crm_codes", ok, text);
        }
    }

    /// Answers whether MeaSoft lets the integration in.
    async fn courier(&mut self, context: &CallbackContext, active: &ActiveIntegration, on_trial: bool) -> bool {
        let language = active.integration.settings.language;
        match context.tools.ask(active, active.vendors.courier.probe()).await {
            Ok(Ok(client)) => {
                let text = pick(language, "Вход выполнен, клиент", "Logged in, client");
                self.add("courier_login", true, format!("{text} {client}"));
                return true;
            }
            Ok(Err(error)) => {
                let text = refused(context, active, &error, on_trial).await;
                self.add("courier_login", false, text);
            }
            Err(held) => self.add("courier_login", false, texts::held_back(language, &held).text),
        }
        false
    }
}

/// Why MeaSoft does not let the integration in, with what to do about it.
async fn refused(
    context: &CallbackContext,
    active: &ActiveIntegration,
    error: &MeasoftError,
    on_trial: bool,
) -> String {
    let language = active.integration.settings.language;
    let said = match error {
        // What is only tried must not pause the integration that is stored.
        MeasoftError::Refused { text, verdict, .. } if on_trial => {
            texts::gave_up(language, verdict.reason, &text.as_str().into()).text
        }
        _ => texts::courier(context, active, None, error).await.text,
    };
    match error {
        MeasoftError::Refused { verdict, .. } => {
            format!("{}. {}", said.trim_end_matches('.'), explain::reason(verdict.reason, language).next_step)
        }
        _ => said,
    }
}

/// Whether RetailCRM accepts the key of a draft at its address: an address is taken over only
/// with a key that works there. Answers `{"ok": bool, "text": "…"}`. Body: `{"draft", "language"}`.
/// A refusal is an answer.
pub async fn prove(context: &CallbackContext, request: &Request) -> Answered {
    let text = |name: &str| request.body.get(name).and_then(Value::as_str);
    let said = match entered(context, &request.active, text("draft")) {
        None => Err(String::new()),
        Some(Err(why)) => Err(why),
        Some(Ok(active)) => match accepted(&active).await {
            Ok(()) => Ok(()),
            Err(error) => Err(crm_words(spoken(&active, text("language")).integration.settings.language, &error)),
        },
    };
    Ok(result(serde_json::json!({ "ok": said.is_ok(), "text": said.err().unwrap_or_default() })))
}

/// Whether RetailCRM has the codes that are to be saved. Answers `{"ok": bool, "text": "…"}`. Body:
/// `{"payment_status", "returned_item_status", "delivered_item_status", "draft", "language"}`.
/// A refusal is an answer, and a RetailCRM that is away refuses nothing.
pub async fn code(context: &CallbackContext, request: &Request) -> Answered {
    let text = |name: &str| request.body.get(name).and_then(Value::as_str);
    let active = match entered(context, &request.active, text("draft")) {
        Some(Ok(active)) => active,
        _ => request.active.clone(),
    };
    let language = spoken(&active, text("language")).integration.settings.language;
    let wanted = Settings {
        payment_status: text("payment_status").map(str::to_owned),
        returned_item_status: text("returned_item_status").map(str::to_owned),
        delivered_item_status: text("delivered_item_status").map(str::to_owned),
        ..Settings::default()
    };
    let wrong = match Lists::read(&*active.vendors.crm).await {
        Ok(lists) => lists.wrong(&wanted),
        Err(_) => Vec::new(),
    };
    let said: Vec<String> = wrong.iter().map(|wrong| wrong.text(language)).collect();
    Ok(result(serde_json::json!({ "ok": said.is_empty(), "text": said.join("; ") })))
}

/// Whether RetailCRM has every code that the settings name.
async fn known_codes(active: &ActiveIntegration) -> (bool, String) {
    let settings = &active.integration.settings;
    let language = settings.language;
    match Lists::read(&*active.vendors.crm).await {
        Err(error) => (false, crm_words(language, &error)),
        Ok(lists) => {
            let wrong: Vec<String> = lists.wrong(settings).iter().map(|wrong| wrong.text(language)).collect();
            if wrong.is_empty() {
                let text = "Все коды настроек есть в RetailCRM";
                return (true, pick(language, text, "RetailCRM has every code of the settings").to_owned());
            }
            (false, wrong.join("; "))
        }
    }
}

/// Whether RetailCRM lets the shop's key in.
pub async fn accepted(active: &ActiveIntegration) -> Result<(), CrmError> {
    active.vendors.crm.credentials().await.map(|_| ())
}

/// The shop with the connection of a draft; `None` without one.
fn entered(
    context: &CallbackContext,
    active: &ActiveIntegration,
    draft: Option<&str>,
) -> Option<Result<ActiveIntegration, String>> {
    let draft = Draft::open(draft?, active.id(), &context.tools.store.key)?;
    let mut integration = (*active.integration).clone();
    draft.put_into(&mut integration);
    Some(context.integrations.trial(integration))
}

/// The shop with answers in this language.
fn spoken(active: &ActiveIntegration, language: Option<&str>) -> ActiveIntegration {
    let mut active = active.clone();
    let language = match language {
        Some("en") => Language::En,
        Some("ru") => Language::Ru,
        _ => return active,
    };
    Arc::make_mut(&mut active.integration).settings.language = language;
    active
}

async fn tariffs(context: &CallbackContext, active: &ActiveIntegration, town: &str, grams: u32) -> (bool, String) {
    let language = active.integration.settings.language;
    let address = Address { city: Some(town.to_owned()), ..Address::default() };
    let town = match tariff::resolved(context, active, &address).await {
        Ok(town) => town,
        Err(refusal) => return (false, refusal.text),
    };
    let parcel = calculate::parcel(&active.integration.settings, &town, Kopecks::ZERO);
    let question = CalcRequest { weight: Some(Grams(grams)), ..parcel };
    match context.tools.ask(active, active.vendors.courier.calculate(&question)).await {
        Err(held) => (false, texts::held_back(language, &held).text),
        Ok(Err(error)) => (false, texts::courier(context, active, None, &error).await.text),
        Ok(Ok(tariffs)) if tariffs.is_empty() => {
            let ru = "Тарифов нет: обратитесь в курьерскую службу для их настройки";
            let text = pick(language, ru, "There are no tariffs: ask the courier service to set them up");
            (false, text.to_owned())
        }
        Ok(Ok(tariffs)) => {
            let named = |t: &shared::measoft::Tariff| {
                let name = t.service_name.as_deref().or(t.service.as_deref()).unwrap_or("?");
                format!("{name}: {}", t.price)
            };
            (true, tariffs.iter().map(named).collect::<Vec<_>>().join("; "))
        }
    }
}

pub(super) fn crm_words(language: Language, error: &CrmError) -> String {
    let ru = "RetailCRM не отвечает или не принимает ключ";
    let text = pick(language, ru, "RetailCRM does not answer or refuses the key");
    format!("{text} ({error})")
}
