//! Many letters tried again: at their pace, once each, until somebody stops it.

use std::time::Duration;

use shared::domain::{CrmOrderId, Fault, IntegrationId, OrderNumber};
use shared::message::{Command, Envelope, decode};
use shared::store::audit::{AuditFilter, Who};
use shared::store::dead_letters::{DeadFilter, DeadState, NewDeadLetter};
use shared::store::intents::{Leave, OrderRequest, RequestKind};
use shared::store::replays::{Planned, ReplayState, Replaying, Step, Told};

use crate::bench::{Bench, dead, request};

fn anna() -> Who {
    Who::at_machine(Some("Анна".to_owned()), "root".to_owned())
}

/// A letter about a send, with its command.
fn send(bench: &Bench, id: IntegrationId, number: &str) -> NewDeadLetter {
    let order = OrderNumber::parse(number).expect("a number");
    let command = Envelope::new(Command::SendOrder { number: order, declared: None }, Some(id), bench.now());
    NewDeadLetter {
        command: Some(serde_json::to_string(&command).expect("JSON")),
        ..dead(Some(id), Some(number), "bad_phone", Fault::Shop)
    }
}

async fn letters(bench: &Bench, id: IntegrationId, numbers: std::ops::Range<usize>) -> Vec<i64> {
    let mut ids = Vec::new();
    for n in numbers {
        ids.push(bench.add_dead_letter(&send(bench, id, &format!("{n}"))).await);
    }
    ids
}

async fn plan(bench: &Bench, per_minute: u32, start: bool) -> Planned {
    bench.store.plan_replay(&DeadFilter::default(), per_minute, start, &anna()).await.expect("planned")
}

async fn replay(bench: &Bench, id: i64) -> Replaying {
    bench.store.replay(id).await.expect("read").expect("there")
}

async fn turns(bench: &Bench) -> u32 {
    bench.store.take_turns(&[]).await.expect("taken")
}

/// What lies in the job table, taken out of it as a worker does: recorded as requests.
async fn taken(bench: &Bench) -> Vec<Envelope> {
    let jobs = bench.store.claim_jobs(None, "w1", Duration::from_secs(60), 99).await.expect("claimed");
    let mut all = Vec::new();
    for job in &jobs {
        let envelope = decode(&job.body).expect("readable");
        let number = envelope.command.number().expect("of an order").as_str().to_owned();
        let id = envelope.integration.expect("of an integration");
        let request = OrderRequest {
            generation: envelope.generation,
            command_id: envelope.id.to_string(),
            ..request(bench, id, &number, RequestKind::Send)
        };
        bench.record(request).await;
        all.push(envelope);
    }
    let ids: Vec<String> = jobs.into_iter().map(|job| job.id).collect();
    bench.store.finish_jobs("w1", &ids).await.expect("finished");
    all
}

async fn a_replay_goes_at_its_pace_and_counts_what_came_of_its_letters(bench: &Bench) {
    let id = bench.integration("").await.id;
    let ids = letters(bench, id, 0..3).await;
    let without = NewDeadLetter { command: None, ..dead(Some(id), Some("9"), "bad_phone", Fault::Shop) };
    bench.add_dead_letter(&without).await;
    let planned = plan(bench, 60, false).await;
    assert_eq!((&planned.letters, planned.left), (&ids, 1));
    let number = planned.id.expect("planned");
    assert_eq!(turns(bench).await, 0, "nothing is sent before it is started");
    assert!(!bench.store.replays_are_under_way().await.expect("asked"));
    assert_eq!(bench.store.start_replay(number, &anna()).await.expect("started"), Told::Done);
    assert!(bench.store.replays_are_under_way().await.expect("asked"));
    let waiting = bench.store.waiting_replays().await.expect("read");
    let due: Vec<_> = waiting.iter().map(|w| (w.letter, w.replay, w.due)).collect();
    assert_eq!(
        due,
        [(ids[0], number, bench.now()), (ids[1], number, bench.after(1)), (ids[2], number, bench.after(2))]
    );
    assert_eq!(turns(bench).await, 1);
    assert_eq!(turns(bench).await, 0, "the next one's turn has not come");
    bench.pass(1);
    assert_eq!(turns(bench).await, 1);
    assert_eq!(bench.dead(DeadFilter::default()).await, [ids[2], ids[2] + 1], "until its turn it is open");
    // The first succeeds, the second gives up again, the third was closed before its turn.
    let sent = taken(bench).await;
    assert!(sent.len() == 2 && sent.iter().all(|envelope| envelope.generation == 1));
    bench.store.settle_replays().await.expect("looked");
    assert_eq!(replay(bench, number).await.count(&[Step::Taken]), 2, "what is wanted of them is not done");
    for intent in bench.claim(id, "w1").await {
        assert!(bench.leave(&intent, Leave::Served).await);
    }
    bench.add_dead_letter(&send(bench, id, "1")).await;
    let mut tx = bench.store.db.begin().await.expect("begins");
    assert!(tx.close_dead_letter(ids[2], DeadState::Discarded, "", bench.now()).await.expect("closed"));
    tx.commit().await.expect("committed");
    bench.pass(1);
    assert_eq!(turns(bench).await, 0);
    bench.store.settle_replays().await.expect("looked");
    let done = replay(bench, number).await;
    assert_eq!((done.state, done.ended_at), (ReplayState::Done, Some(bench.now())));
    let counts = [Step::Done, Step::Dead, Step::Skipped].map(|step| done.count(&[step]));
    assert_eq!(counts, [1, 1, 1], "{done:?}");
    assert!(!bench.store.replays_are_under_way().await.expect("asked"));
}

