//! Settles an order's payment once its delivery is closed (design §3, retailcrm-api.md C.4).
//!
//! `decide` says what to do and is pure. What it says is written down before it is begun;
//! a run that finds something begun reads the order anew, skips what is done, and stops
//! when somebody else changed the payments meanwhile.

use std::collections::HashMap;

use jiff::ZonedDateTime;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use shared::domain::integration::PayKind;
use shared::domain::{CrmOrderId, Kopecks, Settings};
use shared::measoft::{PayType, StatusCode};
use shared::message::{Change, GiveUp, Kind, Outcome};
use shared::reason;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::{Order, Payment};
use shared::retailcrm::wire::payments::{NewPayment, PaymentPatch};
use shared::retailcrm::{CrmError, Unreadable};
use shared::store;
use shared::store::journal::{Entry, What};
use shared::store::payment_moves::{MoveState, PaymentMove};

use crate::crm;
use crate::ports::{Shop, Tools};
use crate::references::References;
use crate::sync::apply::payment_letter;
use crate::sync::facts::Facts;
use crate::sync::keeper::Keeper;
use crate::sync::{internal, next_try};

/// Orders read in one request.
const BATCH: u32 = 50;

/// One change of a payment at RetailCRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Move {
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

/// What is done about an order's payments.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Moves(Vec<Move>),
    /// Nothing, and why.
    NoMove(&'static str),
    GiveUp(GiveUp),
}

/// Decides what MeaSoft's closing of a delivery means for the order's payments. `code` is
/// the module's instance code, with which our own payments are tagged.
#[must_use]
pub fn decide(order: &Order, settings: &Settings, references: &References, facts: &Facts, code: &str) -> Decision {
    use Decision::{Moves, NoMove};
    let give_up = |reason, detail: String| Decision::GiveUp(reason::give_up(reason, detail));
    if settings.payment_status.is_none() && !settings.receive_payment {
        return NoMove("payments are not received");
    }
    // The preliminary COURIER… codes settle nothing (measoft-api.md §14).
    if !facts.present().is_some_and(|event| StatusCode::parse(&event.code).is_delivered()) {
        return NoMove("the delivery is not closed");
    }
    if order.delivery.integration_code.as_deref().is_some_and(|instance| instance != code) {
        return NoMove("the order has another delivery type now");
    }
    let Some(price) = facts.price else { return NoMove("MeaSoft shows no sum") };
    if let Some(status) = &settings.payment_status
        && !references.has_status(status)
    {
        return give_up(reason::PAYMENT_STATUS_UNKNOWN, status.clone());
    }
    let is_paid = |p: &Payment| p.status.as_deref().is_some_and(|status| references.is_complete(status));
    let unpaid: Vec<&Payment> = order.payments.iter().filter(|p| !is_paid(p) && p.amount > Kopecks::ZERO).collect();
    let payment = match unpaid.as_slice() {
        [one] => *one,
        [] => return nothing_unpaid(order, settings, references, price),
        _ => return NoMove("more than one sum is left to pay"),
    };
    let paytype = facts.paytype.as_deref().unwrap_or("");
    if references.is_online(&payment.kind) {
        if price.is_zero() {
            return NoMove("nothing was collected");
        }
        return give_up(reason::PAYMENT_ONLINE, format!("{price} {paytype} collected, {} unpaid", payment.amount));
    }
    if price.is_zero() {
        return NoMove("nothing was collected");
    }
    let delivery_type = order.delivery.code.as_deref().unwrap_or("");
    let is_cod = |kind: &str| references.is_cod(delivery_type, kind);
    // What the payment is to be: its status once it is of a COD type and its sum is MeaSoft's.
    let set_status = |payment: &Payment| match &settings.payment_status {
        Some(status) if is_cod(&payment.kind) && payment.status.as_ref() != Some(status) => {
            Some(Move::SetStatus { payment: payment.id, status: status.clone() })
        }
        _ => None,
    };
    if !settings.receive_payment {
        return if !is_cod(&payment.kind) {
            NoMove("what is left to pay is not cash on delivery")
        } else if payment.amount != price {
            NoMove("the sum collected differs from what is left to pay")
        } else {
            set_status(payment).map_or(NoMove("the payment has its status already"), |one| Moves(vec![one]))
        };
    }
    let Some(theirs) = crm_type(settings, paytype) else {
        return give_up(reason::PAYMENT_UNMAPPED, format!("MeaSoft's paytype «{paytype}», sum {price}"));
    };
    if same_type(payment, &theirs, paytype, settings, is_cod(&payment.kind)) {
        let mut moves = Vec::new();
        if payment.amount != price {
            moves.push(Move::EditAmount { payment: payment.id, amount: price });
        }
        moves.extend(set_status(payment));
        return if moves.is_empty() { NoMove("the payment is as MeaSoft says") } else { Moves(moves) };
    }
    if !references.has_type(&theirs) || references.is_online(&theirs) {
        return give_up(reason::PAYMENT_UNMAPPED, format!("«{paytype}» stands for «{theirs}», which cannot be used"));
    }
    let status = settings.payment_status.clone().filter(|_| is_cod(&theirs)).or_else(|| payment.status.clone());
    Moves(vec![
        Move::Delete { payment: payment.id },
        Move::Create { tag: next_tag(order, code), kind: theirs, amount: price, status },
    ])
}

