//! Takes commands off the interactive lane and records what they want. Once the request is
//! stored the message has done its work: the intent is the truth, messages are nudges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use shared::domain::IntegrationId;
use shared::message::{Candidate, Command, Envelope, Kind, Lane, decode};
use shared::queue::Delivery;
use shared::queue::watched::WatchedQueue;
use shared::retry::Waits;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consume::dead_letters::{self, undecodable};
use crate::consume::forward;
use crate::hint::{Backlog, Hint};
use crate::tools::Tools;

/// Messages recorded in one commit.
const GROUP: usize = 256;
/// Messages in hand and not recorded yet: the next commit's gather while one is written.
const PREFETCH: u16 = 4 * GROUP as u16;

/// Commands of the lane that are about no order.
pub type Other = mpsc::Sender<(Envelope, Delivery)>;

/// Runs until `stop`, then hands back what is not recorded.
pub async fn run(
    tools: Tools,
    queue: WatchedQueue,
    hints: mpsc::Sender<Hint>,
    other: Other,
    backlog: Arc<Backlog>,
    stop: CancellationToken,
) {
    let (mut inbox, pumping) =
        forward::start(queue.subscribe(Lane::Interactive, PREFETCH), usize::from(PREFETCH), stop.clone());
    let mut group = Vec::with_capacity(GROUP);
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        backlog.set(group.len() == GROUP);
        record(&tools, &hints, &other, std::mem::take(&mut group), &stop).await;
    }
    let _ = pumping.await;
}

/// Takes single deliveries as the lane's are taken: what the broker put aside before anybody saw it.
pub fn take_in(tools: Tools, hints: mpsc::Sender<Hint>, other: Other, stop: CancellationToken) -> dead_letters::TakeIn {
    Arc::new(move |delivery| {
        let (tools, hints, other, stop) = (tools.clone(), hints.clone(), other.clone(), stop.clone());
        async move { record(&tools, &hints, &other, vec![delivery], &stop).await }.boxed()
    })
}

async fn record(
    tools: &Tools,
    hints: &mpsc::Sender<Hint>,
    other: &Other,
    group: Vec<Delivery>,
    stop: &CancellationToken,
) {
    let mut requests = Vec::new();
    let mut entries = Vec::new();
    // One an integration is enough: the earliest.
    let mut wakes: BTreeMap<IntegrationId, Timestamp> = BTreeMap::new();
    let mut wake = |integration, due_at: Timestamp| {
        let known = wakes.entry(integration).or_insert(due_at);
        *known = (*known).min(due_at);
    };
    let mut settled = Vec::new();
    for delivery in group {
        match decode(&delivery.body) {
            Err(why) => {
                let dead = undecodable(&delivery.body, &why.to_string());
                if dead_letters::add_dead_letter(&tools.store, &dead, stop).await {
                    settled.push(delivery);
                } else {
                    delivery.requeue().await;
                }
            }
            Ok(envelope) => {
                let made = requests_of(tools, &envelope);
                if made.is_empty() {
                    match (&envelope.command, envelope.integration) {
                        (Command::ResumeOrder { .. }, Some(integration)) => {
                            wake(integration, tools.clock.now());
                            settled.push(delivery);
                        }
                        _ => {
                            let _ = other.send((envelope, delivery)).await;
                        }
                    }
                    continue;
                }
                for request in &made {
                    entries.push(trigger_entry(&envelope, request));
                    wake(request.integration, request.due_at);
                }
                requests.extend(made);
                settled.push(delivery);
            }
        }
    }
    if !requests.is_empty() {
        let mut waits = Waits::between(Duration::from_millis(100), Duration::from_secs(5));
        // Unsettled messages are kept in hand until the store is back: nothing is lost.
        while let Err(error) = tools.store.record_requests(&requests).await {
            tracing::warn!(%error, messages = requests.len(), "commands wait: the database does not take them");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(waits.next_wait()) => {}
            }
        }
    }
    entries.into_iter().for_each(|entry| tools.journal.write(entry));
    for delivery in settled {
        delivery.ack().await;
    }
    for (integration, due_at) in wakes {
        let _ = hints.send(Hint { integration, due_at }).await;
    }
}

/// What a command requests for; empty for commands about no order's intent.
#[must_use]
pub fn requests_of(tools: &Tools, envelope: &Envelope) -> Vec<OrderRequest> {
    let (want, number, declared, candidates) = match &envelope.command {
        Command::SendOrder { number, declared } => (RequestKind::Send, number, *declared, &[][..]),
        Command::UpdateOrder { number, declared } => (RequestKind::Update, number, *declared, &[][..]),
        Command::CancelOrder { number, declared, candidates } => {
            (RequestKind::Cancel, number, *declared, &candidates[..])
        }
        _ => return Vec::new(),
    };
    let mut integrations: Vec<_> =
        candidates.iter().map(|c: &Candidate| c.integration).chain(envelope.integration).collect();
    integrations.sort_unstable();
    integrations.dedup();
    let due_at = envelope.received_at.checked_add(tools.limits.settle).unwrap_or(envelope.received_at);
    integrations
        .into_iter()
        .map(|integration| OrderRequest {
            integration,
            number: number.clone(),
            order: envelope.order,
            want,
            declared,
            candidates: candidates.to_vec(),
            due_at,
            received_at: envelope.received_at,
            generation: envelope.generation,
            traceparent: envelope.traceparent.clone(),
            command_id: envelope.id.to_string(),
        })
        .collect()
}

fn trigger_entry(envelope: &Envelope, request: &OrderRequest) -> Entry {
    let words = match envelope.command.kind() {
        Kind::SendOrder => "send trigger",
        Kind::UpdateOrder => "update trigger",
        Kind::CancelOrder => "cancel trigger",
        _ => "command",
    };
    let sum = request.declared.map_or_else(String::new, |sum| format!(", declared value {sum}"));
    let replay = if envelope.generation > 0 { format!(", replay {}", envelope.generation) } else { String::new() };
    Entry::new(envelope.received_at, What::Trigger, format!("{words} accepted{sum}{replay}"))
        .about(request.integration, request.number.as_str())
        .outcome(envelope.id.to_string())
}
