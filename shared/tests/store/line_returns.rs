//! Results of lines on their way to RetailCRM.

use shared::domain::Delivery;
use shared::store::line_returns::{LineReturns, NewReturns, ReturnsState};

use crate::bench::Bench;

async fn said(bench: &Bench, all: &[(&Delivery, &str, bool)]) {
    let news = |(d, facts, only_known): &(&Delivery, &str, bool)| NewReturns {
        integration: d.integration,
        delivery: d.id,
        facts: (*facts).to_owned(),
        only_known: *only_known,
    };
    let news: Vec<NewReturns> = all.iter().map(news).collect();
    bench.commit(async |tx| tx.want_returns(&news, bench.now()).await).await;
}

async fn due(bench: &Bench, d: &Delivery) -> Vec<LineReturns> {
    bench.store.due_returns(d.integration, 10).await.expect("read")
}

async fn ended(bench: &Bench, row: &LineReturns, state: ReturnsState) -> bool {
    bench.commit(async |tx| tx.end_returns(row, state, bench.now()).await).await
}

async fn of_a_deliverys_lines_the_newest_facts_count_and_the_same_again_are_no_news(bench: &Bench) {
    let id = bench.integration("").await.id;
    let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
    let plain = bench.lease(id, 4818, "A-2", "", "w").await.expect("leased");
    said(bench, &[(&d, "one", false), (&plain, "all taken", true)]).await;
    let first = due(bench, &d).await;
    assert_eq!(first.iter().map(|row| row.facts.as_str()).collect::<Vec<_>>(), ["one"], "where nothing was written");
    let first = &first[0];
    assert!(bench.commit(async |tx| tx.begin_returns(first, "written", bench.now()).await).await);
    said(bench, &[(&d, "two", true)]).await;
    assert!(!bench.commit(async |tx| tx.begin_returns(first, "older", bench.now()).await).await, "newer have come");
    assert!(!ended(bench, first, ReturnsState::Done).await, "and they are still to be told");
    let second = due(bench, &d).await.remove(0);
    assert_eq!((second.facts.as_str(), second.written.as_deref()), ("two", Some("written")));
    assert!(ended(bench, &second, ReturnsState::Done).await);
    said(bench, &[(&d, "two", false)]).await;
    assert!(due(bench, &d).await.is_empty());
    said(bench, &[(&d, "one", false)]).await;
    assert_eq!(due(bench, &d).await.len(), 1, "the same facts may come back after others");
}

async fn what_waits_for_its_moment_or_a_person_is_looked_at_again(bench: &Bench) {
    let id = bench.integration("").await.id;
    let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
    assert!(bench.store.next_returns_due(id).await.expect("read").is_none());
    said(bench, &[(&d, "one", false)]).await;
    assert_eq!(bench.store.integrations_with_returns().await.expect("read"), [id]);
    let row = due(bench, &d).await.remove(0);
    bench.store.postpone_returns(&[row.id], bench.after(60)).await.expect("put off");
    assert!(due(bench, &d).await.is_empty());
    assert_eq!(bench.store.next_returns_due(id).await.expect("read"), Some(bench.after(60)));
    bench.pass(60);
    let row = due(bench, &d).await.remove(0);
    assert_eq!(row.attempt, 1);
    assert!(ended(bench, &row, ReturnsState::Dead).await);
    assert!(bench.store.integrations_with_returns().await.expect("read").is_empty());
    assert_eq!(bench.store.count_returns(ReturnsState::Dead).await.expect("counted"), 1);
    assert_eq!(bench.store.revive_returns(id).await.expect("revived"), 1);
    assert_eq!(due(bench, &d).await[0].attempt, 0);
}

contract![
    of_a_deliverys_lines_the_newest_facts_count_and_the_same_again_are_no_news,
    what_waits_for_its_moment_or_a_person_is_looked_at_again,
];