async fn a_replay_is_stopped_half_way_and_goes_on_where_it_was(bench: &Bench) {
    let id = bench.integration("").await.id;
    letters(bench, id, 0..4).await;
    let number = plan(bench, 60, true).await.id.expect("planned");
    assert_eq!(plan(bench, 60, true).await.id, None, "those letters have their turn already");
    assert_eq!(turns(bench).await, 1);
    assert_eq!(bench.store.stop_replay(number, &anna()).await.expect("stopped"), Told::Done);
    assert_eq!(bench.store.stop_replay(number, &anna()).await.expect("asked"), Told::Already(ReplayState::Stopped));
    bench.pass(60);
    assert_eq!(turns(bench).await, 0);
    assert!(bench.store.waiting_replays().await.expect("read").is_empty(), "they wait for nothing");
    assert_eq!(bench.dead(DeadFilter::default()).await.len(), 3);
    assert_eq!(bench.store.start_replay(number, &anna()).await.expect("started"), Told::Done);
    assert_eq!(turns(bench).await, 1, "and no burst for the time it stood");
    assert_eq!(bench.store.start_replay(number + 1, &anna()).await.expect("asked"), Told::Unknown);
    let acts = bench.store.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).await.expect("listed");
    let told: Vec<_> = acts.iter().rev().map(|a| (a.act.as_str(), a.object.as_str())).collect();
    let of_it = format!("replay {number}");
    let expected = ["replay_started", "replay_stopped", "replay_started"].map(|act| (act, of_it.as_str()));
    assert_eq!(told, expected);
    assert_eq!(bench.store.verify_audit(None).await.expect("read").flaws, []);
}

async fn a_replay_that_is_given_another_pace_goes_at_it_from_the_next_letter_on(bench: &Bench) {
    let id = bench.integration("").await.id;
    letters(bench, id, 0..4).await;
    let number = plan(bench, 1, true).await.id.expect("planned");
    assert_eq!(turns(bench).await, 1);
    bench.pass(1);
    assert_eq!(turns(bench).await, 0, "one a minute");
    assert_eq!(bench.store.pace_replay(number, 60, &anna()).await.expect("paced"), Told::Done);
    assert_eq!(turns(bench).await, 1, "one a second");
    bench.pass(1);
    assert_eq!(turns(bench).await, 1);
    let running = bench.store.running_replays().await.expect("counted");
    assert!(running.contains(&(number, Step::Queued, 1)), "{running:?}");
    assert_eq!(bench.store.pace_replay(number, 60, &anna()).await.expect("asked"), Told::Done, "the same pace");
    bench.store.stop_replay(number, &anna()).await.expect("stopped");
    assert!(bench.store.running_replays().await.expect("counted").is_empty());
    assert_eq!(bench.store.pace_replay(number + 1, 60, &anna()).await.expect("asked"), Told::Unknown);
    let acts = bench.store.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).await.expect("listed");
    let paced: Vec<_> = acts.iter().filter(|act| act.act == "replay_paced").collect();
    assert_eq!(paced.len(), 1, "a pace that is there already is no act");
    assert_eq!((paced[0].before.as_str(), paced[0].after.as_str()), (r#"{"per_minute":1}"#, r#"{"per_minute":60}"#));
}

async fn letters_of_who_must_wait_come_at_their_pace_when_that_is_over(bench: &Bench) {
    let (one, other) = (bench.integration("").await.id, bench.integration("B-").await.id);
    letters(bench, one, 0..9).await;
    let free = letters(bench, other, 20..22).await;
    let number = plan(bench, 60, true).await.id.expect("planned");
    let without_one = async || bench.store.take_turns(&[one]).await.expect("taken");
    assert_eq!(without_one().await, 1, "others do not wait for them");
    bench.pass(1);
    assert_eq!(without_one().await, 1);
    for _ in 0..10 {
        bench.pass(30);
        assert_eq!(without_one().await, 0);
    }
    bench.pass(1);
    assert_eq!(turns(bench).await, 1, "five minutes are not made up for");
    bench.pass(1);
    assert_eq!(turns(bench).await, 1);
    let sent = taken(bench).await;
    assert_eq!(sent.iter().filter(|envelope| envelope.integration == Some(other)).count(), free.len());
    assert_eq!(replay(bench, number).await.count(&[Step::Queued]), 7);
}

async fn workers_that_give_turns_at_once_send_each_letter_once(bench: &Bench) {
    let id = bench.integration("").await.id;
    let ids = letters(bench, id, 0..40).await;
    plan(bench, 6000, true).await;
    plan(bench, 6000, true).await;
    let neighbour = bench.neighbour().await;
    for _ in 0..4 {
        bench.pass(1);
        let none: [IntegrationId; 0] = [];
        let (a, b) = tokio::join!(bench.store.take_turns(&none), neighbour.take_turns(&none));
        let _ = (a.expect("taken"), b.expect("taken"));
    }
    let mut numbers: Vec<String> = taken(bench).await.into_iter().map(|envelope| envelope.key).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), ids.len());
    let sql = "SELECT COUNT(*) AS n FROM journal WHERE what = 'operator'";
    let told = bench.store.db.read_one(sql, vec![], |row| row.int("n")).await.expect("read");
    assert_eq!(told, Some(40), "once each");
}

