//! `bridge budget`: who spends the vendors' limits, and on what.

use std::process::ExitCode;

use bridge_console::seen::spending::{self, Account, window};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::Language;
use shared::store::Store;

use crate::args;
use crate::filters;
use crate::language::{language, of};
use crate::output::{Failure, Output, bold};
use crate::stdout::say;

pub async fn run(
    integration: Option<i64>,
    since: &str,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let since = args::since(since, store.clock.now()).map_err(Failure::Usage)?;
    let only = filters::integration(integration, store).await?;
    let accounts = spending::accounts(only, since, &config.budgets, store).await?;
    let documents: Vec<Value> = accounts.iter().map(document).collect();
    out.answer(&json!({ "since": since.to_string(), "accounts": documents }), || {
        let language = language();
        if accounts.is_empty() {
            say!("{}", of(language, "Запросов не было.", "Nothing was asked."));
        }
        accounts.iter().flat_map(|account| lines(account, language)).for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
}

fn document(account: &Account) -> Value {
    let (requests, failed) = account.sums();
    let operations = account
        .operations()
        .into_iter()
        .map(|(op, requests, failed)| json!({ "op": op, "requests": requests, "failed": failed }));
    let windows = account
        .windows
        .iter()
        .map(|(scope, limit, used)| json!({ "window": scope.as_str(), "limit": limit, "used": used }));
    json!({
        "vendor": account.vendor, "account": account.name, "requests": requests, "failed": failed,
        "integrations": account.integrations.iter().map(|id| id.0).collect::<Vec<_>>(),
        "operations": operations.collect::<Vec<_>>(), "windows": windows.collect::<Vec<_>>(),
    })
}

fn lines(account: &Account, language: Language) -> Vec<String> {
    let counted = |number: i64, failed: i64| match language {
        Language::Ru => format!("запросов: {number}, неудачных: {failed}"),
        Language::En => format!("{number} requests, {failed} failed"),
    };
    let (number, failed) = account.sums();
    let ids = account.integrations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let whose = of(language, "интеграции", "integrations");
    let head = format!("{} {} ({whose} {ids})", account.vendor, account.name);
    let mut lines = vec![format!("{}: {}", bold(&head), counted(number, failed))];
    lines.extend(
        account.operations().into_iter().map(|(op, number, failed)| format!("    {op}: {}", counted(number, failed))),
    );
    lines.extend(account.windows.iter().map(|(scope, limit, used)| {
        let name = window(*scope, language);
        let (now, out_of) = (of(language, "сейчас", "now"), of(language, "из", "of"));
        format!("    {now} {name}: {used} {out_of} {limit}")
    }));
    lines
}
