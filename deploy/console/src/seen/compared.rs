//! What three books do not agree on, in words.

use bridge_worker::compare::Reads;
use bridge_worker::compare::books::{Book, Disagreement, Found};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::domain::Language;

use crate::seen::words::of;

/// The day before, in the zone in which people read moments.
///
/// # Errors
/// At the beginning of time.
pub fn yesterday(now: Timestamp, zone: &TimeZone) -> Result<Date, jiff::Error> {
    now.to_zoned_datetime(zone.clone()).date().yesterday()
}

/// What is wrong.
pub const fn what(one: &Found, language: Language) -> &'static str {
    match (one.what, one.book) {
        (Disagreement::Missing, Book::Ledger) => of(language, "не передан", "not handed over"),
        (Disagreement::Missing, _) => of(language, "нет в MeaSoft", "not at MeaSoft"),
        (Disagreement::Extra, _) => of(language, "лишний в MeaSoft", "too much at MeaSoft"),
        (Disagreement::Status, _) => of(language, "другой статус", "another status"),
        (Disagreement::Sum, Book::RetailCrm) => of(language, "сумма в RetailCRM другая", "another sum in RetailCRM"),
        (Disagreement::Sum, _) => of(language, "сумма в MeaSoft другая", "another sum at MeaSoft"),
    }
}

/// What makes it good, by its word.
pub const fn repair(word: &str, language: Language) -> &'static str {
    match word.as_bytes() {
        b"send" => of(language, "отправить", "send"),
        b"update" => of(language, "изменить", "update"),
        b"cancel" => of(language, "отменить", "cancel"),
        _ => of(language, "запросить статусы", "fetch statuses"),
    }
}

/// What is being read.
pub fn reads(step: Reads, language: Language) -> String {
    match (step, language) {
        (Reads::Page(page), Language::Ru) => format!("RetailCRM, страница {page}"),
        (Reads::Page(page), Language::En) => format!("RetailCRM, page {page}"),
        (Reads::ByIds(number), Language::Ru) => format!("RetailCRM, заказов по идентификаторам: {number}"),
        (Reads::ByIds(number), Language::En) => format!("RetailCRM, {number} orders by their ids"),
        (Reads::Days, Language::Ru) => "MeaSoft, заказы трёх дней".to_owned(),
        (Reads::Days, Language::En) => "MeaSoft, orders of three days".to_owned(),
        (Reads::ByNumber(n, all), Language::Ru) => format!("MeaSoft, заказ {n} из {all} по номеру"),
        (Reads::ByNumber(n, all), Language::En) => format!("MeaSoft, order {n} of {all} by its number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yesterday_is_that_of_the_reader() {
        let late = "2026-09-01T22:30:00Z".parse().expect("a moment");
        let moscow = TimeZone::get("Europe/Moscow").expect("a zone");
        assert_eq!(yesterday(late, &moscow).expect("a day").to_string(), "2026-09-01");
        assert_eq!(yesterday(late, &TimeZone::UTC).expect("a day").to_string(), "2026-08-31");
    }
}
