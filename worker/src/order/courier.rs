//! What is done at MeaSoft: create, look up, edit, cancel, each with what a lost answer
//! means. The ledger is written before a call that changes anything there.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, ZonedDateTime};
use shared::domain::delivery::{DeliveryState as S, Event, Phase};
use shared::domain::{Delivery, IntegrationState, OrderNo, PausedBy};
use shared::measoft::codes::UNKNOWN_CODE;
use shared::measoft::{Class, Done, MeasoftError, NewOrder, Op, StatusRow, Verdict};
use shared::message::{Change, GiveUp, Outcome, RetryWhy};
use shared::planted::{Bug, is_planted};
use shared::reason;
use shared::store::{self, StoreError};

use crate::order::attempt::Attempt;
use crate::order::decide::Shown;
use crate::order::desired::Desired;
use crate::order::recognise::{fingerprint, is_cancelled_by_client, is_ours, item_codes, shows, with_codes};
use crate::order::report::shown;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;
use crate::vendor::limiter::Ticket;

/// How old the ledger's word of a send may be when the request leaves: what a later look-up
/// finds, or does not, is judged by it.
const FRESH: Duration = Duration::from_secs(5);
/// Times it is written down anew; a ledger slower than that must not keep orders from going.
const FRESHENED: usize = 3;
/// Earlier sends under one number that are remembered.
const EARLIER: usize = 5;

/// How long after a write MeaSoft's lists may not show an order that it confirmed.
const NOT_SHOWN_YET: Duration = Duration::from_secs(10 * 60);
/// Delayed tries of what MeaSoft refuses with a code that nobody knows.
const UNKNOWN_TRIES: u32 = 2;

/// Tries after which a number that MeaSoft calls taken, and never shows, is a person's.
const TAKEN_TRIES: u32 = 5;

impl Tools {
    /// Passes the gate and makes one request; breakers learn from its result.
    pub async fn ask<T>(
        &self,
        active: &ActiveIntegration,
        call: impl Future<Output = Result<T, MeasoftError>>,
    ) -> Result<Result<T, MeasoftError>, Outcome> {
        self.ask_as(active, Priority::Interactive, call).await
    }

    /// The same with a say in who goes first.
    pub async fn ask_as<T>(
        &self,
        active: &ActiveIntegration,
        priority: Priority,
        call: impl Future<Output = Result<T, MeasoftError>>,
    ) -> Result<Result<T, MeasoftError>, Outcome> {
        let account = active.integration.courier_account();
        let ticket = self.limiter.pass(&account, priority).await?;
        Ok(made(ticket, call).await)
    }

    /// The outcome of a request that failed and changed nothing, or whose class needs no
    /// more knowledge of the order.
    pub async fn failure(&self, active: &ActiveIntegration, error: &MeasoftError) -> Outcome {
        let wait = error.retry_after().and_then(|pause| self.clock.now().checked_add(pause).ok());
        match error.class() {
            Class::Transient => Outcome::RetryLater { why: RetryWhy::CourierUnavailable, not_before: wait },
            Class::Blocked { .. } => Outcome::RetryLater { why: RetryWhy::CourierBlocked, not_before: wait },
            Class::UnknownOutcome => Outcome::RetryLater { why: RetryWhy::UnknownOutcome, not_before: wait },
            Class::Config => self.suspect_credentials(active, error.reason(), error.fault(), &error.to_string()).await,
            Class::Permanent | Class::AlreadyExists | Class::NotFound | Class::Bug => {
                let detail = match error {
                    // The vendor's own words, as managers know them.
                    MeasoftError::Refused { text, .. } if !text.trim().is_empty() => text.clone(),
                    other => other.to_string(),
                };
                Outcome::GiveUp(GiveUp { reason: error.reason(), fault: error.fault(), detail })
            }
        }
    }

    /// Code 1 is an auth failure in one table and bad XML in the other (measoft-api.md
    /// §22): only a failed probe pauses the integration.
    pub async fn suspect_credentials(
        &self,
        active: &ActiveIntegration,
        reason: &'static str,
        fault: shared::domain::Fault,
        detail: &str,
    ) -> Outcome {
        match self.ask(active, active.vendors.courier.probe()).await {
            Err(closed) => closed,
            Ok(Ok(_)) => Outcome::GiveUp(GiveUp { reason, fault, detail: detail.to_owned() }),
            Ok(Err(error)) if error.class() == Class::Config => {
                self.pause(active, PausedBy::Credentials(shared::domain::Fault::Courier), reason).await;
                Outcome::RetryLater { why: RetryWhy::Paused, not_before: None }
            }
            Ok(Err(_)) => Outcome::RetryLater { why: RetryWhy::CourierUnavailable, not_before: None },
        }
    }

