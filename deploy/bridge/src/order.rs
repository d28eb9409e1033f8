//! `bridge order show`: what happened to one order, or to each of several that bore one number.

use std::process::ExitCode;

use bridge_console::seen::corrected;
use bridge_console::seen::story::Story;
use bridge_console::seen::words;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::{Delivery, DeliveryState, IntegrationId};
use shared::phrases::Reader;
use shared::store::Store;
use shared::store::journal::StoredEntry;
use shared::store::past_deliveries::PastDelivery;
use shared::told;

use crate::args::OrderShow;
use crate::filters;
use crate::language::language;
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
        lines(&story, verbose, unmask, &Reader::new(language(), zone.clone())).iter().for_each(|line| say!("{line}"))
    });
    Ok(ExitCode::SUCCESS)
}

/// An integration by its number and its name.
fn integration(story: &Story, id: IntegrationId, reader: &Reader) -> String {
    let named = reader.of("интеграция", "integration");
    story.titles.get(&id).map_or_else(|| format!("{named} {id}"), |title| format!("{named} {id} «{title}»"))
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
            "at": k.at.to_string(), "what": k.what.as_str(), "text": k.text, "story": k.story, "integration": k.integration.map(|i| i.0),
            "op": k.op, "outcome": k.outcome, "duration_ms": k.duration_ms, "http_status": k.http_status,
            "request": k.request, "response": k.response, "crm_order_id": story.order_of(k).map(|(_, order)| order.0),
        })).collect::<Vec<_>>(),
        "corrections": story.corrections.iter().map(|(integration, one)| {
            let mut document = corrected::document(one, unmask);
            document["integration"] = json!(integration.0);
            document
        }).collect::<Vec<_>>(),
        "waiting": story.waits.iter().map(|row| json!({
            "integration": row.integration.map(|i| i.0), "why": row.why.code(), "since": row.since.to_string(),
            "next_try": row.next.map(|at| at.to_string()),
        })).collect::<Vec<_>>(),
        "waiting_replays": story.replays.iter().map(|waiting| json!({
            "dead_letter": waiting.letter, "integration": waiting.integration.map(|i| i.0),
            "due_at": waiting.due.to_string(), "replay": waiting.replay,
        })).collect::<Vec<_>>(),
    })
}

/// The story for people: each order apart, named by RetailCRM's id, and whose each line is
/// where that is not said by its place.
pub fn lines(story: &Story, verbose: bool, unmask: bool, reader: &Reader) -> Vec<String> {
    let (order, times) = (reader.of("Заказ", "Order"), reader.of("время", "times"));
    let mut lines = vec![bold(&format!("{order} {} ({times}: {})", story.number, moments::name(&reader.zone)))];
    let (whose, left) = story.by_order();
    for (key, entries) in &whose {
        lines.push(bold(&format!(
            "  {} {}, {}",
            reader.of("внутренний номер в RetailCRM:", "RetailCRM id"),
            key.1,
            integration(story, key.0, reader)
        )));
        let present = |d| present(d, reader);
        lines.extend(story.deliveries.iter().filter(|d| (d.integration, d.crm_order) == *key).map(present));
        let own = story.corrections.iter().filter(|(integration, one)| (*integration, one.order) == *key);
        lines.extend(own.map(|(_, one)| format!("  {}", corrected::words(one, unmask, reader.language))));
        let past = story.past.iter().filter(|past| (past.integration, past.crm_order) == *key);
        lines.extend(past.map(|past| over(past, reader)));
        entries.iter().for_each(|kept| told_line(kept, None, verbose, reader, &mut lines));
    }
    if !whose.is_empty() && !left.is_empty() {
        lines.push(bold(reader.of("  сказано только по номеру", "  said by the number alone")));
    }
    let several = story.titles.len() > 1;
    for kept in left {
        let of = kept.integration.filter(|_| several).map(|id| integration(story, id, reader));
        told_line(kept, of, verbose, reader, &mut lines);
    }
    for row in &story.waits {
        let of = row.integration.filter(|_| several).map(|id| format!(" ({})", integration(story, id, reader)));
        let next = row.next.map(|at| {
            format!("; {} {}", reader.of("следующая попытка", "next try at"), moments::second(at, &reader.zone))
        });
        lines.push(format!(
            "  {} {}{}: {}{}",
            reader.of("ждёт с", "waits since"),
            moments::second(row.since, &reader.zone),
            of.unwrap_or_default(),
            row.why.words(reader.language, &reader.zone),
            next.unwrap_or_default()
        ));
    }
    for waiting in &story.replays {
        let of = waiting.integration.filter(|_| several).map(|id| format!(" ({})", integration(story, id, reader)));
        lines.push(format!(
            "  {} {}{} {} {}",
            reader.of("невыполненная команда", "dead letter"),
            waiting.letter,
            of.unwrap_or_default(),
            reader.of("будет повторена", "is to be tried again at"),
            moments::second(waiting.due, &reader.zone)
        ));
    }
    lines
}

