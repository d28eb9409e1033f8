//! `bridge doctor`: what is wrong with an installation, and what to do about each thing.
//!
//! Every area has facts (what was found out), a pure judgement of them, and a thin shell
//! that gathers them.

mod broker;
mod causes;
mod clock;
mod cluster;
mod in_use;
mod integration;
mod references;
mod say;
mod setup;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod towns;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::domain::Integration;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use self::causes::numbers;
use crate::args::Doctor;
use crate::filters;
use crate::output::{Failure, Output, Progress, bold, dim, green, red, yellow};
use crate::stdout::say;

/// Integrations looked at side by side: each waits for two vendors.
const AT_ONCE: usize = 16;
/// How long a vendor may take to answer. A worker waits longer; who looks for what is wrong has
/// found it by then.
const PATIENCE: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    Config,
    Store,
    Broker,
    Integration,
    Clock,
}

impl Area {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Store => "store",
            Self::Broker => "broker",
            Self::Integration => "integration",
            Self::Clock => "clock",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub area: Area,
    /// Whose it is, when it is one integration's.
    pub integration: Option<i64>,
    pub what: String,
    /// What to do; empty when all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(area: Area, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, area, integration: None, what: what.into(), remedy: String::new() }
    }

    fn warning(area: Area, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, area, integration: None, what: what.into(), remedy: remedy.into() }
    }

    fn error(area: Area, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, area, integration: None, what: what.into(), remedy: remedy.into() }
    }

    fn document(&self) -> Value {
        json!({
            "level": self.level.as_str(), "area": self.area.as_str(), "integration": self.integration,
            "what": self.what, "remedy": self.remedy,
        })
    }
}

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
    out.answer(&Value::Array(findings.iter().map(Finding::document).collect()), || {
        lines(&findings).iter().for_each(|line| say!("{line}"));
    });
    Ok(if worst == Level::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The findings for people. Of several integrations, what they have in common is said once.
fn lines(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let one = |level: Level, what: &str, remedy: &str| {
        let mark = match level {
            Level::Ok => green("ok   "),
            Level::Warning => yellow("warn "),
            Level::Error => red("error"),
        };
        let remedy = (!remedy.is_empty()).then(|| format!("        {} {remedy}", dim("→")));
        [Some(format!("  {mark} {what}")), remedy].into_iter().flatten().collect::<Vec<_>>()
    };
    let of_integrations: BTreeSet<i64> = findings.iter().filter_map(|finding| finding.integration).collect();
    let several = of_integrations.len() > 1;
    let mut last = None;
    for finding in findings.iter().filter(|f| !(several && f.area == Area::Integration && f.integration.is_some())) {
        let heading = match finding.integration {
            Some(id) => format!("{} {id}", finding.area.as_str()),
            None => finding.area.as_str().to_owned(),
        };
        if last.as_ref() != Some(&heading) {
            lines.push(bold(&heading));
            last = Some(heading);
        }
        lines.extend(one(finding.level, &finding.what, &finding.remedy));
    }
    if several {
        let (causes, good) = causes::causes(findings);
        lines.push(bold(&format!("{} integrations", of_integrations.len())));
        for cause in &causes {
            let whose = numbers(&cause.integrations);
            let finding = cause.finding;
            let what = match (cause.alike, finding.integration) {
                (false, Some(first)) => format!("[{whose}] {} (so of {first}; alike of the others)", finding.what),
                _ => format!("[{whose}] {}", finding.what),
            };
            lines.extend(one(finding.level, &what, &finding.remedy));
        }
        if good > 0 {
            let what = format!("{good} other things are well; `bridge doctor ID` lists those of one");
            lines.extend(one(Level::Ok, &what, ""));
        }
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    lines.push(match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => green("Everything looks well."),
        (errors, warnings) => format!("{errors} error(s), {warnings} warning(s)."),
    });
    lines
}

/// All findings, in the order of the areas.
///
/// # Errors
/// When the integration asked for does not exist.
pub async fn examine(
    id: Option<i64>,
    config: &Config,
    clock: Clock,
    progress: &Progress,
) -> Result<Vec<Finding>, Failure> {
    progress.say("looking at the settings");
    let mut findings = setup::judge(&setup::gather(config));
    progress.say("looking at the database");
    let (facts, open) = store::gather(config, clock.clone()).await;
    findings.extend(store::judge(&facts, clock.now()));
    if let Some(url) = &config.amqp_url {
        progress.say("looking at the broker");
        let broker = broker::gather(config, url).await;
        findings.extend(broker::judge(&broker));
        // A broker that lets nobody in says nothing of its nodes.
        if broker.is_connected() {
            let base = config.amqp_management_url.as_deref();
            let cluster = cluster::gather(url, base, &config.amqp_prefix).await;
            findings.extend(cluster.iter().flat_map(|facts| cluster::judge(facts, &config.amqp_prefix)));
        }
    }
    // Without the ledger nobody knows the integrations.
    let Some(store) = open else { return Ok(findings) };
    let all = store.integrations().await?;
    let wanted: Vec<&Integration> = match id {
        None => all.iter().collect(),
        Some(id) => match all.iter().find(|i| i.id.0 == id) {
            Some(found) => vec![found],
            None => return Err(filters::no_integration(id, &store).await),
        },
    };
    if all.is_empty() {
        let what = "there is no integration yet";
        findings.push(Finding::warning(
            Area::Integration,
            what,
            "add one with `bridge integration add` (`--help` shows what it needs)",
        ));
    }
    let journal = Journal::start(store.clone());
    let clients =
        bridge_worker::vendor::connect::Clients::new(config, store.clone(), journal.clone(), Arc::new(Metrics::new()));
    // An unreadable CRM_ALLOWED_HOSTS is among the findings of the settings.
    let Ok(clients) = clients.map(|clients| clients.within(PATIENCE)) else { return Ok(findings) };
    let mut looks = futures_util::stream::iter(wanted.iter().map(|wanted| async {
        let (facts, clock) = tokio::join!(
            integration::gather(wanted, &all, config, &store, &clients),
            clock::gather(wanted, config, &store.clock),
        );
        (integration::judge(&facts), clock)
    }))
    .buffered(AT_ONCE);
    let mut clocks: Vec<_> = clock::gather_database(&store, config, &store.clock).await.into_iter().collect();
    let mut done = 0;
    progress.say(&format!("asking both vendors, 0 of {} integrations", wanted.len()));
    while let Some((found, clock)) = looks.next().await {
        done += 1;
        progress.say(&format!("asking both vendors, {done} of {} integrations", wanted.len()));
        findings.extend(found);
        clocks.extend(clock);
    }
    findings.extend(clock::judge(&clocks));
    journal.flush().await;
    Ok(findings)
}
