//! Work that asks the vendors and may take longer than a page should. It runs beside the pages, a few
//! at a time, each within a limit; they say how far it is. What came of it is kept in memory for a
//! while, for this process alone: after a restart it is asked for anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bridge_worker::callbacks::registration::Registered;
use bridge_worker::compare::{Comparison, Reads};
use bridge_worker::inquire::Said;
use bridge_worker::manage::check::Finding;
use bridge_worker::preview::Preview;
use jiff::Timestamp;
use jiff::civil::Date;
use shared::bootstrap::sentence;
use shared::domain::IntegrationId;
use shared::locked::locked;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// What is asked for: one of each at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Errand {
    /// What would be done for an order.
    Preview(IntegrationId, String),
    /// What MeaSoft has of an order.
    Inquire(IntegrationId, String),
    Check(IntegrationId),
    Register(IntegrationId),
    Compare(IntegrationId, Date),
}

/// What came of it.
pub enum Came {
    Preview(Box<Preview>),
    Inquire(Vec<Said>),
    Check(Vec<Finding>),
    Register(Registered),
    Compare(Box<Comparison>),
}

/// How far it is.
#[derive(Clone)]
pub enum Stand {
    /// What is being read, where that is told.
    Runs(Option<Reads>),
    Done(Arc<Came>),
    /// Why it failed, in English.
    Failed(String),
}

/// One errand as it is looked at.
#[derive(Clone)]
pub struct Look {
    pub began: Timestamp,
    pub who: String,
    pub stand: Stand,
}

/// Errands that run at the same time; the others wait for their turn.
const AT_A_TIME: usize = 3;
/// Errands that are known at a time.
const KNOWN: usize = 64;
/// What came of one is kept for so long.
const KEPT: Duration = Duration::from_secs(1800);

struct Kept {
    look: Look,
    /// When it ended.
    ended: Option<Instant>,
    over: watch::Receiver<bool>,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Errands {
    known: Arc<Mutex<HashMap<Errand, Kept>>>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Errands {
    pub fn new(stop: CancellationToken) -> Self {
        Self { known: Arc::default(), places: Arc::new(Semaphore::new(AT_A_TIME)), stop }
    }

    /// Begins one, unless it runs already. False: too many are known. `work` is made once its turn
    /// has come, and tells by its argument what it reads.
    pub fn begin<W>(
        &self,
        errand: &Errand,
        who: &str,
        now: Timestamp,
        limit: Duration,
        work: impl FnOnce(Box<dyn Fn(Reads) + Send + Sync>) -> W + Send + 'static,
    ) -> bool
    where
        W: Future<Output = anyhow::Result<Came>> + Send + 'static,
    {
        let (tell_end, over) = watch::channel(false);
        {
            let mut known = locked(&self.known);
            known.retain(|_, kept| kept.ended.is_none_or(|at| at.elapsed() < KEPT));
            if known.get(errand).is_some_and(|kept| kept.ended.is_none()) {
                return true;
            }
            if known.len() >= KNOWN && !known.contains_key(errand) {
                return false;
            }
            let look = Look { began: now, who: who.to_owned(), stand: Stand::Runs(None) };
            known.insert(errand.clone(), Kept { look, ended: None, over });
        }
        let (all, errand) = (self.clone(), errand.clone());
        tokio::spawn(async move {
            let (reads, of_it) = (all.clone(), errand.clone());
            let tell = Box::new(move |step| reads.set(&of_it, Stand::Runs(Some(step))));
            let turn = async {
                let _place = all.places.acquire().await;
                tokio::time::timeout(limit, work(tell)).await
            };
            let stand = tokio::select! {
                () = all.stop.cancelled() => Stand::Failed("the process ends".to_owned()),
                done = turn => match done {
                    Ok(Ok(came)) => Stand::Done(Arc::new(came)),
                    Ok(Err(error)) => Stand::Failed(sentence(&error)),
                    Err(_) => Stand::Failed(format!("no end within {} s", limit.as_secs())),
                },
            };
            all.set(&errand, stand);
            let _ = tell_end.send(true);
        });
        true
    }

    fn set(&self, errand: &Errand, stand: Stand) {
        if let Some(kept) = locked(&self.known).get_mut(errand) {
            kept.ended = (!matches!(stand, Stand::Runs(_))).then(Instant::now);
            kept.look.stand = stand;
        }
    }

    /// What came of one is over.
    pub fn forget(&self, errand: &Errand) {
        locked(&self.known).remove(errand);
    }

    /// How one is. Waits a moment for the end of one that runs.
    pub async fn look(&self, errand: &Errand, patience: Duration) -> Option<Look> {
        let mut over = locked(&self.known).get(errand)?.over.clone();
        let _ = tokio::time::timeout(patience, over.wait_for(|over| *over)).await;
        let known = locked(&self.known);
        let kept = known.get(errand).filter(|kept| kept.ended.is_none_or(|at| at.elapsed() < KEPT));
        kept.map(|kept| kept.look.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Errand = Errand::Check(IntegrationId(1));

    fn begin<W>(errands: &Errands, errand: &Errand, limit: Duration, work: W) -> bool
    where
        W: Future<Output = anyhow::Result<Came>> + Send + 'static,
    {
        errands.begin(errand, "Anna", Timestamp::UNIX_EPOCH, limit, move |_| work)
    }

    async fn stand(errands: &Errands, errand: &Errand) -> Stand {
        errands.look(errand, Duration::from_secs(20)).await.expect("known").stand
    }

    #[tokio::test]
    async fn one_errand_runs_once_and_ends_with_what_came_of_it_or_why_not() {
        let errands = Errands::new(CancellationToken::new());
        assert!(errands.look(&CHECK, Duration::ZERO).await.is_none(), "nobody asked");
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            let _ = wait.await;
            Ok(Came::Check(Vec::new()))
        };
        let long = Duration::from_secs(60);
        assert!(begin(&errands, &CHECK, long, work));
        assert!(begin(&errands, &CHECK, long, async { anyhow::bail!("a second one") }));
        let look = errands.look(&CHECK, Duration::ZERO).await.expect("known");
        assert!(matches!(look.stand, Stand::Runs(None)) && look.who == "Anna");
        go.send(()).expect("it waits");
        assert!(matches!(stand(&errands, &CHECK).await, Stand::Done(_)), "the first one's end");
        assert!(begin(&errands, &CHECK, long, async { anyhow::bail!("no luck") }), "it may be asked for again");
        assert!(matches!(stand(&errands, &CHECK).await, Stand::Failed(why) if why == "no luck"));
        assert!(begin(&errands, &CHECK, Duration::from_millis(10), std::future::pending()));
        assert!(matches!(stand(&errands, &CHECK).await, Stand::Failed(why) if why.starts_with("no end")));
    }

    #[tokio::test]
    async fn what_waits_for_its_turn_ends_with_the_process_and_nobody_fills_the_memory() {
        let stop = CancellationToken::new();
        let errands = Errands::new(stop.clone());
        let long = Duration::from_secs(60);
        let of = |n: usize| Errand::Check(IntegrationId(i64::try_from(n).expect("small")));
        let begun = (0..KNOWN + 5).filter(|n| begin(&errands, &of(*n), long, std::future::pending())).count();
        assert_eq!(begun, KNOWN);
        stop.cancel();
        for n in [0, AT_A_TIME, KNOWN - 1] {
            assert!(matches!(stand(&errands, &of(n)).await, Stand::Failed(_)), "{n}");
        }
    }
}
