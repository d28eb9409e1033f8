//! Certificates that the settings name: until when they are good, who may read the key, and whether
//! the database's is looked at. A file that is of no use is refused with the settings.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use shared::config::{Config, Database};
use shared::tls::{Certificate, certificates};
use url::Url;

use crate::doctor::finding::{Area, Finding, Findings, tell};
use crate::doctor::setup::mode;

/// One that ends before is told beforehand.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By setting and file; those of authorities first.
    pub files: Vec<(&'static str, String, Vec<Certificate>)>,
    /// `TLS_KEY_FILE`, and its permission bits when everybody may read it.
    pub open_key: Option<(String, u32)>,
    /// Authorities are named, and `DATABASE_URL` does not ask that anybody looks.
    pub database_unverified: bool,
}

pub fn gather(config: &Config) -> Facts {
    let named = [
        ("TLS_CA_FILE", config.tls.authorities.as_ref().map(|authorities| &authorities.file)),
        ("TLS_CERT_FILE", config.tls.identity.as_ref().map(|own| &own.certificate)),
    ];
    let read = |(name, file): (&'static str, Option<&PathBuf>)| {
        let file = file?;
        Some((name, file.display().to_string(), certificates(file).ok()?))
    };
    let key = config.tls.identity.as_ref().map(|own| &own.key);
    Facts {
        files: named.into_iter().filter_map(read).collect(),
        open_key: key.and_then(|key| Some((key.display().to_string(), mode(key).filter(|mode| mode & 0o007 != 0)?))),
        database_unverified: config.tls.authorities.is_some() && is_unverified(&config.database),
    }
}

/// A server's certificate is looked at only when its URL says so.
fn is_unverified(database: &Database) -> bool {
    let Database::Postgres(url) = database else { return false };
    let Ok(url) = Url::parse(url.expose()) else { return false };
    let value = |names: &[&str]| url.query_pairs().filter(|(name, _)| names.contains(&&**name)).last();
    let is_local =
        url.host_str().is_none_or(str::is_empty) || value(&["host"]).is_some_and(|(_, at)| at.starts_with('/'));
    let verifies =
        value(&["sslmode", "ssl-mode"]).is_some_and(|(_, mode)| mode.to_ascii_lowercase().starts_with("verify"));
    !is_local && !verifies
}

pub fn judge(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut say = Findings::of(Area::Config);
    for (setting, file, found) in &facts.files {
        let before = say.all.len();
        for Certificate { subject, until } in found {
            let left = until.duration_since(now);
            if left.is_negative() && *setting == "TLS_CERT_FILE" {
                tell!(say, Error: "{setting}: the certificate of {subject} in {file} expired at {until}: no server accepts it"
                    => "have it renewed and put it and its key in place; the next connection takes them");
            } else if left.is_negative() {
                tell!(say, Warning: "{setting}: the authority {subject} in {file} expired at {until}"
                    => "put the certificate of the authority that signs now into the file and restart");
            } else if left < SOON {
                tell!(say, Warning: "{setting}: the certificate of {subject} in {file} is good until {until} only"
                    => "have it renewed before; another authority is taken at a start, a certificate of ours with the next connection");
            }
        }
        if say.all.len() == before {
            let first = found.iter().map(|certificate| certificate.until).min().unwrap_or(now);
            tell!(say, Ok: "{setting}: {} certificate(s) in {file}, good until {first}", found.len());
        }
    }
    if let Some((file, mode)) = &facts.open_key {
        tell!(say, Error: "everybody may read the key {file} (mode {mode:04o})" => "run `chmod 600 {file}`");
    }
    if facts.database_unverified {
        tell!(say, Warning: "TLS_CA_FILE is set, and DATABASE_URL does not ask that the server's certificate is looked at"
            => "add sslmode=verify-full to DATABASE_URL");
    }
    say.all
}

#[cfg(test)]
mod tests {
    use shared::config::{Role, Source};

    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_certificate_is_told_before_it_ends_and_after() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |days: i64| Certificate {
            subject: "CN=x".to_owned(),
            until: now.checked_add(SignedDuration::from_hours(24 * days)).expect("a moment"),
        };
        let levels = |setting: &'static str, days: &[i64]| {
            let files = vec![(setting, "/x".to_owned(), days.iter().map(|days| at(*days)).collect())];
            let found = judge(&Facts { files, ..Facts::default() }, now);
            found.into_iter().map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(levels("TLS_CA_FILE", &[365, 90]), [Level::Ok]);
        assert_eq!(levels("TLS_CA_FILE", &[365, -1, 29]), [Level::Warning, Level::Warning]);
        assert_eq!(levels("TLS_CERT_FILE", &[-1]), [Level::Error]);
        assert_eq!(judge(&Facts::default(), now), []);
    }

    #[test]
    fn a_database_whose_certificate_nobody_looks_at_is_told() {
        for (url, told) in [
            ("postgres://h/x", true),
            ("postgres://h/x?sslmode=require", true),
            ("postgres://h/x?sslmode=verify-full", false),
            ("postgres://h/x?ssl-mode=VERIFY-CA", false),
            ("postgres:///x?host=/run/postgresql", false),
            ("sqlite://x.db", false),
        ] {
            let config = Config::read(Role::Bridge, &Source::from_pairs([("DATABASE_URL", url)])).expect("settings");
            assert_eq!(is_unverified(&config.database), told, "{url}");
        }
    }
}
