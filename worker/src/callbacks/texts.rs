//! What managers read when something fails: the vendor's own text where there is one
//! (seed: «Проверка работоспособности интеграции»).

use shared::domain::{Language, PausedBy};
use shared::explain;
use shared::measoft::{Class, MeasoftError};
use shared::message::{GiveUp, Outcome, RetryWhy};
use shared::phrases::{Details, Reader, Value as _};
use shared::reason;
use shared::retailcrm::tolerant::Misread;
use shared::store::dead_letters::DeadLetter;
use shared::store::journal::{Entry, What};
use shared::story::Event;

use crate::callbacks::{CallbackContext, Refusal};
use crate::vendor::ActiveIntegration;

/// Whoever gets an answer to a callback: there are no moments in it.
pub(crate) fn reader(language: Language) -> Reader {
    Reader { language, ..Reader::plain() }
}

/// The sentence managers know for an answer that is no answer.
pub const WRONG_FORMAT_RU: &str = "Служба доставки прислала ответ в неверном формате";

pub(crate) const fn pick(language: Language, ru: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

pub fn wrong_format(language: Language) -> Refusal {
    let text = pick(language, WRONG_FORMAT_RU, "The delivery service sent an answer in a wrong format");
    Refusal::new("bad_answer", text)
}

/// The bridge itself cannot work now.
pub fn unavailable(language: Language) -> Refusal {
    let text = pick(
        language,
        "Сервис интеграции временно недоступен, повторите через минуту",
        "The integration is temporarily unavailable, try again in a minute",
    );
    Refusal::new("unavailable", text)
}

/// MeaSoft is not reachable or keeps us waiting.
/// One shop's requests that wait for its courier.
pub fn too_many(language: Language) -> Refusal {
    let text = pick(
        language,
        "Слишком много запросов ждут ответа курьерской службы, повторите через минуту",
        "Too many requests wait for the courier service's answer, try again in a minute",
    );
    Refusal::new("too_many", text)
}

/// A document that is longer than can be handed over; `bytes` may be unknown.
pub fn too_large(language: Language, bytes: usize, longest: usize) -> Refusal {
    let mib = |bytes: usize| bytes.div_ceil(1024 * 1024);
    let text = match language {
        Language::Ru => format!(
            "Документ слишком большой: {} МиБ, передать можно до {} МиБ. Выберите меньше заказов и повторите",
            mib(bytes),
            longest / (1024 * 1024)
        ),
        Language::En => format!(
            "The document is too large: {} MiB, up to {} MiB can be handed over. Choose fewer orders and try again",
            mib(bytes),
            longest / (1024 * 1024)
        ),
    };
    Refusal::new("too_large", text)
}

pub fn courier_away(language: Language) -> Refusal {
    let text = pick(
        language,
        "Курьерская служба сейчас не отвечает, повторите позже",
        "The courier service does not answer now, try again later",
    );
    Refusal::new("courier_away", text)
}

/// A request of RetailCRM's that cannot be understood; names the place, never the value.
pub fn misread(language: Language, misread: &Misread) -> Refusal {
    let text = pick(language, "Запрос RetailCRM не удалось прочитать", "RetailCRM's request could not be read");
    Refusal::new("bad_request", format!("{text} ({misread})")).with_status(400)
}

pub fn unknown_delivery(language: Language) -> Refusal {
    let text = pick(
        language,
        "Доставка с таким идентификатором в этой интеграции не найдена",
        "This integration has no delivery with this id",
    );
    Refusal::new("unknown_delivery", text).with_status(404)
}

pub const fn unknown_action(language: Language) -> &'static str {
    pick(language, "Модуль не поддерживает это действие", "The module does not support this action")
}

pub const fn foreign_address(language: Language) -> &'static str {
    pick(
        language,
        "Адрес системы не относится к RetailCRM и не принят",
        "The system's address is none of RetailCRM's and was not accepted",
    )
}

pub const fn key_refused_there(language: Language) -> &'static str {
    pick(
        language,
        "По новому адресу системы наш ключ API не принимается, адрес не изменён: введите новый ключ на странице настроек",
        "Our API key is not accepted at the system's new address, which was not taken over: enter a new key on the page of settings",
    )
}

pub fn no_city(language: Language) -> Refusal {
    let text = pick(language, "Укажите город доставки", "Enter the town of delivery");
    Refusal::new("no_city", text)
}

pub fn unknown_town(language: Language, city: &str) -> Refusal {
    let text = match language {
        Language::Ru => {
            format!("Город «{city}» не найден в справочнике курьерской службы: проверьте название и регион")
        }
        Language::En => format!("The courier service's list has no town «{city}»: check its name and region"),
    };
    Refusal::new("unknown_town", text)
}

/// Why an integration answers nothing now.
pub fn paused(language: Language, by: PausedBy) -> Refusal {
    let text = match by {
        PausedBy::Operator => pick(
            language,
            "Интеграция с курьерской службой приостановлена её администратором",
            "The integration with the courier service was paused by its operator",
        ),
        PausedBy::Crm => pick(
            language,
            "Модуль курьерской службы отключён или заморожен в RetailCRM: включите его в настройках интеграции",
            "The courier service's module is switched off or frozen in RetailCRM: switch it on in its settings",
        ),
        PausedBy::Credentials(shared::domain::Fault::Crm) => explain::reason(reason::CRM_ACCESS, language).text,
        PausedBy::Credentials(_) => pick(
            language,
            "Курьерская служба не принимает логин и пароль интеграции: проверьте их в настройках интеграции",
            "The courier service does not accept the integration's login and password: check its settings",
        ),
    };
    Refusal::new("paused", text)
}

