//! Which addresses the bridge may talk to as a CRM. The address comes from outside
//! (command line, registration, activity callback), and the answer's author would decide
//! where our requests go: this is the guard against that.

use std::fmt;

use ::url::{Host, Url};

use crate::allowed_hosts::{is_below, is_plain};

pub use crate::allowed_hosts::AllowedHosts;

/// Domains under which RetailCRM accounts live (retailcrm-api.md A.1).
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
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host without port; IPv6 in brackets.
    #[must_use]
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn official(url: &str) -> Result<String, BadCrmUrl> {
        check(url, &AllowedHosts::none()).map(|url| url.to_string())
    }

    fn with(allowed: &str, url: &str) -> Result<String, BadCrmUrl> {
        check(url, &AllowedHosts::parse(allowed).expect("a list")).map(|url| url.to_string())
    }

    #[test]
    fn accounts_of_every_domain_pass() {
        for domain in DOMAINS {
            let url = format!("https://my-shop1.{domain}");
            assert_eq!(official(&url), Ok(url.clone()));
        }
        assert_eq!(official(" https://Demo-Shop.RetailCRM.ru/ "), Ok("https://demo-shop.retailcrm.ru".into()));
        assert_eq!(official("HTTPS://a.b.retailcrm.pro"), Ok("https://a.b.retailcrm.pro".into()));
    }

    #[test]
    fn look_alikes_are_foreign() {
        for url in [
            "https://retailcrm.ru.evil.com",
            "https://evilretailcrm.ru",
            "https://shop.evilretailcrm.ru",
            "https://shop-retailcrm.ru",
            "https://retailcrm.ru",
            "https://simla.com",
            "https://shop.retailcrm.com",
            "https://shop.retailcrm.ru.",
            "https://shop..retailcrm.ru",
            "https://.retailcrm.ru",
            "https://localhost",
            "https://example.org",
            "https://-.retailcrm.ru",
        ] {
            let error = official(url).expect_err(url);
            assert!(
                matches!(error, BadCrmUrl::ForeignHost { .. } | BadCrmUrl::OddHost | BadCrmUrl::Unreadable),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn user_info_never_hides_the_host() {
        for url in [
            "https://user@shop.retailcrm.ru",
            "https://user:pass@shop.retailcrm.ru",
            "https://shop.retailcrm.ru@evil.com",
            "https://shop.retailcrm.ru:443@evil.com",
            "https://evil.com@shop.retailcrm.ru",
            "https://@shop.retailcrm.ru",
        ] {
            assert_eq!(official(url), Err(BadCrmUrl::UserInfo), "{url}");
        }
        for url in [
            "https://evil.com\\@shop.retailcrm.ru",
            "https://evil.com\\.retailcrm.ru",
            "https:\\\\shop.retailcrm.ru",
            "https://evil.com\t.retailcrm.ru",
            "https://evil.com\n.retailcrm.ru",
            "https://ev il.retailcrm.ru",
        ] {
            assert_eq!(official(url), Err(BadCrmUrl::Unreadable), "{url}");
        }
    }

    #[test]
    fn nothing_follows_the_host() {
        for url in [
            "https://shop.retailcrm.ru/api",
            "https://shop.retailcrm.ru//",
            "https://shop.retailcrm.ru/?x=1",
            "https://shop.retailcrm.ru?x",
            "https://shop.retailcrm.ru#x",
            "https://evil.com/.retailcrm.ru",
            "https://evil.com#.retailcrm.ru",
            "https://evil.com?.retailcrm.ru",
            "https://shop.retailcrm.ru/..",
        ] {
            assert_eq!(official(url), Err(BadCrmUrl::MoreThanHost), "{url}");
        }
    }

    #[test]
    fn schemes_and_ports() {
        for url in [
            "http://shop.retailcrm.ru",
            "ftp://shop.retailcrm.ru",
            "shop.retailcrm.ru",
            "//shop.retailcrm.ru",
            "file:///etc/passwd",
            "javascript:alert(1)",
        ] {
            assert_eq!(official(url), Err(BadCrmUrl::NotHttps), "{url}");
        }
        for url in [
            "https://shop.retailcrm.ru:443",
            "https://shop.retailcrm.ru:8443",
            "https://shop.retailcrm.ru:",
            "https://shop.retailcrm.ru:443/",
        ] {
            assert_eq!(official(url), Err(BadCrmUrl::Port), "{url}");
        }
        assert!(official("https://shop.retailcrm.ru:99999").is_err());
        assert_eq!(official("  "), Err(BadCrmUrl::Empty));
    }

    #[test]
    fn addresses_are_foreign_in_every_spelling() {
        for url in [
            "https://127.0.0.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0177.0.0.1",
            "https://127.1",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://169.254.169.254",
            "https://10.0.0.1",
        ] {
            let error = official(url).expect_err(url);
            assert!(matches!(error, BadCrmUrl::ForeignHost { .. } | BadCrmUrl::OddHost), "{url}: {error}");
        }
    }

    #[test]
    fn letters_that_only_look_latin_are_odd() {
        for url in [
            "https://магазин.retailcrm.ru",
            "https://shop.retailсrm.ru", // Cyrillic с
            "https://shop。retailcrm.ru",
            "https://shop.ｒetailcrm.ru",
            "https://shop%2eretailcrm.ru",
            "https://sh%6fp.retailcrm.ru",
        ] {
            assert!(
                matches!(official(url), Err(BadCrmUrl::OddHost | BadCrmUrl::Unreadable)),
                "{url}: {:?}",
                official(url)
            );
        }
    }

    #[test]
    fn listed_hosts_may_be_local_plain_and_on_any_port() {
        let allowed = "127.0.0.1, [::1], localhost,.crm.example, box.example";
        for (url, normal) in [
            ("http://127.0.0.1:8091", "http://127.0.0.1:8091"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://[::1]:8091/", "http://[::1]:8091"),
            ("http://localhost:1", "http://localhost:1"),
            ("https://LOCALHOST", "https://localhost"),
            ("https://a.crm.example:444", "https://a.crm.example:444"),
            ("http://box.example", "http://box.example"),
            ("http://a.box.example", "http://a.box.example"),
            ("https://shop.retailcrm.ru", "https://shop.retailcrm.ru"),
        ] {
            assert_eq!(with(allowed, url).as_deref(), Ok(normal), "{url}");
        }
        for url in [
            "http://127.0.0.2",
            "http://crm.example",
            "http://evilbox.example",
            "http://evilcrm.example",
            "http://box.example.evil.com",
            "http://2130706433:8091",
            "http://127.1",
            "http://[0:0:0:0:0:0:0:1]",
            "http://[::2]",
            "http://[::ffff:127.0.0.1]",
            "http://box.example.",
            "http://shop.retailcrm.ru",
            "http://u@127.0.0.1",
            "http://127.0.0.1/path",
            "http://127.0.0.1:8091/?q",
        ] {
            assert!(with(allowed, url).is_err(), "{url}");
        }
    }

    #[test]
    fn ipv6_entries_need_no_brackets() {
        assert!(with("::1", "http://[::1]:80").is_ok());
    }

    #[test]
    fn methods_are_encoded_segment_by_segment() {
        let url = check("https://shop.retailcrm.ru", &AllowedHosts::none()).expect("good");
        assert_eq!(url.host(), "shop.retailcrm.ru");
        let method = url.method(&["api", "v5", "orders", "a/b ?#ё"]);
        assert_eq!(method.as_str(), "https://shop.retailcrm.ru/api/v5/orders/a%2Fb%20%3F%23%D1%91");
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_under_a_domain_of_the_vendor(url in "(https?://)?[a-z0-9.@:/\\\\\\[\\]#?%-]{0,20}(retailcrm\\.ru|simla\\.com)?[a-z.@:/#?-]{0,8}") {
            if let Ok(checked) = check(&url, &AllowedHosts::none()) {
                let parsed = Url::parse(checked.as_str()).expect("parses");
                prop_assert_eq!(parsed.scheme(), "https");
                let host = parsed.host_str().expect("host");
                let ours = DOMAINS.iter().any(|domain| is_below(host, domain));
                prop_assert!(ours);
                prop_assert_eq!(parsed.port(), None);
                prop_assert_eq!(parsed.path(), "/");
                prop_assert_eq!(parsed.username(), "");
            }
        }

        #[test]
        fn no_text_makes_the_check_panic(url in ".{0,60}") {
            let _ = check(&url, &AllowedHosts::none());
            let _ = AllowedHosts::parse(&url);
        }
    }
}
