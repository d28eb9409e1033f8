//! A batch of orders is one unit of work: how many statements and commits it takes, what the
//! database refuses of it, and when the ledger knows what MeaSoft has taken.

use shared::domain::{CrmOrderId, DeliveryState as S};
use shared::store::intents::{Intent, RequestKind};
use simulators::retailcrm::{Action, FaultRule, When, an_order};

use crate::order::batch;
use crate::testing::{Steps, World, counted};

/// So many orders that are to be sent, each asked for by its trigger.
async fn wanted(world: &World, count: usize) -> Vec<i64> {
    let mut orders = Vec::with_capacity(count);
    for n in 1..=count {
        let number = format!("A-{n}");
        let order = an_order().number(&number).delivery_type("incity").status("SentMeaSoft");
        orders.push(world.crm.add_order(world.account, order));
        world.request(world.id, &number, RequestKind::Send).await;
    }
    orders
}

async fn claimed(world: &World, limit: usize) -> Vec<Intent> {
    let (until, limit) = (world.tools.lease_until(), u32::try_from(limit).expect("few"));
    world.store().claim_intents(world.id, &world.tools.owner, until, limit).await.expect("claimed")
}

/// Sends so many orders in one batch; answers what that took of the database.
async fn sent(count: usize) -> Steps {
    let world = World::new().await;
    // The lists of both vendors are known.
    world.place("A-0").await;
    let orders = wanted(&world, count).await;
    let intents = claimed(&world, count).await;
    let (_, steps) = counted(batch::process(&world.tools, &world.first(), intents)).await;
    for order in orders {
        assert_eq!(world.delivery(order).await.state, S::Created);
        assert_eq!(world.told(order), ["NEW"]);
    }
    assert!(claimed(&world, count).await.is_empty(), "all are served");
    steps
}

#[tokio::test]
async fn two_hundred_orders_are_sent_in_as_many_statements_as_five() {
    let (few, many) = (sent(5).await, sent(200).await);
    // MeaSoft's budget may have to be asked meanwhile: some statements and a commit.
    assert!(few.all.abs_diff(many.all) <= 8 && few.commits.abs_diff(many.commits) <= 1, "{few:?}, {many:?}");
    // Leases, the announcement, what MeaSoft has taken, the result; and the budget.
    assert!(few.commits <= 5 && few.all <= 45, "{few:?}");
}

#[tokio::test]
async fn an_order_that_the_database_refuses_holds_up_no_other() {
    let new =
        |condition: &str| format!("BEFORE UPDATE ON deliveries WHEN NEW.orderno = 'A-7' AND NEW.state = '{condition}'");
    for (refused, at) in [
        ("BEFORE INSERT ON deliveries WHEN NEW.orderno = 'A-7'".to_owned(), "leasing"),
        (new("sending"), "announcing"),
        (new("created"), "recording"),
    ] {
        let world = World::new().await;
        let trouble = format!("CREATE TRIGGER refuses {refused} BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        world.store().db.exec(trouble, vec![]).await.expect("prepared");
        wanted(&world, 20).await;
        let intents = claimed(&world, 50).await;
        batch::process(&world.tools, &world.first(), intents).await;
        let count = "SELECT COUNT(*) AS n FROM deliveries WHERE state = 'created' AND lease_until = 0";
        assert_eq!(world.store().db.count(count, vec![]).await.expect("counted"), 19, "{at}");
        let refused = world.store().deliveries_by_number("A-7", None).await.expect("read");
        assert!(refused.iter().all(|d| d.state != S::Created), "{at}");
        let letters = world.dead().await;
        let about: Vec<_> = letters.iter().map(|letter| (letter.number.as_deref(), letter.reason.as_str())).collect();
        let expected: &[_] = if at == "recording" { &[(Some("A-7"), "internal")] } else { &[] };
        assert_eq!(about, expected, "{at}");
    }
}

#[tokio::test]
async fn what_measoft_has_taken_is_in_the_ledger_before_retailcrm_is_told() {
    let world = World::new().await;
    let orders = wanted(&world, 5).await;
    world.crm.set_faults(vec![FaultRule::new("orders.edit", When::Always, Action::Hang)]);
    let intents = claimed(&world, 50).await;
    let active = world.first();
    let telling = batch::process(&world.tools, &active, intents);
    let known = world.until("the ledger knows them", async || {
        let known = "SELECT COUNT(*) AS n FROM deliveries WHERE state = 'created' AND lease_until > 0";
        world.store().db.count(known, vec![]).await.expect("counted") == 5
    });
    tokio::select! {
        _ = telling => panic!("RetailCRM never answers"),
        () = known => {}
    }
    // The worker died there: whoever comes next asks MeaSoft nothing, and tells RetailCRM.
    world.crm.clear_faults();
    let asked = world.courier.requests().len();
    world.store().free_all_leases().await.expect("freed");
    world.work(world.id).await;
    for order in orders {
        assert_eq!(world.told(order), ["NEW"]);
    }
    assert_eq!(world.courier.requests().len(), asked, "nothing was in doubt");
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn retailcrm_is_told_of_several_orders_at_a_time_and_of_each_that_it_takes() {
    let world = World::new().await;
    let orders = wanted(&world, 12).await;
    // One of them fails, the others are told.
    world.crm.set_faults(vec![FaultRule::new("orders.edit", When::FirstN(1), Action::ServerError { acted: false })]);
    let intents = claimed(&world, 50).await;
    batch::process(&world.tools, &world.first(), intents).await;
    let told = orders.iter().filter(|order| world.told(**order) == ["NEW"]).count();
    assert_eq!(told, 11);
    world.crm.clear_faults();
    tokio::time::sleep(world.tools.policy.rungs[0]).await;
    world.work(world.id).await;
    assert!(orders.iter().all(|order| world.told(*order) == ["NEW"]), "and the one later");
}

#[tokio::test]
async fn whose_lease_was_lost_leaves_the_rest_of_its_batch_alone() {
    let world = World::new().await;
    let orders = wanted(&world, 6).await;
    let active = world.first();
    let intents = claimed(&world, 50).await;
    world.crm.set_faults(vec![FaultRule::new("orders.edit", When::Always, Action::Delay { ms: 1500 })]);
    let telling = batch::process(&world.tools, &active, intents);
    let stolen = world.until("they are placed, and one is taken by another", async || {
        let steal =
            "UPDATE deliveries SET fence = 7, lease_owner = 'another' WHERE orderno = 'A-3' AND state = 'created'";
        world.store().db.exec(steal, vec![]).await.expect("written") == 1
    });
    let (_, ()) = tokio::join!(telling, stolen);
    let lost = world.delivery(orders[2]).await;
    assert_eq!((lost.fence, lost.crm_written.external_id.as_str()), (7, ""), "nothing of it was written");
    for (n, order) in orders.iter().enumerate().filter(|(n, _)| *n != 2) {
        let d = world.delivery(*order).await;
        assert!(!d.crm_written.external_id.is_empty(), "{n}");
    }
    let intent = world.store().intent(world.id, CrmOrderId(orders[2])).await.expect("read");
    assert!(intent.is_some_and(|intent| intent.served < intent.requested), "whoever took it goes on");
}
