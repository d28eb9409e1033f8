//! RetailCRM's rate limit (protocols/retailcrm.md#rate): so many requests a second per API key and
//! per our address. Sources disagree about which it is, so both are kept.
//!
//! One process counts in memory; several processes on one PostgreSQL share a budget there.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::clock::elapsed;
use shared::crypto::sha256_hex;
use shared::store::budgets::{SLICES, Window};
use shared::store::{Dialect, Store};
use shared::{retailcrm, waiting};
use tokio::time::Instant;

use crate::vendor::crm_breaker::Guarded;

const SECOND: Duration = Duration::from_secs(1);

/// Makes the gates of all integrations of a process.
pub struct Rates {
    store: Store,
    per_second: u32,
    first_pause: Duration,
    /// Integrations with one key at one address share its breaker.
    accounts: Mutex<HashMap<String, Arc<dyn retailcrm::Limiter>>>,
    address: Arc<RateLimiter>,
    /// Integrations with one key share its gate.
    keys: Mutex<HashMap<String, Arc<dyn retailcrm::Limiter>>>,
}

impl Rates {
    pub fn new(store: Store, per_second: u32, first_pause: Duration) -> Self {
        let address = Arc::new(RateLimiter::new(per_second));
        Self { store, per_second, first_pause, accounts: Mutex::default(), address, keys: Mutex::default() }
    }

    /// The gate of every request made with a key to an address.
    pub fn limiter(&self, url: &str, api_key: &str) -> Arc<dyn retailcrm::Limiter> {
        let name = sha256_hex(format!("{url}|{api_key}").as_bytes());
        let mut accounts = self.accounts.lock().expect("never poisoned");
        let open = || {
            let rate = self.rate(api_key);
            Arc::new(Guarded::new(rate, self.store.clock.clone(), self.first_pause)) as Arc<dyn retailcrm::Limiter>
        };
        accounts.entry(name).or_insert_with(open).clone()
    }

    fn rate(&self, api_key: &str) -> Arc<dyn retailcrm::Limiter> {
        let name = sha256_hex(api_key.as_bytes())[..16].to_owned();
        let mut keys = self.keys.lock().expect("never poisoned");
        keys.entry(name).or_insert_with_key(|name| self.open(name)).clone()
    }

    fn open(&self, name: &str) -> Arc<dyn retailcrm::Limiter> {
        if self.store.db.dialect() == Dialect::Postgres {
            let window = |scope: String| Window::new(scope, self.per_second, SECOND / SLICES);
            return Arc::new(SharedLimiter {
                store: self.store.clone(),
                windows: [window("crm_address".to_owned()), window(format!("crm_key:{name}"))],
                // What a process does not use of a block is lost to the others: small ones, so that
                // many processes that ask for little do not use a limit up.
                block: (self.per_second / 200).max(1),
                waiting: AtomicU32::new(0),
                left: tokio::sync::Mutex::default(),
            });
        }
        Arc::new(BothLimiters(Arc::new(RateLimiter::new(self.per_second)), self.address.clone()))
    }
}

/// At most so many requests in any second, in one process.
pub struct RateLimiter {
    per_second: usize,
    recent: tokio::sync::Mutex<VecDeque<Instant>>,
}

impl RateLimiter {
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1) as usize, recent: tokio::sync::Mutex::default() }
    }

    /// Waits for its turn; turns are given in order.
    pub async fn pass(&self) {
        let mut recent = self.recent.lock().await;
        if recent.len() >= self.per_second
            && let Some(oldest) = recent.pop_front()
        {
            tokio::time::sleep_until(oldest + SECOND).await;
        }
        recent.push_back(Instant::now());
    }
}

struct BothLimiters(Arc<RateLimiter>, Arc<RateLimiter>);

impl retailcrm::Limiter for BothLimiters {
    fn pass(&self) -> BoxFuture<'_, ()> {
        async move {
            self.0.pass().await;
            self.1.pass().await;
        }
        .boxed()
    }
}

/// The same limits over all processes behind one address.
struct SharedLimiter {
    store: Store,
    windows: [Window; 2],
    block: u32,
    /// Who waits for a turn: for them a block is taken as large as that.
    waiting: AtomicU32,
    /// Requests taken and not made yet, and until when they count (UTC ms).
    left: tokio::sync::Mutex<(u32, i64)>,
}

/// One who waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn of(all: &'a AtomicU32) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl retailcrm::Limiter for SharedLimiter {
    fn pass(&self) -> BoxFuture<'_, ()> {
        async move {
            let waiting = Waiting::of(&self.waiting);
            let mut left = self.left.lock().await;
            drop(waiting);
            loop {
                let now = self.store.clock.now();
                if left.0 > 0 && now.as_millisecond() < left.1 {
                    left.0 -= 1;
                    return;
                }
                let block = self.block.max(self.waiting.load(Ordering::Relaxed).saturating_add(1));
                let pause = match self.store.take_budget(&self.windows, block, false).await {
                    Ok(Ok(taken)) => {
                        // What was taken at the very end of a slice is used all the same.
                        *left = (taken.count.saturating_sub(1), self.windows[0].slice_end(taken.at));
                        return;
                    }
                    Ok(Err(free_at)) => elapsed(now, free_at).clamp(Duration::from_millis(5), SECOND),
                    // The store is away: nothing can be recorded, so nothing is asked either.
                    Err(error) => {
                        waiting::on(|| format!("its turn at RetailCRM, counted in the database: {error}"));
                        SECOND
                    }
                };
                tokio::time::sleep(pause).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_its_share() {
        let limiter = RateLimiter::new(8);
        let begin = Instant::now();
        let mut passed = Vec::new();
        for _ in 0..30 {
            limiter.pass().await;
            passed.push(begin.elapsed());
        }
        for window in passed.windows(9) {
            assert!(window[8] - window[0] >= SECOND, "{window:?}");
        }
        assert_eq!(passed[7], Duration::ZERO, "a burst within the limit waits for nothing");
    }
}
