//! The RabbitMQ adapter against a real broker: the contract, the request lane, what the
//! broker puts aside, and every fault of messaging.md «Connections».

mod amqp_bench;

use amqp_bench::AmqpBench;

mod contract {
    use super::AmqpBench;

    shared::queue_contract!(AmqpBench::new());
}
