//! Whose fault a failure is: who has to do something about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Language;

crate::closed_set! {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Fault {
        /// The shop's data or settings.
        Shop => "shop",
        /// The courier service or MeaSoft.
        Courier => "courier",
        /// RetailCRM.
        Crm => "crm",
        /// This program or how it is run.
        Bridge => "bridge",
    }
}

impl Fault {
    /// Who has to act, for people.
    pub const fn who_acts(self, language: Language) -> &'static str {
        let (ru, en) = match self {
            Self::Shop => ("решает магазин", "the shop mends it"),
            Self::Courier => ("решает курьерская служба", "the courier service's matter"),
            Self::Crm => ("вопрос к RetailCRM", "RetailCRM's matter"),
            Self::Bridge => ("решает администратор интеграции", "the operator's matter"),
        };
        match language {
            Language::Ru => ru,
            Language::En => en,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
