//! «Пользователи»: who is in.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::html;
use crate::pages::frame::{Frame, role_words};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

#[derive(Template)]
#[template(path = "people.html")]
struct View {
    f: Frame,
    people: Vec<Row>,
}

struct Row {
    hash: String,
    name: String,
    role: &'static str,
    began: String,
    until: String,
    is_own: bool,
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let sessions = visit.store().console_sessions().await?;
    let row = |session: shared::store::console::Session| Row {
        is_own: visit.visitor.session.as_ref() == Some(&session.hash),
        role: role_words(session.person.role, visit.t()),
        name: session.person.name,
        began: visit.at(session.began_at),
        until: visit.at(session.expires_at),
        hash: session.hash,
    };
    let view = View { f: Frame::of(visit, "people"), people: sessions.into_iter().map(row).collect() };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn end(visit: &Visit<'_>) -> Result<Response, Stop> {
    let hash = visit.form.text("session").ok_or(Stop::BadForm)?;
    let ended = visit.store().end_console_session(hash, &visit.who()).await?;
    Ok(visit.done(if ended { Notice::Ended } else { Notice::Gone }))
}
