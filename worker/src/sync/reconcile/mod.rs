//! Finds what triggers and the status stream missed, and makes it good.
//!
//! RetailCRM's side ([`history`]) walks the history of orders since a cursor: an order that meets
//! the conditions of a trigger and that nothing was done about ([`missed`]) gets the command of that
//! trigger (protocols/retailcrm.md#reconciliation). MeaSoft's side ([`courier`]) looks at
//! everything that is still open there, and asks by number only about ours that are missing
//! (protocols/measoft.md#changes). What a takeover
//! left there that no order names ([`unknown`]) is told to a person.

pub mod courier;
pub mod history;
pub mod missed;
pub mod unknown;

use shared::message::{Needless, Outcome};
use shared::store::{self, leases::Lease};

use crate::sync::guard::LeaseGuard;
use crate::sync::internal;
use crate::tools::Tools;

/// Why a reconcile ends before its end.
pub(crate) enum Stop {
    Outcome(Outcome),
    Store(store::StoreError),
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl Stop {
    /// Its lease ran out.
    fn taken_over() -> Self {
        Self::Outcome(Outcome::Superseded(Needless::OthersTurn))
    }
}

/// One part of a reconcile, by one worker at a time.
pub(crate) async fn with_lease(
    tools: &Tools,
    name: &str,
    work: impl AsyncFnOnce(&Lease) -> Result<Outcome, Stop>,
) -> Outcome {
    let guard = match LeaseGuard::take(tools, name).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded(Needless::OthersTurn),
        Err(_) => return internal(),
    };
    let outcome = match work(&guard.lease).await {
        Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
        Err(Stop::Store(error)) => {
            tracing::warn!(%error, "a reconcile waits for the database");
            internal()
        }
    };
    guard.release().await;
    outcome
}
