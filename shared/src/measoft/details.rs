//! What a status row says of a delivery beside its status.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::crypto::{PEOPLE, SecretKey};
use crate::domain::{Language, Secret};
use crate::measoft::{Planned, StatusRow};

/// The code of MeaSoft's own record «Отмена», which stands for a courier when the client has
/// cancelled (protocols/measoft.md#cancelorder).
const NOBODY: &str = "CANCEL";

/// When it is to come, and who carries it. Names are sealed from where they are read until they
/// are shown: on the way they are nobody's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<String>,
}

/// Personal data.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct People {
    pub courier: Option<String>,
    pub taken_by: Option<String>,
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
        Self { planned: row.planned.clone(), people: people.seal(key) }
    }

    /// What is kept of it once RetailCRM was told; `None`: all of it. The order's card shows when it
    /// comes and who carries it, and never who took it.
    pub fn once_told(&self, key: &SecretKey) -> Option<Self> {
        let People { courier, taken_by } = self.people(key);
        taken_by?;
        Some(Self { planned: self.planned.clone(), people: People { courier, taken_by: None }.seal(key) })
    }

    pub fn is_empty(&self) -> bool {
        self.planned.is_none() && self.people.is_none()
    }

    /// Nobody when another key has sealed them: the names are lost then, and nothing else.
    pub fn people(&self, key: &SecretKey) -> People {
        self.people.as_deref().and_then(|sealed| People::open(sealed, key)).unwrap_or_default()
    }
}

impl Planned {
    /// «02.09.2026, 10:00–14:00».
    pub fn words(&self, language: Language) -> String {
        let date = self.day().map_or_else(|| self.date.clone(), |date| date_words(date, language));
        match (&self.from, &self.to, language) {
            (Some(from), Some(to), _) => format!("{date}, {from}–{to}"),
            (Some(from), None, Language::Ru) => format!("{date}, с {from}"),
            (Some(from), None, Language::En) => format!("{date}, from {from}"),
            (None, Some(to), Language::Ru) => format!("{date}, до {to}"),
            (None, Some(to), Language::En) => format!("{date}, until {to}"),
            (None, None, _) => date,
        }
    }

    pub fn day(&self) -> Option<Date> {
        self.date.parse().ok()
    }
}

fn date_words(date: Date, language: Language) -> String {
    match language {
        Language::Ru => date.strftime("%d.%m.%Y").to_string(),
        Language::En => date.to_string(),
    }
}

impl People {
    /// `None`: it names nobody.
    fn seal(&self, key: &SecretKey) -> Option<String> {
        if self.courier.is_none() && self.taken_by.is_none() {
            return None;
        }
        let plain = serde_json::to_string(self).expect("two texts serialise");
        Some(STANDARD.encode(key.seal(PEOPLE, &Secret::new(plain))))
    }

    fn open(sealed: &str, key: &SecretKey) -> Option<Self> {
        let plain = key.open(PEOPLE, &STANDARD.decode(sealed).ok()?).ok()?;
        serde_json::from_str(plain.expose()).ok()
    }
}