async fn a_job_says_itself_what_it_came_to_and_what_nobody_recorded_is_not_waited_for(bench: &Bench) {
    let id = bench.integration("").await.id;
    let sync = Envelope::new(Command::SyncStatuses {}, Some(id), bench.now());
    let of_job = NewDeadLetter {
        kind: "SyncStatuses".to_owned(),
        command: Some(serde_json::to_string(&sync).expect("JSON")),
        ..dead(Some(id), None, "expired", Fault::Bridge)
    };
    bench.add_dead_letter(&of_job).await;
    bench.add_dead_letter(&NewDeadLetter { command: Some("{}".to_owned()), ..send(bench, id, "1") }).await;
    bench.add_dead_letter(&send(bench, id, "2")).await;
    let number = plan(bench, 6000, true).await.id.expect("planned");
    bench.pass(1);
    assert_eq!(turns(bench).await, 2);
    let counted = replay(bench, number).await;
    assert_eq!((counted.count(&[Step::Sent]), counted.count(&[Step::Skipped])), (2, 1), "one holds no command");
    let jobs = bench.store.claim_jobs(None, "w1", Duration::from_secs(60), 9).await.expect("claimed");
    let sent: Vec<Envelope> = jobs.iter().map(|job| decode(&job.body).expect("readable")).collect();
    let job = sent.iter().find(|envelope| envelope.command.number().is_none()).expect("sent");
    bench.store.replay_came_to(job.id, Step::Dead).await.expect("noted");
    bench.store.settle_replays().await.expect("looked");
    assert_eq!(replay(bench, number).await.count(&[Step::Dead, Step::Sent]), 2, "one is on its way");
    // An earlier release took it.
    bench.record(OrderRequest { order: Some(CrmOrderId(2)), ..request(bench, id, "2", RequestKind::Send) }).await;
    bench.pass(3601);
    bench.store.settle_replays().await.expect("looked");
    assert_eq!(replay(bench, number).await.state, ReplayState::Running, "its order is wanted still");
    let intent = bench.claim_one(id, "w1").await;
    assert!(bench.leave(&intent, Leave::Served).await);
    bench.store.settle_replays().await.expect("looked");
    let done = replay(bench, number).await;
    assert_eq!((done.state, done.count(&[Step::Done])), (ReplayState::Done, 1));
}

async fn a_cause_of_no_integration_is_replayed_without_those_of_integrations(bench: &Bench) {
    let id = bench.integration("").await.id;
    let theirs = letters(bench, id, 1..3).await;
    let none = NewDeadLetter { integration: None, ..send(bench, id, "9") };
    let none = bench.add_dead_letter(&none).await;
    let plan = async |of| {
        let filter = DeadFilter::of_cause("bad_phone", of);
        bench.store.plan_replay(&filter, 60, false, &anna()).await.expect("planned")
    };
    let planned = plan(None).await;
    assert_eq!(planned.letters, [none]);
    let filter = replay(bench, planned.id.expect("planned")).await.filter;
    assert!(filter.contains("\"of_none\":true"), "{filter}");
    assert_eq!(plan(Some(id)).await.letters, theirs);
}

contract![
    a_cause_of_no_integration_is_replayed_without_those_of_integrations,
    a_replay_goes_at_its_pace_and_counts_what_came_of_its_letters,
    a_replay_is_stopped_half_way_and_goes_on_where_it_was,
    a_replay_that_is_given_another_pace_goes_at_it_from_the_next_letter_on,
    letters_of_who_must_wait_come_at_their_pace_when_that_is_over,
    workers_that_give_turns_at_once_send_each_letter_once,
    a_job_says_itself_what_it_came_to_and_what_nobody_recorded_is_not_waited_for,
];
