//! The order card's widget inside RetailCRM: what it is loaded from, what it asks and what it does.
//! RetailCRM passes `host.httpCall` on as a form of `clientId` and `payload`, JSON
//! (protocols/retailcrm.md#widget); words are made here, so that the widget has none of its own.

mod acts;
mod files;
mod read;
mod seen;
mod words;

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::domain::{CrmOrderId, IntegrationId, Language};
use shared::message::CallbackReply;
use shared::store::StoreError;

use crate::State;
use crate::buckets::Buckets;
use crate::callbacks::form::Fields;
use crate::callbacks::{Sentence, Told, admit, told};
use crate::widget::files::{File, Files};

/// What the widget needs of a process.
pub(crate) struct Widget {
    files: Option<Files>,
    /// Every card that is opened asks once, and each one that waits every few seconds.
    calls: Buckets<IntegrationId>,
}

impl Widget {
    /// With what its folder holds now.
    pub(crate) fn of(folder: Option<&Path>) -> Self {
        Self { files: folder.and_then(Files::read), calls: Buckets::new(120.0, 30.0) }
    }
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Order,
    Story,
    Retry,
    Courier,
    Failures,
    File(File),
    Unknown,
}

impl Asked {
    /// `None` when the path is none of the widget's.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(match parts.as_slice() {
            ["retailcrm", "widget", name] => match *name {
                "order" => Self::Order,
                "story" => Self::Story,
                "retry" => Self::Retry,
                "ask" => Self::Courier,
                "failures" => Self::Failures,
                _ => Self::Unknown,
            },
            ["retailcrm", "extension", rest @ ..] => File::of(rest).map_or(Self::Unknown, Self::File),
            ["retailcrm", "widget", ..] => Self::Unknown,
            _ => return None,
        })
    }
}

/// What the widget sends along.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    /// RetailCRM's id of the order that is open, and its number.
    order: Option<i64>,
    number: Option<String>,
    /// RetailCRM's `system.locale`: `ru-RU`, `en-GB`, `es-ES`.
    language: Option<String>,
    letter: Option<i64>,
    /// What a card showed under `ask`.
    seen: Option<i64>,
    /// Only older failures than this.
    before: Option<i64>,
}

impl Payload {
    fn of(fields: &Fields) -> Result<Self, Sentence> {
        let sent = fields.json("payload").ok_or(Sentence::NoInput)?.map_err(|()| Sentence::Unreadable)?;
        serde_json::from_value(sent).map_err(|_| Sentence::Unreadable)
    }

    fn language(&self, otherwise: Language) -> Language {
        match self.language.as_deref() {
            Some(locale) if locale.starts_with("ru") => Language::Ru,
            Some(_) => Language::En,
            None => otherwise,
        }
    }

    fn order(&self) -> Result<CrmOrderId, Sentence> {
        self.order.map(CrmOrderId).ok_or(Sentence::NoInput)
    }
}

/// One request, of a client that is known.
struct Call<'a> {
    state: &'a State,
    integration: IntegrationId,
    payload: Payload,
    language: Language,
}

/// Why a call is not answered.
enum Stop {
    Store(StoreError),
    Say(StatusCode, Sentence),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Sentence> for Stop {
    fn from(say: Sentence) -> Self {
        Self::Say(StatusCode::BAD_REQUEST, say)
    }
}

const UNKNOWN: Stop = Stop::Say(StatusCode::NOT_FOUND, Sentence::UnknownOrder);

/// Answers anything of the widget.
pub(crate) async fn answer(
    state: &State,
    asked: Asked,
    request: Request,
    from: IpAddr,
    language: Language,
) -> Response {
    if let Asked::File(file) = asked {
        return files::answer(state, file, &request);
    }
    let refuse = async |refused| told(state, std::future::ready(refused), "widget", from, language).await;
    if request.method() != Method::POST {
        return refuse(Told::Stranger(StatusCode::METHOD_NOT_ALLOWED, Sentence::NotAllowed)).await;
    }
    let (fields, integration) = match admit(state, request).await {
        Ok((_, fields, integration)) => (fields, integration),
        Err(refused) => return refuse(refused).await,
    };
    if !state.0.widget.calls.allow_at(integration, Instant::now()) {
        return refuse(Told::Busy).await;
    }
    let payload = match Payload::of(&fields) {
        Ok(payload) => payload,
        Err(say) => return refuse(Told::Error(StatusCode::BAD_REQUEST, say)).await,
    };
    let language = payload.language(language);
    let call = Call { state, integration, payload, language };
    told(state, call.handle(asked), "widget", from, language).await
}

impl Call<'_> {
    async fn handle(&self, asked: Asked) -> Told {
        let answered = match asked {
            Asked::Order => self.card().await.and_then(reply),
            Asked::Story => self.story().await.and_then(reply),
            Asked::Failures => self.failures().await.and_then(reply),
            Asked::Retry => self.retry().await.and_then(reply),
            Asked::Courier => self.ask().await.and_then(reply),
            Asked::File(_) | Asked::Unknown => Err(Stop::Say(StatusCode::NOT_FOUND, Sentence::UnknownAction)),
        };
        match answered {
            Ok(reply) => Told::Reply(reply),
            Err(Stop::Say(status, say)) => Told::Error(status, say),
            Err(Stop::Store(error)) => {
                tracing::warn!(%error, "the order card's widget has no database");
                Told::Error(StatusCode::OK, Sentence::Starting)
            }
        }
    }
}

fn reply(result: impl Serialize) -> Result<CallbackReply, Stop> {
    let body = json!({ "success": true, "result": result }).to_string();
    Ok(CallbackReply::json(200, body.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_widget_are_recognised() {
        assert_eq!(Asked::of("/retailcrm/widget/order"), Some(Asked::Order));
        assert_eq!(Asked::of("//retailcrm/widget/ask/"), Some(Asked::Courier));
        assert_eq!(Asked::of("/retailcrm/widget/nothing"), Some(Asked::Unknown));
        assert_eq!(Asked::of("/retailcrm/extension/measoft"), Some(Asked::File(File::Page)));
        assert_eq!(Asked::of("/retailcrm/extension/measoft/script"), Some(Asked::File(File::Script)));
        assert_eq!(Asked::of("/retailcrm/extension/measoft/../secret.key"), Some(Asked::Unknown));
        assert_eq!(Asked::of("/retailcrm/callback/save"), None);
    }
}
