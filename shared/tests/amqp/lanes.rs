//! A queue that cannot be declared, counted or consumed costs what goes through it and nothing
//! else: another type under its name, or nobody who answers for it, as when its node is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::contract::send_order;
use harness::amqp_frames::{AmqpFrames, BASIC_NACK, BASIC_REJECT};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use shared::message::{Command, Envelope, Lane, decode};
use shared::queue::amqp::AmqpQueue;
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::{
    Consumer as _, Parked, PublishError, Publisher as _, Queue as _, Replier as _, Rpc as _, RpcError, Subscription,
};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::bench::{AmqpBench, broker_url, connected};

const LIMIT: Duration = Duration::from_secs(30);

/// A client by way of a proxy that reads along.
async fn read_along(bench: &AmqpBench) -> (AmqpFrames, AmqpConfig) {
    let mut url = Url::parse(&broker_url()).expect("a URL");
    let target = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672));
    let proxy = AmqpFrames::start(target).await.expect("a proxy");
    url.set_port(Some(proxy.address().port())).expect("a port");
    let config = bench.config(url.as_str());
    (proxy, config)
}

fn request() -> Envelope {
    let command = Command::Callback { action: "calculate".to_owned(), request: serde_json::Value::Null };
    Envelope::new(command, None, "2026-09-01T10:00:00Z".parse().expect("a time"))
}

