//! One request, from who comes to what they are answered. Whoever may not is told so, and noted.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts as Head;
use axum::response::Response;
use futures_util::FutureExt as _;
use shared::domain::Language;
use shared::store::audit::{Act, NewAudit, Who};

use crate::form::Fields;
use crate::pages::{self, entry, sign_in};
use crate::refusals::{Refused, Unwelcome};
use crate::routes::{self, Found, Needs, ROUTES, Route, What};
use crate::visit::{self, Comer, Stop, Visit, Visitor};
use crate::{Console, html};

/// Answers any request of the address `from`; the only way in.
pub(crate) async fn answer(console: &Console, request: Request, from: IpAddr) -> Response {
    let (head, body) = request.into_parts();
    let query = Fields::read(head.uri.query().unwrap_or_default().as_bytes());
    let (language, chosen) = visit::language(&head, &query);
    let handled = AssertUnwindSafe(async {
        match routes::find(head.method.as_str(), head.uri.path()) {
            Found::Route(n, parts) => {
                let form = match head.method.as_str() {
                    "POST" => Fields::of_body(&head.headers, body).await.ok_or(Stop::BadForm),
                    _ => Ok(Fields::default()),
                };
                let asked = Asked { route: &ROUTES[n], parts, query: query.clone(), form, language };
                respond(console, &head, asked, from).await
            }
            Found::OtherMethod(methods) => Ok(not_allowed(&methods)),
            // Who is not signed in learns not even what there is not.
            Found::Nothing => match visit::comer(console, &head, from).await? {
                Comer::Known(_) => Err(Stop::NotFound),
                _ => Err(Stop::NotSignedIn),
            },
        }
    });
    let handled = handled.catch_unwind().await.unwrap_or(Err(Stop::Unavailable));
    let mut response = handled.unwrap_or_else(|stop| entry::stopped(stop, console.0.oidc.is_some(), language));
    if chosen {
        visit::remember(&mut response, language);
    }
    html::guarded(response)
}

/// What is asked for.
struct Asked<'a> {
    route: &'a Route,
    parts: Vec<String>,
    query: Fields,
    form: Result<Fields, Stop>,
    language: Language,
}

fn not_allowed(methods: &[&str]) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    html::set(response.headers_mut(), header::ALLOW, &methods.join(", "));
    response
}

async fn respond(console: &Console, head: &Head, asked: Asked<'_>, from: IpAddr) -> Result<Response, Stop> {
    let Asked { route, parts, query, form, language } = asked;
    if route.needs == Needs::Nobody {
        return let_in(console, head, Asked { route, parts, query, form, language }, from).await;
    }
    let (who, why, stop) = match visit::comer(console, head, from).await? {
        Comer::Known(visitor) => match objection(console, head, route, &visitor, form.as_ref().ok()) {
            None => {
                let path = head.uri.path().to_owned();
                let visit = Visit { console, visitor: &visitor, query, form: form?, parts, language, path };
                return pages::respond(route.what, &visit, head).await;
            }
            Some(why) => (visitor.person.who(), why, Stop::Forbidden),
        },
        Comer::Stranger => return Err(Stop::NotSignedIn),
        Comer::WithoutRole(name) => (Who::at_console(name, None), Refused::NoGroup, Stop::Forbidden),
        Comer::Untrusted => (stranger(), Refused::Untrusted, Stop::NotSignedIn),
    };
    refuse(console, who, route, why, from).await;
    Err(stop)
}

/// What nobody has to be signed in for.
async fn let_in(console: &Console, head: &Head, asked: Asked<'_>, from: IpAddr) -> Result<Response, Stop> {
    let Asked { route, parts, query, form, language } = asked;
    match route.what {
        What::Style => Ok(html::style()),
        What::Icon => Ok(html::icon()),
        What::Enter => {
            if !visit::is_of_this_site(&head.headers) {
                refuse(console, stranger(), route, Refused::Origin, from).await;
                return Err(Stop::Forbidden);
            }
            let entered = entry::enter(console, head, &form?, from).await?;
            entered_or_refused(console, route, entered, language, from).await
        }
        What::SignIn => sign_in::begin(console, head).await,
        What::SignedIn => {
            let entered = sign_in::end(console, head, &query, language).await?;
            let mut response = entered_or_refused(console, route, entered, language, from).await?;
            visit::hold_sign_in(&mut response, &head.headers, None, 0, false);
            Ok(response)
        }
        _ => Ok(entry::form(&parts, language)),
    }
}

