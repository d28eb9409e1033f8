//! The RabbitMQ adapter against a real broker: the contract, the request lane, what the
//! broker puts aside, and the faults of messaging.md «Connections».

mod bench;
mod faults;
mod lanes;
mod order;
mod parked;
mod policies;
mod requests;

mod contract {
    use crate::bench::AmqpBench;

    shared::queue_contract!(AmqpBench::new().await);
}
