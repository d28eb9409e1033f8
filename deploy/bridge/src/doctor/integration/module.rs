//! The delivery module in RetailCRM: registered, switched on, called at our address, and its
//! statuses mapped.

use bridge_worker::callbacks::registration::WidgetState;
use bridge_worker::order::delivery_fields;
use shared::measoft::StatusCode;
use shared::retailcrm::IntegrationModule;

use crate::doctor::finding::{Findings, tell};
use crate::doctor::integration::facts::Facts;
use crate::doctor::integration::references::References;
use crate::doctor::setup::is_loopback;

/// Statuses whose mapping a shop surely wants: the ends of a delivery.
const ENDS: [StatusCode; 3] = [StatusCode::Complete, StatusCode::Partially, StatusCode::Canceled];

pub fn judge(facts: &Facts, module: Option<&IntegrationModule>, references: Option<&References>, say: &mut Findings) {
    let (id, code, public_url) = (facts.integration.id, &facts.code, &facts.public_url);
    let register = format!("run `bridge integration register {id}`");
    let Some(module) = module else {
        tell!(say, Error: "the delivery module {code} is not registered in RetailCRM: it takes no statuses and asks for no \
            tariffs" => "{register}");
        return;
    };
    let before = say.all.len();
    if module.freeze {
        tell!(say, Error: "RetailCRM has frozen the module {code}"
            => "pay for it in RetailCRM's marketplace, or ask RetailCRM's support why");
    }
    if !module.active {
        tell!(say, Error: "the module {code} is switched off in RetailCRM"
            => "switch it on in RetailCRM (Settings → Integration), or {register}");
    }
    if module.integration_code != facts.module_code {
        let (there, here) = (&module.integration_code, &facts.module_code);
        tell!(say, Error: "{code} is registered as «{there}», but MODULE_CODE is «{here}»"
            => "set MODULE_CODE as it was at the registration, or {register}");
    }
    let base = module.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
    if base != public_url.trim_end_matches('/') {
        tell!(say, Error: "RetailCRM calls the module at «{base}», but PUBLIC_URL is {public_url}"
            => "correct PUBLIC_URL, or, if it is right, {register}");
    }
    if is_loopback(public_url) && !is_loopback(&facts.integration.crm_url) {
        tell!(say, Error: "PUBLIC_URL is {public_url}: RetailCRM cannot reach this machine there"
            => "set PUBLIC_URL to the https:// address at which ingress is reachable from outside, then {register}");
    }
    if module.client_id.as_ref().is_some_and(|told| *told != facts.integration.secrets.client_id) {
        tell!(say, Error: "RetailCRM knows another clientId for {code}: every callback is refused" => "{register}");
    }
    if say.all.len() == before {
        tell!(say, Ok: "the module {code} is registered, active and called at {base}");
    }
    let fields = module.integrations.delivery.iter().flat_map(|delivery| &delivery.delivery_data_field_list);
    let known: Vec<&str> = fields.map(|field| field.code.as_str()).collect();
    if delivery_fields::declared(facts.integration.settings.language).any(|field| !known.contains(&&*field.code)) {
        tell!(say, Ok: "{code} was registered by an earlier release: orders do not show courier, planned date, who \
            took the parcel, and what to do after an error, until you {register}");
    }
    widget(facts, say);
    statuses(facts, module, references, say);
}

/// The button in the order's card, by what our last registration came to: whether RetailCRM shows
/// a module's `embedJs` when it is asked is not known.
fn widget(facts: &Facts, say: &mut Findings) {
    let (code, register) = (&facts.code, format!("run `bridge integration register {}`", facts.integration.id));
    let Some(folder) = &facts.widget.folder else {
        tell!(say, Ok: "the order's card has no button of ours (WIDGET_DIR is not set)");
        return;
    };
    let registered = WidgetState::Registered.as_str();
    match (facts.widget.is_built, facts.widget.registered.as_deref()) {
        (false, _) => {
            tell!(say, Warning: "WIDGET_DIR is {}, which holds no built widget: the order's card has no button",
                folder.display()
            => "build it (`npm ci && npm run build` in ingress/widget), start ingress anew, then {register}")
        }
        (true, Some(state)) if state == registered => {
            tell!(say, Ok: "the order's card has a button of {code}");
        }
        (true, Some("refused")) => {
            tell!(say, Warning: "RetailCRM took {code} only without its button in the order's card"
            => "ask RetailCRM's support whether the account may run JS modules; if so, {register}")
        }
        (true, _) => {
            tell!(say, Warning: "{code} was registered without its button in the order's card" => "{register}")
        }
    }
}

fn statuses(facts: &Facts, module: &IntegrationModule, references: Option<&References>, say: &mut Findings) {
    if !facts.integration.settings.receive_statuses {
        tell!(say, Ok: "statuses are not brought back (receive_statuses is off)");
        return;
    }
    let rows = module.settings().map(|s| s.statuses.as_slice()).unwrap_or_default();
    if let Some(references) = references {
        let codes = rows.iter().map(|row| row.code.as_str()).filter(|code| !code.is_empty());
        let gone: Vec<&str> = codes.filter(|code| !references.statuses.iter().any(|s| s.code == *code)).collect();
        if !gone.is_empty() {
            tell!(say, Warning: "the module's tab «Statuses» names order statuses that RetailCRM does not have: {}",
                    gone.join(", ")
                => "choose existing ones in RetailCRM (Settings → Integration → the module → «Statuses»)");
        }
    }
    let is_mapped = |code: &str| rows.iter().any(|row| row.tracking_status_code == code && !row.code.is_empty());
    let unmapped: Vec<&str> = ENDS.iter().map(StatusCode::as_str).filter(|code| !is_mapped(code)).collect();
    if unmapped.is_empty() {
        let listed = module.integrations.delivery.as_ref().map_or(0, |d| d.status_list.len());
        tell!(say, Ok: "{} of {listed} courier statuses change the order's status", rows.len());
    } else {
        tell!(say, Warning: "courier statuses without an order status: {}: orders stay as they are when these arrive",
                unmapped.join(", ")
            => "map them in RetailCRM (Settings → Integration → the module → «Statuses»)");
    }
}
