//! One client cabinet at one courier service: where requests go and who sends them.

use std::fmt;

use url::{Host, Url};

/// Credentials and address of a cabinet (protocols/measoft.md#auth). `Debug` hides login and
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Usually `https://home.courierexe.ru/api/`.
    pub url: Url,
    /// Number of the courier service: the tenant.
    pub extra: String,
    pub login: String,
    pub password: String,
}

impl Account {
    /// Credentials travel in the body, so plain HTTP is for the own machine only.
    pub fn is_safe_to_call(&self) -> bool {
        match self.url.scheme() {
            "https" => self.url.has_host(),
            "http" => match self.url.host() {
                Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            },
            _ => false,
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("host", &self.url.host_str())
            .field("extra", &self.extra)
            .field("login", &"[hidden]")
            .field("password", &"[hidden]")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(url: &str) -> Account {
        Account {
            url: Url::parse(url).expect("url"),
            extra: "8".into(),
            login: "shop-demo".into(),
            password: "secret-demo".into(),
        }
    }

    #[test]
    fn plain_http_is_for_the_own_machine_only() {
        for (url, safe) in [
            ("https://home.courierexe.ru/api/", true),
            ("http://127.0.0.1:8080/api", true),
            ("http://[::1]:8080/", true),
            ("http://localhost:1/", true),
            ("http://home.courierexe.ru/api/", false),
            ("http://127.0.0.1.example.org/", false),
            ("http://10.0.0.1/", false),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(account(url).is_safe_to_call(), safe, "{url}");
        }
    }

    #[test]
    fn debug_hides_the_credentials() {
        let text = format!("{:?}", account("https://user:pw@example.org/api/?key=1"));
        for secret in ["shop-demo", "secret-demo", "user", "pw", "key=1"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
