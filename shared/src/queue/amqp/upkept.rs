//! How one queue of ours stands at the broker.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::message::Lane;
use crate::queue::amqp::topology::{OwnQueue, Part};

/// How long a new connection waits for queues that were there on the last one.
const KNOWN_LIMIT: Duration = Duration::from_millis(500);

/// How long it waits for those that nobody has seen yet.
const FIRST_LIMIT: Duration = Duration::from_secs(6);

/// How a queue stands on the connection of the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not looked at yet.
    Unknown,
    Declared,
    /// The broker's words.
    Refused(String),
    /// The broker answers, not for this queue.
    Silent,
}

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) standing: Standing,
    /// It was declared by this process, on whichever connection.
    pub(super) was_declared: bool,
    /// Messages ready.
    pub(super) length: Option<u32>,
    pub(super) found_missing: u64,
}

/// One queue and what is known of it.
pub(super) struct Upkept {
    pub(super) own: OwnQueue,
    pub(super) known: watch::Sender<Known>,
    pub(super) again: Notify,
}

impl Upkept {
    pub(super) fn new(own: OwnQueue) -> Self {
        let known = Known { standing: Standing::Unknown, was_declared: false, length: None, found_missing: 0 };
        Self { own, known: watch::Sender::new(known), again: Notify::new() }
    }

    /// Whether it makes sense to publish into it. One that nobody answers for may still take
    /// messages, which a confirm would prove; a request would wait there for nothing.
    pub(super) fn takes(&self) -> bool {
        let known = self.known.borrow();
        match known.standing {
            Standing::Declared => true,
            Standing::Unknown => known.was_declared,
            Standing::Refused(_) => false,
            Standing::Silent => self.own.part != Part::Lane(Lane::Rpc),
        }
    }

    /// Messages ready, as last counted.
    pub(super) fn length(&self) -> Option<u64> {
        self.known.borrow().length.map(u64::from)
    }

    /// How often it was found missing and made anew.
    pub(super) fn found_missing(&self) -> u64 {
        self.known.borrow().found_missing
    }

    /// What keeps it from being used, in one sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.known.borrow().standing {
            Standing::Refused(words) => Some(words.clone()),
            Standing::Silent => Some("nobody answers for it: is its node up?".to_owned()),
            Standing::Unknown | Standing::Declared => None,
        }
    }

    /// Asks for it to be declared anew: somebody found it missing.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Waits until it was declared once.
    pub(super) async fn was_declared(&self) {
        let _ = self.known.subscribe().wait_for(|known| known.was_declared).await;
    }

    pub(super) async fn looked_at(&self) {
        let limit = if self.known.borrow().was_declared { KNOWN_LIMIT } else { FIRST_LIMIT };
        let mut known = self.known.subscribe();
        let _ = timeout(limit, known.wait_for(|known| known.standing != Standing::Unknown)).await;
    }

    pub(super) fn stands(&self, standing: Standing) {
        self.known.send_if_modified(|known| {
            if known.standing == standing {
                return false;
            }
            let queue = &self.own.name;
            match (&known.standing, &standing) {
                (_, Standing::Refused(words)) => {
                    tracing::warn!(%queue, words, "RabbitMQ refuses a queue; it is tried again until it does not");
                }
                (_, Standing::Silent) => tracing::warn!(%queue, "RabbitMQ does not answer for a queue"),
                (Standing::Refused(_) | Standing::Silent, Standing::Declared) => {
                    tracing::info!(%queue, "RabbitMQ serves the queue again");
                }
                _ => {}
            }
            known.was_declared |= standing == Standing::Declared;
            known.standing = standing;
            true
        });
    }
}
