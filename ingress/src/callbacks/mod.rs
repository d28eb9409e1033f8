//! The delivery module's callbacks (protocols/retailcrm.md#callbacks): authenticate, translate into
//! a request over the queue, wait for the worker's answer no longer than the deadline. Whatever
//! happens, RetailCRM gets well-formed JSON, or the file it asked for.

pub mod form;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use shared::domain::{IntegrationId, Language};
use shared::message::{CallbackReply, Media};
use shared::queue::RpcError;

use crate::ask::call;
use crate::bilingual::bilingual;
use crate::callbacks::form::{Fields, Unreadable};
use crate::keys::KeyLookup;
use crate::reply::Reply;
use crate::{State, body};

/// Longest body of a callback, bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How a callback brings what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// As JSON in the form field of the action's name.
    Field,
    /// As plain fields, usually of the query.
    Fields,
    /// As plain fields, of which this one is JSON.
    FieldsWith(&'static str),
}

/// The actions, under the name the worker knows them by.
const ACTIONS: [(&str, Input); 9] = [
    ("calculate", Input::Field),
    ("save", Input::Field),
    ("delete", Input::Field),
    ("print", Input::Field),
    ("get", Input::Fields),
    ("tariffList", Input::Fields),
    ("shipmentPointList", Input::Fields),
    ("activity", Input::FieldsWith("activity")),
    ("settings", Input::FieldsWith("settings")),
];

/// A callback's path: `Some(None)` when it is one but names no action of ours.
pub fn action_of(path: &str) -> Option<Option<&'static str>> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let known = |name: &str| ACTIONS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("retailcrm"), Some("callback"), Some(name), None) => Some(known(name)),
        (Some("retailcrm"), Some("callback"), ..) => Some(None),
        (Some("retailcrm"), Some(name @ ("activity" | "settings")), None, None) => Some(known(name)),
        _ => None,
    }
}

/// Answers one callback.
pub async fn answer(
    state: &State,
    action: Option<&'static str>,
    request: Request,
    from: IpAddr,
    language: Language,
) -> Response {
    told(state, handle(state, action, request), action.unwrap_or_default(), from, language).await
}

/// What is made of a request, whatever becomes of its handler.
pub(crate) async fn told(
    state: &State,
    handling: impl Future<Output = Told>,
    action: &str,
    from: IpAddr,
    language: Language,
) -> Response {
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    match handled.unwrap_or(Told::Error(StatusCode::INTERNAL_SERVER_ERROR, Sentence::Internal)) {
        Told::Reply(reply) => from_worker(reply),
        Told::Busy => error(StatusCode::TOO_MANY_REQUESTS, Sentence::Busy, language),
        Told::Stranger(status, _) if status.is_client_error() && !state.0.failures.allow(from) => {
            error(StatusCode::TOO_MANY_REQUESTS, Sentence::Limited, language)
        }
        Told::Stranger(status, say) | Told::Error(status, say) => {
            tracing::info!(action, status = status.as_u16(), "a callback was refused");
            error(status, say, language)
        }
    }
}

pub(crate) enum Told {
    Reply(CallbackReply),
    /// Whose it is is not known: a failure of its address.
    Stranger(StatusCode, Sentence),
    /// Of a known client. No failure of its address: RetailCRM's is that of all shops.
    Error(StatusCode, Sentence),
    /// A known client that asks too often.
    Busy,
}

bilingual! {
    /// What is said without a worker.
    pub(crate) enum Sentence {
        UnknownAction: "Модуль не поддерживает это действие", "The module does not support this action";
        UnknownClient: "Подключение не найдено: зарегистрируйте модуль курьерской службы заново",
            "The connection is not known: register the courier service's module again";
        NotAllowed: "Этот метод здесь не поддерживается", "This method is not supported here";
        TooLarge: "Тело запроса больше 1 МиБ", "The body is larger than 1 MiB";
        TimedOut: "Тело запроса не пришло вовремя", "The body did not arrive in time";
        Unreadable: "Запрос RetailCRM не удалось прочитать", "RetailCRM's request could not be read";
        UnsupportedType: "Тип содержимого запроса не поддерживается", "The request's content type is not supported";
        NoInput: "В запросе RetailCRM нет данных этого действия", "RetailCRM's request has no data for this action";
        Starting: "Сервис интеграции временно недоступен, повторите через минуту",
            "The integration is temporarily unavailable, try again in a minute";
        Deadline: "Сервис интеграции не ответил вовремя, повторите через минуту",
            "The integration did not answer in time, try again in a minute";
        UnknownOrder: "Такого заказа или ошибки в этом подключении нет",
            "This connection has no such order or failure";
        NotSigned: "Ключ не подписан секретом модуля", "The key is not signed with the module's secret";
        ForeignAddress: "Это не адрес RetailCRM", "This is no address of RetailCRM's";
        Busy: "Слишком много запросов за короткое время, повторите через минуту",
            "Too many requests within a short time, try again in a minute";
        Limited: "Слишком много ошибочных запросов: повторите позже", "Too many failed requests: try again later";
        Internal: "Внутренняя ошибка сервиса интеграции", "Internal error of the integration";
    }
}

