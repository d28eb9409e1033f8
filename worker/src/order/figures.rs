//! What of an order at MeaSoft can be laid beside what we would have placed: a table of fields, each
//! in one form on both sides. Pure. Fields that each integration writes in its own way (the line of
//! the address, comments) are not in it.

use std::collections::BTreeMap;

use shared::closed_set;
use shared::crypto::SecretKey;
use shared::domain::{Country, Kopecks, Phone};
use shared::measoft::{ItemKind, NewOrder, PayType, StatusRow};
use shared::store::shadow_orders::Difference;

use crate::order::prepayment::PREPAYMENT;
use crate::order::recognise::{shown_phones, total};

closed_set! {
    /// What is compared, the most important first.
    Field {
        /// Whether the order is there at all.
        Placed => "placed",
        /// The sum to collect.
        Sum => "sum",
        PayType => "paytype",
        /// Quantity and price of the goods, whatever their ids.
        Lines => "lines",
        /// The declared value.
        Declared => "declared",
        Phone => "phone",
        Person => "person",
        Town => "town",
        Date => "date",
        Window => "window",
        Weight => "weight",
        Service => "service",
    }
}

/// A field in one form: ours, and each form in which MeaSoft may show it (none: it does not).
struct Compared {
    field: Field,
    ours: fn(&NewOrder) -> Option<String>,
    theirs: fn(&StatusRow) -> Vec<String>,
}

const TABLE: [Compared; 11] = [
    Compared { field: Field::Sum, ours: |o| total(o).map(|sum| sum.to_string()), theirs: |r| sum(r.price) },
    Compared {
        field: Field::PayType,
        ours: |o| Some(o.paytype.as_str().to_owned()),
        theirs: |r| r.paytype.as_deref().and_then(PayType::parse).map(|p| p.as_str().to_owned()).into_iter().collect(),
    },
    Compared { field: Field::Lines, ours: |o| Some(our_lines(o)), theirs: their_lines },
    Compared {
        field: Field::Declared,
        ours: |o| o.declared.map(|sum| sum.to_string()),
        theirs: |r| sum(r.card.declared),
    },
    Compared {
        field: Field::Phone,
        ours: |o| {
            let all = Phone::find_all(o.receiver.phone.as_deref()?, Country::default());
            all.first().map(|phone| phone.as_str().to_owned())
        },
        theirs: |r| r.receiver_phones.iter().flat_map(|text| shown_phones(text)).collect(),
    },
    Compared { field: Field::Person, ours: |o| plain(o.receiver.person.as_deref()), theirs: |r| some(&r.card.person) },
    Compared {
        field: Field::Town,
        ours: |o| plain(o.receiver.town.as_deref()),
        theirs: |r| some(&r.card.town).into_iter().chain(some(&r.card.town_code)).collect(),
    },
    Compared {
        field: Field::Date,
        ours: |o| o.receiver.date.clone(),
        theirs: |r| r.planned.iter().map(|planned| planned.date.clone()).collect(),
    },
    Compared {
        field: Field::Window,
        ours: |o| window(o.receiver.time_min.as_deref(), o.receiver.time_max.as_deref()),
        theirs: |r| r.planned.iter().filter_map(|p| window(p.from.as_deref(), p.to.as_deref())).collect(),
    },
    Compared {
        field: Field::Weight,
        ours: |o| o.weight.map(|weight| weight.kilograms()),
        theirs: |r| r.card.weight.map(|weight| weight.kilograms()).into_iter().collect(),
    },
    Compared { field: Field::Service, ours: |o| plain(o.service.as_deref()), theirs: |r| some(&r.card.service) },
];

impl Field {
    /// It is about a person: kept blinded, and never shown.
    pub const fn is_personal(self) -> bool {
        matches!(self, Self::Phone | Self::Person)
    }
}

fn sum(sum: Option<Kopecks>) -> Vec<String> {
    sum.map(|sum| sum.to_string()).into_iter().collect()
}

/// Letters and digits only, in lower case: «Москва город» and «москва  город» are one town.
fn plain(text: Option<&str>) -> Option<String> {
    let words = text?.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let text = words.map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    Some(text).filter(|text| !text.is_empty())
}

fn some(text: &Option<String>) -> Vec<String> {
    plain(text.as_deref()).into_iter().collect()
}

fn window(from: Option<&str>, to: Option<&str>) -> Option<String> {
    let short = |time: &str| time.get(..5).unwrap_or(time).to_owned();
    Some(format!("{}-{}", short(from?), short(to?)))
}

fn lines(mut lines: Vec<(u32, Kopecks)>) -> String {
    lines.sort_unstable();
    lines.iter().map(|(quantity, price)| format!("{quantity} × {price}")).collect::<Vec<_>>().join("; ")
}

fn our_lines(order: &NewOrder) -> String {
    let goods = order.items.iter().filter(|item| item.kind == ItemKind::Goods);
    lines(goods.map(|item| (item.quantity, item.retprice)).collect())
}

