//! One intent while it is worked on.

use jiff::Timestamp;
use shared::domain::Delivery;
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::measoft::codes::UNKNOWN_CODE;
use shared::message::{GiveUp, Outcome, RetryWhy};
use shared::retailcrm::wire::order::Order;
use shared::store::intents::Intent;
use shared::store::past_deliveries::PastDelivery;
use shared::store::shadow_orders::ShadowOrder;
use shared::story::{Event as Told, FieldChange};

use crate::order::decide::Requested;
use crate::order::desired::Desired;
use crate::order::saved_request::SavedRequest;

/// Delayed tries of what MeaSoft refuses with a code that nobody knows.
const UNKNOWN_TRIES: u32 = 2;

/// A step on an attempt's way. `Err`: what the attempt has come to, good or bad. `Ok`: it goes on,
/// and what is known by now is decided on.
pub type Step<T = ()> = Result<T, Outcome>;

#[derive(Debug)]
pub struct Attempt {
    pub intent: Intent,
    pub order: Option<Order>,
    pub delivery: Option<Delivery>,
    /// The delivery is over and forgotten.
    pub past: Option<PastDelivery>,
    /// The number it had before it is placed anew.
    pub retired: Option<PastDelivery>,
    /// `Err`: the order cannot be handed over as it is.
    pub desired: Option<Result<Desired, GiveUp>>,
    /// What a `save` said, as far as RetailCRM has not overtaken it.
    pub saved_request: SavedRequest,
    /// A `save` waits for this attempt.
    pub saving: bool,
    /// RetailCRM hears the result by the answer to its `save`, if it comes before this.
    pub answer_by: Option<Timestamp>,
    /// A write to MeaSoft or RetailCRM was begun under the present lease.
    pub began: bool,
    /// Until then an earlier edit or cancel, of which nobody heard again, may still be under way.
    pub late_until: Option<Timestamp>,
    /// It is a cancel, and MeaSoft did not show it yet.
    pub cancel_open: bool,
    pub outcome: Option<Outcome>,
    /// The outcome is a reading that concluded nothing.
    pub read_again: bool,
    /// It gave up, and RetailCRM could not be told at the moment: it is told later.
    pub unreported: bool,
    /// RetailCRM learned of a delivery that was placed before this attempt.
    pub reported_late: bool,
    /// When MeaSoft was last asked for it, by the clock that all processes see.
    pub looked_at: Option<Timestamp>,
    /// A look-up already answered a request to verify.
    pub verified: bool,
    /// The delivery had been withdrawn before anything of it was known to be at MeaSoft, and
    /// a create that came late has put it there.
    pub withdrawn: bool,
    /// It is placed anew under the next number.
    pub recreated: bool,
    /// The delivery as it was before it was placed anew.
    pub cancelled: Option<Box<Delivery>>,
    /// When MeaSoft confirmed a change.
    pub effect_at: Option<Timestamp>,
    /// What was met on the way, for the journal.
    pub notes: Vec<Told>,
    /// Nobody acts for the order: what is known of it, and then what would be done.
    pub shadow: Option<Box<ShadowOrder>>,
    /// Another integration may have placed it under the number that it would get.
    pub moves_in: bool,
    /// What of the parcel was changed, as far as MeaSoft shows it.
    pub changes: Vec<FieldChange>,
}

