//! Who comes, and what every page of theirs needs.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use axum::http::request::Parts as Head;
use axum::response::Response;
use bridge_worker::compare::Reads;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::crypto::SecretKey;
use shared::domain::{Integration, IntegrationId, IntegrationState, Language};
use shared::phrases::Reader;
use shared::store::audit::Who;
use shared::store::console::{Person, Role, Session};
use shared::store::{Store, StoreError};

use crate::Console;
use crate::errands::{Came, Errand};
use crate::form::{Fields, local};
use crate::html;
use crate::seen::moments;
use crate::texts::{Notice, Texts};

/// Cookie of the chosen language.
const LANGUAGE: &str = "bridge_console_language";
/// What the signature of a form's token is good for.
const FORM: &str = "console form";
/// Begins the names of the groups that a proxy tells.
const GROUP: &str = "bridge-";

/// Characters of a reason that is given; the forms say so too.
const LONGEST_REASON: usize = 300;

/// What ends a request early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    NotSignedIn,
    /// Signed in, and not allowed.
    Forbidden,
    NotFound,
    BadForm,
    /// An address names something to look at that is not there to choose.
    BadFilter,
    Unavailable,
    /// Who signs people in does not answer, or not as it should.
    NoProvider,
    /// It does not know this console.
    NotItsClient,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the console has no database");
        Self::Unavailable
    }
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    pub person: Person,
    /// Of their session, or of their name where a proxy vouches for it.
    seed: String,
    /// The hash of their session; `None`: a proxy vouches for them.
    pub session: Option<String>,
}

impl Visitor {
    /// The token of their forms: a page of another site cannot know it.
    pub fn token(&self, key: &SecretKey) -> String {
        key.sign(FORM, &self.seed)
    }

    pub fn accepts(&self, token: &str, key: &SecretKey) -> bool {
        key.has_signed(FORM, &self.seed, token)
    }
}

/// What is known of who comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comer {
    Known(Visitor),
    Stranger,
    /// Vouched for by a trusted proxy, and in none of the groups.
    WithoutRole(String),
    /// Claims a name, by an address that nobody trusts.
    Untrusted,
}

/// Who comes. The store is asked only where the headers do not say it.
pub async fn comer(console: &Console, head: &Head, from: IpAddr) -> Result<Comer, Stop> {
    let mut untrusted = false;
    if let Some(sign_in) = &console.0.config.console.sign_in
        && let Some(name) = header_of(&head.headers, &sign_in.user)
    {
        if sign_in.proxies.contains(from) {
            let groups = header_of(&head.headers, &sign_in.groups).unwrap_or_default();
            let Some(role) = role_of(groups.split(BETWEEN)) else { return Ok(Comer::WithoutRole(name.to_owned())) };
            let person = Person { name: name.to_owned(), os_user: None, role };
            return Ok(Comer::Known(Visitor { person, seed: format!("proxy {name}"), session: None }));
        }
        untrusted = true;
    }
    let nobody = if untrusted { Comer::Untrusted } else { Comer::Stranger };
    let here = from.to_canonical().is_loopback();
    // Without a provider there are one-time addresses alone, and these are for this machine.
    let Some(token) = session_cookie(&head.headers).filter(|_| here || console.0.oidc.is_some()) else {
        return Ok(nobody);
    };
    let is_good = |session: &Session| match &session.issuer {
        None => here,
        Some(issuer) => console.0.oidc.as_ref().is_some_and(|oidc| oidc.settings.issuer == *issuer),
    };
    let found = console.0.store.console_session(token).await?.filter(is_good);
    Ok(found.map_or(nobody, |session| {
        Comer::Known(Visitor { person: session.person, seed: session.hash.clone(), session: Some(session.hash) })
    }))
}

/// Characters of a header's value that are believed.
const LONGEST: usize = 1024;

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // Two of them: whoever stands behind the proxy added one.
    let mut all = headers.get_all(name).iter();
    let value = std::str::from_utf8(all.next()?.as_bytes()).ok()?.trim();
    let fine = !value.is_empty() && value.len() <= LONGEST && !value.chars().any(char::is_control);
    (all.next().is_none() && fine).then_some(value)
}

/// What stands between the groups of a header.
pub const BETWEEN: [char; 3] = [',', ';', '|'];

/// The most that any of the groups may.
pub fn role_of<'a>(groups: impl Iterator<Item = &'a str>) -> Option<Role> {
    groups.filter_map(|group| Role::parse(group.trim().strip_prefix(GROUP)?)).max()
}

