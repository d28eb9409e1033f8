//! What MeaSoft's closing of a delivery means for the order's payments: newest facts alone,
//! and nothing that cannot be done is silent. Pure.

use jiff::ZonedDateTime;
use shared::domain::delivery::Phase;
use shared::domain::integration::PayKind;
use shared::domain::{Kopecks, Settings};
use shared::measoft::PayType;
use shared::message::GiveUp;
use shared::phrases::{Detail, Details, Sum};
use shared::reason;
use shared::retailcrm::wire::order::{Order, Payment};
use shared::story::Fits as Why;

use crate::order::money::is_at_the_door;
use crate::sync::facts::OrderSnapshot;
use crate::sync::payments::plan::Move;
use crate::vendor::references::References;

/// What is done about an order's payments.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Moves(Vec<Move>),
    /// The payments are as they should be, or nobody asked for them; and why.
    Fits(Why),
    GiveUp(GiveUp),
}

/// What a closing is compared with.
pub(super) struct Question<'a> {
    pub(super) order: &'a Order,
    pub(super) settings: &'a Settings,
    pub(super) references: &'a References,
    pub(super) facts: &'a OrderSnapshot,
    /// The module's instance code, with which our own payments are tagged.
    pub(super) code: &'a str,
    /// An earlier closing was settled: what does not fit now is a correction.
    pub(super) settled: bool,
    /// A person has seen the letter about it.
    pub(super) replayed: bool,
    /// Tags of payments that earlier plans made, there or not: none is used twice.
    pub(super) used: Option<&'a str>,
}

/// A payment that is not paid, and what is to be paid by it.
struct Left<'a> {
    payment: &'a Payment,
    sum: Kopecks,
}

