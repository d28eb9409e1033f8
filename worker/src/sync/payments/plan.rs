//! What is to be done about an order's payments, as it is written down. Pure.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use shared::domain::Kopecks;
use shared::phrases::{Detail, Details, Payment as Was, PaymentStep, Sum};
use shared::retailcrm::wire::order::{Order, Payment};

/// One change of a payment at RetailCRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Move {
    EditAmount {
        payment: i64,
        amount: Kopecks,
    },
    SetStatus {
        payment: i64,
        status: String,
    },
    Delete {
        payment: i64,
    },
    /// `tag` is its external id: by it a lost answer is recognised.
    Create {
        tag: String,
        kind: String,
        amount: Kopecks,
        status: Option<String>,
    },
}

/// A payment as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedPayment {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) status: Option<String>,
    pub(super) amount: Kopecks,
    #[serde(default)]
    pub(super) external_id: Option<String>,
    #[serde(default)]
    pub(super) paid_at: Option<DateTime>,
}

/// What is written down before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    seen: Vec<PlannedPayment>,
    /// Account time of the delivery's closing.
    pub(super) paid_at: Option<DateTime>,
    /// Steps are noted before they are begun. Plans of earlier releases did not: of those a
    /// payment that is gone may be of our own doing.
    #[serde(default)]
    notes_tries: bool,
    /// RetailCRM refused the new payment after the old one was removed, in these words: the old
    /// one is put back.
    #[serde(default)]
    pub(super) undo: Option<String>,
    /// The same in values, which earlier releases did not keep.
    #[serde(default)]
    pub(super) refused: Details,
    /// A payment of ours that an older plan left beside the one it was to replace: its removal
    /// takes nothing from the order.
    #[serde(default)]
    taken_back: Option<i64>,
}

/// The plan of a closing that newer facts overtook: what it left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeftBehind {
    Nothing,
    /// The new payment stands beside the one it was to replace: ours is taken back first.
    HalfReplaced(i64),
    /// All of it shows on the order: settled, though nobody wrote it down.
    CarriedOut,
    /// Somebody changed what we had begun.
    Changed(Detail),
}

impl Plan {
    pub(super) fn of(order: &Order, moves: Vec<Move>, paid_at: Option<DateTime>) -> Self {
        let seen = order
            .payments
            .iter()
            .map(|p| PlannedPayment {
                id: p.id,
                kind: p.kind.clone(),
                status: p.status.clone(),
                amount: p.amount,
                external_id: p.external_id.clone(),
                paid_at: p.paid_at,
            })
            .collect();
        Self { moves, seen, paid_at, notes_tries: true, undo: None, refused: Details::NONE, taken_back: None }
    }

    /// The same after a payment that an older plan of ours left half done is removed.
    pub(super) fn taking_back(self, payment: i64) -> Self {
        let moves = std::iter::once(Move::Delete { payment }).chain(self.moves).collect();
        Self { moves, taken_back: Some(payment), ..self }
    }

    /// Tag of the payment it makes, if it makes one.
    pub(super) fn tag(&self) -> Option<&str> {
        self.moves.iter().find_map(|m| if let Move::Create { tag, .. } = m { Some(tag.as_str()) } else { None })
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a plan serialises")
    }

    /// A payment that the plan made, or put back.
    fn is_ours(&self, payment: &Payment) -> bool {
        let tagged = |tag: &str| payment.external_id.as_deref() == Some(tag);
        self.moves.iter().any(|m| matches!(m, Move::Create { tag, .. } if tagged(tag)))
            || self.undo.is_some() && self.removed().any(|seen| tagged(&self.back_tag(seen)))
    }

    /// The external id of a payment that is put back: its own, or one made of the plan's tag.
    fn back_tag(&self, seen: &PlannedPayment) -> String {
        seen.external_id.clone().unwrap_or_else(|| format!("{}-back-{}", self.tag().unwrap_or_default(), seen.id))
    }

    /// What the plan removes of the order's own, as it was.
    fn removed(&self) -> impl Iterator<Item = &PlannedPayment> {
        self.moves.iter().filter_map(|m| match m {
            Move::Delete { payment } if self.taken_back != Some(*payment) => {
                self.seen.iter().find(|seen| seen.id == *payment)
            }
            _ => None,
        })
    }

