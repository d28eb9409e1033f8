//! Whether a trigger of an order was missed. Pure.

use shared::domain::delivery::DeliveryState as S;
use shared::domain::{Delivery, Integration, IntegrationId, OrderNumber};
use shared::message::{Candidate, Command};
use shared::retailcrm::wire::order::Order;
use shared::store::intents::Intent;
use shared::story::Event;
use shared::telemetry::metrics::Repair;

/// What has to be made good about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    Send,
    Update,
    Cancel,
    /// The order is gone from RetailCRM: deleted, or combined into another.
    Gone,
}

impl Missed {
    pub(super) const fn event(self) -> Event {
        match self {
            Self::Send => Event::MissedSend,
            Self::Update => Event::MissedUpdate,
            Self::Cancel => Event::MissedCancel,
            Self::Gone => Event::OrderGone,
        }
    }

    pub(super) const fn repair(self) -> Repair {
        match self {
            Self::Send => Repair::Send,
            Self::Update => Repair::Update,
            Self::Cancel | Self::Gone => Repair::Cancel,
        }
    }

    /// What is asked for in place of the trigger.
    pub(crate) fn command(
        self,
        number: OrderNumber,
        delivery: Option<&Delivery>,
        integration: IntegrationId,
    ) -> Command {
        let declared = None;
        let cancel = |number, candidate| Command::CancelOrder { number, declared, candidates: vec![candidate] };
        match self {
            Self::Send => Command::SendOrder { number, declared },
            Self::Update => Command::UpdateOrder { number, declared },
            // Its delivery type says nothing any more.
            Self::Gone => cancel(number, Candidate::withdrawn(integration)),
            Self::Cancel => {
                let delivery_type = delivery.map_or("", |d| d.delivery_type.as_str());
                cancel(number, Candidate::of(delivery_type, integration))
            }
        }
    }
}

/// What a changed order looks like beside what was done about it.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    pub order: &'a Order,
    /// Its delivery type belongs to this integration.
    pub ours: bool,
    /// `None`: not in the ledger.
    pub delivery: Option<&'a Delivery>,
    /// What triggers asked for so far.
    pub intent: Option<&'a Intent>,
    /// Hash of what would be sent now; `None`: it cannot be sent as it is.
    pub hash: Option<&'a str>,
    /// The order is no older than the integration.
    pub young: bool,
    /// Another database server took over, and MeaSoft was not looked at since.
    pub doubted: bool,
    /// MeaSoft has a parcel of it that the ledger does not know.
    pub left_there: bool,
}

