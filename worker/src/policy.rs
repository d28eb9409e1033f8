//! How long and how often a command is tried.

use crate::Duration;

/// How long and how often a command is tried.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The ladder of pauses, ascending.
    pub rungs: Vec<Duration>,
    /// A command that keeps failing gives up when so much time was spent trying.
    pub give_up_after: Duration,
    /// Longest wait that another side may ask for.
    pub longest_asked: Duration,
    /// How long the journal is kept.
    pub journal_kept: Duration,
    /// How long orders that ended are kept, with their statuses and payments.
    pub orders_kept: Duration,
}

impl Policy {
    pub const DAY: Duration = Duration::from_secs(24 * 3600);

    pub fn new(rungs: Vec<Duration>) -> Self {
        Self {
            rungs,
            give_up_after: Self::DAY,
            longest_asked: LONGEST_ASKED,
            journal_kept: Self::DAY * 30,
            orders_kept: Self::DAY * 90,
        }
    }

    pub const fn with_kept(mut self, journal: Duration, orders: Duration) -> Self {
        (self.journal_kept, self.orders_kept) = (journal, orders);
        self
    }

    pub const fn with_longest_asked(mut self, longest: Duration) -> Self {
        self.longest_asked = longest;
        self
    }

    /// Nothing is put off for longer.
    pub fn longest(&self) -> Duration {
        self.rungs.iter().copied().max().unwrap_or_default().max(LONGEST_ASKED)
    }

    pub(crate) fn rung(&self, index: usize) -> Duration {
        self.rungs.get(index).or(self.rungs.last()).copied().unwrap_or(Duration::from_secs(15))
    }
}

/// Longest wait that another side may ask for; then it is asked again.
pub const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);
