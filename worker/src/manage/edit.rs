//! Changing an integration: what is given is checked and stored, the rest stays.

use shared::config::{Config, is_safe_url};
use shared::crypto::sha256_hex;
use shared::domain::integration::BadSetting;
use shared::domain::{Integration, Secret, Settings};
use shared::retailcrm::{AllowedHosts, check as check_crm_url};
use shared::store::audit::{Act, Who};
use shared::store::{Store, StoreError};

use crate::manage::codes;

/// What is to become different; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    pub title: Option<String>,
    pub crm_url: Option<String>,
    pub extra: Option<String>,
    pub login: Option<String>,
    pub measoft_url: Option<String>,
    pub prefix: Option<String>,
    pub crm_key: Option<Secret>,
    pub password: Option<Secret>,
    /// Settings by name, as [`Settings::set`] reads them, one after the other.
    pub set: Vec<(String, String)>,
}

/// Why an integration was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotEdited {
    #[error("{field}: {why}")]
    Refused {
        /// As the command's option is called.
        field: &'static str,
        why: String,
    },
    #[error("set: {0}")]
    Setting(#[from] BadSetting),
    /// Codes that RetailCRM does not have.
    #[error("{0}")]
    Codes(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refused(field: &'static str, why: impl Into<String>) -> NotEdited {
    NotEdited::Refused { field, why: why.into() }
}

/// An address of RetailCRM that may be asked, as it is stored.
///
/// # Errors
/// [`NotEdited::Refused`].
pub fn good_crm_url(url: &str, config: &Config) -> Result<String, NotEdited> {
    let allowed = AllowedHosts::parse(&config.crm_allowed_hosts)
        .map_err(|bad| refused("crm-url", format!("CRM_ALLOWED_HOSTS: {bad}")))?;
    let good = check_crm_url(url, &allowed).map_err(|bad| refused("crm-url", bad.to_string()))?;
    Ok(good.as_str().trim_end_matches('/').to_owned())
}

/// # Errors
/// [`NotEdited::Refused`].
pub fn good_measoft_url(url: &str) -> Result<String, NotEdited> {
    match is_safe_url(url) {
        true => Ok(url.to_owned()),
        false => Err(refused("measoft-url", "must be an https address (plain http only for this machine)")),
    }
}

/// # Errors
/// [`NotEdited::Refused`].
pub fn good_prefix(prefix: &str) -> Result<(), NotEdited> {
    match prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && prefix.len() <= 10 {
        true => Ok(()),
        false => Err(refused("prefix", "at most 10 Latin letters, digits and «-»")),
    }
}

/// A shadow's orders bear the module of the integration before: only their delivery types tell that
/// they are its.
///
/// # Errors
/// [`NotEdited::Refused`].
pub fn good_mode(settings: &Settings) -> Result<(), NotEdited> {
    match settings.is_shadow() && settings.delivery_types.is_empty() {
        true => Err(refused("mode", "name the delivery types of a shadow first, with --delivery-type")),
        false => Ok(()),
    }
}

/// Tells whether the fields that a form shows are still what it was filled with.
pub fn mark(i: &Integration) -> String {
    let shown = [&i.title, &i.crm_url, &i.measoft_url, &i.extra, &i.login, &i.prefix];
    sha256_hex(shown.map(String::as_str).join("\n").as_bytes())
}

/// What was stored, and a warning when its codes could not be verified.
#[derive(Debug)]
pub struct Edited {
    pub saved: Integration,
    pub warning: Option<String>,
}

/// Stores what is given, with the act in the same commit. With `seen` only while the integration is
/// of that [`mark`]: a form that names every field would take back what somebody else has changed.
///
/// # Errors
/// [`NotEdited`]: then nothing is stored.
pub async fn edit(
    config: &Config,
    store: &Store,
    found: &Integration,
    given: &Edit,
    seen: Option<&str>,
    who: &Who,
) -> Result<Edited, NotEdited> {
    let given = given.checked(found, config)?;
    let mut trial = found.settings.clone();
    given.apply(&mut trial)?;
    good_mode(&trial)?;
    let url = given.crm_url.as_deref().unwrap_or(&found.crm_url);
    let key = given.crm_key.as_ref().unwrap_or(&found.secrets.crm_api_key);
    let warning = codes::verify(&trial, &found.settings, url, key, config).await.map_err(NotEdited::Codes)?;
    let change = |changed: &mut Integration| {
        if seen.is_some_and(|seen| seen != mark(changed)) {
            return Err(StoreError::ChangedMeanwhile.into());
        }
        given.change(changed)
    };
    let saved = store.change_integration_by(found.id, Some((who, Act::Edited)), change).await?;
    Ok(Edited { saved, warning })
}

impl Edit {
    /// With addresses as they are stored. What is there already is not held against anybody.
    fn checked(&self, found: &Integration, config: &Config) -> Result<Self, NotEdited> {
        let differs = |given: &Option<String>, is: &String| given.clone().filter(|given| given != is);
        let crm_url = differs(&self.crm_url, &found.crm_url);
        let measoft_url = self.measoft_url.as_deref().map(good_measoft_url).transpose()?;
        differs(&self.prefix, &found.prefix).as_deref().map(good_prefix).transpose()?;
        let crm_url = crm_url.map(|url| good_crm_url(&url, config)).transpose()?;
        Ok(Self { crm_url, measoft_url, ..self.clone() })
    }

    fn apply(&self, settings: &mut Settings) -> Result<(), BadSetting> {
        self.set.iter().try_for_each(|(key, value)| settings.set(key, value))
    }

    fn change(&self, changed: &mut Integration) -> Result<(), NotEdited> {
        self.apply(&mut changed.settings)?;
        for (slot, given) in [
            (&mut changed.title, &self.title),
            (&mut changed.extra, &self.extra),
            (&mut changed.login, &self.login),
            (&mut changed.prefix, &self.prefix),
            (&mut changed.crm_url, &self.crm_url),
            (&mut changed.measoft_url, &self.measoft_url),
        ] {
            if let Some(given) = given {
                slot.clone_from(given);
            }
        }
        if self.measoft_url.is_some() && !self.set.iter().any(|(key, _)| key == "follows_measoft_url") {
            changed.settings.follows_measoft_url = false;
        }
        let secrets = &mut changed.secrets;
        for (slot, given) in [(&mut secrets.crm_api_key, &self.crm_key), (&mut secrets.password, &self.password)] {
            if let Some(given) = given {
                slot.clone_from(given);
            }
        }
        Ok(())
    }
}
