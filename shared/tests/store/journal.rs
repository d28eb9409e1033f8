//! The journal: written, searched, forgotten.

use std::time::Duration;

use jiff::tz::TimeZone;
use shared::domain::{Fault, IntegrationId, Kopecks, Language};
use shared::message::RetryWhy;
use shared::phrases::Reader;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::intents::RequestKind;
use shared::store::journal::{Entry, Journal, Search, What};
use shared::story::Event;
use shared::told;

use crate::bench::{Bench, dead};

fn entry(bench: &Bench, what: What, text: &str) -> Entry {
    Entry::new(bench.now(), what, said(text))
}

/// Something that is told in just these words.
fn said(text: &str) -> Event {
    Event::Figures { detail: text.into() }
}

async fn the_timeline_of_an_order_is_in_order_of_time(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    let full = Entry {
        vendor: Some("measoft"),
        op: Some("neworder".to_owned()),
        outcome: Some("ok".to_owned()),
        duration: Some(Duration::from_millis(120)),
        http_status: Some(200),
        request: Some("<neworder/>".to_owned()),
        response: Some("<ok/>".to_owned()),
        ..Entry::of(bench.after(2), What::Call, Vec::new()).about(id, "1234A").orderno("MS-1")
    };
    bench
        .store
        .append_journal(&[
            full,
            entry(bench, What::Trigger, "first").about(id, "1234A"),
            Entry::new(bench.after(3), What::Status, said("under our number only")).orderno("MS-1"),
            Entry::new(bench.after(1), What::Decision, said("of a neighbour")).about(other, "1234A"),
            entry(bench, What::Crm, "another order").about(id, "9"),
        ])
        .await
        .expect("written");
    let texts = async |ordernos: &[&str], integration: Option<IntegrationId>| -> Vec<String> {
        let ordernos: Vec<String> = ordernos.iter().map(|o| (*o).to_owned()).collect();
        let found = bench.store.timeline("1234A", &ordernos, integration).await.expect("read");
        found.into_iter().map(|kept| format!("{}:{}", kept.what.as_str(), kept.text)).collect()
    };
    assert_eq!(
        texts(&["MS-1"], None).await,
        ["trigger:first", "decision:of a neighbour", "call:neworder", "status:under our number only"]
    );
    assert_eq!(texts(&[], Some(id)).await, ["trigger:first", "call:neworder"]);
    let call = bench.store.timeline("1234A", &[], Some(id)).await.expect("read").remove(1);
    assert_eq!((call.vendor.as_deref(), call.op.as_deref()), (Some("measoft"), Some("neworder")));
    assert_eq!((call.duration_ms, call.http_status), (Some(120), Some(200)));
    assert_eq!((call.request.as_deref(), call.response.as_deref()), (Some("<neworder/>"), Some("<ok/>")));
    assert_eq!((call.at, call.outcome.as_deref()), (bench.after(2), Some("ok")));
}

