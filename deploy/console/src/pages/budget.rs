//! «Лимиты»: who spends the vendors' limits, and on what.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::domain::IntegrationId;

use crate::chart::percent;
use crate::pages::frame::{Choice, Frame, choices, titles};
use crate::seen::spending::{self, Account, window};
use crate::seen::told::operation;
use crate::seen::why::account as account_words;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Template)]
#[template(path = "budget.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    accounts: Vec<Spent>,
    csv_at: String,
}

struct Spent {
    vendor: &'static str,
    name: String,
    integrations: Vec<(i64, String)>,
    requests: i64,
    failed: i64,
    operations: Vec<Operation>,
    windows: Vec<Used>,
}

/// How much of a window is used.
struct Used {
    words: &'static str,
    used: u32,
    limit: u32,
    percent: u32,
    is_tight: bool,
}

/// From so many percent on it is worth a look.
const TIGHT: u32 = 80;

struct Operation {
    words: &'static str,
    code: String,
    requests: i64,
    failed: i64,
    /// Of the account's most frequent one, percent.
    share: i64,
}

async fn asked(visit: &Visit<'_>) -> Result<Vec<Account>, Stop> {
    let budgets = &visit.console.0.config.budgets;
    Ok(spending::accounts(visit.only().await?, visit.now() - DAY, budgets, visit.store()).await?)
}

fn vendor(account: &Account) -> &'static str {
    if account.vendor == "measoft" { "MeaSoft" } else { "RetailCRM" }
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let asked = asked(visit).await?;
    let titles = titles(visit, asked.iter().flat_map(|account| account.integrations.iter().copied()).collect()).await?;
    let title = |id: IntegrationId| titles.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let spent = |account: Account| {
        let (requests, failed) = account.sums();
        let most = account.operations().iter().map(|(_, number, _)| *number).max().unwrap_or(1).max(1);
        Spent {
            vendor: vendor(&account),
            integrations: account.integrations.iter().map(|id| (id.0, title(*id))).collect(),
            requests,
            failed,
            operations: account
                .operations()
                .into_iter()
                .map(|(op, requests, failed)| Operation {
                    words: operation(&account.vendor, op, visit.language),
                    code: op.to_owned(),
                    requests,
                    failed,
                    share: requests * 100 / most,
                })
                .collect(),
            windows: account
                .windows
                .iter()
                .map(|(scope, limit, used)| Used {
                    words: window(*scope, visit.language),
                    used: *used,
                    limit: *limit,
                    percent: percent(*used, *limit),
                    is_tight: percent(*used, *limit) >= TIGHT,
                })
                .collect(),
            name: account_words(&account.name, visit.language),
        }
    };
    let accounts = asked.into_iter().map(spent).collect();
    let csv_at = format!("/budget.csv{}", visit.query.query());
    let view = View { f: Frame::of(visit, "budget"), choices: choices(visit).await?, accounts, csv_at };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, accounts) = (visit.t(), asked(visit).await?);
    let heading = [t.account, t.operation, t.requests, t.failed];
    let mut lines = Vec::new();
    for account in &accounts {
        for (op, requests, failed) in account.operations() {
            let name = format!("{} {}", vendor(account), account_words(&account.name, visit.language));
            let op = operation(&account.vendor, op, visit.language);
            lines.push(vec![name, op.to_owned(), requests.to_string(), failed.to_string()]);
        }
    }
    Ok(csv::file("limits", &heading, &lines))
}