impl Question<'_> {
    /// Decides.
    pub(super) fn decide(&self) -> Decision {
        use Decision::Fits;
        let Self { order, settings, references, facts, .. } = self;
        if settings.payment_status.is_none() && !settings.receive_payment {
            return Fits(Why::NotReceived);
        }
        // The preliminary COURIER… codes settle nothing (protocols/measoft.md#status-codes).
        if !facts.is_closed() {
            return Fits(Why::NotClosed);
        }
        if order.delivery.integration_code.as_deref().is_some_and(|instance| instance != self.code) {
            return Fits(Why::AnotherType);
        }
        let left = self.left();
        let Some(price) = facts.price.filter(|price| *price > Kopecks::ZERO) else { return self.no_money(&left) };
        if let Some(status) = &settings.payment_status
            && !references.has_status(status)
        {
            return give_up(reason::PAYMENT_STATUS_UNKNOWN, Detail::PaymentStatus { status: status.clone() });
        }
        match left.as_slice() {
            [] => self.nothing_left(price),
            [one] => self.one_left(one, price),
            several => give_up(reason::PAYMENT_SEVERAL, [self.collected(price), left_to_pay(several)]),
        }
    }

    fn paytype(&self) -> &str {
        self.facts.paytype.as_deref().unwrap_or("")
    }

    fn collected(&self, sum: Kopecks) -> Detail {
        Detail::Collected { sum, paytype: self.paytype().to_owned() }
    }

    fn is_paid(&self, payment: &Payment) -> bool {
        payment.status.as_deref().is_some_and(|status| self.references.is_complete(status))
    }

    /// Neither paid nor ended without money.
    fn is_open(&self, payment: &Payment) -> bool {
        !self.is_paid(payment) && !payment.status.as_deref().is_some_and(|status| self.settings.ends_payment(status))
    }

    /// Cash on delivery of the order's delivery type, as the sum to collect was decided.
    fn is_cod(&self, kind: &str) -> bool {
        let delivery_type = self.order.delivery.code.as_deref().unwrap_or("");
        is_at_the_door(self.settings, self.references, delivery_type, kind) == Some(true)
    }

    fn at_the_door(&self, payment: &Payment) -> bool {
        self.is_cod(&payment.kind) && !self.references.is_online(&payment.kind)
    }

    fn paid(&self) -> Kopecks {
        self.order.payments.iter().filter(|p| self.is_paid(p)).map(|p| p.amount).sum()
    }

    /// What is left to pay. A row at the door without a sum stands for the rest, if no other row
    /// at the door names one; once an earlier closing was settled it stands for nothing.
    fn left(&self) -> Vec<Left<'_>> {
        let unpaid = || self.order.payments.iter().filter(|p| self.is_open(p));
        let mut left: Vec<Left<'_>> = unpaid()
            .filter(|p| p.amount > Kopecks::ZERO)
            .map(|payment| Left { payment, sum: payment.amount })
            .collect();
        let named: Kopecks = left.iter().map(|left| left.sum).sum();
        let rest = Kopecks(self.order.total_summ.0 - self.paid().0 - named.0);
        if !self.settled && rest > Kopecks::ZERO && !left.iter().any(|left| self.at_the_door(left.payment)) {
            let open = unpaid().find(|p| p.amount.is_zero() && self.at_the_door(p));
            left.extend(open.map(|payment| Left { payment, sum: rest }));
        }
        left
    }

    /// MeaSoft shows nothing collected, less than nothing, or no sum at all: a person's, where
    /// something was to be collected. What was to be paid elsewhere is none of the courier's.
    fn no_money(&self, left: &[Left<'_>]) -> Decision {
        let refund = self.facts.price.is_some_and(|price| price < Kopecks::ZERO);
        if !refund && !left.iter().any(|left| self.at_the_door(left.payment)) {
            return Decision::Fits(Why::NothingCollected);
        }
        if left.is_empty() && self.replayed {
            return Decision::Fits(Why::RefundSeen);
        }
        let paytype = || self.paytype().to_owned();
        let shown =
            self.facts.price.map_or(Detail::MeasoftShowsNoSum, |sum| Detail::MeasoftShows { sum, paytype: paytype() });
        give_up(reason::PAYMENT_NOT_COLLECTED, [shown, left_to_pay(left)])
    }

    fn one_left(&self, left: &Left<'_>, price: Kopecks) -> Decision {
        use Decision::{Fits, Moves};
        let (settings, payment, paytype) = (self.settings, left.payment, self.paytype());
        let figures = || [self.collected(price), left_to_pay(std::slice::from_ref(left))];
        let differs = || give_up(reason::PAYMENT_DIFFERS, figures());
        if self.references.is_online(&payment.kind) {
            return give_up(reason::PAYMENT_ONLINE, figures());
        }
        // What the payment is to be: its status once it is of a COD type and its sum is MeaSoft's.
        let set_status = match &settings.payment_status {
            Some(status) if self.is_cod(&payment.kind) && payment.status.as_ref() != Some(status) => {
                Some(Move::SetStatus { payment: payment.id, status: status.clone() })
            }
            _ => None,
        };
        if !settings.receive_payment {
            return if !self.is_cod(&payment.kind) || left.sum != price {
                differs()
            } else {
                // A row without a sum is given the one it stands for: paid, nothing would be.
                let named = Move::EditAmount { payment: payment.id, amount: price };
                let named = (payment.amount != price).then_some(named);
                set_status.map_or(Fits(Why::HasStatus), |one| Moves(named.into_iter().chain([one]).collect()))
            };
        }
        let theirs = crm_type(settings, paytype);
        if self.is_same(payment, theirs.as_deref()) {
            let mut moves = Vec::new();
            if payment.amount != price {
                moves.push(Move::EditAmount { payment: payment.id, amount: price });
            }
            moves.extend(set_status);
            return if moves.is_empty() { Fits(Why::AsMeasoftSays) } else { Moves(moves) };
        }
        match self.usable(theirs, price) {
            Ok(theirs) => {
                let status =
                    settings.payment_status.clone().filter(|_| self.is_cod(&theirs)).or_else(|| payment.status.clone());
                // The new one first: whatever RetailCRM says to it, the order keeps a payment.
                Moves(vec![self.create(theirs, price, status), Move::Delete { payment: payment.id }])
            }
            Err(give_up) => Decision::GiveUp(give_up),
        }
    }

    /// Everything is paid, or there never was a payment.
    fn nothing_left(&self, price: Kopecks) -> Decision {
        let receives = self.settings.receive_payment;
        if !receives && !self.settled {
            return Decision::Fits(Why::NothingLeft);
        }
        let theirs = crm_type(self.settings, self.paytype());
        let accounted: Vec<i64> = self
            .order
            .payments
            .iter()
            .filter(|p| self.is_paid(p) && !self.references.is_online(&p.kind) && !self.was_paid_before(p))
            // Where types are not received, a sum is a sum.
            .filter(|p| if receives { self.is_same(p, theirs.as_deref()) } else { self.is_cod(&p.kind) })
            .map(|p| p.amount.0)
            .collect();
        if adds_up(&accounted, price.0) {
            return Decision::Fits(Why::EnteredBefore);
        }
        // The rest of the order had no payment of its own, and it is what was collected.
        let rest = Kopecks(self.order.total_summ.0 - self.paid().0);
        if rest == price && !self.settled {
            return match self.usable(theirs, price) {
                Ok(theirs) => {
                    let status = self.settings.payment_status.clone().filter(|_| self.is_cod(&theirs));
                    Decision::Moves(vec![self.create(theirs, price, status)])
                }
                Err(give_up) => Decision::GiveUp(give_up),
            };
        }
        let entered: Kopecks = accounted.into_iter().map(Kopecks).sum();
        let paid = Detail::PaidInAll { entered, paid: self.paid(), total: self.order.total_summ };
        give_up(reason::PAYMENT_UNEXPECTED, [self.collected(price), paid])
    }

    /// RetailCRM's type for MeaSoft's, if a payment can be made of it.
    fn usable(&self, theirs: Option<String>, price: Kopecks) -> Result<String, GiveUp> {
        let (paytype, sum) = (self.paytype().to_owned(), price);
        let unmapped = |detail: Detail| Err(reason::give_up(reason::PAYMENT_UNMAPPED, detail));
        let Some(theirs) = theirs else { return unmapped(Detail::PaytypeUnmapped { paytype, sum }) };
        if !self.references.has_type(&theirs) || self.references.is_online(&theirs) {
            return unmapped(Detail::PaytypeUnusable { paytype, kind: theirs, sum });
        }
        Ok(theirs)
    }

    fn create(&self, kind: String, amount: Kopecks, status: Option<String>) -> Move {
        let ids = self.order.payments.iter().filter_map(|p| p.external_id.as_deref());
        Move::Create { tag: next_tag(self.order, self.code, ids.chain(self.used)), kind, amount, status }
    }

    /// Paid the way MeaSoft says: by its very type, or by one that means the same at the door
    /// (a shop may have several of them).
    fn is_same(&self, payment: &Payment, theirs: Option<&str>) -> bool {
        if theirs == Some(payment.kind.as_str()) {
            return true;
        }
        let kind = match PayType::parse(self.paytype()) {
            Some(PayType::Cash) => PayKind::Cash,
            Some(PayType::Card) => PayKind::Card,
            Some(PayType::Other) => PayKind::Other,
            _ => return false,
        };
        self.is_cod(&payment.kind) && self.settings.pay_kind(&payment.kind) == kind
    }

    /// Paid on a day before the order was handed over: not by the courier. Where MeaSoft does
    /// not show when that was, nothing is held against a payment.
    fn was_paid_before(&self, payment: &Payment) -> bool {
        let handed_over = self.facts.events.iter().filter(|event| Phase::of(&event.code) == Phase::New);
        let Some(at) = handed_over.filter_map(|event| event.at).min() else { return false };
        let day = ZonedDateTime::new(at, self.references.zone.clone()).date();
        payment.paid_at.is_some_and(|paid| paid.date() < day)
    }
}

