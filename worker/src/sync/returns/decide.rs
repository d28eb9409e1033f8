//! What an order's positions are to show of a delivery's result. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::domain::Settings;
use shared::phrases::{Detail, Details};
use shared::retailcrm::wire::order::{Item, Order};
use shared::story::{Field, FieldChange};

use crate::sync::returns::facts::Lines;
use crate::vendor::references::References;

/// What a position shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// A decimal without trailing zeros.
    pub(super) quantity: String,
    /// Code of the position status; empty when not given.
    pub(super) status: String,
}

impl Shown {
    fn of(item: &Item) -> Self {
        Self { quantity: item.quantity.normalize().to_string(), status: item.status.clone().unwrap_or_default() }
    }

    fn words(&self) -> String {
        format!("{} {}", self.quantity, self.status).trim_end().to_owned()
    }
}

/// What was written to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// What stood there before.
    before: Shown,
    /// What was ever meant to stand there, the newest last.
    ours: Vec<Shown>,
}

/// By position.
pub(super) type AllWritten = BTreeMap<i64, Written>;

/// What is to be done about an order's positions.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decision {
    /// Positions that are to show something else than they do.
    changes: BTreeMap<i64, (Shown, Shown)>,
    /// What is not known well enough to write it.
    pub(super) unclear: Details,
}

pub(super) struct Question<'a> {
    pub(super) order: &'a Order,
    pub(super) settings: &'a Settings,
    pub(super) references: &'a References,
    /// The module's instance code.
    pub(super) code: &'a str,
    pub(super) lines: &'a Lines,
    pub(super) written: &'a AllWritten,
}

impl Question<'_> {
    pub(super) fn decide(&self) -> Decision {
        let mut decision = Decision::default();
        let Some(refused) = &self.settings.returned_item_status else { return decision };
        if self.order.delivery.integration_code.as_deref().is_some_and(|instance| instance != self.code) {
            return decision;
        }
        let (tally, unclear) = self.tally();
        decision.unclear = unclear;
        for item in &self.order.items {
            let now = Shown::of(item);
            let earlier = self.written.get(&item.id);
            let goal = match self.goal(item, earlier, tally.get(&item.id).copied().unwrap_or_default(), refused) {
                Ok(Some(goal)) => goal,
                Ok(None) => continue,
                Err(unclear) => {
                    decision.unclear = decision.unclear.and(unclear);
                    continue;
                }
            };
            let by_hand = earlier.filter(|line| line.before != now && !line.ours.contains(&now));
            match by_hand.and_then(|line| line.ours.last()) {
                _ if now == goal => {}
                Some(was) => {
                    let (now, was) = (now.words(), was.words());
                    decision.unclear = decision.unclear.and(Detail::LineChanged { id: item.id, now, was });
                }
                None => drop(decision.changes.insert(item.id, (now, goal))),
            }
        }
        decision
    }

    /// Shipped and refused by position, and what belongs to none. The platform's own lines have no
    /// id (protocols/measoft.md#statusreq): they are no position's.
    fn tally(&self) -> (BTreeMap<i64, Count>, Details) {
        let mut tally: BTreeMap<i64, Count> = BTreeMap::new();
        let mut unclear = Details::NONE;
        let lines = &self.lines.lines;
        if lines.iter().all(|line| line.extcode.is_empty()) {
            let returned: u32 = lines.iter().map(|line| line.returned).sum();
            return (tally, if returned > 0 { Detail::LinesUnnamed { returned }.into() } else { unclear });
        }
        for line in lines.iter().filter(|line| !line.extcode.is_empty()) {
            match position(&line.extcode).filter(|id| self.order.items.iter().any(|item| item.id == *id)) {
                Some(id) => {
                    let count = tally.entry(id).or_default();
                    count.shipped = count.shipped.saturating_add(line.quantity);
                    count.refused = count.refused.saturating_add(line.returned);
                }
                None if line.returned > 0 => {
                    let (line, returned) = (line.extcode.clone(), line.returned);
                    unclear = unclear.and(Detail::LineNotThere { line, returned });
                }
                None => {}
            }
        }
        (tally, unclear)
    }

    /// What a position is to show; `None`: it is left alone.
    fn goal(
        &self,
        item: &Item,
        earlier: Option<&Written>,
        Count { shipped, refused }: Count,
        refused_status: &str,
    ) -> Result<Option<Shown>, Detail> {
        let now = Shown::of(item);
        let before = earlier.map_or(&now, |line| &line.before);
        if !self.lines.closed {
            return Ok(earlier.map(|line| line.before.clone()));
        }
        let cancelled = item.is_canceled || self.references.is_cancelling(&now.status);
        if cancelled && earlier.is_none() {
            return Ok(None);
        }
        // Not at the courier, or not known to be: that it was taken is not said of it.
        let was_there = match self.lines.lines.is_empty() {
            true => self.lines.shipped.iter().any(|code| position(code) == Some(item.id)),
            false => shipped > 0,
        };
        if self.settings.delivered_item_status.is_some() && !was_there {
            return Ok(earlier.map(|_| now));
        }
        let or_its_own = |status: Option<&str>| match status {
            Some(status) => status.to_owned(),
            // No status at all cannot be given back.
            None if before.status.is_empty() => now.status.clone(),
            None => before.status.clone(),
        };
        let taken = or_its_own(self.settings.delivered_item_status.as_deref());
        Ok(Some(match refused {
            0 => Shown { quantity: before.quantity.clone(), status: taken },
            all if all >= shipped => {
                Shown { quantity: before.quantity.clone(), status: or_its_own(Some(refused_status)) }
            }
            _ if before.quantity != shipped.to_string() => {
                return Err(Detail::LineQuantity { id: item.id, shipped, quantity: before.quantity.clone() });
            }
            some => Shown { quantity: (shipped - some).to_string(), status: taken },
        }))
    }
}