/// What RetailCRM wants saved is saved by the integration whose shadow this one is.
pub fn in_shadow(language: Language) -> Refusal {
    let text = pick(
        language,
        "Интеграция работает в режиме тени и заказы не передаёт: оформляйте доставку прежней интеграцией",
        "The integration is in mode shadow and hands over no orders: save the delivery with the integration before it",
    );
    Refusal::new("in_shadow", text)
}

/// What the gate said instead of letting a request through.
pub fn held_back(language: Language, outcome: &Outcome) -> Refusal {
    match outcome {
        Outcome::RetryLater { why: RetryWhy::Budget, .. } => Refusal::new(
            "budget",
            pick(
                language,
                "Исчерпан лимит запросов к курьерской службе, повторите через минуту",
                "The limit of requests to the courier service is used up, try again in a minute",
            ),
        ),
        Outcome::GiveUp(give_up) => of(language, give_up),
        _ => courier_away(language),
    }
}

/// A give-up: MeaSoft's text verbatim, ours with its figures.
pub fn gave_up(language: Language, label: &str, detail: &Details) -> Refusal {
    let detail = detail.words(&reader(language));
    let ours = reason::OURS.iter().find(|(known, ..)| *known == label);
    let text = match (ours, detail.trim()) {
        (None, "") => explain::reason(label, language).text.to_owned(),
        (None, detail) => detail.to_owned(),
        (Some(_), "") => explain::reason(label, language).text.to_owned(),
        (Some(_), detail) => format!("{} ({detail})", explain::reason(label, language).text),
    };
    Refusal::new(ours.map_or("courier_refused", |(known, ..)| known), text)
}

pub fn dead_letter(language: Language, dead: &DeadLetter) -> Refusal {
    gave_up(language, &dead.reason, &dead.detail)
}

/// A give-up at hand.
pub fn of(language: Language, give_up: &GiveUp) -> Refusal {
    gave_up(language, give_up.reason, &give_up.detail)
}

/// A failed request to MeaSoft. What is in a wrong shape leaves its beginning in the journal.
pub async fn courier(
    context: &CallbackContext,
    active: &ActiveIntegration,
    number: Option<&str>,
    error: &MeasoftError,
) -> Refusal {
    let language = active.integration.settings.language;
    match error {
        MeasoftError::Refused { text, verdict, .. } => {
            if error.class() == Class::Config {
                context.tools.suspect_credentials(active, verdict.reason, verdict.fault, text).await;
            }
            gave_up(language, verdict.reason, &text.as_str().into())
        }
        MeasoftError::BadFormat { excerpt, .. } => {
            malformed(context, active, number, error, excerpt);
            wrong_format(language)
        }
        MeasoftError::WrongRoot { .. }
        | MeasoftError::NoRow { .. }
        | MeasoftError::BadRow { .. }
        | MeasoftError::TooLarge { .. }
        | MeasoftError::MalformedXml { .. } => {
            malformed(context, active, number, error, "");
            wrong_format(language)
        }
        MeasoftError::Http { .. }
        | MeasoftError::NotSent { .. }
        | MeasoftError::NoAnswer { .. }
        | MeasoftError::UnsafeUrl { .. }
        | MeasoftError::EmptyRequest { .. }
        | MeasoftError::NotBuilt { .. } => courier_away(language),
    }
}

fn malformed(
    context: &CallbackContext,
    active: &ActiveIntegration,
    number: Option<&str>,
    error: &MeasoftError,
    excerpt: &str,
) {
    let mut entry = Entry::new(context.tools.clock.now(), What::Decision, Event::NoAnswer { why: error.detail() })
        .outcome("bad_answer");
    entry.integration = Some(active.id());
    entry.number = number.map(str::to_owned);
    entry.response = (!excerpt.is_empty()).then(|| excerpt.to_owned());
    context.tools.journal.write(entry);
}

#[cfg(test)]
mod tests {
    use shared::domain::Kopecks;
    use shared::phrases::Detail;

    use super::*;

    #[test]
    fn measoft_s_words_reach_the_manager_as_they_are() {
        let text = "field [receiver phone] has no valid phone number";
        assert_eq!(gave_up(Language::Ru, "some_code_of_theirs", &text.into()).text, text);
        assert_eq!(gave_up(Language::Ru, reason::BAD_PHONE, &Details::NONE).text, text);
    }

    #[test]
    fn our_own_reasons_bring_their_figures() {
        let refusal = gave_up(
            Language::Ru,
            reason::SUM_MISMATCH,
            &Detail::LinesAsk { lines: Kopecks::roubles(1), collect: Kopecks::roubles(2) }.into(),
        );
        assert!(
            refusal.text.ends_with("(по позициям и доставке 1.00, к оплате при вручении 2.00)"),
            "{}",
            refusal.text
        );
        assert_eq!(refusal.status, 200);
    }

    #[test]
    fn a_document_that_is_too_large_is_refused_with_both_sizes() {
        let mib = 1024 * 1024;
        for language in [Language::Ru, Language::En] {
            let refusal = too_large(language, 70 * mib + 1, 64 * mib);
            assert!(refusal.text.contains("71") && refusal.text.contains("64"), "{}", refusal.text);
            assert_eq!(refusal.label, "too_large");
        }
    }

    #[test]
    fn every_pause_is_explained_in_both_languages() {
        for by in [
            PausedBy::Operator,
            PausedBy::Crm,
            PausedBy::Credentials(shared::domain::Fault::Crm),
            PausedBy::Credentials(shared::domain::Fault::Courier),
        ] {
            let (ru, en) = (paused(Language::Ru, by).text, paused(Language::En, by).text);
            assert!(!ru.is_ascii() && en.is_ascii(), "{ru} / {en}");
        }
    }
}
