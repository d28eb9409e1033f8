//! `bridge order show`: what happened to one order, or to each of several that bore one number.

use std::process::ExitCode;

use bridge_console::seen::corrected;
use bridge_console::seen::story::Story;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::{Delivery, DeliveryState, IntegrationId, Language};
use shared::store::Store;
use shared::store::journal::StoredEntry;
use shared::store::past_deliveries::PastDelivery;

use crate::args::OrderShow;
use crate::filters;
use crate::moments;
use crate::output::{Failure, Output, bold, dim};
use crate::stdout::say;

pub async fn run(args: OrderShow, zone: &TimeZone, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let OrderShow { number, integration, verbose, unmask } = args;
    let integration = filters::integration(integration, store).await?;
    let story = Story::of(store, &number, integration).await?;
    if story.is_empty() {
        return Err(Failure::sentence(format!("nothing is known of an order «{number}»: no trigger named it so far")));
    }
    out.answer(&document(&story, unmask), || {
        lines(&story, verbose, unmask, zone).iter().for_each(|line| say!("{line}"))
    });
    Ok(ExitCode::SUCCESS)
}

/// An integration by its number and its name.
fn integration(story: &Story, id: IntegrationId) -> String {
    match story.titles.get(&id) {
        Some(title) => format!("integration {id} «{title}»"),
        None => format!("integration {id}"),
    }
}

fn document(story: &Story, unmask: bool) -> Value {
    json!({
        "order": story.number,
        "deliveries": story.deliveries.iter().map(|d| json!({
            "integration": d.integration.0, "orderno": d.orderno.as_str(), "ordercode": d.ordercode,
            "state": d.state.as_str(), "status": d.status, "status_at": d.status_at.map(|at| at.to_string()),
            "crm_order_id": d.crm_order.0, "generation": d.generation,
            "price": d.price.map(|p| p.to_string()), "external_id": d.crm_written.external_id,
            "reject_reason": d.reject_reason, "requests": d.requests, "number": d.number,
        })).collect::<Vec<_>>(),
        "past": story.past.iter().map(|past| json!({
            "integration": past.integration.0, "crm_order_id": past.crm_order.0, "number": past.number,
            "orderno": past.orderno.as_str(), "generation": past.generation, "state": past.state.as_str(),
            "status": past.status, "ended_at": past.ended_at.to_string(),
        })).collect::<Vec<_>>(),
        "timeline": story.timeline.iter().map(|k| json!({
            "at": k.at.to_string(), "what": k.what.as_str(), "text": k.text, "integration": k.integration.map(|i| i.0),
            "op": k.op, "outcome": k.outcome, "duration_ms": k.duration_ms, "http_status": k.http_status,
            "request": k.request, "response": k.response, "crm_order_id": story.order_of(k).map(|(_, order)| order.0),
        })).collect::<Vec<_>>(),
        "corrections": story.corrections.iter().map(|(integration, one)| {
            let mut document = corrected::document(one, unmask);
            document["integration"] = json!(integration.0);
            document
        }).collect::<Vec<_>>(),
        "waiting_replays": story.replays.iter().map(|waiting| json!({
            "dead_letter": waiting.letter, "integration": waiting.integration.map(|i| i.0),
            "due_at": waiting.due.to_string(), "replay": waiting.replay,
        })).collect::<Vec<_>>(),
    })
}

/// The story for people: each order apart, named by RetailCRM's id, and whose each line is
/// where that is not said by its place.
pub fn lines(story: &Story, verbose: bool, unmask: bool, zone: &TimeZone) -> Vec<String> {
    let mut lines = vec![bold(&format!("Order {} (times: {})", story.number, moments::name(zone)))];
    let (whose, left) = story.by_order();
    for (key, entries) in &whose {
        lines.push(bold(&format!("  RetailCRM id {}, {}", key.1, integration(story, key.0))));
        lines.extend(story.deliveries.iter().filter(|d| (d.integration, d.crm_order) == *key).map(present));
        let own = story.corrections.iter().filter(|(integration, one)| (*integration, one.order) == *key);
        lines.extend(own.map(|(_, one)| format!("  {}", corrected::words(one, unmask, Language::En))));
        let past = story.past.iter().filter(|past| (past.integration, past.crm_order) == *key);
        lines.extend(past.map(|past| over(past, zone)));
        entries.iter().for_each(|kept| told(kept, None, verbose, zone, &mut lines));
    }
    if !whose.is_empty() && !left.is_empty() {
        lines.push(bold("  said by the number alone"));
    }
    let several = story.titles.len() > 1;
    for kept in left {
        let of = kept.integration.filter(|_| several).map(|id| integration(story, id));
        told(kept, of, verbose, zone, &mut lines);
    }
    for waiting in &story.replays {
        let of = waiting.integration.filter(|_| several).map(|id| format!(" ({})", integration(story, id)));
        lines.push(format!(
            "  dead letter {}{} is to be tried again at {}",
            waiting.letter,
            of.unwrap_or_default(),
            moments::second(waiting.due, zone)
        ));
    }
    lines
}

fn present(d: &Delivery) -> String {
    let where_it_is = match d.state {
        DeliveryState::Planned => "was not sent to MeaSoft yet",
        DeliveryState::Sending | DeliveryState::Unknown => "may be at MeaSoft, its answer is not known",
        DeliveryState::Rejected => "is not at MeaSoft",
        DeliveryState::Cancelled => "is cancelled at MeaSoft",
        _ => "at MeaSoft",
    };
    let why = d.reject_reason.as_deref().filter(|_| d.state == DeliveryState::Rejected);
    format!(
        "  {} {where_it_is}, state {}{}, status {}{}",
        d.orderno,
        d.state.as_str(),
        why.map_or_else(String::new, |why| format!(" ({why})")),
        d.status.as_deref().unwrap_or("-"),
        d.price.map_or_else(String::new, |p| format!(", {p} to collect"))
    )
}

