use jiff::ToSpan as _;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sync::facts::Event;
use crate::testing::at;

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

fn closed(code: &str, paytype: &str, roubles: Option<i64>) -> OrderSnapshot {
    OrderSnapshot {
        events: vec![Event { code: code.into(), at: Some(at(10)) }],
        paytype: (!paytype.is_empty()).then(|| paytype.to_owned()),
        price: roubles.map(Kopecks::roubles),
        ..OrderSnapshot::default()
    }
}

/// «Код статуса оплаты» and «Получать тип и сумму оплаты».
fn settings(status: Option<&str>, receive: bool) -> Settings {
    Settings { payment_status: status.map(str::to_owned), receive_payment: receive, ..Settings::default() }
}

fn create(n: u32, kind: &str, roubles: i64, status: Option<&str>) -> Move {
    let (tag, amount) = (format!("{CODE}-4817-{n}"), Kopecks::roubles(roubles));
    Move::Create { tag, kind: kind.to_owned(), amount, status: status.map(str::to_owned) }
}

fn question<'a>(
    order: &'a Order,
    settings: &'a Settings,
    references: &'a References,
    facts: &'a OrderSnapshot,
) -> Question<'a> {
    Question { order, settings, references, facts, code: CODE, settled: false, replayed: false, used: None }
}

fn decide(order: &Order, settings: &Settings, facts: &OrderSnapshot) -> Decision {
    question(order, settings, &references(), facts).decide()
}

