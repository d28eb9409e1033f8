//! Variables that look like ours and are not: nothing reads them, so a misspelt one is as good as
//! none.

use std::collections::BTreeSet;

use super::Source;
use crate::suggest;

/// A variable that nothing reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    pub name: String,
    pub did_you_mean: Option<String>,
}

impl std::fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: no setting has this name, so it is not read", self.name)?;
        match &self.did_you_mean {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => write!(f, "; deploy/SETTINGS.md lists those that are"),
        }
    }
}

/// First words that only settings of ours begin with. `LOG`, `DATA`, `RUST` and the like begin
/// many others', which are told only when they are a slip away from one of ours.
const OURS: [&str; 19] = [
    "AMQP",
    "BREAKER",
    "BRIDGE",
    "CALCULATE",
    "CALLBACK",
    "CONSOLE",
    "CRM",
    "DATABASE",
    "INGRESS",
    "LEASE",
    "MEASOFT",
    "MODULE",
    "OPS",
    "RETRY",
    "SETTLE",
    "SHUTDOWN",
    "SYNC",
    "TLS",
    "WORKER",
];
/// Of builds and images, not of a process.
const OF_BUILDS: [&str; 2] = ["BRIDGE_REVISION", "BRIDGE_VERSION"];
const UNITS: [&str; 4] = ["_S", "_MS", "_SECONDS", "_MINUTES"];

/// What Kubernetes puts into each container about a service that is called `ingress`.
fn is_of_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The variables that nothing reads and that look like one of `known`.
pub(super) fn unknown(source: &Source, known: &BTreeSet<String>) -> Vec<UnknownVariable> {
    let stem = |name: &str| UNITS.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name).to_owned();
    let look = |name: &str| {
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        if known.contains(name) || known.contains(plain) || OF_BUILDS.contains(&plain) || is_of_a_service(name) {
            return None;
        }
        let by_unit = known.iter().find(|known| stem(known) == stem(plain)).map(String::as_str);
        let slip = suggest::slip(plain, known.iter().map(String::as_str));
        let meant = by_unit.or(slip);
        let first = plain.split('_').next().unwrap_or_default();
        let begins = plain.contains('_') && OURS.contains(&first);
        if meant.is_none() && !begins {
            return None;
        }
        let meant = meant.or_else(|| suggest::nearest(plain, known.iter().map(String::as_str)));
        let file = if plain == name { "" } else { "_FILE" };
        Some(UnknownVariable { name: name.to_owned(), did_you_mean: meant.map(|meant| format!("{meant}{file}")) })
    };
    source.names().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Role, Source};

    fn warned(names: &[&str]) -> Vec<(String, Option<String>)> {
        let source = Source::from_pairs(names.iter().map(|name| (*name, "5")));
        let found = Config::unknown_variables(Role::Bridge, &source);
        found.into_iter().map(|unknown| (unknown.name, unknown.did_you_mean)).collect()
    }

    #[test]
    fn a_variable_that_looks_like_ours_is_told_with_the_one_that_was_meant() {
        for (name, meant) in [
            ("SYNC_INTERVALL_S", Some("SYNC_INTERVAL_S")),
            ("SYNC_INTERVAL", Some("SYNC_INTERVAL_S")),
            ("SYNC_INTERVAL_SECONDS", Some("SYNC_INTERVAL_S")),
            ("SETTLE_S", Some("SETTLE_MS")),
            ("DATABSE_URL", Some("DATABASE_URL")),
            ("DATADIR", Some("DATA_DIR")),
            ("PUBLIC_URI", Some("PUBLIC_URL")),
            ("AMPQ_URL_FILE", Some("AMQP_URL_FILE")),
            ("BRIDGE_KEY", None),
            ("WORKER_THREADS", None),
        ] {
            assert_eq!(warned(&[name]), [(name.to_owned(), meant.map(str::to_owned))], "{name}");
        }
    }

    #[test]
    fn what_is_read_and_what_is_others_is_not_told() {
        let others = [
            "SYNC_INTERVAL_S",
            "AMQP_URL_FILE",
            "RUST_LOG",
            "RUST_BACKTRACE",
            "LOG_LEVEL",
            "HOME",
            "PATH",
            "LANG",
            "DATA",
            "BRIDGE_VERSION",
            "INGRESS_SERVICE_HOST",
            "INGRESS_SERVICE_PORT_HTTP",
            "INGRESS_PORT",
            "INGRESS_PORT_80_TCP_ADDR",
        ];
        assert_eq!(warned(&others), []);
    }
}
