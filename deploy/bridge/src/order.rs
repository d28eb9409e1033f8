//! `bridge order show`: what happened to one order, or to each of several that bore one number.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};
use shared::domain::{CrmOrderId, Delivery, IntegrationId};
use shared::store::Store;
use shared::store::journal::Kept;
use shared::store::past_deliveries::PastDelivery;

use crate::args::OrderCommand;
use crate::output::{Failure, Output, bold, dim};

/// An order at an integration.
type Key = (IntegrationId, CrmOrderId);

/// What is known under a number: RetailCRM's or ours at MeaSoft.
#[derive(Debug)]
pub struct Story {
    pub number: String,
    pub deliveries: Vec<Delivery>,
    /// Deliveries that are over, and what bore a number before it was placed anew.
    pub past: Vec<PastDelivery>,
    /// Of all of them, oldest first.
    pub timeline: Vec<Kept>,
}

pub async fn run(command: OrderCommand, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let OrderCommand::Show { number, integration, verbose } = command;
    let story = Story::of(store, &number, integration).await?;
    if story.orders().is_empty() && story.timeline.is_empty() {
        return Err(Failure::sentence(format!("nothing is known of an order «{number}»: no trigger named it so far")));
    }
    out.answer(&story.document(), || story.lines(verbose).iter().for_each(|line| println!("{line}")));
    Ok(ExitCode::SUCCESS)
}

impl Story {
    /// The ledger's rows under a number, what is over, and the timeline.
    ///
    /// # Errors
    /// Of the store.
    pub async fn of(store: &Store, number: &str, integration: Option<i64>) -> Result<Self, Failure> {
        let integration = integration.map(IntegrationId);
        let deliveries = store.deliveries_by_number(number, integration).await?;
        let mut past = store.past_by_number(number, integration).await?;
        // Whatever number an order had then.
        let mut keys: BTreeSet<Key> = deliveries.iter().map(|d| (d.integration, d.crm_order)).collect();
        keys.extend(past.iter().map(|past| (past.integration, past.crm_order)));
        for (integration, order) in &keys {
            let more = store.past_deliveries(*integration, &[*order]).await?;
            past.extend(more.into_iter().filter(|m| !past.contains(m)).collect::<Vec<_>>());
        }
        past.sort_by_key(|past| (past.integration, past.crm_order, past.generation));
        let mut story = Self { number: number.to_owned(), deliveries, past, timeline: Vec::new() };
        let mut timeline = store.timeline(number, &[], integration).await?;
        for (integration, order) in &keys {
            let (numbers, ordernos) = story.names(&(*integration, *order));
            // RetailCRM's exchanges about one order are kept under its id.
            for name in numbers.into_iter().chain([format!("id:{order}")]) {
                timeline.extend(store.timeline(&name, &ordernos, Some(*integration)).await?);
            }
        }
        timeline.sort_by_key(|kept| (kept.at, kept.id));
        timeline.dedup_by_key(|kept| kept.id);
        story.timeline = timeline;
        Ok(story)
    }

    fn orders(&self) -> BTreeSet<Key> {
        let known = self.deliveries.iter().map(|d| (d.integration, d.crm_order));
        known.chain(self.past.iter().map(|past| (past.integration, past.crm_order))).collect()
    }

    /// Numbers of an order in RetailCRM, and at MeaSoft.
    fn names(&self, key: &Key) -> (Vec<String>, Vec<String>) {
        let mut numbers = BTreeSet::new();
        let mut ordernos = BTreeSet::new();
        for d in self.deliveries.iter().filter(|d| (d.integration, d.crm_order) == *key) {
            numbers.insert(d.number.clone());
            ordernos.insert(d.orderno.as_str().to_owned());
        }
        for past in self.past.iter().filter(|past| (past.integration, past.crm_order) == *key) {
            numbers.insert(past.number.clone());
            ordernos.insert(past.orderno.as_str().to_owned());
        }
        (numbers.into_iter().collect(), ordernos.into_iter().collect())
    }