/// Where a browser says that a form comes from is here.
pub fn is_of_this_site(headers: &HeaderMap) -> bool {
    let of = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (of(header::ORIGIN), of(header::HOST)) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let plain = |text: &str| text.trim_end_matches(usual).to_ascii_lowercase();
    ["http", "https"].contains(&scheme) && plain(authority) == plain(host)
}

/// Two consoles on one machine keep what is theirs apart: cookies know no ports.
fn cookie_name(headers: &HeaderMap, what: &str) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let port = if port.chars().all(|c| c.is_ascii_digit()) { port } else { "" };
    format!("bridge_console_{what}{port}")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, &cookie_name(headers, ""))
}

/// The cookie of a sign-in that is under way.
pub fn sign_in_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, &cookie_name(headers, SIGN_IN))
}

const SIGN_IN: &str = "sign_in_";

/// Has the browser hold a session's token, or forget it; `https`: it comes by no other way.
pub fn hold(response: &mut Response, headers: &HeaderMap, token: Option<&str>, seconds: u64, https: bool) {
    let text = format!("{}={}; Path=/; SameSite=Strict", cookie_name(headers, ""), token.unwrap_or_default());
    bake(response, &text, seconds, https);
}

/// The same of a sign-in's cookie. It has to come along from the provider's site.
pub fn hold_sign_in(response: &mut Response, headers: &HeaderMap, cookie: Option<&str>, seconds: u64, https: bool) {
    let text = format!("{}={}; Path=/sign-in; SameSite=Lax", cookie_name(headers, SIGN_IN), cookie.unwrap_or_default());
    bake(response, &text, seconds, https);
}

fn bake(response: &mut Response, cookie: &str, seconds: u64, https: bool) {
    let text = format!("{cookie}; Max-Age={seconds}; HttpOnly{}", if https { "; Secure" } else { "" });
    html::set(response.headers_mut(), header::SET_COOKIE, &text);
}

/// As asked for in the address, as asked for before, else as the browser prefers; and whether it is
/// to be remembered.
pub fn language(head: &Head, query: &Fields) -> (Language, bool) {
    let parse = |code: &str| match code {
        "ru" => Some(Language::Ru),
        "en" => Some(Language::En),
        _ => None,
    };
    if let Some(asked) = query.text("lang").and_then(parse) {
        return (asked, true);
    }
    let before = cookie(&head.headers, LANGUAGE).and_then(parse);
    let preferred = head.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    (before.unwrap_or_else(|| Language::from_accept(preferred)), false)
}

pub fn remember(response: &mut Response, language: Language) {
    let code = Texts::of(language).code;
    let text = format!("{LANGUAGE}={code}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict");
    html::set(response.headers_mut(), header::SET_COOKIE, &text);
}

/// A request of somebody who may make it.
pub struct Visit<'a> {
    pub console: &'a Console,
    pub visitor: &'a Visitor,
    pub query: Fields,
    /// What was posted.
    pub form: Fields,
    /// What stands in the address.
    pub parts: Vec<String>,
    pub language: Language,
    pub path: String,
}

