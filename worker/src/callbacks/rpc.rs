//! Takes requests off the rpc lane, many at once, and answers each before its caller gives
//! up. Whatever happens, an answer is well-formed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;
use shared::bootstrap::Ctx;
use shared::clock::elapsed;
use shared::domain::{IntegrationId, IntegrationState, Language};
use shared::message::{CallbackReply, Change, Command, Envelope, Kind, Lane, Needless, Outcome, decode};
use shared::queue::open::Callbacks;
use shared::queue::{Delivery, Replier};
use shared::retailcrm::AllowedHosts;
use shared::store::journal::{Entry, What};
use shared::story::{Action, Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::callbacks::{
    Answered, CallbackContext, Refusal, Request, activity, calculate, check, connect, delete, delivery_types, error,
    get, lists, print, save, texts,
};
use crate::consume::forward;
use crate::hint::Hint;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::ActiveIntegrations;

/// Requests answered at once by one worker; each integration has a share of its own.
pub const AT_ONCE: u16 = 512;
/// An answer has to travel back before the caller gives up.
const TRAVEL: Duration = Duration::from_millis(250);
/// What a reply has besides its body, bytes.
const HEAD_ROOM: usize = 256;

/// What a worker's callbacks work with.
pub fn context(
    ctx: &Ctx,
    tools: Tools,
    integrations: ActiveIntegrations,
    hints: mpsc::Sender<Hint>,
) -> CallbackContext {
    CallbackContext {
        tools,
        integrations,
        hints,
        // Unreadable settings were refused when the vendors' clients were made.
        allowed: Arc::new(AllowedHosts::parse(&ctx.config.crm_allowed_hosts).unwrap_or_default()),
        config: ctx.config.clone(),
        callback_deadline: ctx.config.callback_deadline,
        calculate_deadline: ctx.config.calculate_deadline,
        kept: Arc::default(),
        in_hand: Default::default(),
        stop: ctx.stop.clone(),
    }
}

/// Runs until `stop`; what is in hand then is answered.
pub async fn run(context: CallbackContext, callbacks: Callbacks, stop: CancellationToken) {
    let (mut inbox, pumping) = forward::start(callbacks.requests.subscribe(Lane::Rpc, AT_ONCE), 1, stop.clone());
    let mut running: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            Some(delivery) = inbox.recv() => {
                running.spawn(serve(context.clone(), callbacks.replier.clone(), delivery));
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
            else => break,
        }
    }
    while running.join_next().await.is_some() {}
    let _ = pumping.await;
}

async fn serve(context: CallbackContext, replier: Arc<dyn Replier>, delivery: Delivery) {
    let address = delivery.reply_to.clone().zip(delivery.correlation_id.clone());
    let longest = address.as_ref().map_or(usize::MAX, |(reply_to, _)| replier.longest(reply_to));
    let reply = match decode(&delivery.body) {
        Ok(envelope) => attend(&context, envelope, longest).await,
        Err(_) => error(&texts::unavailable(Language::Ru)),
    };
    if let Some((reply_to, id)) = address {
        replier.reply(&reply_to, &id, reply.encode()).await;
    }
    delivery.ack().await;
}

/// One request from its envelope to its answer of at most so many bytes, journalled and measured.
async fn attend(context: &CallbackContext, envelope: Envelope, longest: usize) -> CallbackReply {
    let started = context.tools.clock.now();
    let Command::Callback { action, request } = envelope.command else {
        return error(&texts::unavailable(Language::Ru));
    };
    let Some(active) = known(context, envelope.integration).await else {
        return error(&texts::unavailable(Language::Ru));
    };
    let deadline = if action == "calculate" { context.calculate_deadline } else { context.callback_deadline };
    let (integration, language) = (active.id(), active.integration.settings.language);
    let mut entry = Entry::of(started, What::Trigger, Vec::new());
    entry.integration = Some(integration);
    entry.number = number_of(&request);
    entry.op = Some(format!("callback.{action}"));
    let request = Request {
        answer_by: answer_by(started, envelope.received_at, deadline),
        active,
        body: request,
        command: envelope.id.to_string(),
        received_at: envelope.received_at,
    };
    let answered = answered(context, &action, request, started).await.and_then(|reply| {
        // What the queue does not take is refused here, in words: sent, it would take along what
        // else is on its way.
        let bytes = reply.body.len().saturating_add(HEAD_ROOM);
        if bytes > longest { Err(texts::too_large(language, bytes, longest)) } else { Ok(reply) }
    });
    let took = elapsed(started, context.tools.clock.now());
    let asked = Action::named(&action);
    let (label, outcome, event) = match &answered {
        Ok(_) => ("ok", Outcome::Done(Change::Synced), Event::CallbackAnswered { action: asked }),
        Err(Refusal { label, text, .. }) => {
            let event = Event::CallbackRefused { action: asked, said: text.clone() };
            (*label, Outcome::AlreadyDone(Needless::Answered), event)
        }
    };
    context.tools.metrics.command(Kind::Callback, &outcome, took);
    context.tools.journal.write(Entry { story: vec![event], duration: Some(took), ..entry.outcome(label) });
    tracing::info!(
        integration = integration.0,
        action,
        outcome = label,
        traceparent = envelope.traceparent.as_deref(),
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "callback.answered"
    );
    answered.unwrap_or_else(|refusal| error(&refusal))
}