    /// What is to be put back, with the external id by which it is recognised.
    pub(super) fn to_put_back(&self, order: &Order) -> Vec<(PlannedPayment, String)> {
        self.removed()
            .filter(|seen| order.payment(seen.id).is_none())
            .map(|seen| (seen.clone(), self.back_tag(seen)))
            .collect()
    }

    /// What does not fit: a payment that neither was there nor is ours, one that somebody else
    /// changed, or one that was removed before we began to. `tried` steps were begun.
    pub(super) fn conflict(&self, order: &Order, tried: u32) -> Option<Detail> {
        let changed = order.payments.iter().find_map(|p| {
            let Some(seen) = self.seen.iter().find(|seen| seen.id == p.id) else {
                return (!self.is_ours(p)).then(|| Detail::PaymentIsNew { payment: payment(p) });
            };
            let amounts = self.moves.iter().any(
                |m| matches!(m, Move::EditAmount { payment, amount } if *payment == p.id && *amount == p.amount),
            );
            let statuses = self.moves.iter().any(|m| {
                matches!(m, Move::SetStatus { payment, status } if *payment == p.id && Some(status) == p.status.as_ref())
            });
            let fits = seen.kind == p.kind
                && (seen.amount == p.amount || amounts)
                && (seen.status == p.status || statuses);
            let was = Sum { sum: seen.amount, kind: seen.kind.clone() };
            (!fits).then(|| Detail::PaymentChanged { id: p.id, now: sum(p), was })
        });
        changed.or_else(|| {
            self.moves.iter().enumerate().find_map(|(at, m)| match m {
                Move::Delete { payment }
                    if self.notes_tries && tried as usize <= at && order.payment(*payment).is_none() =>
                {
                    Some(Detail::PaymentGone { payment: self.was(*payment) })
                }
                _ => None,
            })
        })
    }

    /// Whether an order shows a step done.
    fn shows(&self, order: &Order, step: &Move) -> bool {
        match step {
            Move::EditAmount { payment, amount } => order.payment(*payment).is_some_and(|p| p.amount == *amount),
            Move::SetStatus { payment, status } => {
                order.payment(*payment).is_some_and(|p| p.status.as_ref() == Some(status))
            }
            Move::Delete { payment } => order.payment(*payment).is_none(),
            Move::Create { tag, .. } => order.payments.iter().any(|p| p.external_id.as_deref() == Some(tag)),
        }
    }

    /// What an interrupted plan left on the order.
    pub(super) fn left_behind(&self, order: &Order) -> LeftBehind {
        for m in &self.moves {
            let Move::Create { tag, kind, amount, status } = m else { continue };
            let Some(made) = order.payments.iter().find(|p| p.external_id.as_deref() == Some(tag)) else { continue };
            if self.removed().all(|seen| order.payment(seen.id).is_none()) {
                return LeftBehind::CarriedOut;
            }
            if made.kind != *kind || made.amount != *amount || made.status != *status {
                return LeftBehind::Changed(Detail::PaymentIs { id: made.id, now: sum(made) });
            }
            return LeftBehind::HalfReplaced(made.id);
        }
        let steps =
            self.moves.iter().filter(|m| !matches!(m, Move::Delete { payment } if self.taken_back == Some(*payment)));
        let mut shown = steps.map(|m| self.shows(order, m)).peekable();
        if shown.peek().is_some() && shown.all(|shown| shown) { LeftBehind::CarriedOut } else { LeftBehind::Nothing }
    }

    /// A payment as it was.
    fn was(&self, id: i64) -> Was {
        let seen = self.seen.iter().find(|seen| seen.id == id);
        Was { id, was: seen.map(|seen| (seen.amount, seen.kind.clone())) }
    }

