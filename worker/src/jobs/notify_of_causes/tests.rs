//! Notifications of causes: what is told when, and over RetailCRM's simulator.

use shared::domain::{Fault, IntegrationState, Settings};
use shared::message::Command;
use shared::reason;
use simulators::retailcrm::{Action, FaultRule, Notified, When};

use super::*;
use crate::testing::{World, at};

fn cause(reason: &str) -> Cause {
    Cause {
        integration: Some(IntegrationId(1)),
        reason: reason.to_owned(),
        fault: Fault::Shop,
        letters: 3,
        times: 3,
        first_at: at(0),
        last_at: at(0),
        acknowledged: None,
        snoozed: None,
    }
}

#[test]
fn a_cause_is_told_once_when_it_comes_up_and_once_when_it_is_over() {
    let (first, second) = (cause(reason::NO_ADDRESS), cause(reason::BAD_SUM));
    let news = decide(&Told::default(), std::slice::from_ref(&first), at(0)).expect("news");
    assert_eq!((news.new, news.over), (vec![(reason::NO_ADDRESS.to_owned(), 3)], vec![]));
    let told = news.after;
    let both = [first, second];
    assert_eq!(decide(&told, &both, at(299)), None, "not so soon");
    assert_eq!(decide(&told, &both[..1], at(9000)), None, "no news");
    let news = decide(&told, &both[1..], at(300)).expect("news");
    assert_eq!((news.new, news.over), (vec![(reason::BAD_SUM.to_owned(), 3)], vec![reason::NO_ADDRESS.to_owned()]));
    let told = news.after;
    // One that comes and goes is told of once an hour.
    assert_eq!(decide(&told, &both, at(3899)), None);
    let news = decide(&told, &both, at(3900)).expect("it is still there");
    assert_eq!(news.new, [(reason::NO_ADDRESS.to_owned(), 3)]);
    assert!(news.after.over.is_empty());
}

#[test]
fn what_a_person_put_off_is_not_told() {
    let snoozed = Cause { snoozed: Some(("anna".to_owned(), at(99))), ..cause(reason::NO_ADDRESS) };
    assert_eq!(decide(&Told::default(), &[snoozed], at(0)), None);
}

#[test]
fn a_notification_says_what_to_do_in_the_shops_language_and_its_title_is_no_markup() {
    let mut shop = crate::testing::integration();
    shop.title = "A & <b>".to_owned();
    shop.settings.notify_groups = vec!["superadmins".to_owned()];
    let of = |shop: &Integration, causes: &[Cause], told: &Told| {
        notification(shop, &decide(told, causes, at(999)).expect("news"))
    };
    let new = of(&shop, &[cause(reason::NO_ADDRESS)], &Told::default());
    let words = explain::translated(reason::NO_ADDRESS, Language::Ru);
    assert_eq!(new.kind, NotificationKind::Error);
    assert!(new.message.starts_with("<p>Доставка MeaSoft (A &amp; &lt;b&gt;)</p>"), "{}", new.message);
    assert!(new.message.contains(words.text) && new.message.contains(words.next_step), "{}", new.message);
    shop.settings.language = Language::En;
    let told = Told { open: BTreeSet::from([reason::NO_ADDRESS.to_owned()]), ..Told::default() };
    let over = of(&shop, &[], &told);
    assert_eq!((over.kind, over.user_groups.as_slice()), (NotificationKind::Info, &["superadmins".to_owned()][..]));
    assert!(over.message.contains("It is over: The order has neither"), "{}", over.message);
}

fn on(settings: &mut Settings) {
    settings.notify_groups = vec!["superadmins".to_owned()];
}

async fn rung(world: &World) -> Vec<Notified> {
    world.job(Command::NotifyOfCauses {}).await;
    world.crm.notified(world.account)
}

/// As if the pause between two notifications was over.
async fn time_passes(world: &World) {
    let kept = told(world.store(), world.id).await.expect("read");
    let text = serde_json::to_string(&Told { not_before: None, ..kept }).expect("text");
    let mut tx = world.store().db.begin().await.expect("begins");
    tx.set_cursor(&name(world.id), &text, world.tools.clock.now()).await.expect("moved");
    tx.commit().await.expect("commits");
}

#[tokio::test]
async fn managers_hear_of_a_cause_once_however_many_orders_it_stops_and_of_its_end() {
    let world = World::with(on).await;
    assert!(rung(&world).await.is_empty(), "nothing has happened");
    for number in ["A-1", "A-2"] {
        world.place_as(world.id, number, |order| order.receiver("Яна", "нет")).await;
    }
    let heard = rung(&world).await;
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].kind.as_str(), heard[0].groups.as_slice()), ("api.error", &["superadmins".to_owned()][..]));
    assert!(heard[0].message.contains("Не выполнено: 2"), "{}", heard[0].message);
    assert!(!heard[0].message.contains("Яна") && !heard[0].message.contains("A-1"), "{}", heard[0].message);
    time_passes(&world).await;
    assert_eq!(rung(&world).await.len(), 1, "no news");
    for order in world.crm.orders(world.account) {
        let id = order["id"].as_i64().expect("an id");
        world.crm.edit(world.account, id, |order| order.set_phone("+79160001122"));
        world.send(world.id, order["number"].as_str().expect("a number")).await;
    }
    assert!(world.dead().await.is_empty());
    let heard = rung(&world).await;
    assert_eq!((heard.len(), heard[1].kind.as_str()), (2, "api.info"));
    time_passes(&world).await;
    assert_eq!(rung(&world).await.len(), 2);
}

#[tokio::test]
async fn a_retailcrm_that_refuses_to_notify_loses_nothing_else_and_a_lost_answer_tells_nobody_twice() {
    let world = World::with(on).await;
    world.crm.set_faults(vec![FaultRule::new("notifications.send", When::Always, Action::Forbidden)]);
    world.place_as(world.id, "A-1", |order| order.receiver("Яна", "нет")).await;
    assert!(rung(&world).await.is_empty());
    let refused = refused_to_notify(world.store(), world.id).await.expect("told by doctor");
    assert!(refused.contains("denies"), "{refused}");
    let state = world.store().integration(world.id).await.expect("read").expect("there").state;
    assert_eq!((state, world.dead().await.len()), (IntegrationState::Active, 1), "the order's own letter alone");
    world.place("A-2").await;
    assert!(world.courier.order("A-2").is_some());
    assert_eq!(world.crm.count("notifications.send"), 1);
    rung(&world).await;
    assert_eq!(world.crm.count("notifications.send"), 1, "it is not asked again at once");

    world.crm.set_faults(vec![FaultRule::new("notifications.send", When::FirstN(1), Action::LoseAnswer)]);
    time_passes(&world).await;
    assert_eq!(rung(&world).await.len(), 1);
    time_passes(&world).await;
    assert_eq!(rung(&world).await.len(), 1);
    assert_eq!(refused_to_notify(world.store(), world.id).await, None);
}

#[tokio::test]
async fn who_did_not_ask_for_it_is_not_notified() {
    let world = World::new().await;
    world.place_as(world.id, "A-1", |order| order.receiver("Яна", "нет")).await;
    assert!(rung(&world).await.is_empty());
    assert_eq!(world.crm.count("notifications.send"), 0);
}
