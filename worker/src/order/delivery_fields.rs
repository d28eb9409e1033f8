//! The read-only fields that the module adds to the order's delivery block in RetailCRM: who
//! carries the parcel, when it comes, who took it, what went wrong and what to do
//! (protocols/retailcrm.md#data-fields).

use std::collections::BTreeMap;

use shared::crypto::SecretKey;
use shared::domain::Language;
use shared::measoft::Details;
use shared::retailcrm::wire::module::DataField;

const COURIER: &str = "courier";
const PLANNED_DATE: &str = "plannedDate";
const DELIVERED_TO: &str = "deliveredTo";
const ERROR: &str = "deliveryError";
const NEXT_STEP: &str = "nextStep";

/// Code, Russian and English label of each field.
const FIELDS: [(&str, &str, &str); 5] = [
    (COURIER, "Курьер", "Courier"),
    (PLANNED_DATE, "Плановая дата", "Planned date"),
    (DELIVERED_TO, "Кому вручено", "Handed to"),
    (ERROR, "Ошибка", "Error"),
    (NEXT_STEP, "Что сделать", "What to do"),
];

/// As the module declares them.
pub fn declared(language: Language) -> impl Iterator<Item = DataField> {
    FIELDS.into_iter().map(move |(code, ru, en)| DataField {
        code: code.to_owned(),
        label: match language {
            Language::Ru => ru,
            Language::En => en,
        }
        .to_owned(),
        kind: "text".to_owned(),
        visible: true,
        editable: false,
        ..DataField::default()
    })
}

/// The values of the fields. All of them: what is not known any more is emptied.
pub fn fields(details: &Details, key: &SecretKey, language: Language) -> BTreeMap<String, String> {
    let people = details.people(key);
    let planned = details.planned.as_ref().map(|planned| planned.words(language));
    [(COURIER, people.courier), (PLANNED_DATE, planned), (DELIVERED_TO, people.taken_by)]
        .into_iter()
        .map(|(code, value)| (code.to_owned(), value.unwrap_or_default()))
        .collect()
}

/// What is wrong and what to do; empty when nothing is.
pub fn trouble(what: Option<&str>, next_step: Option<&str>) -> BTreeMap<String, String> {
    [(ERROR, what), (NEXT_STEP, next_step)]
        .into_iter()
        .map(|(code, value)| (code.to_owned(), value.unwrap_or_default().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use shared::measoft::{CarriedBy, Planned, StatusRow};

    use super::*;
    use crate::testing::status_row;

    fn row(code: &str) -> StatusRow {
        StatusRow {
            courier: Some(CarriedBy { code: Some("31".to_owned()), name: "Петров Сергей".to_owned() }),
            deliveredto: Some("Орлова".to_owned()),
            planned: Some(Planned { date: "2026-09-02".to_owned(), from: Some("10:00".to_owned()), to: None }),
            ..status_row("A-1", code, 10)
        }
    }

    fn shown(row: &StatusRow, language: Language) -> Vec<String> {
        let key = SecretKey::from_bytes([7; 32]);
        fields(&Details::of(row, &key), &key, language).into_values().collect()
    }

    #[test]
    fn who_carries_and_who_took_it_and_when_it_comes_is_shown() {
        assert_eq!(shown(&row("COMPLETE"), Language::Ru), ["Петров Сергей", "Орлова", "02.09.2026, с 10:00"]);
        assert_eq!(shown(&row("COMPLETE"), Language::En)[2], "2026-09-02, from 10:00");
    }

    #[test]
    fn a_reason_is_no_receiver_and_a_cancelled_order_has_no_courier() {
        let mut cancelled = row("CANCELED");
        cancelled.courier = Some(CarriedBy { code: Some("CANCEL".to_owned()), name: "Отмена".to_owned() });
        cancelled.planned = None;
        assert_eq!(shown(&cancelled, Language::Ru), ["", "", ""]);
    }

    #[test]
    fn names_are_sealed_on_their_way_and_lost_with_the_key() {
        let key = SecretKey::from_bytes([7; 32]);
        let details = Details::of(&row("COMPLETE"), &key);
        let kept = serde_json::to_string(&details).expect("json");
        assert!(!kept.contains("Петров") && !kept.contains("Орлова") && kept.contains("2026-09-02"), "{kept}");
        let lost = fields(&details, &SecretKey::from_bytes([8; 32]), Language::Ru);
        assert_eq!(lost.into_values().collect::<Vec<_>>(), ["", "", "02.09.2026, с 10:00"]);
    }

    #[test]
    fn fields_are_declared_read_only_under_codes_that_triggers_can_name() {
        for field in declared(Language::Ru).chain(declared(Language::En)) {
            assert!(field.visible && !field.editable && !field.required && !field.affects_cost, "{field:?}");
            assert!(field.code.chars().all(|c| c.is_ascii_alphanumeric()), "{field:?}");
        }
        let filled: Vec<String> = fields(&Details::default(), &SecretKey::from_bytes([7; 32]), Language::Ru)
            .into_keys()
            .chain(trouble(None, None).into_keys())
            .collect();
        assert!(declared(Language::Ru).all(|field| filled.contains(&field.code)), "each is filled by somebody");
    }
}
