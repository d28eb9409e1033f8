//! What a process tells about itself: log lines, metrics, and whether it is alive.

pub mod health;
pub mod labels;
pub mod logs;
pub mod metrics;

pub use health::{Health, Heartbeat};
pub use metrics::Metrics;
