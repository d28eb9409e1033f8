//! Asking both vendors of an integration whether they take its credentials and know its codes.

use shared::closed_set;
use shared::config::Config;
use shared::domain::{Grams, Integration, Settings};
use shared::measoft::{CalcRequest, Courier, Tariff};
use shared::retailcrm::codes::{Lists, has_new};
use shared::retailcrm::{Credentials, Crm};
use shared::store::Store;

use crate::manage::vendors;

closed_set! {
    /// What is looked at.
    Looked {
        Key => "RetailCRM API key",
        Rights => "RetailCRM rights",
        Codes => "RetailCRM codes",
        Login => "MeaSoft login",
        Tariffs => "MeaSoft tariffs",
    }
}

/// What a check looked at, and what it found, good or bad, in English.
pub type Finding = (Looked, Result<String, String>);

/// Asks both. `to`: a town to ask tariffs for, and grams.
///
/// # Errors
/// When nobody can be asked at all: an address that is not allowed.
pub async fn check(
    config: &Config,
    store: &Store,
    integration: &Integration,
    to: Option<(&str, u32)>,
) -> anyhow::Result<Vec<Finding>> {
    let (vendors, journal) = vendors(integration, config, store)?;
    let mut findings = check_crm(vendors.crm.as_ref(), &integration.settings).await;
    let login = vendors.courier.probe().await;
    let login = login.map(|code| format!("accepted, client {code}")).map_err(|error| error.to_string());
    findings.push((Looked::Login, login));
    if let Some((town, weight)) = to {
        findings.push((Looked::Tariffs, tariffs(vendors.courier.as_ref(), integration, town, weight).await));
    }
    journal.flush().await;
    Ok(findings)
}

async fn check_crm(crm: &dyn Crm, settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    match crm.credentials().await {
        Ok(credentials) => {
            findings.push((Looked::Key, Ok("accepted".to_owned())));
            let missing = credentials.missing_scopes();
            findings.push((
                Looked::Rights,
                match &missing[..] {
                    [] => Ok("everything the bridge needs".to_owned()),
                    _ => Err(format!("missing: {} (of {})", missing.join(", "), Credentials::NEEDED_SCOPES.len())),
                },
            ));
        }
        Err(error) => findings.push((Looked::Key, Err(error.to_string()))),
    }
    if has_new(settings, &Settings::default()) {
        let wrong = Lists::read(crm).await.map(|lists| lists.wrong(settings).iter().map(ToString::to_string).collect());
        findings.push((
            Looked::Codes,
            match wrong.map(|wrong: Vec<String>| wrong.join("; ")) {
                Ok(wrong) if wrong.is_empty() => Ok("every code of the settings is there".to_owned()),
                Ok(wrong) => Err(wrong),
                Err(error) => Err(format!("unverified: {error}")),
            },
        ));
    }
    findings
}

async fn tariffs(courier: &dyn Courier, from: &Integration, town: &str, weight: u32) -> Result<String, String> {
    let request = CalcRequest {
        sender_town: from.settings.sender.town.clone(),
        town: town.to_owned(),
        weight: Some(Grams(weight)),
        places: Some(1),
        ..Default::default()
    };
    let tariffs = courier.calculate(&request).await.map_err(|error| error.to_string())?;
    if tariffs.is_empty() {
        return Err("none for this town".to_owned());
    }
    let name = |t: &Tariff| t.service_name.clone().or_else(|| t.service.clone()).unwrap_or_else(|| "?".to_owned());
    Ok(tariffs.iter().map(|t| format!("{} {}", name(t), t.price)).collect::<Vec<_>>().join("; "))
}
