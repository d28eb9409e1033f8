//! A replay with all that is said of it.

use shared::config::Config;
use shared::domain::{IntegrationId, Language};
use shared::store::replays::{Cost, Part, ReplayState, Replaying, Step, cost};
use shared::store::{self, Store};

use bridge_worker::vendor::held;

use crate::seen::causes::Titles;
use crate::seen::words::of;

/// A replay, and what stands beside it.
pub struct Look {
    pub replay: Replaying,
    pub parts: Vec<Part>,
    pub titles: Titles,
    /// Integrations whose letters must wait now.
    pub waits: Vec<IntegrationId>,
    /// Requests to MeaSoft that our address may make in a minute.
    pub limit: u32,
}

/// Letters by how far they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub queued: i64,
    /// Sent, and what it wants not done yet.
    pub in_hand: i64,
    pub done: i64,
    pub dead_again: i64,
    pub skipped: i64,
}

impl Look {
    /// # Errors
    /// When the database does not answer.
    pub async fn at(replay: Replaying, config: &Config, store: &Store) -> store::Result<Self> {
        let parts = store.parts_of_replay(replay.id).await?;
        let mut waits = Vec::new();
        if replay.state == ReplayState::Running {
            waits = held::that_must_wait(store).await?;
            waits.retain(|id| parts.iter().any(|part| part.integration == Some(*id) && part.queued > 0));
        }
        let titles = store.integrations().await?.into_iter().map(|i| (i.id, i.title)).collect();
        Ok(Self { replay, parts, titles, waits, limit: config.budgets.measoft_per_minute })
    }

    pub fn letters(&self) -> i64 {
        self.parts.iter().map(|part| part.letters).sum()
    }

    /// What all of it costs, about.
    pub fn cost(&self) -> Cost {
        let of = |part: &Part| part.kind.map_or(Cost::default(), cost);
        Cost {
            measoft: self.parts.iter().map(|part| part.letters * of(part).measoft).sum(),
            retailcrm: self.parts.iter().map(|part| part.letters * of(part).retailcrm).sum(),
        }
    }

    /// Requests to MeaSoft in a minute, about.
    pub fn per_minute(&self) -> i64 {
        let letters = self.letters().max(1);
        self.cost().measoft * i64::from(self.replay.per_minute).min(letters) / letters
    }

    pub fn counts(&self) -> Counts {
        let count = |steps: &[Step]| self.replay.count(steps);
        Counts {
            queued: count(&[Step::Queued]),
            in_hand: count(&[Step::Sent, Step::Taken]),
            done: count(&[Step::Done]),
            dead_again: count(&[Step::Dead]),
            skipped: count(&[Step::Skipped]),
        }
    }
}

/// How far a replay is.
pub const fn state(state: ReplayState, language: Language) -> &'static str {
    match state {
        ReplayState::Planned => of(language, "запланирован", "planned"),
        ReplayState::Running => of(language, "идёт", "running"),
        ReplayState::Stopped => of(language, "остановлен", "stopped"),
        ReplayState::Done => of(language, "закончен", "done"),
    }
}
