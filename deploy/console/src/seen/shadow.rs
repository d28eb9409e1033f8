//! What a shadow found, in words.

use std::collections::BTreeMap;

use bridge_worker::order::figures::Field;
use shared::domain::Language;
use shared::explain;
use shared::phrases::{Reader, Value as _};
use shared::store::shadow_orders::{Difference, ShadowOrder, Side, Verdict};

use crate::seen::words::of;

/// How many orders came to what; those that are live are none of it.
pub fn counts(rows: &[ShadowOrder]) -> BTreeMap<Verdict, usize> {
    let mut counts: BTreeMap<Verdict, usize> = Verdict::ALL.into_iter().map(|verdict| (verdict, 0)).collect();
    for row in rows.iter().filter(|row| row.side == Side::Shadow) {
        *counts.entry(row.verdict).or_default() += 1;
    }
    counts
}

/// Somebody should look at it.
pub const fn is_told(row: &ShadowOrder) -> bool {
    let of_note =
        matches!(row.verdict, Verdict::Different | Verdict::MissingThere | Verdict::MissingHere | Verdict::Refused);
    matches!(row.side, Side::Shadow) && of_note
}

pub const fn verdict(verdict: Verdict, language: Language) -> &'static str {
    match verdict {
        Verdict::Nothing => of(language, "нечего сравнивать", "nothing to compare"),
        Verdict::Waiting => of(language, "ещё не проверен", "not asked about yet"),
        Verdict::Same => of(language, "совпадает", "same"),
        Verdict::Different => of(language, "отличается", "different"),
        Verdict::MissingThere => of(language, "нет в MeaSoft", "missing at MeaSoft"),
        Verdict::MissingHere => of(language, "триггер не приходил", "no trigger came here"),
        Verdict::Refused => of(language, "мы бы отказали", "we would refuse it"),
    }
}

pub fn field(name: &str, language: Language) -> &'static str {
    match Field::ALL.into_iter().find(|field| field.as_str() == name) {
        Some(Field::Placed) => of(language, "заказ", "order"),
        Some(Field::Sum) => of(language, "сумма к получению", "sum to collect"),
        Some(Field::PayType) => of(language, "вид оплаты", "payment type"),
        Some(Field::Lines) => of(language, "позиции", "lines"),
        Some(Field::Declared) => of(language, "объявленная ценность", "declared value"),
        Some(Field::Phone) => of(language, "телефон", "phone"),
        Some(Field::Person) => of(language, "получатель", "receiver"),
        Some(Field::Town) => of(language, "город", "town"),
        Some(Field::Date) => of(language, "дата", "date"),
        Some(Field::Window) => of(language, "время", "hours"),
        Some(Field::Weight) => of(language, "вес", "weight"),
        Some(Field::Service) => of(language, "режим доставки", "delivery mode"),
        None => of(language, "другое", "something else"),
    }
}

fn differs(one: &Difference, language: Language) -> String {
    let name = field(&one.field, language);
    match (&one.ours, &one.theirs) {
        (None, None) => format!("{name}: {}", of(language, "отличается", "differs")),
        (ours, theirs) => {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "—".to_owned());
            let (we, they) = (of(language, "у нас", "ours"), of(language, "в MeaSoft", "at MeaSoft"));
            format!("{name}: {we} {}, {they} {}", shown(ours), shown(theirs))
        }
    }
}

/// What differs, the most important first, or why we would refuse it.
pub fn why(row: &ShadowOrder, language: Language) -> String {
    if let Some(refusal) = row.content.refusal.as_ref().filter(|_| row.verdict == Verdict::Refused) {
        let text = explain::translated(&refusal.reason, language).text;
        let detail = refusal.detail.words(&Reader { language, ..Reader::plain() });
        return if detail.is_empty() { text.to_owned() } else { format!("{text} ({detail})") };
    }
    let differences = row.content.differences.iter().map(|one| differs(one, language));
    differences.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::domain::IntegrationId;

    use super::*;

    #[test]
    fn what_differs_is_said_with_both_values_and_of_people_only_that_it_does() {
        let mut row = ShadowOrder::new(IntegrationId(1), None, "1", Side::Shadow, Timestamp::UNIX_EPOCH);
        row.verdict = Verdict::Different;
        let value = |text: &str| Some(text.to_owned());
        row.content.differences = vec![
            Difference { field: "sum".to_owned(), ours: value("0.00"), theirs: value("2849.90") },
            Difference { field: "phone".to_owned(), ours: None, theirs: None },
        ];
        assert_eq!(why(&row, Language::En), "sum to collect: ours 0.00, at MeaSoft 2849.90; phone: differs");
        assert!(is_told(&row));
        row.side = Side::Live;
        assert!(!is_told(&row) && counts(&[row])[&Verdict::Different] == 0);
    }
}
