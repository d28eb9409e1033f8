//! Which addresses the bridge may talk to as a CRM. The address comes from outside
//! (command line, registration, activity callback), and the answer's author would decide
//! where our requests go: this is the guard against that.

use std::fmt;

use ::url::{Host, Url};

use crate::allowed_hosts::{is_below, is_plain};

pub use crate::allowed_hosts::AllowedHosts;

/// Domains under which RetailCRM accounts live (protocols/retailcrm.md#accounts).
pub const DOMAINS: [&str; 6] =
    ["retailcrm.ru", "retailcrm.pro", "retailcrm.es", "simla.com", "ecomlogic.com", "retailcrm.io"];

/// The checked address of an account: scheme, host and perhaps a port, lower case, no slash
/// at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrmUrl {
    text: String,
    host: String,
}

impl CrmUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host without port; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of a method, each segment percent-encoded.
    pub(crate) fn method(&self, segments: &[&str]) -> Url {
        let mut url = Url::parse(&self.text).expect("a checked address parses");
        url.path_segments_mut().expect("http addresses have a path").clear().extend(segments);
        url
    }
}

impl fmt::Display for CrmUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an address is no CRM's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCrmUrl {
    #[error("the CRM address is empty; write it like https://my-shop.retailcrm.ru")]
    Empty,
    #[error("the CRM address must begin with https://")]
    NotHttps,
    #[error("the CRM address cannot be read; write it like https://my-shop.retailcrm.ru")]
    Unreadable,
    #[error("the CRM address must not hold a user name or password")]
    UserInfo,
    #[error("the CRM address must not hold a port")]
    Port,
    #[error("the CRM address must end after the host name: no path, no «?», no «#»")]
    MoreThanHost,
    #[error("the host of the CRM address is written in an unusual way; use plain lower-case Latin letters")]
    OddHost,
    #[error("«{host}» is not an address of RetailCRM; a CRM of your own must be named in CRM_ALLOWED_HOSTS")]
    ForeignHost { host: String },
}

/// Checks the address of an account: `https`, a sub-domain of one of [`DOMAINS`] or a host
/// of the list, and nothing after the host (one slash is forgiven). Hosts of the list may
/// have plain HTTP and a port.
///
/// # Errors
/// [`BadCrmUrl`] says in one sentence what is wrong.
pub fn check(url: &str, allowed: &AllowedHosts) -> Result<CrmUrl, BadCrmUrl> {
    let url = url.trim();
    if url.is_empty() {
        return Err(BadCrmUrl::Empty);
    }
    // The text is looked at before the parser has tidied it up: tabs, back-slashes, default
    // ports and odd spellings of addresses would be gone afterwards.
    if url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(BadCrmUrl::Unreadable);
    }
    let (scheme, rest) = url.split_once("://").ok_or(BadCrmUrl::NotHttps)?;
    let https = scheme.eq_ignore_ascii_case("https");
    if !https && !scheme.eq_ignore_ascii_case("http") {
        return Err(BadCrmUrl::NotHttps);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return Err(BadCrmUrl::UserInfo);
    }
    if !tail.is_empty() && tail != "/" {
        return Err(BadCrmUrl::MoreThanHost);
    }
    let (written_host, written_port) = split_port(authority);
    let parsed = Url::parse(url).map_err(|_| BadCrmUrl::Unreadable)?;
    let host = parsed.host().ok_or(BadCrmUrl::Unreadable)?;
    let normal = host.to_string();
    if normal != written_host.to_ascii_lowercase() {
        return Err(BadCrmUrl::OddHost);
    }
    if let Host::Domain(name) = &host
        && !is_plain(name)
    {
        return Err(BadCrmUrl::OddHost);
    }
    let listed = allowed.permits(&host);
    let official = matches!(&host, Host::Domain(name) if DOMAINS.iter().any(|domain| is_below(name, domain)));
    if !listed && !official {
        return Err(BadCrmUrl::ForeignHost { host: normal });
    }
    if !listed && !https {
        return Err(BadCrmUrl::NotHttps);
    }
    if !listed && written_port.is_some() {
        return Err(BadCrmUrl::Port);
    }
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    Ok(CrmUrl { text: format!("{}://{normal}{port}", parsed.scheme()), host: normal })
}

/// Splits `host:port`, minding the colons of IPv6.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].find(':') {
        Some(colon) => {
            let at = after_brackets + colon;
            (&authority[..at], Some(&authority[at + 1..]))
        }
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests;
