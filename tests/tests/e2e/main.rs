//! Stories: the real binaries between both simulators, on the run's RabbitMQ and
//! PostgreSQL. Each ends with [`simulators::harness::World::finish`].

mod embedded;
mod load;
mod outages;
mod put_aside;
mod rolling;
mod scaled;
