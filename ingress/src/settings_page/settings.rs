//! The tab «Настройки»: shown, checked at both vendors, and saved.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use shared::domain::crm_account;
use shared::domain::{Integration, IntegrationState};
use shared::draft::Draft;
use shared::store::StoreError;
use shared::store::audit::{Act, Who};
use shared::story::{Event, Field, FieldChange};

use crate::callbacks::form::Fields;
use crate::settings_page::form::{Entered, Errors};
use crate::settings_page::views;
use crate::settings_page::visit::{Stop, Visit, stored};

/// A code is looked up for so long before it is saved unseen.
const CODE_PATIENCE: Duration = Duration::from_secs(5);

/// What the tab shows beside the stored values.
#[derive(Default)]
struct TabState {
    values: Entered,
    errors: Errors,
    saved: bool,
    problem: Option<String>,
    findings: Vec<views::Finding>,
    /// What was checked is not saved.
    unsaved: bool,
    /// Secrets entered and not saved yet.
    draft: Option<String>,
    /// The [mark](Entered::mark) the values are compared with when they are saved; the stored
    /// values' own when there is none.
    seen: Option<String>,
    /// Others changed the settings while the form was open.
    moved: bool,
}

/// Why the form's values are not stored.
enum NotSaved {
    Wrong(Errors),
    /// These are stored now, and others were when the form was shown.
    Moved(Entered),
    Store(StoreError),
}

impl From<StoreError> for NotSaved {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Visit<'_> {
    pub(super) fn settings(&self, fields: &Fields) -> Response {
        let values = Entered::of(&self.integration);
        self.show(TabState { values, saved: fields.text("saved").is_some(), ..TabState::default() })
    }

