//! Payments: what is collected at the door, and what RetailCRM is told after delivery.

use shared::domain::integration::{CodPolicy, PayKind};
use shared::retailcrm::IntegrationModule;

use crate::doctor::finding::{Findings, tell};
use crate::doctor::integration::facts::{CrmSide, Facts, types_of};
use crate::doctor::integration::in_use;
use crate::doctor::integration::references::References;

pub fn judge(facts: &Facts, crm: &CrmSide, references: &References, say: &mut Findings) {
    let (id, settings) = (facts.integration.id, &facts.integration.settings);
    status(facts, references, say);
    types(facts, references, say);
    collected(facts, crm, references, say);
    match &crm.recent {
        Ok(orders) => {
            let module = crm.module.as_ref().ok().and_then(|module| module.as_ref());
            let lists = references.lists(module.and_then(IntegrationModule::settings));
            in_use::judge(&in_use::unmapped(orders, settings, &lists), id.0, settings.cod_policy, say);
        }
        Err(error) => tell!(say, Warning: "the orders of the last days could not be read: {error}"
            => "give the key the right to read orders; whether all their payment types are mapped was not looked at"),
    }
}

/// The status that payments get after delivery.
fn status(facts: &Facts, references: &References, say: &mut Findings) {
    let (id, all) = (facts.integration.id, &references.payment_statuses);
    let Some(code) = &facts.integration.settings.payment_status else { return };
    match all.iter().find(|s| s.code == *code) {
        None => {
            let all = all.iter().map(|s| s.code.as_str()).collect::<Vec<_>>().join(", ");
            tell!(say, Error: "RetailCRM has no payment status «{code}»: payments would not be marked after delivery"
                => "name an existing one with `bridge integration edit {id} --payment-status CODE` ({all})");
        }
        Some(status) if !status.payment_complete => {
            tell!(say, Warning: "the payment status «{code}» does not count as paid in RetailCRM"
                => "tick «Payment completed» for it in RetailCRM, or choose another with \
                    `bridge integration edit {id} --payment-status CODE`");
        }
        Some(_) => tell!(say, Ok: "payments become «{code}» after delivery"),
    }
}

/// Payment types that our maps name.
fn types(facts: &Facts, references: &References, say: &mut Findings) {
    let (id, settings) = (facts.integration.id, &facts.integration.settings);
    let known = |code: &str| references.payment_types.iter().any(|t| t.code == code);
    let all = references.payment_types.iter().map(|t| t.code.as_str()).collect::<Vec<_>>().join(", ");
    if settings.receive_payment {
        let map = &settings.payment_type_map;
        let defaults = [("CASH", "cash"), ("CARD", "bank-card")];
        let defaults = defaults.iter().filter(|(from, _)| !map.contains_key(*from)).copied();
        let wanted = map.iter().map(|(from, to)| (from.as_str(), to.as_str())).chain(defaults);
        for (from, to) in wanted.filter(|(_, to)| !to.is_empty() && !known(to)) {
            tell!(say, Error: "RetailCRM has no payment type «{to}», which payment_type_map gives for {from}"
                => "run `bridge integration edit {id} --set payment_type_map.{from}=CODE` ({all})");
        }
    }
    for code in settings.paytype_map.keys().filter(|code| !known(code)) {
        tell!(say, Warning: "paytype_map names the payment type «{code}», which RetailCRM does not have"
            => "take it out with `bridge integration edit {id} --set paytype_map.{code}=`, or correct the code ({all})");
    }
}

/// What couriers collect at the door.
fn collected(facts: &Facts, crm: &CrmSide, references: &References, say: &mut Findings) {
    let (id, settings) = (facts.integration.id, &facts.integration.settings);
    if settings.cod_policy == CodPolicy::AsVendor {
        return;
    }
    let module = crm.module.as_ref().ok().and_then(|module| module.as_ref()).and_then(IntegrationModule::settings);
    let by_module = module.map(|module| module.payment_types.as_slice()).unwrap_or_default().iter();
    let mut found: Vec<&str> = by_module.filter(|t| t.active && t.cod).map(|t| t.code.as_str()).collect();
    if found.is_empty() {
        let ours = types_of(&settings.delivery_types, &facts.code, &references.delivery_types);
        let ours = references.delivery_types.iter().filter(|t| ours.contains(&t.code.as_str()));
        let types = ours.flat_map(|t| t.payment_types.iter().filter(|p| p.cod == Some(true)));
        found.extend(types.map(|p| p.code.as_str()));
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        tell!(say, Warning: "no payment type counts as cash on delivery: couriers would collect nothing"
            => "in RetailCRM open the delivery type's tab «Payment methods» and tick «Cash on delivery» for the types paid \
                to the courier, or let the whole unpaid sum be collected with `bridge integration edit {id} --cod-policy \
                as_vendor`");
        return;
    }
    let words = found.iter().map(|code| {
        let kind = match settings.pay_kind(code) {
            PayKind::Cash => "CASH",
            PayKind::Card => "CARD",
            PayKind::No => "NO",
            PayKind::Other => "OTHER",
        };
        format!("{code} ({kind})")
    });
    tell!(say, Ok: "couriers collect payments of the types {}", words.collect::<Vec<_>>().join(", "));
}