/// Everything is paid, or there never was a payment.
fn nothing_unpaid(order: &Order, settings: &Settings, references: &References, price: Kopecks) -> Decision {
    if price.is_zero() {
        return Decision::NoMove("nothing was collected and nothing is left to pay");
    }
    if order.payments.is_empty() {
        return Decision::NoMove("the order has no payment");
    }
    let delivery_type = order.delivery.code.as_deref().unwrap_or("");
    let at_the_door: Kopecks =
        order.payments.iter().filter(|p| references.is_cod(delivery_type, &p.kind)).map(|p| p.amount).sum();
    if at_the_door == price || !settings.receive_payment {
        return Decision::NoMove("nothing is left to pay");
    }
    Decision::GiveUp(reason::give_up(
        reason::PAYMENT_UNEXPECTED,
        format!("{price} collected, {at_the_door} paid on delivery before"),
    ))
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

/// A shop may have several COD types that mean the same at the door: those are no
/// difference.
fn same_type(payment: &Payment, theirs: &str, paytype: &str, settings: &Settings, cod: bool) -> bool {
    if payment.kind == theirs {
        return true;
    }
    let kind = match PayType::parse(paytype) {
        Some(PayType::Cash) => PayKind::Cash,
        Some(PayType::Card) => PayKind::Card,
        Some(PayType::Other) => PayKind::Other,
        _ => return false,
    };
    cod && settings.pay_kind(&payment.kind) == kind
}

/// `<instance>-<order id>-<n>`, with an `n` that no payment of the order has.
fn next_tag(order: &Order, code: &str) -> String {
    let prefix = format!("{code}-{}-", order.id);
    let used =
        order.payments.iter().filter_map(|p| p.external_id.as_deref()?.strip_prefix(&prefix)?.parse::<u32>().ok());
    format!("{prefix}{}", used.max().unwrap_or(0) + 1)
}

/// A payment as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    id: i64,
    kind: String,
    status: Option<String>,
    amount: Kopecks,
}

/// What is written down before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    moves: Vec<Move>,
    seen: Vec<Seen>,
    /// Account time of the delivery's closing.
    paid_at: Option<DateTime>,
}

impl Plan {
    fn of(order: &Order, moves: Vec<Move>, paid_at: Option<DateTime>) -> Self {
        let seen = order
            .payments
            .iter()
            .map(|p| Seen { id: p.id, kind: p.kind.clone(), status: p.status.clone(), amount: p.amount })
            .collect();
        Self { moves, seen, paid_at }
    }

