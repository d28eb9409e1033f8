//! The one clock. Nothing else asks the system for the time, so that tests can set it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The current moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is moved.
    pub fn standing_at(at: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(at.as_millisecond()))))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => skew::of(Timestamp::now()),
            Some(ms) => Timestamp::from_millisecond(ms.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// UTC milliseconds: the form the store keeps.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// A moment that comes after every earlier one of this process, whoever sets the system's
    /// clock meanwhile: good for telling what came first, and for nothing else.
    pub fn steady(&self) -> Timestamp {
        static BEGAN: OnceLock<(Instant, Timestamp)> = OnceLock::new();
        if !self.is_system() {
            return self.now();
        }
        let (began, at) = *BEGAN.get_or_init(|| (Instant::now(), self.now()));
        at.checked_add(began.elapsed()).unwrap_or(at)
    }

    /// Whether it is the system's, which may be wrong.
    pub const fn is_system(&self) -> bool {
        self.0.is_none()
    }

    /// Moves a standing clock on; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Some(ms) = &self.0 {
            ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

/// What has passed between two moments; nothing when a clock was set back.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A moment so much later; the end of time comes never.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// A system clock that is wrong on purpose: the feature `testing` reads by how many
/// milliseconds from the file that `TEST_CLOCK_OFFSET_FILE` names, ten times a second.
#[cfg(feature = "testing")]
mod skew {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    static OFFSET_MS: AtomicI64 = AtomicI64::new(0);
    static WATCHED: OnceLock<bool> = OnceLock::new();

    pub(super) fn of(now: Timestamp) -> Timestamp {
        if *WATCHED.get_or_init(watch) { moved(now, OFFSET_MS.load(Ordering::Relaxed)) } else { now }
    }

    pub(super) fn moved(now: Timestamp, ms: i64) -> Timestamp {
        now.checked_add(SignedDuration::from_millis(ms)).unwrap_or(now)
    }

    /// Without a readable number the clock is right.
    pub(super) fn read(text: &str) -> i64 {
        text.trim().parse().unwrap_or(0)
    }

    #[expect(clippy::disallowed_methods, reason = "a switch for tests is no setting of the product")]
    fn watch() -> bool {
        let Ok(file) = std::env::var("TEST_CLOCK_OFFSET_FILE").map(PathBuf::from) else { return false };
        let look =
            move || OFFSET_MS.store(read(&std::fs::read_to_string(&file).unwrap_or_default()), Ordering::Relaxed);
        look();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(100));
                look();
            }
        });
        true
    }
}

#[cfg(not(feature = "testing"))]
mod skew {
    pub(super) const fn of(now: jiff::Timestamp) -> jiff::Timestamp {
        now
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use jiff::Timestamp;

    use super::skew;

    #[test]
    fn a_skewed_clock_is_off_by_what_its_file_says() {
        let at = Timestamp::from_second(1_800_000_000).expect("moment");
        assert_eq!(skew::moved(at, skew::read("-8000\n")).as_second(), 1_799_999_992);
        assert_eq!(skew::moved(at, skew::read("no number")), at);
    }
}