async fn entered_or_refused(
    console: &Console,
    route: &Route,
    entered: Result<Response, Unwelcome>,
    language: Language,
    from: IpAddr,
) -> Result<Response, Stop> {
    let (who, why) = match entered {
        Ok(response) => return Ok(response),
        Err(unwelcome) => unwelcome,
    };
    refuse(console, who.unwrap_or_else(stranger), route, why, from).await;
    Ok(entry::refused(why, language))
}

/// What stands against what somebody wants.
fn objection(
    console: &Console,
    head: &Head,
    route: &Route,
    visitor: &Visitor,
    form: Option<&Fields>,
) -> Option<Refused> {
    if matches!(route.needs, Needs::Role(role) if visitor.person.role < role) {
        return Some(Refused::Role);
    }
    if route.method != "POST" {
        return None;
    }
    if !visit::is_of_this_site(&head.headers) {
        return Some(Refused::Origin);
    }
    let token = form.and_then(|form| form.text("token")).unwrap_or_default();
    (!visitor.accepts(token, &console.0.store.key)).then_some(Refused::Token)
}

fn stranger() -> Who {
    Who::at_console("stranger", None)
}

/// Notes that somebody was refused; what cannot be noted is refused all the same.
async fn refuse(console: &Console, who: Who, route: &Route, why: Refused, from: IpAddr) {
    tracing::warn!(route = route.path, why = why.as_str(), "the console refused somebody");
    if !console.0.refusals.is_noted(from) {
        return;
    }
    let mut entry = NewAudit::new(&who, Act::Refused, None, format!("console {} {}", route.method, route.path));
    entry.after.insert("why".to_owned(), why.as_str().into());
    if let Err(error) = console.0.store.note_act(&entry).await {
        tracing::warn!(%error, "a refusal could not be noted");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use shared::bootstrap::Ctx;
    use shared::clock::Clock;
    use shared::config::{Config, Role as Process, Source};
    use shared::store::Store;
    use shared::store::console::{Person, Role, Vouched};

    use super::*;

    #[tokio::test]
    async fn a_provider_lets_in_from_anywhere_and_a_one_time_address_on_this_machine() {
        let env = [
            ("CONSOLE_OIDC_ISSUER", "https://id.example"),
            ("CONSOLE_OIDC_CLIENT_ID", "console"),
            ("CONSOLE_OIDC_CLIENT_SECRET", "planted-client-secret"),
            ("CONSOLE_PUBLIC_URL", "https://console.example"),
        ];
        let store = Store::in_memory(Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"))).await;
        let anna = Person { name: "Anna".to_owned(), os_user: None, role: Role::Viewer };
        let by = async |issuer| {
            let by = Vouched { issuer, subject: "u1" };
            store.sign_in_console(anna.clone(), by, None).await.expect("in").expose().to_owned()
        };
        let (own, of_another) = (by("https://id.example").await, by("https://other.example").await);
        let link = store.make_console_link(&anna, &anna.who()).await.expect("made");
        let (entered, _) = store.enter_console(link.expose(), None).await.expect("asked").expect("in");
        let entered = entered.expose().to_owned();
        let (with, without) = (&env[..], &env[..0]);
        for (pairs, token, from, status) in [
            (with, &own, "192.0.2.7", 200),
            (with, &own, "127.0.0.1", 200),
            (with, &of_another, "127.0.0.1", 401),
            (with, &entered, "192.0.2.7", 401),
            (with, &entered, "::ffff:127.0.0.1", 200),
            // Nobody signs in at a provider any more.
            (without, &own, "127.0.0.1", 401),
            (without, &entered, "127.0.0.1", 200),
        ] {
            let config = Config::read(Process::Bridge, &Source::from_pairs(pairs.iter().copied())).expect("good");
            let console = Console::of(&Ctx::new(Arc::new(config), store.clone())).expect("a console");
            let request = Request::builder().uri("/").header("cookie", format!("bridge_console_={token}"));
            let request = request.body(Body::empty()).expect("a request");
            let got = answer(&console, request, from.parse().expect("an address")).await;
            assert_eq!(got.status(), status, "{from} {}", pairs.len());
        }
    }
}
