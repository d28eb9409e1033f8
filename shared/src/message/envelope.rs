//! The envelope every command travels in (design: Messaging).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{CrmOrderId, IntegrationId};
use crate::message::command::Command;
use crate::message::lane::Lane;

/// A command with what is needed to carry, retry and trace it. On the wire it is flat:
/// `{id, v, kind, integration, key, seq, received_at, attempt, generation, traceparent, body}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// One per accepted request, kept through publish, repeat and spill: a copy is
    /// recognised as the same command. Also the AMQP `message_id`.
    pub id: Uuid,
    /// Version of the whole format; see [`Envelope::VERSION`].
    pub v: u32,
    #[serde(flatten)]
    pub command: Command,
    pub integration: Option<IntegrationId>,
    /// What the command is about (the order number, or the job's slot): commands of one
    /// key concern one thing.
    pub key: String,
    /// 0 until a worker has recorded the intent; then the intent's `requested` that
    /// this command stands for, so that a retry is not counted as a new request.
    pub seq: i64,
    pub received_at: Timestamp,
    /// Tries before this one.
    pub attempt: u32,
    /// Milliseconds spent trying before this try: attempts, and the pauses after those that
    /// counted. What waits for others, or lies in a queue, does not age.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spent_ms: u64,
    /// Raised by each replay of a dead letter, so that no idempotency check swallows it.
    pub generation: u32,
    /// W3C trace context of the request that caused this.
    pub traceparent: Option<String>,
    /// The order itself, by who knows it: its number may be another's as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<CrmOrderId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Envelope {
    pub const VERSION: u32 = 1;

    pub fn new(command: Command, integration: Option<IntegrationId>, received_at: Timestamp) -> Self {
        let key = match command.number() {
            Some(number) => number.as_str().to_owned(),
            None => command.kind().as_str().to_owned(),
        };
        Self {
            id: Uuid::now_v7(),
            v: Self::VERSION,
            command,
            integration,
            key,
            seq: 0,
            received_at,
            attempt: 0,
            spent_ms: 0,
            generation: 0,
            traceparent: None,
            order: None,
        }
    }

    /// About this order and no other of its number.
    pub const fn of_order(mut self, order: CrmOrderId) -> Self {
        self.order = Some(order);
        self
    }

    pub fn lane(&self) -> Lane {
        self.command.lane()
    }
}