    /// What does not fit: a payment that neither was there nor is ours, or one that somebody
    /// else changed.
    fn conflict(&self, order: &Order) -> Option<String> {
        order.payments.iter().find_map(|p| {
            let Some(seen) = self.seen.iter().find(|seen| seen.id == p.id) else {
                let ours = self.moves.iter().any(
                    |m| matches!(m, Move::Create { tag, .. } if p.external_id.as_deref() == Some(tag.as_str())),
                );
                return (!ours).then(|| format!("payment {} of {} {} is new", p.id, p.amount, p.kind));
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
            (!fits).then(|| format!("payment {} is {} {} now, was {} {}", p.id, p.amount, p.kind, seen.amount, seen.kind))
        })
    }

    fn words(&self) -> String {
        let was = |id: &i64| {
            self.seen
                .iter()
                .find(|seen| seen.id == *id)
                .map_or_else(|| format!("payment {id}"), |seen| format!("payment {id} ({} {})", seen.amount, seen.kind))
        };
        let words: Vec<String> = self
            .moves
            .iter()
            .map(|m| match m {
                Move::EditAmount { payment, amount } => format!("{} set to {amount}", was(payment)),
                Move::SetStatus { payment, status } => format!("{} marked {status}", was(payment)),
                Move::Delete { payment } => format!("{} removed", was(payment)),
                Move::Create { kind, amount, status, .. } => {
                    format!("{amount} {kind} entered as {}", status.as_deref().unwrap_or("usual"))
                }
            })
            .collect();
        words.join(", ")
    }
}

/// How one order's payment went.
enum Trouble {
    /// Try again: the rest of the run may go on.
    Later(String),
    /// The account does not work at all.
    Halt(CrmError),
    GiveUp(GiveUp),
    Store(store::StoreError),
}

impl From<store::StoreError> for Trouble {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CrmError> for Trouble {
    fn from(error: CrmError) -> Self {
        match error.class() {
            Class::Retry => Self::Later(error.label().to_owned()),
            Class::StopIntegration => Self::Halt(error),
            Class::Park => Self::GiveUp(reason::give_up(reason::CRM_ERROR, error.to_string())),
        }
    }
}

/// Settles what is due of an integration.
pub async fn run(tools: &Tools, shop: &Shop) -> Outcome {
    match tools.store.next_payment_due(shop.id()).await {
        Ok(Some(due)) if due <= tools.clock.now() => {}
        Ok(_) => return Outcome::AlreadyDone("no payment waits"),
        Err(_) => return internal(),
    }
    let keeper = match Keeper::take(tools, &format!("payments|{}", shop.id())).await {
        Ok(Some(keeper)) => keeper,
        Ok(None) => return Outcome::Superseded("another worker settles payments of this integration"),
        Err(_) => return internal(),
    };
    let outcome = match settle_due(tools, shop, &keeper).await {
        Ok(()) => Outcome::Done(Change::Synced),
        Err(Trouble::Halt(error)) => crm::failure(tools, shop, &error).await,
        Err(Trouble::Store(error)) => {
            tracing::warn!(%error, "payments wait for the database");
            internal()
        }
        Err(_) => internal(),
    };
    keeper.release().await;
    outcome
}

async fn settle_due(tools: &Tools, shop: &Shop, keeper: &Keeper) -> Result<(), Trouble> {
    loop {
        let due = tools.store.due_payments(shop.id(), BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<CrmOrderId> = due.iter().map(|row| row.crm_order).collect();
        ids.sort_unstable();
        ids.dedup();
        let read = match (References::of(tools, shop).await, shop.vendors.crm.orders_by_ids(&ids).await) {
            (Ok(references), Ok(orders)) => Ok((references, orders)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let (mut references, orders) = match read {
            Ok(read) => read,
            Err(error) => {
                for row in &due {
                    tools.store.postpone_payment(row.id, next_try(tools, row.attempt), error.label()).await?;
                }
                return Err(Trouble::Halt(error));
            }
        };
        let readable: HashMap<CrmOrderId, &Order> = orders.iter().flatten().map(|order| (order.id, order)).collect();
        // A type or status the shop added a minute ago is not in the lists yet.
        if readable.values().any(|order| !references.cover(order))
            && let Ok(newer) = References::reread(tools, shop).await
        {
            references = newer;
        }
        for row in &due {
            let mut tx = tools.store.db.begin().await?;
            let held = tx.holds_lease(&keeper.lease).await?;
            tx.commit().await?;
            if !held {
                return Ok(());
            }
            let result = match readable.get(&row.crm_order) {
                Some(order) => settle_one(tools, shop, &references, row, order).await,
                None => Err(Trouble::GiveUp(unreadable(&orders, row.crm_order))),
            };
            conclude(tools, row, result).await?;
        }
    }
}

fn unreadable(orders: &[Result<Order, Unreadable>], id: CrmOrderId) -> GiveUp {
    match orders.iter().find_map(|row| row.as_ref().err().filter(|bad| bad.id == Some(id))) {
        Some(bad) => reason::give_up(reason::UNREADABLE_ORDER, bad.why.to_string()),
        None => reason::give_up(reason::ORDER_NOT_FOUND, format!("id {id}")),
    }
}

/// What was done about one order's payment.
enum Settled {
    Moved(String),
    Left(&'static str),
}

async fn settle_one(
    tools: &Tools,
    shop: &Shop,
    references: &References,
    row: &PaymentMove,
    order: &Order,
) -> Result<Settled, Trouble> {
    let bad = |_| Trouble::GiveUp(reason::give_up(reason::INTERNAL, "the journal of the payment cannot be read"));
    let facts: Facts = serde_json::from_str(&row.facts).map_err(bad)?;
    if row.state == MoveState::Moving {
        let plan: Plan = serde_json::from_str(row.plan.as_deref().unwrap_or("")).map_err(bad)?;
        if let Some(why) = plan.conflict(order) {
            let detail = format!("{why}; meant: {}", plan.words());
            return Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_CONFLICT, detail)));
        }
        return carry_out(tools, shop, references, row, order, &plan).await;
    }
    let decision =
        decide(order, &shop.integration.settings, references, &facts, &shop.integration.code(&tools.module_code));
    let moves = match decision {
        Decision::Moves(moves) => moves,
        // What was settled once and cannot follow a correction is a person's.
        Decision::NoMove(_) | Decision::GiveUp(_) if row.after_settling => {
            let sum = facts.price.map_or_else(|| "no sum".to_owned(), |price| price.to_string());
            let detail = format!("MeaSoft says {sum} {} now", facts.paytype.as_deref().unwrap_or(""));
            return Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_CORRECTED, detail)));
        }
        Decision::NoMove(why) => return Ok(Settled::Left(why)),
        Decision::GiveUp(give_up) => return Err(Trouble::GiveUp(give_up)),
    };
    let paid_at =
        facts.present().and_then(|event| event.at).map(|at| ZonedDateTime::new(at, references.zone.clone()).datetime());
    let plan = Plan::of(order, moves, paid_at);
    tools.store.begin_payment(row.id, &serde_json::to_string(&plan).expect("a plan serialises")).await?;
    carry_out(tools, shop, references, row, order, &plan).await
}

