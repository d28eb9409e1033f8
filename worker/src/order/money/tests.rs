//! The rule of money over made-up orders. An order is made of parts that add up, or are made
//! not to, so that what must come of it is known without asking the rule.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use shared::domain::{Delivery, Integration};
use shared::measoft::{ItemKind, NewOrder};
use shared::retailcrm::wire::order::read_single;

use crate::order::desired::Desired;
use crate::order::money::*;
use crate::order::reading::payments_mark;
use crate::order::recognise::with_codes;
use crate::order::request::desired_with;
use crate::order::request::tests::{collected_by_xml, delivery, integration, plain};
use crate::order::saved_request::SavedRequest;

/// Payment types by what they mean in [`references`] and [`settings`].
const AT_THE_DOOR: [&str; 4] = ["cash", "bank-card", "kurier", "sbp"];
const ONLINE: [&str; 4] = ["e-money", "2", "site", "gift"];
const UNCLEAR: &str = "dict-99";
const UNSURE_STATUS: &str = "dict-7";

fn references() -> References {
    let types = [("incity", "sbp", Some(true)), ("incity", "site", Some(false)), ("incity", "cash", Some(true))];
    References::with(&["paid"], &types, &[]).with_online(&["2"]).with_cancelling(&["no-goods"])
}

/// A share of the total and the row that stands for it.
#[derive(Debug, Clone, Copy)]
struct Share {
    weight: i64,
    kind: usize,
    status: usize,
}

/// What an order is made of. Shares are weights: they are scaled to the total.
#[derive(Debug, Clone)]
struct Parts {
    /// Price in tenths of a kopeck, quantity in thousandths, how it is cancelled.
    lines: Vec<(i64, i64, usize)>,
    fee: i64,
    paid: Vec<Share>,
    online: Vec<Share>,
    door: Vec<Share>,
    uncovered: i64,
    /// Kopecks of rows that ended without money, and of rows in a status nobody knows.
    ended: Vec<i64>,
    unsure: Option<(i64, bool)>,
    unclear: bool,
    /// The last row at the door shows no amount.
    open_door: bool,
    /// A row to be paid online shows no amount.
    open_online: bool,
    /// Kopecks that a row at the door is off by.
    off: i64,
    /// Kopecks that RetailCRM's total is off the lines by, beyond rounding.
    total_off: i64,
    said: Speech,
    currency: Option<&'static str>,
    rest: UncoveredRest,
    no_payment: NoPayment,
    as_vendor: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Silent,
    Right,
    Wrong(i64),
    NoCod,
}

fn shares(most: usize) -> impl Strategy<Value = Vec<Share>> {
    prop::collection::vec(
        (1_i64..100, 0_usize..4, 0_usize..4).prop_map(|(weight, kind, status)| Share { weight, kind, status }),
        0..=most,
    )
}

fn parts() -> impl Strategy<Value = Parts> {
    let quantity = prop_oneof![8 => (1_i64..6).prop_map(|n| n * 1000), 1 => 1_i64..4000];
    let price = prop_oneof![4 => (0_i64..300_000).prop_map(|k| k * 10), 1 => 0_i64..3_000_000];
    let cancelled = prop_oneof![6 => Just(0_usize), 1 => Just(1), 1 => Just(2)];
    let lines = prop::collection::vec((price, quantity, cancelled), 1..5);
    let rarely = |weight: f64| prop::bool::weighted(weight);
    let said = prop_oneof![
        5 => Just(Speech::Silent), 3 => Just(Speech::Right), 1 => Just(Speech::NoCod),
        1 => (50_i64..90_000).prop_map(Speech::Wrong),
    ];
    let rest = prop_oneof![
        2 => Just(UncoveredRest::Collect), 1 => Just(UncoveredRest::Refuse), 1 => Just(UncoveredRest::Nothing)
    ];
    let none = prop_oneof![2 => Just(NoPayment::Collect), 1 => Just(NoPayment::Refuse), 1 => Just(NoPayment::Nothing)];
    let money = (shares(2), shares(2), shares(3), prop_oneof![3 => Just(0_i64), 1 => 1_i64..100]);
    let noise = (
        prop::collection::vec(1_i64..200_000, 0..2),
        prop::option::weighted(0.15, (1_i64..200_000, any::<bool>())),
        rarely(0.05),
        rarely(0.15),
        rarely(0.05),
        prop_oneof![6 => Just(0_i64), 1 => -5_000_i64..5_000],
        prop_oneof![9 => Just(0_i64), 1 => 100_i64..5_000],
    );
    let currency = prop_oneof![6 => Just(None), 3 => Just(Some("RUB")), 1 => Just(Some("rur")), 1 => Just(Some("USD"))];
    let settings = (said, currency, rest, none, rarely(0.1));
    (lines, prop_oneof![1 => Just(0_i64), 2 => 0_i64..60_000], money, noise, settings).prop_map(
        |(lines, fee, (paid, online, door, uncovered), noise, (said, currency, rest, no_payment, as_vendor))| {
            let (ended, unsure, unclear, open_door, open_online, off, total_off) = noise;
            Parts {
                lines,
                fee,
                paid,
                online,
                door,
                uncovered,
                ended,
                unsure,
                unclear,
                open_door,
                open_online,
                off,
                total_off,
                said,
                currency,
                rest,
                no_payment,
                as_vendor,
            }
        },
    )
}