    /// Whose an entry is; `None` when it names only a number that several bore.
    fn order_of(&self, kept: &Kept) -> Option<Key> {
        let of_integration: Vec<Key> = self
            .orders()
            .into_iter()
            .filter(|(integration, _)| kept.integration.is_none_or(|named| named == *integration))
            .collect();
        let by = |fits: &dyn Fn(&Key) -> bool| match of_integration.iter().filter(|key| fits(key)).collect::<Vec<_>>()[..]
        {
            [only] => Some(*only),
            _ => None,
        };
        if let Some(orderno) = &kept.orderno
            && let Some(key) = by(&|key| self.names(key).1.contains(orderno))
        {
            return Some(key);
        }
        let number = kept.number.as_deref()?;
        by(&|(_, order)| number == format!("id:{order}"))
            .or_else(|| by(&|key| self.names(key).0.iter().any(|n| n == number)))
    }

    fn document(&self) -> Value {
        json!({
            "order": self.number,
            "deliveries": self.deliveries.iter().map(|d| json!({
                "integration": d.integration.0, "orderno": d.orderno.as_str(), "ordercode": d.ordercode,
                "state": d.state.as_str(), "status": d.status, "status_at": d.status_at.map(|at| at.to_string()),
                "crm_order_id": d.crm_order.0, "generation": d.generation,
                "price": d.price.map(|p| p.to_string()), "external_id": d.crm_written.external_id,
                "reject_reason": d.reject_reason, "requests": d.requests, "number": d.number,
            })).collect::<Vec<_>>(),
            "past": self.past.iter().map(|past| json!({
                "integration": past.integration.0, "crm_order_id": past.crm_order.0, "number": past.number,
                "orderno": past.orderno.as_str(), "generation": past.generation, "state": past.state.as_str(),
                "status": past.status, "ended_at": past.ended_at.to_string(),
            })).collect::<Vec<_>>(),
            "timeline": self.timeline.iter().map(|k| json!({
                "at": k.at.to_string(), "what": k.what.as_str(), "text": k.text, "integration": k.integration.map(|i| i.0),
                "op": k.op, "outcome": k.outcome, "duration_ms": k.duration_ms, "http_status": k.http_status,
                "request": k.request, "response": k.response, "crm_order_id": self.order_of(k).map(|(_, order)| order.0),
            })).collect::<Vec<_>>(),
        })
    }

    /// The story for people: each order apart, named by RetailCRM's id.
    #[must_use]
    pub fn lines(&self, verbose: bool) -> Vec<String> {
        let orders = self.orders();
        let mut lines = vec![bold(&format!("Order {}", self.number))];
        let (mut whose, mut left): (Vec<(Key, Vec<&Kept>)>, Vec<&Kept>) =
            (orders.iter().map(|key| (*key, Vec::new())).collect(), Vec::new());
        for kept in &self.timeline {
            let key = self.order_of(kept);
            match whose.iter_mut().find(|(other, _)| Some(*other) == key) {
                Some((_, entries)) => entries.push(kept),
                None => left.push(kept),
            }
        }
        // One order's story is not torn apart.
        if let [(_, entries)] = &mut whose[..] {
            *entries = self.timeline.iter().collect();
            left.clear();
        }
        for (key, entries) in &whose {
            lines.push(bold(&format!("  RetailCRM id {}, integration {}", key.1, key.0)));
            lines.extend(self.deliveries.iter().filter(|d| (d.integration, d.crm_order) == *key).map(present));
            let past = self.past.iter().filter(|past| (past.integration, past.crm_order) == *key);
            lines.extend(past.map(over));
            entries.iter().for_each(|kept| told(kept, verbose, &mut lines));
        }
        if !whose.is_empty() && !left.is_empty() {
            lines.push(bold("  said by the number alone"));
        }
        left.iter().for_each(|kept| told(kept, verbose, &mut lines));
        lines
    }
}

fn present(d: &Delivery) -> String {
    format!(
        "  {} at MeaSoft, state {}, status {}{}",
        d.orderno,
        d.state.as_str(),
        d.status.as_deref().unwrap_or("-"),
        d.price.map_or_else(String::new, |p| format!(", {p} to collect"))
    )
}

fn over(past: &PastDelivery) -> String {
    let at = past.ended_at.strftime("%Y-%m-%d %H:%M:%S");
    let status = past.status.as_deref().unwrap_or("-");
    format!("  {} is over since {at}: state {}, status {status}", past.orderno, past.state.as_str())
}

