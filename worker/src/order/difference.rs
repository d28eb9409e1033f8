//! What of an order at MeaSoft would become different. Only what MeaSoft shows is compared. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::Kopecks;
use shared::measoft::{ItemKind, NewOrder, PayType, StatusRow};
use shared::story::{Field as Told, FieldChange};

use crate::order::prepayment::PREPAYMENT;
use crate::order::recognise::total;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The sum to collect.
    Sum,
    PayType,
    /// A line, by the id that we gave it: quantity and price of one.
    Line(String),
}

/// One thing that would be different. `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub orderno: String,
    pub field: Field,
    pub has: Option<String>,
    pub would_have: Option<String>,
}

impl Difference {
    /// As the story tells it once it is made.
    pub fn made(self) -> FieldChange {
        let field = match self.field {
            Field::Sum => Told::Sum,
            Field::PayType => Told::PayType,
            Field::Line(id) => Told::Line { id },
        };
        FieldChange::shown(field, self.has.unwrap_or_default(), self.would_have.unwrap_or_default())
    }
}

/// What would be different.
pub fn of(row: &StatusRow, order: &NewOrder) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differs = |field: Field, has: Option<String>, would_have: Option<String>| {
        if has != would_have {
            found.push(Difference { orderno: order.orderno.as_str().to_owned(), field, has, would_have });
        }
    };
    if let (Some(price), Some(wanted)) = (row.price, total(order)) {
        differs(Field::Sum, Some(price.to_string()), Some(wanted.to_string()));
    }
    if let Some(shown) = row.paytype.as_deref().and_then(PayType::parse) {
        differs(Field::PayType, Some(shown.as_str().to_owned()), Some(order.paytype.as_str().to_owned()));
    }
    let words = |(quantity, price): &(u32, Kopecks)| format!("{quantity} × {price}");
    let shown = row.items.iter().filter(|item| item.quantity > 0);
    let shown: BTreeMap<&str, (u32, Kopecks)> = shown
        .filter_map(|item| Some((item.extcode.as_deref()?, (item.quantity, item.retprice))))
        .filter(|(code, _)| !code.is_empty() && *code != PREPAYMENT)
        .collect();
    // Versions that echo no lines, or not whole, say nothing of them.
    if !row.shows_lines() || shown.is_empty() {
        return found;
    }
    let goods = order.items.iter().filter(|item| item.kind != ItemKind::Prepayment);
    let wanted: BTreeMap<&str, (u32, Kopecks)> =
        goods.map(|item| (item.extcode.as_str(), (item.quantity, item.retprice))).collect();
    let codes: BTreeSet<&str> = shown.keys().chain(wanted.keys()).copied().collect();
    let mut differs = |code: &str| {
        let (has, would_have) = (shown.get(code).map(words), wanted.get(code).map(words));
        if has != would_have {
            let field = Field::Line(code.to_owned());
            found.push(Difference { orderno: order.orderno.as_str().to_owned(), field, has, would_have });
        }
    };
    codes.into_iter().for_each(&mut differs);
    found
}

#[cfg(test)]
mod tests {
    use shared::domain::OrderNo;
    use shared::measoft::{Item, Receiver, StatusItem};

    use super::*;

    fn line(code: &str, quantity: u32, roubles: i64) -> Item {
        Item { extcode: code.to_owned(), quantity, retprice: Kopecks::roubles(roubles), ..Item::default() }
    }

    fn shown(code: &str, quantity: u32, roubles: i64) -> StatusItem {
        let extcode = Some(code.to_owned());
        StatusItem { extcode, quantity, retprice: Kopecks::roubles(roubles), ..StatusItem::default() }
    }

    #[test]
    fn what_measoft_shows_otherwise_than_it_is_wanted_is_named_and_nothing_else() {
        let mut order = NewOrder::new(OrderNo::known("7001"), Receiver::default(), PayType::Cash);
        order.items = vec![line("a", 2, 100), line("b", 1, 50), line("c", 1, 10)];
        let row = StatusRow {
            price: Some(Kopecks::roubles(250)),
            paytype: Some("CARD".to_owned()),
            items: vec![shown("a", 2, 100), shown("b", 2, 50), shown("d", 1, 5), shown("gone", 0, 5)],
            ..StatusRow::default()
        };
        let told: Vec<_> = of(&row, &order).into_iter().map(|d| (d.field, d.has, d.would_have)).collect();
        let text = |text: &str| Some(text.to_owned());
        let line = |code: &str| Field::Line(code.to_owned());
        assert_eq!(
            told,
            [
                (Field::Sum, text("250.00"), text("260.00")),
                (Field::PayType, text("CARD"), text("CASH")),
                (line("b"), text("2 × 50.00"), text("1 × 50.00")),
                (line("c"), None, text("1 × 10.00")),
                (line("d"), text("1 × 5.00"), None),
            ]
        );
        assert_eq!(of(&StatusRow::default(), &order), [], "what is not shown is not held against it");
    }
}
