//! Signing in at a provider of OpenID Connect: the authorization code flow (Core 1.0, 3.1) with PKCE
//! (RFC 7636).
//!
//! Nothing is kept of a sign-in that is under way: the browser holds a cookie drawn at random, and
//! `state`, `nonce` and PKCE's verifier are made of it with the installation's key. So only this
//! browser can end it, and only once; a stranger who begins many fills nothing.

mod failure;
mod provider;
mod token;

pub use failure::Failure;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;
use shared::config;
use shared::crypto::{SecretKey, random_hex};
use shared::digest::sha256;
use shared::locked::locked;
use shared::tls::Tls;
use url::Url;

use crate::form::Fields;
use crate::oidc::provider::{Exchange, Provider, known_error};
use crate::oidc::token::Claims;
use crate::refusals::Refused;

/// How long a sign-in may take.
pub const LASTS: Duration = Duration::from_secs(10 * 60);
/// Sign-ins remembered as used.
const REMEMBERED: usize = 10_000;
/// Where the provider sends people back to; below it the cookie is sent.
pub const BACK: &str = "/sign-in/done";

/// What the signatures are good for.
const STATE: &str = "console sign-in state";
const NONCE: &str = "console sign-in nonce";
const VERIFIER: &str = "console sign-in verifier";

/// Somebody as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub subject: String,
    /// `None`: it does not tell.
    pub name: Option<String>,
    pub groups: Vec<String>,
}

/// A sign-in that begins: where to send the browser, and the cookie it holds meanwhile.
pub struct Begun {
    pub url: String,
    pub cookie: String,
}

pub struct Oidc {
    pub settings: config::Oidc,
    provider: Provider,
    /// Cookies of sign-ins that were ended, until they would be over anyway.
    used: Mutex<HashMap<String, Timestamp>>,
}

impl Oidc {
    pub fn new(settings: config::Oidc, tls: &Tls) -> reqwest::Result<Self> {
        Ok(Self { settings, provider: Provider::new(tls)?, used: Mutex::default() })
    }

    /// Whether browsers reach the console by https.
    pub fn is_https(&self) -> bool {
        self.settings.public_url.starts_with("https:")
    }

    fn redirect(&self) -> String {
        format!("{}{BACK}", self.settings.public_url)
    }

    pub async fn begin(&self, key: &SecretKey, now: Timestamp) -> Result<Begun, Failure> {
        let (entrance, scope) = self.provider.entrance(&self.settings).await?;
        let cookie = format!("{}.{}", (now + LASTS).as_millisecond(), random_hex::<32>());
        let challenge = URL_SAFE_NO_PAD.encode(sha256(key.sign(VERIFIER, &cookie).as_bytes()));
        let mut url = Url::parse(&entrance).map_err(|_| Failure::Provider)?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", self.redirect().as_str()),
            ("scope", scope.as_str()),
            ("state", key.sign(STATE, &cookie).as_str()),
            ("nonce", key.sign(NONCE, &cookie).as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        Ok(Begun { url: url.into(), cookie })
    }

    /// Ends a sign-in with what the provider has the browser say.
    pub async fn end(
        &self,
        key: &SecretKey,
        now: Timestamp,
        cookie: Option<&str>,
        said: &Fields,
    ) -> Result<Known, Failure> {
        let cookie = cookie.ok_or(Refused::OtherBrowser)?;
        if !key.has_signed(STATE, cookie, said.raw("state").unwrap_or_default()) {
            return Err(Refused::OtherBrowser.into());
        }
        let ends = ends_at(cookie).ok_or(Refused::OtherBrowser)?;
        if now >= ends {
            return Err(Refused::LateSignIn.into());
        }
        if !self.use_up(cookie, ends, now) {
            return Err(Refused::UsedSignIn.into());
        }
        // RFC 9207: an answer of another provider is not meant for us.
        if said.raw("iss").is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(Refused::IdToken.into());
        }
        if let Some(error) = said.raw("error") {
            tracing::warn!(error = known_error(error), "the console's provider lets somebody not in");
            return Err(Refused::ByProvider.into());
        }
        let code = said.raw("code").ok_or(Refused::ByProvider)?;
        let (verifier, nonce, redirect) = (key.sign(VERIFIER, cookie), key.sign(NONCE, cookie), self.redirect());
        let by = Exchange { code, verifier: &verifier, nonce: &nonce, redirect: &redirect };
        let claims = self.provider.who(&self.settings, &by, now).await?;
        Ok(known(&claims, &self.settings.user_claim, &self.settings.groups_claim))
    }