/// Decides whether a trigger was missed.
pub fn missed(found: &Changed<'_>, integration: &Integration) -> Option<Missed> {
    let settings = &integration.settings;
    // A trigger is on its way to its effect; of a ledger in doubt it may be another one.
    if !found.doubted && found.intent.is_some_and(|intent| intent.requested > intent.served) {
        return None;
    }
    if !found.ours {
        let asked = found.intent.is_some_and(|intent| intent.cancel_seq > intent.send_seq);
        let is_live = |d: &Delivery| matches!(d.state, S::Sending | S::Unknown | S::Created | S::InWork);
        let live = found.delivery.is_some_and(is_live);
        return (found.left_there || (live && !asked)).then_some(Missed::Cancel);
    }
    let to_be_sent = found.young && settings.send_statuses.contains(&found.order.status);
    // It was sent and lost, and has gone on in RetailCRM since: a change finds its parcel.
    if found.left_there && !to_be_sent {
        return Some(Missed::Update);
    }
    let Some(d) = found.delivery else { return to_be_sent.then_some(Missed::Send) };
    let shown = match d.state {
        // Nothing reached MeaSoft: what stood against it may be mended.
        S::Planned => (to_be_sent && found.hash.is_some()).then_some(Missed::Send),
        S::Rejected => (found.hash.is_some() && found.hash != d.sending_hash.as_deref()).then_some(Missed::Update),
        S::Created => {
            let differs = found.hash.is_some() && found.hash != d.sent_hash.as_deref();
            (differs && settings.allow_edit_cancel).then_some(Missed::Update)
        }
        _ => None,
    };
    // What the ledger lost may have been a cancel, or the send after one.
    let again = found.doubted && matches!(d.state, S::Rejected | S::Created | S::Cancelled | S::NotDelivered);
    if again && to_be_sent { Some(Missed::Send) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{delivery, integration};

    fn order(status: &str) -> Order {
        let text =
            json!({"id": 4817, "number": "A-1", "status": status, "totalSumm": 1000, "delivery": {"code": "incity"}});
        shared::retailcrm::wire::order::read_single(&text).expect("an order")
    }

    #[test]
    fn the_table_of_missed_triggers() {
        let mut active = integration();
        active.settings.send_statuses = vec!["SentMeaSoft".into()];
        let with = |state, sent: Option<&str>| {
            let mut d = delivery(state);
            d.sent_hash = sent.map(str::to_owned);
            d.sending_hash = sent.map(str::to_owned);
            Some(d)
        };
        // Name; ours; status; ledger; hash now; what was missed.
        type Attempt = (&'static str, bool, &'static str, Option<Delivery>, Option<&'static str>, Option<Missed>);
        let cases: Vec<Attempt> = vec![
            ("to be sent and never was", true, "SentMeaSoft", None, None, Some(Missed::Send)),
            ("not to be sent yet", true, "new", None, None, None),
            ("another's order", false, "SentMeaSoft", None, None, None),
            ("stood against it, still does", true, "SentMeaSoft", with(S::Planned, None), None, None),
            ("stood against it, mended", true, "SentMeaSoft", with(S::Planned, None), Some("b"), Some(Missed::Send)),
            ("rejected, unchanged", true, "SentMeaSoft", with(S::Rejected, Some("a")), Some("a"), None),
            ("rejected, mended", true, "SentMeaSoft", with(S::Rejected, Some("a")), Some("b"), Some(Missed::Update)),
            ("placed as it is", true, "SentMeaSoft", with(S::Created, Some("a")), Some("a"), None),
            ("placed and changed", true, "new", with(S::Created, Some("a")), Some("b"), Some(Missed::Update)),
            ("placed, now unfit", true, "new", with(S::Created, Some("a")), None, None),
            ("in work and changed", true, "new", with(S::InWork, Some("a")), Some("b"), None),
            ("ended", true, "SentMeaSoft", with(S::Delivered, Some("a")), Some("b"), None),
            ("cancelled by us", true, "SentMeaSoft", with(S::Cancelled, Some("a")), Some("b"), None),
            ("left while placed", false, "new", with(S::Created, Some("a")), None, Some(Missed::Cancel)),
            ("left while in work", false, "new", with(S::InWork, Some("a")), None, Some(Missed::Cancel)),
            ("left after its end", false, "new", with(S::NotDelivered, Some("a")), None, None),
            ("left before it was sent", false, "new", with(S::Planned, None), None, None),
        ];
        for (name, ours, status, d, hash, expected) in cases {
            let order = order(status);
            let found = Changed {
                order: &order,
                ours,
                delivery: d.as_ref(),
                intent: None,
                hash,
                young: true,
                doubted: false,
                left_there: false,
            };
            assert_eq!(missed(&found, &active), expected, "{name}");
        }
    }

    #[test]
    fn while_the_ledger_is_in_doubt_what_is_to_be_sent_is_asked_for_again() {
        let (sent, later, mut active) = (order("SentMeaSoft"), order("assembling"), integration());
        active.settings.send_statuses = vec!["SentMeaSoft".into()];
        let d = |state| Some(delivery(state));
        let cases = [
            ("cancelled, or placed anew and lost", &sent, true, d(S::Cancelled), false, Some(Missed::Send)),
            ("placed, or cancelled and lost", &sent, true, d(S::Created), false, Some(Missed::Send)),
            ("the courier works on it", &sent, true, d(S::InWork), false, None),
            ("ended", &sent, true, d(S::Delivered), false, None),
            ("another's, and nothing of it there", &sent, false, d(S::Cancelled), false, None),
            ("another's, and there is something of it", &sent, false, d(S::Cancelled), true, Some(Missed::Cancel)),
            ("never heard of, and there is something of it", &sent, false, None, true, Some(Missed::Cancel)),
            ("sent and lost", &sent, true, None, true, Some(Missed::Send)),
            ("sent and lost, and gone on since", &later, true, None, true, Some(Missed::Update)),
            ("placed anew and lost, and gone on since", &later, true, d(S::Cancelled), true, Some(Missed::Update)),
            ("placed, and gone on since", &later, true, d(S::Created), false, None),
        ];
        for (name, order, ours, d, left_there, expected) in cases {
            let delivery = d.as_ref();
            let found =
                Changed { order, ours, delivery, intent: None, hash: None, young: true, doubted: true, left_there };
            assert_eq!(missed(&found, &active), expected, "{name}");
        }
    }

    #[test]
    fn an_order_older_than_the_integration_and_one_without_send_statuses_are_never_sent() {
        let order = order("SentMeaSoft");
        let mut active = integration();
        let mut found = Changed {
            order: &order,
            ours: true,
            delivery: None,
            intent: None,
            hash: None,
            young: true,
            doubted: false,
            left_there: false,
        };
        assert_eq!(missed(&found, &active), None, "no send statuses");
        active.settings.send_statuses = vec!["SentMeaSoft".into()];
        assert_eq!(missed(&found, &active), Some(Missed::Send));
        found.young = false;
        assert_eq!(missed(&found, &active), None);
    }
}
