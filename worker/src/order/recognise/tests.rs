use shared::domain::OrderNo;
use shared::measoft::{Fee, Receiver};

use crate::order::recognise::*;

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

/// Two chairs and a lamp for 3790 in cash, 400 of it paid before.
fn desired() -> Desired {
    let receiver = Receiver { phone: Some("+79160001122, +74950001122".to_owned()), ..Receiver::default() };
    let mut order = NewOrder::new(OrderNo::known("1234A"), receiver, PayType::Cash);
    let mut prepayment = Item::goods(PREPAYMENT, "Предоплата", 1, Kopecks::roubles(-400));
    prepayment.kind = ItemKind::Prepayment;
    order.items = vec![
        Item::goods("3301", "Стул", 2, Kopecks::roubles(1400)),
        Item::goods("3302", "Лампа", 1, Kopecks::roubles(990)),
        prepayment,
    ];
    order.delivery_price = Some(Fee { sum: Kopecks::roubles(400), vat: 0 });
    Desired { order, collect: Kopecks::roubles(3790), hash: "h".to_owned(), undeclared_hash: "u".to_owned() }
}

fn line(extcode: Option<&str>, quantity: u32, retprice: i64) -> StatusItem {
    StatusItem {
        code: extcode.map(|extcode| format!("c{extcode}")),
        extcode: extcode.map(str::to_owned),
        quantity,
        retprice: Kopecks::roubles(retprice),
        returns: 0,
    }
}

/// The desired order as MeaSoft shows it: with lines of its own, phones in its own form.
fn row() -> StatusRow {
    StatusRow {
        orderno: Some(OrderNo::known("1234A")),
        price: Some(Kopecks::roubles(3790)),
        receiver_phones: vec!["+7 (916) 000-11-22".to_owned()],
        items: vec![line(Some("3301"), 2, 1400), line(Some("3302"), 1, 990), line(None, 1, -400), line(None, 1, 400)],
        ..StatusRow::default()
    }
}

fn with(change: impl FnOnce(&mut StatusRow)) -> StatusRow {
    let mut row = row();
    change(&mut row);
    row
}

#[test]
fn whether_a_found_order_is_ours() {
    let cases = [
        ("as it was sent, phones in MeaSoft's form", row(), true),
        ("the second phone beside ours", with(|r| r.receiver_phones.push("84950001122".to_owned())), true),
        (
            "several phones in one field",
            with(|r| r.receiver_phones = vec!["+74950001122, 8 916 0001122".to_owned()]),
            true,
        ),
        ("phones are not shown", with(|r| r.receiver_phones.clear()), true),
        ("what is shown is no phone", with(|r| r.receiver_phones = vec!["anna@example.org".to_owned()]), true),
        ("another phone", with(|r| r.receiver_phones = vec!["+7 999 000-00-00".to_owned()]), false),
        ("the sum is not shown", with(|r| r.price = None), true),
        ("another sum", with(|r| r.price = Some(Kopecks::roubles(3791))), false),
        ("no lines are shown", with(|r| r.items.clear()), true),
        ("our line ids do not come back", with(|r| r.items.iter_mut().for_each(|item| item.extcode = None)), true),
        (
            "our line ids come back empty",
            with(|r| r.items.iter_mut().for_each(|item| item.extcode = Some(String::new()))),
            true,
        ),
        ("the prepayment line brings its id back", with(|r| r.items[2].extcode = Some(PREPAYMENT.to_owned())), true),
        ("a line more", with(|r| r.items.push(line(Some("9"), 1, 1))), false),
        ("a line less", with(|r| drop(r.items.remove(1))), false),
        ("other lines", with(|r| r.items[0].extcode = Some("77".to_owned())), false),
        ("a line that was taken out stays with zero", with(|r| r.items[1].quantity = 0), true),
        ("a foreign line that was taken out", with(|r| r.items.push(line(Some("9"), 0, 1))), true),
    ];
    let sent = fingerprint(&desired(), &key());
    for (name, row, expected) in cases {
        assert_eq!(is_ours(&row, &sent, &key()), expected, "{name}");
    }
}

#[test]
fn an_order_we_did_not_send_is_told_by_its_phone_alone() {
    let sent = Fingerprint { price: None, extcodes: vec![], ..fingerprint(&desired(), &key()) };
    assert!(is_ours(&row(), &sent, &key()));
    let foreign = with(|r| r.receiver_phones = vec!["+79990000000".to_owned()]);
    assert!(!is_ours(&foreign, &sent, &key()));
}