    /// Takes an integration out of work; its commands wait.
    pub async fn pause(&self, active: &ActiveIntegration, by: PausedBy, reason: &str) {
        let state = IntegrationState::Paused { by, reason: reason.to_owned() };
        match self.store.set_state_as_seen(&active.integration, &state).await {
            Ok(true) => tracing::error!(
                integration = active.id().0,
                by = by.as_str(),
                reason,
                "integration paused: its commands wait; see `bridge integration show`"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "an integration could not be paused"),
        }
    }

    /// Places orders, several in one request. Cases whose answer was lost stay open in state
    /// `unknown`: a look-up follows.
    pub async fn create(&self, active: &ActiveIntegration, attempts: &mut [&mut Attempt]) {
        let account = active.integration.courier_account();
        let mut ticket = match self.limiter.pass(&account, Priority::Interactive).await {
            Ok(ticket) => ticket,
            Err(closed) => return attempts.iter_mut().for_each(|attempt| attempt.close(closed.clone())),
        };
        for _ in 0..FRESHENED {
            let now = self.clock.now();
            if let Err(error) = self.begin_sends(attempts, now).await {
                tracing::warn!(%error, "the ledger could not be written; nothing was sent");
                // One order's refused statement holds up no other.
                let alone = attempts.len() == 1 || error.is_the_databases();
                for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
                    if alone || self.begin_sends(&mut [&mut **attempt], now).await.is_err() {
                        attempt.began = false;
                        attempt.retry(RetryWhy::Internal, None);
                    }
                }
            }
            // The process may have stood still meanwhile: others may hold the lease by now,
            // and would count their patience from the moment written down.
            if self.clock.now().duration_since(now).unsigned_abs() < FRESH {
                break;
            }
        }
        let mut sending: Vec<&mut Attempt> =
            attempts.iter_mut().map(|c| &mut **c).filter(|attempt| attempt.is_open()).collect();
        let orders: Vec<NewOrder> =
            sending.iter().filter_map(|attempt| Some(desired_of(attempt)?.order.clone())).collect();
        if orders.is_empty() {
            return;
        }
        ticket.sends();
        let result = active.vendors.courier.new_orders(&orders).await;
        ticket.report(result.as_ref().map(|_| ()));
        let now = self.clock.now();
        match result {
            Ok(rows) => {
                for attempt in &mut sending {
                    let row = rows.iter().find(|row| delivery(attempt).orderno == row.orderno).cloned();
                    match row {
                        // No row: whether it arrived is not known.
                        None => answer_lost(attempt, now),
                        Some(row) => match row.verdict(Op::NewOrder) {
                            None => accepted(attempt, row.orderprice, now),
                            Some(verdict) => {
                                let text = row.text(shared::domain::Language::Ru).unwrap_or_default().to_owned();
                                self.refused(active, attempt, verdict, &text).await;
                            }
                        },
                    }
                }
            }
            Err(error) if error.class() == Class::UnknownOutcome => {
                sending.iter_mut().for_each(|attempt| {
                    answer_lost(attempt, now);
                    attempt.notes.push(format!("the answer was lost ({})", error.outcome()));
                });
                if sending.len() > 1 {
                    self.look_up_batch(active, &mut sending).await;
                }
            }
            Err(error) => {
                // Refused as a whole or never sent: no order of it was created.
                sending.iter_mut().for_each(|attempt| {
                    never_arrived(attempt);
                    attempt.began = false;
                });
                let alone = sending.len() == 1;
                let outcome = self.failure(active, &error).await;
                for attempt in &mut sending {
                    match &outcome {
                        // One bad order must not take the others with it: next time alone.
                        Outcome::GiveUp(_) if !alone => attempt.retry(RetryWhy::Internal, None),
                        Outcome::GiveUp(give_up)
                            if give_up.reason == UNKNOWN_CODE && attempt.intent.attempt < UNKNOWN_TRIES =>
                        {
                            attempt.retry(RetryWhy::CourierUnavailable, None);
                        }
                        Outcome::GiveUp(give_up) => {
                            step(attempt, Event::Refused);
                            delivery_mut(attempt).reject_reason = Some(give_up.reason.to_owned());
                            attempt.give_up(give_up.clone());
                        }
                        other => attempt.close(other.clone()),
                    }
                }
            }
        }
    }

    /// Writes `sending` for all of them in one commit. A case whose lease was lost is closed.
    /// What could not be written leaves the cases as they were.
    async fn begin_sends(&self, attempts: &mut [&mut Attempt], now: Timestamp) -> store::Result<()> {
        let before: Vec<Option<Delivery>> = attempts.iter().map(|attempt| attempt.delivery.clone()).collect();
        let open: Vec<bool> = attempts.iter().map(|attempt| attempt.is_open()).collect();
        let begun = self.announce(attempts, now).await;
        if begun.is_err() {
            for ((attempt, delivery), _) in attempts.iter_mut().zip(before).zip(open).filter(|(_, open)| *open) {
                attempt.outcome = None;
                attempt.delivery = delivery;
                // Its new number may be another order's by now: the next is looked for again.
                if matches!(begun, Err(StoreError::Refused(_)))
                    && let Some(cancelled) = attempt.cancelled.take()
                {
                    attempt.delivery = Some(*cancelled);
                    attempt.retired = None;
                    attempt.recreated = false;
                }
            }
        }
        begun
    }

    async fn announce(&self, attempts: &mut [&mut Attempt], now: Timestamp) -> store::Result<()> {
        let mut tx = self.store.db.begin().await?;
        for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
            let Some(desired) = desired_of(attempt).cloned() else { continue };
            let mut mark = fingerprint(&desired, &self.store.key);
            let fence_held = {
                let d = delivery_mut(attempt);
                d.state = d.state.after(Event::SendBegun).unwrap_or(S::Sending);
                if let Some(mut before) = d.sending.take() {
                    mark.earlier = std::mem::take(&mut before.earlier);
                    if d.sending_hash.as_ref() != Some(&desired.hash) {
                        mark.earlier.insert(0, before);
                        mark.earlier.truncate(EARLIER);
                    }
                }
                d.sending_hash = Some(desired.hash.clone());
                d.sending = Some(mark);
                d.sent_at = Some(now);
                d.cancelled_by_us = false;
                d.requests += 1;
                tx.save_delivery(d, false, now).await?
            };
            if fence_held {
                attempt.began = true;
                if let Some(retired) = &attempt.retired {
                    tx.keep_past(retired).await?;
                }
            } else {
                attempt.retry(RetryWhy::LeaseHeld, None);
            }
        }
        tx.commit().await
    }

    async fn refused(&self, active: &ActiveIntegration, attempt: &mut Attempt, verdict: Verdict, text: &str) {
        match verdict.class {
            Class::AlreadyExists => {
                // Perhaps an earlier try of ours: a look-up tells.
                step(attempt, Event::AnswerLost);
                attempt.notes.push("MeaSoft says the number is taken".to_owned());
                if attempt.intent.attempt >= TAKEN_TRIES {
                    attempt.give_up(reason::give_up(reason::CONFLICT, text));
                }
            }
            Class::Transient | Class::Blocked { .. } => {
                never_arrived(attempt);
                attempt.began = false;
                attempt.retry(RetryWhy::CourierUnavailable, None);
            }
            Class::UnknownOutcome => answer_lost(attempt, self.clock.now()),
            Class::Config => {
                step(attempt, Event::Refused);
                delivery_mut(attempt).reject_reason = Some(verdict.reason.to_owned());
                let outcome = self.suspect_credentials(active, verdict.reason, verdict.fault, text).await;
                attempt.close(outcome);
            }
            // Nobody knows what it means: it may pass.
            _ if verdict.reason == UNKNOWN_CODE && attempt.intent.attempt < UNKNOWN_TRIES => {
                never_arrived(attempt);
                attempt.began = false;
                attempt.notes.push(format!("refused in unknown words: {text}"));
                attempt.retry(RetryWhy::CourierUnavailable, None);
            }
            Class::Permanent | Class::NotFound | Class::Bug => {
                step(attempt, Event::Refused);
                delivery_mut(attempt).reject_reason = Some(verdict.reason.to_owned());
                attempt.give_up(GiveUp { reason: verdict.reason, fault: verdict.fault, detail: text.to_owned() });
            }
        }
    }

    /// One request over the creation dates instead of one for each lost answer.
    async fn look_up_batch(&self, active: &ActiveIntegration, attempts: &mut [&mut Attempt]) {
        let now = self.clock.now();
        // The courier's day may be ahead of or behind ours.
        let day = |span: Span| ZonedDateTime::new(now, TimeZone::UTC).checked_add(span).map(|z| z.date());
        let (Ok(from), Ok(to)) = (day(-1.day()), day(1.day())) else { return };
        let rows = match self.ask(active, active.vendors.courier.status_by_created(from, to, Done::All)).await {
            Ok(Ok(rows)) => rows,
            // Each case is looked up on its own when it comes due again.
            _ => return,
        };
        for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
            let orderno = delivery(attempt).orderno.clone();
            let found: Vec<&StatusRow> = rows.iter().filter(|row| row.orderno.as_ref() == Some(&orderno)).collect();
            match newest(&found, delivery(attempt)) {
                Some(row) => self.adopt(attempt, row, now),
                None => self.absent(active, attempt, now),
            }
        }
    }

    /// Asks what became of our number and takes over what is found. The case stays open when
    /// a decision can follow.
    pub async fn look_up(&self, active: &ActiveIntegration, attempt: &mut Attempt) {
        let orderno = delivery(attempt).orderno.clone();
        // Look-ups of unknown numbers are rationed: one right after the loss, the next when
        // a slow first request can no longer be under way.
        if delivery(attempt).state == S::Unknown
            && !attempt.began
            && let Some(not_before) = self.patience_ends(active, attempt)
            && self.clock.now() < not_before
        {
            return attempt.retry(RetryWhy::UnknownOutcome, Some(not_before));
        }
        delivery_mut(attempt).requests += 1;
        match self.look(active, attempt, &orderno).await {
            Err(closed) => attempt.close(closed),
            Ok(Err(error)) => {
                let outcome = self.failure(active, &error).await;
                attempt.close(outcome);
            }
            Ok(Ok(rows)) => {
                attempt.verified = true;
                let now = self.clock.now();
                let rows: Vec<&StatusRow> =
                    rows.iter().filter(|row| row.orderno.as_ref().is_none_or(|n| *n == orderno)).collect();
                match newest(&rows, delivery(attempt)) {
                    Some(row) => {
                        let d = delivery_mut(attempt);
                        // Nothing was sent as far as the ledger knows, but a writer that lost its
                        // lease may have.
                        if matches!(d.state, S::Planned | S::Rejected) {
                            d.state = S::Unknown;
                            // What that writer sent is not known in full.
                            d.sending_hash = None;
                            attempt.withdrawn = d.cancelled_by_us && attempt.intent.send_seq <= attempt.intent.served;
                        }
                        let cancel_open = delivery(attempt).state == S::Created && delivery(attempt).cancelled_by_us;
                        self.adopt(attempt, row, now);
                        if cancel_open && delivery(attempt).state == S::Created {
                            attempt.cancel_open = true;
                            self.expect_late(attempt);
                            delivery_mut(attempt).sending.get_or_insert_default().cancel_unheard = true;
                        }
                    }
                    None => self.absent(active, attempt, now),
                }
            }
        }
    }

    /// The last write's outcome was never heard: it may be done after all that is done now.
    fn expect_late(&self, attempt: &mut Attempt) {
        let until = delivery(attempt).sent_at.and_then(|at| at.checked_add(self.limits.call_limit).ok());
        attempt.late_until = attempt.late_until.max(until);
        // Kept for whoever serves a newer request before that moment.
        let kept = &mut delivery_mut(attempt).sending.get_or_insert_default().late_until;
        *kept = (*kept).max(until);
    }

    fn adopt(&self, attempt: &mut Attempt, row: &StatusRow, now: Timestamp) {
        let lost = delivery(attempt).state.needs_lookup();
        if lost {
            let sent = delivery(attempt).sending.clone().unwrap_or_default();
            if !std::iter::once(&sent).chain(&sent.earlier).any(|sent| is_ours(row, sent, &self.store.key)) {
                attempt.give_up(reason::give_up(reason::CONFLICT, format!("number {}", delivery(attempt).orderno)));
                return;
            }
            step(attempt, Event::Accepted);
            let d = delivery_mut(attempt);
            // Which of several it is cannot be told: only a complete edit makes sure.
            d.sent_hash = d.sending_hash.take().filter(|_| sent.earlier.is_empty());
            d.reject_reason = None;
            attempt.effect_at = Some(now);
            attempt.notes.push("found at MeaSoft under our number: taken over".to_owned());
        }
        if attempt.intent.verify {
            // Another holder may have changed it and told RetailCRM so: only a complete edit
            // and telling it again make sure. Nobody changes what is not known to be placed,
            // and what nobody can change any more is as it was confirmed, if it looks so.
            let stays = !phase(row).is_editable() && desired_of(attempt).is_some_and(|desired| shows(row, desired));
            let d = delivery_mut(attempt);
            if !lost && !stays {
                d.sent_hash = None;
            }
            d.crm_written = shared::domain::delivery::CrmWritten::default();
            // This look came too early for a write that may still arrive: another one follows.
            let late = d.sending.as_ref().and_then(|sent| sent.late_until).filter(|until| *until > now);
            attempt.late_until = attempt.late_until.max(late);
        }
        take_over(attempt, row);
    }

    fn absent(&self, active: &ActiveIntegration, attempt: &mut Attempt, now: Timestamp) {
        if !delivery(attempt).state.needs_lookup() {
            return;
        }
        let not_before = self.patience_ends(active, attempt).unwrap_or(now);
        if now < not_before {
            attempt.notes.push("MeaSoft does not show it yet".to_owned());
            attempt.retry(RetryWhy::UnknownOutcome, Some(not_before));
        } else {
            never_arrived(attempt);
            attempt.notes.push("MeaSoft does not have it".to_owned());
        }
    }

    /// Until then a slow first request may still be under way, and «absent» proves nothing.
    fn patience_ends(&self, active: &ActiveIntegration, attempt: &Attempt) -> Option<Timestamp> {
        let recheck = self.limits.unknown_recheck;
        // Only a send that follows would notice that the number has come to be taken.
        let resends = !attempt.requested().cancel
            && matches!(attempt.desired, Some(Ok(_)))
            && attempt
                .order
                .as_ref()
                .is_some_and(|order| shown(order, attempt, active, &self.module_code) == Shown::Ours);
        let patience = if resends { recheck } else { self.limits.call_limit.max(recheck) };
        delivery(attempt).sent_at?.checked_add(patience).ok()
    }

    /// Replaces an order that MeaSoft has not begun to work on, and reads it back.
    pub async fn edit(&self, active: &ActiveIntegration, attempt: &mut Attempt) {
        let Some(desired) = desired_of(attempt).cloned() else { return };
        let Some(row) = self.read(active, attempt).await else { return };
        let before = delivery(attempt).state;
        take_over(attempt, &row);
        if delivery(attempt).state != S::Created || !phase(&row).is_editable() {
            // The ledger was behind; decide again on what is true now.
            if delivery(attempt).state == before {
                attempt.give_up(reason::give_up(reason::TOO_LATE, status_words(&row)));
            }
            return;
        }
        let request = with_codes(&desired.order, &delivery(attempt).item_codes);
        let ticket = match self.limiter.pass(&active.integration.courier_account(), Priority::Interactive).await {
            Ok(ticket) => ticket,
            Err(closed) => return attempt.close(closed),
        };
        // An edit before this one has no outcome yet.
        if delivery(attempt).sending_hash.is_some() {
            self.expect_late(attempt);
        }
        let now = self.clock.now();
        // Until this edit's outcome is known, what MeaSoft holds is not: should the order be
        // changed back meanwhile, the old hash would call it up to date.
        let held_before = {
            let d = delivery_mut(attempt);
            d.sending_hash = Some(desired.hash.clone());
            d.sent_at = Some(now);
            d.requests += 2;
            d.sent_hash.take()
        };
        if !self.begin_change(attempt).await {
            return;
        }
        match made(ticket, active.vendors.courier.edit_order(&request)).await {
            Err(error) => {
                if error.class() != Class::UnknownOutcome {
                    not_changed(attempt, held_before);
                }
                let outcome = self.failure(active, &error).await;
                attempt.close(outcome);
            }
            Ok(answer) => {
                let refusal = answer
                    .verdict(Op::EditOrder)
                    .map(|v| (v, answer.text(shared::domain::Language::Ru).unwrap_or_default().to_owned()));
                let Some(row) = self.read(active, attempt).await else { return };
                take_over(attempt, &row);
                match refusal {
                    None if shows(&row, &desired) => {
                        let d = delivery_mut(attempt);
                        d.sent_hash = d.sending_hash.take();
                        d.sending.get_or_insert_default().undeclared_hash.clone_from(&desired.undeclared_hash);
                        d.price = row.price.or(Some(desired.collect));
                        attempt.effect_at = Some(self.clock.now());
                        attempt.close(Outcome::Done(Change::Updated));
                    }
                    None => attempt.give_up(reason::give_up(
                        reason::CHANGE_DROPPED,
                        format!(
                            "sum wanted {}, shown {}",
                            desired.collect,
                            row.price.map_or("none".to_owned(), |p| p.to_string())
                        ),
                    )),
                    Some(_) if delivery(attempt).state != S::Created => {
                        attempt.give_up(reason::give_up(reason::TOO_LATE, status_words(&row)));
                    }
                    Some((verdict, text)) => {
                        if verdict.class != Class::UnknownOutcome {
                            not_changed(attempt, held_before);
                        }
                        self.refused_change(active, attempt, verdict, &text).await;
                    }
                }
            }
        }
    }

    /// Cancels an order that MeaSoft has not begun to work on, and reads it back.
    pub async fn cancel(&self, active: &ActiveIntegration, attempt: &mut Attempt) {
        let ticket = match self.limiter.pass(&active.integration.courier_account(), Priority::Interactive).await {
            Ok(ticket) => ticket,
            Err(closed) => return attempt.close(closed),
        };
        // Marked before the call: should its outcome never be recorded, the next holder looks
        // before it takes the order for placed, and knows whose cancel it finds.
        let asked_before = delivery(attempt).cancelled_by_us;
        mark_cancel(delivery_mut(attempt));
        let (orderno, ordercode) = {
            let d = delivery_mut(attempt);
            d.requests += 2;
            d.sent_at = Some(self.clock.now());
            (d.orderno.clone(), d.ordercode.clone())
        };
        if !self.begin_change(attempt).await {
            return;
        }
        let answer = match made(ticket, active.vendors.courier.cancel_order(&orderno, ordercode.as_deref())).await {
            Err(error) if matches!(error.class(), Class::UnknownOutcome | Class::Transient | Class::Blocked { .. }) => {
                if error.class() != Class::UnknownOutcome {
                    delivery_mut(attempt).cancelled_by_us = asked_before;
                }
                let outcome = self.failure(active, &error).await;
                return attempt.close(outcome);
            }
            answer => answer,
        };
        let refusal = match &answer {
            Ok(row) => {
                row.verdict().map(|v| (v, row.text(shared::domain::Language::Ru).unwrap_or_default().to_owned()))
            }
            Err(MeasoftError::Refused { verdict, text, .. }) => Some((*verdict, text.clone())),
            Err(error) => {
                delivery_mut(attempt).cancelled_by_us = asked_before;
                let outcome = self.failure(active, error).await;
                return attempt.close(outcome);
            }
        };
        let row = match self.look(active, attempt, &orderno).await {
            Err(closed) => return attempt.close(closed),
            Ok(Err(error)) => {
                let outcome = self.failure(active, &error).await;
                return attempt.close(outcome);
            }
            Ok(Ok(rows)) => newest(&rows.iter().collect::<Vec<_>>(), delivery(attempt)).cloned(),
        };
        let now = self.clock.now();
        match row {
            // Confirmed minutes ago: that it does not show yet proves nothing.
            None if is_young(delivery(attempt), now) => self.not_shown_yet(attempt, now),
            // MeaSoft never had it, or has it no more: there is nothing left to cancel.
            None => {
                cancelled(attempt);
                attempt.close(Outcome::AlreadyDone("MeaSoft has no such order"));
            }
            Some(row) => match (phase(&row), refusal) {
                (Phase::NotDelivered, None) => {
                    cancelled(attempt);
                    let looked_at = attempt.looked_at;
                    remember_status(delivery_mut(attempt), &row, looked_at);
                    attempt.effect_at = Some(now);
                    attempt.close(Outcome::Done(Change::Cancelled));
                }
                (Phase::NotDelivered, Some(_)) => {
                    delivery_mut(attempt).cancelled_by_us = asked_before;
                    take_over(attempt, &row);
                    attempt.close(Outcome::AlreadyDone("cancelled before"));
                }
                (Phase::New, None) if attempt.intent.attempt < 3 => {
                    attempt.notes.push("the cancellation does not show yet".to_owned());
                    attempt.retry(RetryWhy::UnknownOutcome, now.checked_add(self.limits.unknown_recheck).ok());
                }
                (Phase::New, None) => attempt.give_up(reason::give_up(reason::CANCEL_DROPPED, "")),
                (Phase::New, Some((verdict, text))) => {
                    delivery_mut(attempt).cancelled_by_us = asked_before;
                    self.refused_change(active, attempt, verdict, &text).await;
                }
                _ => {
                    take_over(attempt, &row);
                    attempt.give_up(reason::give_up(reason::TOO_LATE, status_words(&row)));
                }
            },
        }
    }

    /// Asked again, later each time: look-ups of what is not there are rationed.
    fn not_shown_yet(&self, attempt: &mut Attempt, now: Timestamp) {
        attempt.notes.push("MeaSoft does not show the order yet".to_owned());
        let pause = self.limits.unknown_recheck * 2_u32.pow(attempt.intent.attempt.min(3));
        attempt.retry(RetryWhy::UnknownOutcome, now.checked_add(pause).ok());
    }

    /// An edit or cancel that MeaSoft refused although the order is untouched.
    async fn refused_change(&self, active: &ActiveIntegration, attempt: &mut Attempt, verdict: Verdict, text: &str) {
        match verdict.class {
            Class::Transient | Class::Blocked { .. } => attempt.retry(RetryWhy::CourierUnavailable, None),
            Class::UnknownOutcome => attempt.retry(RetryWhy::UnknownOutcome, None),
            Class::Config => {
                let outcome = self.suspect_credentials(active, verdict.reason, verdict.fault, text).await;
                attempt.close(outcome);
            }
            _ if verdict.reason == UNKNOWN_CODE && attempt.intent.attempt < UNKNOWN_TRIES => {
                attempt.retry(RetryWhy::CourierUnavailable, None);
            }
            _ => attempt.give_up(GiveUp { reason: verdict.reason, fault: verdict.fault, detail: text.to_owned() }),
        }
    }

    /// Asks MeaSoft for what it has under a number, and notes when: a row of the status stream
    /// that was asked for before says nothing new.
    async fn look(
        &self,
        active: &ActiveIntegration,
        attempt: &mut Attempt,
        orderno: &OrderNo,
    ) -> Result<Result<Vec<StatusRow>, MeasoftError>, Outcome> {
        attempt.looked_at = match self.store.agreed_now().await {
            Ok(now) => Some(now),
            Err(_) => return Err(Outcome::RetryLater { why: RetryWhy::Internal, not_before: None }),
        };
        self.ask(active, active.vendors.courier.status_by_orderno(orderno)).await
    }

    /// The order as MeaSoft has it; the case is closed when that cannot be told.
    async fn read(&self, active: &ActiveIntegration, attempt: &mut Attempt) -> Option<StatusRow> {
        let orderno = delivery(attempt).orderno.clone();
        match self.look(active, attempt, &orderno).await {
            Err(closed) => attempt.close(closed),
            Ok(Err(error)) => {
                let outcome = self.failure(active, &error).await;
                attempt.close(outcome);
            }
            Ok(Ok(rows)) => match newest(&rows.iter().collect::<Vec<_>>(), delivery(attempt)) {
                Some(row) => return Some(row.clone()),
                None if is_young(delivery(attempt), self.clock.now()) => self.not_shown_yet(attempt, self.clock.now()),
                None => attempt.give_up(GiveUp {
                    reason: "order_not_found_at_courier",
                    fault: shared::domain::Fault::Courier,
                    detail: format!("number {orderno}"),
                }),
            },
        }
        None
    }

    /// Writes down that a change is about to be asked for; nothing but the call may follow.
    /// False: the lease was lost, or the ledger is away, and the case is closed.
    async fn begin_change(&self, attempt: &mut Attempt) -> bool {
        for _ in 0..FRESHENED {
            let now = self.clock.now();
            match self.save(attempt, now).await {
                Ok(true) => {
                    attempt.began = true;
                    // The process may have stood still meanwhile, and others hold the lease by now.
                    if self.clock.now().duration_since(now).unsigned_abs() < FRESH {
                        break;
                    }
                }
                Ok(false) => {
                    attempt.retry(RetryWhy::LeaseHeld, None);
                    return false;
                }
                Err(_) => {
                    attempt.retry(RetryWhy::Internal, None);
                    return false;
                }
            }
        }
        true
    }

    async fn save(&self, attempt: &mut Attempt, now: Timestamp) -> store::Result<bool> {
        let mut tx = self.store.db.begin().await?;
        let held = tx.save_delivery(delivery(attempt), false, now).await?;
        tx.commit().await?;
        Ok(held)
    }
}

