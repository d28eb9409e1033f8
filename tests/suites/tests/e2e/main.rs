//! Stories: the real binaries between both simulators, on the run's RabbitMQ and
//! PostgreSQL. Each ends with [`harness::World::finish`].

mod backlog;
mod bad_disk;
mod bad_input;
mod broker_queues;
mod by_hand;
mod cluster;
mod courier_outage;
mod crowds;
mod embedded;
mod faults;
mod judges;
mod life;
mod limits;
mod load;
mod machinery;
mod module;
mod night;
mod operator;
mod order_show;
mod outages;
mod parked;
mod promotion;
mod push;
mod reconcile;
mod returns;
mod rolling;
mod scaled;
mod secrets;
mod shadow;
mod startup;
mod statuses_back;
mod sync_kills;
mod towns;
mod trigger_help;
