//! `bridge order show` tells the story of an order.

use harness::{Collect, LONG, World, eventually};
use jiff::Timestamp;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind;

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_tells_trigger_decision_calls_and_result() {
    let world = World::embedded("order-show").start().await;
    let order = world.place(0, 42, Collect::Rest);
    // The answer to the first create is lost: the story has a look-up in it.
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::FailAfter).op("neworder").first(1)]);
    let command = world.fires(TriggerKind::Send, &order).await.body["id"].clone();
    world.settled("the order is placed").await;

    // The journal is written behind the work.
    let document = eventually("the calls are in the journal", LONG, || async {
        let document = world.bridge(&["order", "show", &order.number, "--json"]).await.json();
        let steps = document["timeline"].as_array().expect("a list");
        let ops: Vec<&str> = steps.iter().filter_map(|step| step["op"].as_str()).collect();
        let complete = ops.contains(&"statusreq") && ops.iter().any(|op| op.contains("edit"));
        if complete { Ok(document) } else { Err(format!("{ops:?}")) }
    })
    .await;
    assert_eq!(document["order"], order.number);
    let delivery = &document["deliveries"][0];
    assert_eq!(delivery["integration"], world.shops[0].integration);
    assert_eq!((&delivery["orderno"], &delivery["state"]), (&world.orderno(&order).into(), &"created".into()));
    let timeline = document["timeline"].as_array().expect("a list");
    let mut last = Timestamp::MIN;
    for step in timeline {
        let at: Timestamp = step["at"].as_str().expect("a time").parse().expect("a time");
        assert!(at >= last, "in the order of time: {at} after {last}");
        assert!(step["text"].as_str().is_some_and(|text| !text.is_empty()), "{step}");
        last = at;
    }
    let of = |what: &str| timeline.iter().filter(|step| step["what"] == what).collect::<Vec<_>>();
    assert_eq!(of("trigger").len(), 1, "{document:#}");
    assert_eq!(of("trigger")[0]["outcome"], command, "the trigger's command id");
    let calls = of("call");
    let ops: Vec<&str> = calls.iter().filter_map(|call| call["op"].as_str()).collect();
    assert_eq!(ops, ["neworder", "statusreq"], "a lost answer, a look-up, no second create");
    for call in &calls {
        let request = call["request"].as_str().expect("a request");
        assert!(request.contains("<auth") && request.contains("hidden"), "masked: {request}");
        assert!(call["duration_ms"].is_i64(), "{call}");
    }
    assert!(calls[0]["request"].as_str().is_some_and(|body| body.contains(&world.orderno(&order))), "{}", calls[0]);
    assert!(calls[1]["response"].as_str().is_some_and(|body| body.contains("AWAITING_SYNC") || body.contains("NEW")));
    let crm: Vec<&str> = of("crm").iter().filter_map(|step| step["op"].as_str()).collect();
    assert!(crm.contains(&"orders.edit") || crm.iter().any(|op| op.contains("edit")), "written back: {crm:?}");
    // The reconcile of a fresh installation may have something to say as well.
    let decisions: Vec<&str> = of("decision").iter().filter_map(|step| step["text"].as_str()).collect();
    let is_placed = |text: &&str| text.contains("taken over") || text.contains("placed");
    assert!(decisions.iter().any(is_placed), "{decisions:?}");

    let text = world.bridge(&["order", "show", &order.number, "--verbose"]).await;
    assert_eq!(text.code, 0, "{}", text.stderr);
    for word in
        [order.number.as_str(), "trigger", "Decision", "neworder", "statusreq", "at MeaSoft, not begun", "[hidden"]
    {
        assert!(text.stdout.contains(word), "«{word}» is missing in\n{}", text.stdout);
    }
    let short = world.bridge(&["order", "show", &order.number]).await;
    assert!(short.stdout.lines().count() < text.stdout.lines().count(), "bodies only when asked for");

    let unknown = world.bridge(&["order", "show", "no-such-order"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.contains("no-such-order"), "{}", unknown.stderr);
    world.finish().await;
}
