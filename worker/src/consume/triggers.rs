//! Takes commands off the interactive lane and records what they want. Once the request is
//! stored the message has done its work: the intent is the truth, messages are nudges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use shared::clock::later;
use shared::domain::IntegrationId;
use shared::message::{Candidate, Command, Envelope, Kind, Lane, decode};
use shared::queue::Delivery;
use shared::queue::watched::WatchedQueue;
use shared::retry::Waits;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::story::Event;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consume::dead_letters::{TakeIn, settle_undecodable};
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
pub fn take_in(tools: Tools, hints: mpsc::Sender<Hint>, other: Other, stop: CancellationToken) -> TakeIn {
    Arc::new(move |delivery| {
        let (tools, hints, other, stop) = (tools.clone(), hints.clone(), other.clone(), stop.clone());
        async move { record(&tools, &hints, &other, vec![delivery], &stop).await }.boxed()
    })
}

async fn record(
    tools: &Tools,
    hints: &mpsc::Sender<Hint>,
    other: &Other,
    deliveries: Vec<Delivery>,
    stop: &CancellationToken,
) {
    let mut group = Group::default();
    for delivery in deliveries {
        match decode(&delivery.body) {
            Err(why) => settle_undecodable(&tools.store, delivery, &why, stop).await,
            Ok(envelope) => {
                if let Some(pair) = group.add(tools, envelope, delivery) {
                    let _ = other.send(pair).await;
                }
            }
        }
    }
    if !group.requests.is_empty() {
        let mut waits = Waits::between(Duration::from_millis(100), Duration::from_secs(5));
        // Unsettled messages are kept in hand until the store is back: nothing is lost.
        while let Err(error) = tools.store.record_requests(&group.requests).await {
            tracing::warn!(%error, messages = group.requests.len(), "commands wait: the database does not take them");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(waits.next_wait()) => {}
            }
        }
    }
    group.entries.into_iter().for_each(|entry| tools.journal.write(entry));
    for delivery in group.deliveries {
        delivery.ack().await;
    }
    for (integration, due_at) in group.hints {
        let _ = hints.send(Hint { integration, due_at }).await;
    }
}

/// What is recorded in one commit, and what follows once it is.
#[derive(Default)]
struct Group {
    requests: Vec<OrderRequest>,
    entries: Vec<Entry>,
    deliveries: Vec<Delivery>,
    /// One an integration is enough: the earliest.
    hints: BTreeMap<IntegrationId, Timestamp>,
}

impl Group {
    /// Gives back what is about no order.
    fn add(&mut self, tools: &Tools, envelope: Envelope, delivery: Delivery) -> Option<(Envelope, Delivery)> {
        let made = requests_of(tools, &envelope);
        if made.is_empty() {
            match (&envelope.command, envelope.integration) {
                (Command::ResumeOrder { .. }, Some(integration)) => self.hint(integration, tools.clock.now()),
                _ => return Some((envelope, delivery)),
            }
        }
        for request in &made {
            self.entries.push(trigger_entry(&envelope, request));
            self.hint(request.integration, request.due_at);
        }
        self.requests.extend(made);
        self.deliveries.push(delivery);
        None
    }

    fn hint(&mut self, integration: IntegrationId, due_at: Timestamp) {
        let known = self.hints.entry(integration).or_insert(due_at);
        *known = (*known).min(due_at);
    }
}

/// What a command asks for; empty for commands about no order's intent.
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
    let due_at = later(envelope.received_at, tools.limits.settle);
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
    let asked = match envelope.command.kind() {
        Kind::SendOrder => Event::SendAsked,
        Kind::UpdateOrder => Event::UpdateAsked,
        Kind::CancelOrder => Event::CancelAsked,
        _ => Event::CommandTaken,
    };
    let declared = request.declared.map(|sum| Event::Declared { sum });
    let again = Some(envelope.generation).filter(|times| *times > 0).map(|times| Event::Again { times });
    let story = std::iter::once(asked).chain(declared).chain(again).collect();
    Entry::of(envelope.received_at, What::Trigger, story)
        .about(request.integration, request.number.as_str())
        .outcome(envelope.id.to_string())
}
