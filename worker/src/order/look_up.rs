//! Asking MeaSoft what became of our number: what is ours is taken over, and what a slow request
//! may still bring is waited for before «absent» is believed.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, ZonedDateTime};
use shared::domain::OrderNo;
use shared::domain::delivery::{CrmWritten, DeliveryState as S, Event};
use shared::measoft::{Done, StatusRow};
use shared::message::{Outcome, RetryWhy};
use shared::phrases::Detail;
use shared::reason;
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::decide::Presence;
use crate::order::desired::Desired;
use crate::order::figures;
use crate::order::recognise::{is_ours, shows};
use crate::order::report::shown;
use crate::order::take_over::{newest, phase, take_over};
use crate::order::town;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Asks what became of our number and takes over what is found.
pub(crate) async fn look_up(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    // Look-ups of unknown numbers are rationed: one right after the loss, the next when
    // a slow first request can no longer be under way.
    if attempt.held().state == S::Unknown
        && !attempt.began
        && let Some(not_before) = patience_ends(tools, active, attempt)
        && tools.clock.now() < not_before
    {
        return Err(Outcome::retry_at(RetryWhy::UnknownOutcome, Some(not_before)));
    }
    attempt.held_mut().requests += 1;
    let orderno = attempt.held().orderno.clone();
    let rows = rows_of(tools, active, attempt, &orderno).await?;
    attempt.verified = true;
    let now = tools.clock.now();
    let of_it = rows.iter().filter(|row| row.orderno.as_ref().is_none_or(|n| *n == orderno));
    let Some(row) = newest(of_it, attempt.held()) else { return absent(tools, active, attempt, now) };
    let (send_seq, served) = (attempt.intent.send_seq, attempt.intent.served);
    let d = attempt.held_mut();
    // Nothing was sent as far as the ledger knows, but a writer that lost its lease may have.
    if matches!(d.state, S::Planned | S::Rejected) {
        d.state = S::Unknown;
        // What that writer sent is not known in full.
        d.sending_hash = None;
        attempt.withdrawn = d.cancelled_by_us && send_seq <= served;
    }
    let cancel_open = attempt.is_cancel_open();
    if attempt.moves_in {
        // What is there is laid beside the order as it would be sent; an unclear town is told later.
        let _ = town::fill_in(tools, active, attempt).await;
    }
    adopt(tools, attempt, row, now)?;
    if cancel_open && attempt.held().state == S::Created {
        attempt.cancel_open = true;
        expect_late(tools, attempt);
        attempt.held_mut().sending.get_or_insert_default().cancel_unheard = true;
    }
    Ok(())
}

/// One request over the creation dates instead of one for each lost answer.
pub(crate) async fn look_up_batch(tools: &Tools, active: &ActiveIntegration, attempts: &mut [&mut Attempt]) {
    let now = tools.clock.now();
    // The courier's day may be ahead of or behind ours.
    let day = |span: Span| ZonedDateTime::new(now, TimeZone::UTC).checked_add(span).map(|z| z.date());
    let (Ok(from), Ok(to)) = (day(-1.day()), day(1.day())) else { return };
    let rows = match tools.ask(active, active.vendors.courier.status_by_created(from, to, Done::All)).await {
        Ok(Ok(rows)) => rows,
        // Each is looked up on its own when it comes due again.
        _ => return,
    };
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        let orderno = Some(attempt.held().orderno.clone());
        let step = match newest(rows.iter().filter(|row| row.orderno == orderno), attempt.held()) {
            Some(row) => adopt(tools, attempt, row, now),
            None => absent(tools, active, attempt, now),
        };
        attempt.close_on(step);
    }
}

/// What MeaSoft has under a number, and when it was asked: a row of the status stream that was
/// asked for before says nothing new.
pub(crate) async fn rows_of(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    orderno: &OrderNo,
) -> Step<Vec<StatusRow>> {
    let now = tools.store.agreed_now().await.map_err(|_| Outcome::retry(RetryWhy::Internal))?;
    attempt.looked_at = Some(now);
    tools.answer(active, active.vendors.courier.status_by_orderno(orderno)).await
}