/// Reads a form.
///
/// # Errors
/// What its sender is told.
pub(crate) async fn fields_of(state: &State, request: Request) -> Result<(Parts, Fields), Told> {
    let (head, body) = request.into_parts();
    if !matches!(head.method, Method::GET | Method::POST) {
        return Err(Told::Stranger(StatusCode::METHOD_NOT_ALLOWED, Sentence::NotAllowed));
    }
    let body = body::read_body(body, BODY_LIMIT, state.0.patience.body).await.map_err(|reply| match reply {
        Reply::TooLarge => Told::Stranger(StatusCode::PAYLOAD_TOO_LARGE, Sentence::TooLarge),
        Reply::TimedOut => Told::Stranger(StatusCode::REQUEST_TIMEOUT, Sentence::TimedOut),
        _ => Told::Stranger(StatusCode::BAD_REQUEST, Sentence::Unreadable),
    })?;
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let fields = Fields::read(head.uri.query(), kind, &body).map_err(|unreadable| match unreadable {
        Unreadable::Type => Told::Stranger(StatusCode::UNSUPPORTED_MEDIA_TYPE, Sentence::UnsupportedType),
        Unreadable::Content => Told::Stranger(StatusCode::BAD_REQUEST, Sentence::Unreadable),
    })?;
    Ok((head, fields))
}

/// Reads a form and knows whose it is.
///
/// # Errors
/// What its sender is told.
pub(crate) async fn admit(state: &State, request: Request) -> Result<(Parts, Fields, IntegrationId), Told> {
    let (head, fields) = fields_of(state, request).await?;
    // Who is asked for comes first: a stranger learns nothing about what is wrong.
    match state.0.keys.find_client(fields.text("clientId").unwrap_or("")) {
        KeyLookup::Known(known) => Ok((head, fields, known.integration)),
        KeyLookup::Unknown => Err(Told::Stranger(StatusCode::FORBIDDEN, Sentence::UnknownClient)),
        KeyLookup::NotLoaded => Err(Told::Stranger(StatusCode::OK, Sentence::Starting)),
    }
}

async fn handle(state: &State, action: Option<&'static str>, request: Request) -> Told {
    let (head, fields, integration) = match admit(state, request).await {
        Ok(admitted) => admitted,
        Err(told) => return told,
    };
    let Some(action) = action else { return Told::Error(StatusCode::NOT_FOUND, Sentence::UnknownAction) };
    let request = match input(action, &fields) {
        Ok(request) => request,
        Err(say) => return Told::Error(StatusCode::BAD_REQUEST, say),
    };
    let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    match call(state, integration, action, request, traceparent).await {
        Ok(reply) => Told::Reply(reply),
        Err(RpcError::Unavailable) => Told::Error(StatusCode::OK, Sentence::Starting),
        Err(RpcError::Deadline) => Told::Error(StatusCode::OK, Sentence::Deadline),
    }
}

/// What the worker is asked: the field's JSON, or the fields as an object.
fn input(action: &str, fields: &Fields) -> Result<Value, Sentence> {
    let how = ACTIONS.iter().find(|(name, _)| *name == action).map_or(Input::Fields, |(_, how)| *how);
    match how {
        Input::Field => fields.json(action).ok_or(Sentence::NoInput)?.map_err(|()| Sentence::Unreadable),
        Input::Fields => Ok(Value::Object(plain(fields))),
        Input::FieldsWith(name) => {
            let mut all = plain(fields);
            if let Some(read) = fields.json(name) {
                all.insert(name.to_owned(), read.map_err(|()| Sentence::Unreadable)?);
            }
            Ok(Value::Object(all))
        }
    }
}

fn plain(fields: &Fields) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, _)| *name != "clientId")
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

fn from_worker(reply: CallbackReply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.media.mime()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if reply.media == Media::Pdf {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"measoft.pdf\""));
    }
    response
}

fn error(status: StatusCode, say: Sentence, language: Language) -> Response {
    let body = serde_json::json!({ "success": false, "errorMsg": say.text(language) }).to_string();
    let mut response = from_worker(CallbackReply::json(status.as_u16(), body.into_bytes()));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_recognised_however_they_were_joined() {
        for path in ["/retailcrm/callback/save", "//retailcrm/callback/save", "/retailcrm//callback/save/"] {
            assert_eq!(action_of(path), Some(Some("save")), "{path}");
        }
        assert_eq!(action_of("/retailcrm/activity"), Some(Some("activity")));
        assert_eq!(action_of("/retailcrm/callback/settings"), Some(Some("settings")));
        assert_eq!(action_of("/retailcrm/callback/shipmentSave"), Some(None));
        assert_eq!(action_of("/retailcrm/callback"), Some(None));
        assert_eq!(action_of("/retailcrm/account"), None);
        assert_eq!(action_of("/"), None);
    }

    #[test]
    fn what_is_said_without_a_worker_exists_in_both_languages() {
        for say in Sentence::ALL {
            assert!(!say.text(Language::Ru).is_ascii() && say.text(Language::En).is_ascii(), "{say:?}");
        }
    }
}
