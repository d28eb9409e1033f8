//! Hands a command over to the queue, and what is answered.

use std::time::Duration;

use shared::message::Envelope;

use crate::State;
use crate::finish::Finish;
use crate::reply::Reply;

/// An answer is given within three seconds (messaging.md «Ingress: what to answer»).
const PUBLISH_TIME: Duration = Duration::from_millis(2_900);
/// A publish that outlives its request is given up in the end.
const PUBLISH_END: Duration = Duration::from_secs(30);

/// A reply, and whether the sender showed a known key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) known: bool,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, known: false }
    }
}

/// Hands the command over. A sender that hangs up early must not take the command with it,
/// nor must the time limit of its answer.
pub(crate) async fn publish(state: &State, envelope: Envelope) -> Reply {
    let id = envelope.id;
    let (kind, integration) = (envelope.command.kind(), envelope.integration.map(|id| id.0));
    let traceparent = envelope.traceparent.clone();
    let publisher = state.0.publisher.clone();
    let publishing = async move { publisher.publish(envelope).await };
    let publishing = Finish::new(state.0.tasks.clone(), PUBLISH_END, publishing);
    let problem = match tokio::time::timeout(PUBLISH_TIME, publishing).await {
        Ok(Ok(())) => {
            tracing::debug!(command = %id, kind = kind.as_str(), integration, traceparent, "a trigger was accepted");
            return Reply::Accepted(id);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no confirm in time".to_owned(),
    };
    tracing::warn!(command = %id, kind = kind.as_str(), integration, traceparent, problem, "a trigger could not be stored");
    Reply::Unavailable
}
