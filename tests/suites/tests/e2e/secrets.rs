//! Everything fails in every way it can, with everything logged: what was planted shows
//! nowhere. Each story's end looks for it; this one gives it the most to find.

use harness::{Collect, LONG, Outage, Placed, World, eventually};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::{Action, FaultRule as CrmFault, TriggerKind, When};

/// What a vendor might quote.
const QUOTE: &str = "field [receiver phone] +7 (916) 555-00-07 taynova@secret-post.example 79165550007: not valid";

async fn serve(world: &World, orders: &[Placed], what: &str) {
    for order in orders {
        world.fires(TriggerKind::Send, order).await;
    }
    eventually(what, LONG, || async {
        let (waiting, jobs) = world.ledger.waiting().await.map_err(|error| format!("{error:#}"))?;
        if waiting + jobs == 0 { Ok(()) } else { Err(format!("{waiting} and {jobs} wait")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_wide_no_secret_shows_whatever_goes_wrong() {
    let world = World::scaled("secrets").alone().set("RUST_LOG", "trace").start().await;
    let orders = world.place_many(12);

    world.measoft.set_faults(vec![
        FaultRule::new(FaultAction::Refuse { code: 8, text: QUOTE.to_owned() }).op("neworder").orderno("1000A"),
        FaultRule::new(FaultAction::CutXml).op("neworder").first(1),
        FaultRule::new(FaultAction::Html { status: 500, act: true }).op("neworder").first(1),
        FaultRule::new(FaultAction::Empty { act: false }).op("statusreq").first(1),
    ]);
    world.crm.set_faults(vec![
        CrmFault::new("orders.list", When::FirstN(1), Action::CutJson),
        CrmFault::new("orders.edit", When::FirstN(1), Action::LoseAnswer),
        CrmFault::new("*", When::FirstN(1), Action::ServerError { acted: false }),
    ]);
    serve(&world, &orders, "the orders are placed in spite of the faults").await;
    world.expect_dead_letter("1000A", "bad_phone");
    world.measoft.clear_faults();
    world.crm.clear_faults();

    // Bad requests with secrets where they do not belong.
    let (key, phone) = (world.shops[0].key.clone(), "+7 (916) 555-00-07");
    for path in ["trigger", "update", "cancel"].map(|name| format!("/reintegrations/requests/{name}/retailcrm")) {
        for fields in
            [vec![("id", phone), ("key", "wrong"), ("name", "Тайнова")], vec![("id", "1"), (key.as_str(), phone)]]
        {
            let answer = world.post(&path, &fields, "en").await.expect("an answer");
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
    }
    // A sum that says nothing is a hint the less, and no reason to lose the trigger.
    for path in ["trigger", "update"].map(|name| format!("/reintegrations/requests/{name}/retailcrm")) {
        let fields = [("id", orders[2].number.as_str()), ("sum", phone), ("key", &key)];
        let answer = world.post(&path, &fields, "en").await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    let path = format!("/reintegrations/requests/{key}/retailcrm?key={key}&phone=79165550007");
    world.send("POST", &path, "text/plain", key.clone().into_bytes(), "ru").await.expect("an answer");

    // By way of the spill.
    let outage = Outage::stop_broker().await;
    world.fires(TriggerKind::Update, &orders[3]).await;
    outage.end().await;
    world.settled("the spilled one has been served").await;

    // The operator looks at everything.
    for arguments in [
        &["integration", "list"][..],
        &["integration", "list", "--json"],
        &["integration", "show", "1"],
        &["integration", "show", "1", "--json"],
        &["integration", "check", "1"],
        &["order", "show", &orders[1].number, "--verbose"],
        &["order", "show", &orders[0].number, "--json"],
        &["dead", "list", "--all"],
        &["dead", "show", "1"],
        &["dead", "show", "1", "--json"],
        &["journal", "search", "neworder", "--json"],
        &["journal", "search", "1001"],
        &["config", "check"],
    ] {
        let said = world.bridge(arguments).await;
        assert_eq!(said.code, 0, "bridge {arguments:?}: {}", said.stderr);
    }
    for (arguments, code) in
        [(&["integration", "show", "99"][..], 2), (&["order", "show", "none"], 1), (&["dead", "replay", "99"], 1)]
    {
        assert_eq!(world.bridge(arguments).await.code, code, "bridge {arguments:?}");
    }
    let kept = world.ledger.count("SELECT COUNT(*) AS n FROM journal WHERE request LIKE '%[hidden%'").await;
    assert!(kept.expect("read") > 10, "the story must have masked bodies to look at");
    let order = world.place(1, 50, Collect::Cash);
    world.fires(TriggerKind::Send, &order).await;
    world.finish().await;
}
