//! Requests over the rpc lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared::message::{Command, Envelope, Lane, decode};
use shared::queue::amqp::AmqpQueue;
use shared::queue::{Consumer as _, Delivery, Queue as _, Replier as _, Rpc as _, RpcError};
use tokio::time::timeout;

use crate::bench::AmqpBench;

const LONG: Duration = Duration::from_secs(20);

fn request(action: &str) -> Envelope {
    let command =
        Command::Callback { action: action.to_owned(), request: serde_json::json!({ "town": "Москва" }) };
    Envelope::new(command, None, "2026-09-01T10:00:00Z".parse().expect("a time"))
}

/// Answers with what `answer` makes of the request's action.
async fn answer(queue: &AmqpQueue, delivery: Delivery) {
    let Command::Callback { action, .. } = decode(&delivery.body).expect("an envelope").command else {
        panic!("not a callback")
    };
    let (to, id) =
        (delivery.reply_to.as_deref().expect("an address"), delivery.correlation_id.as_deref().expect("an id"));
    queue.reply(to, id, format!("{action}!").into_bytes()).await;
    delivery.ack().await;
}

/// A worker on a client of its own.
async fn worker(bench: &AmqpBench) -> Arc<AmqpQueue> {
    let queue = bench.queue().await;
    let mut requests = queue.subscribe(Lane::Rpc, 16);
    let working = queue.clone();
    tokio::spawn(async move {
        while let Some(delivery) = requests.next().await {
            answer(&working, delivery).await;
        }
    });
    queue
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_gets_the_answer_to_its_own_request() {
    let bench = AmqpBench::new().await;
    let _workers = (worker(&bench).await, worker(&bench).await);
    let (one, other) = (bench.queue().await, bench.queue().await);
    let calls = (0..100).map(|number| {
        let queue = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move {
            let answer = queue.call(request(&format!("calculate{number}")), LONG).await;
            assert_eq!(answer, Ok(format!("calculate{number}!").into_bytes()));
        }
    });
    join_all(calls).await;
    assert_eq!(one.pending_calls() + other.pending_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_the_caller_is_told_at_its_deadline_and_the_request_is_dropped() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let started = Instant::now();
    assert_eq!(queue.call(request("late"), Duration::from_millis(300)).await, Err(RpcError::Deadline));
    assert!(started.elapsed() < Duration::from_secs(2));

    // The broker forgets it, so a worker that starts now finds only what is still wanted.
    let call = tokio::spawn({
        let queue = queue.clone();
        async move { queue.call(request("fresh"), LONG).await }
    });
    let mut requests = queue.subscribe(Lane::Rpc, 1);
    let fresh = async {
        loop {
            let delivery = requests.next().await.expect("a request");
            // On a slow machine the broker counts from later than its caller.
            if String::from_utf8_lossy(&delivery.body).contains("\"fresh\"") {
                return delivery;
            }
            delivery.ack().await;
        }
    };
    let delivery = timeout(LONG, fresh).await.expect("in time");
    answer(&queue, delivery).await;
    assert_eq!(call.await.expect("the caller"), Ok(b"fresh!".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_abandoned_calls_leak_nothing_and_disturb_nobody() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let abandoned = (0..200).map(|_| timeout(Duration::from_millis(20), queue.call(request("abandoned"), LONG)));
    for outcome in join_all(abandoned).await {
        assert!(outcome.is_err(), "nobody answers");
    }
    assert_eq!(queue.pending_calls(), 0);

    let _worker = worker(&bench).await;
    assert_eq!(queue.call(request("save"), LONG).await, Ok(b"save!".to_vec()));
    assert_eq!(queue.pending_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_asker_that_has_gone_harms_nothing() {
    let bench = AmqpBench::new().await;
    let asker = bench.queue().await;
    let call = tokio::spawn({
        let asker = asker.clone();
        async move { asker.call(request("save"), LONG).await }
    });
    let queue = bench.queue().await;
    let mut requests = queue.subscribe(Lane::Rpc, 1);
    let delivery = timeout(LONG, requests.next()).await.expect("in time").expect("a request");
    asker.close().await;
    assert!(call.await.expect("the caller").is_err());
    timeout(LONG, answer(&queue, delivery)).await.expect("nobody hangs on it");
    assert!(queue.state().await.connected, "an answer to nobody closes no channel");

    let _worker = worker(&bench).await;
    drop(requests);
    assert_eq!(queue.call(request("next"), LONG).await, Ok(b"next!".to_vec()));
}

/// RabbitMQ 4 takes 16 MiB; an older one can be told to. A message that is longer closes the
/// channel, and what is on its way becomes unknown.
mod broker_wide {
    use super::*;
    use crate::bench::rabbitmqctl;
    use crate::contract::send_order;
    use shared::queue::Publisher as _;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_document_longer_than_the_broker_takes_arrives_in_pieces() {
        const MIB: usize = 1024 * 1024;
        let bench = AmqpBench::alone().await;
        rabbitmqctl(&["eval", "application:set_env(rabbit, max_message_size, 16777216)."]).await;
        let (asker, worker) = (bench.queue().await, bench.queue().await);
        let mut requests = worker.subscribe(Lane::Rpc, 4);
        let answering = worker.clone();
        let document: Vec<u8> = (0..20 * MIB).map(|n| u8::try_from(n % 251).expect("small")).collect();
        let sent = document.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let (to, id) = (request.reply_to.clone().expect("to"), request.correlation_id.clone().expect("id"));
                assert!(answering.longest(&to) >= 20 * MIB);
                assert!(answering.longest("an.asker.of.the.previous.release") <= 16 * MIB);
                answering.reply(&to, &id, sent.clone()).await;
                request.ack().await;
            }
        });
        let answer = asker.call(request("print"), LONG).await;
        // Nothing else is touched.
        let mut published = Vec::new();
        for number in 0..5 {
            published.push(worker.publish(send_order(number)).await);
        }
        rabbitmqctl(&["eval", "application:set_env(rabbit, max_message_size, 134217728)."]).await;
        assert!(answer.is_ok_and(|answer| answer == document), "the whole document");
        assert!(published.iter().all(Result::is_ok), "{published:?}");
    }
}
