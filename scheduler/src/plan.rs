//! What runs when. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use shared::config::{Budgets, Timing};
use shared::domain::{Integration, IntegrationId};
use shared::message::{Command, RECONCILE_HISTORY};
use shared::store::replays;

/// What a slot of a job publishes.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Integrations paused for their credentials.
    Probe,
    /// Integrations whose statuses or payments are due and were left behind.
    Backlog,
    /// Replays of dead letters that are under way.
    Replays,
    /// One command for the installation.
    Whole(Command),
    /// One command for one integration, under a key of its own if it needs one.
    For { integration: IntegrationId, command: Command, key: Option<&'static str> },
}

/// A periodic job. Its slots are numbered from the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub name: String,
    pub every: Duration,
    /// Shifts the slots, so that they are spread, and nothing falls on the full hour, which
    /// MeaSoft counts as abuse (protocols/measoft.md#limits).
    pub offset: Duration,
    pub what: What,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Requests of one status sync that finds nothing: it must fit whatever the budget.
const REQUESTS_PER_SYNC: u64 = 2;
/// RetailCRM's history is walked this often at most, or every third sync.
const HISTORY: Duration = Duration::from_secs(12 * 60);
/// RetailCRM's users are notified of what is new at most this often.
const NOTIFY: Duration = Duration::from_secs(60);
/// Night in Russia, UTC: when the daily reconciles begin, and over what time they spread.
const NIGHT_FROM: Duration = Duration::from_secs(23 * 3600 + 7 * 60);
const NIGHT_SPREAD: Duration = Duration::from_secs(2 * 3600 + 40 * 60);

/// All periodic jobs of an installation with these integrations.
pub fn jobs(timing: &Timing, budgets: &Budgets, integrations: &[Integration]) -> Vec<Job> {
    let job = |name: &str, every: Duration, what| Job {
        name: name.to_owned(),
        every,
        offset: phase(name.bytes().map(u64::from).sum(), every),
        what,
    };
    let forgets = retention(timing);
    let mut jobs = vec![
        job("probe", MINUTE.min(timing.sweep), What::Probe),
        job("backlog", MINUTE.min(timing.sweep), What::Backlog),
        job("replays", replays::LOOK.min(timing.sweep), What::Replays),
        // Another interval numbers its slots anew.
        job(&format!("retention:{}", forgets.as_secs()), forgets, What::Whole(Command::Retention {})),
    ];
    let active: Vec<&Integration> = integrations.iter().filter(|i| i.is_active()).collect();
    let streams = one_for_each(&active, |i| (i.courier_account(), i.settings.stream_id));
    let every = stretched(timing.sync_interval, streams.len(), budgets);
    for integration in &streams {
        jobs.push(Job {
            // Another interval numbers its slots anew.
            name: format!("sync_statuses:{}:{}", integration.id, every.as_millis()),
            every,
            offset: phase(seed(integration), every),
            what: What::For { integration: integration.id, command: Command::SyncStatuses {}, key: None },
        });
    }
    let history = HISTORY.min(timing.sync_interval.saturating_mul(3));
    for integration in active.iter().filter(|i| compares(i)) {
        jobs.push(job(
            &format!("shadow:{}", integration.id),
            MINUTE.min(timing.sync_interval),
            What::For { integration: integration.id, command: Command::CompareShadow {}, key: None },
        ));
    }
    for integration in active.iter().filter(|i| !i.settings.is_shadow()) {
        jobs.push(Job {
            name: format!("history:{}", integration.id),
            every: history,
            offset: phase(seed(integration).rotate_left(17), history),
            what: What::For {
                integration: integration.id,
                command: Command::Reconcile {},
                key: Some(RECONCILE_HISTORY),
            },
        });
    }
    jobs.extend(active.iter().filter(|i| !i.settings.notify_groups.is_empty()).map(|i| notice(i, timing)));
    for integration in one_for_each(&active, |i| i.courier_account()) {
        jobs.push(Job {
            name: format!("reconcile:{}", integration.id),
            every: DAY,
            offset: NIGHT_FROM + phase(seed(integration).rotate_left(31), NIGHT_SPREAD),
            what: What::For { integration: integration.id, command: Command::Reconcile {}, key: None },
        });
    }
    jobs
}

/// Looks whether users of a shop's RetailCRM are to be notified.
fn notice(integration: &Integration, timing: &Timing) -> Job {
    let every = NOTIFY.min(timing.sweep);
    Job {
        name: format!("notify_of_causes:{}", integration.id),
        every,
        offset: phase(seed(integration).rotate_left(7), every),
        what: What::For { integration: integration.id, command: Command::NotifyOfCauses {}, key: None },
    }
}

