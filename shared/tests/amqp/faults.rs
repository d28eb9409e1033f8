//! Faults of the path and of the broker, under traffic. After each, publishing and
//! consuming are back within 15 s, and nothing that was confirmed is lost.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::contract::send_order;
use harness::proxy::{Path, Proxy};
use shared::message::{Lane, decode};
use shared::queue::amqp::AmqpQueue;
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::{Consumer as _, PublishError, Publisher as _, Queue as _, Rpc as _, RpcError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::bench::{AmqpBench, broker_url, connected, rabbitmqctl};

const BACK: Duration = Duration::from_secs(15);
const PUBLISHERS: usize = 8;

/// A queue behind a proxy; `parameters` is the URL's query.
async fn behind_proxy(bench: &AmqpBench, parameters: &str) -> (Proxy, Arc<AmqpQueue>) {
    let (proxy, config) = proxied(bench, parameters).await;
    (proxy, connected(config).await)
}

async fn proxied(bench: &AmqpBench, parameters: &str) -> (Proxy, AmqpConfig) {
    let mut url = Url::parse(&broker_url()).expect("a URL");
    let target = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672));
    let proxy = Proxy::start(target).await.expect("a proxy");
    url.set_port(Some(proxy.address().port())).expect("a port");
    url.set_query(Some(parameters).filter(|parameters| !parameters.is_empty()));
    let config = bench.config(url.as_str());
    (proxy, config)
}

/// Publishers and a consumer that never rest.
struct Traffic {
    queue: Arc<AmqpQueue>,
    confirmed: Arc<Mutex<HashSet<Uuid>>>,
    delivered: Arc<Mutex<HashSet<Uuid>>>,
    stop: CancellationToken,
    publishers: JoinSet<()>,
    _consumer: JoinSet<()>,
}

