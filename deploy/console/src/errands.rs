//! Work that asks the vendors and may take longer than a page should. It runs beside the pages, a few
//! at a time, each within a limit; they say how far it is. What came of it is kept in memory for a
//! while, for this process alone: after a restart it is asked for anew.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bridge_worker::callbacks::registration::Registered;
use bridge_worker::compare::{Comparison, Reads};
use bridge_worker::inquire::Said;
use bridge_worker::manage::check::Finding;
use bridge_worker::preview::Preview;
use futures_util::FutureExt as _;
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
/// Comparisons, which take minutes: nobody else waits for one.
const COMPARED_AT_A_TIME: usize = 2;
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
    for_comparisons: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Errands {
    pub fn new(stop: CancellationToken) -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        let (places, for_comparisons) = (places(AT_A_TIME), places(COMPARED_AT_A_TIME));
        Self { known: Arc::default(), places, for_comparisons, stop }
    }

    /// Begins one, unless it runs already. False: too many are not over. `work` is made once its
    /// turn has come, and tells by its argument what it reads.
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
                let ended = known.iter().filter_map(|(other, kept)| Some((kept.ended?, other)));
                let Some(oldest) = ended.min_by_key(|(at, _)| *at).map(|(_, other)| other.clone()) else {
                    return false;
                };
                known.remove(&oldest);
            }
            let look = Look { began: now, who: who.to_owned(), stand: Stand::Runs(None) };
            known.insert(errand.clone(), Kept { look, ended: None, over });
        }
        let (all, errand) = (self.clone(), errand.clone());
        tokio::spawn(async move {
            let (reads, of_it) = (all.clone(), errand.clone());
            let tell = Box::new(move |step| reads.set(&of_it, Stand::Runs(Some(step))));
            let turn = async {
                let _place = all.places_for(&errand).acquire().await;
                tokio::time::timeout(limit, work(tell)).await
            };
            let turn = AssertUnwindSafe(turn).catch_unwind();
            let stand = tokio::select! {
                () = all.stop.cancelled() => Stand::Failed("the process ends".to_owned()),
                done = turn => match done {
                    Ok(Ok(Ok(came))) => Stand::Done(Arc::new(came)),
                    Ok(Ok(Err(error))) => Stand::Failed(sentence(&error)),
                    Ok(Err(_)) => Stand::Failed(format!("no end within {} s", limit.as_secs())),
                    Err(_) => Stand::Failed("a fault of the bridge; its log says where".to_owned()),
                },
            };
            all.set(&errand, stand);
            let _ = tell_end.send(true);
        });
        true
    }

    fn places_for(&self, errand: &Errand) -> &Semaphore {
        if matches!(errand, Errand::Compare(..)) { &self.for_comparisons } else { &self.places }
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

    #[tokio::test]
    async fn what_is_over_makes_room_for_what_is_new_the_oldest_first() {
        let errands = Errands::new(CancellationToken::new());
        let (long, of) = (Duration::from_secs(60), |n: i64| Errand::Check(IntegrationId(n)));
        let done = || async { Ok(Came::Check(Vec::new())) };
        // One runs all the while, and is older than all others.
        assert!(begin(&errands, &of(0), long, std::future::pending()));
        for n in (1..).take(KNOWN - 1) {
            assert!(begin(&errands, &of(n), long, done()));
            stand(&errands, &of(n)).await;
        }
        let known = async |n| errands.look(&of(n), Duration::ZERO).await.is_some();
        assert!(begin(&errands, &of(1000), long, done()), "nobody waits half an hour");
        assert!(!known(1).await && known(2).await && known(0).await && known(1000).await);
        assert!(locked(&errands.known).len() <= KNOWN);
    }

    #[tokio::test]
    async fn comparisons_wait_for_each_other_and_nobody_else_does() {
        let errands = Errands::new(CancellationToken::new());
        let (long, day) = (Duration::from_secs(60), Date::constant(2026, 9, 1));
        for n in 0..9 {
            assert!(begin(&errands, &Errand::Compare(IntegrationId(n), day), long, std::future::pending()));
        }
        tokio::task::yield_now().await;
        assert!(begin(&errands, &CHECK, long, async { Ok(Came::Check(Vec::new())) }));
        let look = errands.look(&CHECK, Duration::from_secs(5)).await.expect("known");
        assert!(matches!(look.stand, Stand::Done(_)));
    }

    #[tokio::test]
    async fn an_errand_that_panics_has_failed_and_leaves_its_place() {
        let errands = Errands::new(CancellationToken::new());
        for n in 0..=AT_A_TIME {
            let errand = Errand::Check(IntegrationId(i64::try_from(n).expect("small")));
            let work = async { panic!("planned by a test") };
            assert!(begin(&errands, &errand, Duration::from_secs(60), work));
            let look = errands.look(&errand, Duration::from_secs(5)).await.expect("known");
            assert!(matches!(look.stand, Stand::Failed(why) if why.contains("its log")));
        }
    }
}