/// The seed's sentences, case by case: name, payments, settings, MeaSoft's closing, and what
/// follows (moves, a letter's reason, or nothing).
const TABLE: &str = r#"
# «Код статуса оплаты … если на момент закрытия заказа оставалась только одна сумма к оплате»
one sum left and it was collected | cash | status | COMPLETE CASH 1000 | set 7
without the code nothing is sent | cash | neither | COMPLETE CASH 1000 | nothing
two sums left | cash, 8 cash not-paid 200 | status | COMPLETE CASH 1200 | payment_several
a payment that failed before is no sum left | 6 bank-card fail 1000, cash | status | COMPLETE CASH 1000 | set 7
a type of the shop's own that is mapped is one of the door | 7 kurier not-paid 1000 | status kurier=Cash | COMPLETE CASH 1000 | set 7
two sums left of which one is online | cash, 8 2 not-paid 200 | status | COMPLETE CASH 1000 | payment_several
one sum left beside a prepayment | 6 2 paid 400, 7 cash not-paid 600 | status | COMPLETE CASH 600 | set 7
nothing left to pay | 7 cash paid 1000 | status | COMPLETE CASH 1000 | nothing
the order has no payment | - | status | COMPLETE CASH 1000 | nothing
another sum was collected | cash | status | COMPLETE CASH 900 | payment_differs
what is left is no cash on delivery | 7 bank-transfer not-paid 1000 | status | COMPLETE CASH 1000 | payment_differs
the type does not matter to the status | 7 bank-card not-paid 1000 | status | COMPLETE CASH 1000 | set 7
a payment of nothing is no sum left | cash, 8 bank-card not-paid 0 | status | COMPLETE CASH 1000 | set 7
the status is there already | 7 cash prepared 1000 | status=prepared | COMPLETE CASH 1000 | nothing
a code that RetailCRM does not have | cash | status=oplachen | COMPLETE CASH 1000 | payment_status_unknown
# Not before the delivery is closed.
a preliminary report of the courier | cash | both | COURIERDELIVERED CARD 900 | nothing
a preliminary report of a part | cash | both | COURIERPARTIALLY CASH 500 | nothing
not delivered | cash | both | CANCELED CASH 1000 | nothing
still on its way | cash | both | DELIVERY CASH 1000 | nothing
# «тип оплаты … не совпадает … и цена заказа не равна нулю: платёж удаляется, создаётся новый»
paid by card instead of cash | cash | both | COMPLETE CARD 1000 | create bank-card 1000 paid, delete 7
paid by card, and another sum | cash | both | COMPLETE CARD 900 | create bank-card 900 paid, delete 7
replaced without a status of its own | cash | receive | COMPLETE CARD 1000 | create bank-card 1000 not-paid, delete 7
an invoice that the courier collected | 7 bank-transfer not-paid 1000 | both | COMPLETE CASH 1000 | create cash 1000 paid, delete 7
another type and nothing collected | cash | both | COMPLETE CARD 0 | payment_not_collected
the same type and nothing collected | cash | both | COMPLETE CASH 0 | payment_not_collected
a row without a sum beside one that is paid online and is not yet | 7 2 not-paid 400, 8 cash not-paid 0 | both | COMPLETE CASH 600 | payment_several
no type at all and nothing collected | cash | both | COMPLETE NO 0 | payment_not_collected
a refund is reported | cash | both | COMPLETE CASH -100 | payment_not_collected
a refund is reported of an order that was paid | 7 cash paid 1000 | status | COMPLETE CASH -100 | payment_not_collected
nothing was collected and nothing was to be | 7 2 paid 1000 | both | COMPLETE NO 0 | nothing
an unpaid invoice is none of the courier's | 7 bank-transfer not-paid 1000 | both | COMPLETE NO 0 | nothing
a row without a sum stands for the rest | 6 2 paid 400, 7 cash not-paid 0 | both | COMPLETE CASH 600 | amount 7 600, set 7
a row without a sum is marked with the one it stands for | 6 2 paid 400, 7 cash not-paid 0 | status | COMPLETE CASH 600 | amount 7 600, set 7
of a row without a sum another sum was collected | 6 2 paid 400, 7 cash not-paid 0 | status | COMPLETE CASH 500 | payment_differs
# The same type, another sum: a partial buy-out.
a part was bought | cash | both | PARTIALLY CASH 640 | amount 7 640, set 7
a part was bought, no status wanted | cash | receive | PARTIALLY CASH 640 | amount 7 640
a part was bought and the rest is on its way back | cash | both | PARTLYRETURNING CASH 640 | amount 7 640, set 7
a part was bought by card | cash | both | PARTIALLY CARD 640 | create bank-card 640 paid, delete 7
as it was meant to be | cash | both | COMPLETE CASH 1000 | set 7
as it was meant to be, no status wanted | cash | receive | COMPLETE CASH 1000 | nothing
another CRM type that means the same at the door | 7 courier-sbp not-paid 1000 | both courier-sbp=Card | COMPLETE CARD 1000 | set 7
the shop's own map of types | cash | both CARD>courier-sbp | COMPLETE CARD 1000 | create courier-sbp 1000 paid, delete 7
of the kind at the door though no type of RetailCRM stands for it | 7 courier-sbp not-paid 1000 | both courier-sbp=Other | COMPLETE OTHER 1000 | set 7
a type of MeaSoft that nothing stands for | cash | both | COMPLETE OTHER 1000 | payment_unmapped
a type mapped to one RetailCRM does not have | cash | both CARD>karta | COMPLETE CARD 1000 | payment_unmapped
a type mapped to an online one | cash | both CARD>2 | COMPLETE CARD 1000 | payment_unmapped
several sums left are nobody's to choose from | cash, 8 bank-card not-paid 200 | both | COMPLETE CARD 1200 | payment_several
# Payments of online modules are never touched.
the sum left is an online payment | 7 2 not-paid 1000 | both | COMPLETE CASH 1000 | payment_online
an online payment and nothing collected | 7 2 not-paid 1000 | both | COMPLETE NO 0 | nothing
collected although everything was paid online | 7 2 paid 1000 | both | COMPLETE CASH 1000 | payment_unexpected
paid at the door and entered by hand already | 7 cash paid 1000 | both | COMPLETE CASH 1000 | nothing
a deposit by card, and the rest entered by hand as it was collected | 6 bank-card paid 400, 7 cash paid 600 | both | COMPLETE CASH 600 | nothing
a deposit in cash, and the rest entered by hand | 6 cash paid 400, 7 cash paid 600 | both | COMPLETE CASH 600 | nothing
what was paid before by card does not pay what was collected in cash | 6 bank-card paid 1000 | both | COMPLETE CASH 1000 | payment_unexpected
the rest had no payment of its own | 6 2 paid 400 | both | COMPLETE CASH 600 | create cash 600 paid
no payment at all | - | receive | COMPLETE CARD 1000 | create bank-card 1000 -
no payment at all, and another sum was collected | - | both | COMPLETE CARD 900 | payment_unexpected
MeaSoft shows no sum | cash | both | COMPLETE CASH - | payment_not_collected
MeaSoft shows no sum of a paid order | 7 2 paid 1000 | both | COMPLETE CASH - | nothing
# An odd kopeck is a difference; no sum is rounded away.
a kopeck more | cash | status | COMPLETE CASH 1000.01 | payment_differs
"#;

/// `7 cash not-paid 1000`; `cash` alone is this one.
fn row(text: &'static str) -> Row {
    if text == "cash" {
        return (7, "cash", "not-paid", 1000);
    }
    let [id, kind, status, roubles] = words(text);
    (number(id), kind, status, number(roubles))
}

