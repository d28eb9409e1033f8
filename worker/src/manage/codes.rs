//! The codes that settings name are asked for in RetailCRM before they are saved.

use std::sync::Arc;
use std::time::Duration;

use shared::config::Config;
use shared::domain::{Secret, Settings};
use shared::retailcrm::codes::{self, Lists};
use shared::retailcrm::{AllowedHosts, CrmClient, CrmHttp, NoLimiter, NoObserver, check};

/// A RetailCRM that is away does not keep an operator waiting.
const PATIENCE: Duration = Duration::from_secs(15);

/// Refuses codes of the new settings that RetailCRM does not have. Answers with a warning when it
/// could not be asked: the settings are saved unverified then.
///
/// # Errors
/// Each code, in one sentence.
pub async fn verify(
    new: &Settings,
    old: &Settings,
    crm_url: &str,
    key: &Secret,
    config: &Config,
) -> Result<Option<String>, String> {
    let misspelt = codes::misspelt_statuses(new);
    if new.status_map != old.status_map && !misspelt.is_empty() {
        return Err(misspelt.join("; "));
    }
    if !codes::has_new(new, old) {
        return Ok(None);
    }
    let lists = match tokio::time::timeout(PATIENCE, lists(crm_url, key, config)).await {
        Ok(Ok(lists)) => lists,
        Ok(Err(why)) => return Ok(Some(unverified(&why))),
        Err(_) => return Ok(Some(unverified(&format!("no answer within {} s", PATIENCE.as_secs())))),
    };
    let before = lists.wrong(old);
    let wrong: Vec<String> =
        lists.wrong(new).iter().filter(|wrong| !before.contains(wrong)).map(ToString::to_string).collect();
    if wrong.is_empty() { Ok(None) } else { Err(wrong.join("; ")) }
}

fn unverified(why: &str) -> String {
    format!(
        "saved, but its codes are unverified, since RetailCRM could not be asked ({why}): run `bridge integration check` \
         when it answers"
    )
}

async fn lists(crm_url: &str, key: &Secret, config: &Config) -> Result<Lists, String> {
    let allowed = AllowedHosts::parse(&config.crm_allowed_hosts).map_err(|bad| bad.to_string())?;
    let url = check(crm_url, &allowed).map_err(|bad| bad.to_string())?;
    let http = CrmHttp::new(&config.tls).map_err(|error| error.to_string())?;
    let crm = CrmClient::new(http, url, key.clone(), Arc::new(NoObserver), Arc::new(NoLimiter));
    Lists::read(&crm).await.map_err(|error| error.to_string())
}
