//! Whose fault a failure is: who has to do something about it.

use std::fmt;

use serde::{Deserialize, Serialize};

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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
