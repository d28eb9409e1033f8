//! SQLite on a disk that takes nothing for a while: what fails is told as the disk's trouble,
//! and everything works again as soon as the disk does, without a restart.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, DeliveryState, Integration, OrderNumber};
use shared::message::Lane;
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{Leave, OrderRequest, RequestKind};
use shared::store::jobs::NewJob;
use shared::store::steps::{Watch, watched};
use shared::store::{Db, Store, StoreError};
use uuid::Uuid;

mod sample;

use sample::new_integration;

/// In whom the tests below start themselves once more, in a process of its own: a limit of the
/// size of files holds for a whole process.
const FOLDER: &str = "BRIDGE_TEST_FULL_DISK";

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs the named test of this file in a process that hears of a file that may not grow by an
/// error and not by a signal.
fn in_a_process_of_its_own(test: &str) {
    let folder = std::env::temp_dir().join(format!("bridge-full-disk-{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).expect("a folder of its own");
    let run = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, &folder)
        .output()
        .expect("started");
    let _ = std::fs::remove_dir_all(&folder);
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
    assert!(said.contains("1 passed"), "it ran: {said}");
}

/// From now on no file of this process may be written beyond its first byte, or all may again.
fn disk_takes(anything: bool) {
    let limit = if anything { "unlimited" } else { "1" };
    let set = Command::new("prlimit")
        .args([format!("--pid={}", std::process::id()), format!("--fsize={limit}:unlimited")])
        .status()
        .expect("prlimit (util-linux) is installed");
    assert!(set.success(), "the limit is set");
}

struct Bench {
    store: Store,
    integration: Integration,
    orders: AtomicUsize,
}

impl Bench {
    async fn new(folder: &std::path::Path) -> Self {
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens");
        db.migrate().await.expect("migrated");
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system());
        let integration = store.add_integration(new_integration("")).await.expect("added");
        Self { store, integration, orders: AtomicUsize::new(1) }
    }

    /// What an order's trigger and its attempt write, one after the other.
    async fn order(&self) -> Result<(), StoreError> {
        let n = self.orders.fetch_add(1, Ordering::SeqCst);
        let (store, integration, now) = (&self.store, self.integration.id, self.store.clock.now());
        let until = now.checked_add(Duration::from_secs(90)).expect("a moment");
        let (number, owner) = (OrderNumber::parse(&format!("{n}A")).expect("a number"), format!("worker-{n}"));
        // Larger than SQLite keeps in memory: a statement of the transaction meets the disk.
        let body = vec![b'x'; 4 << 20];
        let job = NewJob { id: format!("job-{n}"), lane: Lane::Interactive, body, run_at: now };
        store.enqueue(&[job]).await?;
        let order = Some(CrmOrderId(n as i64));
        let request = OrderRequest { order, ..OrderRequest::at(now, integration, number.clone(), RequestKind::Send) };
        store.record_requests(&[request]).await?;
        let mut tx = store.db.begin().await?;
        let intent = tx.claim_order(integration, CrmOrderId(n as i64), &owner, until, now).await?.expect("unserved");
        tx.commit().await?;
        let key = DeliveryKey { integration, crm_order: CrmOrderId(n as i64), number: &number, prefix: "" };
        let mut delivery = store.lease_delivery(&key, &owner, until).await?.taken().expect("free");
        delivery.state = DeliveryState::Created;
        let mut tx = store.db.begin().await?;
        assert!(tx.leave_intent(&intent, Leave::Served, now).await?);
        assert!(tx.save_delivery(&delivery, true, now).await?);
        tx.commit().await?;
        store.finish_jobs(&owner, &[format!("job-{n}")]).await?;
        store.db.exec("DELETE FROM jobs", vec![]).await?;
        Ok(())
    }

    /// An order whose disk takes nothing from its `at`-th step on. Answers how it went, and
    /// how many steps it took.
    async fn order_meets_a_full_disk(&self, at: usize) -> (Result<(), StoreError>, usize) {
        let steps = Arc::new(AtomicUsize::new(0));
        let counted = steps.clone();
        let watch: Watch = Arc::new(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == at {
                disk_takes(false);
            }
            std::future::ready(Ok(())).boxed()
        });
        let went = watched(watch, self.order()).await;
        disk_takes(true);
        (went, steps.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_disk_that_was_full_at_any_step_is_written_to_again_as_soon_as_it_can_be() {
    let Some(folder) = folder() else {
        return in_a_process_of_its_own("a_disk_that_was_full_at_any_step_is_written_to_again_as_soon_as_it_can_be");
    };
    let bench = Bench::new(&folder).await;
    bench.order().await.expect("all is well");
    let mut failed = 0;
    for at in 0.. {
        let (went, steps) = bench.order_meets_a_full_disk(at).await;
        match went {
            Err(StoreError::Failing(..)) => failed += 1,
            Err(other) => panic!("step {at}: {other:?}"),
            Ok(()) => assert!(steps <= at, "step {at} of {steps}: nothing was written any more"),
        }
        let again = bench.order().await;
        assert!(again.is_ok(), "after a full disk at step {at}: {again:?}");
        if steps <= at {
            break;
        }
    }
    assert!(failed > 10, "{failed}");
}

#[tokio::test]
async fn a_full_disk_is_named_with_sqlites_own_code() {
    let Some(folder) = folder() else {
        return in_a_process_of_its_own("a_full_disk_is_named_with_sqlites_own_code");
    };
    let bench = Bench::new(&folder).await;
    let (went, _) = bench.order_meets_a_full_disk(0).await;
    let said = went.expect_err("nothing could be written").to_string();
    // SQLITE_IOERR_WRITE: a limit of the size of files is not ENOSPC to it.
    assert!(said.contains("the disk under the database file") && said.contains("code 778"), "{said}");
    assert!(bench.store.db.recent_trouble(Duration::from_secs(60)).is_some());
}