impl Traffic {
    fn start(queue: &Arc<AmqpQueue>) -> Self {
        let (confirmed, delivered) = (Arc::<Mutex<HashSet<Uuid>>>::default(), Arc::<Mutex<HashSet<Uuid>>>::default());
        let stop = CancellationToken::new();
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (queue, confirmed, stop) = (queue.clone(), confirmed.clone(), stop.clone());
            publishers.spawn(async move {
                while !stop.is_cancelled() {
                    let envelope = send_order(publisher);
                    if queue.publish(envelope.clone()).await.is_ok() {
                        confirmed.lock().expect("lock").insert(envelope.id);
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        let mut consumer = JoinSet::new();
        let mut lane = queue.subscribe(Lane::Interactive, 32);
        let taken = delivered.clone();
        consumer.spawn(async move {
            while let Some(delivery) = lane.next().await {
                taken.lock().expect("lock").insert(decode(&delivery.body).expect("an envelope").id);
                delivery.ack().await;
            }
        });
        Self { queue: queue.clone(), confirmed, delivered, stop, publishers, _consumer: consumer }
    }

    /// Waits until something published from now on has been confirmed and delivered.
    async fn flows(&self) -> Duration {
        let started = Instant::now();
        let flows = async {
            let probe = send_order(999);
            while self.queue.publish(probe.clone()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
            while !self.delivered.lock().expect("lock").contains(&probe.id) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(BACK, flows).await.is_err() {
            panic!("not back after {BACK:?}: {:?}", self.queue.progress());
        }
        started.elapsed()
    }

    /// Ends the publishers and waits for everything they had confirmed.
    async fn nothing_is_lost(mut self) {
        let enough = async {
            while self.confirmed.lock().expect("lock").len() < 50 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(BACK, enough).await.expect("there is traffic");
        self.stop.cancel();
        while let Some(publisher) = self.publishers.join_next().await {
            publisher.expect("a publisher");
        }
        let confirmed = self.confirmed.lock().expect("lock").clone();
        let missing = || confirmed.difference(&self.delivered.lock().expect("lock")).count();
        let all = async {
            while missing() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = timeout(BACK, all).await;
        assert!(in_time.is_ok(), "{} of {} confirmed messages were lost", missing(), confirmed.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_back_end_behind_a_balancer_is_survived() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "").await;
    let traffic = Traffic::start(&queue);
    traffic.flows().await;
    proxy.cut(Path::AcceptAndClose, Duration::from_millis(1500)).await;
    traffic.flows().await;
    assert!(queue.progress().reconnects >= 2, "both connections were made anew");
    assert!(queue.progress().last_confirm.is_some());
    traffic.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_short_cuts_are_survived() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "").await;
    let traffic = Traffic::start(&queue);
    for _ in 0..5 {
        traffic.flows().await;
        proxy.cut(Path::Reset, Duration::from_millis(300)).await;
    }
    traffic.flows().await;
    traffic.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_and_survived() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "heartbeat=1").await;
    let traffic = Traffic::start(&queue);
    traffic.flows().await;
    proxy.set(Path::BlackHole);
    let noticed = async {
        while queue.progress().publishing || queue.progress().consuming {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), noticed).await.expect("noticed on both connections");
    assert_eq!(queue.publish(send_order(1)).await, Err(PublishError::Unavailable));
    proxy.set(Path::Pass);
    traffic.flows().await;
    assert!(queue.progress().reconnects >= 2);
    traffic.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_path_is_no_reason_to_give_up() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "").await;
    let traffic = Traffic::start(&queue);
    traffic.flows().await;
    proxy.set(Path::Slow(Duration::from_millis(60)));
    for number in 0..10 {
        queue.publish(send_order(number)).await.expect("slow, but confirmed");
    }
    traffic.flows().await;
    assert_eq!(queue.progress().reconnects, 0);
    proxy.set(Path::Pass);
    traffic.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_settlement_on_a_lost_connection_does_nothing() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "").await;
    let mut lane = queue.subscribe(Lane::Interactive, 1);
    let sent = send_order(1);
    queue.publish(sent.clone()).await.expect("published");
    let old = timeout(BACK, lane.next()).await.expect("in time").expect("a delivery");
    proxy.cut(Path::Reset, Duration::from_millis(100)).await;
    let new = timeout(BACK, lane.next()).await.expect("in time").expect("a delivery");
    assert!(new.redelivered);
    // Both channels count from one: an ack on the wrong one would take the wrong message.
    timeout(BACK, old.ack()).await.expect("it does not hang");
    drop(new);
    let again = timeout(BACK, lane.next()).await.expect("in time").expect("still there");
    assert_eq!(decode(&again.body), Ok(sent));
    again.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_learns_at_once_that_no_answer_can_come_any_more() {
    let bench = AmqpBench::new().await;
    let (proxy, queue) = behind_proxy(&bench, "").await;
    let command = shared::message::Command::Callback { action: "save".to_owned(), request: serde_json::Value::Null };
    let envelope = shared::message::Envelope::new(command, None, "2026-09-01T10:00:00Z".parse().expect("a time"));
    let mut requests = bench.queue().await.subscribe(Lane::Rpc, 1);
    let call = queue.call(envelope.clone(), Duration::from_secs(60));
    let taken_then_cut = async {
        let request = timeout(BACK, requests.next()).await.expect("in time").expect("a request");
        proxy.set(Path::Reset);
        request.ack().await;
    };
    let (answer, ()) =
        timeout(BACK, async { tokio::join!(call, taken_then_cut) }).await.expect("long before the deadline");
    assert_eq!(answer, Err(RpcError::Deadline), "it was handed over");
    let lost = async {
        while queue.progress().consuming {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BACK, lost).await.expect("noticed");
    assert_eq!(queue.call(envelope, Duration::from_secs(60)).await, Err(RpcError::Unavailable));
    assert_eq!(queue.pending_calls(), 0);
}

/// lapin runs each connection on a thread, which waits for ever for a peer that says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_came_about_leaves_no_thread() {
    // Alone, because it counts the threads of its process.
    let bench = AmqpBench::alone().await;
    let (proxy, config) = proxied(&bench, "").await;
    proxy.set(Path::BlackHole);
    let queue = AmqpQueue::start(config);
    let tried_again = async {
        // Both connections have run into their limit.
        while queue.progress().unanswered < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(BACK, tried_again).await.expect("it gives up and tries again");
    queue.close().await;
    let ended = async {
        while lapin_threads() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), ended).await.expect("no thread is left");
}

fn lapin_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin-io"))
        .count()
}

/// These do something to the whole broker; .config/nextest.toml runs each of them alone.
mod broker_wide {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_stops_and_starts_is_survived() {
        let bench = AmqpBench::alone().await;
        let queue = bench.queue().await;
        let traffic = Traffic::start(&queue);
        traffic.flows().await;
        rabbitmqctl(&["stop_app"]).await;
        assert_eq!(queue.publish(send_order(1)).await, Err(PublishError::Unavailable));
        rabbitmqctl(&["start_app"]).await;
        traffic.flows().await;
        traffic.nothing_is_lost().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_memory_alarm_refuses_publishing_fast_and_lets_consuming_go_on() {
        const MESSAGES: usize = 20;
        let bench = AmqpBench::alone().await;
        let queue = bench.queue().await;
        for number in 0..MESSAGES {
            queue.publish(send_order(number)).await.expect("published");
        }
        let mut lane = queue.subscribe(Lane::Interactive, 4);
        timeout(BACK, lane.next()).await.expect("in time").expect("a delivery").ack().await;

        rabbitmqctl(&["set_vm_memory_high_watermark", "0"]).await;
        // The broker says nothing until somebody publishes; that one message it keeps back.
        let blocked = async {
            while !queue.progress().blocked {
                let _ = queue.publish(send_order(1)).await;
            }
        };
        let noticed = timeout(BACK, blocked).await;

        let checked = timeout(BACK, async {
            let started = Instant::now();
            for number in 0..50 {
                assert_eq!(queue.publish(send_order(number)).await, Err(PublishError::Unavailable));
            }
            assert!(started.elapsed() < Duration::from_millis(500), "refused only after {:?}", started.elapsed());
            let state = queue.state().await;
            assert!(state.connected && state.blocked);
            for _ in 1..MESSAGES {
                lane.next().await.expect("a delivery").ack().await;
            }
        })
        .await;
        // Before any verdict: other tests want the broker back.
        rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        noticed.expect("the alarm is noticed");
        checked.expect("nothing hangs");

        let traffic = Traffic::start(&queue);
        drop(lane);
        traffic.flows().await;
        traffic.nothing_is_lost().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_brokers_is_tried_in_turn_and_the_next_takes_over_from_one_that_dies() {
    let bench = AmqpBench::new().await;
    // Nobody listens at the first, the second and the third are nodes that can be cut off.
    let ((second, _), (third, _)) = (proxied(&bench, "").await, proxied(&bench, "").await);
    let node = |port: u16| {
        let mut url = Url::parse(&broker_url()).expect("a URL");
        url.set_port(Some(port)).expect("a port");
        url.to_string()
    };
    let list = [node(1), node(second.address().port()), node(third.address().port())].join(",");
    let queue = connected(bench.config(&list)).await;
    let traffic = Traffic::start(&queue);
    traffic.flows().await;
    for cut_off in [&second, &third, &second] {
        cut_off.set(Path::Reset);
        let took = traffic.flows().await;
        assert!(took < BACK, "{took:?}");
        cut_off.set(Path::Pass);
    }
    traffic.nothing_is_lost().await;
}
