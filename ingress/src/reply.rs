//! What a trigger's sender gets to read: one shape for every answer, in Russian or
//! English.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use shared::domain::Language;
use shared::telemetry::metrics::TriggerResult;
use uuid::Uuid;

use crate::bilingual::bilingual;

bilingual! {
    /// What is wrong with a request's parameters.
    pub enum Bad {
        NoId: "Не передан параметр id (номер заказа)", "The parameter id (order number) is missing";
        EmptyId: "Параметр id (номер заказа) пуст", "The parameter id (order number) is empty";
        IdTwice: "Параметр id (номер заказа) передан дважды", "The parameter id (order number) is given twice";
        IdTooLong: "Параметр id (номер заказа) длиннее 255 символов",
            "The parameter id (order number) is longer than 255 characters";
        /// Not UTF-8 after decoding, a broken escape, a control character, or not a text.
        IdUnreadable: "Параметр id (номер заказа) не читается: ожидается текст в UTF-8",
            "The parameter id (order number) cannot be read: UTF-8 text is expected";
        /// Two keys that differ: which integration is meant?
        KeyTwice: "Параметр key передан дважды с разными значениями",
            "The parameter key is given twice with different values";
        NoPairs: "Не передано ни одной пары «код типа доставки = ключ»: непонятно, какая интеграция отменяет заказ",
            "No pair «delivery type code = key» is given: it is not clear which integration cancels the order";
        SeveralAccounts: "Ключи в запросе принадлежат разным аккаунтам RetailCRM",
            "The keys of the request belong to different RetailCRM accounts";
        Json: "Тело запроса не является плоским объектом JSON", "The body is not a flat JSON object";
        Body: "Тело запроса не удалось прочитать", "The body could not be read";
    }
}

/// Every answer of ingress to a trigger, or to a path that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Stored durably under this command id.
    Accepted(Uuid),
    Bad(Bad),
    Forbidden,
    NotFound,
    /// With the value of `Allow`.
    NotAllowed(&'static str),
    TimedOut,
    TooLarge,
    UnsupportedType,
    Limited,
    /// Nothing can be stored, or no key was ever read.
    Unavailable,
    Internal,
}

/// Seconds a sender is asked to wait.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Reply {
    /// What it is to the metrics, and to the sender's program.
    const fn kind(self) -> (TriggerResult, StatusCode) {
        match self {
            Self::Accepted(_) => (TriggerResult::Accepted, StatusCode::OK),
            Self::Bad(_) => (TriggerResult::BadRequest, StatusCode::BAD_REQUEST),
            Self::Forbidden => (TriggerResult::Forbidden, StatusCode::FORBIDDEN),
            Self::NotFound => (TriggerResult::NotFound, StatusCode::NOT_FOUND),
            Self::NotAllowed(_) => (TriggerResult::NotAllowed, StatusCode::METHOD_NOT_ALLOWED),
            Self::TimedOut => (TriggerResult::TimedOut, StatusCode::REQUEST_TIMEOUT),
            Self::TooLarge => (TriggerResult::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedType => (TriggerResult::UnsupportedType, StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::Limited => (TriggerResult::Limited, StatusCode::TOO_MANY_REQUESTS),
            Self::Unavailable => (TriggerResult::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => (TriggerResult::Internal, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    pub const fn result(self) -> TriggerResult {
        self.kind().0
    }

    pub const fn status(self) -> StatusCode {
        self.kind().1
    }

    const fn text(self, language: Language) -> &'static str {
        match (language, self) {
            (_, Self::Accepted(_)) => "",
            (_, Self::Bad(bad)) => bad.text(language),
            (Language::Ru, Self::Forbidden) => "Ключ интеграции не найден: проверьте параметры триггера",
            (Language::En, Self::Forbidden) => "The integration key is not known: check the trigger's parameters",
            (Language::Ru, Self::NotFound) => "Такого адреса нет: проверьте URL триггера",
            (Language::En, Self::NotFound) => "There is no such address: check the trigger's URL",
            (Language::Ru, Self::NotAllowed(_)) => {
                "Этот метод здесь не поддерживается: триггер отправляется методом POST"
            }
            (Language::En, Self::NotAllowed(_)) => "This method is not supported here: a trigger is sent by POST",
            (Language::Ru, Self::TimedOut) => "Тело запроса не пришло вовремя",
            (Language::En, Self::TimedOut) => "The body did not arrive in time",
            (Language::Ru, Self::TooLarge) => "Тело запроса больше 64 КиБ",
            (Language::En, Self::TooLarge) => "The body is larger than 64 KiB",
            (Language::Ru, Self::UnsupportedType) => {
                "Тип содержимого не поддерживается: передавайте параметры в теле запроса (urlencode) или в JSON"
            }
            (Language::En, Self::UnsupportedType) => {
                "The content type is not supported: send the parameters in the body (urlencode) or as JSON"
            }
            (Language::Ru, Self::Limited) => "Слишком много ошибочных запросов: повторите позже",
            (Language::En, Self::Limited) => "Too many failed requests: try again later",
            (Language::Ru, Self::Unavailable) => "Сервис временно недоступен, запрос не принят: повторите позже",
            (Language::En, Self::Unavailable) => {
                "The service is temporarily unavailable, the request was not accepted: try again later"
            }
            (Language::Ru, Self::Internal) => "Внутренняя ошибка сервиса, запрос не принят",
            (Language::En, Self::Internal) => "Internal error of the service, the request was not accepted",
        }
    }

    /// The texts above hold nothing that JSON would escape.
    fn body(self, language: Language) -> String {
        match self {
            Self::Accepted(id) => format!(r#"{{"success":true,"id":"{id}"}}"#),
            other => format!(r#"{{"success":false,"errorMsg":"{}"}}"#, other.text(language)),
        }
    }

    pub fn into_response(self, language: Language) -> Response {
        let mut response = Response::new(Body::from(self.body(language)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        match self {
            Self::Unavailable | Self::Limited => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::NotAllowed(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_exists_in_both_languages_and_is_valid_json() {
        let others = [
            Reply::Forbidden,
            Reply::NotFound,
            Reply::NotAllowed("POST"),
            Reply::TimedOut,
            Reply::TooLarge,
            Reply::UnsupportedType,
            Reply::Limited,
            Reply::Unavailable,
            Reply::Internal,
        ];
        for reply in Bad::ALL.iter().copied().map(Reply::Bad).chain(others) {
            let read = |language| {
                let body: serde_json::Value = serde_json::from_str(&reply.body(language)).expect("JSON");
                assert_eq!(body["success"], false);
                body["errorMsg"].as_str().expect("a text").to_owned()
            };
            let (ru, en) = (read(Language::Ru), read(Language::En));
            assert!(ru.chars().any(|c| ('а'..='я').contains(&c)), "{ru}");
            assert!(!en.is_empty() && !en.chars().any(|c| ('а'..='я').contains(&c)), "{en}");
        }
    }
}
