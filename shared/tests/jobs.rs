//! The job table as a queue keeps the contract of the broker.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::message::Lane;
use shared::queue::SharedQueue;
use shared::queue::jobs::JobQueue;
use shared::store::jobs::NewJob;
use shared::store::{Db, Store};
use uuid::Uuid;

#[path = "amqp/contract.rs"]
mod contract;

/// A database file of its own.
struct JobBench {
    folder: PathBuf,
    store: Store,
}

impl JobBench {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-jobs-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder");
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens");
        db.migrate().await.expect("migrated");
        Self { folder, store: Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system()) }
    }
}

impl Drop for JobBench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl contract::Bench for JobBench {
    fn client(&self) -> BoxFuture<'_, SharedQueue> {
        async move { Arc::new(JobQueue::start(self.store.clone())) as SharedQueue }.boxed()
    }

    fn put_raw(&self, lane: Lane, body: Vec<u8>) -> BoxFuture<'_, ()> {
        async move {
            let job = NewJob { id: Uuid::now_v7().to_string(), lane, body, run_at: self.store.clock.now() };
            self.store.enqueue(&[job]).await.expect("stored");
        }
        .boxed()
    }
}

contract::queue_contract!(JobBench::new().await);