/// A call whose turn has come; breakers learn from its result.
async fn made<T>(mut ticket: Ticket, call: impl Future<Output = Result<T, MeasoftError>>) -> Result<T, MeasoftError> {
    ticket.sends();
    let result = call.await;
    ticket.report(result.as_ref().map(|_| ()));
    result
}

fn delivery(attempt: &Attempt) -> &Delivery {
    attempt.delivery.as_ref().expect("a case is worked on at MeaSoft only with its delivery leased")
}

fn delivery_mut(attempt: &mut Attempt) -> &mut Delivery {
    attempt.delivery.as_mut().expect("a case is worked on at MeaSoft only with its delivery leased")
}

fn desired_of(attempt: &Attempt) -> Option<&Desired> {
    attempt.desired.as_ref().and_then(|desired| desired.as_ref().ok())
}

fn step(attempt: &mut Attempt, event: Event) {
    let d = delivery_mut(attempt);
    match d.state.after(event) {
        Some(next) => d.state = next,
        None => tracing::error!(state = d.state.as_str(), ?event, "a move that cannot happen; the state stays"),
    }
}

/// Whether the request arrived is not known, and may not be for a while yet. It may have left
/// long after it was written down, had the process stood still in between.
fn answer_lost(attempt: &mut Attempt, now: Timestamp) {
    step(attempt, Event::AnswerLost);
    delivery_mut(attempt).sent_at = Some(now);
}

