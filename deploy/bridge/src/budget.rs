//! `bridge budget`: who spends the vendors' limits, and on what.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use bridge_worker::vendor::budget::Budget;
use bridge_worker::vendor::held;
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::{Integration, IntegrationId, Language};
use shared::store::Store;
use shared::store::journal::Requests;
use shared::telemetry::metrics::BudgetScope;

use crate::args;
use crate::filters;
use crate::language::{language, of};
use crate::output::{Failure, Output, bold};
use crate::stdout::say;

/// An account at a vendor, and what was asked of it.
struct Account {
    vendor: String,
    /// As people know it.
    name: String,
    integrations: BTreeSet<IntegrationId>,
    /// By operation: how many, and how many of them failed.
    operations: BTreeMap<String, (i64, i64)>,
    /// Of MeaSoft's: window, limit, used now.
    windows: Vec<(BudgetScope, u32, u32)>,
}

pub async fn run(
    integration: Option<i64>,
    since: &str,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let since = args::since(since, store.clock.now()).map_err(Failure::Usage)?;
    let only = filters::integration(integration, store).await?;
    let all: BTreeMap<IntegrationId, Integration> =
        store.integrations().await?.into_iter().map(|found| (found.id, found)).collect();
    let requests = store.requests_since(since).await?;
    let asked = requests.iter().filter(|one| only.is_none_or(|id| id == one.integration));
    let mut accounts = by_account(asked, &all);
    let budget = Budget::new(store.clone(), &config.budgets);
    for (account, found) in accounts.iter_mut().filter(|(_, found)| found.vendor == "measoft") {
        found.windows = budget.used_by(account).await?;
    }
    let mut accounts: Vec<Account> = accounts.into_values().collect();
    accounts.sort_by_key(|account| std::cmp::Reverse(account.sums().0));
    let documents: Vec<Value> = accounts.iter().map(Account::document).collect();
    out.answer(&json!({ "since": since.to_string(), "accounts": documents }), || {
        let language = language();
        if accounts.is_empty() {
            say!("{}", of(language, "Запросов не было.", "Nothing was asked."));
        }
        accounts.iter().flat_map(|account| account.lines(language)).for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
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
    fn sums(&self) -> (i64, i64) {
        self.operations.values().fold((0, 0), |(all, bad), (number, failed)| (all + number, bad + failed))
    }

    /// The most frequent first.
    fn operations(&self) -> Vec<(&str, i64, i64)> {
        let mut all: Vec<(&str, i64, i64)> =
            self.operations.iter().map(|(op, (number, failed))| (op.as_str(), *number, *failed)).collect();
        all.sort_by_key(|(_, number, _)| std::cmp::Reverse(*number));
        all
    }

    fn document(&self) -> Value {
        let (requests, failed) = self.sums();
        let operations = self
            .operations()
            .into_iter()
            .map(|(op, requests, failed)| json!({ "op": op, "requests": requests, "failed": failed }));
        let windows = self
            .windows
            .iter()
            .map(|(scope, limit, used)| json!({ "window": scope.as_str(), "limit": limit, "used": used }));
        json!({
            "vendor": self.vendor, "account": self.name, "requests": requests, "failed": failed,
            "integrations": self.integrations.iter().map(|id| id.0).collect::<Vec<_>>(),
            "operations": operations.collect::<Vec<_>>(), "windows": windows.collect::<Vec<_>>(),
        })
    }

    fn lines(&self, language: Language) -> Vec<String> {
        let counted = |number: i64, failed: i64| match language {
            Language::Ru => format!("запросов: {number}, неудачных: {failed}"),
            Language::En => format!("{number} requests, {failed} failed"),
        };
        let (number, failed) = self.sums();
        let ids = self.integrations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let whose = of(language, "интеграции", "integrations");
        let head = format!("{} {} ({whose} {ids})", self.vendor, self.name);
        let mut lines = vec![format!("{}: {}", bold(&head), counted(number, failed))];
        lines.extend(
            self.operations().into_iter().map(|(op, number, failed)| format!("    {op}: {}", counted(number, failed))),
        );
        lines.extend(self.windows.iter().map(|(scope, limit, used)| {
            let name = match scope {
                BudgetScope::IpMinute => of(language, "за минуту с нашего адреса", "in a minute from our address"),
                BudgetScope::Ip20Min => of(language, "за 20 минут с нашего адреса", "in 20 minutes from our address"),
                BudgetScope::AccountHour => of(language, "за час учётной записью", "in an hour by the account"),
            };
            let (now, out_of) = (of(language, "сейчас", "now"), of(language, "из", "of"));
            format!("    {now} {name}: {used} {out_of} {limit}")
        }));
        lines
    }
}
