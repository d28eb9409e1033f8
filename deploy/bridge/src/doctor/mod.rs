//! `bridge doctor`: what is wrong with an installation, and what to do about each thing.
//!
//! Every area has facts (what was found out), a pure judgement of them, and a thin shell
//! that gathers them.

mod broker;
mod causes;
mod certificates;
mod clock;
mod cluster;
pub(crate) mod finding;
mod integration;
mod lines;
mod setup;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bridge_worker::vendor::connect::Clients;
use futures_util::StreamExt as _;
use serde_json::json;
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::domain::Integration;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use crate::args::Doctor;
use crate::doctor::finding::{Area, Finding, Findings, Level, tell};
use crate::filters;
use crate::output::{Failure, Output, Progress};
use crate::stdout::say;

/// Integrations looked at side by side: each waits for two vendors.
const AT_ONCE: usize = 16;
/// How long a vendor may take to answer. A worker waits longer; who looks for what is wrong has
/// found it by then.
const PATIENCE: Duration = Duration::from_secs(6);

/// Looks at everything, or at one integration and what all of them stand on. Exit code 0
/// only when nothing is to be done.
pub async fn run(args: &Doctor, config: &Config, source: &Source, out: &Output) -> Result<ExitCode, Failure> {
    let progress = Progress::new(out);
    let mut findings = setup::judge_variables(&Config::unknown_variables(config.role, source));
    findings.extend(examine(args.id, config, Clock::system(), &progress).await?);
    progress.clear();
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::Ok);
    if args.bad_only {
        findings.retain(|finding| finding.level != Level::Ok);
    }
    out.answer(&json!(findings), || lines::lines(&findings).iter().for_each(|line| say!("{line}")));
    Ok(if worst == Level::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All findings, in the order of the areas.
pub async fn examine(
    id: Option<i64>,
    config: &Config,
    clock: Clock,
    progress: &Progress,
) -> Result<Vec<Finding>, Failure> {
    progress.say("looking at the settings");
    let mut findings = setup::judge(&setup::gather(config));
    findings.extend(certificates::judge(&certificates::gather(config), clock.now()));
    progress.say("looking at the database");
    let (facts, open) = store::gather(config, clock.clone()).await;
    findings.extend(store::judge(&facts, clock.now()));
    if let Some(url) = &config.amqp_url {
        progress.say("looking at the broker");
        let broker = broker::gather(config, url).await;
        findings.extend(broker::judge(&broker));
        // A broker that lets nobody in says nothing of its nodes.
        if broker.is_connected() {
            let cluster = cluster::gather(url, config).await;
            findings.extend(cluster.iter().flat_map(|facts| cluster::judge(facts, &config.amqp_prefix)));
        }
    }
    // Without the ledger nobody knows the integrations.
    if let Some(store) = open {
        findings.extend(integrations(id, config, &store, progress).await?);
    }
    Ok(findings)
}

/// Findings of the integrations, and of the clocks that were read on the way.
async fn integrations(
    id: Option<i64>,
    config: &Config,
    store: &Store,
    progress: &Progress,
) -> Result<Vec<Finding>, Failure> {
    let all = store.integrations().await?;
    let wanted: Vec<&Integration> = all.iter().filter(|i| id.is_none_or(|id| i.id.0 == id)).collect();
    if let Some(id) = id.filter(|_| wanted.is_empty()) {
        return Err(filters::no_integration(id, store).await);
    }
    let mut say = Findings::of(Area::Integration);
    if all.is_empty() {
        tell!(say, Warning: "there is no integration yet"
            => "add one with `bridge integration add` (`--help` shows what it needs)");
    }
    let journal = Journal::start(store.clone());
    let clients = Clients::new(config, store.clone(), journal.clone(), Arc::new(Metrics::new()));
    // An unreadable CRM_ALLOWED_HOSTS is among the findings of the settings.
    let Ok(clients) = clients.map(|clients| clients.within(PATIENCE)) else { return Ok(say.all) };
    let mut looks = futures_util::stream::iter(wanted.iter().map(|wanted| async {
        let (facts, clock) = tokio::join!(
            integration::facts::gather(wanted, &all, config, store, &clients),
            clock::gather(wanted, config, &store.clock),
        );
        (integration::judge(&facts), clock)
    }))
    .buffered(AT_ONCE);
    let mut clocks: Vec<_> = clock::gather_database(store, config, &store.clock).await.into_iter().collect();
    let mut done = 0;
    progress.say(&format!("asking both vendors, 0 of {} integrations", wanted.len()));
    while let Some((found, clock)) = looks.next().await {
        done += 1;
        progress.say(&format!("asking both vendors, {done} of {} integrations", wanted.len()));
        say.all.extend(found);
        clocks.extend(clock);
    }
    journal.flush().await;
    Ok([say.all, clock::judge(&clocks)].concat())
}