/// The platform's own lines bear no id of the client's.
fn their_lines(row: &StatusRow) -> Vec<String> {
    // An advance is a line with a sum below zero, whatever another integration calls it.
    let live = row.items.iter().filter(|item| item.quantity > 0 && item.retprice >= Kopecks(0));
    let goods = live.filter(|item| item.extcode.as_deref().is_some_and(|code| !code.is_empty() && code != PREPAYMENT));
    let goods: Vec<_> = goods.map(|item| (item.quantity, item.retprice)).collect();
    if goods.is_empty() || !row.shows_lines() { Vec::new() } else { vec![lines(goods)] }
}

/// What would be there, to be kept.
pub fn of(order: &NewOrder, key: &SecretKey) -> BTreeMap<String, String> {
    let kept = |one: &Compared| {
        let value = (one.ours)(order)?;
        let value = if one.field.is_personal() { key.blind(&value) } else { value };
        Some((one.field.as_str().to_owned(), value))
    };
    TABLE.iter().filter_map(kept).collect()
}

/// What MeaSoft has otherwise, the most important first. What one side does not show is not held
/// against it.
pub fn differences(ours: &BTreeMap<String, String>, row: &StatusRow, key: &SecretKey) -> Vec<Difference> {
    let differs = |one: &Compared| {
        let (ours, theirs) = (ours.get(one.field.as_str())?, (one.theirs)(row));
        let personal = one.field.is_personal();
        let fits = |text: &String| if personal { key.is_blinded(text, ours) } else { text == ours };
        if theirs.is_empty() || theirs.iter().any(fits) {
            return None;
        }
        let shown = |text: &String| Some(text.clone()).filter(|_| !personal);
        let theirs = theirs.first().and_then(shown);
        Some(Difference { field: one.field.as_str().to_owned(), ours: shown(ours), theirs })
    };
    TABLE.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use shared::domain::{Grams, OrderNo};
    use shared::measoft::{Card, Item, Planned, Receiver, StatusItem};

    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes([7; 32])
    }

    fn order() -> NewOrder {
        let receiver = Receiver {
            person: Some("Иванова  Анна".to_owned()),
            phone: Some("+79161234567, anna@example.org".to_owned()),
            town: Some("Москва город".to_owned()),
            date: Some("2026-12-01".to_owned()),
            time_min: Some("10:00".to_owned()),
            time_max: Some("18:00".to_owned()),
            ..Receiver::default()
        };
        let mut order = NewOrder::new(OrderNo::known("7001"), receiver, PayType::Cash);
        order.items = vec![Item::goods("a", "Стул", 2, Kopecks::roubles(100))];
        order.declared = Some(Kopecks::roubles(200));
        order.weight = Some(Grams(1500));
        order
    }

    fn row() -> StatusRow {
        let extcode = Some("their own".to_owned());
        StatusRow {
            price: Some(Kopecks::roubles(200)),
            paytype: Some("CASH".to_owned()),
            receiver_phones: vec!["8 (916) 123-45-67".to_owned()],
            planned: Some(Planned {
                date: "2026-12-01".to_owned(),
                from: Some("10:00:00".to_owned()),
                to: Some("18:00:00".to_owned()),
            }),
            card: Card {
                person: Some("ИВАНОВА АННА".to_owned()),
                town: Some("Москва, город".to_owned()),
                town_code: Some("1".to_owned()),
                declared: Some(Kopecks::roubles(200)),
                weight: Some(Grams(1500)),
                service: Some("1".to_owned()),
            },
            items: vec![StatusItem { extcode, quantity: 2, retprice: Kopecks::roubles(100), ..StatusItem::default() }],
            ..StatusRow::default()
        }
    }

    fn differing(change: impl FnOnce(&mut StatusRow)) -> Vec<(String, Option<String>, Option<String>)> {
        let mut row = row();
        change(&mut row);
        let found = differences(&of(&order(), &key()), &row, &key());
        found.into_iter().map(|one| (one.field, one.ours, one.theirs)).collect()
    }

    #[test]
    fn one_order_written_in_two_ways_is_the_same() {
        assert_eq!(differing(|_| {}), []);
        assert_eq!(differing(|row| *row = StatusRow::default()), [], "what is not shown is not held against it");
        assert_eq!(
            differing(|row| row.card.town = Some("1".to_owned())),
            [("town".into(), Some("москва город".into()), Some("1".into()))]
        );
    }

    #[test]
    fn each_field_that_differs_is_named_money_first_and_people_are_not_shown() {
        let all = differing(|row| {
            row.price = Some(Kopecks::roubles(250));
            row.items[0].quantity = 1;
            row.receiver_phones = vec!["+7 916 000-00-00".to_owned()];
            row.card.person = Some("Пётр".to_owned());
            row.card.weight = Some(Grams(1000));
        });
        let named: Vec<&str> = all.iter().map(|(field, ..)| field.as_str()).collect();
        assert_eq!(named, ["sum", "lines", "phone", "person", "weight"]);
        assert_eq!(all[0], ("sum".into(), Some("200.00".into()), Some("250.00".into())));
        assert_eq!(all[2], ("phone".into(), None, None));
        let kept = format!("{:?}", of(&order(), &key()));
        assert!(!kept.contains("9161234567") && !kept.to_lowercase().contains("анна"), "{kept}");
    }
}