    fn told(&self, step: &Move) -> PaymentStep {
        match step.clone() {
            Move::EditAmount { payment, amount } => PaymentStep::AmountSet { payment: self.was(payment), amount },
            Move::SetStatus { payment, status } => PaymentStep::Marked { payment: self.was(payment), status },
            Move::Delete { payment } => PaymentStep::Removed { payment: self.was(payment) },
            Move::Create { kind, amount, status: Some(status), .. } => PaymentStep::Entered { amount, kind, status },
            Move::Create { kind, amount, status: None, .. } => PaymentStep::EnteredAsUsual { amount, kind },
        }
    }

    fn all_told<'a>(&self, steps: impl IntoIterator<Item = &'a Move>) -> Vec<PaymentStep> {
        steps.into_iter().map(|step| self.told(step)).collect()
    }

    /// All of it, for the story.
    pub(super) fn steps(&self) -> Vec<PaymentStep> {
        self.all_told(&self.moves)
    }

    /// What was done and what was not, by the count of steps that are done.
    pub(super) fn progress(&self, done: usize) -> Details {
        let (done, left) = self.moves.split_at(done.min(self.moves.len()));
        [Detail::StepsDone { steps: self.all_told(done) }, Detail::StepsTried { steps: self.all_told(left) }].into()
    }

    /// The same by what an order shows.
    pub(super) fn progress_on(&self, order: &Order) -> Details {
        let (done, left): (Vec<&Move>, Vec<&Move>) = self.moves.iter().partition(|m| self.shows(order, m));
        [Detail::StepsDone { steps: self.all_told(done) }, Detail::StepsMeant { steps: self.all_told(left) }].into()
    }

    /// Old payment first, for a RetailCRM that takes no second one beside it.
    pub(super) fn removing_first(&self) -> Option<Self> {
        match self.moves.as_slice() {
            [create @ Move::Create { .. }, delete @ Move::Delete { .. }] => {
                Some(Self { moves: vec![delete.clone(), create.clone()], ..self.clone() })
            }
            _ => None,
        }
    }
}

/// As RetailCRM shows it.
pub(super) fn payment(p: &Payment) -> Was {
    Was { id: p.id, was: Some((p.amount, p.kind.clone())) }
}

