//! One intent while it is worked on.

use jiff::Timestamp;
use shared::domain::{Delivery, Kopecks};
use shared::measoft::NewOrder;
use shared::message::{GiveUp, Outcome, RetryWhy};
use shared::retailcrm::wire::order::Order;
use shared::store::intents::Intent;

use crate::decide::Wanted;

/// The order as MeaSoft should hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub order: NewOrder,
    /// Sum the courier has to collect.
    pub collect: Kopecks,
    /// Of everything MeaSoft understands, without our number and its line codes.
    pub hash: String,
}

#[derive(Debug)]
pub struct Case {
    pub intent: Intent,
    pub order: Option<Order>,
    pub delivery: Option<Delivery>,
    /// `Err`: the order cannot be handed over as it is.
    pub desired: Option<Result<Desired, GiveUp>>,
    /// A write to MeaSoft or RetailCRM was begun under the present lease.
    pub began: bool,
    pub outcome: Option<Outcome>,
    /// The outcome is a reading that concluded nothing.
    pub read_again: bool,
    /// A look-up already answered a request to verify.
    pub verified: bool,
    /// When MeaSoft confirmed a change.
    pub effect_at: Option<Timestamp>,
    /// The decision in words, for the journal.
    pub told: Vec<String>,
}

impl Case {
    #[must_use]
    pub const fn new(intent: Intent) -> Self {
        Self {
            intent,
            order: None,
            delivery: None,
            desired: None,
            began: false,
            outcome: None,
            read_again: false,
            verified: false,
            effect_at: None,
            told: Vec::new(),
        }
    }

    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    pub fn close(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    pub fn retry(&mut self, why: RetryWhy, not_before: Option<Timestamp>) {
        self.close(Outcome::RetryLater { why, not_before });
    }

    pub fn give_up(&mut self, give_up: GiveUp) {
        self.close(Outcome::GiveUp(give_up));
    }

    /// What of the intent is not served yet.
    #[must_use]
    pub const fn wanted(&self) -> Wanted {
        let i = &self.intent;
        Wanted {
            send: i.send_seq > i.served,
            update: i.update_seq > i.served,
            cancel: i.cancel_seq > i.served,
            send_after_cancel: i.send_seq > i.cancel_seq,
        }
    }
}