fn told(kept: &Kept, verbose: bool, lines: &mut Vec<String>) {
    let at = kept.at.strftime("%Y-%m-%d %H:%M:%S%.3f");
    let tail = match (kept.outcome.as_deref(), kept.duration_ms) {
        (Some(outcome), Some(ms)) => format!("  [{outcome}, {ms} ms]"),
        _ => String::new(),
    };
    lines.push(format!("  {} {:<8} {}{}", dim(&at.to_string()), kept.what.as_str(), kept.text, dim(&tail)));
    if verbose {
        for (arrow, body) in [("→", &kept.request), ("←", &kept.response)] {
            if let Some(body) = body.as_deref().filter(|b| !b.is_empty()) {
                lines.push(format!("      {arrow} {}", body.replace('\n', "\n        ")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Clock;
    use shared::crypto::SecretKey;
    use shared::domain::{Secret, Settings};
    use shared::store::Db;
    use shared::store::integrations::NewIntegration;
    use shared::store::journal::{Entry, What};

    use super::*;

    #[tokio::test]
    async fn the_stories_of_two_orders_with_one_number_are_told_apart_and_past_ones_too() {
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("a schema");
        let clock = Clock::standing_at("2026-06-15T09:00:00Z".parse().expect("a moment"));
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), clock.clone());
        let new = NewIntegration {
            title: "Shop".into(),
            crm_url: "https://shop.example".into(),
            crm_api_key: Secret::new("key".to_owned()),
            measoft_url: "https://courier.example".into(),
            extra: "8".into(),
            login: "login".into(),
            password: Secret::new("password".to_owned()),
            prefix: String::new(),
            settings: Settings::default(),
        };
        let id = store.add_integration(new).await.expect("an integration").id;
        let mut tx = store.db.begin().await.expect("begins");
        for (order, number, orderno) in [(11, "7001", "7001"), (12, "7001", "R12")] {
            let row = format!(
                "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
                 VALUES ({id}, {order}, '{number}', '{orderno}', 'created', 1, 1)"
            );
            tx.exec(row, vec![]).await.expect("written");
        }
        for (order, orderno, state) in [(13, "OLD", "delivered"), (12, "R12-0", "cancelled")] {
            let row = format!(
                "INSERT INTO past_deliveries (integration_id, orderno, crm_order_id, number, generation, state, status, \
                 ended_at) VALUES ({id}, '{orderno}', {order}, '7001', 1, '{state}', 'COMPLETE', 1)"
            );
            tx.exec(row, vec![]).await.expect("written");
        }
        for (number, orderno, text) in [
            ("7001", None, "a trigger"),
            ("7001", Some("7001"), "of eleven"),
            ("7001", Some("R12"), "of twelve"),
            ("id:12", None, "RetailCRM told of twelve"),
        ] {
            let mut entry = Entry::new(clock.now(), What::Decision, text).about(id, number);
            if let Some(orderno) = orderno {
                entry = entry.orderno(orderno);
            }
            tx.append_journal(&entry).await.expect("written");
        }
        tx.commit().await.expect("committed");
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = story.lines(false).join("\n");
        let sections: Vec<&str> = text.split("  RetailCRM id ").collect();
        assert_eq!(sections.len(), 4, "{text}");
        let last = sections[3].split("said by the number alone").collect::<Vec<_>>();
        assert!(sections[1].starts_with("11,") && sections[1].contains("of eleven"), "{text}");
        assert!(!sections[1].contains("of twelve") && !sections[1].contains("a trigger"), "{text}");
        assert!(sections[2].starts_with("12,") && sections[2].contains("R12-0 is over"), "{text}");
        assert!(sections[2].contains("of twelve") && sections[2].contains("RetailCRM told of twelve"), "{text}");
        assert!(
            last[0].starts_with("13,") && last[0].contains("OLD is over") && last[0].contains("delivered"),
            "{text}"
        );
        assert!(last[1].contains("a trigger"), "{text}");
        let document = story.document();
        assert_eq!(document["past"].as_array().map(Vec::len), Some(2), "{document:#}");
        let whose: Vec<_> =
            document["timeline"].as_array().expect("a list").iter().map(|k| k["crm_order_id"].as_i64()).collect();
        assert_eq!(whose, [None, Some(11), Some(12), Some(12)]);
    }
}