/// MeaSoft does not have what was sent. An order it had refused before is refused still, so
/// that an update keeps sending it.
fn never_arrived(attempt: &mut Attempt) {
    step(attempt, Event::FoundAbsent);
    if delivery(attempt).reject_reason.is_some() {
        step(attempt, Event::Refused);
    }
}

/// An edit that was certainly not made.
fn not_changed(attempt: &mut Attempt, held_before: Option<String>) {
    let late = attempt.late_until.is_some();
    let d = delivery_mut(attempt);
    d.sent_hash = held_before;
    // An earlier one may still be.
    if !late {
        d.sending_hash = None;
    }
}

fn cancelled(attempt: &mut Attempt) {
    let d = delivery_mut(attempt);
    d.state = S::Cancelled;
    mark_cancel(d);
}

/// We asked MeaSoft to cancel it. In state `created` it is not known yet whether it did.
fn mark_cancel(d: &mut Delivery) {
    d.cancelled_by_us = !is_planted(Bug::CancelForgotten);
}

fn accepted(attempt: &mut Attempt, orderprice: Option<shared::domain::Kopecks>, now: Timestamp) {
    step(attempt, Event::Accepted);
    let collect = desired_of(attempt).map(|desired| desired.collect);
    let d = delivery_mut(attempt);
    d.sent_hash = d.sending_hash.take();
    d.reject_reason = None;
    d.status = Some("NEW".to_owned());
    d.price = orderprice.or(collect);
    attempt.effect_at = Some(now);
    match (orderprice, collect) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            attempt.give_up(reason::give_up(reason::PRICE_MISMATCH, format!("ours {ours}, MeaSoft's {theirs}")));
        }
        _ => attempt.close(Outcome::Done(Change::Created)),
    }
}