/// What must come of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// Kopecks.
    Collect(i64),
    Refused(&'static [&'static str]),
}

#[derive(Debug)]
struct Made {
    order: Order,
    settings: Settings,
    saved_request: SavedRequest,
    expected: Expected,
}

const SUMS: &[&str] = &[reason::SUM_MISMATCH];
const CONTRADICTED: &[&str] = &[reason::COD_MISMATCH];

/// Tenths of a kopeck × thousandths, rounded half up to kopecks.
fn line_total(price: i64, quantity: i64) -> i64 {
    (i128::from(price) * i128::from(quantity) + 5_000).div_euclid(10_000) as i64
}

impl Parts {
    /// The order as RetailCRM shows it, and what must come of it.
    fn make(&self) -> Made {
        let shipped = || self.lines.iter().filter(|(.., cancelled)| *cancelled == 0);
        let goods: i64 = shipped().map(|(price, quantity, _)| line_total(*price, *quantity)).sum();
        let pieces: i64 = shipped().map(|(_, quantity, _)| (quantity + 999) / 1000).sum();
        let total_off = if self.total_off == 0 { 0 } else { self.total_off + 2 * pieces };
        let total = goods + self.fee + total_off;

        // The parts of the total, in kopecks.
        let unsure = self.unsure.filter(|_| !self.as_vendor && self.said == Speech::Silent);
        let weights = self.paid.iter().chain(&self.online).chain(&self.door).map(|share| share.weight);
        let sum: i64 = weights.sum::<i64>() + self.uncovered;
        let part = |weight: i64| if sum == 0 { 0 } else { total * weight / sum };
        let mut rows: Vec<(String, &str, i64)> = Vec::new();
        let (mut paid, mut online, mut door) = (0, 0, 0);
        for share in &self.paid {
            let kind = AT_THE_DOOR.into_iter().chain(ONLINE).cycle().nth(share.kind + share.status).expect("a type");
            paid += part(share.weight);
            rows.push((kind.to_owned(), "paid", part(share.weight)));
        }
        for share in &self.online {
            online += part(share.weight);
            let status = ["not-paid", "invoice", "payment-start", "not-paid"][share.status];
            rows.push((ONLINE[share.kind].to_owned(), status, part(share.weight)));
        }
        for share in &self.door {
            door += part(share.weight);
            rows.push((AT_THE_DOOR[share.kind].to_owned(), "not-paid", part(share.weight)));
        }
        // Division leaves some kopecks over: the last row at the door takes them unless
        // something is to stay uncovered.
        let mut rest = total - paid - online - door;
        if self.uncovered == 0 && !self.door.is_empty() {
            rows.last_mut().expect("a row at the door").2 += rest;
            door += rest;
            rest = 0;
        }
        let mut asked = door;
        let mut has_open_door = false;
        if !self.door.is_empty() {
            let last = rows.last_mut().expect("a row at the door");
            if self.open_door {
                asked -= last.2;
                last.2 = 0;
                has_open_door = true;
            } else if self.off != 0 && last.2 + self.off > 0 {
                last.2 += self.off;
                asked += self.off;
            }
            // A share may be nothing by itself: that is a row without an amount.
            has_open_door |= rows[rows.len() - self.door.len()..].iter().any(|row| row.2 == 0);
        }
        let mut lacking = rows[..self.paid.len() + self.online.len()].iter().any(|row| row.2 == 0);
        for amount in &self.ended {
            rows.push(("bank-card".to_owned(), if amount % 2 == 0 { "fail" } else { "returned" }, *amount));
        }
        if let Some((amount, at_the_door)) = unsure {
            rows.push((if at_the_door { "cash" } else { "site" }.to_owned(), UNSURE_STATUS, amount));
        }
        if self.unclear {
            rows.push((UNCLEAR.to_owned(), "not-paid", 1_000));
        }
        if self.open_online {
            rows.push(("site".to_owned(), "not-paid", 0));
            lacking = true;
        }

        let due = total - paid - online;
        let is_paid = paid >= total;
        let by_setting = |no_rows: bool| match (no_rows, self.no_payment, self.rest) {
            (true, NoPayment::Collect, _) | (false, _, UncoveredRest::Collect) => Expected::Collect(due),
            (true, NoPayment::Nothing, _) | (false, _, UncoveredRest::Nothing) => Expected::Collect(0),
            (true, NoPayment::Refuse, _) => Expected::Refused(&[reason::NO_PAYMENT]),
            (false, _, UncoveredRest::Refuse) => Expected::Refused(&[reason::UNCOVERED_REST]),
        };
        let has_door = !self.door.is_empty();
        let no_rows = rows.is_empty();
        let mut expected = if is_paid {
            Expected::Collect(0)
        } else if self.as_vendor {
            if no_rows { by_setting(true) } else { Expected::Collect(total - paid) }
        } else if self.unclear {
            Expected::Refused(&[reason::PAYMENT_TYPE_UNCLEAR])
        } else if has_door {
            match asked {
                asked if asked == due => Expected::Collect(due),
                asked if asked < due && has_open_door && !lacking => Expected::Collect(due),
                asked if asked < due && lacking => Expected::Refused(&[reason::PAYMENT_WITHOUT_AMOUNT]),
                _ => Expected::Refused(SUMS),
            }
        } else if due == 0 {
            Expected::Collect(0)
        } else if lacking {
            Expected::Refused(&[reason::PAYMENT_WITHOUT_AMOUNT])
        } else {
            by_setting(no_rows)
        };
        // A row in an unknown status spoils what fitted, unless leaving it out fits exactly.
        if let Some((amount, at_the_door)) = unsure
            && !is_paid
            && !self.unclear
        {
            let fits_without = matches!(expected, Expected::Collect(_)) && (rest == 0 || has_open_door);
            let fits_with = if at_the_door {
                // It asks for what would be uncovered, or for a part of what an open row takes.
                asked + amount == due || (has_open_door && !lacking && asked + amount < due)
            } else {
                let due = due - amount;
                due == 0 && !has_door || has_door && (asked == due || (asked < due && has_open_door && !lacking))
            };
            expected = match (fits_with, at_the_door) {
                (true, true) => Expected::Collect(due),
                (true, false) => Expected::Collect(due - amount),
                _ if fits_without && (has_door || due == 0) => expected,
                // With the row in an open status the rest may still be for the setting to say.
                (false, false) if !has_door && due > amount => {
                    if lacking {
                        Expected::Refused(&[reason::PAYMENT_WITHOUT_AMOUNT])
                    } else {
                        match self.rest {
                            UncoveredRest::Collect => Expected::Collect(due - amount),
                            UncoveredRest::Nothing => Expected::Collect(0),
                            UncoveredRest::Refuse => Expected::Refused(&[reason::UNCOVERED_REST]),
                        }
                    }
                }
                _ => Expected::Refused(&[reason::SUM_MISMATCH, reason::PAYMENT_WITHOUT_AMOUNT]),
            };
        }
        let mut said = None;
        if self.said != Speech::Silent && !self.unclear {
            let right = match &expected {
                Expected::Collect(sum) => *sum,
                Expected::Refused(_) => due.max(0),
            };
            let words = match self.said {
                Speech::Wrong(by) => right + by + 2 * pieces.max(1),
                Speech::NoCod => 0,
                _ => right,
            };
            said = Some(words);
            expected = match expected {
                _ if self.as_vendor && is_paid && words == 0 => Expected::Collect(0),
                _ if self.as_vendor && words > total - paid => Expected::Refused(SUMS),
                _ if self.as_vendor => Expected::Collect(words),
                Expected::Collect(_) if is_paid => Expected::Collect(0),
                // RetailCRM asks for what no row of it covers: its word stands for the row.
                _ if !has_door && !lacking && due > 0 && words > 0 => {
                    if words == due {
                        Expected::Collect(due)
                    } else {
                        Expected::Refused(CONTRADICTED)
                    }
                }
                Expected::Collect(sum) if has_door && words != sum => Expected::Refused(CONTRADICTED),
                other => other,
            };
        }
        let settings = self.settings();
        if self.currency.is_some_and(|code| code == "USD") {
            expected = Expected::Refused(&[reason::WRONG_CURRENCY]);
        } else if matches!(expected, Expected::Collect(_)) {
            if pieces == 0 && total == 0 {
                expected = Expected::Refused(&[reason::NOTHING_TO_SEND]);
            } else if total_off != 0 {
                expected = Expected::Refused(SUMS);
            }
        }
        let order = self.order(total, paid, &rows);
        let saved_request = SavedRequest {
            collect: said.map(Kopecks),
            cod_type: Some("cash".to_owned()),
            payments_mark: payments_mark(&order),
            ..SavedRequest::default()
        };
        Made { order, settings, saved_request, expected }
    }

