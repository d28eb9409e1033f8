//! Requests that wait for their answer, by correlation id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Cheap to clone; all clones are one table.
#[derive(Clone, Default)]
pub(crate) struct PendingCalls(Arc<Table>);

#[derive(Default)]
struct Table {
    last_id: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>,
}

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
        self.0.lock().insert(id.clone(), sender);
        PendingCall { table: self.0.clone(), id, answer }
    }

    /// Hands an answer to its caller; `false` when nobody waits for it (any more).
    pub(crate) fn answer(&self, id: &str, body: Vec<u8>) -> bool {
        self.0.lock().remove(id).is_some_and(|caller| caller.send(body).is_ok())
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
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Vec<u8>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn callers_learn_that_no_answer_can_come() {
        let calls = PendingCalls::default();
        let mut call = calls.open();
        calls.abandon_all();
        assert_eq!(call.answer().await, None);
    }
}