/// The last write's outcome was never heard: it may be done after all that is done now.
pub(crate) fn expect_late(tools: &Tools, attempt: &mut Attempt) {
    let until = attempt.held().sent_at.and_then(|at| at.checked_add(tools.limits.call_limit).ok());
    attempt.late_until = attempt.late_until.max(until);
    // Kept for whoever serves a newer request before that moment.
    let kept = &mut attempt.held_mut().sending.get_or_insert_default().late_until;
    *kept = (*kept).max(until);
}

fn adopt(tools: &Tools, attempt: &mut Attempt, row: &StatusRow, now: Timestamp) -> Step {
    let lost = attempt.held().state.needs_lookup();
    if lost {
        let sent = attempt.held().sending.clone().unwrap_or_default();
        let fits = std::iter::once(&sent).chain(&sent.earlier).any(|sent| is_ours(row, sent, &tools.store.key));
        if !fits && !attempt.moves_in {
            let number = Detail::Number { orderno: attempt.held().orderno.to_string() };
            return Err(Outcome::GiveUp(reason::give_up(reason::CONFLICT, number)));
        }
        attempt.step(Event::Accepted);
        let moves_in = attempt.moves_in;
        let d = attempt.held_mut();
        // Which of several it is cannot be told: only a complete edit makes sure.
        d.sent_hash = d.sending_hash.take().filter(|_| sent.earlier.is_empty() && fits);
        d.reject_reason = None;
        let moved_in = moves_in && d.sent_hash.is_none();
        attempt.effect_at = Some(now);
        attempt.notes.push(if moved_in { Told::MovedIn } else { Told::Found });
        if moved_in {
            // What is as we would have placed it needs no edit.
            let key = &tools.store.key;
            let ours = |desired: &Desired| figures::of(&desired.order, key);
            let same = |desired: &&Desired| figures::differences(&ours(desired), row, key).is_empty();
            let hash = attempt.wanted().filter(same).map(|desired| desired.hash.clone());
            attempt.held_mut().sent_hash = hash;
        }
    }
    if attempt.intent.verify {
        // Another holder may have changed it and told RetailCRM so: only a complete edit
        // and telling it again make sure. Nobody changes what is not known to be placed,
        // and what nobody can change any more is as it was confirmed, if it looks so.
        let stays = !phase(row).is_editable() && attempt.wanted().is_some_and(|desired| shows(row, desired));
        let d = attempt.held_mut();
        if !lost && !stays {
            d.sent_hash = None;
        }
        d.crm_written = CrmWritten::default();
        // This look came too early for a write that may still arrive: another one follows.
        let late = d.sending.as_ref().and_then(|sent| sent.late_until).filter(|until| *until > now);
        attempt.late_until = attempt.late_until.max(late);
    }
    take_over(attempt, row);
    Ok(())
}

fn absent(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, now: Timestamp) -> Step {
    if !attempt.held().state.needs_lookup() {
        return Ok(());
    }
    let not_before = patience_ends(tools, active, attempt).unwrap_or(now);
    if now < not_before {
        attempt.notes.push(Told::NotShownYet);
        return Err(Outcome::retry_at(RetryWhy::UnknownOutcome, Some(not_before)));
    }
    never_arrived(attempt);
    attempt.notes.push(Told::NotThere);
    Ok(())
}

/// MeaSoft does not have what was sent. An order it had refused before is refused still, so
/// that an update keeps sending it.
pub(crate) fn never_arrived(attempt: &mut Attempt) {
    attempt.step(Event::FoundAbsent);
    if attempt.held().reject_reason.is_some() {
        attempt.step(Event::Refused);
    }
}

/// Until then a slow first request may still be under way, and «absent» proves nothing.
fn patience_ends(tools: &Tools, active: &ActiveIntegration, attempt: &Attempt) -> Option<Timestamp> {
    let recheck = tools.limits.unknown_recheck;
    // Only a send that follows would notice that the number has come to be taken.
    let resends = !attempt.requested().cancel
        && attempt.wanted().is_some()
        && attempt
            .order
            .as_ref()
            .is_some_and(|order| shown(order, attempt, active, &tools.module_code) == Presence::Ours);
    let patience = if resends { recheck } else { tools.limits.call_limit.max(recheck) };
    attempt.held().sent_at?.checked_add(patience).ok()
}
