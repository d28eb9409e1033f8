//! The steps of one run of a worker, and where a history stops it: dead, or asleep until
//! it is woken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use shared::store::StoreError;
use shared::store::steps::{Step, Watch, watched};
use tokio::sync::Notify;

use crate::standby::Standby;

/// What happens to a run at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The process dies.
    Crash,
    /// The process stands still; what it holds may expire.
    Pause,
    /// The database refuses this step.
    StoreFails,
    /// Its connection to the database breaks, and with it a transaction that is open; then it
    /// stands still.
    Cut,
}

/// Where a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// At its n-th step from here.
    Step(usize),
    /// While its next write is on the way to MeaSoft.
    Asking,
    /// While the answer to its next write is on the way back.
    Answered,
}

pub type Stop = (Spot, How);

/// One run: a claim and the serving of what was claimed.
pub struct Run {
    /// The worker's name on leases.
    pub owner: String,
    /// Tells runs of one worker apart.
    pub id: usize,
    taken: AtomicUsize,
    stop: Mutex<Option<Stop>>,
    /// From its n-th step on the standby gets no more.
    behind: Mutex<Option<(usize, Arc<Standby>)>>,
    stopped_at: Mutex<Option<usize>>,
    stopped: Notify,
    stopped_how: Mutex<How>,
    wake: Notify,
}

tokio::task_local! {
    static RUN: Arc<Run>;
}

impl Run {
    pub fn new(owner: &str, id: usize, stop: Option<Stop>) -> Arc<Self> {
        Arc::new(Self {
            owner: owner.to_owned(),
            id,
            taken: AtomicUsize::new(0),
            stop: Mutex::new(stop),
            behind: Mutex::default(),
            stopped_at: Mutex::default(),
            stopped: Notify::new(),
            stopped_how: Mutex::new(How::Crash),
            wake: Notify::new(),
        })
    }

    /// From its n-th step on the standby gets no more.
    pub fn falls_behind(&self, step: usize, standby: Arc<Standby>) {
        *self.behind.lock().expect("lock") = Some((step, standby));
    }

    /// The standby still gets everything.
    pub fn is_ahead(&self) -> bool {
        self.behind.lock().expect("lock").is_some()
    }

    /// The step at which it was stopped last.
    pub fn stopped_at(&self) -> Option<usize> {
        *self.stopped_at.lock().expect("lock")
    }

    /// Steps since it began, or was woken.
    pub fn steps(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// The run the caller belongs to.
    pub fn current() -> Option<Arc<Self>> {
        RUN.try_with(Arc::clone).ok()
    }

    /// Makes a task this run: its steps with the database and the vendors are counted.
    pub async fn walk<F: Future>(self: Arc<Self>, task: F) -> F::Output {
        let run = self.clone();
        let watch: Watch = Arc::new(move |step| {
            let run = run.clone();
            async move { run.database_step(step).await }.boxed()
        });
        RUN.scope(self, watched(watch, task)).await
    }

    /// Resolves when the run has stopped somewhere: dead or asleep.
    pub async fn has_stopped(&self) -> How {
        self.stopped.notified().await;
        *self.stopped_how.lock().expect("lock")
    }

    /// Lets a sleeping run go on, up to another stop.
    pub fn wake(&self, stop: Option<Stop>) {
        self.taken.store(0, Ordering::SeqCst);
        *self.stop.lock().expect("lock") = stop;
        self.wake.notify_one();
    }

    fn stop_here(&self, at: Spot, may_pause: bool, may_fail: bool) -> Option<How> {
        let step = self.taken.fetch_add(1, Ordering::SeqCst);
        let mut stop = self.stop.lock().expect("lock");
        let (spot, how) = (*stop)?;
        let there = match spot {
            Spot::Step(n) => step >= n,
            spot => spot == at,
        };
        let may = match how {
            How::Crash | How::Cut => true,
            How::Pause => may_pause,
            How::StoreFails => may_fail,
        };
        if there && may {
            *stop = None;
            *self.stopped_at.lock().expect("lock") = Some(step);
            return Some(how);
        }
        None
    }

    async fn stay(&self, how: How) {
        *self.stopped_how.lock().expect("lock") = how;
        self.stopped.notify_one();
        match how {
            How::Pause | How::Cut => self.wake.notified().await,
            _ => std::future::pending().await,
        }
    }

    async fn database_step(&self, step: Step) -> Result<(), StoreError> {
        // Asleep inside a transaction a process would keep the others out of the table.
        let may_pause = matches!(step, Step::Statement | Step::Begin);
        if may_pause {
            self.standby_sees().await;
        }
        match self.stop_here(ANYWHERE, may_pause, true) {
            // It hears of it now, and stands still at what it does next.
            Some(How::Cut) if !may_pause => {
                *self.stop.lock().expect("lock") = Some((ANYWHERE, How::Pause));
                Err(StoreError::Silent { what: "a statement".to_owned(), seconds: 0 })
            }
            Some(How::StoreFails) => Err(StoreError::Config("not now".to_owned())),
            Some(how) => {
                self.stay(how).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What is stored by now is all that the standby gets, if that is so from this step on.
    async fn standby_sees(&self) {
        let next = self.steps();
        let behind = {
            let mut behind = self.behind.lock().expect("lock");
            if behind.as_ref().is_some_and(|(step, _)| next >= *step) { behind.take() } else { None }
        };
        if let Some((_, standby)) = behind {
            // In a task of its own the look is no step of the run.
            tokio::spawn(async move { standby.copy().await }).await.expect("copied");
        }
    }

    async fn vendor_step(&self, at: Spot) {
        self.standby_sees().await;
        if let Some(how) = self.stop_here(at, true, false) {
            self.stay(how).await;
        }
    }
}

/// No spot in particular.
const ANYWHERE: Spot = Spot::Step(0);

/// A moment inside a call to a vendor, of whichever run makes it.
pub async fn vendor_step() {
    write_step(ANYWHERE).await;
}

/// A moment inside a write to MeaSoft.
pub async fn write_step(at: Spot) {
    if let Some(run) = Run::current() {
        run.vendor_step(at).await;
    }
}