/// `both`, `status=prepared`, `both kurier=Cash` (its meaning at the door), `both CARD>2` (MeaSoft's
/// for RetailCRM's).
fn named(text: &str) -> Settings {
    let (name, map) = text.split_once(' ').unwrap_or((text, ""));
    let mut settings = match name.split_once('=') {
        Some((_, status)) => settings(Some(status), false),
        None => settings(matches!(name, "status" | "both").then_some("paid"), matches!(name, "receive" | "both")),
    };
    if let Some((kind, means)) = map.split_once('=') {
        let means = [PayKind::Cash, PayKind::Card, PayKind::Other].into_iter().find(|of| format!("{of:?}") == means);
        settings.paytype_map = [(kind.to_owned(), means.expect("a kind"))].into();
    }
    if let Some((theirs, ours)) = map.split_once('>') {
        settings.payment_type_map = [(theirs.to_owned(), ours.to_owned())].into();
    }
    settings
}

/// `COMPLETE CASH 1000`; a sum of `-` is none.
fn closing(text: &str) -> OrderSnapshot {
    let [code, paytype, sum] = words(text);
    OrderSnapshot { price: Kopecks::parse(sum).ok(), ..closed(code, paytype, None) }
}

/// `set 7`, `amount 7 640`, `delete 7`, `create cash 600 paid`.
fn step(text: &str) -> Move {
    let (what, rest) = text.split_once(' ').expect("a move");
    match what {
        "set" => Move::SetStatus { payment: number(rest), status: "paid".into() },
        "delete" => Move::Delete { payment: number(rest) },
        "amount" => {
            let [id, roubles] = words(rest);
            Move::EditAmount { payment: number(id), amount: Kopecks::roubles(number(roubles)) }
        }
        _ => {
            let [kind, roubles, status] = words(rest);
            create(1, kind, number(roubles), Some(status).filter(|status| *status != "-"))
        }
    }
}

