//! The history of changes of orders (protocols/retailcrm.md#history).

use jiff::civil::DateTime;
use serde_json::Value;

use crate::domain::CrmOrderId;
use crate::retailcrm::tolerant::{Misread, Node, datetime, flag, integer, object};

/// Where a walk through the history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFrom {
    /// After the record with this id: the ordinary way.
    After(i64),
    /// Account time: for the first walk, without a cursor.
    Since(DateTime),
}

/// A piece of the history, ascending by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    pub records: Vec<HistoryRecord>,
    /// Records that could not be read; the cursor passes them.
    pub unreadable: Vec<Misread>,
    /// Greatest id of the piece, the next [`HistoryFrom::After`]; absent when it is empty.
    pub last_id: Option<i64>,
    /// There is more behind `last_id`.
    pub more: bool,
}

object! {
    /// One change of one field. Its values may be names and phones: they are not kept.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HistoryRecord(r) {
        pub id: i64 = r.need("id", integer)?,
        /// Account time.
        pub created_at: Option<DateTime> = r.lax("createdAt", datetime),
        /// The order was deleted.
        pub deleted: bool = r.lax("deleted", flag).unwrap_or_default(),
        /// The order was combined into another, and is none of its own any more.
        pub combined: bool = r.node("combinedTo").is_some_and(|node| !node.value.is_null()),
        /// Made with the very key that asks: our own change.
        pub by_this_key: bool = match r.object("apiKey") {
            Ok(Some(key)) => key.lax("current", flag).unwrap_or_default(),
            _ => false,
        },
        pub order: CrmOrderId = {
            let order = r.object("order")?.ok_or_else(|| r.missing("order"))?;
            CrmOrderId(order.need("id", integer)?)
        },
    }
}

impl HistoryPage {
    /// # Errors
    /// [`Misread`] when `history` is no list.
    pub fn read(answer: &Value) -> Result<Self, Misread> {
        let a = Node::root("answer", answer).fields()?;
        let mut page = Self::default();
        for node in a.elements("history")? {
            let id = node.value.get("id").and_then(|id| integer(id).ok().flatten());
            page.last_id = page.last_id.max(id);
            match node.read(HistoryRecord::read) {
                Ok(record) => page.records.push(record),
                Err(misread) => page.unreadable.push(misread),
            }
        }
        page.records.sort_by_key(|record| record.id);
        let pages = match a.object("pagination") {
            Ok(Some(pagination)) => pagination.lax("totalPageCount", integer),
            _ => None,
        };
        page.more = page.last_id.is_some() && pages.is_some_and(|pages| pages > 1);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use crate::retailcrm::wire::order::read_single;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_sample_tells_who_changed_what() {
        let sample = samples::read("orders-history.json");
        let page = HistoryPage::read(&sample).expect("read");
        assert_eq!((page.records.len(), page.unreadable.len()), (6, 0));
        assert_eq!((page.last_id, page.more), (Some(90_230), false));
        let [created, .., payment, _] = &page.records[..] else { panic!("six") };
        assert_eq!((created.order, created.by_this_key), (CrmOrderId(4817), false));
        assert!(payment.by_this_key, "our own change");
        // The whole order stands in the record of its creation, payments as a list.
        let order = read_single(&sample["history"][0]["order"]).expect("readable");
        assert_eq!(order.payments.len(), 2);
    }

    #[test]
    fn the_cursor_passes_what_cannot_be_read() {
        let page = HistoryPage::read(&json!({
            "history": [{"id": 7, "order": {"id": 1}}, {"id": 9, "order": "?"}, {"id": "8", "order": {"id": 2}}],
            "pagination": {"totalPageCount": 3}
        }))
        .expect("read");
        assert_eq!(page.records.iter().map(|record| record.id).collect::<Vec<_>>(), [7, 8]);
        assert_eq!((page.unreadable.len(), page.last_id, page.more), (1, Some(9), true));
        assert!(!HistoryPage::read(&json!({"history": []})).expect("empty").more);
    }

    #[test]
    fn a_record_tells_that_its_order_is_gone() {
        let page = HistoryPage::read(&json!({"history": [
            {"id": 7, "deleted": true, "order": {"id": 1}}, {"id": 8, "combinedTo": {"id": 3}, "order": {"id": 2}},
            {"id": 9, "combinedTo": null, "ancestor": {"id": 2}, "order": {"id": 3}}]}))
        .expect("read");
        assert_eq!(
            page.records.iter().map(|r| (r.deleted, r.combined)).collect::<Vec<_>>(),
            [(true, false), (false, true), (false, false)]
        );
    }

    proptest! {
        #[test]
        fn no_json_makes_the_history_reader_panic(value in samples::any_json()) {
            let _ = HistoryPage::read(&value);
            let _ = HistoryPage::read(&json!({"history": [value.clone()], "pagination": value}));
        }
    }
}
