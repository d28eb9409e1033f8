//! `CRM_ALLOWED_HOSTS`: which hosts may be a CRM beside RetailCRM's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Host;

/// Hosts beside RetailCRM's own that an integration may use: for them plain HTTP, ports and
/// private addresses are permitted (`CRM_ALLOWED_HOSTS`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Allowed>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    /// The host itself and everything below it.
    Domain(String),
    /// Only what is below it: written with a leading dot.
    Below(String),
    Address(IpAddr),
}

/// An entry of `CRM_ALLOWED_HOSTS` that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{0}» is no host name or IP address (write hosts without scheme and port, separated by commas)")]
pub struct BadAllowedHost(pub String);

impl AllowedHosts {
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the text of `CRM_ALLOWED_HOSTS`.
    ///
    /// # Errors
    /// The first entry that is no host.
    pub fn parse(text: &str) -> Result<Self, BadAllowedHost> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| Allowed::parse(entry).ok_or_else(|| BadAllowedHost(entry.to_owned())))
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    pub(crate) fn permits(&self, host: &Host<&str>) -> bool {
        self.0.iter().any(|allowed| match (allowed, host) {
            (Allowed::Domain(domain), Host::Domain(host)) => host == domain || is_below(host, domain),
            (Allowed::Below(domain), Host::Domain(host)) => is_below(host, domain),
            (Allowed::Address(IpAddr::V4(allowed)), Host::Ipv4(host)) => allowed == host,
            (Allowed::Address(IpAddr::V6(allowed)), Host::Ipv6(host)) => allowed == host,
            _ => false,
        })
    }
}

impl FromStr for AllowedHosts {
    type Err = BadAllowedHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Allowed {
    fn parse(entry: &str) -> Option<Self> {
        if let Ok(address) = entry.parse::<Ipv4Addr>() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            return Some(Self::Address(IpAddr::V6(address)));
        }
        let (below, name) = match entry.strip_prefix('.') {
            Some(name) => (true, name),
            None => (false, entry),
        };
        let name = name.to_ascii_lowercase();
        // `1.2.3` or `0x7f.1` would be an address in disguise.
        let disguised = name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        if !is_plain(&name) || disguised {
            return None;
        }
        Some(if below { Self::Below(name) } else { Self::Domain(name) })
    }
}

/// A host name of plain labels, no dot at either end.
pub(crate) fn is_plain(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

pub(crate) fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_its_bad_entry() {
        assert_eq!(AllowedHosts::parse(""), Ok(AllowedHosts::none()));
        assert_eq!(AllowedHosts::parse(" , "), Ok(AllowedHosts::none()));
        for entry in [
            "http://x",
            "x:80",
            "127.0.0.1:80",
            "*",
            "*.x.ru",
            "a b",
            "магазин.рф",
            "1.2.3",
            "0x7f.1",
            "x/",
            "a..b",
            ".",
            "[::1",
        ] {
            assert_eq!(AllowedHosts::parse(&format!("ok.example,{entry}")), Err(BadAllowedHost(entry.into())));
        }
    }
}
