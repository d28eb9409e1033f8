//! Our clock against the database's and the vendors' `Date` headers.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::Clock;
use shared::config::{Config, Database, is_safe_url};
use shared::domain::Integration;
use shared::retailcrm::{AllowedHosts, check};
use shared::store::Store;
use url::Url;

use crate::doctor::finding::{Area, Finding, Findings, tell};

/// More than this and due times, status moments and look-ups by date go wrong.
const MOST: i64 = 60;
const LIMIT: Duration = Duration::from_secs(5);

/// One reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose clock it is.
    pub vendor: &'static str,
    pub host: String,
    pub ours: Timestamp,
    pub theirs: Timestamp,
}

/// Reads both vendors' clocks; who does not answer or tells no time is left out.
pub async fn gather(integration: &Integration, config: &Config, clock: &Clock) -> Vec<Facts> {
    let client = shared::http::client(&config.tls).timeout(LIMIT).build();
    let Ok(client) = client else { return Vec::new() };
    let mut addresses = Vec::new();
    if is_safe_url(&integration.measoft_url) {
        addresses.push(("MeaSoft", integration.measoft_url.clone()));
    }
    let allowed = AllowedHosts::parse(&config.crm_allowed_hosts).unwrap_or_default();
    if let Ok(url) = check(&integration.crm_url, &allowed) {
        addresses.push(("RetailCRM", format!("{url}/api/system-info")));
    }
    let asked = addresses.iter().map(|(vendor, address)| ask(&client, clock, vendor, address));
    futures_util::future::join_all(asked).await.into_iter().flatten().collect()
}

async fn ask(client: &reqwest::Client, clock: &Clock, vendor: &'static str, address: &str) -> Option<Facts> {
    let before = clock.now();
    // Answered by whatever stands in front, without a login and whatever the status.
    let answer = client.head(address).send().await.ok()?;
    let ours = clock.now();
    let middle = before.checked_add(ours.duration_since(before) / 2).unwrap_or(ours);
    let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok())?;
    let host = Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    Some(Facts { vendor, host, ours: middle, theirs: theirs.timestamp() })
}

/// Reads the clock of PostgreSQL: leases, queues and statements on several machines meet there.
/// SQLite has none of its own.
pub async fn gather_database(store: &Store, config: &Config, clock: &Clock) -> Option<Facts> {
    let Database::Postgres(url) = &config.database else { return None };
    let before = clock.now();
    let theirs = tokio::time::timeout(LIMIT, store.db.server_clock()).await.ok()?.ok()??;
    let ours = clock.now();
    let middle = before.checked_add(ours.duration_since(before) / 2).unwrap_or(ours);
    let host = Url::parse(url.expose()).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    Some(Facts { vendor: "PostgreSQL", host, ours: middle, theirs })
}

pub fn judge(facts: &[Facts]) -> Vec<Finding> {
    let mut say = Findings::of(Area::Clock);
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for Facts { vendor, host, ours, theirs } in facts {
        if seen.contains(&(vendor, host.as_str())) {
            continue;
        }
        seen.push((vendor, host));
        let ahead = ours.duration_since(*theirs).as_secs();
        if ahead.abs() > MOST {
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            tell!(say, Error: "this machine's clock is {} s {direction} {vendor}'s ({host})", ahead.abs()
                => "switch time synchronisation on (`timedatectl set-ntp true`, or chrony) on every machine that runs a role");
        } else {
            tell!(say, Ok: "this machine's clock agrees with {vendor}'s ({host})");
        }
    }
    say.all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_machine_that_is_off_is_told_against_each_clock_once() {
        let theirs = Timestamp::UNIX_EPOCH;
        let at = |vendor, host: &str, ahead: i64| {
            let ours = theirs.checked_add(jiff::SignedDuration::from_secs(ahead)).expect("a moment");
            Facts { vendor, host: host.to_owned(), ours, theirs }
        };
        let facts =
            [at("PostgreSQL", "db", 90), at("PostgreSQL", "db", 90), at("MeaSoft", "a", -59), at("MeaSoft", "b", -61)];
        let found = judge(&facts);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Error, Level::Ok, Level::Error]);
        assert!(found[0].what.contains("90 s ahead of PostgreSQL's (db)"), "{}", found[0].what);
        assert!(found[2].what.contains("61 s behind MeaSoft's (b)"), "{}", found[2].what);
    }
}
