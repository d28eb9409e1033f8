//! Is all well? How each integration is, the worst first.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Fault, Integration, IntegrationId, IntegrationState, PausedBy};
use shared::store::{self, Store};

use crate::seen::why::{Look, Row, Why};

/// What waits for longer is worth a look.
const LONG: Duration = Duration::from_secs(15 * 60);
/// Syncs that may be missed before it is worth a look.
const MISSED: u32 = 5;

/// How an integration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Error,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Dead letters by whose fault they are.
pub type Failures = BTreeMap<Fault, i64>;

/// One integration of the overview.
pub struct Line {
    pub integration: Integration,
    /// What waits of it; messages of the job table are not its own.
    pub waiting: Vec<Row>,
    pub failures: Failures,
    pub held: bool,
    pub last_sync: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
}

/// All of them, at a moment.
pub struct Overview {
    pub look: Look,
    /// The worst first.
    pub lines: Vec<(Level, Line)>,
    /// Failures that are no integration's.
    pub of_none: Failures,
    pub now: Timestamp,
}

impl Overview {
    /// As the store has it; `sync_interval` is how often statuses are to be asked for.
    pub async fn at(store: &Store, sync_interval: Duration) -> store::Result<Self> {
        let look = Look::at(store).await?;
        let mut failures: BTreeMap<Option<IntegrationId>, Failures> = BTreeMap::new();
        for (integration, fault, count, _) in store.open_dead_letters_by_integration().await? {
            *failures.entry(integration).or_default().entry(fault).or_default() += count;
        }
        let last_placed = store.last_placed().await?;
        let (now, patience) = (store.clock.now(), (sync_interval * MISSED).max(LONG));
        let mut lines = Vec::new();
        for integration in look.integrations.values() {
            let id = Some(integration.id);
            let line = Line {
                integration: integration.clone(),
                waiting: look.rows.iter().filter(|row| row.integration == id && row.kind.is_none()).cloned().collect(),
                failures: failures.remove(&id).unwrap_or_default(),
                held: !look.held_of(integration.id).is_empty(),
                last_sync: store.last_synced(integration).await?,
                last_success: last_placed.get(&integration.id).copied(),
            };
            lines.push((line.level(now, patience), line));
        }
        lines.sort_by_key(|(level, line)| {
            std::cmp::Reverse((*level, line.failures.values().sum::<i64>(), line.count()))
        });
        // Letters of integrations that were removed are the operator's as well.
        let mut of_none = Failures::new();
        for (fault, count) in failures.into_values().flatten() {
            *of_none.entry(fault).or_default() += count;
        }
        Ok(Self { look, lines, of_none, now })
    }
}

impl Line {
    pub fn count(&self) -> i64 {
        self.waiting.iter().map(|row| row.number).sum()
    }

    /// What most of it waits for; what is being worked on waits for nothing.
    pub fn main(&self) -> Option<&Row> {
        let idle = self.waiting.iter().filter(|row| row.why != Why::InHand);
        idle.max_by_key(|row| (row.number, std::cmp::Reverse(row.since)))
    }

    pub fn oldest(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|row| row.since).min()
    }

    fn level(&self, now: Timestamp, patience: Duration) -> Level {
        let long_ago = |at: Timestamp, limit: Duration| now.duration_since(at).as_millis() > limit.as_millis() as i128;
        let state = &self.integration.state;
        if !self.failures.is_empty() || matches!(state, IntegrationState::Paused { by: PausedBy::Credentials(_), .. }) {
            return Level::Error;
        }
        let is_paused = matches!(state, IntegrationState::Paused { .. });
        // One that was just made has not been asked for yet.
        let synced = self.last_sync.unwrap_or(self.integration.created_at);
        let no_sync = self.integration.settings.receive_statuses && !is_paused && long_ago(synced, patience);
        let waits_long = self.oldest().is_some_and(|at| long_ago(at, LONG));
        if is_paused || self.held || no_sync || waits_long { Level::Warning } else { Level::Ok }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).expect("a moment")
    }

    fn level(change: impl FnOnce(&mut Integration, &mut Line)) -> Level {
        let mut integration = Integration::default();
        let mut line = Line {
            integration: Integration::default(),
            waiting: Vec::new(),
            failures: Failures::new(),
            held: false,
            last_sync: Some(at(99)),
            last_success: None,
        };
        change(&mut integration, &mut line);
        Line { integration, ..line }.level(at(100), LONG)
    }

    #[test]
    fn an_integration_is_as_bad_as_the_worst_that_is_known_of_it() {
        let paused = |by| IntegrationState::Paused { by, reason: String::new() };
        assert_eq!(level(|_, _| {}), Level::Ok);
        assert_eq!(level(|_, line| line.held = true), Level::Warning);
        assert_eq!(level(|_, line| line.last_sync = Some(at(80))), Level::Warning);
        assert_eq!(level(|_, line| line.last_sync = None), Level::Warning, "made long ago and never synced");
        assert_eq!(
            level(|i, line| {
                i.settings.receive_statuses = false;
                line.last_sync = None;
            }),
            Level::Ok
        );
        assert_eq!(level(|i, _| i.state = paused(PausedBy::Operator)), Level::Warning);
        assert_eq!(level(|i, _| i.state = paused(PausedBy::Credentials(Fault::Crm))), Level::Error);
        assert_eq!(level(|_, line| line.failures = Failures::from([(Fault::Shop, 1)])), Level::Error);
    }
}
