//! What the courier collects: one rule for every order, however it came
//! (for accountants: `deploy/manager/money.ru.md`).
//!
//! total = paid + to be paid online + collected at the door + uncovered rest
//!
//! Nothing else decides a sum. What does not add up is refused with the figures.

use shared::domain::integration::{CodPolicy, NoPayment, PayKind, UncoveredRest};
use shared::domain::{Kopecks, Settings};
use shared::measoft::PayType;
use shared::message::GiveUp;
use shared::phrases::{Detail, Details};
use shared::reason;
use shared::retailcrm::wire::order::{Order, Payment};

use crate::order::reading::rounding_of;
use crate::vendor::references::References;

/// How an order's total is paid. The four parts add up to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    pub total: Kopecks,
    /// Paid before, at most the total.
    pub paid: Kopecks,
    /// Still to be paid, but not to the courier.
    pub online: Kopecks,
    /// To be collected at the door.
    pub collect: Kopecks,
    /// Covered by no payment, and not collected because the shop said so.
    pub uncovered: Kopecks,
    /// [`PayType::No`] just when nothing is collected.
    pub paytype: PayType,
}

impl Money {
    /// What MeaSoft is shown as paid before: all that the courier does not collect.
    pub fn prepayment(&self) -> Kopecks {
        self.total - self.collect
    }

    /// Nothing is left to chance: the parts add up, and a sum has a way to be paid.
    pub fn adds_up(&self) -> bool {
        let parts = [self.paid, self.online, self.collect, self.uncovered];
        let sum = parts.into_iter().try_fold(Kopecks::ZERO, Kopecks::checked_add);
        sum == Some(self.total)
            && parts.iter().all(|part| *part >= Kopecks::ZERO)
            && (self.paytype == PayType::No) == self.collect.is_zero()
    }
}

/// What RetailCRM itself said is to be collected, in a `save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    pub collect: Kopecks,
    /// Payment type it is to be paid by.
    pub kind: Option<&'a str>,
}

/// What a payment row means for the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    Paid,
    /// Ended without money: failed, given back.
    Ended,
    /// Unpaid, and not paid to the courier.
    Online,
    AtTheDoor(PayType),
    /// Neither RetailCRM nor the settings tell how it is paid.
    Unclear,
}

/// A payment row as the rule sees it. An amount of zero is no amount: RetailCRM lets modules
/// leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    pub kind: &'a str,
    pub amount: Kopecks,
    pub means: Means,
    /// Its status is a shop's own, of which nobody has said whether it ends the payment.
    pub suspects: bool,
}

