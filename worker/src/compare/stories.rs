//! A day's orders compared, with both simulators.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::message::{Command, Envelope, Lane, decode};
use shared::store::audit::{AuditFilter, Who};
use simulators::retailcrm::an_order;

use crate::compare::books::{Found, Repair};
use crate::compare::{Comparison, compare_with, repair};
use crate::testing::World;
use crate::vendor::references::References;

async fn zone(world: &World) -> TimeZone {
    References::of(&world.tools, &world.first()).await.expect("lists").zone.clone()
}

async fn today(world: &World) -> Date {
    world.tools.clock.now().to_zoned_datetime(zone(world).await).date()
}

async fn compare(world: &World, day: Date) -> Comparison {
    compare_with(&world.tools, &world.first(), day, &|_| ()).await.expect("compared")
}

fn told(found: &[Found]) -> Vec<(&str, &'static str, &'static str, Option<&'static str>)> {
    let mut told: Vec<_> = found
        .iter()
        .map(|one| {
            let name = if one.number.is_empty() { one.orderno.as_deref().unwrap_or_default() } else { &one.number };
            (name, one.what.as_str(), one.book.as_str(), one.repair.map(Repair::as_str))
        })
        .collect();
    told.sort_unstable();
    told
}

/// Commands that were asked for, as they lie in the job table.
async fn asked(world: &World) -> Vec<Envelope> {
    let mut all = Vec::new();
    for lane in [Lane::Interactive, Lane::Bulk] {
        let jobs = world.store().claim_jobs(Some(lane), "test", std::time::Duration::from_secs(60), 99).await;
        all.extend(jobs.expect("claimed").iter().map(|job| decode(&job.body).expect("readable")));
    }
    all
}

#[tokio::test]
async fn a_days_books_agree_when_all_went_well() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let day = today(&world).await;
    world.place("7001").await;
    world.place("7002").await;
    // A draft, and one of another courier.
    world.crm.add_order(world.account, an_order().number("7003").delivery_type("incity").status("new"));
    world.crm.add_order(world.account, an_order().number("7004").delivery_type("russian-post").status("SentMeaSoft"));
    let books = compare(&world, day).await;
    assert_eq!((told(&books.found), books.orders, books.unasked), (vec![], [3, 2, 2], 0));
    assert!(books.deliveries.is_empty(), "nothing is kept that no repair needs");
    let before = compare(&world, day.yesterday().expect("a day")).await;
    assert_eq!((told(&before.found), before.orders), (vec![], [0, 0, 0]), "that day had none");
    assert!(asked(&world).await.is_empty(), "looking asks for nothing");
}

#[tokio::test]
async fn what_the_books_do_not_agree_on_is_found_and_made_good_the_way_of_triggers() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let day = today(&world).await;
    let missed = an_order().number("7001").delivery_type("incity").status("SentMeaSoft");
    world.crm.add_order(world.account, missed);
    let dearer = world.place("7002").await;
    world.crm.edit(world.account, dearer, |order| {
        order.set_quantity(0, 5);
        order.adjust_payment();
    });
    let left = world.place("7003").await;
    world.crm.edit(world.account, left, |order| order.set_delivery_type("russian-post"));
    world.place("7004").await;
    world.courier.set_status("7004", "DELIVERY", world.courier.now() + 60.seconds());
    world.place("7005").await;
    assert!(world.courier.delete("7005"));
    assert!(world.courier.seed_orders(crate::testing::CABINET, 1, "hand-"));
    let books = compare(&world, day).await;
    let stranger = books.found.iter().find(|one| one.number.is_empty()).and_then(|one| one.orderno.clone());
    let stranger = stranger.expect("somebody's parcel");
    assert!(stranger.starts_with("hand-"), "{stranger}");
    let expected = [
        ("7001", "missing", "ledger", Some("send")),
        ("7002", "sum", "retailcrm", Some("update")),
        ("7003", "extra", "measoft", Some("cancel")),
        ("7004", "status", "measoft", Some("statuses")),
        ("7005", "missing", "measoft", Some("statuses")),
        (stranger.as_str(), "extra", "measoft", None),
    ];
    assert_eq!(told(&books.found), expected);
    let kept: Vec<&str> = books.deliveries.iter().map(|d| d.number.as_str()).collect();
    assert_eq!(kept, ["7002", "7003"], "those that a trigger is asked for");
    assert!(asked(&world).await.is_empty(), "looking asks for nothing");
    let who = Who::at_machine(Some("Анна".to_owned()), "root".to_owned());
    let done = repair::repair(world.store(), &world.first().integration, &books, &who).await.expect("asked for");
    assert_eq!(done.into_iter().collect::<Vec<_>>(), [("cancel", 1), ("send", 1), ("statuses", 2), ("update", 1)]);
    let acts = world.store().audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).await.expect("listed");
    let act = acts.iter().find(|act| act.act == "repaired").expect("noted");
    assert!(act.who == "Анна" && act.after.contains("\"send\":1"), "{act:?}");
    assert_eq!(world.courier.count("cancelorder"), 0, "nothing goes around the queue");
    world.run_published().await;
    assert!(matches!(asked(&world).await[..], [Envelope { command: Command::Reconcile {}, .. }]));
    let reconciled = world.job(Command::Reconcile {}).await;
    let again = compare(&world, day).await;
    let rest = told(&again.found);
    assert!(
        rest.iter().all(|(name, ..)| [stranger.as_str(), "7005"].contains(name)),
        "{reconciled:?}: {:?}",
        again.found
    );
}
