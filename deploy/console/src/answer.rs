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
use crate::pages::{self, entry};
use crate::refusals::Refused;
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
    let mut response = handled.unwrap_or_else(|stop| entry::stopped(stop, language));
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
    let Asked { route, parts, form, language, .. } = asked;
    match route.what {
        What::Style => Ok(html::style()),
        What::Icon => Ok(html::icon()),
        What::Enter => {
            if !visit::is_of_this_site(&head.headers) {
                refuse(console, stranger(), route, Refused::Origin, from).await;
                return Err(Stop::Forbidden);
            }
            match entry::enter(console, head, &form?, from).await? {
                Ok(response) => Ok(response),
                Err((person, why)) => {
                    let who = person.map_or_else(stranger, |person| person.who());
                    refuse(console, who, route, why, from).await;
                    Ok(entry::refused(why, language))
                }
            }
        }
        _ => Ok(entry::form(&parts, language)),
    }
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
