//! The statuses of our delivery module: what RetailCRM is told a delivery can be
//! (protocols/retailcrm.md#status-list). Which order status follows from which is the manager's map
//! in RetailCRM, not ours.

use crate::domain::StatusCode;
use crate::domain::{Language, Settings};

/// Code of what gave up: its comment says why.
pub const ERROR: &str = "ERROR";
/// Code of a registration that still goes on.
pub const PREPROCESSING: &str = "PREPROCESSING";

/// One status of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedStatus {
    pub code: &'static str,
    pub name_ru: &'static str,
    pub name_en: &'static str,
    /// The manager may still change the delivery: what MeaSoft permits
    /// (protocols/measoft.md#editorder).
    pub is_editable: bool,
    /// The manager is notified.
    pub is_error: bool,
    pub is_preprocessing: bool,
}

impl ListedStatus {
    pub const fn name(&self, language: Language) -> &'static str {
        match language {
            Language::Ru => self.name_ru,
            Language::En => self.name_en,
        }
    }
}

/// The whole list: our own two, then MeaSoft's in the order of its table.
pub fn all() -> Vec<ListedStatus> {
    let plain = ListedStatus {
        code: "",
        name_ru: "",
        name_en: "",
        is_editable: false,
        is_error: false,
        is_preprocessing: false,
    };
    let mut list = vec![
        ListedStatus {
            code: PREPROCESSING,
            name_ru: "Передаётся в курьерскую службу",
            name_en: "Being handed over to the courier service",
            is_preprocessing: true,
            ..plain
        },
        ListedStatus {
            code: ERROR,
            name_ru: "Ошибка передачи в курьерскую службу",
            name_en: "Could not be handed over to the courier service",
            is_error: true,
            ..plain
        },
    ];
    list.extend(StatusCode::KNOWN.iter().map(|code| ListedStatus {
        code: code.as_str(),
        name_ru: code.name_ru(),
        name_en: code.name_en(),
        is_editable: code.is_editable(),
        ..plain
    }));
    list
}

/// The status of the list that stands for a MeaSoft code: the integration's own choice,
/// else the code itself. `None` for a code that the list does not have, and for one that
/// the integration maps to nothing: RetailCRM is not told of it.
pub fn module_code(settings: &Settings, measoft: &str) -> Option<String> {
    match settings.status_map.get(measoft).map(String::as_str) {
        Some("") => None,
        Some(code) => Some(code.to_owned()),
        None => StatusCode::parse(measoft).is_known().then(|| measoft.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_code_once_and_two_names_for_each() {
        let list = all();
        assert_eq!(list.len(), StatusCode::KNOWN.len() + 2);
        let codes: std::collections::BTreeSet<&str> = list.iter().map(|s| s.code).collect();
        assert_eq!(codes.len(), list.len());
        for status in &list {
            assert!(
                !status.name_ru.is_ascii() && status.name_en.is_ascii() && !status.name_en.is_empty(),
                "{status:?}"
            );
        }
    }

    #[test]
    fn only_what_measoft_lets_change_is_editable() {
        let editable: Vec<&str> = all().iter().filter(|s| s.is_editable).map(|s| s.code).collect();
        assert_eq!(editable, ["AWAITING_SYNC", "NEW"]);
        let errors: Vec<&str> = all().iter().filter(|s| s.is_error).map(|s| s.code).collect();
        assert_eq!(errors, [ERROR]);
        let going_on: Vec<&str> = all().iter().filter(|s| s.is_preprocessing).map(|s| s.code).collect();
        assert_eq!(going_on, [PREPROCESSING]);
    }

    #[test]
    fn overrides_win_and_unknown_codes_wait_for_one() {
        let mut settings = Settings::default();
        assert_eq!(module_code(&settings, "DELIVERY").as_deref(), Some("DELIVERY"));
        assert_eq!(module_code(&settings, "SOMETHING_NEW"), None);
        settings.status_map.insert("SOMETHING_NEW".into(), "INVENTORY".into());
        settings.status_map.insert("INVENTORY".into(), String::new());
        assert_eq!(module_code(&settings, "SOMETHING_NEW").as_deref(), Some("INVENTORY"));
        assert_eq!(module_code(&settings, "INVENTORY"), None);
    }
}