    fn settings(&self) -> Settings {
        Settings {
            uncovered_rest: self.rest,
            no_payment: self.no_payment,
            cod_policy: if self.as_vendor { CodPolicy::AsVendor } else { CodPolicy::ByPaymentType },
            paytype_map: BTreeMap::from([("kurier".to_owned(), PayKind::Card), ("gift".to_owned(), PayKind::No)]),
            ..Settings::default()
        }
    }

    fn order(&self, total: i64, paid: i64, rows: &[(String, &str, i64)]) -> Order {
        let mut order = plain().order;
        let items: Vec<Value> = self
            .lines
            .iter()
            .enumerate()
            .map(|(at, (price, quantity, cancelled))| {
                let price = format!("{}.{:03}", price / 1000, price % 1000);
                let quantity = format!("{}.{:03}", quantity / 1000, quantity % 1000);
                json!({
                    "id": at + 1, "productName": "Вещь", "initialPrice": price, "vatRate": "none",
                    "prices": [{"price": price, "quantity": quantity}], "quantity": quantity,
                    "isCanceled": *cancelled == 1, "status": if *cancelled == 2 { "no-goods" } else { "in-stock" },
                })
            })
            .collect();
        let payments: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(at, (kind, status, amount))| {
                let amount = match (amount, at % 3) {
                    (0, 0) => Value::Null,
                    (0, 1) => json!(""),
                    (amount, _) => json!(Kopecks(*amount).to_string()),
                };
                json!({"id": at + 1, "type": kind, "status": status, "amount": amount})
            })
            .collect();
        order["items"] = json!(items);
        order["payments"] = json!(payments);
        order["totalSumm"] = json!(Kopecks(total).to_string());
        order["prepaySum"] = json!(Kopecks(paid).to_string());
        order["delivery"]["cost"] = json!(Kopecks(self.fee).to_string());
        order["currency"] = json!(self.currency);
        read_single(&order).expect("a readable order")
    }
}

