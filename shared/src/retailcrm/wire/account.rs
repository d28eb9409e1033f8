//! What the account says about itself and about our key (protocols/retailcrm.md#accounts).

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::retailcrm::tolerant::{Misread, Node, object, text};

object! {
    /// What the API key may do (`GET /api/credentials`).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Credentials(c) {
        pub scopes: Vec<String> = c.texts("scopes")?,
        /// `access_full` or `access_selective`.
        pub site_access: Option<String> = c.lax("siteAccess", text),
        pub sites_available: Vec<String> = c.texts("sitesAvailable")?,
    }

    /// Settings of the account; also the body of the `settings` callback.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct AccountSettings(s) {
        /// IANA name, `Europe/Moscow`. Every date-time without offset is in this zone. Stands as
        /// `{"value": …, "updated_at": …}`, or bare.
        pub timezone: Option<String> = match s.object("timezone") {
            Ok(Some(setting)) => setting.lax("value", text),
            Ok(None) => None,
            Err(_) => s.lax("timezone", text),
        },
    }
}

impl Credentials {
    /// Everything the bridge does (protocols/retailcrm.md#keys).
    pub const NEEDED_SCOPES: [&'static str; 7] = [
        "order_read",
        "order_write",
        "delivery_read",
        "delivery_write",
        "integration_read",
        "integration_write",
        "reference_read",
    ];

    /// Without these nothing can be done for any order.
    pub const VITAL_SCOPES: [&'static str; 2] = ["order_read", "reference_read"];

    /// Whether the key, by its own scopes, may do what every order needs.
    pub fn lets_us_work(&self) -> bool {
        !self.missing_scopes().iter().any(|scope| Self::VITAL_SCOPES.contains(scope))
    }

    /// The needed scopes that the key lacks. Empty too when the account names no scopes
    /// (older installations list method paths only).
    pub fn missing_scopes(&self) -> Vec<&'static str> {
        if self.scopes.is_empty() {
            return Vec::new();
        }
        Self::NEEDED_SCOPES.into_iter().filter(|needed| !self.scopes.iter().any(|scope| scope == needed)).collect()
    }
}

impl AccountSettings {
    /// Reads the object under `settings`.
    ///
    /// # Errors
    /// [`Misread`] when it is no object.
    pub fn parse(settings: &Value) -> Result<Self, Misread> {
        Node::root("settings", settings).read(Self::read)
    }

    /// The zone, when it is named and known here.
    pub fn time_zone(&self) -> Option<TimeZone> {
        TimeZone::get(self.timezone.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use serde_json::json;

    #[test]
    fn credentials_name_what_the_key_lacks() {
        let credentials =
            Node::root("credentials", &samples::read("credentials.json")).read(Credentials::read).expect("read");
        assert_eq!(credentials.site_access.as_deref(), Some("access_full"));
        assert_eq!(credentials.sites_available, ["main-shop", "second-shop"]);
        assert!(credentials.missing_scopes().is_empty());
        let poor = Credentials { scopes: vec!["order_read".into()], ..credentials };
        assert_eq!(poor.missing_scopes().len(), 6);
        assert!(poor.missing_scopes().contains(&"delivery_write"));
        assert!(!poor.lets_us_work(), "reference_read is missing");
        let enough = Credentials { scopes: vec!["order_read".into(), "reference_read".into()], ..poor };
        assert!(enough.lets_us_work());
    }

    #[test]
    fn settings_are_read() {
        let settings = AccountSettings::parse(&samples::read("settings.json")["settings"]).expect("read");
        assert_eq!(settings.timezone.as_deref(), Some("Europe/Moscow"));
    }

    #[test]
    fn an_unknown_zone_is_no_zone() {
        let settings = AccountSettings::parse(&json!({"timezone": {"value": "Moon/Far_Side"}})).expect("read");
        assert_eq!(settings.time_zone(), None);
        assert_eq!(AccountSettings::parse(&json!([])).expect("empty"), AccountSettings::default());
    }
}
