//! What runs when. Pure.

use std::time::Duration;

use jiff::Timestamp;
use shared::config::Timing;
use shared::message::Command;

/// What a slot of a job publishes.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Intents that are due and held by nobody.
    Sweep,
    /// Integrations paused for their credentials.
    Probe,
    /// One command for the installation.
    Whole(Command),
    /// One command for each active integration.
    EachActive(Command),
}

/// A periodic job. Its slots are numbered from the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub name: &'static str,
    pub every: Duration,
    /// Shifts the slots, so that nothing falls on the full hour, which MeaSoft counts as
    /// abuse (measoft-api.md §5).
    pub offset: Duration,
    pub what: What,
}

/// All periodic jobs.
#[must_use]
pub fn jobs(timing: &Timing) -> Vec<Job> {
    let job = |name, every: Duration, what| Job { name, every, offset: offset_of(name, every), what };
    let minute = Duration::from_secs(60);
    vec![
        job("sweep", timing.sweep, What::Sweep),
        job("probe", minute.min(timing.sweep), What::Probe),
        job("sync_statuses", timing.sync_interval, What::EachActive(Command::SyncStatuses {})),
        job("retention", Duration::from_secs(3600), What::Whole(Command::Retention {})),
    ]
}

/// A fixed share of the period that differs by job and is never a whole hour.
fn offset_of(name: &str, every: Duration) -> Duration {
    let sum: u64 = name.bytes().map(u64::from).sum();
    // Between 7 % and 93 % of the period.
    let share = 7 + sum % 87;
    let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX) / 100 * share;
    Duration::from_millis(millis)
}

/// The slot a moment lies in. A process that was away fires the newest one only.
#[must_use]
pub fn due_slot(job: &Job, now: Timestamp) -> i64 {
    let every = i64::try_from(job.every.as_millis()).unwrap_or(i64::MAX).max(1);
    let offset = i64::try_from(job.offset.as_millis()).unwrap_or(0);
    (now.as_millisecond() - offset).div_euclid(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(every: u64, offset: u64) -> Job {
        Job { name: "x", every: Duration::from_secs(every), offset: Duration::from_secs(offset), what: What::Sweep }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("moment")
    }

    #[test]
    fn a_slot_lasts_one_period_and_begins_at_its_offset() {
        let job = job(300, 37);
        assert_eq!(due_slot(&job, at(37)), 0);
        assert_eq!(due_slot(&job, at(336)), 0);
        assert_eq!(due_slot(&job, at(337)), 1);
    }

    #[test]
    fn no_slot_begins_on_the_full_hour() {
        for every in [60, 300, 600, 1800, 3600] {
            let every = Duration::from_secs(every);
            let offset = offset_of("sync_statuses", every);
            assert!(offset > Duration::ZERO && offset < every);
            let first = i64::try_from(offset.as_secs()).expect("fits");
            for slot in 0..(86_400 / i64::try_from(every.as_secs()).expect("fits")) {
                let begins = first + slot * i64::try_from(every.as_secs()).expect("fits");
                assert_ne!(begins % 3600, 0, "{every:?}");
            }
        }
    }
}