impl Visit<'_> {
    pub fn store(&self) -> &Store {
        &self.console.0.store
    }

    pub fn zone(&self) -> &TimeZone {
        &self.console.0.config.display_zone
    }

    pub fn reader(&self) -> Reader {
        Reader::new(self.language, self.zone().clone())
    }

    pub fn now(&self) -> Timestamp {
        self.store().clock.now()
    }

    pub fn t(&self) -> &'static Texts {
        Texts::of(self.language)
    }

    pub fn who(&self) -> Who {
        self.visitor.person.who()
    }

    pub fn at(&self, at: Timestamp) -> String {
        moments::second(at, self.zone())
    }

    /// Of the address.
    pub async fn integration(&self) -> Result<Integration, Stop> {
        let id = self.parts.first().and_then(|id| id.parse().ok()).ok_or(Stop::NotFound)?;
        self.integration_of(id).await
    }

    /// One that is or was there.
    pub async fn integration_of(&self, id: i64) -> Result<Integration, Stop> {
        self.store().integration(IntegrationId(id)).await?.ok_or(Stop::NotFound)
    }

    /// One to work with.
    pub async fn live_integration(&self) -> Result<Integration, Stop> {
        let found = self.integration().await?;
        if found.state == IntegrationState::Removed { Err(Stop::NotFound) } else { Ok(found) }
    }

    /// The integration that a list is asked for, if one is. What names none is never read as «all».
    pub async fn only(&self) -> Result<Option<IntegrationId>, Stop> {
        self.named(&self.query).await
    }

    /// The integration that an address or a form names, if it does.
    pub async fn named(&self, fields: &Fields) -> Result<Option<IntegrationId>, Stop> {
        let Some(text) = fields.text("integration") else { return Ok(None) };
        let id = text.parse().map_err(|_| Stop::BadFilter)?;
        Ok(Some(self.integration_of(id).await?.id))
    }

    /// A word of the address that must be one of few, if it is there.
    pub fn word<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Stop> {
        self.query.text(name).map(|text| parse(text).ok_or(Stop::BadFilter)).transpose()
    }

    /// The reason that somebody gives; `None`: none.
    pub fn why(&self) -> Result<Option<&str>, Stop> {
        let why = self.form.text("why");
        if why.is_some_and(|why| why.chars().count() > LONGEST_REASON) { Err(Stop::BadForm) } else { Ok(why) }
    }

    /// Begins an errand of theirs; false: too many are known.
    pub fn begin<W>(
        &self,
        errand: &Errand,
        limit: Duration,
        work: impl FnOnce(Box<dyn Fn(Reads) + Send + Sync>) -> W + Send + 'static,
    ) -> bool
    where
        W: Future<Output = anyhow::Result<Came>> + Send + 'static,
    {
        self.console.0.errands.begin(errand, &self.visitor.person.name, self.now(), limit, work)
    }

    /// Back to where the form was, with what came of it.
    pub fn done(&self, notice: Notice) -> Response {
        let back = self.form.text("back").and_then(local).unwrap_or("/");
        let (path, query) = back.split_once('?').unwrap_or((back, ""));
        let query = Fields::read(query.as_bytes()).with(&[("done", notice.as_str())]);
        html::see(&format!("{path}{}", query.query()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_form_of_another_site_is_told_by_its_origin() {
        for (origin, host, own) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8081", true),
            ("https://console.example", "console.example", true),
            ("https://Console.example:443", "console.example", true),
            ("http://127.0.0.1:8082", "127.0.0.1:8081", false),
            ("http://localhost:8081", "127.0.0.1:8081", false),
            ("https://evil.example", "console.example", false),
            ("https://console.example.evil.example", "console.example", false),
            ("null", "console.example", false),
            ("file://console.example", "console.example", false),
        ] {
            assert_eq!(is_of_this_site(&headers(&[("origin", origin), ("host", host)])), own, "{origin} at {host}");
        }
        assert!(!is_of_this_site(&headers(&[("host", "127.0.0.1:8081")])), "a browser says where a form comes from");
    }

    #[test]
    fn the_highest_of_the_groups_counts_and_only_ours() {
        for (groups, role) in [
            ("bridge-viewer", Some(Role::Viewer)),
            ("staff, bridge-owner ,bridge-viewer", Some(Role::Owner)),
            ("bridge-viewer;bridge-operator", Some(Role::Operator)),
            ("owner,bridge-admin,xbridge-owner", None),
            ("", None),
        ] {
            assert_eq!(role_of(groups.split(BETWEEN)), role, "{groups}");
        }
    }

    #[test]
    fn a_header_that_comes_twice_says_nothing() {
        assert_eq!(header_of(&headers(&[("x-user", " anna ")]), "x-user"), Some("anna"));
        assert_eq!(header_of(&headers(&[("x-user", "anna"), ("x-user", "eve")]), "x-user"), None);
        assert_eq!(header_of(&headers(&[("x-user", "")]), "x-user"), None);
        assert_eq!(header_of(&headers(&[("x-user", &"a".repeat(2000))]), "x-user"), None);
        let mut named = HeaderMap::new();
        named.insert("x-user", axum::http::HeaderValue::from_bytes("Анна".as_bytes()).expect("a value"));
        assert_eq!(header_of(&named, "x-user"), Some("Анна"));
    }

    #[test]
    fn the_cookie_is_that_of_this_console() {
        let both = "bridge_console_8081=one; bridge_console_8082=two";
        assert_eq!(session_cookie(&headers(&[("host", "127.0.0.1:8082"), ("cookie", both)])), Some("two"));
        assert_eq!(session_cookie(&headers(&[("host", "127.0.0.1:8083"), ("cookie", both)])), None);
    }
}