    /// False: it was used before. Of too many the oldest is forgotten: the provider's code is good
    /// once anyway, and strangers must not keep others out.
    fn use_up(&self, cookie: &str, ends: Timestamp, now: Timestamp) -> bool {
        let mut used = locked(&self.used);
        used.retain(|_, ends| *ends > now);
        let is_full = used.len() >= REMEMBERED && !used.contains_key(cookie);
        if let Some(oldest) = used.iter().min_by_key(|(_, ends)| **ends).map(|(one, _)| one.clone()).filter(|_| is_full)
        {
            used.remove(&oldest);
        }
        used.insert(cookie.to_owned(), ends).is_none()
    }
}

fn ends_at(cookie: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(cookie.split_once('.')?.0.parse().ok()?).ok()
}

/// A name is kept whole or not at all; groups are a list, or one text as a proxy would send it.
fn known(claims: &Claims, user: &str, groups: &str) -> Known {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let fine = |name: &&str| name.chars().count() <= 200 && !name.chars().any(char::is_control);
    let groups = match claims.get(groups) {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let subject = text("sub").unwrap_or_default().to_owned();
    Known { subject, name: text(user).filter(fine).map(str::to_owned), groups }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sign_in_is_used_once_and_forgotten_when_it_is_over() {
        let settings = config::Oidc {
            issuer: "https://id.example".to_owned(),
            client_id: "console".to_owned(),
            client_secret: shared::domain::Secret::new("planted-client-secret"),
            public_url: "https://console.example".to_owned(),
            user_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
        };
        let oidc = Oidc::new(settings, &Tls::default()).expect("a client");
        let now: Timestamp = "2026-09-01T10:00:00Z".parse().expect("a moment");
        let ends = now + LASTS;
        assert!(oidc.use_up("one", ends, now) && !oidc.use_up("one", ends, now) && oidc.use_up("two", ends, now));
        for n in 0..2 * REMEMBERED {
            oidc.use_up(&n.to_string(), ends, now);
        }
        assert_eq!(locked(&oidc.used).len(), REMEMBERED, "a stranger fills no more than that");
        assert!(oidc.use_up("three", ends + LASTS, ends), "what is over makes room");
    }

    #[test]
    fn a_name_and_groups_are_read_as_the_settings_say() {
        let read = |claims: Value| {
            let Value::Object(claims) = claims else { panic!("claims are an object") };
            let known = known(&claims, "email", "roles");
            (known.name, known.groups)
        };
        let some = |groups: &[&str]| groups.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let anna = Some("anna@shop.example".to_owned());
        let list =
            json!({ "sub": "1", "email": " anna@shop.example", "roles": ["a", 1, "bridge-owner"], "groups": ["b"] });
        assert_eq!(read(list), (anna.clone(), some(&["a", "bridge-owner"])));
        let one = json!({ "sub": "1", "email": "anna@shop.example", "roles": "a,b" });
        assert_eq!(read(one), (anna, some(&["a,b"])));
        for name in [json!(""), json!("a\nb"), json!(7), json!("a".repeat(201)), Value::Null] {
            assert_eq!(read(json!({ "sub": "1", "email": name })), (None, Vec::new()), "{name}");
        }
    }
}
