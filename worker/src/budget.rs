//! MeaSoft's fair-usage limits as a budget (measoft-api.md §5): one for our address, one
//! per account, shared by all workers through the store.
//!
//! Each limit is a sliding window of ten slices. A request is counted in the slice it is
//! made in, and is made only while the eleven slices that any such window can touch, and one
//! more for what arrives late, stay under the limit: the limit holds in *every* window, not
//! on average.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use shared::config::Budgets;
use shared::store::Store;
use shared::store::budgets::{SLICES, Window};
use shared::telemetry::metrics::BudgetScope;

/// Who may use what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Interactive,
    /// Leaves a fifth of each window to the interactive lane.
    Bulk,
}

/// Tokens taken from the store in one go and not used yet. Worth only in their own slices.
#[derive(Debug, Clone, Default)]
struct Block {
    left: u32,
    valid_until: i64,
}

/// The budget as one process sees it.
pub struct Budget {
    store: Store,
    address: Vec<Window>,
    per_account: Vec<Window>,
    blocks: Mutex<HashMap<String, Block>>,
}

/// How many requests a block holds at most.
const BLOCK: u32 = 5;

impl Budget {
    #[must_use]
    pub fn new(store: Store, limits: &Budgets) -> Self {
        let window = |scope: &str, limit: u32, seconds: u64| Window {
            scope: scope.to_owned(),
            limit,
            slice: Duration::from_secs(seconds) / SLICES / limits.time_scale,
        };
        Self {
            store,
            address: vec![
                window("ip_minute", limits.measoft_per_minute, 60),
                window("ip_20min", limits.measoft_per_20min, 1200),
            ],
            per_account: vec![window("account_hour", limits.measoft_account_per_hour, 3600)],
            blocks: Mutex::default(),
        }
    }

    /// The tightest of all windows, in requests a minute: what a status sync must fit in.
    #[must_use]
    pub fn sustained_per_minute(&self) -> u32 {
        self.address
            .iter()
            .map(|w| {
                u32::try_from(u64::from(w.limit) * 60_000 / (w.slice.as_millis() as u64 * u64::from(SLICES)))
                    .unwrap_or(1)
            })
            .min()
            .unwrap_or(1)
    }

    /// Takes one request's worth for an account.
    ///
    /// # Errors
    /// When there is nothing left: the moment something may be free again.
    pub async fn take(&self, account: &str, priority: Priority) -> Result<(), Timestamp> {
        let now = self.store.clock.now();
        if self.draw(account, now) {
            return Ok(());
        }
        let windows = self.windows(account);
        match self.store.take_budget(&windows, BLOCK, priority == Priority::Bulk).await {
            Ok(Ok(taken)) => {
                // A block outlives no slice: its tokens are counted in the one they were taken in.
                let valid_until = windows.iter().map(|w| w.slice_end(taken.at)).min().unwrap_or(0);
                let mut blocks = self.blocks.lock().expect("never poisoned: nothing panics under this lock");
                blocks.insert(account.to_owned(), Block { left: taken.count.saturating_sub(1), valid_until });
                Ok(())
            }
            Ok(Err(free_at)) => Err(free_at),
            // Without its store a worker records nothing either: it has to wait.
            Err(_) => Err(now + Duration::from_secs(1)),
        }
    }

    fn draw(&self, account: &str, now: Timestamp) -> bool {
        let mut blocks = self.blocks.lock().expect("never poisoned: nothing panics under this lock");
        match blocks.get_mut(account) {
            Some(block) if block.left > 0 && now.as_millisecond() < block.valid_until => {
                block.left -= 1;
                true
            }
            _ => false,
        }
    }

    fn windows(&self, account: &str) -> Vec<Window> {
        let mine = self.per_account.iter().map(|w| Window { scope: format!("{}:{account}", w.scope), ..w.clone() });
        self.address.iter().cloned().chain(mine).collect()
    }

    /// What is left of each window of our address, and of the account that has used most,
    /// for the metric.
    pub async fn left(&self) -> Vec<(BudgetScope, u32)> {
        let mut out = Vec::new();
        for (scope, window) in [BudgetScope::IpMinute, BudgetScope::Ip20Min].into_iter().zip(&self.address) {
            if let Ok(used) = self.store.budget_used(window).await {
                out.push((scope, window.limit.saturating_sub(used)));
            }
        }
        if let Some(window) = self.per_account.first()
            && let Ok(used) = self.store.budget_used_most(window).await
        {
            out.push((BudgetScope::AccountHour, window.limit.saturating_sub(used)));
        }
        out
    }
}