/// Pieces of a position.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    shipped: u32,
    refused: u32,
}

/// The position that a line of ours was made of (`order/request.rs`): its id, and what tells its
/// lines apart.
fn position(extcode: &str) -> Option<i64> {
    extcode.split('-').next()?.parse().ok()
}

impl Decision {
    pub(super) fn is_to_write(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What will have been written, with what was written before.
    pub(super) fn written(&self, earlier: &AllWritten) -> AllWritten {
        let mut all = earlier.clone();
        for (id, (now, goal)) in &self.changes {
            let line = all.entry(*id).or_insert_with(|| Written { before: now.clone(), ours: Vec::new() });
            line.ours.retain(|was| was != goal);
            line.ours.push(goal.clone());
        }
        all
    }

    /// The edit: a list of positions is the whole list, and what is left out of it is deleted
    /// (protocols/retailcrm.md#editing).
    pub(super) fn patch(&self, order: &Order) -> Value {
        let items = order.items.iter().map(|item| {
            let mut row = json!({ "id": item.id });
            if let Some((_, Shown { quantity, status })) = self.changes.get(&item.id) {
                row["quantity"] = serde_json::from_str(quantity).unwrap_or_else(|_| quantity.as_str().into());
                if !status.is_empty() {
                    row["status"] = status.as_str().into();
                }
            }
            row
        });
        json!({ "items": items.collect::<Vec<_>>() })
    }

    /// For the story.
    pub(super) fn told(&self) -> Vec<FieldChange> {
        let told = |(id, (now, goal)): (&i64, &(Shown, Shown))| {
            FieldChange::shown(Field::Line { id: id.to_string() }, now.words(), goal.words())
        };
        self.changes.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::facts::LineResult;
    use shared::retailcrm::wire::order::read_single;

    fn order(items: &Value) -> Order {
        read_single(&json!({"id": 4817, "number": "A-1", "totalSumm": 1000, "items": items})).expect("an order")
    }

    fn item(id: i64, quantity: &str, status: &str) -> Value {
        json!({"id": id, "quantity": quantity, "status": status, "initialPrice": 100})
    }

    fn lines(lines: &[(&str, u32, u32)]) -> Lines {
        let line = |(extcode, quantity, returned): &(&str, u32, u32)| LineResult {
            extcode: (*extcode).to_owned(),
            quantity: *quantity,
            returned: *returned,
        };
        Lines { closed: true, lines: lines.iter().map(line).collect(), ..Lines::default() }
    }

    fn settings(delivered: Option<&str>) -> Settings {
        Settings {
            returned_item_status: Some("returned".into()),
            delivered_item_status: delivered.map(str::to_owned),
            ..Settings::default()
        }
    }

    fn decide(order: &Order, lines: &Lines, written: &AllWritten, delivered: Option<&str>) -> Decision {
        let (settings, references) = (settings(delivered), References::default());
        Question { order, settings: &settings, references: &references, code: "measoft-1", lines, written }.decide()
    }

    /// Id, quantity and status of what is to be written.
    fn goals(decision: &Decision) -> Vec<(i64, &str, &str)> {
        decision.changes.iter().map(|(id, (_, to))| (*id, to.quantity.as_str(), to.status.as_str())).collect()
    }

    #[test]
    fn what_was_refused_shows_on_its_position_and_every_position_is_named_in_the_edit() {
        let order = order(&json!([item(7, "3", "new"), item(8, "1", "new"), item(9, "2.000", "new")]));
        // Position 7 went out as three lines.
        let lines = lines(&[("7", 1, 0), ("7-2", 1, 1), ("7-2-r", 1, 0), ("8", 1, 1), ("9", 2, 0), ("", 1, 1)]);
        let decision = decide(&order, &lines, &AllWritten::new(), None);
        assert_eq!(goals(&decision), [(7, "2", "new"), (8, "1", "returned")]);
        assert!(decision.unclear.is_empty(), "the platform's own line is no position's");
        assert_eq!(
            decision.patch(&order),
            json!({"items": [
                {"id": 7, "quantity": 2, "status": "new"}, {"id": 8, "quantity": 1, "status": "returned"}, {"id": 9}
            ]})
        );
        let decision = decide(&order, &lines, &AllWritten::new(), Some("delivered"));
        assert_eq!(goals(&decision), [(7, "2", "delivered"), (8, "1", "returned"), (9, "2", "delivered")]);
    }

    #[test]
    fn a_correction_counts_from_what_was_shipped_and_what_is_open_again_shows_nothing_of_it() {
        let before = order(&json!([item(7, "3", "new"), item(8, "1", "new")]));
        let first = decide(&before, &lines(&[("7", 3, 1), ("8", 1, 1)]), &AllWritten::new(), None);
        let written = first.written(&AllWritten::new());
        let after = order(&json!([item(7, "2", "new"), item(8, "1", "returned")]));
        assert_eq!(decide(&after, &lines(&[("7", 3, 1), ("8", 1, 1)]), &written, None), Decision::default());
        let second = decide(&after, &lines(&[("7", 3, 2), ("8", 1, 0)]), &written, None);
        assert_eq!(goals(&second), [(7, "1", "new"), (8, "1", "new")]);
        let written = second.written(&written);
        // The edit was refused, so that the older values stand: they are ours too.
        assert_eq!(
            goals(&decide(&after, &Lines { closed: true, ..Lines::default() }, &written, None)),
            [(7, "3", "new"), (8, "1", "new")]
        );
        assert_eq!(goals(&decide(&after, &Lines::default(), &written, None)), [(7, "3", "new"), (8, "1", "new")]);
        assert_eq!(decide(&before, &Lines::default(), &written, None), Decision::default());
    }

    #[test]
    fn only_what_the_courier_had_is_said_to_be_taken() {
        let order = order(&json!([item(7, "3", "new"), item(8, "1", "new")]));
        let none = AllWritten::new();
        // 8 was added after the hand-over.
        let all = Lines { closed: true, shipped: vec!["7".to_owned(), "7-2".to_owned()], ..Lines::default() };
        assert_eq!(goals(&decide(&order, &all, &none, Some("delivered"))), [(7, "3", "delivered")]);
        // Which lines were refused is not known, or they are of a position that is no more.
        for unknown in [lines(&[("", 5, 2), ("", 1, 0)]), lines(&[("6", 1, 1)])] {
            let decision = decide(&order, &unknown, &none, Some("delivered"));
            assert_eq!((goals(&decision).len(), decision.unclear.is_empty()), (0, false));
        }
    }

    #[test]
    fn what_cannot_be_told_for_certain_is_told_and_not_written() {
        let order = order(&json!([item(7, "5", "new"), item(8, "1", "new")]));
        let unclear = |of: &[(&str, u32, u32)], written: &AllWritten| {
            let decision = decide(&order, &lines(of), written, None);
            (goals(&decision).len(), decision.unclear.to_string())
        };
        let none = AllWritten::new();
        assert_eq!(
            unclear(&[("7", 3, 1), ("8", 1, 1)], &none),
            (1, "line 7: the courier had 3, the order says 5".to_owned()),
            "the others are written"
        );
        let (written, said) = unclear(&[("7", 5, 0), ("6", 1, 1), ("own", 2, 2)], &none);
        assert!(written == 0 && said.contains("«6»") && said.contains("«own»"), "{said}");
        assert_eq!(unclear(&[("", 5, 2), ("", 1, 0)], &none).1, "MeaSoft does not show in which lines 2 were refused");
        let shown = |quantity: &str| Shown { quantity: quantity.into(), status: "new".into() };
        let by_hand = AllWritten::from([(7, Written { before: shown("3"), ours: vec![shown("2")] })]);
        assert_eq!(unclear(&[("7", 3, 2)], &by_hand), (0, "line 7 is 5 new now, 2 new was written".to_owned()));
    }

    #[test]
    fn a_position_that_was_never_shipped_or_is_another_types_is_left_alone() {
        let order = |code: &str| {
            let items = json!([item(7, "1", "cancel"), item(8, "2", "new")]);
            let all = json!({"id": 4817, "number": "A-1", "totalSumm": 1000, "items": items,
                "delivery": {"code": "incity", "integrationCode": code}});
            read_single(&all).expect("an order")
        };
        let all = lines(&[("8", 2, 2)]);
        let none = AllWritten::new();
        assert_eq!(goals(&decide(&order("measoft-1"), &all, &none, Some("delivered"))), [(8, "2", "returned")]);
        assert_eq!(decide(&order("measoft-2"), &all, &none, Some("delivered")), Decision::default());
    }
}