/// A conversion that may be the product's or a planted mistake.
type Convert = fn(&Order, &Integration, &References, &Delivery, &SavedRequest) -> Result<Desired, GiveUp>;

fn product(
    order: &Order,
    integration: &Integration,
    references: &References,
    delivery: &Delivery,
    saved_request: &SavedRequest,
) -> Result<Desired, GiveUp> {
    desired_with(order, integration, references, None, delivery, saved_request)
}

/// What MeaSoft holds after an edit: known lines are replaced, new ones are added, goods that
/// were left out lose their quantity, a prepayment that was left out goes on counting.
fn asked_after_edit(before: &NewOrder, edit: &NewOrder, codes: &BTreeMap<String, String>) -> Kopecks {
    let mut edited = edit.clone();
    for line in &before.items {
        let sent = edit.items.iter().any(|new| new.code.is_some() && new.code == codes.get(&line.extcode).cloned());
        if !sent && line.kind == ItemKind::Prepayment {
            edited.items.push(line.clone());
        }
    }
    collected_by_xml(&edited)
}

fn judge(convert: Convert, parts: &Parts, earlier: &Parts) -> Result<(), TestCaseError> {
    let made = parts.make();
    let convert = |made: &Made| {
        convert(&made.order, &integration(&made.settings), &references(), &delivery(None), &made.saved_request)
    };
    match (convert(&made), &made.expected) {
        (Ok(desired), Expected::Collect(sum)) => {
            prop_assert_eq!(desired.collect, Kopecks(*sum));
            prop_assert_eq!(desired.order.paytype == PayType::No, *sum == 0, "a sum has a way to be paid");
            if *sum != 0 {
                prop_assert_eq!(collected_by_xml(&desired.order), Kopecks(*sum), "what is asked for at MeaSoft");
            }
            // Sent, and edited to this.
            if let Ok(before) = convert(&earlier.make())
                && !before.order.items.is_empty()
                && !desired.order.items.is_empty()
                && *sum != 0
            {
                let lines = before.order.items.iter();
                let codes = lines.map(|line| (line.extcode.clone(), format!("c{}", line.extcode))).collect();
                let edit = with_codes(&desired.order, &codes);
                prop_assert_eq!(asked_after_edit(&before.order, &edit, &codes), Kopecks(*sum), "after an edit");
            }
        }
        (Err(give_up), Expected::Refused(reasons)) => {
            prop_assert!(reasons.contains(&give_up.reason), "{}: {}", give_up.reason, give_up.detail);
            let total = made.order.total_summ.to_string();
            let figures = give_up.detail.to_string();
            let has_figures = figures.contains(&total) || figures.contains("USD");
            let needs_none = [reason::NO_PAYMENT, reason::NOTHING_TO_SEND].contains(&give_up.reason);
            prop_assert!(has_figures || needs_none, "no figures in «{}»", give_up.detail);
        }
        (found, expected) => {
            let found = found.map(|desired| (desired.collect, desired.order.paytype));
            return Err(TestCaseError::fail(format!("expected {expected:?}, found {found:?}")));
        }
    }
    Ok(())
}