async fn a_story_is_kept_in_values_and_told_to_each_in_their_words(bench: &Bench) {
    let id = bench.integration("").await.id;
    let story = vec![
        Event::PutOff { until: bench.after(60), why: RetryWhy::Budget },
        Event::PlacedAs { orderno: "MS-1".to_owned(), collect: Kopecks::roubles(3790) },
    ];
    let line = Entry::of(bench.now(), What::Decision, story.clone()).about(id, "1");
    bench.store.append_journal(&[line]).await.expect("written");
    // Of an earlier release, and of a later one, whose events nobody here knows.
    for (at, text, story) in [(1, "'said before'", "NULL"), (2, "'said later'", r#"'[{"code":"of_tomorrow"}]'"#)] {
        let sql = format!(
            "INSERT INTO journal (at, number, integration_id, what, text, story) VALUES ({}, '1', {id}, 'decision', {text}, {story})",
            bench.after(at).as_millisecond()
        );
        bench.store.db.exec(sql, vec![]).await.expect("written");
    }
    let found = bench.store.timeline("1", &[], None).await.expect("read");
    assert_eq!(found[0].story, story, "as it was");
    // Whoever knows no story has it in English.
    assert!(found[0].text.ends_with("; placed at MeaSoft as MS-1, 3790.00 to collect"), "{}", found[0].text);
    let moscow = Reader::new(Language::Ru, TimeZone::get("Europe/Moscow").expect("a zone"));
    let at = bench.after(60).to_zoned_datetime(moscow.zone.clone()).strftime("%d.%m.%Y %H:%M:%S").to_string();
    assert_eq!(
        told::story(&found[0], &moscow),
        format!(
            "следующая попытка {at}: исчерпан лимит запросов к курьерской службе; создан в MeaSoft под номером MS-1, \
             к оплате при вручении 3790.00"
        )
    );
    assert_eq!([&found[1], &found[2]].map(|kept| told::story(kept, &moscow)), ["said before", "said later"]);
    assert_eq!([&found[0], &found[1], &found[2]].map(told::is_old), [false, true, true]);
}

async fn a_search_takes_every_character_as_itself(bench: &Bench) {
    let id = bench.integration("").await.id;
    let texts = ["скидка 10% на всё", "скидка 10 на всё", "a_b", "axb", r"c:\d", "c:d", "Order not Found", "x'y"];
    for (n, text) in texts.iter().enumerate() {
        let at = bench.after(n.try_into().expect("small"));
        let line = match n % 3 {
            0 => Entry::new(at, What::Call, said(text)),
            1 => Entry { request: Some((*text).to_owned()), ..Entry::of(at, What::Call, Vec::new()) },
            _ => Entry { response: Some((*text).to_owned()), ..Entry::of(at, What::Call, Vec::new()) },
        };
        bench.store.append_journal(&[line.about(id, format!("N-{n}"))]).await.expect("written");
    }
    let find = async |text: &str| -> Vec<String> {
        let search = Search { text: Some(text.to_owned()), limit: 50, ..Search::default() };
        let found = bench.store.search_journal(&search).await.expect("found");
        found.into_iter().filter_map(|kept| kept.number).collect()
    };
    assert_eq!(find("10%").await, ["N-0"]);
    assert_eq!(find("a_b").await, ["N-2"]);
    assert_eq!(find(r":\").await, ["N-4"]);
    assert_eq!(find("x'y").await, ["N-7"]);
    assert_eq!(find("N-3").await, ["N-3"], "in the number");
    assert_eq!(find("order NOT found").await, ["N-6"], "whatever the case");
    assert_eq!(find("скидка").await, ["N-1", "N-0"], "newest first");
    assert_eq!(find("nothing of the kind").await, [""; 0]);
}

async fn a_search_is_narrowed(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    for (n, integration) in [id, other, id, id].into_iter().enumerate() {
        let at = bench.after(n.try_into().expect("small"));
        let line = Entry::new(at, What::Crm, said("x")).about(integration, format!("N-{n}"));
        bench.store.append_journal(&[line]).await.expect("written");
    }
    let find = async |search: Search| -> Vec<String> {
        let found = bench.store.search_journal(&search).await.expect("found");
        found.into_iter().filter_map(|kept| kept.number).collect()
    };
    assert_eq!(find(Search { limit: 2, ..Search::default() }).await, ["N-3", "N-2"]);
    assert_eq!(find(Search { integration: Some(other), limit: 9, ..Search::default() }).await, ["N-1"]);
    let since = Some(bench.after(2));
    assert_eq!(find(Search { since, integration: Some(id), limit: 9, ..Search::default() }).await, ["N-3", "N-2"]);
}

/// PostgreSQL refuses NUL in a text; whatever brings one must not stop the work.
async fn a_nul_in_a_text_stops_nothing(bench: &Bench) {
    let id = bench.integration("").await.id;
    let line = Entry {
        request: Some("a\0b".to_owned()),
        response: Some("\0".to_owned()),
        outcome: Some("o\0".to_owned()),
        ..entry(bench, What::Call, "broken \0 answer").about(id, "1\u{0}2").orderno("MS\0")
    };
    bench.store.append_journal(&[line]).await.expect("written");
    let found = bench.store.search_journal(&Search { limit: 9, ..Search::default() }).await.expect("found");
    assert_eq!(found[0].text, "broken \u{fffd} answer");
    bench.want(id, "1\u{0}2", RequestKind::Send).await;
    assert_eq!(bench.claim_one(id, "w").await.number.as_str(), "1\u{fffd}2");
    let letter = NewDeadLetter { detail: "\0".into(), ..dead(Some(id), Some("1\u{0}2"), "conflict", Fault::Shop) };
    bench.add_dead_letter(&letter).await;
    assert_eq!(bench.store.timeline("1\u{0}2", &[], None).await.expect("read").len(), 1);
}

async fn old_entries_are_forgotten_bit_by_bit(bench: &Bench) {
    let id = bench.integration("").await.id;
    for n in 0..10 {
        let line = Entry::new(bench.after(n), What::Call, said(&n.to_string())).about(id, "1");
        bench.store.append_journal(&[line]).await.expect("written");
    }
    let forget = async |before: i64| bench.store.forget_journal(bench.after(before), 4).await.expect("forgotten");
    assert_eq!((forget(6).await, forget(6).await, forget(6).await), (4, 2, 0));
    let left = bench.store.timeline("1", &[], None).await.expect("read");
    assert_eq!(left.iter().map(|kept| kept.text.as_str()).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
}

async fn requests_are_counted_once_however_many_orders_they_were_about(bench: &Bench) {
    let id = bench.integration("").await.id;
    let call = |seconds: i64, op: &str, outcome: &str| {
        let mut line = Entry::of(bench.after(seconds), What::Call, Vec::new()).outcome(outcome);
        (line.integration, line.vendor, line.op) = (Some(id), Some("measoft"), Some(op.to_owned()));
        line
    };
    let lines = [
        call(-9, "neworder", "ok"),
        call(1, "neworder", "ok"),
        // Two orders of one request, of which one was refused.
        call(2, "neworder", "ok"),
        call(2, "neworder", "refused"),
        call(2, "statusreq", "ok"),
        entry(bench, What::Decision, "no request"),
    ];
    bench.store.append_journal(&lines).await.expect("written");
    let found = bench.store.requests_since(bench.now()).await.expect("counted");
    let told: Vec<_> = found.iter().map(|r| (r.integration, r.op.as_str(), r.number, r.failed)).collect();
    assert_eq!(told, [(id, "neworder", 2, 1), (id, "statusreq", 1, 0)]);
}

async fn what_was_written_is_there_after_a_flush(bench: &Bench) {
    let journal = Journal::start(bench.store.clone());
    for n in 0..500 {
        journal.write(entry(bench, What::Call, &format!("{n}")));
    }
    journal.flush().await;
    let found = bench.store.search_journal(&Search { limit: 1000, ..Search::default() }).await.expect("found");
    assert_eq!(found.len(), 500);
    journal.flush().await;
}

contract![
    the_timeline_of_an_order_is_in_order_of_time,
    a_story_is_kept_in_values_and_told_to_each_in_their_words,
    a_search_takes_every_character_as_itself,
    a_search_is_narrowed,
    a_nul_in_a_text_stops_nothing,
    old_entries_are_forgotten_bit_by_bit,
    requests_are_counted_once_however_many_orders_they_were_about,
    what_was_written_is_there_after_a_flush,
];
