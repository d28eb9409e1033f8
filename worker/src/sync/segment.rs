//! Rows of the status stream as they wait to be unpacked: two lines of JSON for each, who
//! and what it is, then its facts (an empty line when there are none). Pure.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shared::crypto::{SecretKey, sha256_hex};
use shared::measoft::Row;
use shared::store::status_stream::{NewRow, Owner, RowState};

use crate::sync::facts::{self, OrderSnapshot};

/// Why a row of a segment that no release can read is set aside.
const UNREADABLE: &str = "the stored row cannot be read";

/// What is kept of a row before anybody knows whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredRow {
    mark: String,
    pub(crate) orderno: Option<String>,
    ordercode: Option<String>,
    /// Why it is set aside.
    why: Option<String>,
    /// [`OrderSnapshot`] as JSON.
    #[serde(skip)]
    facts: Option<String>,
}

impl StoredRow {
    pub(crate) fn of(row: &Row, key: &SecretKey) -> Self {
        match row {
            Ok(row) => {
                let facts = OrderSnapshot::detailed(row, key);
                Self {
                    mark: facts::mark(row),
                    facts: Some(serde_json::to_string(&facts).expect("facts serialise")),
                    orderno: facts.orderno,
                    ordercode: facts.ordercode,
                    why: None,
                }
            }
            Err(bad) => {
                let orderno = bad.orderno.as_ref().map(ToString::to_string);
                let key = facts::order_key(orderno.as_deref(), bad.ordercode.as_deref());
                Self {
                    mark: sha256_hex(format!("poison|{key}|{}", bad.why).as_bytes()),
                    orderno,
                    ordercode: bad.ordercode.clone(),
                    why: Some(bad.why.clone()),
                    facts: None,
                }
            }
        }
    }

    /// The row as it is stored: somebody's or nobody's.
    pub(crate) fn owned(self, owners: &HashMap<String, Vec<Owner>>) -> NewRow {
        let ordercode = self.ordercode.as_deref();
        let owner = self.orderno.as_deref().and_then(|number| owner(owners, number, ordercode));
        NewRow {
            order_key: facts::order_key(self.orderno.as_deref(), ordercode),
            delivery: owner.map(|o| (o.delivery, o.integration)),
            state: match (&self.why, owner) {
                (Some(_), _) => RowState::Parked,
                (None, Some(_)) => RowState::Pending,
                (None, None) => RowState::Foreign,
            },
            facts: self.facts.filter(|_| owner.is_some()),
            mark: self.mark,
            why: self.why,
            orderno: self.orderno,
            ordercode: self.ordercode,
        }
    }
}

/// Owners by our number. Two integrations of one cabinet have distinct prefixes, so more
/// than one owner means a number from before: then MeaSoft's own code decides.
pub(crate) fn by_number(owners: Vec<Owner>) -> HashMap<String, Vec<Owner>> {
    let mut map: HashMap<String, Vec<Owner>> = HashMap::with_capacity(owners.len());
    for owner in owners {
        map.entry(owner.orderno.clone()).or_default().push(owner);
    }
    map
}

fn owner<'a>(owners: &'a HashMap<String, Vec<Owner>>, orderno: &str, ordercode: Option<&str>) -> Option<&'a Owner> {
    let candidates = owners.get(orderno)?;
    // Numbers repeat over the years; a code that is known and differs is another order.
    let mut fitting = candidates.iter().filter(|o| match (o.ordercode.as_deref(), ordercode) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    });
    let first = fitting.next()?;
    fitting.find(|o| o.ordercode.is_some()).or(Some(first))
}

/// Rows of a segment. Of this length a statement fits one packet of the loopback interface: a
/// longer one's last part waits for the acknowledgement of the others, 40 ms at worst, since
/// the database library leaves Nagle's algorithm on.
const ROWS: usize = 64;

