//! What the queue on RabbitMQ is told, and who hears what happens inside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;

use crate::domain::Secret;

/// Longest prefix: names are at most 255 bytes, ours add up to 50.
const LONGEST_PREFIX: usize = 200;

/// What happened inside, for metrics. Every method does nothing by default and must not
/// block: they are called from the publisher task.
pub trait QueueEvents: Send + Sync {
    /// The broker has stored a message, this long after it was sent.
    fn confirmed(&self, _after: Duration) {}
    /// A caller was told that it is unknown whether its message is stored.
    fn unconfirmed(&self) {}
    /// The broker refused a message (nack: the queue is full).
    fn refused(&self) {}
    /// Some message came back as unroutable; which one, lapin cannot tell.
    fn returned_unknown(&self) {}
    /// A connection was lost and is there again.
    fn reconnected(&self) {}
    /// Something of lapin's ran into its time limit; the connection is dropped then.
    fn await_timeout(&self, _operation: &'static str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl QueueEvents for NoEvents {}

/// Longest frame that is agreed upon unless the URL says otherwise; a longer message takes
/// several.
pub(super) const FRAME_MAX: u32 = 32 * 1024;

/// The settings of the adapter. `Debug` shows no password.
#[derive(Clone)]
pub struct AmqpConfig {
    pub(super) uri: AMQPUri,
    pub(super) prefix: String,
    pub(super) rungs: Vec<Duration>,
    /// How long a caller waits for its confirm.
    pub confirm_timeout: Duration,
    /// Shortest and longest wait between two tries to connect.
    pub reconnect: (Duration, Duration),
    /// How often a queue is counted and kept in use. One that nobody takes from is used with the
    /// second look: a policy with `expires` must not be shorter than three.
    pub look_every: Duration,
    pub events: Arc<dyn QueueEvents>,
}

/// Why settings of the adapter cannot be used. The text holds nothing of the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAmqpConfig {
    #[error("AMQP_URL is not a valid amqp:// or amqps:// URL")]
    Url,
    #[error("AMQP_PREFIX must have between 1 and {LONGEST_PREFIX} bytes")]
    Prefix,
}

impl AmqpConfig {
    /// `rungs`: the ladder of delays. The heartbeat is 10 s unless the URL says otherwise
    /// (`?heartbeat=4`); a URL without a virtual host means the default one.
    ///
    /// # Errors
    /// [`BadAmqpConfig`].
    pub fn new(url: &Secret, prefix: &str, rungs: Vec<Duration>) -> Result<Self, BadAmqpConfig> {
        let mut uri: AMQPUri = url.expose().parse().map_err(|_| BadAmqpConfig::Url)?;
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(10);
        // lapin keeps 64 frames' worth of buffers for each connection: with the broker's own
        // 128 KiB that is 8 MiB, twice.
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            return Err(BadAmqpConfig::Prefix);
        }
        Ok(Self {
            uri,
            prefix: prefix.to_owned(),
            rungs,
            confirm_timeout: Duration::from_secs(2),
            reconnect: (Duration::from_millis(200), Duration::from_secs(10)),
            look_every: Duration::from_secs(5),
            events: Arc::new(NoEvents),
        })
    }
}

impl AmqpConfig {
    /// Host and port of the broker.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("prefix", &self.prefix)
            .field("rungs", &self.rungs)
            .finish_non_exhaustive()
    }
}