/// Does the steps that are not done yet. `order` was read after the last try.
async fn carry_out(
    tools: &Tools,
    shop: &Shop,
    references: &References,
    row: &PaymentMove,
    order: &Order,
    plan: &Plan,
) -> Result<Settled, Trouble> {
    for (at, step) in plan.moves.iter().enumerate().skip(row.step as usize) {
        one_step(shop, references, order, plan, step).await?;
        tools.store.payment_step_done(row.id, u32::try_from(at + 1).unwrap_or(u32::MAX)).await?;
    }
    Ok(Settled::Moved(plan.words()))
}

async fn one_step(
    shop: &Shop,
    references: &References,
    order: &Order,
    plan: &Plan,
    step: &Move,
) -> Result<(), Trouble> {
    let crm = &shop.vendors.crm;
    let paid_at = |status: &str| plan.paid_at.filter(|_| references.is_complete(status));
    let present = |id: i64| order.payments.iter().find(|p| p.id == id);
    let gone = |id: i64| {
        let detail = format!("payment {id} is gone; meant: {}", plan.words());
        Trouble::GiveUp(reason::give_up(reason::PAYMENT_CONFLICT, detail))
    };
    match step {
        Move::EditAmount { payment, amount } => {
            if present(*payment).ok_or_else(|| gone(*payment))?.amount == *amount {
                return Ok(());
            }
            let patch = PaymentPatch { amount: Some(*amount), ..PaymentPatch::default() };
            edited(crm.edit_payment(*payment, &order.site, &patch).await, || gone(*payment))
        }
        Move::SetStatus { payment, status } => {
            if present(*payment).ok_or_else(|| gone(*payment))?.status.as_ref() == Some(status) {
                return Ok(());
            }
            let patch =
                PaymentPatch { status: Some(status.clone()), paid_at: paid_at(status), ..PaymentPatch::default() };
            edited(crm.edit_payment(*payment, &order.site, &patch).await, || gone(*payment))
        }
        Move::Delete { payment } => {
            if present(*payment).is_some() {
                crm.delete_payment(*payment).await?;
            }
            Ok(())
        }
        Move::Create { tag, kind, amount, status } => {
            if order.payments.iter().any(|p| p.external_id.as_deref() == Some(tag.as_str())) {
                return Ok(());
            }
            let new = NewPayment {
                order: order.id,
                kind: kind.clone(),
                status: status.clone(),
                amount: *amount,
                paid_at: status.as_deref().and_then(paid_at),
                external_id: Some(tag.clone()),
                comment: Some("MeaSoft".to_owned()),
            };
            crm.create_payment(&order.site, &new).await?;
            Ok(())
        }
    }
}

