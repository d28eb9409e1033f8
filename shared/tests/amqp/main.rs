//! The RabbitMQ adapter against a real broker: the contract, the request lane, what the
//! broker puts aside, and the faults of messaging.md «Connections».

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::options::BasicPublishOptions;
use shared::message::Lane;
use shared::queue::SharedQueue;

use crate::bench::AmqpBench;

mod bench;
mod contract;
mod faults;
mod lanes;
mod order;
mod parked;
mod policies;
mod requests;

impl contract::Bench for AmqpBench {
    fn client(&self) -> BoxFuture<'_, SharedQueue> {
        async move { self.queue().await as SharedQueue }.boxed()
    }

    fn put_raw(&self, lane: Lane, body: Vec<u8>) -> BoxFuture<'_, ()> {
        async move {
            let (_connection, channel) = self.channel().await;
            let (exchange, key) = (format!("{}.jobs", self.prefix), format!("{}.unknown", lane.as_str()));
            let (options, properties) = (BasicPublishOptions::default(), lapin::BasicProperties::default());
            let publishing = channel.basic_publish(exchange.into(), key.into(), options, &body, properties);
            publishing.await.expect("sent").await.expect("published");
        }
        .boxed()
    }
}

mod kept {
    use crate::bench::AmqpBench;

    crate::contract::queue_contract!(AmqpBench::new().await);
}
