//! What those who record tell those who serve: what is due, and how much waits.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use shared::domain::IntegrationId;

/// Something of an integration is due at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Hint {
    pub integration: IntegrationId,
    pub due_at: Timestamp,
}

/// Whether more messages wait than one commit takes. Commands of all integrations stand in
/// one line there, so that a flood of one would hold the others up: while it lasts, serving
/// leaves most of the machine to recording.
#[derive(Debug, Default)]
pub struct Backlog(AtomicBool);

impl Backlog {
    pub fn set(&self, backlog: bool) {
        self.0.store(backlog, Ordering::Relaxed);
    }

    pub fn is_behind(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