/// Publishes an order and takes it, both within what a person would call at once.
async fn orders_flow(queue: &Arc<AmqpQueue>, lane: &mut Box<dyn Subscription>, number: usize) {
    let sent = send_order(number);
    let published = async {
        while queue.publish(sent.clone()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(LIMIT, published).await.is_err() {
        panic!("no order is published: {:?}, {:?}", queue.progress(), queue.state().await);
    }
    let taken = async {
        loop {
            let delivery = lane.next().await.expect("a delivery");
            let found = decode(&delivery.body).expect("an envelope").id;
            delivery.ack().await;
            if found == sent.id {
                return;
            }
        }
    };
    if timeout(LIMIT, taken).await.is_err() {
        panic!("no order is taken: {:?}, {:?}", queue.progress(), queue.state().await);
    }
}

async fn answers(queue: &Arc<AmqpQueue>, requests: &mut Box<dyn Subscription>) {
    let answered = async {
        loop {
            let call = queue.call(request(), Duration::from_secs(3));
            let serving = async {
                let request = requests.next().await.expect("a request");
                let (to, id) = (request.reply_to.clone().expect("to"), request.correlation_id.clone().expect("id"));
                queue.reply(&to, &id, b"yes".to_vec()).await;
                request.ack().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = call => match answer {
                    Ok(_) => return,
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
                () = serving => {}
            }
        }
    };
    timeout(LIMIT, answered).await.expect("callbacks are answered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_the_broker_refuses_costs_only_itself() {
    let bench = AmqpBench::new().await;
    let name = format!("{}.rpc.v1", bench.prefix);
    let (_connection, channel) = bench.channel().await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(name.as_str().into(), durable, quorum).await.expect("declared");

    let (_proxy, config) = read_along(&bench).await;
    let queue = connected(config).await;
    let mut lane = queue.subscribe(Lane::Interactive, 4);
    let mut requests = queue.subscribe(Lane::Rpc, 4);
    for number in 0..5 {
        orders_flow(&queue, &mut lane, number).await;
        assert_eq!(queue.call(request(), LIMIT).await, Err(RpcError::Unavailable), "said at once");
    }
    let state = queue.state().await;
    assert!(state.connected, "{state:?}");
    assert_eq!(state.refused, [Lane::Rpc]);
    assert!(
        state.trouble.iter().any(|(queue, why)| *queue == name && why.contains("PRECONDITION_FAILED")),
        "{state:?}"
    );
    assert_eq!(queue.progress().reconnects, 0, "no connection was dropped for it");

    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
    answers(&queue, &mut requests).await;
    assert!(queue.state().await.refused.is_empty());
}

/// What a worker meets that starts while the node with the callback lane is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_nobody_answers_for_costs_only_itself() {
    let bench = AmqpBench::new().await;
    let (proxy, config) = read_along(&bench).await;
    proxy.mute(Some(&format!("{}.rpc.v1", bench.prefix)));
    let queue = connected(config).await;
    let mut lane = queue.subscribe(Lane::Interactive, 4);
    let mut requests = queue.subscribe(Lane::Rpc, 4);
    let silent = async {
        let mut number = 0;
        while !queue.state().await.refused.contains(&Lane::Rpc) {
            let began = Instant::now();
            // While the lane is found out about as well as after.
            orders_flow(&queue, &mut lane, number).await;
            assert!(began.elapsed() < Duration::from_secs(5), "orders waited {:?}", began.elapsed());
            number += 1;
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, silent).await.expect("it is said that the lane does not answer");
    for number in 100..110 {
        orders_flow(&queue, &mut lane, number).await;
        assert_eq!(queue.call(request(), LIMIT).await, Err(RpcError::Unavailable), "said at once");
        sleep(Duration::from_millis(300)).await;
    }
    let state = queue.state().await;
    assert!(state.connected && state.depth.iter().any(|(lane, _)| *lane == Lane::Interactive), "{state:?}");
    assert_eq!(queue.progress().reconnects, 0, "no connection was dropped for it");
    proxy.mute(None);
    answers(&queue, &mut requests).await;
}

/// The same where it was well before: counting it must not take the connections along.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_falls_silent_costs_only_itself() {
    let bench = AmqpBench::new().await;
    let (proxy, config) = read_along(&bench).await;
    let queue = connected(config).await;
    let mut lane = queue.subscribe(Lane::Interactive, 4);
    orders_flow(&queue, &mut lane, 0).await;
    proxy.mute(Some(&format!("{}.bulk.v1", bench.prefix)));
    let mut bulk = queue.subscribe(Lane::Bulk, 4);
    let (stop, began) = (Instant::now() + Duration::from_secs(14), Instant::now());
    let consuming = tokio::spawn(async move { bulk.next().await.map(|delivery| delivery.body) });
    while Instant::now() < stop {
        orders_flow(&queue, &mut lane, 1).await;
        let _ = queue.state().await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(queue.progress().reconnects, 0, "in {:?}", began.elapsed());
    assert_eq!(queue.state().await.refused, [Lane::Bulk]);
    proxy.mute(None);
    let sync = Envelope::new(Command::SyncStatuses {}, None, "2026-09-01T10:00:00Z".parse().expect("a time"));
    queue.publish(sync.clone()).await.expect("a durable lane takes what is published");
    let body = timeout(LIMIT, consuming).await.expect("taken again").expect("a task").expect("a delivery");
    assert_eq!(decode(&body), Ok(sync));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_another_type_refuses_its_own_lane_alone_until_it_is_gone() {
    let bench = AmqpBench::new().await;
    let name = format!("{}.bulk.v1", bench.prefix);
    let (_connection, channel) = bench.channel().await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await.expect("declared");

    let queue = bench.queue().await;
    let mut lane = queue.subscribe(Lane::Interactive, 4);
    orders_flow(&queue, &mut lane, 1).await;
    let sync = Envelope::new(Command::SyncStatuses {}, None, "2026-09-01T10:00:00Z".parse().expect("a time"));
    assert_eq!(queue.publish(sync.clone()).await, Err(PublishError::Unavailable), "nothing is bound to take it");
    assert!(!queue.accepts(Lane::Bulk) && queue.accepts(Lane::Interactive));
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
    let published = async {
        while queue.publish(sync.clone()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, published).await.expect("it is declared once the other has gone");
}

/// RabbitMQ 4.3 counts a reject towards the delivery limit and no nack.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_back_counts_on_every_release_of_the_broker() {
    let bench = AmqpBench::new().await;
    let (proxy, config) = read_along(&bench).await;
    let queue = connected(config).await;
    let mut lane = queue.subscribe(Lane::Interactive, 2);
    for number in 0..4 {
        queue.publish(send_order(number)).await.expect("published");
    }
    // In so many words, by letting it fall, and by taking no more.
    let next =
        async |lane: &mut Box<dyn Subscription>| timeout(LIMIT, lane.next()).await.expect("in time").expect("one");
    next(&mut lane).await.requeue().await;
    drop(next(&mut lane).await);
    let held = next(&mut lane).await;
    lane.stop().await;
    drop(held);
    let counted = async {
        while proxy.count(BASIC_REJECT) < 3 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, counted).await.expect("handed back");
    assert_eq!(proxy.count(BASIC_NACK), 0);
}

/// A broker whose own limit does not bite (4.3 counts takings apart): our count does.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_too_often_by_the_brokers_count_is_put_aside_by_ourselves() {
    use lapin::BasicProperties;
    use lapin::options::BasicPublishOptions;
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let (_connection, channel) = bench.channel().await;
    let order = send_order(1);
    for taken in [20, 21] {
        let mut headers = FieldTable::default();
        headers.insert("x-acquired-count".into(), AMQPValue::LongLongInt(taken));
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        let exchange = format!("{}.jobs", bench.prefix);
        let body = if taken > 20 { shared::message::encode(&order) } else { b"once more".to_vec() };
        let options = BasicPublishOptions::default();
        let sending =
            channel.basic_publish(exchange.into(), "interactive.SendOrder".into(), options, &body, properties);
        sending.await.expect("sent").await.expect("taken");
    }
    let mut lane = queue.subscribe(Lane::Interactive, 1);
    let first = timeout(LIMIT, lane.next()).await.expect("in time").expect("a delivery");
    assert_eq!(first.body, b"once more");
    first.ack().await;
    let mut dead = queue.subscribe_parked(Parked::Dead, 1).expect("kept");
    let park = tokio::select! {
        taken = lane.next() => panic!("handed out: {:?}", taken.map(|delivery| delivery.body)),
        dead = timeout(LIMIT, dead.next()) => dead.expect("in time").expect("put aside"),
    };
    assert_eq!(decode(&park.body), Ok(order));
    assert_eq!(park.death.as_ref().map(|death| death.reason.as_str()), Some("rejected"));
    park.ack().await;
}
