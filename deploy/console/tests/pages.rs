//! What the pages show and do: the same as the commands, through the same operations.

mod world;

use std::time::Duration;

use shared::domain::{Fault, IntegrationState};
use shared::store::causes::Cause;
use shared::store::console::Role;
use shared::store::dead_letters::{DeadFilter, DeadState};
use shared::store::waiting_orders::WaitingFilter;
use world::World;

async fn causes(world: &World) -> Vec<Cause> {
    world.store().causes(&DeadFilter::default()).await.expect("listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_acknowledged_snoozed_woken_and_discarded_as_it_was_seen() {
    let world = World::new().await;
    let (city, _) = world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let page = world.get("/causes", Some(&cookie)).await.body;
    assert!(
        page.contains("bad_phone") && page.contains("исправляет магазин") && page.contains("auth_failed"),
        "{page}"
    );
    let of = [("reason", "bad_phone"), ("integration", "1"), ("back", "/causes?integration=1")];
    let done = world.act("/causes/acknowledge", &cookie, &of).await;
    assert_eq!(done.header("location"), "/causes?integration=1&done=acknowledged");
    let said = async || causes(&world).await.into_iter().find(|cause| cause.reason == "bad_phone").expect("open");
    assert_eq!(said().await.acknowledged.map(|(who, _)| who).as_deref(), Some("Анна"));
    let mut snooze = of.to_vec();
    snooze.push(("hours", "24"));
    world.act("/causes/snooze", &cookie, &snooze).await;
    let until = said().await.snoozed.expect("snoozed").1;
    assert_eq!(until, world.ctx.clock.now() + Duration::from_secs(24 * 3600));
    assert!(!world.get("/causes", Some(&cookie)).await.body.contains("bad_phone"), "snoozed ones are left out");
    for bad in ["0", "-1", "99999", "x"] {
        let fields = [("reason", "bad_phone"), ("integration", "1"), ("hours", bad)];
        assert_eq!(world.act("/causes/snooze", &cookie, &fields).await.status, 400, "{bad}");
    }
    world.act("/causes/wake", &cookie, &of).await;
    assert!(said().await.snoozed.is_none() && said().await.acknowledged.is_none());

    // What came after the page was looked at is not meant.
    let seen = said().await.last_at.as_millisecond().to_string();
    world.ctx.clock.advance(Duration::from_secs(60));
    world.add_letter(&city, "1009A", "bad_phone", Fault::Shop).await;
    let mut discard = vec![("reason", "bad_phone"), ("integration", "1"), ("seen_until", seen.as_str())];
    assert!(world.act("/causes/discard", &cookie, &discard).await.header("location").ends_with("done=reason-missing"));
    discard.push(("why", "отменены магазином"));
    world.act("/causes/discard", &cookie, &discard).await;
    assert_eq!(said().await.letters, 1, "the new one is open");
    let newest = world.audit().await.remove(0);
    assert_eq!(
        (newest.act.as_str(), newest.object.as_str(), newest.via.as_str()),
        ("discarded", "cause bad_phone", "console")
    );
    assert!(newest.after.contains("\"letters\":3") && newest.after.contains("отменены магазином"), "{}", newest.after);
    let story = world.get("/orders/1/1001A", Some(&cookie)).await.body;
    assert!(story.contains("отменены магазином"), "the order's story says it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_or_closed_for_a_reason() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let state = async |id: i64| world.store().dead_letter(id).await.expect("read").expect("there").state;
    let done = world.act("/letters/1/replay", &cookie, &[("back", "/letters")]).await;
    assert_eq!((done.header("location"), state(1).await), ("/letters?done=replayed", DeadState::Replayed));
    assert_eq!(world.store().due_jobs().await.expect("counted"), 1);
    let again = world.act("/letters/1/replay", &cookie, &[("back", "/letters")]).await;
    assert_eq!(again.header("location"), "/letters?done=not-open");
    world.act("/letters/2/discard", &cookie, &[("why", " ")]).await;
    assert_eq!(state(2).await, DeadState::Open, "a reason is wanted");
    world.act("/letters/2/discard", &cookie, &[("why", "дубль")]).await;
    assert_eq!(state(2).await, DeadState::Discarded);
    let long = "x".repeat(301);
    assert_eq!(world.act("/letters/3/discard", &cookie, &[("why", &long)]).await.status, 400, "a reason is short");
    assert_eq!(world.act("/letters/999/discard", &cookie, &[("why", "x")]).await.status, 404);
    let listed = world.get("/letters?closed=1", Some(&cookie)).await.body;
    assert!(listed.contains("закрыта без повтора") && listed.contains("повторена"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_tried_now_or_dropped_for_a_reason() {
    let world = World::new().await;
    let (city, _) = world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let orders = async || {
        let filter = WaitingFilter { integration: Some(city.id), limit: 9, ..WaitingFilter::default() };
        world.store().waiting_orders(&filter).await.expect("listed")
    };
    let page = world.get("/waiting?integration=1", Some(&cookie)).await.body;
    assert!(page.contains("1005A") && !page.contains("2002"), "of this integration alone");
    let waiting = orders().await;
    let late = waiting.iter().find(|order| order.number == "1005A").expect("waits");
    let key = format!("0.{}", late.key.row);
    let done = world.act("/waiting/hurry", &cookie, &[("order", &key), ("integration", "1")]).await;
    assert!(done.header("location").ends_with("done=hurried"));
    assert!(orders().await.iter().all(|order| order.due <= world.ctx.clock.now()));
    let done = world.act("/waiting/hurry", &cookie, &[("work", "orders"), ("integration", "1")]).await;
    assert!(done.header("location").ends_with("done=nothing-waits"));
    let drop = [("order", key.as_str()), ("requested", "7"), ("why", "отменён")];
    assert!(world.act("/waiting/drop", &cookie, &drop).await.header("location").ends_with("done=gone"), "another wish");
    let drop = [("order", key.as_str()), ("requested", "1"), ("why", "отменён")];
    assert!(world.act("/waiting/drop", &cookie, &drop).await.header("location").ends_with("done=dropped"));
    assert_eq!(orders().await.len(), 1);
    assert!(world.get("/orders/1/1005A", Some(&cookie)).await.body.contains("отменён"), "the story says it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_is_paused_resumed_and_synced_by_name() {
    let world = World::new().await;
    let (city, _) = world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let state = async || world.store().integration(city.id).await.expect("read").expect("there").state;
    world.act("/integrations/1/pause", &cookie, &[]).await;
    assert_eq!(state().await, IntegrationState::Active, "a reason is wanted");
    let jobs = world.store().due_jobs().await.expect("counted");
    world.act("/integrations/1/sync", &cookie, &[]).await;
    assert_eq!(world.store().due_jobs().await.expect("counted"), jobs + 1);
    world.act("/integrations/1/pause", &cookie, &[("why", "переезд склада")]).await;
    let page = world.get("/", Some(&cookie)).await.body;
    assert!(page.contains("приостановлена администратором: переезд склада"), "{page}");
    world.act("/integrations/1/resume", &cookie, &[]).await;
    assert_eq!(state().await, IntegrationState::Active);
    let acts: Vec<String> =
        world.audit().await.into_iter().take(2).map(|act| format!("{} {}", act.who, act.act)).collect();
    assert_eq!(acts, ["Анна resumed", "Анна paused"]);
    assert_eq!(world.act("/integrations/99/pause", &cookie, &[("why", "x")]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_another_and_none_is_shown_twice() {
    let world = World::new().await;
    let city = world.add_integration("Город", "8").await;
    for n in 0..120 {
        world.add_letter(&city, &format!("{n:03}"), "bad_phone", Fault::Shop).await;
        world.want(&city, &format!("w{n:03}"), Duration::ZERO).await;
    }
    let cookie = world.session("Анна", Role::Viewer).await;
    for (first, mark, rel) in [("/letters", "id=\"letter-", "next"), ("/waiting", "/orders/1/w", "next")] {
        let (mut path, mut seen, mut pages) = (first.to_owned(), std::collections::BTreeSet::new(), 0);
        loop {
            let page = world.get(&path, Some(&cookie)).await.body;
            pages += 1;
            for part in page.split(mark).skip(1) {
                let id = part.split('"').next().expect("a name").to_owned();
                assert!(seen.insert(id.clone()), "{path}: {id} twice");
            }
            let next = page.split(&format!("rel=\"{rel}\" href=\"")).nth(1).and_then(|rest| rest.split('"').next());
            match next {
                Some(next) => path = next.replace("&#38;", "&").replace("&amp;", "&"),
                None => break,
            }
        }
        assert_eq!((pages, seen.len()), (3, 120), "{first}");
    }
    let file = world.get("/letters.csv", Some(&cookie)).await;
    assert!(
        file.header("content-type").starts_with("text/csv")
            && file.header("content-disposition").contains("failures.csv")
    );
    assert_eq!(file.body.lines().count(), 121, "all of them, below a heading");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_by_its_number_and_told_with_exchanges_folded() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Viewer).await;
    let found = world.get("/orders?number=1007A", Some(&cookie)).await;
    assert_eq!((found.status, found.header("location")), (303, "/orders/1/1007A"));
    let page = world.get("/orders/1/1007A", Some(&cookie)).await.body;
    for words in
        ["у курьерской службы", "MeaSoft: создание заказа — временный сбой", "<details><summary>Запрос", "3790.00"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let failed = world.get("/orders?number=1001A", Some(&cookie)).await;
    assert_eq!(failed.header("location"), "/orders/1/1001A", "by its failure alone");
    for (number, words) in [("1001A", "Открытые неудачи"), ("1005A", "Ждёт")] {
        let page = world.get(&format!("/orders/1/{number}"), Some(&cookie)).await;
        assert!(page.status == 200 && page.body.contains(words), "what is open is told without a story: {number}");
    }
    let held = world.get("/orders/1/1005A", Some(&cookie)).await.body;
    for words in ["отдыхает после отказов до", "С 2026-09-01 13:00:00", "Следующая попытка: 2026-09-01 13:05:00"]
    {
        assert!(held.contains(words), "{words}: {held}");
    }
    assert_eq!(world.get("/orders/2/1007A", Some(&cookie)).await.status, 404, "another shop does not know it");
    assert_eq!(world.get("/orders/1/unknown", Some(&cookie)).await.status, 404);
    assert_eq!(world.get("/orders/99/1007A", Some(&cookie)).await.status, 404);
    let injected = world.get("/orders?number=%3Cscript%3E", Some(&cookie)).await.body;
    assert!(injected.contains("&#60;script&#62;") && !injected.contains("<script"), "{injected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_names_what_is_not_there_is_refused_and_never_read_as_all() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let get = async |path: &str| world.get(path, Some(&cookie)).await;
    for list in ["letters", "causes", "waiting", "audit", "budget", "compare"] {
        for kind in ["", ".csv"] {
            for bad in ["первая", "1x", "1,2"] {
                let refused = get(&format!("/{list}{kind}?integration={bad}")).await;
                assert_eq!(refused.status, 400, "{list}{kind}: {bad}");
                assert!(refused.body.contains("Такого отбора нет"), "{list}: {}", refused.body);
            }
            assert_eq!(get(&format!("/{list}{kind}?integration=99")).await.status, 404, "{list}{kind}");
            assert_eq!(get(&format!("/{list}{kind}?integration=2")).await.status, 200, "{list}{kind}");
        }
    }
    let days = ["/compare?day=2026-09-02", "/compare.csv?day=yesterday"];
    for bad in ["/causes?fault=shp", "/letters?fault=shp", "/audit?act=sung"].into_iter().chain(days) {
        assert_eq!(get(bad).await.status, 400, "{bad}");
    }
    let asked = [("day", "2026-08-31"), ("integration", "первая")];
    assert_eq!(world.act("/compare", &cookie, &asked).await.status, 400, "nothing is begun for all");

    // Failures of no integration are chosen by a word, which the form keeps.
    let of_none = get("/letters?integration=none").await.body;
    assert!(of_none.contains("<option value=\"none\" selected>без интеграции</option>"), "{of_none}");
    assert!(!of_none.contains("1001A") && !of_none.contains("2001"), "{of_none}");
    assert!(get("/letters?integration=1").await.body.contains("<option value=\"1\" selected>1 · Город</option>"));
}