#[test]
fn the_fingerprint_keeps_no_phone() {
    let mark = serde_json::to_string(&fingerprint(&desired(), &key())).expect("serialises");
    assert!(!mark.contains("9160001122") && !mark.contains("4950001122"), "{mark}");
    let other = fingerprint(&desired(), &SecretKey::from_bytes([8; 32]));
    assert_ne!(fingerprint(&desired(), &key()).phone_hash, other.phone_hash, "it is keyed");
}

#[test]
fn whether_an_edit_shows() {
    let cases = [
        ("as wanted, with the platform's own lines", row(), true),
        ("lines of earlier edits stay with zero", with(|r| r.items.push(line(Some("3299"), 0, 500))), true),
        ("the sum is not shown", with(|r| r.price = None), true),
        ("the old sum", with(|r| r.price = Some(Kopecks::roubles(2800))), false),
        ("the old quantity", with(|r| r.items[0].quantity = 1), false),
        ("the old price", with(|r| r.items[0].retprice = Kopecks::roubles(1300)), false),
        ("a line is missing", with(|r| drop(r.items.remove(0))), false),
        ("a line was added twice", with(|r| r.items.push(line(Some("3302"), 1, 990))), false),
        ("a line that should have gone", with(|r| r.items.push(line(Some("3299"), 1, 500))), false),
        ("everything was taken out", with(|r| r.items.iter_mut().for_each(|item| item.quantity = 0)), false),
        ("no line ids, the right sum", with(|r| r.items.iter_mut().for_each(|item| item.extcode = None)), true),
        (
            "no line ids, the wrong sum",
            with(|r| {
                r.items.clear();
                r.price = Some(Kopecks::roubles(1));
            }),
            false,
        ),
        ("lines without prices", with(|r| r.items.iter_mut().for_each(|item| item.retprice = Kopecks::ZERO)), true),
        (
            "lines without prices and of another quantity",
            with(|r| {
                r.items.iter_mut().for_each(|item| item.retprice = Kopecks::ZERO);
                r.items[0].quantity = 3;
            }),
            false,
        ),
    ];
    for (name, row, expected) in cases {
        assert_eq!(shows(&row, &desired()), expected, "{name}");
    }
}

#[test]
fn an_edit_names_the_lines_that_are_there_and_adds_the_others() {
    let codes = item_codes(&row());
    assert_eq!(codes.len(), 2, "the platform's own lines have no id of ours");
    let mut order = desired().order;
    order.barcode = Some("B".to_owned());
    order.items.push(Item::goods("3400", "Новое", 1, Kopecks::ZERO));
    let edited = with_codes(&order, &codes);
    let found: Vec<Option<&str>> = edited.items.iter().map(|item| item.code.as_deref()).collect();
    assert_eq!(found, [Some("c3301"), Some("c3302"), None, None]);
    assert_eq!(edited.barcode, None, "forbidden in an edit");
}

#[test]
fn of_two_lines_with_one_id_the_live_one_is_edited() {
    for at in [0, 4] {
        let row = with(|r| {
            let mut old = line(Some("3301"), 0, 1400);
            old.code = Some("old".to_owned());
            r.items.insert(at, old);
        });
        assert_eq!(item_codes(&row)["3301"], "c3301");
    }
}

#[test]
fn the_total_of_a_request() {
    let total_of = |change: fn(&mut NewOrder)| {
        let mut order = desired().order;
        change(&mut order);
        total(&order)
    };
    assert_eq!(total_of(|_| {}), Some(Kopecks::roubles(3790)));
    assert_eq!(total_of(|o| o.delivery_price = None), Some(Kopecks::roubles(3390)));
    assert_eq!(total_of(|o| o.items[2].quantity = 7), Some(Kopecks::roubles(3790)), "a prepayment has no quantity");
    assert_eq!(total_of(|o| o.paytype = PayType::No), Some(Kopecks::ZERO), "the platform balances it");
    assert_eq!(total_of(|o| o.items.clear()), Some(Kopecks::roubles(400)));
    assert_eq!(total_of(|o| o.items[0].retprice = Kopecks(i64::MAX)), None, "too large");
}
