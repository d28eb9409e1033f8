//! How an integration reaches both vendors, as entered but not saved: sealed, so that it may
//! travel to a worker and back to the page it was entered on.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};

use crate::crypto::SecretKey;
use crate::domain::{Integration, IntegrationId, Secret};

/// What a connection check needs of an integration.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    crm_url: String,
    crm_api_key: Secret,
    extra: String,
    login: String,
    password: Secret,
}

fn place(id: IntegrationId) -> String {
    format!("connection draft {id}")
}

impl Draft {
    pub fn of(i: &Integration) -> Self {
        Self {
            crm_url: i.crm_url.clone(),
            crm_api_key: i.secrets.crm_api_key.clone(),
            extra: i.extra.clone(),
            login: i.login.clone(),
            password: i.secrets.password.clone(),
        }
    }

    pub fn crm_api_key(&self) -> &Secret {
        &self.crm_api_key
    }

    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The integration as it would be.
    pub fn put_into(self, i: &mut Integration) {
        i.crm_url = self.crm_url;
        i.extra = self.extra;
        i.login = self.login;
        i.secrets.crm_api_key = self.crm_api_key;
        i.secrets.password = self.password;
    }

    pub fn seal(&self, id: IntegrationId, key: &SecretKey) -> String {
        let plain = json!([self.crm_url, self.crm_api_key.expose(), self.extra, self.login, self.password.expose()]);
        BASE64.encode(key.seal(&place(id), &Secret::new(plain.to_string())))
    }

    /// `None` unless this installation sealed it for this integration.
    pub fn open(sealed: &str, id: IntegrationId, key: &SecretKey) -> Option<Self> {
        let plain = key.open(&place(id), &BASE64.decode(sealed).ok()?).ok()?;
        let fields: Vec<Value> = serde_json::from_str(plain.expose()).ok()?;
        let text = |at: usize| fields.get(at)?.as_str();
        Some(Self {
            crm_url: text(0)?.to_owned(),
            crm_api_key: Secret::new(text(1)?),
            extra: text(2)?.to_owned(),
            login: text(3)?.to_owned(),
            password: Secret::new(text(4)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_opens_only_for_its_integration_and_shows_nothing() {
        let key = SecretKey::from_bytes([3; 32]);
        let draft = Draft {
            crm_url: "https://shop.retailcrm.ru".into(),
            crm_api_key: Secret::new("crm-key"),
            extra: "8".into(),
            login: "shop".into(),
            password: Secret::new("пароль \"1\""),
        };
        let sealed = draft.seal(IntegrationId(1), &key);
        assert!(Draft::open(&sealed, IntegrationId(1), &key).is_some_and(|opened| opened == draft));
        assert!(Draft::open(&sealed, IntegrationId(2), &key).is_none());
        assert!(Draft::open(&sealed, IntegrationId(1), &SecretKey::from_bytes([4; 32])).is_none());
        assert!(Draft::open("", IntegrationId(1), &key).is_none());
        assert!(!sealed.contains("shop"));
    }
}