/// How often what is too old is forgotten: so often that little more is kept than has to be.
fn retention(timing: &Timing) -> Duration {
    let kept = timing.journal_kept.min(timing.orders_kept);
    (kept / 12).clamp(Duration::from_secs(10), Duration::from_secs(3600))
}

/// A shadow compares; what went live takes over what is there, and finds nothing to do later.
fn compares(integration: &Integration) -> bool {
    integration.settings.is_shadow() || integration.settings.moved_in_at.is_some()
}

/// The first integration for each of what several may share.
fn one_for_each<'a, K: Ord>(active: &[&'a Integration], key: impl Fn(&Integration) -> K) -> Vec<&'a Integration> {
    let mut seen = BTreeSet::new();
    active.iter().copied().filter(|integration| seen.insert(key(integration))).collect()
}

/// Differs between integrations and between installations, and stays as it is.
fn seed(integration: &Integration) -> u64 {
    let born = integration.created_at.as_millisecond().unsigned_abs();
    let id = integration.id.0.unsigned_abs();
    (born ^ id.rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A place between 7 % and 93 % of a period.
fn phase(seed: u64, every: Duration) -> Duration {
    let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    let share = 700 + (seed >> 7) % 8600;
    Duration::from_millis((millis / 10_000).saturating_mul(share) + millis % 10_000 * share / 10_000)
}

/// The interval at which so many streams can be polled within the budget: the wanted one,
/// or the smallest multiple of it that fits. Orders keep a fifth.
pub fn stretched(wanted: Duration, streams: usize, budgets: &Budgets) -> Duration {
    let wanted_ms = u64::try_from(wanted.as_millis()).unwrap_or(u64::MAX).max(1);
    let requests = REQUESTS_PER_SYNC * u64::try_from(streams).unwrap_or(u64::MAX);
    // How long a window of so many milliseconds makes so many requests last.
    let lasts = |window_ms: u64, limit: u32, requests: u64| {
        let bulk = u64::from(limit - limit / 5).max(1);
        window_ms.saturating_mul(requests).div_ceil(bulk)
    };
    let needed = [
        lasts(60_000, budgets.measoft_per_minute, requests),
        lasts(1_200_000, budgets.measoft_per_20min, requests),
        lasts(3_600_000, budgets.measoft_account_per_hour, REQUESTS_PER_SYNC.min(requests)),
    ];
    let needed = needed.into_iter().max().unwrap_or(0);
    Duration::from_millis(wanted_ms.saturating_mul(needed.div_ceil(wanted_ms).max(1)))
}

/// The slot a moment lies in. A process that was away fires the newest one only.
pub fn due_slot(job: &Job, now: Timestamp) -> i64 {
    let every = i64::try_from(job.every.as_millis()).unwrap_or(i64::MAX).max(1);
    let offset = i64::try_from(job.offset.as_millis()).unwrap_or(0);
    (now.as_millisecond() - offset).div_euclid(every)
}

/// The first seconds of an hour: nothing is sent to MeaSoft then.
pub fn on_the_hour(now: Timestamp) -> bool {
    now.as_second().rem_euclid(3600) < 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::domain::IntegrationState;

    fn job(every: u64, offset: u64) -> Job {
        Job {
            name: "x".into(),
            every: Duration::from_secs(every),
            offset: Duration::from_secs(offset),
            what: What::Probe,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("moment")
    }

    fn integration(id: i64, login: &str) -> Integration {
        Integration {
            id: IntegrationId(id),
            login: login.into(),
            created_at: at(1_800_000_000 + id * 977),
            ..Integration::default()
        }
    }

    fn timing() -> Timing {
        Timing {
            settle: Duration::from_millis(1500),
            rungs: vec![Duration::from_secs(2)],
            unknown_recheck: Duration::from_secs(30),
            lease: Duration::from_secs(90),
            sweep: Duration::from_secs(300),
            breaker_open: Duration::from_secs(5),
            sync_interval: Duration::from_secs(300),
            journal_kept: DAY * 30,
            orders_kept: DAY * 90,
        }
    }

    #[test]
    fn what_is_kept_for_less_is_forgotten_more_often() {
        let hour = Duration::from_secs(3600);
        let of = |journal_kept| retention(&Timing { journal_kept, ..timing() });
        assert_eq!([of(DAY), of(hour), of(Duration::from_secs(1))], [hour, hour / 12, Duration::from_secs(10)]);
    }

    fn budgets() -> Budgets {
        Budgets {
            measoft_per_minute: 150,
            measoft_per_20min: 1500,
            measoft_account_per_hour: 3000,
            crm_rps: 8,
            time_scale: 1,
        }
    }

    fn named<'a>(jobs: &'a [Job], name: &str) -> Vec<&'a Job> {
        jobs.iter().filter(|job| job.name.starts_with(name)).collect()
    }

    #[test]
    fn a_slot_lasts_one_period_and_begins_at_its_offset() {
        let job = job(300, 37);
        assert_eq!(due_slot(&job, at(37)), 0);
        assert_eq!(due_slot(&job, at(336)), 0);
        assert_eq!(due_slot(&job, at(337)), 1);
    }

    #[test]
    fn no_slot_of_a_part_of_an_hour_begins_on_the_full_hour() {
        let integrations: Vec<Integration> = (1..=50).map(|id| integration(id, &format!("shop-{id}"))).collect();
        for job in jobs(&timing(), &budgets(), &integrations) {
            assert!(job.offset > Duration::ZERO);
            let every = u64::try_from(job.every.as_millis()).expect("fits");
            let offset = u64::try_from(job.offset.as_millis()).expect("fits");
            if 3_600_000 % every == 0 {
                assert_ne!(offset % every, 0, "{job:?}");
            }
        }
        assert!(on_the_hour(at(7200)) && on_the_hour(at(7202)) && !on_the_hour(at(7203)) && !on_the_hour(at(7199)));
    }

    #[test]
    fn syncs_are_spread_over_their_interval() {
        let integrations: Vec<Integration> = (1..=40).map(|id| integration(id, &format!("shop-{id}"))).collect();
        let jobs = jobs(&timing(), &budgets(), &integrations);
        let offsets: BTreeSet<u64> = named(&jobs, "sync_statuses:").iter().map(|job| job.offset.as_secs()).collect();
        assert!(offsets.len() > 25, "{offsets:?}");
        assert!(offsets.first().is_some_and(|first| *first < 90) && offsets.last().is_some_and(|last| *last > 200));
    }

    #[test]
    fn a_shared_cabinet_is_polled_once_and_its_integrations_have_a_history_each() {
        let integrations = [integration(1, "a"), integration(2, "a"), integration(3, "b")];
        let jobs = jobs(&timing(), &budgets(), &integrations);
        assert_eq!(named(&jobs, "sync_statuses:").len(), 2);
        assert_eq!(named(&jobs, "history:").len(), 3);
        assert_eq!(named(&jobs, "reconcile:").len(), 2);
        let mut other = integration(2, "a");
        other.settings.stream_id = 500;
        let jobs = super::jobs(&timing(), &budgets(), &[integration(1, "a"), other]);
        assert_eq!(named(&jobs, "sync_statuses:").len(), 2, "another cursor of the same cabinet");
    }

    #[test]
    fn users_are_notified_where_the_shop_asked_for_it() {
        let mut asks = integration(2, "b");
        asks.settings.notify_groups = vec!["superadmins".to_owned()];
        let jobs = jobs(&timing(), &budgets(), &[integration(1, "a"), asks]);
        let named: Vec<&str> = named(&jobs, "notify_of_causes:").iter().map(|job| job.name.as_str()).collect();
        assert_eq!(named, ["notify_of_causes:2"]);
    }

    #[test]
    fn a_paused_integration_leaves_its_cabinet_to_the_next() {
        let mut first = integration(1, "a");
        first.state = IntegrationState::Paused { by: shared::domain::PausedBy::Operator, reason: String::new() };
        let jobs = jobs(&timing(), &budgets(), &[first, integration(2, "a")]);
        let syncs = named(&jobs, "sync_statuses:");
        assert_eq!(syncs.len(), 1);
        assert!(matches!(syncs[0].what, What::For { integration: IntegrationId(2), .. }));
    }

    #[test]
    fn the_interval_stretches_when_the_budget_cannot_carry_all_accounts() {
        let five = Duration::from_secs(300);
        for (streams, minutes) in [(0, 5), (1, 5), (100, 5), (150, 5), (151, 10), (300, 10), (1000, 35)] {
            assert_eq!(stretched(five, streams, &budgets()), Duration::from_secs(minutes * 60), "{streams} streams");
        }
        // What is asked for beyond the limit of one account is not given either.
        assert_eq!(stretched(Duration::from_secs(1), 1, &budgets()), Duration::from_secs(3));
        let generous = Budgets {
            measoft_per_minute: 60_000,
            measoft_per_20min: 1_000_000,
            measoft_account_per_hour: 100_000,
            ..budgets()
        };
        assert_eq!(stretched(Duration::from_secs(1), 3, &generous), Duration::from_secs(1));
    }

    #[test]
    fn the_daily_reconcile_runs_at_night_in_russia() {
        let integrations: Vec<Integration> = (1..=50).map(|id| integration(id, &format!("shop-{id}"))).collect();
        for job in named(&jobs(&timing(), &budgets(), &integrations), "reconcile:") {
            let moscow = (job.offset.as_secs() + 3 * 3600) % 86_400;
            assert!((2 * 3600..5 * 3600).contains(&moscow), "{}", moscow / 60);
        }
    }
}
