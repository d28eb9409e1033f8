//! The read-only fields that the module adds to the order's delivery block in RetailCRM: who
//! carries the parcel, when it comes, who took it, what went wrong and what to do
//! (protocols/retailcrm.md#data-fields).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use shared::crypto::SecretKey;
use shared::domain::{Language, Secret};
use shared::measoft::{Planned, StatusRow};
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

/// The code of MeaSoft's own record «Отмена», which stands for a courier when the client has
/// cancelled (protocols/measoft.md#cancelorder).
const NOBODY: &str = "CANCEL";

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

/// What a status row says of a delivery beside its status. Names are sealed from where they are
/// read until RetailCRM is told: on the way they are nobody's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    planned: Option<Planned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct People {
    courier: Option<String>,
    taken_by: Option<String>,
}

impl Details {
    pub fn of(row: &StatusRow, key: &SecretKey) -> Self {
        let delivered = row.status.as_ref().is_some_and(|status| status.code.is_delivered());
        let people = People {
            courier: row
                .courier
                .as_ref()
                .filter(|courier| courier.code.as_deref() != Some(NOBODY))
                .map(|c| c.name.clone()),
            // The same element says why an order was not delivered.
            taken_by: row.deliveredto.clone().filter(|_| delivered),
        };
        let anybody = people.courier.is_some() || people.taken_by.is_some();
        Self { planned: row.planned.clone(), people: anybody.then(|| people.seal(key)) }
    }

    pub fn is_empty(&self) -> bool {
        self.planned.is_none() && self.people.is_none()
    }

    /// The values of the fields. All of them: what is not known any more is emptied.
    pub fn fields(&self, key: &SecretKey, language: Language) -> BTreeMap<String, String> {
        let people = self.people.as_deref().and_then(|sealed| People::open(sealed, key)).unwrap_or_default();
        let planned = self.planned.as_ref().map(|planned| planned_words(planned, language));
        [(COURIER, people.courier), (PLANNED_DATE, planned), (DELIVERED_TO, people.taken_by)]
            .into_iter()
            .map(|(code, value)| (code.to_owned(), value.unwrap_or_default()))
            .collect()
    }
}

/// What is wrong and what to do; empty when nothing is.
pub fn trouble(what: Option<&str>, next_step: Option<&str>) -> BTreeMap<String, String> {
    [(ERROR, what), (NEXT_STEP, next_step)]
        .into_iter()
        .map(|(code, value)| (code.to_owned(), value.unwrap_or_default().to_owned()))
        .collect()
}

/// «02.09.2026, 10:00–14:00».
fn planned_words(planned: &Planned, language: Language) -> String {
    let date = planned.date.parse::<Date>().map_or_else(|_| planned.date.clone(), |date| date_words(date, language));
    match (&planned.from, &planned.to, language) {
        (Some(from), Some(to), _) => format!("{date}, {from}–{to}"),
        (Some(from), None, Language::Ru) => format!("{date}, с {from}"),
        (Some(from), None, Language::En) => format!("{date}, from {from}"),
        (None, Some(to), Language::Ru) => format!("{date}, до {to}"),
        (None, Some(to), Language::En) => format!("{date}, until {to}"),
        (None, None, _) => date,
    }
}

fn date_words(date: Date, language: Language) -> String {
    match language {
        Language::Ru => date.strftime("%d.%m.%Y").to_string(),
        Language::En => date.to_string(),
    }
}

/// What the sealed names belong to.
const PLACE: &str = "people of a status";

impl People {
    fn seal(&self, key: &SecretKey) -> String {
        let plain = serde_json::to_string(self).expect("two texts serialise");
        STANDARD.encode(key.seal(PLACE, &Secret::new(plain)))
    }

    /// `None` when another key has sealed them: the names are lost then, and nothing else.
    fn open(sealed: &str, key: &SecretKey) -> Option<Self> {
        let plain = key.open(PLACE, &STANDARD.decode(sealed).ok()?).ok()?;
        serde_json::from_str(plain.expose()).ok()
    }
}

#[cfg(test)]
mod tests {
    use shared::measoft::CarriedBy;

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
        Details::of(row, &key).fields(&key, language).into_values().collect()
    }

    #[test]
    fn who_carries_and_who_took_it_and_when_it_comes_is_shown() {
        assert_eq!(shown(&row("COMPLETE"), Language::Ru), ["Петров Сергей", "Орлова", "02.09.2026, с 10:00"]);
        assert_eq!(shown(&row("COMPLETE"), Language::En)[2], "2026-09-02, from 10:00");
    }

    #[test]
    fn a_reason_is_no_receiver_and_a_cancelled_order_has_no_courier() {
        let mut cancelled = row("CANCELED");
        cancelled.courier = Some(CarriedBy { code: Some(NOBODY.to_owned()), name: "Отмена".to_owned() });
        cancelled.planned = None;
        assert_eq!(shown(&cancelled, Language::Ru), ["", "", ""]);
    }

    #[test]
    fn names_are_sealed_on_their_way_and_lost_with_the_key() {
        let key = SecretKey::from_bytes([7; 32]);
        let details = Details::of(&row("COMPLETE"), &key);
        let kept = serde_json::to_string(&details).expect("json");
        assert!(!kept.contains("Петров") && !kept.contains("Орлова") && kept.contains("2026-09-02"), "{kept}");
        let lost = details.fields(&SecretKey::from_bytes([8; 32]), Language::Ru);
        assert_eq!(lost.into_values().collect::<Vec<_>>(), ["", "", "02.09.2026, с 10:00"]);
    }

    #[test]
    fn fields_are_declared_read_only_under_codes_that_triggers_can_name() {
        for field in declared(Language::Ru).chain(declared(Language::En)) {
            assert!(field.visible && !field.editable && !field.required && !field.affects_cost, "{field:?}");
            assert!(field.code.chars().all(|c| c.is_ascii_alphanumeric()), "{field:?}");
        }
        let filled: Vec<String> = Details::default()
            .fields(&SecretKey::from_bytes([7; 32]), Language::Ru)
            .into_keys()
            .chain(trouble(None, None).into_keys())
            .collect();
        assert!(declared(Language::Ru).all(|field| filled.contains(&field.code)), "each is filled by somebody");
    }
}