fn words<const N: usize>(text: &str) -> [&str; N] {
    let words: Vec<&str> = text.split(' ').collect();
    words.try_into().unwrap_or_else(|_| panic!("{text} has not {N} words"))
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

#[test]
fn the_table_of_payments() {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in rows {
        let cells: Vec<&'static str> = line.split(" | ").collect();
        let [name, payments, settings, facts, expected] = cells.try_into().expect("five cells");
        let payments: Vec<Row> = payments.split(", ").filter(|text| *text != "-").map(row).collect();
        let found = match decide(&order(&payments), &named(settings), &closing(facts)) {
            Decision::Fits(_) => "nothing".to_owned(),
            Decision::GiveUp(give_up) => give_up.reason.to_owned(),
            Decision::Moves(moves) => {
                let wanted: Vec<Move> = expected.split(", ").filter(|text| text.contains(' ')).map(step).collect();
                assert_eq!(moves, wanted, "{name}");
                expected.to_owned()
            }
        };
        assert_eq!(found, expected, "{name}");
        count += 1;
    }
    assert!(count >= 25);
}

#[test]
fn a_tag_that_an_earlier_payment_bears_is_not_used_again() {
    let mut order = order(&[(7, "cash", "not-paid", 1000)]);
    for (used, n) in [("3", 4), ("3-back-7", 4), ("x", 1)] {
        order.payments[0].external_id = Some(format!("{CODE}-4817-{used}"));
        let found = decide(&order, &settings(None, true), &closed("COMPLETE", "CARD", Some(1000)));
        let moves = vec![create(n, "bank-card", 1000, Some("not-paid")), Move::Delete { payment: 7 }];
        assert_eq!(found, Decision::Moves(moves));
    }
}

#[test]
fn an_order_of_another_module_is_left_alone() {
    let (order, settings) = (order(&[(7, "cash", "not-paid", 1000)]), settings(Some("paid"), true));
    let (references, facts) = (references(), closed("COMPLETE", "CARD", Some(1000)));
    let found = Question { code: "measoft-9", ..question(&order, &settings, &references, &facts) }.decide();
    assert!(matches!(found, Decision::Fits(_)));
}

#[test]
fn what_was_paid_on_a_day_before_it_was_handed_over_was_not_paid_at_the_door() {
    let mut order = order(&[(7, "cash", "paid", 1000)]);
    let mut facts = closed("COMPLETE", "CASH", Some(1000));
    facts.events.insert(0, Event { code: "NEW".into(), at: Some(at(0)) });
    let handed_over = ZonedDateTime::new(at(0), references().zone).datetime();
    let both = settings(Some("paid"), true);
    for (paid_at, entered) in [(handed_over - 2.days(), false), (handed_over, true), (handed_over + 2.days(), true)] {
        order.payments[0].paid_at = Some(paid_at);
        assert_eq!(matches!(decide(&order, &both, &facts), Decision::Fits(_)), entered, "{paid_at}");
    }
}

#[test]
fn a_correction_of_what_was_settled_is_looked_at_whoever_entered_it() {
    let (order, settings) = (order(&[(7, "cash", "paid", 1000)]), settings(Some("paid"), false));
    let references = references();
    for (roubles, fits) in [(1000, true), (900, false)] {
        let facts = closed("COMPLETE", "CASH", Some(roubles));
        let found = Question { settled: true, ..question(&order, &settings, &references, &facts) }.decide();
        assert_eq!(matches!(found, Decision::Fits(_)), fits, "{found:?}");
    }
}

/// An order as it is once moves were carried out.
fn after(order: &Order, moves: &[Move]) -> Order {
    let mut order = order.clone();
    for one in moves {
        match one {
            Move::EditAmount { payment, amount } => {
                order.payments.iter_mut().filter(|p| p.id == *payment).for_each(|p| p.amount = *amount);
            }
            Move::SetStatus { payment, status } => {
                order.payments.iter_mut().filter(|p| p.id == *payment).for_each(|p| p.status = Some(status.clone()));
            }
            Move::Delete { payment } => order.payments.retain(|p| p.id != *payment),
            Move::Create { tag, kind, amount, status } => order.payments.push(Payment {
                id: 1000,
                kind: kind.clone(),
                status: status.clone().or(Some("not-paid".into())),
                amount: *amount,
                external_id: Some(tag.clone()),
                paid_at: None,
            }),
        }
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_is_done_once_and_is_what_measoft_says(
        rows in vec(
            (
                prop::sample::select(vec!["cash", "bank-card", "courier-sbp", "bank-transfer", "2"]),
                prop::sample::select(vec!["not-paid", "paid", "prepared"]),
                prop::sample::select(vec![0_i64, 100, 400, 600, 1000]),
            ),
            0..4,
        ),
        paytype in prop::sample::select(vec!["CASH", "CARD", "OTHER", "NO", "OPTION", ""]),
        roubles in prop::option::of(prop::sample::select(vec![-100_i64, 0, 100, 400, 600, 1000])),
        code in prop::sample::select(vec!["COMPLETE", "PARTIALLY", "CANCELED", "COURIERDELIVERED", "SOMETHING_NEW"]),
        status in any::<bool>(),
        receive in any::<bool>(),
    ) {
        let rows: Vec<Row> = (1..).zip(&rows).map(|(id, (kind, status, sum))| (id, *kind, *status, *sum)).collect();
        let (order, settings) = (order(&rows), settings(status.then_some("paid"), receive));
        let facts = closed(code, paytype, roubles);
        let references = references();
        let moves = match decide(&order, &settings, &facts) {
            Decision::Moves(moves) => moves,
            Decision::Fits(_) => return Ok(()),
            Decision::GiveUp(give_up) => {
                // Whoever reads the letter can compare.
                prop_assert!(!give_up.detail.is_empty());
                prop_assert!(facts.is_closed() && (status || receive));
                return Ok(());
            }
        };
        prop_assert!(facts.is_closed() && facts.price.is_some_and(|price| price > Kopecks::ZERO));
        let done = after(&order, &moves);
        // What was paid, and what belongs to an online module, is as it was.
        for before in order.payments.iter() {
            let paid = before.status.as_deref() == Some("paid");
            if paid || references.is_online(&before.kind) {
                prop_assert_eq!(done.payment(before.id), Some(before));
            }
        }
        // One sum was left or none, and what stands for it is MeaSoft's sum.
        let unpaid = |order: &Order| {
            let left = |p: &&Payment| p.status.as_deref() != Some("paid") && p.amount > Kopecks::ZERO;
            order.payments.iter().filter(left).count()
        };
        prop_assert!(unpaid(&done) <= unpaid(&order).max(1));
        prop_assert!(done.payments.iter().any(|p| Some(p.amount) == facts.price));
        if receive {
            // An order keeps a payment at every step.
            for steps in 0..=moves.len() {
                prop_assert!(after(&order, &moves[..steps]).payments.len() >= order.payments.len().min(1));
            }
        }
        // Looked at again with the same facts: nothing more is done.
        let again = Question { settled: true, ..question(&done, &settings, &references, &facts) }.decide();
        prop_assert!(matches!(again, Decision::Fits(_)) || matches!(&again, Decision::Moves(m) if m.is_empty()), "{again:?}");
    }
}
