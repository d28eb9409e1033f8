//! Who may see the settings page: a signed cookie, so that every ingress knows it without
//! keeping it, and a token that a form of another site cannot have.

use std::time::Duration;

use jiff::Timestamp;
use shared::crypto::{SecretKey, random_hex};
use shared::domain::{Integration, IntegrationId};
use subtle::ConstantTimeEq as _;

/// How long a session lasts without being used.
pub const LASTS: Duration = Duration::from_secs(30 * 60);
pub const COOKIE: &str = "measoft_account";

/// A session of one integration's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub integration: IntegrationId,
    pub expires: Timestamp,
    nonce: String,
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl Session {
    /// For who has shown the integration's `clientId`.
    pub fn begin(integration: IntegrationId, now: Timestamp) -> Self {
        Self { integration, expires: now + LASTS, nonce: random_hex::<16>() }
    }

    /// The same, from now on for its whole time again.
    pub fn renewed(&self, now: Timestamp) -> Self {
        Self { expires: now + LASTS, ..self.clone() }
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.integration, self.expires.as_second(), self.nonce)
    }

    /// A new `clientId` ends all sessions: it is part of what is signed.
    fn signature(&self, integration: &Integration, key: &SecretKey) -> String {
        key.sign("account session", &format!("{}|{}", self.text(), integration.secrets.client_id.expose()))
    }

    /// What the cookie holds.
    pub fn sealed(&self, integration: &Integration, key: &SecretKey) -> String {
        format!("{}.{}", self.text(), self.signature(integration, key))
    }

    /// What a cookie claims, to be [checked](Self::is_genuine) once its integration is read.
    pub fn claimed(cookie: &str) -> Option<(Self, String)> {
        let parts: Vec<&str> = cookie.split('.').collect();
        let [id, expires, nonce, signature] = parts.as_slice() else { return None };
        let session = Self {
            integration: IntegrationId(id.parse().ok()?),
            expires: Timestamp::from_second(expires.parse().ok()?).ok()?,
            nonce: (*nonce).to_owned(),
        };
        Some((session, (*signature).to_owned()))
    }

    pub fn is_genuine(&self, signature: &str, integration: &Integration, key: &SecretKey, now: Timestamp) -> bool {
        self.expires > now && same(&self.signature(integration, key), signature)
    }

    /// The CSRF token: a page of another site cannot know it.
    pub fn token(&self, key: &SecretKey) -> String {
        key.sign("account form", &format!("{}|{}", self.integration, self.nonce))
    }

    pub fn accepts(&self, token: &str, key: &SecretKey) -> bool {
        same(&self.token(key), token)
    }
}

/// The session cookie of a request's `Cookie` headers.
pub fn cookie<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    named(headers, COOKIE)
}

/// A cookie by its name.
pub fn named<'a>(headers: impl IntoIterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    headers
        .into_iter()
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::domain::{Secret, Secrets};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("moment")
    }

    fn integration(id: i64, client: &str) -> Integration {
        let secrets = Secrets { client_id: Secret::new(client), ..Secrets::default() };
        Integration { id: IntegrationId(id), secrets, ..Integration::default() }
    }

    fn opens(cookie: &str, integration: &Integration, key: &SecretKey, now: Timestamp) -> bool {
        Session::claimed(cookie).is_some_and(|(session, sign)| session.is_genuine(&sign, integration, key, now))
    }

    #[test]
    fn a_session_opens_its_own_integration_for_half_an_hour() {
        let key = SecretKey::from_bytes([1; 32]);
        let ours = integration(1, "client");
        let cookie = Session::begin(ours.id, at(1000)).sealed(&ours, &key);
        assert!(opens(&cookie, &ours, &key, at(1000 + 1799)));
        assert!(!opens(&cookie, &ours, &key, at(1000 + 1800)), "it has run out");
        assert!(!opens(&cookie, &integration(1, "new client"), &key, at(1001)), "the clientId was changed");
        assert!(!opens(&cookie, &ours, &SecretKey::from_bytes([2; 32]), at(1001)), "another installation");
        let other = cookie.replacen("1.", "2.", 1);
        assert!(!opens(&other, &integration(2, "client"), &key, at(1001)), "another integration");
        for broken in ["", "1", "1.2.3", "x.2.3.4", "1.2.3.4.5"] {
            assert!(!opens(broken, &ours, &key, at(0)), "{broken}");
        }
    }

    #[test]
    fn a_token_belongs_to_its_session_and_outlives_a_renewal() {
        let key = SecretKey::from_bytes([1; 32]);
        let (one, other) = (Session::begin(IntegrationId(1), at(0)), Session::begin(IntegrationId(1), at(0)));
        assert!(one.renewed(at(60)).accepts(&one.token(&key), &key));
        assert!(!other.accepts(&one.token(&key), &key));
        assert!(!one.accepts("", &key));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(cookie(["a=b; measoft_account=1.2.3.4", "c=d"]), Some("1.2.3.4"));
        assert_eq!(cookie(["xmeasoft_account=1"]), None);
    }
}