impl Attempt {
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            order: None,
            delivery: None,
            past: None,
            retired: None,
            desired: None,
            saved_request: SavedRequest::default(),
            saving: false,
            answer_by: None,
            began: false,
            late_until: None,
            cancel_open: false,
            outcome: None,
            read_again: false,
            unreported: false,
            reported_late: false,
            looked_at: None,
            verified: false,
            withdrawn: false,
            recreated: false,
            cancelled: None,
            effect_at: None,
            notes: Vec::new(),
            shadow: None,
            moves_in: false,
            changes: Vec::new(),
        }
    }

    /// The order as it is to be handed over, if it can be.
    pub fn wanted(&self) -> Option<&Desired> {
        self.desired.as_ref().and_then(|desired| desired.as_ref().ok())
    }

    /// The delivery that is leased for it: nothing is done at MeaSoft without.
    pub(crate) const fn held(&self) -> &Delivery {
        self.delivery.as_ref().expect("an order is worked on at MeaSoft only with its delivery leased")
    }

    pub(crate) const fn held_mut(&mut self) -> &mut Delivery {
        self.delivery.as_mut().expect("an order is worked on at MeaSoft only with its delivery leased")
    }

    pub(crate) fn step(&mut self, event: Event) {
        let d = self.held_mut();
        match d.state.after(event) {
            Some(next) => d.state = next,
            None => tracing::error!(state = d.state.as_str(), ?event, "a move that cannot happen; the state stays"),
        }
    }

    /// MeaSoft refused it in words that nobody knows: it may pass.
    pub(crate) fn may_pass(&self, reason: &str) -> bool {
        reason == UNKNOWN_CODE && self.intent.attempt < UNKNOWN_TRIES
    }

    /// A cancel of ours that nobody recorded the outcome of.
    pub(crate) fn is_cancel_open(&self) -> bool {
        self.delivery.as_ref().is_some_and(|d| d.state == S::Created && d.cancelled_by_us)
    }

    /// MeaSoft was sent what would be sent now.
    pub fn is_as_wanted(&self) -> bool {
        let wanted = self.wanted().map(|desired| desired.hash.as_str());
        wanted.is_some() && self.delivery.as_ref().is_some_and(|d| d.sent_hash.as_deref() == wanted)
    }

    pub const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    pub fn close(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    pub fn close_on(&mut self, step: Step) {
        if let Err(outcome) = step {
            self.close(outcome);
        }
    }

    pub fn retry(&mut self, why: RetryWhy, not_before: Option<Timestamp>) {
        self.close(Outcome::retry_at(why, not_before));
    }

    pub fn give_up(&mut self, give_up: GiveUp) {
        self.close(Outcome::GiveUp(give_up));
    }

    /// RetailCRM may be behind: this reading concluded nothing.
    pub(crate) const fn read_again(&mut self) -> Outcome {
        self.read_again = true;
        Outcome::retry(RetryWhy::CrmLag)
    }

    /// RetailCRM itself withdrew the delivery, and nothing newer wants it again.
    pub fn is_withdrawn(&self) -> bool {
        let wanted = self.requested();
        wanted.cancel && !wanted.send_after_cancel && self.intent.candidates.iter().any(|c| c.is_withdrawn())
    }

    /// What of the intent is not served yet. A request to verify opens the last cancel
    /// again, a create that came late may have passed it; or the send that followed it, which
    /// a late cancel may have undone.
    pub const fn requested(&self) -> Requested {
        let i = &self.intent;
        Requested {
            send: i.send_seq > i.served || self.recreated,
            update: i.update_seq > i.served,
            cancel: i.cancel_seq > i.served || self.withdrawn || (i.verify && i.cancel_seq > i.send_seq),
            send_after_cancel: i.send_seq > i.cancel_seq,
            send_again: i.verify && i.cancel_seq > 0 && i.send_seq > i.cancel_seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::domain::{CrmOrderId, IntegrationId, OrderNumber};

    use super::*;

    fn requested(served: i64, send: i64, update: i64, cancel: i64, verify: bool) -> Requested {
        let at = Timestamp::UNIX_EPOCH;
        Attempt::new(Intent {
            id: 1,
            integration: IntegrationId(1),
            number: OrderNumber::parse("1").expect("a number"),
            order: Some(CrmOrderId(1)),
            delivery: None,
            requested: served.max(send).max(update).max(cancel),
            served,
            send_seq: send,
            update_seq: update,
            cancel_seq: cancel,
            candidates: Vec::new(),
            declared: None,
            verify,
            due_at: at,
            attempt: 0,
            rereads: 0,
            spent: Duration::ZERO,
            wanted_at: at,
            send_at: None,
            generation: 0,
            traceparent: None,
            fence: 1,
        })
        .requested()
    }

    #[test]
    fn what_was_served_is_not_wanted_again() {
        let w = requested(2, 1, 3, 2, false);
        assert_eq!((w.send, w.update, w.cancel, w.send_after_cancel), (false, true, false, false));
        let w = requested(2, 3, 0, 2, false);
        assert_eq!((w.send, w.update, w.cancel, w.send_after_cancel), (true, false, false, true));
    }

    #[test]
    fn a_doubt_opens_the_last_cancel_again_unless_a_send_followed_it() {
        assert!(requested(2, 1, 0, 2, true).cancel);
        assert!(!requested(2, 2, 0, 1, true).cancel);
        assert!(!requested(2, 2, 0, 0, true).cancel, "nothing was ever cancelled");
        assert!(!requested(2, 1, 0, 2, true).send && !requested(2, 1, 0, 2, true).update);
    }
}
