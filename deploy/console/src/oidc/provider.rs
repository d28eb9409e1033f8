//! What the provider is asked: its addresses and keys (OpenID Connect Discovery 1.0, 4), a token for
//! a code (Core 1.0, 3.1.3), what else it knows of somebody (Core 1.0, 5.3).

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde_json::Value;
use shared::config::{self, is_safe_url};
use shared::domain::Secret;
use shared::tls::Tls;
use tokio::sync::Mutex;

use crate::oidc::failure::Failure;
use crate::oidc::token::{Claims, Expected, Flaw, believed};
use crate::refusals::Refused;

/// How long the provider may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its addresses and keys are believed.
const FRESH: Duration = Duration::from_secs(600);
/// Longest answer, bytes.
const LONGEST: usize = 1024 * 1024;
/// How long it is left alone after it could not be asked: a stranger who begins many sign-ins must
/// not have us wait for each.
const REST: Duration = Duration::from_secs(3);

/// What a provider says of itself.
struct Found {
    at: Instant,
    authorization: String,
    token: String,
    userinfo: Option<String>,
    keys: Vec<Value>,
    /// What is asked for: only what it offers, since some refuse what they do not know.
    scope: String,
    /// The client's secret goes into the form instead of a header.
    in_form: bool,
}

pub struct Provider {
    http: reqwest::Client,
    found: Mutex<Result<Arc<Found>, Option<Instant>>>,
}

/// What makes a code into who somebody is.
pub struct Exchange<'a> {
    pub code: &'a str,
    pub verifier: &'a str,
    pub nonce: &'a str,
    pub redirect: &'a str,
}

impl Provider {
    pub fn new(tls: &Tls) -> reqwest::Result<Self> {
        let http = shared::http::client(tls).timeout(PATIENCE).connect_timeout(PATIENCE / 2).build()?;
        Ok(Self { http, found: Mutex::new(Err(None)) })
    }

    /// Where somebody is sent to sign in, and what is asked for there.
    pub async fn entrance(&self, settings: &config::Oidc) -> Result<(String, String), Failure> {
        let found = self.found(settings, None).await?;
        Ok((found.authorization.clone(), found.scope.clone()))
    }

    /// Uses a code up; answers with what the provider says of who it was given to.
    pub async fn who(&self, settings: &config::Oidc, by: &Exchange<'_>, now: Timestamp) -> Result<Claims, Failure> {
        let found = self.found(settings, None).await?;
        let (token, access) = self.exchange(settings, &found, by).await?;
        let expected = Expected { issuer: &settings.issuer, client_id: &settings.client_id, nonce: by.nonce };
        let mut judged = believed(token.expose(), &found.keys, expected, now);
        if matches!(judged, Err(Flaw::Key | Flaw::Signature)) {
            // Its keys may have been changed since they were read.
            let anew = self.found(settings, Some(&found)).await?;
            judged = believed(token.expose(), &anew.keys, expected, now);
        }
        let mut claims = judged.map_err(|flaw| {
            tracing::warn!(%flaw, "an ID token of the console's provider is not believed");
            Failure::Refused(Refused::IdToken)
        })?;
        let lacks = [&settings.user_claim, &settings.groups_claim].iter().any(|name| !claims.contains_key(*name));
        if let (true, Some(url), Some(access)) = (lacks, &found.userinfo, access) {
            self.complete(&mut claims, url, &access).await?;
        }
        Ok(claims)
    }

    /// What the provider says of itself, read anew when it is old or not better than what is known.
    async fn found(&self, settings: &config::Oidc, than: Option<&Arc<Found>>) -> Result<Arc<Found>, Failure> {
        let mut known = self.found.lock().await;
        match &*known {
            Ok(found) if found.at.elapsed() < FRESH && than.is_none_or(|old| !Arc::ptr_eq(old, found)) => {
                return Ok(found.clone());
            }
            Err(Some(failed)) if failed.elapsed() < REST => return Err(Failure::Provider),
            _ => {}
        }
        *known = self.discover(settings).await.map(Arc::new).map_err(|_| Some(Instant::now()));
        known.as_ref().cloned().map_err(|_| Failure::Provider)
    }

