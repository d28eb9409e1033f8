//! The job table as a queue.

use futures_util::future::join_all;
use shared::message::Lane;
use shared::store::jobs::NewJob;

use crate::bench::{Bench, SOON, job};

pub(crate) async fn claimed(bench: &Bench, lane: Option<Lane>, owner: &str) -> Vec<(String, i64)> {
    let jobs = bench.store.claim_jobs(lane, owner, SOON, 10).await.expect("claimed");
    jobs.into_iter().map(|job| (job.id, job.deliveries)).collect()
}

async fn a_message_stored_twice_is_one(bench: &Bench) {
    let message = job("m", Lane::Interactive, bench.now());
    let other_body = NewJob { body: b"late".to_vec(), ..message.clone() };
    bench.store.enqueue(&[message.clone(), message.clone()]).await.expect("stored");
    bench.store.enqueue(&[other_body]).await.expect("stored");
    let jobs = bench.store.claim_jobs(Some(Lane::Interactive), "a", SOON, 10).await.expect("claimed");
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].body, message.body, "the first one stands");
}

async fn messages_are_handed_out_when_due_and_oldest_first(bench: &Bench) {
    let jobs = [
        job("third", Lane::Interactive, bench.after(3)),
        job("first", Lane::Interactive, bench.after(1)),
        job("later", Lane::Interactive, bench.after(100)),
        job("second", Lane::Interactive, bench.after(2)),
        job("bulk", Lane::Bulk, bench.after(1)),
    ];
    bench.store.enqueue(&jobs).await.expect("stored");
    assert_eq!(bench.store.next_job_due(Lane::Interactive).await.expect("asked"), Some(bench.after(1)));
    assert_eq!(bench.store.next_job_due(Lane::Rpc).await.expect("asked"), None);
    assert_eq!(claimed(bench, Some(Lane::Interactive), "a").await, []);
    bench.pass(3);
    let two = bench.store.claim_jobs(Some(Lane::Interactive), "a", SOON, 2).await.expect("claimed");
    assert_eq!(two.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    let rest = claimed(bench, None, "b").await;
    assert_eq!(rest.len(), 2, "the third and the bulk one: {rest:?}");
    let mut counts = bench.store.job_counts().await.expect("counted");
    counts.sort_unstable();
    assert_eq!(counts, [(Lane::Interactive, 4), (Lane::Bulk, 1)]);
    assert_eq!(bench.store.next_job_due(Lane::Interactive).await.expect("asked"), Some(bench.after(60)));
}

async fn a_settled_message_is_gone_and_only_its_holder_settles_it(bench: &Bench) {
    bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
    assert_eq!(claimed(bench, None, "a").await, [("m".to_owned(), 0)]);
    let id = ["m".to_owned()];
    assert_eq!(bench.store.finish_jobs("b", &id).await.expect("asked"), 0);
    bench.store.hand_back_jobs("b", &id).await.expect("asked");
    assert_eq!(claimed(bench, None, "b").await, [], "a still holds it");
    assert_eq!(bench.store.finish_jobs("a", &id).await.expect("settled"), 1);
    bench.pass(3600);
    assert_eq!(claimed(bench, None, "b").await, []);
}

async fn a_message_handed_back_is_free_at_once(bench: &Bench) {
    bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
    claimed(bench, None, "a").await;
    bench.store.hand_back_jobs("a", &["m".to_owned()]).await.expect("handed back");
    assert_eq!(claimed(bench, None, "b").await, [("m".to_owned(), 1)], "and says that it was out before");
}

async fn a_message_whose_holder_died_comes_back(bench: &Bench) {
    bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
    claimed(bench, None, "dead").await;
    bench.pass(59);
    assert_eq!(claimed(bench, None, "b").await, []);
    bench.pass(1);
    assert_eq!(claimed(bench, None, "b").await, [("m".to_owned(), 1)]);
    assert_eq!(bench.store.finish_jobs("dead", &["m".to_owned()]).await.expect("asked"), 0, "no longer its own");
}

async fn no_message_is_handed_to_two(bench: &Bench) {
    let jobs: Vec<NewJob> = (0..60).map(|n| job(&format!("m{n}"), Lane::Interactive, bench.now())).collect();
    bench.store.enqueue(&jobs).await.expect("stored");
    let owners: Vec<String> = (0..6).map(|n| format!("w{n}")).collect();
    let all = join_all(owners.iter().map(|owner| claimed(bench, Some(Lane::Interactive), owner))).await;
    let mut ids: Vec<String> = all.into_iter().flatten().map(|(id, _)| id).collect();
    let handed_out = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), handed_out);
    assert!(handed_out >= 10);
}

async fn what_is_rolled_back_was_never_published(bench: &Bench) {
    let mut tx = bench.store.db.begin().await.expect("begins");
    tx.enqueue(&job("m", Lane::Bulk, bench.now()), bench.now()).await.expect("stored");
    drop(tx);
    assert_eq!(claimed(bench, None, "a").await, []);
}

contract![
    a_message_stored_twice_is_one,
    messages_are_handed_out_when_due_and_oldest_first,
    a_settled_message_is_gone_and_only_its_holder_settles_it,
    a_message_handed_back_is_free_at_once,
    a_message_whose_holder_died_comes_back,
    no_message_is_handed_to_two,
    what_is_rolled_back_was_never_published,
];
