//! Entries of the journal in the reader's words: what was done, what came of it, and what is to be
//! said of it.

use crate::domain::Language;
use crate::measoft;
use crate::phrases::Reader;
use crate::retailcrm;
use crate::store::journal::{StoredEntry, What};
use crate::story;

const fn of(language: Language, ru: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

/// What an entry is about, in a few words.
pub fn head(kept: &StoredEntry, language: Language) -> String {
    let outcome = kept.outcome.as_deref();
    let result = outcome.and_then(|outcome| outcome_words(outcome, language));
    let subject = match kept.what {
        What::Trigger if kept.op.is_some() => of(language, "Обращение RetailCRM", "RetailCRM's request").to_owned(),
        What::Trigger => of(language, "Триггер RetailCRM", "RetailCRM's trigger").to_owned(),
        What::Decision => of(language, "Решение", "Decision").to_owned(),
        What::Status => of(language, "Статус из MeaSoft", "Status of MeaSoft").to_owned(),
        What::Operator => of(language, "Действие сотрудника", "A person's act").to_owned(),
        What::Call | What::Crm => match (kept.vendor.as_deref(), kept.op.as_deref()) {
            (Some(vendor), Some(op)) => {
                let whose = if vendor == "measoft" { "MeaSoft" } else { "RetailCRM" };
                format!("{whose}: {}", operation(vendor, op, language))
            }
            _ => of(language, "Передано в RetailCRM", "RetailCRM was told").to_owned(),
        },
    };
    result.map_or_else(|| subject.clone(), |result| format!("{subject} — {result}"))
}

/// What is to be said of an entry; an empty text: its head says all. Entries of releases that knew no
/// story are told as they are.
pub fn story(kept: &StoredEntry, reader: &Reader) -> String {
    if kept.story.is_empty() && kept.vendor.is_some() && kept.op.as_deref() == Some(kept.text.as_str()) {
        return String::new();
    }
    if kept.story.is_empty() { kept.text.clone() } else { story::words(&kept.story, reader) }
}

/// Whether an entry is one of a release that knew no story: its words are English.
pub fn is_old(kept: &StoredEntry) -> bool {
    kept.story.is_empty() && !kept.text.is_empty()
}

/// In one line.
pub fn line(kept: &StoredEntry, reader: &Reader) -> String {
    let (head, story) = (head(kept, reader.language), story(kept, reader));
    if story.is_empty() { head } else { format!("{head}: {story}") }
}

/// What is asked of a vendor.
pub fn operation(vendor: &str, op: &str, language: Language) -> &'static str {
    if vendor == "measoft" { measoft_words(op, language) } else { crm_words(op, language) }
}

/// Whether what came of it is what was wanted.
pub fn is_good(outcome: &str) -> bool {
    matches!(outcome, "ok" | "done" | "already_done" | "superseded" | "repair")
}

/// `None`: it says nothing to people, an id for one.
fn outcome_words(outcome: &str, language: Language) -> Option<&'static str> {
    let (ru, en) = match outcome {
        "ok" => ("принято", "accepted"),
        "done" => ("выполнено", "done"),
        "already_done" => ("действий не требуется", "nothing was to be done"),
        "superseded" => ("уже не нужно", "not wanted any more"),
        "retry_later" => ("отложено", "put off"),
        "give_up" => ("не выполнено", "given up"),
        "refused" => ("отказ", "refused"),
        "transient" => ("временный сбой", "a passing failure"),
        "unknown" => ("исход неизвестен", "the outcome is not known"),
        "blocked" => ("служба просит подождать", "asked to pause"),
        "config" => ("доступ запрещён: проверьте доступ", "not let in: look at the access"),
        "wrong_key" | "access_denied" => {
            ("доступ запрещён: проверьте ключ и его права", "not let in: look at the key and its rights")
        }
        "account_gone" => ("аккаунта по этому адресу нет", "there is no account at this address"),
        "not_found" => ("не найдено", "not found"),
        "rate_limited" => ("слишком много запросов", "too many requests"),
        "unavailable" | "unreachable" => ("не отвечает", "no answer"),
        "resting" => ("обращения временно приостановлены после отказов", "left alone after failures"),
        "bad_format" | "too_large" | "bad_answer" | "unreadable" => {
            ("ответ не удалось разобрать", "the answer cannot be read")
        }
        "abandoned" => ("прервано", "broken off"),
        "fence_lost" => ("заказ перешёл к другому процессу", "another process took the order over"),
        "repair" => ("исправлено сверкой", "mended by comparing both sides"),
        _ => return None,
    };
    Some(of(language, ru, en))
}

