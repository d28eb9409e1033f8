//! Real parts for stories: the product's binaries as child processes, the run's RabbitMQ
//! and PostgreSQL, both simulators on real sockets, proxies that break connections.
//!
//! Begin with [`World::embedded`] or [`World::scaled`], tell the story, end with
//! [`World::finish`], which checks the invariant of every story. The harness
//! knows the product from outside only: its processes, its HTTP faces, its command line
//! and its tables.

pub mod amqp_frames;
pub mod browser;
mod console;
mod disk;
mod eventually;
mod finish;
mod full;
mod hold;
pub mod judges;
mod ledger;
pub mod php;
mod process;
pub mod proxy;
mod secrets;
mod services;
mod shop;
mod vhost;
mod watching;
mod world;

pub use console::{Console, Page};
pub use disk::{BadDisk, Disk};
pub use eventually::{LONG, eventually, within};
pub use full::{Full, GROWING};
pub use hold::Hold;
pub use ledger::{Ledger, Line};
pub use process::{PROGRAMS, programs};
pub use secrets::Secrets;
pub use services::{Database, Outage, Server, broker_url, rabbitmqctl};
pub use shop::{Collect, Placed, Shop, a_parcel};
pub use vhost::{Right, Vhost};
pub use watching::Readiness;
pub use world::{Answer, Builder, Cli, Fired, Role, World};
