//! Stories: the real binaries between both simulators, on the run's RabbitMQ and
//! PostgreSQL. Each ends with [`simulators::harness::World::finish`].

mod embedded;