fn measoft_words(op: &str, language: Language) -> &'static str {
    use measoft::Op;
    let Some(op) = Op::parse(op) else { return of(language, "запрос", "a request") };
    let (ru, en) = match op {
        Op::NewOrder => ("создание заказа", "place the order"),
        Op::EditOrder => ("изменение заказа", "change the order"),
        Op::CancelOrder => ("отмена заказа", "cancel the order"),
        Op::StatusReq => ("запрос о заказе", "ask about the order"),
        Op::CommitLastStatus => ("подтверждение статусов", "acknowledge statuses"),
        Op::Calculator => ("расчёт стоимости", "ask for tariffs"),
        Op::Services => ("список режимов доставки", "list of delivery modes"),
        Op::PvzList => ("список пунктов выдачи", "list of pickup points"),
        Op::TownList => ("поиск города", "look up the town"),
        Op::Waybill => ("накладная", "waybill"),
        Op::Client => ("проверка доступа", "check the access"),
    };
    of(language, ru, en)
}

fn crm_words(op: &str, language: Language) -> &'static str {
    use retailcrm::Op;
    let Some(op) = Op::parse(op) else { return of(language, "запрос", "a request") };
    let (ru, en) = match op {
        Op::Orders => ("чтение заказов", "read orders"),
        Op::Order => ("чтение заказа", "read the order"),
        Op::OrderEdit => ("запись в заказ", "write to the order"),
        Op::OrderHistory => ("чтение истории заказов", "read the orders' history"),
        Op::PaymentCreate => ("создание оплаты", "make a payment"),
        Op::PaymentEdit => ("изменение оплаты", "change the payment"),
        Op::PaymentDelete => ("удаление оплаты", "delete the payment"),
        Op::Tracking => ("передача статуса доставки", "tell the delivery's status"),
        Op::PaymentTypes => ("список типов оплаты", "list of payment types"),
        Op::PaymentStatuses => ("список статусов оплаты", "list of payment statuses"),
        Op::ProductStatuses => ("список статусов товаров", "list of product statuses"),
        Op::DeliveryTypes => ("список типов доставки", "list of delivery types"),
        Op::Statuses => ("список статусов заказа", "list of order statuses"),
        Op::Credentials => ("проверка доступа", "check the access"),
        Op::Settings => ("настройки аккаунта", "the account's settings"),
        Op::Module => ("модуль доставки", "the delivery module"),
        Op::ModuleEdit => ("изменение модуля доставки", "change the delivery module"),
        Op::NotificationSend => ("уведомление сотрудников", "notify users"),
    };
    of(language, ru, en)
}

/// How long it took.
pub fn took(ms: i64, language: Language) -> String {
    match (ms, language) {
        (..1000, Language::Ru) => format!("{ms} мс"),
        (..1000, Language::En) => format!("{ms} ms"),
        (_, Language::Ru) => format!("{},{} с", ms / 1000, ms % 1000 / 100),
        (_, Language::En) => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: What, vendor: Option<&str>, op: Option<&str>, outcome: Option<&str>) -> StoredEntry {
        StoredEntry {
            id: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            integration: None,
            number: None,
            orderno: None,
            what,
            vendor: vendor.map(str::to_owned),
            op: op.map(str::to_owned),
            outcome: outcome.map(str::to_owned),
            duration_ms: None,
            http_status: None,
            text: "said in English".to_owned(),
            story: Vec::new(),
            request: None,
            response: None,
        }
    }

    #[test]
    fn an_entry_is_told_in_either_language_without_a_bare_code() {
        let call = entry(What::Call, Some("measoft"), Some("neworder"), Some("refused"));
        assert_eq!(head(&call, Language::Ru), "MeaSoft: создание заказа — отказ");
        assert_eq!(head(&call, Language::En), "MeaSoft: place the order — refused");
        let crm = entry(What::Crm, Some("retailcrm"), Some("order_edit"), Some("ok"));
        assert_eq!(head(&crm, Language::Ru), "RetailCRM: запись в заказ — принято");
        let trigger = entry(What::Trigger, None, None, Some("0198c1f0-0000-7000-8000-000000000000"));
        assert_eq!(head(&trigger, Language::Ru), "Триггер RetailCRM");
        for op in measoft::Op::ALL.map(measoft::Op::as_str).iter().chain(&retailcrm::Op::ALL.map(retailcrm::Op::as_str))
        {
            for vendor in ["measoft", "retailcrm"] {
                let told = head(&entry(What::Call, Some(vendor), Some(op), None), Language::Ru);
                assert!(!told.contains(op), "{told}");
            }
        }
    }

    #[test]
    fn a_span_is_told_in_its_unit() {
        assert_eq!([took(850, Language::Ru), took(1250, Language::Ru)], ["850 мс", "1,2 с"]);
        assert_eq!(took(61_000, Language::En), "61.0 s");
    }
}
