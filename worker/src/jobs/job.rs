//! What a job is.

use futures_util::future::BoxFuture;
use shared::clock::elapsed;
use shared::message::{Envelope, Kind, Needless, Outcome, RetryWhy};
use shared::store;

use crate::order::shadow::pause;
use crate::sync::active_siblings;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::{ActiveIntegrations, Availability};

/// Moving in keeps the status stream waiting no longer than that, in pauses.
const MOVES_IN_FOR: u32 = 120;

/// A command that is about no order's intent, and what is done about it. Its lane is the command's
/// (`shared/src/message/command.rs`), its slots are the scheduler's (`scheduler/src/plan.rs`).
pub(super) struct Job {
    pub kind: Kind,
    /// Whether the scheduler asks for the same again with its next slot: a failing one is left to
    /// that one, or retries of every slot that failed would pile up.
    pub comes_again: fn(&Envelope) -> bool,
    pub run: for<'a> fn(&'a Asked<'a>) -> BoxFuture<'a, Outcome>,
}

/// What a job is asked for, and what it works with.
pub(super) struct Asked<'a> {
    pub tools: &'a Tools,
    pub integrations: &'a ActiveIntegrations,
    pub envelope: &'a Envelope,
}

impl Asked<'_> {
    /// A person asked, not the scheduler.
    pub fn by_a_person(&self) -> bool {
        self.envelope.generation > 0
    }

    /// Every integration of the account is a shadow that has nothing of its own at MeaSoft: its
    /// statuses are nobody's here, and not even a cursor there is moved. The same while one that went
    /// live takes over what is there: statuses of what is not in the ledger yet would be lost.
    /// `Err`: not known.
    pub async fn is_only_watching(&self, active: &ActiveIntegration) -> store::Result<bool> {
        let siblings = active_siblings(self.integrations, active);
        for sibling in &siblings {
            let Some(live_since) = sibling.integration.settings.moved_in_at else { continue };
            let is_new = elapsed(live_since, self.tools.clock.now()) < pause(self.tools) * MOVES_IN_FOR;
            let is_live = !sibling.integration.settings.is_shadow();
            if is_live && is_new && !self.tools.store.left_in_shadow(sibling.id(), live_since, 1).await?.is_empty() {
                return Ok(true);
            }
        }
        for sibling in siblings {
            if !sibling.integration.settings.is_shadow() || self.tools.store.has_deliveries(sibling.id()).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The integration a command is about, if it may be worked for; else what comes of the command.
    /// What a person asked for waits for the end of a pause; what the scheduler asks for it asks for
    /// again.
    pub fn active(&self) -> Result<ActiveIntegration, Outcome> {
        let Some(id) = self.envelope.integration else { return Err(Outcome::Superseded(Needless::Gone)) };
        match self.integrations.find(id) {
            Availability::Active(active) => Ok(active),
            Availability::Paused if self.by_a_person() => {
                Err(Outcome::RetryLater { why: RetryWhy::Paused, not_before: None })
            }
            Availability::Paused | Availability::Unknown => Err(Outcome::Superseded(Needless::NotActive)),
        }
    }
}
