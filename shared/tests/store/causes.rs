//! What is broken, counted by what has to be mended once, and what people say of it.

use shared::domain::{Fault, IntegrationId};
use shared::store::audit::Who;
use shared::store::causes::{Cause, Word};
use shared::store::dead_letters::{DeadFilter, DeadState};
use shared::store::journal::Search;

use crate::bench::{Bench, dead};

async fn causes(bench: &Bench) -> Vec<Cause> {
    bench.store.causes(&DeadFilter::default()).await.expect("listed")
}

async fn say(bench: &Bench, reason: &str, integration: Option<IntegrationId>, word: Word) -> usize {
    say_of(bench, reason, &DeadFilter { integration, ..DeadFilter::default() }, word).await
}

async fn say_of(bench: &Bench, reason: &str, which: &DeadFilter, word: Word) -> usize {
    let anna = Who::at_machine(Some("Анна".to_owned()), "root".to_owned());
    bench.store.say_of_causes(reason, which, word, &anna).await.expect("said").len()
}

async fn close(bench: &Bench, letter: i64) {
    let state = DeadState::Resolved;
    assert!(bench.commit(async |tx| tx.close_dead_letter(letter, state, "done", bench.now()).await).await);
}

async fn letters_of_one_reason_at_one_integration_are_one_cause(bench: &Bench) {
    let (one, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    let first = bench.now();
    bench.add_dead_letter(&dead(Some(one), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.pass(60);
    bench.add_dead_letter(&dead(Some(one), Some("2"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(Some(one), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.pass(60);
    let elsewhere = bench.add_dead_letter(&dead(Some(other), Some("3"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(None, None, "undecodable", Fault::Bridge)).await;
    let found = causes(bench).await;
    let keys: Vec<_> = found.iter().map(|cause| (cause.integration, cause.reason.as_str(), cause.letters)).collect();
    assert_eq!(keys, [(None, "undecodable", 1), (Some(other), "bad_phone", 1), (Some(one), "bad_phone", 2)]);
    let cause = &found[2];
    assert_eq!((cause.times, cause.first_at, cause.last_at, cause.fault), (3, first, bench.after(-60), Fault::Shop));
    // As asked for.
    let of = async |filter: DeadFilter| bench.store.causes(&filter).await.expect("listed").len();
    assert_eq!(of(DeadFilter { integration: Some(one), ..DeadFilter::default() }).await, 1);
    assert_eq!(of(DeadFilter { fault: Some(Fault::Bridge), ..DeadFilter::default() }).await, 1);
    assert_eq!(of(DeadFilter { reason: Some("bad_phone".to_owned()), ..DeadFilter::default() }).await, 2);
    // A cause is over with its last letter, whoever asks for closed ones too.
    close(bench, elsewhere).await;
    assert_eq!(of(DeadFilter { all: true, ..DeadFilter::default() }).await, 2);
    // A release that thinks otherwise of whose fault it is makes no second cause.
    bench.pass(60);
    bench.add_dead_letter(&dead(Some(one), Some("9"), "bad_phone", Fault::Courier)).await;
    let again = causes(bench).await;
    assert_eq!((again.len(), again[0].letters, again[0].fault, again[0].first_at), (2, 3, Fault::Courier, first));
}

async fn what_is_said_of_a_cause_holds_until_nothing_of_it_is_open(bench: &Bench) {
    let (one, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    let letter = bench.add_dead_letter(&dead(Some(one), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(Some(other), Some("1"), "bad_phone", Fault::Shop)).await;
    assert_eq!(say(bench, "no_address", None, Word::Acknowledged).await, 0, "nothing of it is open");
    assert_eq!(say(bench, "bad_phone", Some(one), Word::Acknowledged).await, 1);
    let acknowledged = async || {
        let found = causes(bench).await.into_iter().find(|cause| cause.integration == Some(one)).expect("open");
        found.acknowledged
    };
    assert_eq!(acknowledged().await, Some(("Анна".to_owned(), bench.now())));
    assert!(causes(bench).await.iter().any(|cause| cause.integration == Some(other) && cause.acknowledged.is_none()));
    // More of the same is the same trouble, as long as one is open all the while.
    let second = bench.add_dead_letter(&dead(Some(one), Some("2"), "bad_phone", Fault::Shop)).await;
    close(bench, letter).await;
    let third = bench.add_dead_letter(&dead(Some(one), Some("3"), "bad_phone", Fault::Shop)).await;
    assert!(acknowledged().await.is_some());
    close(bench, second).await;
    close(bench, third).await;
    bench.add_dead_letter(&dead(Some(one), Some("4"), "bad_phone", Fault::Shop)).await;
    assert_eq!(acknowledged().await, None, "it was over in between");
    let search = Search { text: Some("by Анна".to_owned()), limit: 9, ..Search::default() };
    let told = bench.store.search_journal(&search).await.expect("read");
    assert_eq!((told.len(), told[0].integration), (1, Some(one)));
}

async fn a_snooze_ends_by_itself_or_when_it_is_taken_back(bench: &Bench) {
    let id = bench.integration("").await.id;
    for integration in [Some(id), None] {
        bench.add_dead_letter(&dead(integration, Some("1"), "internal", Fault::Bridge)).await;
    }
    let snoozed = async || causes(bench).await.iter().filter(|cause| cause.snoozed.is_some()).count();
    assert_eq!(say(bench, "internal", None, Word::Snoozed { until: bench.after(60) }).await, 2);
    assert_eq!(say(bench, "internal", None, Word::Acknowledged).await, 2);
    assert_eq!(snoozed().await, 2);
    bench.pass(60);
    assert_eq!(snoozed().await, 0);
    assert!(causes(bench).await.iter().all(|cause| cause.acknowledged.is_some()));
    say(bench, "internal", None, Word::Snoozed { until: bench.after(60) }).await;
    say(bench, "internal", Some(id), Word::Awake).await;
    assert_eq!(snoozed().await, 1);
    assert!(causes(bench).await.iter().any(|cause| cause.acknowledged.is_none() && cause.integration == Some(id)));
    // A cause of no integration is one of its own.
    assert_eq!(say_of(bench, "internal", &DeadFilter::of_cause("internal", None), Word::Awake).await, 1);
    say(bench, "internal", Some(id), Word::Acknowledged).await;
    say_of(bench, "internal", &DeadFilter::of_cause("internal", None), Word::Snoozed { until: bench.after(60) }).await;
    assert!(causes(bench).await.iter().all(|cause| cause.snoozed.is_some() == cause.integration.is_none()));
}

contract![
    letters_of_one_reason_at_one_integration_are_one_cause,
    what_is_said_of_a_cause_holds_until_nothing_of_it_is_open,
    a_snooze_ends_by_itself_or_when_it_is_taken_back,
];