/// Why no sum is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused<'a> {
    /// The rows ask for another sum than what is left.
    Mismatch,
    /// They ask for what is left, and RetailCRM named another sum in its `save`.
    Contradicted,
    Unclear(&'a str),
    WithoutAmount(&'a str),
    NoPayment,
    Uncovered(Kopecks),
    TooLarge,
}

/// The sum to collect for an order, with what a `save` said of it while that is valid.
/// `Err`: what does not add up, with the figures, for the shop's manager.
pub fn money(
    order: &Order,
    settings: &Settings,
    references: &References,
    said: Option<Said<'_>>,
) -> Result<Money, GiveUp> {
    let rows: Vec<Row<'_>> = order.payments.iter().map(|p| row(order, p, settings, references, said)).collect();
    let decided = match settings.cod_policy {
        CodPolicy::AsVendor => as_vendor(order, settings, said, &rows),
        CodPolicy::ByPaymentType => by_rows(order, settings, said, &rows),
    };
    match decided {
        Ok(money) if money.adds_up() => Ok(money),
        Ok(_) => Err(refusal(order, &rows, said, Refused::TooLarge)),
        Err(refused) => Err(refusal(order, &rows, said, refused)),
    }
}

/// Whether the sum hangs on lists that may have changed since they were read: a name they do
/// not have, or nothing collected although not all is paid.
pub fn hangs_on_lists(order: &Order, settings: &Settings, references: &References, said: Option<Said<'_>>) -> bool {
    if order.payments.is_empty() {
        return false;
    }
    let is_paid = |p: &&Payment| p.status.as_deref().is_some_and(|status| references.is_complete(status));
    let paid: Kopecks = order.payments.iter().filter(is_paid).map(|p| p.amount).sum();
    let collects = money(order, settings, references, said).is_ok_and(|money| !money.collect.is_zero());
    let all_paid = order.payments.iter().all(|p| is_paid(&p));
    !references.cover(order) || paid < order.prepay_sum || (!collects && !all_paid)
}

/// The way of a payment type under these settings and lists: at the door or not, `None` when
/// nothing tells (protocols/retailcrm.md#references).
pub fn is_at_the_door(
    settings: &Settings,
    references: &References,
    delivery_type: &str,
    payment_type: &str,
) -> Option<bool> {
    if settings.pay_kind(payment_type) == PayKind::No {
        return Some(false);
    }
    let mapped = settings.paytype_map.contains_key(payment_type).then_some(true);
    references.cod(delivery_type, payment_type).or(mapped).or_else(|| references.usual_cod(payment_type))
}

fn row<'a>(
    order: &Order,
    payment: &'a Payment,
    settings: &Settings,
    references: &References,
    said: Option<Said<'_>>,
) -> Row<'a> {
    let status = payment.status.as_deref();
    let kind = payment.kind.as_str();
    let delivery_type = order.delivery.code.as_deref().unwrap_or("");
    // That RetailCRM asks for a sum in the `save` tells that its rows are for the door.
    let asked_by = said.filter(|said| !said.collect.is_zero()).map(|said| said.kind.unwrap_or(kind));
    let means = match is_at_the_door(settings, references, delivery_type, kind) {
        _ if status.is_some_and(|status| references.is_complete(status)) => Means::Paid,
        _ if status.is_some_and(|status| settings.ends_payment(status)) => Means::Ended,
        Some(true) => Means::AtTheDoor(paytype(settings.pay_kind(kind))),
        Some(false) => Means::Online,
        None => match asked_by {
            Some(by) => Means::AtTheDoor(paytype(settings.pay_kind(by))),
            None => Means::Unclear,
        },
    };
    let suspects = !matches!(means, Means::Paid | Means::Ended) && status.is_some_and(|s| !is_usual_status(s));
    Row { kind, amount: payment.amount, means, suspects }
}

/// Statuses of every installation that leave a payment open (protocols/retailcrm.md#payment-codes).
pub fn is_usual_status(status: &str) -> bool {
    matches!(status, "not-paid" | "payment-start" | "invoice" | "credit-check" | "credit-approved")
}

/// Unpaid and paid rows decide (the default).
fn by_rows<'a>(
    order: &Order,
    settings: &Settings,
    said: Option<Said<'a>>,
    rows: &[Row<'a>],
) -> Result<Money, Refused<'a>> {
    let all = balance(order, settings, said, rows);
    // A shop's own status may well end a payment: without such rows it must fit exactly.
    if matches!(all, Err(Refused::Mismatch)) && rows.iter().any(|row| row.suspects) {
        let sure: Vec<Row<'_>> = rows.iter().filter(|row| !row.suspects).copied().collect();
        let exact = sure.iter().any(|row| !matches!(row.means, Means::Ended));
        if let (true, Ok(money)) = (exact, balance(order, settings, said, &sure))
            && money.uncovered.is_zero()
            && !is_guessed(&sure, &money)
        {
            return Ok(money);
        }
    }
    all
}

/// The sum is collected although no row asks for it.
fn is_guessed(rows: &[Row<'_>], money: &Money) -> bool {
    !money.collect.is_zero() && !rows.iter().any(|row| matches!(row.means, Means::AtTheDoor(_)))
}

fn balance<'a>(
    order: &Order,
    settings: &Settings,
    said: Option<Said<'a>>,
    rows: &[Row<'a>],
) -> Result<Money, Refused<'a>> {
    let total = order.total_summ;
    let paid = match sum(rows, |means| *means == Means::Paid)? {
        // An order without rows may still show what was paid.
        _ if rows.is_empty() => order.prepay_sum,
        paid => paid,
    };
    if total < Kopecks::ZERO {
        return Err(Refused::TooLarge);
    }
    // Paid in full: a row that was left over asks for nothing.
    if paid >= total {
        return Ok(nothing(total, total, Kopecks::ZERO));
    }
    let online = sum(rows, |means| *means == Means::Online)?;
    let unclear = sum(rows, |means| *means == Means::Unclear)?;
    let asked = sum(rows, is_door)?;
    let rest = total - paid - online;
    if let Some(row) = rows.iter().find(|row| row.means == Means::Unclear)
        && (!unclear.is_zero() || asked != rest)
    {
        return Err(Refused::Unclear(row.kind));
    }
    if rest < Kopecks::ZERO {
        return Err(Refused::Mismatch);
    }
    let lacking = without_amount(rows, |means| matches!(means, Means::Paid | Means::Online));
    if !rows.iter().any(|row| is_door(&row.means)) {
        return match (lacking, said) {
            _ if rest.is_zero() => Ok(nothing(total, paid, online)),
            (Some(row), _) => Err(Refused::WithoutAmount(row.kind)),
            (None, Some(said)) if !said.collect.is_zero() => confirmed(order, settings, said, paid, online, rest),
            _ => uncovered(settings, rows.is_empty(), total, paid, online, rest),
        };
    }
    let (collect, paytype) = at_the_door(rows, lacking, asked, rest)?;
    match said {
        Some(said) if !agrees(order, said, collect) => Err(Refused::Contradicted),
        _ if collect.is_zero() => Ok(nothing(total, paid, online)),
        _ => Ok(Money { total, paid, online, collect, uncovered: Kopecks::ZERO, paytype }),
    }
}