fn run(convert: Convert, orders: u32) -> Result<(), String> {
    let config = Config { cases: orders, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner.run(&(parts(), parts()), |(parts, earlier)| judge(convert, &parts, &earlier)).map_err(|e| e.to_string())
}

/// `MONEY_ORDERS=2000000` for more.
#[test]
fn no_order_leaves_with_more_or_less_to_collect_than_the_rule_says() {
    let orders = std::env::var("MONEY_ORDERS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    if let Err(counterexample) = run(product, orders) {
        panic!("{counterexample}");
    }
}

/// A mistake in one branch of the rule, made by telling the product something else.
type Mutant = (&'static str, Convert);

fn with_payments(order: &Order, change: impl Fn(&mut Payment)) -> Order {
    let mut order = order.clone();
    order.payments.iter_mut().for_each(change);
    order
}

fn with_settings(integration: &Integration, change: impl Fn(&mut Settings)) -> Integration {
    let mut integration = integration.clone();
    change(&mut integration.settings);
    integration
}

/// The saved request is bound to the payments it was saved with.
fn rebound(saved_request: &SavedRequest, order: &Order) -> SavedRequest {
    SavedRequest { payments_mark: payments_mark(order), ..saved_request.clone() }
}

fn mutants() -> Vec<Mutant> {
    fn status(order: &Order, from: &str, to: &str) -> Order {
        with_payments(order, |p| {
            if p.status.as_deref() == Some(from) {
                p.status = Some(to.to_owned());
            }
        })
    }
    vec![
        ("what was paid does not count", |order, i, r, d, o| {
            let order = status(order, "paid", "not-paid");
            product(&order, i, r, d, &rebound(o, &order))
        }),
        ("a payment that failed counts", |order, i, r, d, o| {
            let order = status(order, "fail", "not-paid");
            product(&order, i, r, d, &rebound(o, &order))
        }),
        ("a payment that was given back counts as paid", |order, i, r, d, o| {
            let order = status(order, "returned", "paid");
            product(&order, i, r, d, &rebound(o, &order))
        }),
        ("an unknown status is an open one", |order, i, r, d, o| {
            let order = status(order, UNSURE_STATUS, "not-paid");
            product(&order, i, r, d, &rebound(o, &order))
        }),
        ("what is to be paid online is collected", |order, i, r, d, o| {
            let map = |s: &mut Settings| s.paytype_map.extend([("gift".to_owned(), PayKind::Cash)]);
            product(order, &with_settings(i, map), r, d, o)
        }),
        ("a type at the door counts as online", |order, i, r, d, o| {
            let map = |s: &mut Settings| s.paytype_map.extend([("sbp".to_owned(), PayKind::No)]);
            product(order, &with_settings(i, map), r, d, o)
        }),
        ("an unknown type is not collected", |order, i, r, d, o| {
            let map = |s: &mut Settings| s.paytype_map.extend([(UNCLEAR.to_owned(), PayKind::No)]);
            product(order, &with_settings(i, map), r, d, o)
        }),
        ("an unknown type is collected", |order, i, r, d, o| {
            let map = |s: &mut Settings| s.paytype_map.extend([(UNCLEAR.to_owned(), PayKind::Cash)]);
            product(order, &with_settings(i, map), r, d, o)
        }),
        ("a row without an amount asks for nothing", |order, i, r, d, o| {
            let mut order = order.clone();
            order.payments.retain(|p| !p.amount.is_zero());
            product(&order, i, r, d, &rebound(o, &order))
        }),
        ("what no payment covers is given away", |order, i, r, d, o| {
            product(order, &with_settings(i, |s| s.uncovered_rest = UncoveredRest::Nothing), r, d, o)
        }),
        ("what no payment covers is always collected", |order, i, r, d, o| {
            product(order, &with_settings(i, |s| s.uncovered_rest = UncoveredRest::Collect), r, d, o)
        }),
        ("an order without payments is given away", |order, i, r, d, o| {
            product(order, &with_settings(i, |s| s.no_payment = NoPayment::Nothing), r, d, o)
        }),
        ("RetailCRM's word is not listened to", |order, i, r, d, o| {
            product(order, i, r, d, &SavedRequest { collect: None, ..o.clone() })
        }),
        ("RetailCRM's word is taken blindly", |order, i, r, d, o| {
            let mut made = product(order, i, r, d, &SavedRequest { collect: None, ..o.clone() })?;
            made.collect = o.collect.unwrap_or(made.collect);
            Ok(made)
        }),
        ("the vendor's policy counts payment types", |order, i, r, d, o| {
            product(order, &with_settings(i, |s| s.cod_policy = CodPolicy::ByPaymentType), r, d, o)
        }),
        ("any currency is the courier's", |order, i, r, d, o| {
            product(&Order { currency: None, ..order.clone() }, i, r, d, o)
        }),
        ("cancelled positions are shipped", |order, i, r, d, o| {
            let mut order = order.clone();
            order.items.iter_mut().for_each(|item| item.is_canceled = false);
            product(&order, i, r, d, o)
        }),
        ("positions in a cancelling status are shipped", |order, i, r, d, o| {
            let mut order = order.clone();
            order.items.iter_mut().for_each(|item| item.status = None);
            product(&order, i, r, d, o)
        }),
        ("an order of cancelled positions alone is sent", |order, i, r, d, o| {
            let mut order = order.clone();
            order.items.retain(|item| !item.is_canceled && item.status.as_deref() != Some("no-goods"));
            product(&order, i, r, d, o)
        }),
        ("lines need not come to the total", |order, i, r, d, o| {
            let mut order = order.clone();
            let off = order.total_summ - order.delivery.cost;
            if let [only] = order.items.as_mut_slice() {
                only.prices.iter_mut().for_each(|price| (price.price, price.quantity) = (off, 1.into()));
                only.quantity = 1.into();
            }
            product(&order, i, r, d, o)
        }),
        ("what was paid before is not shown to MeaSoft", |order, i, r, d, o| {
            let mut made = product(order, i, r, d, o)?;
            made.order.items.retain(|line| line.kind != ItemKind::Prepayment);
            Ok(made)
        }),
        ("the remainder of rounding goes nowhere", |order, i, r, d, o| {
            let mut made = product(order, i, r, d, o)?;
            made.order.items.retain(|line| !line.extcode.ends_with("-r"));
            Ok(made)
        }),
        ("nothing to collect is sent as cash", |order, i, r, d, o| {
            let mut made = product(order, i, r, d, o)?;
            made.order.paytype = PayType::Cash;
            Ok(made)
        }),
        ("refusals show no figures", |order, i, r, d, o| {
            product(order, i, r, d, o).map_err(|give_up| GiveUp { detail: Details::NONE, ..give_up })
        }),
    ]
}

#[test]
fn a_mistake_in_any_branch_of_the_rule_is_found() {
    let missed: Vec<&str> =
        mutants().into_iter().filter(|(_, mutant)| run(*mutant, 20_000).is_ok()).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
