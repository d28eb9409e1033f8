//! Everything the three roles have in common, in reading order: the words of the
//! domain, what travels through the queue, the ports to the outside (queue, store,
//! vendors), and what a process needs to start.
//!
//! Nothing here decides what to *do* about an order: that is `worker`.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod allowed_hosts;
pub mod arguments;
pub mod bootstrap;
pub mod clock;
pub mod closed_set;
pub mod config;
pub mod crypto;
pub mod ctx;
mod debug;
#[cfg(test)]
mod dice;
pub mod digest;
pub mod domain;
pub mod draft;
pub mod existing;
pub mod explain;
pub mod files;
pub mod hidden;
pub mod http;
pub mod listen;
pub mod locked;
pub mod measoft;
pub mod message;
pub mod mutant;
pub mod networks;
pub mod pasted;
pub mod phrases;
pub mod queue;
pub mod random;
pub mod reason;
pub mod reasons;
pub mod retailcrm;
pub mod retry;
pub mod shutdown;
pub mod store;
pub mod story;
pub mod suggest;
pub mod telemetry;
pub mod tls;
pub mod tls_trouble;
pub mod told;
pub mod trigger_forms;
pub mod vendor;
pub mod waiting;
pub mod widget;
