//! The delivery module inside RetailCRM: requests in which a manager waits for the answer
//! (protocols/retailcrm.md#module). They come over the rpc lane; everything that changes an order
//! goes the way of the triggers, so that both make one delivery.

pub mod activity;
pub mod calculate;
pub mod check;
pub mod connect;
pub mod delete;
pub mod delivery_types;
pub mod get;
pub mod in_hand;
pub mod lists;
pub mod print;
pub mod registration;
pub mod rpc;
pub mod save;
pub mod tariff;
pub mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::config::Config;
use shared::domain::{CrmOrderId, Delivery, IntegrationId};
use shared::message::CallbackReply;
use shared::retailcrm::AllowedHosts;
use shared::retailcrm::wire::callbacks::Answer;
use shared::store::intents::Progress;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::hint::Hint;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::ActiveIntegrations;

/// Code of the field through which triggers learn their key (protocols/retailcrm.md#data-fields).
pub const KEY_FIELD: &str = "deliveryApiKey";

/// What the callbacks work with.
#[derive(Clone)]
pub struct CallbackContext {
    pub tools: Tools,
    pub integrations: ActiveIntegrations,
    /// Tells the runner that something is due.
    pub hints: mpsc::Sender<Hint>,
    pub allowed: Arc<AllowedHosts>,
    pub config: Arc<Config>,
    pub callback_deadline: Duration,
    pub calculate_deadline: Duration,
    pub kept: Arc<calculate::TariffCache>,
    pub in_hand: in_hand::InHand,
    /// The process is about to stop: nobody is waited for.
    pub stop: CancellationToken,
}

/// One request in hand.
pub struct Request {
    pub active: ActiveIntegration,
    pub body: Value,
    /// Id of the command: a redelivery is the same request.
    pub command: String,
    pub received_at: Timestamp,
    /// The caller gives up then.
    pub answer_by: Timestamp,
}

impl Request {
    pub fn language(&self) -> shared::domain::Language {
        self.active.integration.settings.language
    }
}

/// Why a request is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status: 200 for what managers are to read, so that nothing on the way replaces
    /// the body (protocols/retailcrm.md#callbacks).
    pub status: u16,
    /// For the journal; a closed set.
    pub label: &'static str,
    /// Complete, for people.
    pub text: String,
}

impl Refusal {
    pub fn new(label: &'static str, text: impl Into<String>) -> Self {
        Self { status: 200, label, text: text.into() }
    }

    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// What a handler comes to.
pub type Answered = Result<CallbackReply, Refusal>;

fn json<T: Serialize>(answer: &Answer<T>) -> Vec<u8> {
    serde_json::to_vec(answer).expect("answers serialise")
}

/// `{"success":true,"result":…}`
pub fn result<T: Serialize>(result: T) -> CallbackReply {
    CallbackReply::json(200, json(&Answer::Result(result)))
}

/// `{"success":true}`
pub fn done() -> CallbackReply {
    CallbackReply::json(200, json(&Answer::<()>::Done))
}

/// `{"success":false,"errorMsg":…}`
pub fn error(refusal: &Refusal) -> CallbackReply {
    CallbackReply::json(refusal.status, json(&Answer::<()>::Error(refusal.text.clone())))
}

/// The extra field every tariff and every saved delivery carries.
pub fn key_field(active: &ActiveIntegration) -> BTreeMap<String, String> {
    let key = active.integration.secrets.delivery_api_key.expose().to_owned();
    [(KEY_FIELD.to_owned(), key)].into()
}

/// The delivery behind an id of ours; `None` for ids of others and for unknown ones.
pub async fn delivery_of(
    context: &CallbackContext,
    active: &ActiveIntegration,
    id: &str,
) -> Result<Option<Delivery>, Refusal> {
    let Some(order) = Delivery::parse_external_id(active.id(), id.trim()) else { return Ok(None) };
    by_order(context, active.id(), order, active).await
}

async fn by_order(
    context: &CallbackContext,
    integration: IntegrationId,
    order: CrmOrderId,
    active: &ActiveIntegration,
) -> Result<Option<Delivery>, Refusal> {
    context
        .tools
        .store
        .delivery_by_order(integration, order)
        .await
        .map_err(|_| texts::unavailable(active.integration.settings.language))
}

/// How waiting for an order's intent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Served,
    /// It goes on without the caller.
    GoesOn,
}

/// Waits until everything asked for so far is served, whichever worker serves it; no
/// longer than the caller does, and not for what is put off beyond that.
pub async fn wait_served(
    context: &CallbackContext,
    integration: IntegrationId,
    order: CrmOrderId,
    until: Timestamp,
) -> Waited {
    /// Another process tells us nothing: its work is seen by looking.
    const LOOK: Duration = Duration::from_millis(150);
    let store = &context.tools.store;
    let notifier = context.tools.notifier.listen(integration, order);
    let Ok(Some(Progress { requested: wanted, .. })) = store.intent_progress(integration, order).await else {
        return Waited::GoesOn;
    };
    loop {
        let notified = notifier.notified();
        let now = context.tools.clock.now();
        match store.intent_progress(integration, order).await {
            Ok(Some(progress)) if progress.served >= wanted => return Waited::Served,
            Ok(Some(p)) if !p.held && (p.due_at > until || p.rereads > 0 && p.due_at > now) => return Waited::GoesOn,
            Ok(None) => return Waited::GoesOn,
            // A database that hiccups is asked again.
            Ok(Some(_)) | Err(_) => {}
        }
        if now >= until || context.stop.is_cancelled() {
            return Waited::GoesOn;
        }
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        let _ = tokio::time::timeout(LOOK.min(left), notified).await;
    }
}