fn is_young(d: &Delivery, now: Timestamp) -> bool {
    d.sent_at.is_some_and(|at| now.duration_since(at).unsigned_abs() < NOT_SHOWN_YET)
}

pub(crate) fn phase(row: &StatusRow) -> Phase {
    row.status.as_ref().map_or(Phase::New, |status| Phase::of(status.code.as_str()))
}

fn status_words(row: &StatusRow) -> String {
    row.status.as_ref().map_or_else(|| "no status".to_owned(), |status| format!("status {}", status.code))
}

fn remember_status(d: &mut Delivery, row: &StatusRow, looked_at: Option<Timestamp>) {
    // A code that nobody knows says nothing about where the order is.
    if let Some(status) = row.status.as_ref().filter(|status| status.code.is_known()) {
        d.status = Some(status.code.as_str().to_owned());
        d.status_at = status.createtime_gmt.or(d.status_at);
        d.status_seen_at = looked_at;
    }
    d.ordercode = row.ordercode.clone().or_else(|| d.ordercode.take());
}

/// Takes over what a row shows: number, line codes, sum, status and the state it implies.
pub(crate) fn take_over(attempt: &mut Attempt, row: &StatusRow) {
    let looked_at = attempt.looked_at;
    let d = delivery(attempt);
    let asked = attempt.intent.cancel_seq > 0 || d.sending.as_ref().is_some_and(|sent| sent.cancel_unheard);
    let d = delivery_mut(attempt);
    remember_status(d, row, looked_at);
    let codes = item_codes(row);
    if !codes.is_empty() {
        d.item_codes = codes;
    }
    d.price = row.price.or(d.price);
    let phase = phase(row);
    if phase == Phase::NotDelivered
        && d.state == S::Created
        && (d.cancelled_by_us || (asked && is_cancelled_by_client(row.deliveredto.as_deref())))
    {
        d.state = S::Cancelled;
        mark_cancel(d);
    } else if let Some(next) = d.state.after(Event::Reported(phase)) {
        // A cancel of ours that was under way has not come to anything.
        d.cancelled_by_us &= next == S::Cancelled;
        d.state = next;
    }
}

