//! What of one order an operator or a manager may set right. Sums never.

use serde::{Deserialize, Serialize};

use crate::closed_set;
use crate::domain::Language;

closed_set! {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    CorrectedField {
        Phone => "phone",
        Name => "name",
        Town => "town",
        Address => "address",
        Date => "date",
        Window => "window",
        Comment => "comment",
    }
}

impl CorrectedField {
    /// As people call it.
    pub const fn words(self, language: Language) -> &'static str {
        let (ru, en) = match self {
            Self::Phone => ("телефон", "phone"),
            Self::Name => ("получатель", "name"),
            Self::Town => ("город", "town"),
            Self::Address => ("адрес", "address"),
            Self::Date => ("дата", "date"),
            Self::Window => ("время", "window"),
            Self::Comment => ("комментарий", "comment"),
        };
        match language {
            Language::Ru => ru,
            Language::En => en,
        }
    }

    /// Whether its value says something of a person.
    pub const fn is_personal(self) -> bool {
        !matches!(self, Self::Date | Self::Window)
    }
}
