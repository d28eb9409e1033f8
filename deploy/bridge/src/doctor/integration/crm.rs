//! RetailCRM's side: the key and its rights, delivery types, and what hangs on them.

use shared::retailcrm::{Credentials, CrmError};

use crate::doctor::finding::{Findings, tell};
use crate::doctor::integration::facts::{CrmSide, Facts, types_of};
use crate::doctor::integration::references::References;
use crate::doctor::integration::{module, payments};

pub fn judge(facts: &Facts, answer: &Result<CrmSide, CrmError>, say: &mut Findings) {
    let crm = match answer {
        Ok(crm) => crm,
        Err(error) => return trouble(facts, error, say),
    };
    tell!(say, Ok: "RetailCRM accepts the API key ({})", facts.integration.crm_url);
    let missing = crm.credentials.missing_scopes();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        tell!(say, Error: "the RetailCRM API key lacks rights: {missing}"
            => "in RetailCRM open the API key and tick: {missing}");
    }
    if crm.credentials.site_access.as_deref() == Some("access_selective") {
        let sites = crm.credentials.sites_available.join(", ");
        tell!(say, Error: "the RetailCRM API key sees selected shops only ({sites}): orders of the others are not found"
            => "in RetailCRM open the API key and choose «Access to all shops»");
    }
    // With a right missing this is said already.
    let is_said = |error: &CrmError| matches!(error, CrmError::AccessDenied { .. }) && !missing.is_empty();
    match &crm.references {
        Ok(references) => {
            delivery_types(facts, references, say);
            payments::judge(facts, crm, references, say);
        }
        Err(error) if is_said(error) => {}
        Err(error) => trouble(facts, error, say),
    }
    notifications(facts, say);
    match &crm.module {
        Ok(module) => module::judge(facts, module.as_ref(), crm.references.as_ref().ok(), say),
        Err(error) if is_said(error) => {}
        Err(error) => trouble(facts, error, say),
    }
}

/// How RetailCRM names the right is not known.
fn notifications(facts: &Facts, say: &mut Findings) {
    let (id, groups) = (facts.integration.id, facts.integration.settings.notify_groups.join(", "));
    match &facts.refused_to_notify {
        _ if groups.is_empty() => {}
        None => tell!(say, Ok: "users of {groups} are notified in RetailCRM of failures of new causes"),
        Some(why) => tell!(say, Warning: "users of {groups} are not notified in RetailCRM: {why}"
            => "in RetailCRM open the API key and allow notifications/send, or correct the groups' codes with \
                `bridge integration edit {id} --set notify_groups=CODE` (empty: nobody)"),
    }
}

fn trouble(facts: &Facts, error: &CrmError, say: &mut Findings) {
    let id = facts.integration.id;
    let remedy = match error {
        CrmError::WrongKey => format!(
            "make a key in RetailCRM (Settings → Integration → API access keys) and enter it with \
             `bridge integration edit {id} --crm-key KEY`"
        ),
        CrmError::AccessDenied { op, .. } => match op.scope() {
            Some(scope) => format!("in RetailCRM open the API key and tick {scope} (and «Access to all shops»)"),
            None => {
                let scopes = Credentials::NEEDED_SCOPES.join(", ");
                format!("in RetailCRM open the API key and allow: {scopes}; access to all shops")
            }
        },
        CrmError::AccountGone => {
            format!("check the account's address and correct it with `bridge integration edit {id} --crm-url URL`")
        }
        CrmError::Untrusted(trouble) => trouble.remedy(&format!("--crm-url of integration {id}")),
        CrmError::RateLimited { .. } => {
            "something else uses up the key's requests: give each program a key of its own, or lower CRM_RPS".to_owned()
        }
        _ => "check this machine's way out (DNS, firewall, proxy) and RetailCRM's own state, then try again; \
              orders wait until it answers"
            .to_owned(),
    };
    tell!(say, Error: "{error} ({})", facts.integration.crm_url => "{remedy}");
}

fn delivery_types(facts: &Facts, references: &References, say: &mut Findings) {
    let (id, code, all) = (facts.integration.id, &facts.code, &references.delivery_types);
    let ours = types_of(&facts.integration.settings.delivery_types, code, all);
    if ours.is_empty() {
        tell!(say, Error: "no delivery type of RetailCRM belongs to {code}: no order is ever its"
            => "in RetailCRM open the delivery type, choose the module {code} under «Integration» and save; or name the \
                type with `bridge integration edit {id} --delivery-type CODE`");
        return;
    }
    let before = say.all.len();
    for name in &ours {
        delivery_type(facts, name, references, say);
    }
    for other in &facts.siblings {
        for shared in types_of(&other.delivery_types, &other.code, all).into_iter().filter(|t| ours.contains(t)) {
            tell!(say, Error: "integration {} works for the delivery type «{shared}» too: a trigger cannot tell whose order \
                    it is", other.id
                => "give each its own with `bridge integration edit {id} --delivery-type CODE` and put each type's own \
                    deliveryApiKey into the triggers (`bridge trigger-help {id}`)");
        }
    }
    if say.all.len() == before {
        tell!(say, Ok: "delivery types: {}", ours.join(", "));
    }
}

fn delivery_type(facts: &Facts, name: &str, references: &References, say: &mut Findings) {
    let (id, code, all) = (facts.integration.id, &facts.code, &references.delivery_types);
    let Some(found) = all.iter().find(|t| t.code == name) else {
        let known = all.iter().map(|t| t.code.as_str()).collect::<Vec<_>>().join(", ");
        tell!(say, Error: "RetailCRM has no delivery type «{name}»"
            => "name an existing one with `bridge integration edit {id} --delivery-type CODE` ({known})");
        return;
    };
    let tied = found.integration_code.as_deref();
    if tied != Some(code) {
        let present = tied.map_or_else(|| "no module".to_owned(), |tied| format!("the module {tied}"));
        tell!(say, Error: "the delivery type «{name}» is tied to {present}, not to {code}"
            => "in RetailCRM open the delivery type «{name}», choose {code} under «Integration» and save \
                (`bridge integration register {id}` first, if it is not offered)");
    }
    if !found.active {
        tell!(say, Warning: "the delivery type «{name}» is switched off in RetailCRM"
            => "switch it on, or take it out of the integration's delivery types");
    }
}
