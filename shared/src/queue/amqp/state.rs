//! What the tasks of one queue share: where the connection stands and when it last moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lapin::ErrorKind;
use lapin::types::ShortString;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::message::Lane;
use crate::queue::amqp::config::AmqpConfig;
use crate::queue::amqp::connection::{Link, Live};
use crate::queue::amqp::topology::{Part, Topology};
use crate::queue::amqp::upkept::Upkept;
use crate::queue::pending_calls::PendingCalls;

/// Longest message that a broker takes unless it is told otherwise, bytes: 16 MiB from 4.0 on, 128
/// before.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;

/// Whether publishing works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnectionState {
    Down,
    Up,
    Blocked,
}

/// What both connections and every handle know.
pub(super) struct Shared {
    pub(super) config: AmqpConfig,
    pub(super) topology: Topology,
    pub(super) stand: AtomicU8,
    pub(super) progress: ProgressTimes,
    pub(super) publishing: watch::Sender<Option<Arc<Live>>>,
    pub(super) consuming: watch::Sender<Option<Arc<Live>>>,
    /// Each queue, and how it stands.
    pub(super) queues: Vec<Arc<Upkept>>,
    /// Longest message that the broker takes, as far as we know; bytes.
    pub(super) largest: AtomicUsize,
    /// Rung by a connection that came about: the broker is there.
    pub(super) answered: Notify,
    pub(super) calls: PendingCalls,
    /// The queue answers come to, while there is one.
    pub(super) reply_to: watch::Sender<Option<ShortString>>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn stand(&self) -> ConnectionState {
        match self.stand.load(Ordering::Acquire) {
            1 => ConnectionState::Up,
            2 => ConnectionState::Blocked,
            _ => ConnectionState::Down,
        }
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Arc<Upkept>> {
        self.queues.iter().find(|queue| queue.own.name == name)
    }

    pub(super) fn part(&self, part: Part) -> Option<&Arc<Upkept>> {
        self.queues.iter().find(|queue| queue.own.part == part)
    }

    /// Whether it makes sense to publish into a lane.
    pub(super) fn takes(&self, lane: Lane) -> bool {
        self.part(Part::Lane(lane)).is_some_and(|queue| queue.takes())
    }

    pub(super) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// A broker that refused a message for its length said how long one may be.
    pub(super) fn learn_largest(&self, error: &lapin::Error) {
        if let ErrorKind::ProtocolError(said) = error.kind()
            && let Some(bytes) = largest_in(&said.get_message().to_string())
        {
            tracing::warn!(bytes, "RabbitMQ takes no message longer than this");
            self.largest.store(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn set_stand(&self, stand: ConnectionState) {
        self.stand.store(stand as u8, Ordering::Release);
    }
}

/// «PRECONDITION_FAILED - message size 20971520 is larger than configured max size 16777216».
pub(super) fn largest_in(words: &str) -> Option<usize> {
    let rest = words.split_once("max size ")?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Ends the tasks with the last handle.
pub(super) struct Alive(pub(super) CancellationToken);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// When something last happened, in milliseconds since the start plus one; 0 = never.
pub(super) struct ProgressTimes {
    pub(super) start: Instant,
    pub(super) confirm: AtomicU64,
    pub(super) delivery: AtomicU64,
    /// When the newest message taken off each lane had been received, in seconds of the epoch.
    pub(super) taken: [AtomicI64; Lane::ALL.len()],
    pub(super) publishing_beat: AtomicU64,
    pub(super) consuming_beat: AtomicU64,
    pub(super) reconnects: AtomicUsize,
    pub(super) unanswered: AtomicUsize,
}

impl ProgressTimes {
    pub(super) fn new() -> Self {
        let never = || AtomicU64::new(0);
        Self {
            start: Instant::now(),
            confirm: never(),
            delivery: never(),
            taken: [const { AtomicI64::new(0) }; Lane::ALL.len()],
            publishing_beat: never(),
            consuming_beat: never(),
            reconnects: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
        }
    }

    pub(super) fn set(&self, mark: &AtomicU64) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        mark.store(now, Ordering::Relaxed);
    }

    pub(super) fn age(&self, mark: &AtomicU64) -> Option<Duration> {
        let at = mark.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    pub(super) fn confirmed(&self) {
        self.set(&self.confirm);
    }

    pub(super) fn delivered(&self) {
        self.set(&self.delivery);
    }

    pub(super) fn taken(&self, lane: Lane, received_at: i64) {
        self.taken[lane as usize].fetch_max(received_at, Ordering::Relaxed);
    }

    /// Lanes nothing was taken from are left out.
    pub(super) fn newest_taken(&self) -> Vec<(Lane, Timestamp)> {
        let at = |lane: Lane| Timestamp::from_second(self.taken[lane as usize].load(Ordering::Relaxed)).ok();
        Lane::ALL.into_iter().filter_map(|lane| Some((lane, at(lane)?))).filter(|(_, at)| at.as_second() > 0).collect()
    }

    pub(super) fn beat(&self, link: Link) {
        self.set(match link {
            Link::Publishing => &self.publishing_beat,
            Link::Consuming => &self.consuming_beat,
        });
    }
}

/// Signs of life; `None` = not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub publishing: bool,
    pub blocked: bool,
    pub consuming: bool,
    pub last_confirm: Option<Duration>,
    pub last_delivery: Option<Duration>,
    /// How long ago the slower of the two supervising tasks last went round. They do so
    /// every second while connected and at least every 25 s (time limits and the longest
    /// wait) while the broker is away; more means that a task hangs.
    pub last_beat: Option<Duration>,
    /// Connections that were lost and are there again.
    pub reconnects: usize,
    /// Tries to connect that nobody answered in time.
    pub unanswered: usize,
}
