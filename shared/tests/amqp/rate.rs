//! How much the publisher task costs beside lapin alone. A measurement, not a test:
//! `cargo test --release -p shared --test amqp rate -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use shared::message::encode;
use shared::queue::Publisher as _;
use shared::queue::contract::send_order;

use crate::bench::{AmqpBench, broker_url};

const CALLERS: usize = 64;
const MESSAGES: usize = 20_000;

/// Messages a second when `CALLERS` tasks each wait for their own confirm.
async fn rate<P, F>(publish: P) -> f64
where
    P: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let publish = publish.clone();
        tokio::spawn(async move {
            for number in (caller..MESSAGES).step_by(CALLERS) {
                publish(number).await;
            }
        })
    });
    for caller in join_all(callers).await {
        caller.expect("a caller");
    }
    MESSAGES as f64 / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "its result")]
async fn the_publisher_task_keeps_three_quarters_of_the_rate_of_lapin_alone() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirm mode");
    let exchange = format!("{}.jobs", bench.prefix);

    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (channel, exchange) = (channel.clone(), exchange.clone());
        raw.push(
            rate(move |number| {
                let (channel, exchange) = (channel.clone(), exchange.clone());
                async move {
                    let body = encode(&send_order(number));
                    let properties = BasicProperties::default().with_delivery_mode(2);
                    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                    let key = "interactive.SendOrder".into();
                    let confirm = channel.basic_publish(exchange.into(), key, options, &body, properties).await;
                    confirm.expect("sent").await.expect("confirmed");
                }
            })
            .await,
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
        let queue = queue.clone();
        ours.push(
            rate(move |number| {
                let queue = queue.clone();
                async move { queue.publish(send_order(number), None).await.expect("published") }
            })
            .await,
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    raw.sort_by(f64::total_cmp);
    ours.sort_by(f64::total_cmp);
    println!("lapin alone {:.0}/s, publisher task {:.0}/s, ratio {:.2}", raw[1], ours[1], ours[1] / raw[1]);
    println!("all runs: {raw:.0?} {ours:.0?}");
    assert!(ours[1] >= 0.75 * raw[1]);
}