const fn is_door(means: &Means) -> bool {
    matches!(means, Means::AtTheDoor(_))
}

fn sum<'a>(rows: &[Row<'a>], means: fn(&Means) -> bool) -> Result<Kopecks, Refused<'a>> {
    let mut amounts = rows.iter().filter(|row| means(&row.means)).map(|row| row.amount);
    amounts.try_fold(Kopecks::ZERO, Kopecks::checked_add).ok_or(Refused::TooLarge)
}

fn without_amount<'r, 'a>(rows: &'r [Row<'a>], means: fn(&Means) -> bool) -> Option<&'r Row<'a>> {
    rows.iter().find(|row| means(&row.means) && row.amount.is_zero())
}

/// What the rows at the door come to, and the way of the larger one. The first row without an
/// amount takes what the others leave.
fn at_the_door<'a>(
    rows: &[Row<'a>],
    lacking: Option<&Row<'a>>,
    asked: Kopecks,
    rest: Kopecks,
) -> Result<(Kopecks, PayType), Refused<'a>> {
    let open = without_amount(rows, is_door);
    match (open, lacking) {
        _ if asked == rest => {}
        (_, Some(row)) if asked < rest => return Err(Refused::WithoutAmount(row.kind)),
        (Some(_), None) if asked < rest => {}
        _ => return Err(Refused::Mismatch),
    }
    let taken =
        |row: &&Row<'_>| if open.is_some_and(|open| std::ptr::eq(open, *row)) { rest - asked } else { row.amount };
    match rows.iter().filter(|row| is_door(&row.means)).max_by_key(taken).map(|row| row.means) {
        Some(Means::AtTheDoor(paytype)) => Ok((rest, paytype)),
        _ => Err(Refused::Mismatch),
    }
}

/// RetailCRM names a sum, and no row of the order does.
fn confirmed<'a>(
    order: &Order,
    settings: &Settings,
    said: Said<'a>,
    paid: Kopecks,
    online: Kopecks,
    rest: Kopecks,
) -> Result<Money, Refused<'a>> {
    if !agrees(order, said, rest) {
        return Err(Refused::Contradicted);
    }
    let kind = said.kind.map_or(PayKind::Cash, |kind| settings.pay_kind(kind));
    if kind == PayKind::No {
        return Err(Refused::Mismatch);
    }
    let total = order.total_summ;
    Ok(Money { total, paid, online, collect: rest, uncovered: Kopecks::ZERO, paytype: paytype(kind) })
}

/// Shares per unit are rounded; the payment itself is exact.
fn agrees(order: &Order, said: Said<'_>, collect: Kopecks) -> bool {
    let off = (said.collect - collect).0.abs();
    off == 0 || (off <= rounding_of(order) && !said.collect.is_zero() && !collect.is_zero())
}

const fn nothing(total: Kopecks, paid: Kopecks, online: Kopecks) -> Money {
    Money { total, paid, online, collect: Kopecks::ZERO, uncovered: Kopecks::ZERO, paytype: PayType::No }
}

