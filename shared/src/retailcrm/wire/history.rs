//! The history of changes of orders (retailcrm-api.md I.1).

use std::fmt;

use jiff::civil::DateTime;
use serde_json::Value;

use crate::domain::CrmOrderId;
use crate::retailcrm::tolerant::{Misread, Node, datetime, flag, integer, text};

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

/// One change of one field.
#[derive(Clone, PartialEq)]
pub struct HistoryRecord {
    pub id: i64,
    /// Account time.
    pub created_at: Option<DateTime>,
    /// The order was created.
    pub created: bool,
    /// The order was deleted.
    pub deleted: bool,
    /// The order was combined into another, and is none of its own any more.
    pub combined: bool,
    /// `user`, `api`, `rule`…
    pub source: Option<String>,
    /// Made with the very key that asks: our own change.
    pub by_this_key: bool,
    /// `status`, `delivery_type`, `payments.status`…
    pub field: Option<String>,
    /// Nothing, a scalar, `{code}`, `{id, type}`, `{from, to}`…
    pub old_value: Value,
    pub new_value: Value,
    pub order: CrmOrderId,
    pub order_external_id: Option<String>,
    pub site: Option<String>,
    /// Status of the order at the time of asking.
    pub status: Option<String>,
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
            match HistoryRecord::read(&node) {
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

impl HistoryRecord {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let r = node.fields()?;
        let order = r.object("order")?.ok_or_else(|| r.missing("order"))?;
        let value = |name: &str| r.node(name).map_or(Value::Null, |node| node.value.clone());
        Ok(Self {
            id: r.need("id", integer)?,
            created_at: r.lax("createdAt", datetime),
            created: r.lax("created", flag).unwrap_or_default(),
            deleted: r.lax("deleted", flag).unwrap_or_default(),
            combined: r.node("combinedTo").is_some_and(|node| !node.value.is_null()),
            source: r.lax("source", text),
            by_this_key: match r.object("apiKey") {
                Ok(Some(key)) => key.lax("current", flag).unwrap_or_default(),
                _ => false,
            },
            field: r.get("field", text)?,
            old_value: value("oldValue"),
            new_value: value("newValue"),
            order: CrmOrderId(order.need("id", integer)?),
            order_external_id: order.lax("externalId", text),
            site: order.lax("site", text),
            status: order.lax("status", text),
        })
    }

    /// The code in the old value: of the delivery type a *cancel* left, for one.
    #[must_use]
    pub fn old_code(&self) -> Option<String> {
        code_of(&self.old_value)
    }

    #[must_use]
    pub fn new_code(&self) -> Option<String> {
        code_of(&self.new_value)
    }
}

fn code_of(value: &Value) -> Option<String> {
    text(value.get("code").unwrap_or(value)).ok().flatten()
}

/// Values may be names and phones.
impl fmt::Debug for HistoryRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryRecord")
            .field("id", &self.id)
            .field("order", &self.order)
            .field("field", &self.field)
            .field("source", &self.source)
            .field("by_this_key", &self.by_this_key)
            .finish_non_exhaustive()
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
        let [created, status, time, kind, payment, quantity] = &page.records[..] else { panic!("six") };
        assert!(created.created && !created.by_this_key);
        assert_eq!(created.order, CrmOrderId(4817));
        assert_eq!(created.old_code(), None);
        assert_eq!(status.new_code().as_deref(), Some("SentMeaSoft"));
        assert_eq!(status.source.as_deref(), Some("user"));
        assert_eq!(time.new_code(), None, "no code in a time");
        assert_eq!(kind.field.as_deref(), Some("delivery_type"));
        assert_eq!((kind.old_code().as_deref(), kind.new_code().as_deref()), (Some("incity"), Some("russian-post")));
        assert!(payment.by_this_key, "our own change");
        assert_eq!(quantity.old_code().as_deref(), Some("2"));
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

    #[test]
    fn debug_shows_no_values() {
        let page = HistoryPage::read(&json!({"history": [
            {"id": 7, "field": "first_name", "oldValue": "Анна", "newValue": "Яна", "order": {"id": 1}}]}))
        .expect("read");
        let debug = format!("{page:?}");
        assert!(debug.contains("first_name") && !debug.contains("Анна") && !debug.contains("Яна"), "{debug}");
    }

    proptest! {
        #[test]
        fn no_json_makes_the_history_reader_panic(value in samples::any_json()) {
            let _ = HistoryPage::read(&value);
            let _ = HistoryPage::read(&json!({"history": [value.clone()], "pagination": value}));
        }
    }
}
