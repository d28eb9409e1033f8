//! What the card and the page of failures show, read from the ledger. A client reads what is its own:
//! another's order is one that nobody knows.

use serde::Serialize;
use shared::domain::{CrmOrderId, Delivery, Integration, IntegrationState, crm_account};
use shared::measoft::Details;
use shared::phrases::Reader;
use shared::store::asked::is_askable;
use shared::store::dead_letters::{DeadFilter, DeadLetter};
use shared::store::journal::StoredEntry;

use crate::settings_page::texts::Texts;
use crate::settings_page::views::{Exchange, Failure};
use crate::widget::seen::Seen;
use crate::widget::words::{self, Button, Word, Words};
use crate::widget::{Call, Stop, UNKNOWN};

/// Entries of a story that are shown, the newest.
const STORY: usize = 50;
/// Failures of a page.
const PAGE: u32 = 50;

#[derive(Serialize)]
pub(super) struct Card {
    #[serde(flatten)]
    button: Button,
    title: &'static str,
    facts: Vec<(&'static str, String)>,
    failures: Vec<Shown>,
    ask: Option<i64>,
    words: Words,
}

/// A failure as the widget shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: i64,
    order: Order,
    kind: &'static str,
    at: String,
    times: i64,
    text: String,
    next_step: &'static str,
    replayable: bool,
}

#[derive(Serialize)]
struct Order {
    id: Option<i64>,
    number: String,
}

/// An entry of the story.
#[derive(Serialize)]
pub(super) struct Told {
    at: String,
    what: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct Page {
    title: &'static str,
    failures: Vec<Shown>,
    further: Option<i64>,
    words: Words,
}

impl Call<'_> {
    fn reader(&self) -> Reader {
        Reader::new(self.language, self.state.0.config.display_zone.clone())
    }

    fn shown(&self, dead: &DeadLetter) -> Shown {
        let failure = Failure::of(dead, Texts::of(self.language), &self.reader());
        Shown {
            id: failure.id,
            order: Order { id: dead.order.map(|order| order.0), number: failure.number },
            kind: failure.kind,
            at: failure.at,
            times: failure.times,
            text: failure.text,
            next_step: failure.next_step,
            replayable: failure.replayable,
        }
    }

    async fn delivery(&self, order: CrmOrderId) -> Result<(Option<Delivery>, String), Stop> {
        let delivery = self.state.0.store.delivery_by_order(self.integration, order).await?;
        let asked = || self.payload.number.clone().unwrap_or_default();
        let number = delivery.as_ref().map_or_else(asked, |d| d.number.clone());
        Ok((delivery, number))
    }

    async fn seen(&self, order: CrmOrderId) -> Result<Seen, Stop> {
        let (store, id) = (&self.state.0.store, self.integration);
        let (delivery, number) = self.delivery(order).await?;
        let mut letters = store.open_letters_of(id, Some(order), &number).await?;
        // Orders of two shops of an account may share a number.
        letters.retain(|dead| dead.order.is_none_or(|other| other == order));
        let details = match &delivery {
            Some(d) => store.newest_details(d.id).await?,
            None => None,
        };
        let details: Details = details.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let integration = store.integration(id).await?.ok_or(UNKNOWN)?;
        let waiting = store.order_waiting(id, order, &number).await?;
        let is_unknown = delivery.is_none() && letters.is_empty() && waiting.is_none();
        Ok(Seen {
            is_of_another: is_unknown && self.is_of_another(&integration, order).await?,
            waiting,
            is_paused: matches!(integration.state, IntegrationState::Paused { .. }),
            currency: integration.settings.currency,
            courier: details.people(&store.key).courier,
            delivery,
            letters,
            details,
        })
    }

    /// Of several modules each would say of an order that it does not know it: only the first does,
    /// and that only when none of the others knows it.
    async fn is_of_another(&self, integration: &Integration, order: CrmOrderId) -> Result<bool, Stop> {
        let store = &self.state.0.store;
        let siblings = crm_account::siblings(integration, store.integrations().await?);
        if siblings.iter().any(|other| other.id < integration.id) {
            return Ok(true);
        }
        for other in siblings.iter().filter(|other| other.id != integration.id) {
            if store.delivery_by_order(other.id, order).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn card(&self) -> Result<Card, Stop> {
        let order = self.payload.order()?;
        let seen = self.seen(order).await?;
        let store = &self.state.0.store;
        let progress = store.intent_progress(self.integration, order).await?;
        let (requested, is_served) =
            progress.map_or((0, true), |progress| (progress.requested, progress.requested == progress.served));
        let ask = seen.delivery.as_ref().filter(|d| is_askable(d.state, is_served)).map(|_| requested);
        let zone = &self.state.0.config.display_zone;
        let today = store.clock.now().to_zoned_datetime(zone.clone()).date();
        Ok(Card {
            button: words::button(&seen, today, self.language),
            title: Word::Title.text(self.language),
            facts: words::facts(&seen, zone, self.language),
            failures: seen.letters.iter().map(|dead| self.shown(dead)).collect(),
            ask,
            words: Words::of(self.language),
        })
    }

    /// The newest first.
    pub(super) async fn story(&self) -> Result<Vec<Told>, Stop> {
        let order = self.payload.order()?;
        let (store, (delivery, number)) = (&self.state.0.store, self.delivery(order).await?);
        let ordernos: Vec<String> = delivery.iter().map(|d| d.orderno.as_str().to_owned()).collect();
        let mut entries: Vec<StoredEntry> = store.timeline(&number, &ordernos, Some(self.integration)).await?;
        // RetailCRM's exchanges about one order are kept under its id.
        entries.extend(store.timeline(&format!("id:{order}"), &[], Some(self.integration)).await?);
        entries.sort_by_key(|kept| (kept.at, kept.id));
        let reader = self.reader();
        let told = |kept| {
            let Exchange { at, head: what, text, .. } = Exchange::of(kept, &reader);
            Told { at, what, text }
        };
        // What was said to whom is the operator's affair.
        let worded = entries.into_iter().rev().map(told).filter(|told| !told.text.is_empty());
        Ok(worded.take(STORY).collect())
    }

    pub(super) async fn failures(&self) -> Result<Page, Stop> {
        let filter = DeadFilter { integration: Some(self.integration), ..DeadFilter::default() };
        let mut letters = self.state.0.store.dead_letters_page(&filter, None, self.payload.before, PAGE + 1).await?;
        let more = letters.len() > PAGE as usize;
        letters.truncate(PAGE as usize);
        Ok(Page {
            title: Word::PageTitle.text(self.language),
            further: letters.last().filter(|_| more).map(|dead| dead.id),
            failures: letters.iter().map(|dead| self.shown(dead)).collect(),
            words: Words::of(self.language),
        })
    }
}
