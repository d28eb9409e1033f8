//! Asking a worker over the queue, within the time that the asker has.

use std::time::Duration;

use serde_json::Value;
use shared::domain::IntegrationId;
use shared::message::{CallbackReply, Command, Envelope};
use shared::queue::RpcError;

use crate::State;

/// Asks a worker and waits for its answer.
///
/// # Errors
/// [`RpcError`] when none can be had.
pub async fn call(
    state: &State,
    integration: IntegrationId,
    action: &str,
    request: Value,
    traceparent: Option<String>,
) -> Result<CallbackReply, RpcError> {
    let _counted = state.0.metrics.callback_in_flight();
    let deadline = deadline(state, action);
    let command = Command::Callback { action: action.to_owned(), request };
    let mut envelope = Envelope::new(command, Some(integration), state.0.clock.now());
    envelope.traceparent = traceparent;
    let bytes = state.0.rpc.call(envelope, deadline).await?;
    CallbackReply::decode(&bytes).ok_or(RpcError::Unavailable)
}

fn deadline(state: &State, action: &str) -> Duration {
    if action == "calculate" { state.0.deadlines.calculate } else { state.0.deadlines.callback }
}