fn present(d: &Delivery, reader: &Reader) -> String {
    let state = words::state(d.state, reader.language);
    let why = d.reject_reason.as_deref().filter(|_| d.state == DeliveryState::Rejected);
    let why = why.map(|why| words::reason(why, reader.language).text.trim_end_matches('.'));
    let status = d.status.as_deref().unwrap_or("-");
    let collect = reader.of("к оплате при вручении", "to collect");
    format!(
        "  {} {state}{}, {} {status}{}",
        d.orderno,
        why.map_or_else(String::new, |why| format!(" ({why})")),
        reader.of("статус", "status"),
        d.price.map_or_else(String::new, |p| format!(", {collect} {p}"))
    )
}

fn over(past: &PastDelivery, reader: &Reader) -> String {
    let at = moments::second(past.ended_at, &reader.zone);
    let (over, status) = (reader.of("завершён", "is over since"), reader.of("статус", "status"));
    let state = words::state(past.state, reader.language);
    format!("  {} {over} {at}: {state}, {status} {}", past.orderno, past.status.as_deref().unwrap_or("-"))
}

fn told_line(kept: &StoredEntry, of: Option<String>, verbose: bool, reader: &Reader, lines: &mut Vec<String>) {
    let at = moments::millisecond(kept.at, &reader.zone);
    let of = of.map_or_else(String::new, |of| format!("{of}: "));
    let took = kept.duration_ms.map_or_else(String::new, |ms| format!("  [{}]", told::took(ms, reader.language)));
    lines.push(format!("  {} {of}{}{}", dim(&at), told::line(kept, reader), dim(&took)));
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
    use bridge_worker::vendor::held;
    use shared::clock::Clock;
    use shared::crypto::SecretKey;
    use shared::domain::{IntegrationState, Language, PausedBy, Secret};
    use shared::phrases::Value as _;
    use shared::store::Db;
    use shared::store::audit::Who;
    use shared::store::breakers::Held;
    use shared::store::integrations::NewIntegration;
    use shared::store::journal::{Entry, What};
    use shared::story::Event;
    use shared::telemetry::metrics::{BreakerState, BreakerTarget};

    use super::*;

    /// Something that is told in just these words.
    fn said(text: &str) -> Event {
        Event::Figures { detail: text.into() }
    }

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
            let entry = Entry::new(store.clock.now(), What::Trigger, said(text)).about(integration, "7001");
            tx.append_journal(&entry).await.expect("written");
        }
        tx.commit().await.expect("committed");
        let moscow = TimeZone::get("Europe/Moscow").expect("a zone");
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = lines(&story, false, false, &Reader::new(Language::En, moscow)).join("\n");
        for words in [
            "Order 7001 (times: Europe/Moscow)",
            "RetailCRM id 11, integration 1 «Город»",
            "R-1 not at MeaSoft, refused (The order has no valid phone of the receiver), status -",
            "P-1 not sent to MeaSoft yet, status -",
            "U-1 whether MeaSoft has it is not known, status -",
            "2026-06-16 00:30:00.000 integration 1 «Город»: RetailCRM's trigger: said by the city",
            "integration 2 «Область»: RetailCRM's trigger: said by the region",
        ] {
            assert!(text.contains(words), "«{words}» is not in\n{text}");
        }
    }

    /// Whatever can happen, in both languages.
    #[tokio::test]
    async fn no_word_of_the_other_language_is_in_the_lines_of_a_story() {
        let store = a_store("2026-06-15T21:30:00Z").await;
        let id = store.add_integration(shop("77", "8")).await.expect("an integration").id;
        let mut tx = store.db.begin().await.expect("begins");
        for event in Event::some() {
            let entry = Entry::new(store.clock.now(), What::Decision, event).about(id, "7001");
            tx.append_journal(&entry).await.expect("written");
        }
        for (at, state) in DeliveryState::ALL.into_iter().enumerate() {
            let row = format!(
                "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, reject_reason, price, created_at, \
                 updated_at) VALUES ({id}, {at}, '7001', '77-{at}', '{}', 'bad_phone', 100, 1, 1)",
                state.as_str()
            );
            tx.exec(row, vec![]).await.expect("written");
            let row = format!(
                "INSERT INTO past_deliveries (integration_id, orderno, crm_order_id, number, generation, state, ended_at) \
                 VALUES ({id}, '88-{at}', {at}, '7001', 1, '{}', 1)",
                state.as_str()
            );
            tx.exec(row, vec![]).await.expect("written");
        }
        tx.commit().await.expect("committed");
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        for language in [Language::Ru, Language::En] {
            let text = lines(&story, false, false, &Reader { language, ..Reader::plain() }).join("\n");
            let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
            let names = ["RetailCRM", "MeaSoft", "PostgreSQL", "API", "HTTP", "HTML", "amp", "UTC", "m"];
            let latin = |word: &&str| word.chars().any(|c| c.is_ascii_alphabetic());
            let strange = |word: &&str| latin(word) == (language == Language::Ru) && !names.contains(word);
            assert_eq!(words.filter(strange).collect::<Vec<_>>(), [""; 0], "{text}");
        }
    }

    #[tokio::test]
    async fn a_request_that_waits_is_told_with_its_cause_since_when_and_until_when() {
        let store = a_store("2026-06-15T09:00:00Z").await;
        let shop = store.add_integration(shop("Shop", "8")).await.expect("an integration");
        let (id, now) = (shop.id, store.clock.now_ms());
        let row = format!(
            "INSERT INTO intents (integration_id, number, requested, due_at, wanted_at, created_at, updated_at) \
             VALUES ({id}, '7001', 1, {now}, {now} - 60000, 1, 1)"
        );
        store.db.exec(row, vec![]).await.expect("written");
        let waits = async |set: &str| {
            store.db.exec(format!("UPDATE intents SET {set}"), vec![]).await.expect("written");
            let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
            let text = lines(&story, false, false, &Reader::plain()).join("\n");
            (text, document(&story, false)["waiting"][0].clone())
        };
        let later = format!("due_at = {now} + 300000, waits_until = {now} + 300000, attempt = 1");
        let no_lease = "lease_owner = NULL, lease_until = 0";
        for (set, why, next) in [
            ("waits_for = NULL".to_owned(), "turn", None),
            (format!("lease_owner = 'w', lease_until = {now} + 9000"), "in_hand", None),
            (format!("{no_lease}, {later}, waits_for = 'budget'"), "budget", Some("2026-06-15T09:05:00Z")),
            (
                format!("{later}, waits_for = 'courier_unavailable'"),
                "courier_unavailable",
                Some("2026-06-15T09:05:00Z"),
            ),
            (format!("{later}, waits_for = NULL"), "again", Some("2026-06-15T09:05:00Z")),
        ] {
            let (text, told) = waits(&set).await;
            assert!(text.contains("waits since 2026-06-15 08:59:00"), "{why}: {text}");
            assert_eq!(text.contains("next try at 2026-06-15 09:05:00"), next.is_some(), "{why}: {text}");
            let expected =
                json!({ "integration": id.0, "why": why, "since": "2026-06-15T08:59:00Z", "next_try": next });
            assert_eq!(told, expected);
        }
        let name = held::named(&shop.courier_account());
        let until = store.clock.now() + std::time::Duration::from_secs(900);
        let (target, state) = (BreakerTarget::Account, BreakerState::Open);
        let rests = Held { target, name, state, until, why: "no answer".to_owned() };
        store.note_breakers("worker", &[rests]).await.expect("noted");
        let (text, told) = waits("attempt = 1").await;
        assert_eq!(
            (&told["why"], &told["next_try"]),
            (&json!("breaker_open"), &json!("2026-06-15T09:15:00Z")),
            "{text}"
        );
        let by_hand = IntegrationState::Paused { by: PausedBy::Operator, reason: "a move".to_owned() };
        let who = Who::at_machine(None, "root".to_owned());
        store.set_integration_state_by(&who, id, &by_hand).await.expect("paused");
        let (text, told) = waits("attempt = 1").await;
        assert!(text.contains("paused by the operator: a move") && told["next_try"].is_null(), "{text} {told}");
        let (text, told) = waits("served = requested").await;
        assert!(!text.contains("waits since") && told.is_null(), "{text}");
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
            let entry = Entry::new(store.clock.now(), What::Trigger, said(text)).about(integration, "7001");
            let mut tx = store.db.begin().await.expect("begins");
            tx.append_journal(&entry).await.expect("written");
            tx.commit().await.expect("committed");
        }
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = lines(&story, false, false, &Reader::plain()).join("\n");
        let (own, others) = text.split_once("said by the number alone").unwrap_or_else(|| panic!("{text}"));
        assert!(own.contains("of the city") && !own.contains("of the region"), "{text}");
        assert!(others.contains("integration 2 «Область»: RetailCRM's trigger: of the region"), "{text}");
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
            let mut entry = Entry::new(clock.now(), What::Decision, said(text)).about(id, number);
            if let Some(orderno) = orderno {
                entry = entry.orderno(orderno);
            }
            tx.append_journal(&entry).await.expect("written");
        }
        tx.commit().await.expect("committed");
        let story = Story::of(&store, "7001", None).await.unwrap_or_else(|_| panic!("a story"));
        let text = lines(&story, false, false, &Reader::plain()).join("\n");
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
