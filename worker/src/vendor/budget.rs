//! MeaSoft's fair-usage limits as a budget (protocols/measoft.md#limits): one for our address at
//! each server of MeaSoft, one per account, shared by all workers through the store. Accounts at
//! one server share its budget, and none can use the others' part up.
//!
//! Each limit is a sliding window of ten slices. A request is counted in the slice it is
//! made in, and is made only while the eleven slices that any such window can touch, and one
//! more for what arrives late, stay under the limit: the limit holds in *every* window, not
//! on average.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use shared::config::Budgets;
use shared::store::budgets::{SHARED_BY, SLICES, Window};
use shared::store::{self, Store};
use shared::telemetry::metrics::BudgetScope;
use url::{Host, Url};

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
    /// By account. Who finds one empty fills it, and whoever comes meanwhile waits for that: filled
    /// by several at once, tokens would be counted that nobody uses.
    blocks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Block>>>>,
}

/// What the windows are called, in their order.
const SCOPES: [BudgetScope; 3] = [BudgetScope::IpMinute, BudgetScope::Ip20Min, BudgetScope::AccountHour];

/// How many requests a block holds at most.
const BLOCK: u32 = 5;

impl Budget {
    pub fn new(store: Store, limits: &Budgets) -> Self {
        let window = |scope: &str, limit: u32, seconds: u64| {
            Window::new(scope.to_owned(), limit, Duration::from_secs(seconds) / SLICES / limits.time_scale)
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
    /// `Err`: when there is nothing left: the moment something may be free again.
    pub async fn take(&self, account: &str, priority: Priority) -> Result<(), Timestamp> {
        let block = self.blocks.lock().expect("never poisoned").entry(account.to_owned()).or_default().clone();
        let mut block = block.lock().await;
        let now = self.store.clock.now();
        if block.left > 0 && now.as_millisecond() < block.valid_until {
            block.left -= 1;
            return Ok(());
        }
        let windows = self.windows(account);
        match self.store.take_budget(&windows, BLOCK, priority == Priority::Bulk).await {
            Ok(Ok(taken)) => {
                // A block outlives no slice: its tokens are counted in the one they were taken in.
                let valid_until = windows.iter().map(|w| w.slice_end(taken.at)).min().unwrap_or(0);
                *block = Block { left: taken.count.saturating_sub(1), valid_until };
                Ok(())
            }
            Ok(Err(free_at)) => Err(free_at),
            // Without its store a worker records nothing either: it has to wait.
            Err(_) => Err(now + Duration::from_secs(1)),
        }
    }

    fn windows(&self, account: &str) -> Vec<Window> {
        let server = server_of(account);
        let of_server = |w: &Window| Window {
            share: Some(format!("share_{}:{server}{SHARED_BY}{account}", w.scope)),
            ..Window::new(format!("{}:{server}", w.scope), w.limit, w.slice)
        };
        let mine = |w: &Window| Window::new(format!("{}:{account}", w.scope), w.limit, w.slice);
        self.address.iter().map(of_server).chain(self.per_account.iter().map(mine)).collect()
    }

    /// How much of each window an account has now, its server's first: name, limit, used.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn used_by(&self, account: &str) -> store::Result<Vec<(BudgetScope, u32, u32)>> {
        let windows = self.windows(account);
        let mut out = Vec::new();
        for (scope, window) in SCOPES.into_iter().zip(&windows) {
            out.push((scope, window.limit, self.store.budget_used(window).await?));
        }
        Ok(out)
    }

    /// What is left of each window at the server, and of the account, that has used most, for
    /// the metric.
    pub async fn left(&self) -> Vec<(BudgetScope, u32)> {
        let windows: Vec<&Window> = self.address.iter().chain(&self.per_account).collect();
        let Ok(used) = self.store.budget_used_most(&windows).await else { return Vec::new() };
        let left = windows.iter().zip(used).map(|(window, used)| window.limit.saturating_sub(used));
        SCOPES.into_iter().zip(left).collect()
    }
}

/// Whose limit it is: the last two labels of an account's host, since a vendor may answer under
/// several names, and counts what comes from one address under all of them.
fn server_of(account: &str) -> String {
    let url = account.split('|').next().unwrap_or_default();
    let Some(host) = Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned())) else {
        return url.to_owned();
    };
    match host {
        Host::Domain(name) => {
            let labels: Vec<&str> = name.rsplitn(3, '.').take(2).collect();
            labels.into_iter().rev().collect::<Vec<_>>().join(".")
        }
        // Servers of one machine are told apart by their ports.
        address => Url::parse(url)
            .ok()
            .and_then(|url| url.port())
            .map_or(address.to_string(), |port| format!("{address}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_vendor_s_domain_or_its_address() {
        for (account, server) in [
            ("https://home.courierexe.ru/api/|8|login", "courierexe.ru"),
            ("https://www.courierexe.ru:8443/api/|9|login", "courierexe.ru"),
            ("https://courier.example/api/|9|login", "courier.example"),
            ("http://127.0.0.1:18080/|9|login", "127.0.0.1:18080"),
            ("http://127.0.0.1/|9|login", "127.0.0.1"),
            ("http://[::1]:8080/|9|login", "[::1]:8080"),
            ("http://localhost:8080/|9|login", "localhost"),
            ("nothing|9|login", "nothing"),
        ] {
            assert_eq!(server_of(account), server, "{account}");
        }
    }
}
