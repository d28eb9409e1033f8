//! Stories: the real binaries between both simulators, on the run's RabbitMQ and
//! PostgreSQL. Each ends with [`simulators::harness::World::finish`].

mod bad_input;
mod embedded;
mod life;
mod load;
mod order_show;
mod outages;
mod put_aside;
mod rolling;
mod scaled;
mod secrets;
mod startup;