fn sum(p: &Payment) -> Sum {
    Sum { sum: p.amount, kind: p.kind.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(payments: &serde_json::Value) -> Order {
        let text = json!({"id": 4817, "number": "A-1", "totalSumm": 1000, "payments": payments});
        shared::retailcrm::wire::order::read_single(&text).expect("an order")
    }

    fn old() -> serde_json::Value {
        json!({"id": 7, "type": "cash", "status": "not-paid", "amount": 1000})
    }

    fn new(id: i64) -> serde_json::Value {
        json!({"id": id, "type": "bank-card", "status": "paid", "amount": 900, "externalId": "t-1"})
    }

    fn create() -> Move {
        let (tag, kind, status) = ("t-1".into(), "bank-card".into(), Some("paid".into()));
        Move::Create { tag, kind, amount: Kopecks::roubles(900), status }
    }

    fn replacing() -> Plan {
        Plan::of(&order(&json!([old()])), vec![create(), Move::Delete { payment: 7 }], None)
    }

    #[test]
    fn a_plan_fits_what_it_has_done_itself_and_nothing_else() {
        let plan = replacing();
        assert_eq!(plan.conflict(&order(&json!([old()])), 0), None, "nothing done yet");
        assert_eq!(plan.conflict(&order(&json!([old(), new(8)])), 1), None, "entered");
        assert_eq!(plan.conflict(&order(&json!([new(8)])), 2), None, "replaced");
        assert!(plan.conflict(&order(&json!([new(8)])), 1).is_some(), "removed before we began to");
        assert!(plan.conflict(&order(&json!([])), 0).is_some(), "removed by hand");
        let mut theirs = new(9);
        theirs["externalId"] = json!("other");
        assert!(plan.conflict(&order(&json!([old(), theirs])), 0).is_some(), "somebody else's");
        let mut marked = old();
        marked["status"] = json!("paid");
        assert!(plan.conflict(&order(&json!([marked])), 0).is_some(), "marked by somebody else");
        let edits = vec![
            Move::EditAmount { payment: 7, amount: Kopecks::roubles(640) },
            Move::SetStatus { payment: 7, status: "paid".into() },
        ];
        let edits = Plan::of(&order(&json!([old()])), edits, None);
        let at = |status: &str, roubles: i64| {
            order(&json!([{"id": 7, "type": "cash", "status": status, "amount": roubles}]))
        };
        assert_eq!(edits.conflict(&at("not-paid", 640), 1), None, "half done");
        assert_eq!(edits.conflict(&at("paid", 640), 2), None, "done");
        assert!(edits.conflict(&at("not-paid", 700), 1).is_some());
    }

    #[test]
    fn a_plan_of_an_earlier_release_is_read_and_goes_on() {
        let text = r#"{"moves":[{"do":"delete","payment":7},{"do":"create","tag":"t-1","kind":"bank-card","amount":90000,
            "status":"paid"}],"seen":[{"id":7,"kind":"cash","status":"not-paid","amount":100000}],"paid_at":null}"#;
        let plan: Plan = serde_json::from_str(text).expect("readable");
        assert_eq!(plan.moves, [Move::Delete { payment: 7 }, create()]);
        assert_eq!(plan.conflict(&order(&json!([])), 0), None, "its removal may be of our own doing");
        assert_eq!(plan.to_put_back(&order(&json!([]))).len(), 1);
        assert_eq!(serde_json::from_str::<Plan>(&replacing().text()).expect("readable"), replacing());
    }

    #[test]
    fn what_an_interrupted_replacement_left_is_told_apart() {
        let plan = replacing();
        assert_eq!(plan.left_behind(&order(&json!([old()]))), LeftBehind::Nothing);
        assert_eq!(plan.left_behind(&order(&json!([old(), new(8)]))), LeftBehind::HalfReplaced(8));
        assert_eq!(plan.left_behind(&order(&json!([new(8)]))), LeftBehind::CarriedOut);
        let edit = vec![Move::SetStatus { payment: 7, status: "paid".into() }];
        let edit = Plan::of(&order(&json!([old()])), edit, None);
        assert_eq!(edit.left_behind(&order(&json!([old()]))), LeftBehind::Nothing);
        let mut marked = old();
        marked["status"] = json!("paid");
        assert_eq!(edit.left_behind(&order(&json!([marked]))), LeftBehind::CarriedOut);
        let mut changed = new(8);
        changed["amount"] = json!(5);
        assert!(matches!(plan.left_behind(&order(&json!([old(), changed]))), LeftBehind::Changed(_)));
    }

    #[test]
    fn what_was_removed_is_put_back_under_a_name_by_which_it_is_found_again() {
        let mut first = replacing().removing_first().expect("a replacement");
        assert_eq!(first.moves[0], Move::Delete { payment: 7 });
        let back = first.to_put_back(&order(&json!([])));
        assert_eq!((back[0].0.amount, back[0].1.as_str()), (Kopecks::roubles(1000), "t-1-back-7"));
        first.undo = Some("refused".into());
        let again =
            json!([{"id": 11, "type": "cash", "status": "not-paid", "amount": 1000, "externalId": "t-1-back-7"}]);
        assert_eq!(first.conflict(&order(&again), 2), None, "ours");
    }

    #[test]
    fn what_an_older_plan_left_is_removed_and_never_put_back() {
        let both = order(&json!([old(), new(8)]));
        let moves = vec![create(), Move::Delete { payment: 7 }];
        let plan = Plan::of(&both, moves, None).taking_back(8);
        assert_eq!(plan.moves[0], Move::Delete { payment: 8 });
        assert!(plan.to_put_back(&order(&json!([old()]))).is_empty());
        assert_eq!(plan.to_put_back(&order(&json!([]))).len(), 1, "the order's own");
        assert_eq!(plan.tag(), Some("t-1"));
    }

    #[test]
    fn letters_say_what_was_done_and_what_was_tried() {
        let plan = replacing();
        assert_eq!(
            plan.progress(1).to_string(),
            "done: 900.00 bank-card entered as paid; tried: payment 7 (1000.00 cash) removed"
        );
        assert!(plan.progress(0).to_string().starts_with("done: nothing; tried: 900.00"));
        assert!(plan.progress_on(&order(&json!([old(), new(8)]))).to_string().starts_with("done: 900.00 bank-card"));
    }
}