/// Numbers repeat over the years (measoft-api.md §10.1): ours is the one with our code,
/// else the newest that is not older than the delivery.
fn newest<'a>(rows: &[&'a StatusRow], d: &Delivery) -> Option<&'a StatusRow> {
    if let Some(code) = &d.ordercode
        && let Some(row) = rows.iter().find(|row| row.ordercode.as_ref() == Some(code))
    {
        return Some(row);
    }
    let made = |row: &StatusRow| row.status.as_ref().and_then(|status| status.createtime_gmt);
    // What another integration placed before us may be of any age.
    let never_sent = d.sent_hash.is_none() && d.sending_hash.is_none();
    let oldest_possible = d.created_at - 36.hours();
    rows.iter()
        .copied()
        .filter(|row| never_sent || made(row).is_none_or(|at| at >= oldest_possible))
        .max_by_key(|row| made(row))
}

/// Whether a resend would escape MeaSoft's check of repeats, which holds within one
/// calendar year only (measoft-api.md §7.5).
#[must_use]
pub fn year_changed(sent_at: Option<Timestamp>, now: Timestamp) -> bool {
    let year = |at: Timestamp| ZonedDateTime::new(at.checked_add(3.hours()).unwrap_or(at), TimeZone::UTC).year();
    sent_at.is_some_and(|at| year(at) != year(now))
}

/// Makes a new one of what we cancelled, under its next number.
pub fn next_generation(d: &mut Delivery, generation: u32, orderno: OrderNo) {
    d.generation = generation;
    d.orderno = orderno;
    d.state = d.state.after(Event::WantedAgain).unwrap_or(S::Planned);
    d.ordercode = None;
    d.status = None;
    d.status_at = None;
    d.status_seen_at = None;
    d.cancelled_by_us = false;
    d.sent_hash = None;
    d.sending_hash = None;
    d.sending = None;
    d.sent_at = None;
    d.price = None;
    d.item_codes.clear();
    d.crm_written = shared::domain::delivery::CrmWritten::default();
}
