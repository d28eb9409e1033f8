//! Requests that wait for their answer, by correlation id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::locked::locked;

/// Cheap to clone; all clones are one table.
#[derive(Clone, Default)]
pub(crate) struct PendingCalls(Arc<Table>);

#[derive(Default)]
struct Table {
    last_id: AtomicU64,
    waiting: Mutex<HashMap<String, Caller>>,
}

struct Caller {
    sender: oneshot::Sender<Vec<u8>>,
    /// What has come of an answer in pieces, by their places.
    pieces: Vec<Option<Vec<u8>>>,
}

/// Most pieces of one answer.
const MOST_PIECES: usize = 4096;

/// One entry of the table, gone with this handle: a caller that gives up leaves nothing.
pub(crate) struct PendingCall {
    table: Arc<Table>,
    id: String,
    answer: oneshot::Receiver<Vec<u8>>,
}

impl PendingCalls {
    pub(crate) fn open(&self) -> PendingCall {
        let id = self.0.last_id.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(id.clone(), Caller { sender, pieces: Vec::new() });
        PendingCall { table: self.0.clone(), id, answer }
    }

    /// Hands an answer to its caller; `false` when nobody waits for it (any more).
    pub(crate) fn answer(&self, id: &str, body: Vec<u8>) -> bool {
        self.0.lock().remove(id).is_some_and(|caller| caller.sender.send(body).is_ok())
    }

    /// Hands over one piece of an answer, `number` of `of` from zero, in whatever order they come
    /// and however often; `false` when nobody waits for it or it is none.
    pub(crate) fn piece(&self, id: &str, number: usize, of: usize, body: Vec<u8>) -> bool {
        let mut waiting = self.0.lock();
        let Some(caller) = waiting.get_mut(id) else { return false };
        if caller.pieces.is_empty() && (1..=MOST_PIECES).contains(&of) {
            caller.pieces = vec![None; of];
        }
        if caller.pieces.len() != of {
            return false;
        }
        let Some(place) = caller.pieces.get_mut(number) else { return false };
        *place = Some(body);
        if caller.pieces.iter().any(Option::is_none) {
            return true;
        }
        let Some(caller) = waiting.remove(id) else { return false };
        drop(waiting);
        caller.sender.send(caller.pieces.into_iter().flatten().flatten().collect()).is_ok()
    }

    /// No answer can come any more: every caller learns so at once.
    pub(crate) fn abandon_all(&self) {
        self.0.lock().clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Table {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Caller>> {
        locked(&self.waiting)
    }
}

impl PendingCall {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// `None` when no answer can come any more.
    pub(crate) async fn answer(&mut self) -> Option<Vec<u8>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.table.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_its_caller_and_leaves_nothing() {
        let calls = PendingCalls::default();
        let (mut one, mut other) = (calls.open(), calls.open());
        assert!(calls.answer(other.id(), b"2".to_vec()));
        assert!(calls.answer(one.id(), b"1".to_vec()));
        assert_eq!(one.answer().await, Some(b"1".to_vec()));
        assert_eq!(other.answer().await, Some(b"2".to_vec()));
        assert_eq!(calls.len(), 0);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_nothing() {
        let calls = PendingCalls::default();
        let call = calls.open();
        let id = call.id().to_owned();
        drop(call);
        assert_eq!(calls.len(), 0);
        assert!(!calls.answer(&id, Vec::new()));
    }

    #[tokio::test]
    async fn pieces_come_in_any_order_and_twice_and_make_one_answer() {
        let calls = PendingCalls::default();
        let mut call = calls.open();
        assert!(!calls.piece(call.id(), 3, 3, b"beyond".to_vec()));
        assert!(!calls.piece(call.id(), 0, 0, Vec::new()));
        assert!(!calls.piece("99", 0, 3, b"a".to_vec()), "nobody waits");
        for (number, body) in [(2, b"c"), (0, b"a"), (2, b"c")] {
            assert!(calls.piece(call.id(), number, 3, body.to_vec()));
        }
        assert!(!calls.piece(call.id(), 1, 2, b"b".to_vec()), "of another answer");
        assert!(calls.piece(call.id(), 1, 3, b"b".to_vec()));
        assert_eq!(call.answer().await, Some(b"abc".to_vec()));
        assert_eq!(calls.len(), 0);
    }

    #[tokio::test]
    async fn callers_learn_that_no_answer_can_come() {
        let calls = PendingCalls::default();
        let mut call = calls.open();
        calls.abandon_all();
        assert_eq!(call.answer().await, None);
    }
}