/// The integration a request is about; one that was made a moment ago is looked for.
async fn known(context: &CallbackContext, id: Option<IntegrationId>) -> Option<ActiveIntegration> {
    let id = id?;
    if let Some(active) = context.integrations.any(id) {
        return Some(active);
    }
    let _ = context.integrations.refresh().await;
    context.integrations.any(id)
}

/// What the handler answers while somebody waits for it. What waits for an order of its own accord
/// answers a moment before.
async fn answered(context: &CallbackContext, action: &str, request: Request, started: Timestamp) -> Answered {
    let (integration, language) = (request.active.id(), request.language());
    let Some(_place) = context.in_hand.take(integration) else { return Err(texts::too_many(language)) };
    let left = elapsed(started, request.answer_by);
    let handled = AssertUnwindSafe(dispatch(context, action, request)).catch_unwind();
    match tokio::time::timeout(left + TRAVEL / 5, handled).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_)) => {
            tracing::error!(integration = integration.0, action, "a callback's handler broke off");
            Err(texts::unavailable(language))
        }
        Err(_) => Err(texts::courier_away(language)),
    }
}

/// Clocks of two machines may differ: a worker never believes that more time is left than
/// a whole deadline, nor that none is.
fn answer_by(now: Timestamp, received_at: Timestamp, deadline: Duration) -> Timestamp {
    let least = now + deadline / 4;
    let most = now + deadline;
    (received_at + deadline).clamp(least, most) - TRAVEL.min(deadline / 8)
}

/// The order a request is about, for the journal.
fn number_of(request: &Value) -> Option<String> {
    ["orderNumber", "deliveryId"].iter().find_map(|name| request.get(*name)?.as_str().map(str::to_owned))
}

async fn dispatch(context: &CallbackContext, action: &str, request: Request) -> Answered {
    let language = request.language();
    // What concerns the connection itself, or only reads our own ledger, is always answered.
    match action {
        "activity" => return activity::activity(context, &request).await,
        "settings" => return activity::settings(context, &request).await,
        "get" => return get::get(context, &request).await,
        "check" => return check::check(context, &request).await,
        "prove" => return check::prove(context, &request).await,
        "code" => return check::code(context, &request).await,
        "connect" => return connect::connect(context, &request).await,
        "deliveryTypes" => return delivery_types::delivery_types(context, &request).await,
        _ => {}
    }
    if let IntegrationState::Paused { by, .. } = &request.active.integration.state {
        return Err(texts::paused(language, *by));
    }
    let settings = &request.active.integration.settings;
    if action == "save" && settings.is_shadow() && settings.live_delivery_types.is_empty() {
        return Err(texts::in_shadow(language));
    }
    match action {
        "calculate" => calculate::calculate(context, &request).await,
        "save" => save::save(context, &request).await,
        "delete" => delete::delete(context, &request).await,
        "print" => print::print(context, &request).await,
        "tariffList" => lists::tariffs(context, &request).await,
        "shipmentPointList" => lists::points(context, &request).await,
        _ => Err(Refusal::new("unknown_action", texts::unknown_action(language)).with_status(404)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("moment")
    }

    #[test]
    fn an_answer_leaves_before_its_caller_gives_up_whatever_the_clocks_say() {
        let deadline = Duration::from_secs(12);
        assert_eq!(answer_by(at(100), at(0), deadline), at(11_750));
        assert_eq!(answer_by(at(0), at(60_000), deadline), at(11_750), "the sender's clock is ahead");
        assert_eq!(answer_by(at(60_000), at(0), deadline), at(62_750), "it is behind, or the queue was slow");
    }

    #[test]
    fn a_short_deadline_leaves_time_to_answer() {
        assert_eq!(answer_by(at(0), at(0), Duration::from_millis(400)), at(350));
    }
}