    fn show(&self, shown: TabState) -> Response {
        let status = match (shown.errors.is_empty(), shown.moved) {
            (false, _) => StatusCode::UNPROCESSABLE_ENTITY,
            (true, true) => StatusCode::CONFLICT,
            (true, false) => StatusCode::OK,
        };
        let paused = match &self.integration.state {
            IntegrationState::Paused { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        let view = views::Settings {
            t: self.t(),
            name: &self.integration.title,
            base: self.base,
            tab: "settings",
            token: self.token(),
            values: shown.values,
            errors: shown.errors,
            language: self.language,
            saved: shown.saved,
            problem: shown.problem,
            paused,
            shadow: self.integration.settings.is_shadow(),
            findings: shown.findings,
            unsaved: shown.unsaved,
            draft: shown.draft,
            seen: shown.seen.unwrap_or_else(|| Entered::of(&self.integration).mark()),
        };
        self.page(status, view)
    }

    /// What stands in the form. Secrets entered before a check come back sealed.
    fn entered(&self, fields: &Fields) -> Entered {
        let mut values: BTreeMap<String, String> = fields
            .iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())))
            .filter(|(name, _)| !["csrf", "draft", "seen"].contains(&name.as_str()))
            .collect();
        let draft = fields.text("draft").unwrap_or("");
        if let Some(draft) = Draft::open(draft, self.integration.id, &self.state.0.store.key) {
            for (name, secret) in [("crm_api_key", draft.crm_api_key()), ("password", draft.password())] {
                if values.get(name).is_none_or(String::is_empty) {
                    values.insert(name.to_owned(), secret.expose().to_owned());
                }
            }
        }
        Entered(values)
    }

    fn sealed(&self, draft: &Draft) -> String {
        draft.seal(self.integration.id, &self.state.0.store.key)
    }

    pub(super) async fn save(&self, fields: &Fields) -> Result<Response, Stop> {
        let entered = self.entered(fields);
        let seen = fields.text("seen").map(str::to_owned);
        // What is wrong with it is told when it is stored, beside its fields.
        let trial = entered.apply(&self.integration, &self.allowed()).ok();
        if let Some(trial) = &trial
            && let Some(problem) = self.refusal(trial).await?
        {
            return Ok(self.show(TabState { values: entered, problem: Some(problem), seen, ..TabState::default() }));
        }
        let shown = match self.store(&entered, seen.as_deref(), trial.as_ref()).await {
            Ok(()) => return Ok(self.redirect("?saved=1")),
            Err(NotSaved::Wrong(errors)) => TabState { errors, seen, ..TabState::default() },
            Err(NotSaved::Moved(now)) => self.moved(&entered, &now),
            Err(NotSaved::Store(StoreError::Config(why))) => {
                TabState { problem: Some(why), seen, ..TabState::default() }
            }
            Err(NotSaved::Store(StoreError::ChangedMeanwhile)) => {
                self.moved(&entered, &Entered::of(&stored(self.state, self.integration.id).await?))
            }
            Err(NotSaved::Store(error)) => return Err(error.into()),
        };
        Ok(self.show(TabState { values: entered, ..shown }))
    }

    /// Why values that are right in themselves are not taken over.
    async fn refusal(&self, trial: &Integration) -> Result<Option<String>, Stop> {
        if !opens_alike(trial, &self.integration)
            && let Err(why) = self.prove(trial).await
        {
            return Ok(Some(why));
        }
        if self.is_cabinet_of_another(trial).await? {
            return Ok(Some(self.t().cabinet_of_another.to_owned()));
        }
        Ok(self.unknown_code(trial).await)
    }

    /// Stores the values, unless others were stored since the form showed `seen`. `looked_at` is
    /// what nothing speaks against: an account and key that are neither its nor the stored ones
    /// were proved by nobody.
    async fn store(
        &self,
        entered: &Entered,
        seen: Option<&str>,
        looked_at: Option<&Integration>,
    ) -> Result<(), NotSaved> {
        let proved = looked_at.filter(|trial| !opens_alike(trial, &self.integration));
        let (mut changes, mut from) = (Vec::new(), String::new());
        let change = |kept: &mut Integration| -> Result<(), NotSaved> {
            let now = Entered::of(kept);
            if seen.is_some_and(|seen| seen != now.mark()) {
                return Err(NotSaved::Moved(now));
            }
            let changed = entered.apply(kept, &self.allowed()).map_err(NotSaved::Wrong)?;
            if !opens_alike(&changed, proved.unwrap_or(kept)) {
                return Err(NotSaved::Moved(now));
            }
            from.clone_from(&kept.crm_url);
            changes = what_changed(kept, &changed);
            *kept = changed;
            Ok(())
        };
        let store = &self.state.0.store;
        let who = Who::manager(self.integration.id);
        let kept = store.change_integration_by(self.integration.id, Some((&who, Act::Edited)), change).await?;
        self.note(Event::SettingsChanged { changes });
        if crm_account::address(&from) != crm_account::address(&kept.crm_url) {
            store.tell_of_move(&kept, &from, &who.person()).await?;
        }
        Ok(())
    }

    /// An address or key is taken over only if the key works there: whoever may open this page
    /// could name any account otherwise.
    async fn prove(&self, trial: &Integration) -> Result<(), String> {
        let asked = json!({ "draft": self.sealed(&Draft::of(trial)), "language": self.t().code });
        match self.ask("prove", asked).await {
            Some(result) if result["ok"] == true => Ok(()),
            Some(result) if result["text"].is_string() => {
                Err(format!("{}: {}", self.t().not_proved, result["text"].as_str().unwrap_or_default()))
            }
            _ => Err(self.t().check_failed.to_owned()),
        }
    }

    /// What is wrong with RetailCRM's codes that were entered now. When nobody can be asked it is
    /// taken as it is: the check of the connection says then what is wrong with it.
    async fn unknown_code(&self, trial: &Integration) -> Option<String> {
        let stored = Entered::of(&self.integration);
        let entered = Entered::of(trial);
        let is_new = |name: &&str| !entered.get(name).is_empty() && entered.get(name) != stored.get(name);
        let new: Vec<&str> =
            ["payment_status", "returned_item_status", "delivered_item_status"].into_iter().filter(is_new).collect();
        if new.is_empty() {
            return None;
        }
        let mut asked = json!({ "draft": self.sealed(&Draft::of(trial)), "language": self.t().code });
        for name in new {
            asked[name] = entered.get(name).into();
        }
        let result = tokio::time::timeout(CODE_PATIENCE, self.ask("code", asked)).await.ok()??;
        let words = result["text"].as_str().filter(|words| !words.is_empty() && result["ok"] == false);
        words.map(str::to_owned)
    }

    /// Whether the form names a cabinet that others use, without knowing its password: budget,
    /// breaker and status stream are shared by whoever has the same one.
    async fn is_cabinet_of_another(&self, trial: &Integration) -> Result<bool, Stop> {
        if trial.courier_account() == self.integration.courier_account() {
            return Ok(false);
        }
        let all = self.state.0.store.integrations().await?;
        let mut others = all.iter().filter(|i| i.id != trial.id && i.courier_account() == trial.courier_account());
        Ok(others.any(|other| other.secrets.password != trial.secrets.password))
    }

    /// What is stored where the form has something else.
    fn moved(&self, entered: &Entered, now: &Entered) -> TabState {
        let t = self.t();
        let both = |name: &str| entered.0.contains_key(name) && now.0.contains_key(name);
        let other = t.fields().into_iter().filter(|(name, _)| both(name) && entered.get(name) != now.get(name));
        let other: Vec<String> = other.map(|(name, label)| format!("{label}: «{}»", now.get(name))).collect();
        let problem = format!("{}: {}", t.changed_meanwhile, other.join("; "));
        TabState { problem: Some(problem), seen: Some(now.mark()), moved: true, ..TabState::default() }
    }

    pub(super) async fn check(&self, fields: &Fields) -> Response {
        let entered = self.entered(fields);
        let seen = fields.text("seen").map(str::to_owned);
        let mut values = Entered::of(&self.integration);
        values.0.extend(entered.0.clone());
        let trial = match entered.apply(&self.integration, &self.allowed()) {
            Ok(trial) => Draft::of(&trial),
            Err(errors) => return self.show(TabState { values, errors, seen, ..TabState::default() }),
        };
        let stored = Draft::of(&self.integration);
        let sealed = (trial != stored).then(|| self.sealed(&trial));
        let asked = json!({
            "town": entered.get("town"), "weight": entered.get("weight").parse::<u32>().ok(),
            "language": self.t().code, "draft": sealed,
        });
        let found = self.ask("check", asked).await.and_then(|rows| serde_json::from_value(rows).ok());
        let problem = found.is_none().then(|| self.t().check_failed.to_owned());
        let with_secrets = trial.crm_api_key() != stored.crm_api_key() || trial.password() != stored.password();
        self.show(TabState {
            values,
            problem,
            findings: found.unwrap_or_default(),
            unsaved: sealed.is_some(),
            draft: sealed.filter(|_| with_secrets),
            seen,
            ..TabState::default()
        })
    }
}

/// Whether both open the same RetailCRM account with the same key.
fn opens_alike(one: &Integration, other: &Integration) -> bool {
    crm_account::address(&one.crm_url) == crm_account::address(&other.crm_url)
        && one.secrets.crm_api_key == other.secrets.crm_api_key
}

/// Names of what differs, never values: some are secret.
fn what_changed(old: &Integration, new: &Integration) -> Vec<FieldChange> {
    let (before, after) = (Entered::of(old).0, Entered::of(new).0);
    let change = |(name, after): (&String, &String)| {
        let before = before.get(name)?;
        let field = Field::setting(name).filter(|_| before != after)?;
        let shown = field != Field::Login;
        Some(if shown { FieldChange::shown(field, before, after) } else { FieldChange::hidden(field) })
    };
    let mut changes: Vec<FieldChange> = after.iter().filter_map(change).collect();
    if old.secrets.crm_api_key != new.secrets.crm_api_key {
        changes.push(FieldChange::hidden(Field::ApiKey));
    }
    if old.secrets.password != new.secrets.password {
        changes.push(FieldChange::hidden(Field::Password));
    }
    changes
}