fn over(past: &PastDelivery, zone: &TimeZone) -> String {
    let at = moments::second(past.ended_at, zone);
    let status = past.status.as_deref().unwrap_or("-");
    format!("  {} is over since {at}: state {}, status {status}", past.orderno, past.state.as_str())
}

fn told(kept: &StoredEntry, of: Option<String>, verbose: bool, zone: &TimeZone, lines: &mut Vec<String>) {
    let at = moments::millisecond(kept.at, zone);
    let of = of.map_or_else(String::new, |of| format!("{of}: "));
    let tail = match (kept.outcome.as_deref(), kept.duration_ms) {
        (Some(outcome), Some(ms)) => format!("  [{outcome}, {ms} ms]"),
        _ => String::new(),
    };
    lines.push(format!("  {} {:<8} {of}{}{}", dim(&at), kept.what.as_str(), kept.text, dim(&tail)));
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
    use shared::domain::Secret;
    use shared::store::Db;
    use shared::store::integrations::NewIntegration;
    use shared::store::journal::{Entry, What};

    use super::*;

    async fn a_store(at: &str) -> Store {
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("a schema");
        let clock = Clock::standing_at(at.parse().expect("a moment"));
        Store::new(db, SecretKey::from_bytes([7; 32]), clock)
    }

    fn shop(title: &str, extra: &str) -> NewIntegration {
        NewIntegration {
            title: title.into(),
            crm_url: "https://shop.example".into(),
            crm_api_key: Secret::new("key".to_owned()),
            measoft_url: "https://courier.example".into(),
            extra: extra.into(),
            ..NewIntegration::default()
        }
    }

    #[tokio::test]
    async fn a_line_says_whose_it_is_where_the_order_is_not_and_the_time_in_the_readers_zone() {
        let store = a_store("2026-06-15T21:30:00Z").await;
        let city = store.add_integration(shop("Город", "8")).await.expect("an integration").id;
        let region = store.add_integration(shop("Область", "9")).await.expect("an integration").id;
        let mut tx = store.db.begin().await.expect("begins");
        for (order, orderno, state) in [(11, "R-1", "rejected"), (12, "P-1", "planned"), (13, "U-1", "unknown")] {
            let row = format!(
                "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, reject_reason, created_at, \
                 updated_at) VALUES ({city}, {order}, '7001', '{orderno}', '{state}', 'bad_phone', 1, 1)"
            );
            tx.exec(row, vec![]).await.expect("written");
        }
        for (integration, text) in [(city, "said by the city"), (region, "said by the region")] {
            let entry = Entry::new(store.clock.now(), What::Trigger, text).about(integration, "7001");
            tx.append_journal(&entry).await.expect("written");
        }
        tx.commit().await.expect("committed");
        let moscow = TimeZone::get("Europe/Moscow").expect("a zone");
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = lines(&story, false, false, &moscow).join("\n");
        for words in [
            "Order 7001 (times: Europe/Moscow)",
            "RetailCRM id 11, integration 1 «Город»",
            "R-1 is not at MeaSoft, state rejected (bad_phone)",
            "P-1 was not sent to MeaSoft yet, state planned",
            "U-1 may be at MeaSoft, its answer is not known, state unknown",
            "2026-06-16 00:30:00.000 trigger  integration 1 «Город»: said by the city",
            "integration 2 «Область»: said by the region",
        ] {
            assert!(text.contains(words), "«{words}» is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn another_integrations_lines_are_apart_from_the_one_order_of_a_number() {
        let store = a_store("2026-06-15T09:00:00Z").await;
        let city = store.add_integration(shop("Город", "8")).await.expect("an integration").id;
        let region = store.add_integration(shop("Область", "9")).await.expect("an integration").id;
        let row = format!(
            "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
             VALUES ({city}, 11, '7001', '7001', 'created', 1, 1)"
        );
        store.db.exec(row, vec![]).await.expect("written");
        for (integration, text) in [(city, "of the city"), (region, "of the region")] {
            let entry = Entry::new(store.clock.now(), What::Trigger, text).about(integration, "7001");
            let mut tx = store.db.begin().await.expect("begins");
            tx.append_journal(&entry).await.expect("written");
            tx.commit().await.expect("committed");
        }
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = lines(&story, false, false, &TimeZone::UTC).join("\n");
        let (own, others) = text.split_once("said by the number alone").unwrap_or_else(|| panic!("{text}"));
        assert!(own.contains("of the city") && !own.contains("of the region"), "{text}");
        assert!(others.contains("integration 2 «Область»: of the region"), "{text}");
    }

    #[tokio::test]
    async fn the_stories_of_two_orders_with_one_number_are_told_apart_and_past_ones_too() {
        let store = a_store("2026-06-15T09:00:00Z").await;
        let clock = store.clock.clone();
        let id = store.add_integration(shop("Shop", "8")).await.expect("an integration").id;
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
        let text = lines(&story, false, false, &TimeZone::UTC).join("\n");
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
        let document = document(&story, false);
        assert_eq!(document["past"].as_array().map(Vec::len), Some(2), "{document:#}");
        let whose: Vec<_> =
            document["timeline"].as_array().expect("a list").iter().map(|k| k["crm_order_id"].as_i64()).collect();
        assert_eq!(whose, [None, Some(11), Some(12), Some(12)]);
    }
}
