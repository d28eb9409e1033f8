//! Whose fault a failure is: who has to do something about it.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The shop's data or settings.
    Shop,
    /// The courier service or MeaSoft.
    Courier,
    /// RetailCRM.
    Crm,
    /// This program or how it is run.
    Bridge,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Shop, Self::Courier, Self::Crm, Self::Bridge];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Courier => "courier",
            Self::Crm => "crm",
            Self::Bridge => "bridge",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
