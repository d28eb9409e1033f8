//! What the account says about itself and about our key (retailcrm-api.md A.1, A.2, A.8).

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::retailcrm::tolerant::{Fields, Misread, Node, text};

/// What the API key may do (`GET /api/credentials`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub scopes: Vec<String>,
    /// `access_full` or `access_selective`.
    pub site_access: Option<String>,
    pub sites_available: Vec<String>,
    /// Method paths; deprecated in favour of the scopes.
    pub credentials: Vec<String>,
}

impl Credentials {
    /// Everything the bridge does (retailcrm-api.md A.2).
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
    #[must_use]
    pub fn lets_us_work(&self) -> bool {
        !self.missing_scopes().iter().any(|scope| Self::VITAL_SCOPES.contains(scope))
    }

    /// # Errors
    /// [`Misread`] when a list is no list.
    pub fn read(answer: &Value) -> Result<Self, Misread> {
        let c = Node::root("credentials", answer).fields()?;
        Ok(Self {
            scopes: c.texts("scopes")?,
            site_access: c.lax("siteAccess", text),
            sites_available: c.texts("sitesAvailable")?,
            credentials: c.texts("credentials").unwrap_or_default(),
        })
    }

    /// The needed scopes that the key lacks. Empty too when the account names no scopes
    /// (older installations list method paths only).
    #[must_use]
    pub fn missing_scopes(&self) -> Vec<&'static str> {
        if self.scopes.is_empty() {
            return Vec::new();
        }
        Self::NEEDED_SCOPES.into_iter().filter(|needed| !self.scopes.iter().any(|scope| scope == needed)).collect()
    }
}

/// Addresses and version of the account (`GET /api/system-info`, works without a key).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemInfo {
    pub system_version: Option<String>,
    pub public_url: Option<String>,
    /// Does not change when the account is renamed: the account's identity.
    pub technical_url: Option<String>,
}

impl SystemInfo {
    /// # Errors
    /// [`Misread`] when a field is no text.
    pub fn read(answer: &Value) -> Result<Self, Misread> {
        let s = Node::root("system-info", answer).fields()?;
        Ok(Self {
            system_version: s.lax("systemVersion", text),
            public_url: s.get("publicUrl", text)?,
            technical_url: s.get("technicalUrl", text)?,
        })
    }
}

/// Settings of the account; also the body of the `settings` callback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountSettings {
    /// IANA name, `Europe/Moscow`. Every date-time without offset is in this zone.
    pub timezone: Option<String>,
    pub default_currency: Option<String>,
    pub system_language: Option<String>,
}

impl AccountSettings {
    /// Reads the object under `settings`.
    ///
    /// # Errors
    /// [`Misread`] when it is no object.
    pub fn read(settings: &Value) -> Result<Self, Misread> {
        let s = Node::root("settings", settings).fields()?;
        Ok(Self {
            timezone: value_of(&s, "timezone"),
            default_currency: value_of(&s, "default_currency"),
            system_language: value_of(&s, "system_language"),
        })
    }

    /// The zone, when it is named and known here.
    #[must_use]
    pub fn time_zone(&self) -> Option<TimeZone> {
        TimeZone::get(self.timezone.as_deref()?).ok()
    }
}

/// `{"value": …, "updated_at": …}`, or the bare value.
fn value_of(fields: &Fields<'_>, name: &str) -> Option<String> {
    match fields.object(name) {
        Ok(Some(setting)) => setting.lax("value", text),
        Ok(None) => None,
        Err(_) => fields.lax(name, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use serde_json::json;

    #[test]
    fn credentials_name_what_the_key_lacks() {
        let credentials = Credentials::read(&samples::read("credentials.json")).expect("read");
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
    fn system_info_and_settings_are_read() {
        let info = SystemInfo::read(&samples::read("system-info.json")).expect("read");
        assert_eq!(info.technical_url.as_deref(), Some("https://a1b2c3d4.retailcrm.io"));
        assert_eq!(info.public_url.as_deref(), Some("https://demo-shop.retailcrm.ru"));
        assert_eq!(info.system_version.as_deref(), Some("8.12.3"));
        let settings = AccountSettings::read(&samples::read("settings.json")["settings"]).expect("read");
        assert_eq!(settings.timezone.as_deref(), Some("Europe/Moscow"));
        assert_eq!(settings.default_currency.as_deref(), Some("RUB"));
        assert_eq!(settings.system_language.as_deref(), Some("RU"));
    }

    #[test]
    fn an_unknown_zone_is_no_zone() {
        let settings = AccountSettings::read(&json!({"timezone": {"value": "Moon/Far_Side"}})).expect("read");
        assert_eq!(settings.time_zone(), None);
        assert_eq!(AccountSettings::read(&json!([])).expect("empty"), AccountSettings::default());
    }
}
