//! Finds what triggers and the status stream missed.

use shared::message::{Envelope, Outcome};

use crate::ports::Tools;
use crate::shops::Shops;

/// Runs a reconcile.
pub async fn run(_tools: &Tools, _shops: &Shops, _envelope: &Envelope) -> Outcome {
    Outcome::Superseded("nothing to do for this command")
}