/// No payment stands for the rest: the shop's setting does.
fn uncovered<'a>(
    settings: &Settings,
    no_rows: bool,
    total: Kopecks,
    paid: Kopecks,
    online: Kopecks,
    rest: Kopecks,
) -> Result<Money, Refused<'a>> {
    let setting = match settings.no_payment {
        _ if !no_rows => settings.uncovered_rest,
        NoPayment::Collect => UncoveredRest::Collect,
        NoPayment::Nothing => UncoveredRest::Nothing,
        NoPayment::Refuse => return Err(Refused::NoPayment),
    };
    match setting {
        UncoveredRest::Refuse => Err(Refused::Uncovered(rest)),
        UncoveredRest::Nothing => Ok(Money { uncovered: rest, ..nothing(total, paid, online) }),
        UncoveredRest::Collect => {
            Ok(Money { total, paid, online, collect: rest, uncovered: Kopecks::ZERO, paytype: PayType::Cash })
        }
    }
}

/// The vendor's documented behaviour: whatever is not prepaid is collected. In a `save` the
/// vendor collects what RetailCRM says.
fn as_vendor<'a>(
    order: &Order,
    settings: &Settings,
    said: Option<Said<'a>>,
    rows: &[Row<'a>],
) -> Result<Money, Refused<'a>> {
    let total = order.total_summ;
    if total < Kopecks::ZERO {
        return Err(Refused::TooLarge);
    }
    let paid = order.prepay_sum.clamp_at_zero().min(total);
    let rest = total - paid;
    if rest.is_zero() && said.is_none_or(|said| said.collect.is_zero()) {
        return Ok(nothing(total, paid, rest));
    }
    if rows.is_empty() && said.is_none() {
        return uncovered(settings, true, total, paid, Kopecks::ZERO, rest);
    }
    let collect = match said {
        Some(said) if agrees(order, said, rest) => rest,
        Some(said) if said.collect > rest => return Err(Refused::Mismatch),
        Some(said) => said.collect,
        None => rest,
    };
    if collect.is_zero() {
        return Ok(nothing(total, paid, rest));
    }
    let unpaid = rows.iter().filter(|row| !matches!(row.means, Means::Paid | Means::Ended));
    let kind = said.and_then(|said| said.kind).or_else(|| unpaid.max_by_key(|row| row.amount).map(|row| row.kind));
    let kind = kind.map_or(PayKind::Cash, |kind| settings.pay_kind(kind));
    // This policy always hands the sum over, whatever the type is mapped to.
    let kind = if kind == PayKind::No { PayKind::Cash } else { kind };
    Ok(Money { total, paid, online: rest - collect, collect, uncovered: Kopecks::ZERO, paytype: paytype(kind) })
}

const fn paytype(kind: PayKind) -> PayType {
    match kind {
        PayKind::Cash => PayType::Cash,
        PayKind::Card => PayType::Card,
        PayKind::No => PayType::No,
        PayKind::Other => PayType::Other,
    }
}

/// The refusal in figures.
fn refusal(order: &Order, rows: &[Row<'_>], said: Option<Said<'_>>, refused: Refused<'_>) -> GiveUp {
    let sum = |means: fn(&Means) -> bool| -> Kopecks {
        rows.iter().filter(|row| means(&row.means)).map(|row| row.amount).sum()
    };
    let paid = sum(|means| *means == Means::Paid);
    let online = sum(|means| *means == Means::Online);
    let asked = sum(|means| matches!(means, Means::AtTheDoor(_)));
    let rest = order.total_summ - paid - online;
    let mut figures = Details::from(Detail::Balance { total: order.total_summ, paid, online, rest, collect: asked });
    if let Some(said) = said {
        figures = figures.and(Detail::CrmSays { collect: said.collect });
    }
    let of_type = |kind: &str| Details::from(Detail::PaymentType { kind: kind.to_owned() });
    match refused {
        Refused::Mismatch => reason::give_up(reason::SUM_MISMATCH, figures),
        Refused::Contradicted => reason::give_up(reason::COD_MISMATCH, figures),
        Refused::Unclear(kind) => reason::give_up(reason::PAYMENT_TYPE_UNCLEAR, of_type(kind).and(figures)),
        Refused::WithoutAmount(kind) => reason::give_up(reason::PAYMENT_WITHOUT_AMOUNT, of_type(kind).and(figures)),
        Refused::NoPayment => reason::give_up(reason::NO_PAYMENT, Details::NONE),
        Refused::Uncovered(_) => reason::give_up(reason::UNCOVERED_REST, figures),
        Refused::TooLarge => reason::give_up(reason::BAD_SUM, figures),
    }
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