    async fn discover(&self, settings: &config::Oidc) -> Result<Found, Failure> {
        let issuer = &settings.issuer;
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.fine("its configuration", self.get(&at)).await?;
        if document["issuer"].as_str() != Some(issuer) {
            return Err(failed("its configuration", "it calls itself by another name than CONSOLE_OIDC_ISSUER"));
        }
        let url = |name: &str| document[name].as_str().filter(|url| is_safe_url(url)).map(str::to_owned);
        let needed = |name: &str| url(name).ok_or_else(|| failed("its configuration", format!("no good {name}")));
        let keys = self.fine("its keys", self.get(&needed("jwks_uri")?)).await?;
        let offers = |name: &str, one: &str| has(&document[name], one);
        let scopes = ["openid", "profile", "email", "groups"];
        let offered = scopes.into_iter().filter(|scope| *scope == "openid" || offers("scopes_supported", scope));
        let methods = "token_endpoint_auth_methods_supported";
        Ok(Found {
            at: Instant::now(),
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: url("userinfo_endpoint"),
            keys: keys["keys"].as_array().cloned().ok_or_else(|| failed("its keys", "there are none"))?,
            scope: offered.collect::<Vec<_>>().join(" "),
            in_form: offers(methods, "client_secret_post") && !offers(methods, "client_secret_basic"),
        })
    }

    /// The ID token that a code is good for, and the token that opens what else is known.
    async fn exchange(
        &self,
        settings: &config::Oidc,
        found: &Found,
        by: &Exchange<'_>,
    ) -> Result<(Secret, Option<Secret>), Failure> {
        let (id, secret) = (settings.client_id.as_str(), settings.client_secret.expose());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", by.code),
            ("redirect_uri", by.redirect),
            ("code_verifier", by.verifier),
        ];
        let mut request = self.http.post(&found.token);
        if found.in_form {
            fields.extend([("client_id", id), ("client_secret", secret)]);
        } else {
            // Written as in a form first: RFC 6749, 2.3.1.
            let written = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(written(id), Some(written(secret)));
        }
        let (status, answer) = self.ask("a token", request.form(&fields)).await?;
        let text = |name: &str| answer[name].as_str().map(Secret::new);
        match answer["error"].as_str() {
            None if status == 200 => {
                Ok((text("id_token").ok_or_else(|| failed("a token", "there is no id_token"))?, text("access_token")))
            }
            Some("invalid_grant") => Err(Failure::Refused(Refused::Code)),
            Some("invalid_client" | "unauthorized_client") => Err(Failure::NotItsClient),
            error => Err(failed("a token", format!("HTTP {status}, {}", error.map_or("", known_error)))),
        }
    }

    /// Adds what the provider says elsewhere; the token's own claims stay.
    async fn complete(&self, claims: &mut Claims, url: &str, access: &Secret) -> Result<(), Failure> {
        let request = self.get(url).bearer_auth(access.expose());
        let Value::Object(more) = self.fine("its userinfo", request).await? else {
            return Err(failed("its userinfo", "it is no object"));
        };
        // Core 1.0, 5.3.2: else it is about somebody else.
        if more.get("sub") != claims.get("sub") {
            return Err(failed("its userinfo", "it is about somebody else"));
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn get(&self, url: &str) -> RequestBuilder {
        self.http.get(url).header(reqwest::header::ACCEPT, "application/json")
    }

    /// An answer of 200.
    async fn fine(&self, what: &str, request: RequestBuilder) -> Result<Value, Failure> {
        let (status, answer) = self.ask(what, request).await?;
        if status == 200 { Ok(answer) } else { Err(failed(what, format!("HTTP {status}"))) }
    }

    async fn ask(&self, what: &str, request: RequestBuilder) -> Result<(u16, Value), Failure> {
        let lost = |error: reqwest::Error| failed(what, why(&error));
        let mut answer = request.send().await.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(lost)? {
            if body.len() + part.len() > LONGEST {
                return Err(failed(what, "it is too long"));
            }
            body.extend_from_slice(&part);
        }
        let status = answer.status().as_u16();
        serde_json::from_slice(&body)
            .map(|read| (status, read))
            .map_err(|_| failed(what, format!("HTTP {status}, no JSON")))
    }
}

fn has(list: &Value, one: &str) -> bool {
    list.as_array().is_some_and(|all| all.iter().any(|known| known == one))
}

/// A code of an error, if it is one and not a text of somebody's.
pub(super) fn known_error(text: &str) -> &str {
    let fine = text.len() <= 60 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if fine { text } else { "an error" }
}

/// The innermost cause: what surrounds it repeats addresses.
fn why(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}

fn failed(what: &str, why: impl Display) -> Failure {
    tracing::warn!(what, %why, "the console's provider of sign-ins does not answer as it should");
    Failure::Provider
}