/// Rows as texts of at most [`ROWS`], with how many each holds. JSON has no line breaks of its
/// own.
pub(crate) fn write(rows: impl Iterator<Item = Row>, key: &SecretKey) -> Vec<(usize, String)> {
    let mut segments = Vec::new();
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let (mut text, mut count) = (Vec::new(), 0);
        for row in rows.by_ref().take(ROWS) {
            let kept = StoredRow::of(&row, key);
            serde_json::to_writer(&mut text, &kept).expect("four texts serialise");
            text.push(b'\n');
            text.extend_from_slice(kept.facts.unwrap_or_default().as_bytes());
            text.push(b'\n');
            count += 1;
        }
        segments.push((count, String::from_utf8(text).expect("JSON is UTF-8")));
    }
    segments
}

/// The rows of a text, in its order and as many as were written. One that cannot be read is
/// set aside with its reason.
pub(crate) fn read(text: &str) -> Vec<StoredRow> {
    let mut lines = text.lines();
    let mut rows = Vec::new();
    while let Some(head) = lines.next() {
        let facts = lines.next().filter(|facts| !facts.is_empty()).map(str::to_owned);
        let kept = serde_json::from_str(head).ok().filter(|kept: &StoredRow| !kept.mark.is_empty());
        rows.push(match kept {
            Some(kept) => StoredRow { facts, ..kept },
            None => StoredRow {
                mark: sha256_hex(head.as_bytes()),
                why: Some(UNREADABLE.to_owned()),
                ..StoredRow::default()
            },
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::status_row;
    use shared::domain::{DeliveryId, IntegrationId, OrderNo};
    use shared::measoft::PoisonRow;

    fn poison(orderno: &str) -> Row {
        Err(PoisonRow {
            orderno: Some(OrderNo::known(orderno)), ordercode: None, why: "«price» is not\na sum".into()
        })
    }

    fn key() -> SecretKey {
        SecretKey::from_bytes([7; 32])
    }

    fn kept(row: &Row) -> StoredRow {
        StoredRow::of(row, &key())
    }

    fn whole(rows: &[Row]) -> String {
        write(rows.iter().cloned(), &key()).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_is_written_is_read_back_in_its_order() {
        let mut odd = status_row("A \"1\"\n", "CANCELED", 10);
        odd.deliveredto = Some("Отказ:\nне подошёл цвет\u{2028}".into());
        let rows = [Ok(odd), poison("A-2"), Ok(status_row("A-3", "COMPLETE", 20))];
        assert_eq!(read(&whole(&rows)), rows.iter().map(kept).collect::<Vec<_>>());
        assert!(read("").is_empty());
        let many = vec![rows[0].clone(); ROWS * 2 + 3];
        let written = write(many.iter().cloned(), &key());
        assert_eq!(written.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [ROWS, ROWS, 3]);
        assert!(written.iter().all(|(count, text)| read(text).len() == *count));
    }

    #[test]
    fn a_row_that_no_release_can_read_is_set_aside_and_costs_nothing_but_itself() {
        let rows = [Ok(status_row("A-1", "NEW", 10)), Ok(status_row("A-2", "NEW", 10))];
        let text = whole(&rows);
        let (_, rest) = text.split_once('\n').expect("lines");
        let read = read(&format!("{{\"mark\":7}}\n{rest}"));
        assert_eq!(read.len(), 2);
        assert_eq!(read[1], kept(&rows[1]));
        let row = read[0].clone().owned(&HashMap::new());
        assert_eq!((row.state, row.why.as_deref()), (RowState::Parked, Some(UNREADABLE)));
        assert!(!row.mark.is_empty());
    }

    #[test]
    fn facts_are_kept_of_our_own_orders_only() {
        let row = Ok(status_row("A-1", "NEW", 10));
        let owner = Owner {
            delivery: DeliveryId(7),
            integration: IntegrationId(1),
            orderno: "A-1".to_owned(),
            ordercode: None,
        };
        let ours = kept(&row).owned(&by_number(vec![owner]));
        assert_eq!((ours.state, ours.delivery), (RowState::Pending, Some((DeliveryId(7), IntegrationId(1)))));
        assert!(ours.facts.is_some());
        let foreign = kept(&row).owned(&HashMap::new());
        assert_eq!((foreign.state, foreign.facts), (RowState::Foreign, None));
        assert_eq!(ours.mark, foreign.mark);
    }
}
