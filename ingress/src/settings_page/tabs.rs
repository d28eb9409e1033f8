//! The tabs «Отладка» and «Триггеры».

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use shared::domain::crm_account;
use shared::store::audit::Who;
use shared::store::dead_letters::{DeadFilter, DeadLetter};
use shared::store::journal::Search;
use shared::store::replays::Replay;
use shared::trigger_forms::{self, Served, Tied};

use crate::callbacks::form::Fields;
use crate::settings_page::views;
use crate::settings_page::visit::{Stop, Visit};

/// Entries of the journal on one page.
const SHOWN: u32 = 100;

impl Visit<'_> {
    pub(super) async fn debug(&self, fields: &Fields) -> Result<Response, Stop> {
        let t = self.t();
        let query = fields.text("q").unwrap_or("").trim().to_owned();
        let store = &self.state.0.store;
        let filter = DeadFilter { integration: Some(self.integration.id), ..DeadFilter::default() };
        let mut failures = store.dead_letters(&filter).await?;
        failures.retain(|dead| query.is_empty() || dead.number.as_deref().is_some_and(|n| n.contains(&query)));
        failures.reverse();
        failures.truncate(SHOWN as usize);
        let text = (!query.is_empty()).then(|| query.clone());
        let search = Search { integration: Some(self.integration.id), text, since: None, limit: SHOWN };
        let entries = store.search_journal(&search).await?;
        let notice = match fields.text("replayed") {
            Some("1") => Some(t.replayed),
            Some(_) => Some(t.not_replayed),
            None => None,
        };
        let reader = self.reader();
        let view = views::Debug {
            t,
            name: &self.integration.title,
            base: self.base,
            tab: "debug",
            token: self.token(),
            notice,
            failures: failures.iter().map(|dead| views::Failure::of(dead, t, &reader)).collect(),
            entries: entries.into_iter().map(|kept| views::Exchange::of(kept, &reader)).collect(),
            query,
        };
        Ok(self.page(StatusCode::OK, view))
    }

    pub(super) async fn replay(&self, fields: &Fields) -> Result<Response, Stop> {
        let id: i64 = fields.text("id").and_then(|id| id.parse().ok()).ok_or(Stop::NotFound)?;
        let store = &self.state.0.store;
        let ours = |dead: &DeadLetter| dead.integration == Some(self.integration.id);
        let dead = store.dead_letter(id).await?.filter(ours).ok_or(Stop::NotFound)?;
        let who = Who::manager(self.integration.id);
        let done = store.replay_dead_letter(&dead, store.clock.now(), "replayed by the shop's manager", &who).await?;
        let done = u8::from(done == Replay::Done);
        let query = url::form_urlencoded::byte_serialize(fields.text("q").unwrap_or("").as_bytes()).collect::<String>();
        Ok(self.redirect(&format!("/debug?replayed={done}&q={query}")))
    }

    pub(super) async fn triggers(&self) -> Result<Response, Stop> {
        let t = self.t();
        let account = crm_account::siblings(&self.integration, self.state.0.store.integrations().await?);
        let tied = if trigger_forms::must_ask(&account) { self.tied().await } else { Vec::new() };
        let config = &self.state.0.config;
        let served = Served::all(&account, &config.module_code, &tied);
        let forms = trigger_forms::forms(self.integration.id, &served, &config.public_url);
        let view = views::Triggers {
            t,
            name: &self.integration.title,
            base: self.base,
            tab: "triggers",
            key: self.integration.secrets.delivery_api_key.expose().to_owned(),
            unnamed: trigger_forms::without_types(&served).into_iter().map(|other| other.title.clone()).collect(),
            forms: forms.into_iter().map(|form| views::Form::of(form, t)).collect(),
        };
        Ok(self.page(StatusCode::OK, view))
    }

    /// RetailCRM's delivery types with their modules, as a worker reads them; none when it
    /// cannot be asked. The forms then have gaps, and the page says so.
    async fn tied(&self) -> Vec<Tied> {
        let types = self.ask("deliveryTypes", json!({})).await;
        types.and_then(|types| serde_json::from_value(types).ok()).unwrap_or_default()
    }
}
