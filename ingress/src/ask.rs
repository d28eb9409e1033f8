//! Asking a worker over the queue, within the time that the asker has.

use std::time::Duration;

use serde_json::Value;
use shared::domain::IntegrationId;
use shared::message::{CallbackReply, Command, Envelope};
use shared::queue::RpcError;

use crate::State;

/// Asks a worker and waits for its answer.
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

/// What a worker answers under `result`; `None` when nothing of the kind can be had.
pub async fn result(state: &State, integration: IntegrationId, action: &str, request: Value) -> Option<Value> {
    let reply = call(state, integration, action, request, None).await.ok()?;
    let mut answer: Value = serde_json::from_slice(&reply.body).ok()?;
    answer.get_mut("result").map(Value::take)
}

fn deadline(state: &State, action: &str) -> Duration {
    if action == "calculate" { state.0.deadlines.calculate } else { state.0.deadlines.callback }
}