fn edited(result: Result<(), CrmError>, gone: impl Fn() -> Trouble) -> Result<(), Trouble> {
    match result {
        Err(CrmError::NotFound { .. }) => Err(gone()),
        other => Ok(other?),
    }
}

/// Records what an attempt came to.
async fn conclude(tools: &Tools, row: &PaymentMove, result: Result<Settled, Trouble>) -> Result<(), Trouble> {
    let now = tools.clock.now();
    let entry = |what, text: String| {
        Entry::new(now, what, text).about(row.integration, row.number.as_str()).orderno(row.orderno.as_str())
    };
    match result {
        Ok(settled) => {
            let (state, why, entry) = match settled {
                Settled::Moved(words) => {
                    (MoveState::Done, String::new(), entry(What::Crm, format!("payments: {words}")))
                }
                Settled::Left(why) => {
                    (MoveState::Nothing, why.to_owned(), entry(What::Decision, format!("payments left alone: {why}")))
                }
            };
            let mut tx = tools.store.db.begin().await?;
            tx.end_payment(row.id, state, &why, now).await?;
            tx.resolve_dead_letters_of(row.integration, Some(&row.number), Kind::SyncPayments.as_str(), now).await?;
            tx.append_journal(&entry).await?;
            tx.commit().await?;
            Ok(())
        }
        Err(Trouble::Later(why)) => {
            tools.store.postpone_payment(row.id, next_try(tools, row.attempt), &why).await?;
            Ok(())
        }
        Err(Trouble::GiveUp(give_up)) => {
            let dead =
                payment_letter(tools, row.integration, Some(row.delivery), &row.number, &give_up, row.attempt + 1);
            let mut tx = tools.store.db.begin().await?;
            tx.end_payment(row.id, MoveState::Dead, give_up.reason, now).await?;
            tx.bury(&dead, now).await?;
            let text = format!("payments: gave up ({}, {}) {}", give_up.reason, give_up.fault, give_up.detail);
            tx.append_journal(&entry(What::Decision, text)).await?;
            tx.commit().await?;
            Ok(())
        }
        Err(Trouble::Halt(error)) => {
            tools.store.postpone_payment(row.id, next_try(tools, row.attempt), error.label()).await?;
            Err(Trouble::Halt(error))
        }
        Err(store) => Err(store),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::facts::Event;
    use crate::testing::at;
    use serde_json::json;

    const CODE: &str = "measoft-17";

    /// `(id, type, status, roubles)`.
    type Row = (i64, &'static str, &'static str, i64);

    fn order(payments: &[Row]) -> Order {
        let payments: Vec<_> = payments
            .iter()
            .map(|(id, kind, status, roubles)| json!({"id": id, "type": kind, "status": status, "amount": roubles}))
            .collect();
        let text = json!({"id": 4817, "number": "1234A", "site": "main", "totalSumm": 1000, "payments": payments,
            "delivery": {"code": "incity", "integrationCode": CODE}});
        shared::retailcrm::wire::order::read_single(&text).expect("an order")
    }

    fn references() -> References {
        let cod = [
            ("incity", "cash", Some(true)),
            ("incity", "bank-card", Some(true)),
            ("incity", "courier-sbp", Some(true)),
            ("incity", "bank-transfer", Some(false)),
            ("incity", "2", Some(false)),
        ];
        References::with(&["paid"], &cod, &[])
            .with_online(&["2"])
            .with_codes(&["cash", "bank-card", "courier-sbp", "bank-transfer", "2"], &["not-paid", "paid", "prepared"])
    }

    fn closed(code: &str, paytype: &str, roubles: Option<i64>) -> Facts {
        Facts {
            events: vec![Event { code: code.into(), at: Some(at(10)) }],
            paytype: (!paytype.is_empty()).then(|| paytype.to_owned()),
            price: roubles.map(Kopecks::roubles),
            ..Facts::default()
        }
    }

    /// «Код статуса оплаты» and «Получать тип и сумму оплаты».
    fn settings(status: Option<&str>, receive: bool) -> Settings {
        Settings { payment_status: status.map(str::to_owned), receive_payment: receive, ..Settings::default() }
    }

    fn set(payment: i64) -> Move {
        Move::SetStatus { payment, status: "paid".into() }
    }

    fn amount(payment: i64, roubles: i64) -> Move {
        Move::EditAmount { payment, amount: Kopecks::roubles(roubles) }
    }

    fn replace(payment: i64, n: u32, kind: &str, roubles: i64, status: &str) -> Vec<Move> {
        let tag = format!("{CODE}-4817-{n}");
        let (kind, amount) = (kind.to_owned(), Kopecks::roubles(roubles));
        vec![Move::Delete { payment }, Move::Create { tag, kind, amount, status: Some(status.into()) }]
    }

    enum Expected {
        Moves(Vec<Move>),
        Nothing,
        GiveUp(&'static str),
    }

    /// The seed's sentences, case by case: name, payments, settings, MeaSoft's closing, and
    /// what follows.
    #[test]
    fn the_table_of_payments() {
        use Expected::{GiveUp, Moves, Nothing};
        let status = || settings(Some("paid"), false);
        let both = || settings(Some("paid"), true);
        let receive = || settings(None, true);
        let complete = |paytype, roubles| closed("COMPLETE", paytype, Some(roubles));
        let cash = (7, "cash", "not-paid", 1000);
        let cases: Vec<(&str, Vec<Row>, Settings, Facts, Expected)> = vec![
            // «Код статуса оплаты … если на момент закрытия заказа оставалась только одна сумма к оплате»
            ("one sum left and it was collected", vec![cash], status(), complete("CASH", 1000), Moves(vec![set(7)])),
            ("without the code nothing is sent", vec![cash], settings(None, false), complete("CASH", 1000), Nothing),
            ("two sums left", vec![cash, (8, "cash", "not-paid", 200)], status(), complete("CASH", 1200), Nothing),
            (
                "two sums left of which one is online",
                vec![cash, (8, "2", "not-paid", 200)],
                status(),
                complete("CASH", 1000),
                Nothing,
            ),
            (
                "one sum left beside a prepayment",
                vec![(6, "2", "paid", 400), (7, "cash", "not-paid", 600)],
                status(),
                complete("CASH", 600),
                Moves(vec![set(7)]),
            ),
            ("nothing left to pay", vec![(7, "cash", "paid", 1000)], status(), complete("CASH", 1000), Nothing),
            ("the order has no payment", vec![], status(), complete("CASH", 1000), Nothing),
            ("another sum was collected", vec![cash], status(), complete("CASH", 900), Nothing),
            (
                "what is left is no cash on delivery",
                vec![(7, "bank-transfer", "not-paid", 1000)],
                status(),
                complete("CASH", 1000),
                Nothing,
            ),
            (
                "the type does not matter to the status",
                vec![(7, "bank-card", "not-paid", 1000)],
                status(),
                complete("CASH", 1000),
                Moves(vec![set(7)]),
            ),
            (
                "a payment of nothing is no sum left",
                vec![cash, (8, "bank-card", "not-paid", 0)],
                status(),
                complete("CASH", 1000),
                Moves(vec![set(7)]),
            ),
            (
                "the status is there already",
                vec![(7, "cash", "prepared", 1000)],
                settings(Some("prepared"), false),
                complete("CASH", 1000),
                Nothing,
            ),
            (
                "a code that RetailCRM does not have",
                vec![cash],
                settings(Some("oplachen"), false),
                complete("CASH", 1000),
                GiveUp("payment_status_unknown"),
            ),
            // Not before the delivery is closed.
            (
                "a preliminary report of the courier",
                vec![cash],
                both(),
                closed("COURIERDELIVERED", "CARD", Some(900)),
                Nothing,
            ),
            (
                "a preliminary report of a part",
                vec![cash],
                both(),
                closed("COURIERPARTIALLY", "CASH", Some(500)),
                Nothing,
            ),
            ("not delivered", vec![cash], both(), closed("CANCELED", "CASH", Some(1000)), Nothing),
            ("still on its way", vec![cash], both(), closed("DELIVERY", "CASH", Some(1000)), Nothing),
            // «тип оплаты … не совпадает … и цена заказа не равна нулю: платёж удаляется, создаётся новый»
            (
                "paid by card instead of cash",
                vec![cash],
                both(),
                complete("CARD", 1000),
                Moves(replace(7, 1, "bank-card", 1000, "paid")),
            ),
            (
                "paid by card, and another sum",
                vec![cash],
                both(),
                complete("CARD", 900),
                Moves(replace(7, 1, "bank-card", 900, "paid")),
            ),
            (
                "replaced without a status of its own",
                vec![cash],
                receive(),
                complete("CARD", 1000),
                Moves(replace(7, 1, "bank-card", 1000, "not-paid")),
            ),
            (
                "an invoice that the courier collected",
                vec![(7, "bank-transfer", "not-paid", 1000)],
                both(),
                complete("CASH", 1000),
                Moves(replace(7, 1, "cash", 1000, "paid")),
            ),
            ("another type and nothing collected", vec![cash], both(), complete("CARD", 0), Nothing),
            ("the same type and nothing collected", vec![cash], both(), complete("CASH", 0), Nothing),
            ("no type at all and nothing collected", vec![cash], both(), complete("NO", 0), Nothing),
            // The same type, another sum: a partial buy-out.
            (
                "a part was bought",
                vec![cash],
                both(),
                closed("PARTIALLY", "CASH", Some(640)),
                Moves(vec![amount(7, 640), set(7)]),
            ),
            (
                "a part was bought, no status wanted",
                vec![cash],
                receive(),
                closed("PARTIALLY", "CASH", Some(640)),
                Moves(vec![amount(7, 640)]),
            ),
            (
                "a part was bought and the rest is on its way back",
                vec![cash],
                both(),
                closed("PARTLYRETURNING", "CASH", Some(640)),
                Moves(vec![amount(7, 640), set(7)]),
            ),
            (
                "a part was bought by card",
                vec![cash],
                both(),
                closed("PARTIALLY", "CARD", Some(640)),
                Moves(replace(7, 1, "bank-card", 640, "paid")),
            ),
            ("as it was meant to be", vec![cash], both(), complete("CASH", 1000), Moves(vec![set(7)])),
            ("as it was meant to be, no status wanted", vec![cash], receive(), complete("CASH", 1000), Nothing),
            (
                "another CRM type that means the same at the door",
                vec![(7, "courier-sbp", "not-paid", 1000)],
                Settings { paytype_map: [("courier-sbp".to_owned(), PayKind::Card)].into(), ..both() },
                complete("CARD", 1000),
                Moves(vec![set(7)]),
            ),
            (
                "the shop's own map of types",
                vec![cash],
                Settings { payment_type_map: [("CARD".to_owned(), "courier-sbp".to_owned())].into(), ..both() },
                complete("CARD", 1000),
                Moves(replace(7, 1, "courier-sbp", 1000, "paid")),
            ),
            (
                "a type of MeaSoft that nothing stands for",
                vec![cash],
                both(),
                complete("OTHER", 1000),
                GiveUp("payment_unmapped"),
            ),
            (
                "a type mapped to one RetailCRM does not have",
                vec![cash],
                Settings { payment_type_map: [("CARD".to_owned(), "karta".to_owned())].into(), ..both() },
                complete("CARD", 1000),
                GiveUp("payment_unmapped"),
            ),
            (
                "a type mapped to an online one",
                vec![cash],
                Settings { payment_type_map: [("CARD".to_owned(), "2".to_owned())].into(), ..both() },
                complete("CARD", 1000),
                GiveUp("payment_unmapped"),
            ),
            (
                "several sums left are nobody's to choose from",
                vec![cash, (8, "bank-card", "not-paid", 200)],
                both(),
                complete("CARD", 1200),
                Nothing,
            ),
            // Payments of online modules are never touched.
            (
                "the sum left is an online payment",
                vec![(7, "2", "not-paid", 1000)],
                both(),
                complete("CASH", 1000),
                GiveUp("payment_online"),
            ),
            (
                "an online payment and nothing collected",
                vec![(7, "2", "not-paid", 1000)],
                both(),
                complete("NO", 0),
                Nothing,
            ),
            (
                "collected although everything was paid online",
                vec![(7, "2", "paid", 1000)],
                both(),
                complete("CASH", 1000),
                GiveUp("payment_unexpected"),
            ),
            (
                "paid at the door and entered by hand already",
                vec![(7, "cash", "paid", 1000)],
                both(),
                complete("CASH", 1000),
                Nothing,
            ),
            ("MeaSoft shows no sum", vec![cash], both(), closed("COMPLETE", "CASH", None), Nothing),
            // An odd kopeck is a difference; no sum is rounded away.
            (
                "a kopeck more",
                vec![cash],
                status(),
                Facts { price: Some(Kopecks(100_001)), ..complete("CASH", 0) },
                Nothing,
            ),
        ];
        assert!(cases.len() >= 25);
        for (name, payments, settings, facts, expected) in cases {
            let found = decide(&order(&payments), &settings, &references(), &facts, CODE);
            match (&found, expected) {
                (Decision::Moves(found), Moves(expected)) => assert_eq!(*found, expected, "{name}"),
                (Decision::NoMove(_), Nothing) => {}
                (Decision::GiveUp(found), GiveUp(expected)) => assert_eq!(found.reason, expected, "{name}"),
                _ => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_tag_that_an_earlier_payment_bears_is_not_used_again() {
        let mut order = order(&[(7, "cash", "not-paid", 1000)]);
        order.payments[0].external_id = Some(format!("{CODE}-4817-3"));
        let found = decide(&order, &settings(None, true), &references(), &closed("COMPLETE", "CARD", Some(1000)), CODE);
        assert_eq!(found, Decision::Moves(replace(7, 4, "bank-card", 1000, "not-paid")));
    }

    #[test]
    fn an_order_of_another_module_is_left_alone() {
        let order = order(&[(7, "cash", "not-paid", 1000)]);
        let found = decide(
            &order,
            &settings(Some("paid"), true),
            &references(),
            &closed("COMPLETE", "CARD", Some(1000)),
            "measoft-9",
        );
        assert!(matches!(found, Decision::NoMove(_)));
    }

    #[test]
    fn a_plan_fits_what_it_has_done_itself_and_nothing_else() {
        let before = order(&[(7, "cash", "not-paid", 1000), (6, "2", "paid", 400)]);
        let plan = Plan::of(&before, replace(7, 1, "bank-card", 900, "paid"), None);
        assert_eq!(plan.conflict(&before), None, "nothing done yet");
        assert_eq!(plan.conflict(&order(&[(6, "2", "paid", 400)])), None, "removed");
        let mut done = order(&[(6, "2", "paid", 400), (9, "bank-card", "paid", 900)]);
        assert!(plan.conflict(&done).is_some(), "a payment without our tag is somebody else's");
        done.payments[1].external_id = Some(format!("{CODE}-4817-1"));
        assert_eq!(plan.conflict(&done), None, "entered");
        assert!(plan.conflict(&order(&[(7, "cash", "paid", 1000)])).is_some(), "marked by somebody else");
        let edits = Plan::of(&before, vec![amount(7, 640), set(7)], None);
        assert_eq!(edits.conflict(&order(&[(7, "cash", "not-paid", 640)])), None, "half done");
        assert_eq!(edits.conflict(&order(&[(7, "cash", "paid", 640)])), None, "done");
        assert!(edits.conflict(&order(&[(7, "cash", "not-paid", 700)])).is_some());
    }
}