fn give_up(reason: &'static str, detail: impl Into<Details>) -> Decision {
    Decision::GiveUp(reason::give_up(reason, detail))
}

fn left_to_pay(left: &[Left<'_>]) -> Detail {
    Detail::LeftToPay { left: left.iter().map(|l| Sum { sum: l.sum, kind: l.payment.kind.clone() }).collect() }
}

/// Whether some of a few sums add up to another. Of very many only all together are looked at.
fn adds_up(sums: &[i64], target: i64) -> bool {
    if sums.len() > 12 {
        return sums.iter().sum::<i64>() == target;
    }
    (1..1_u32 << sums.len()).any(|chosen| {
        sums.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0).map(|(_, sum)| sum).sum::<i64>() == target
    })
}

/// RetailCRM's payment type for MeaSoft's (default: `CASH` and `CARD`, nothing else).
fn crm_type(settings: &Settings, paytype: &str) -> Option<String> {
    if let Some(code) = settings.payment_type_map.get(paytype) {
        return (!code.is_empty()).then(|| code.clone());
    }
    match PayType::parse(paytype) {
        Some(PayType::Cash) => Some("cash".to_owned()),
        Some(PayType::Card) => Some("bank-card".to_owned()),
        _ => None,
    }
}

/// `<instance>-<order id>-<n>`, with an `n` that none of these external ids has.
fn next_tag<'a>(order: &Order, code: &str, used: impl Iterator<Item = &'a str>) -> String {
    let prefix = format!("{code}-{}-", order.id);
    let numbers = used.filter_map(|id| id.strip_prefix(&prefix)?.split('-').next()?.parse::<u32>().ok());
    format!("{prefix}{}", numbers.max().unwrap_or(0) + 1)
}

#[cfg(test)]
mod tests;
