//! MeaSoft's pushes: each one of a known cabinet has its stream of statuses read at once. Nothing of
//! a push is believed, so neither a false nor a lost one can hurt, and a flood of them costs no more
//! than one look in [`BETWEEN`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::Method;
use shared::measoft::push::PATH;
use shared::message::{Command, Envelope, PUSHED};

use crate::State;
use crate::body::discard;
use crate::hand_over::{Answer, publish};
use crate::keys::{KeyLookup, Known};
use crate::reply::Reply;

/// Between two looks at one stream. MeaSoft pushes each client's changes in turns of minutes.
const BETWEEN: Duration = Duration::from_secs(10);
/// What is read of a push at most, so that its sender can finish.
const BODY_LIMIT: usize = 1 << 20;

/// The token of a path, if it is a push's.
pub(crate) fn token_of(path: &str) -> Option<&str> {
    path.strip_prefix(PATH).map(|rest| rest.trim_end_matches('/')).filter(|rest| !rest.contains('/'))
}

/// When each cabinet's stream was or will be looked at last.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<i64, Instant>>);

/// What a push comes to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Now,
    /// So much later: it may tell of what the last look has just missed.
    After(Duration),
    /// One that is still to come will see it.
    Comes,
}

impl Looks {
    fn take(&self, cabinet: i64, now: Instant) -> Look {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (look, at) = match looks.get(&cabinet) {
            Some(next) if *next > now => return Look::Comes,
            Some(last) if *last + BETWEEN > now => (Look::After(*last + BETWEEN - now), *last + BETWEEN),
            _ => (Look::Now, now),
        };
        looks.insert(cabinet, at);
        look
    }
}

pub(crate) async fn answer(state: &State, token: &str, request: Request) -> Answer {
    if request.method() != Method::POST {
        discard(request.into_body(), 0).await;
        return Reply::NotAllowed("POST").into();
    }
    let known = state.0.keys.find_push(token);
    discard(request.into_body(), BODY_LIMIT).await;
    match known {
        KeyLookup::Known(known) => Answer { reply: look(state, &known).await, known: true },
        KeyLookup::Unknown => Reply::NotFound.into(),
        KeyLookup::NotLoaded => Reply::Unavailable.into(),
    }
}

async fn look(state: &State, known: &Known) -> Reply {
    let mut envelope = Envelope::new(Command::SyncStatuses {}, Some(known.integration), state.0.clock.now());
    PUSHED.clone_into(&mut envelope.key);
    let id = envelope.id;
    match state.0.looks.take(known.integration.0, Instant::now()) {
        Look::Now => publish(state, envelope).await,
        Look::Comes => Reply::Accepted(id),
        Look::After(pause) => {
            let state = state.clone();
            // A process that ends meanwhile leaves it to the next poll.
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                publish(&state, envelope).await;
            });
            Reply::Accepted(id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_pushes_is_one_look_now_and_one_after_each_pause() {
        let looks = Looks::default();
        let start = Instant::now();
        let mut count = 0;
        for millis in (0..25_000).step_by(10) {
            count += usize::from(looks.take(1, start + Duration::from_millis(millis)) != Look::Comes);
        }
        assert_eq!(count, 4, "at 0, 10, 20 and 30 s");
    }

    #[test]
    fn the_last_of_several_pushes_is_looked_at_after_it_came() {
        let looks = Looks::default();
        let start = Instant::now();
        assert_eq!(looks.take(1, start), Look::Now);
        assert_eq!(looks.take(1, start + Duration::from_secs(4)), Look::After(Duration::from_secs(6)));
        assert_eq!(looks.take(1, start + Duration::from_secs(9)), Look::Comes);
        assert_eq!(looks.take(2, start + Duration::from_secs(9)), Look::Now, "another cabinet");
        assert_eq!(looks.take(1, start + Duration::from_secs(40)), Look::Now);
    }

    #[test]
    fn a_token_is_the_last_part_of_its_path() {
        assert_eq!(token_of("/measoft/webhook/abc"), Some("abc"));
        assert_eq!(token_of("/measoft/webhook/abc/"), Some("abc"));
        assert_eq!(token_of("/measoft/webhook/abc/d"), None);
        assert_eq!(token_of("/measoft/abc"), None);
    }
}
