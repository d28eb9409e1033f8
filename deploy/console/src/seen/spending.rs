//! Who spends the vendors' limits: requests by account and operation, beside MeaSoft's windows.

use std::collections::{BTreeMap, BTreeSet};

use bridge_worker::vendor::budget::Budget;
use bridge_worker::vendor::held;
use jiff::Timestamp;
use shared::config::Budgets;
use shared::domain::{Integration, IntegrationId, Language};
use shared::store::journal::Requests;
use shared::store::{self, Store};
use shared::telemetry::metrics::BudgetScope;

use crate::seen::words::of;

/// An account at a vendor, and what was asked of it.
pub struct Account {
    pub vendor: String,
    /// As people know it.
    pub name: String,
    pub integrations: BTreeSet<IntegrationId>,
    /// By operation: how many, and how many of them failed.
    pub operations: BTreeMap<String, (i64, i64)>,
    /// Of MeaSoft's: window, limit, used now.
    pub windows: Vec<(BudgetScope, u32, u32)>,
}

/// Accounts that were asked since a moment, who was asked most first; only those of one
/// integration where it is named.
pub async fn accounts(
    only: Option<IntegrationId>,
    since: Timestamp,
    budgets: &Budgets,
    store: &Store,
) -> store::Result<Vec<Account>> {
    let all: BTreeMap<IntegrationId, Integration> =
        store.integrations().await?.into_iter().map(|found| (found.id, found)).collect();
    let requests = store.requests_since(since).await?;
    let asked = requests.iter().filter(|one| only.is_none_or(|id| id == one.integration));
    let mut accounts = by_account(asked, &all);
    let budget = Budget::new(store.clone(), budgets);
    for (account, found) in accounts.iter_mut().filter(|(_, found)| found.vendor == "measoft") {
        found.windows = budget.used_by(account).await?;
    }
    let mut accounts: Vec<Account> = accounts.into_values().collect();
    accounts.sort_by_key(|account| std::cmp::Reverse(account.sums().0));
    Ok(accounts)
}

/// Requests by whom they were made to; of an integration that was removed they are nobody's.
fn by_account<'a>(
    requests: impl Iterator<Item = &'a Requests>,
    all: &BTreeMap<IntegrationId, Integration>,
) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for one in requests {
        let Some(integration) = all.get(&one.integration) else { continue };
        let (account, name) = match one.vendor.as_str() {
            "measoft" => (integration.courier_account(), held::named(&integration.courier_account())),
            _ => (integration.crm_url.clone(), integration.crm_url.clone()),
        };
        let found = accounts.entry(account).or_insert_with(|| Account {
            vendor: one.vendor.clone(),
            name,
            integrations: BTreeSet::new(),
            operations: BTreeMap::new(),
            windows: Vec::new(),
        });
        found.integrations.insert(one.integration);
        let (number, failed) = found.operations.entry(one.op.clone()).or_default();
        *number += one.number;
        *failed += one.failed;
    }
    accounts
}

impl Account {
    /// All requests, and those that failed.
    pub fn sums(&self) -> (i64, i64) {
        self.operations.values().fold((0, 0), |(all, bad), (number, failed)| (all + number, bad + failed))
    }

    /// The most frequent first.
    pub fn operations(&self) -> Vec<(&str, i64, i64)> {
        let mut all: Vec<(&str, i64, i64)> =
            self.operations.iter().map(|(op, (number, failed))| (op.as_str(), *number, *failed)).collect();
        all.sort_by_key(|(_, number, _)| std::cmp::Reverse(*number));
        all
    }
}

/// What a window of MeaSoft's counts.
pub const fn window(scope: BudgetScope, language: Language) -> &'static str {
    match scope {
        BudgetScope::IpMinute => of(language, "за минуту с нашего адреса", "in a minute from our address"),
        BudgetScope::Ip20Min => of(language, "за 20 минут с нашего адреса", "in 20 minutes from our address"),
        BudgetScope::AccountHour => of(language, "за час учётной записью", "in an hour by the account"),
    }
}
