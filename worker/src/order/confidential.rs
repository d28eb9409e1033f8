//! What a refusal must not carry on: people's data of the order go no further than RetailCRM,
//! whose own they are; secrets go nowhere.

use shared::hidden::Known;
use shared::retailcrm::wire::order::{Customer, Order};

use crate::vendor::ActiveIntegration;

/// Passwords and keys of an integration.
pub fn secrets(active: &ActiveIntegration) -> Known {
    let mut known = Known::default();
    let secrets = &active.integration.secrets;
    for secret in [&secrets.password, &secrets.crm_api_key, &secrets.delivery_api_key] {
        known.add(secret.expose());
    }
    known
}

/// The same, and what the order says of its people.
pub fn all(active: &ActiveIntegration, order: Option<&Order>) -> Known {
    let mut known = secrets(active);
    let Some(order) = order else { return known };
    let mut person = |c: &Customer| {
        for name in [&c.last_name, &c.first_name, &c.patronymic, &c.nick_name].into_iter().flatten() {
            known.add_words(name);
        }
        for value in c.email.iter().chain(&c.phones) {
            known.add(value);
        }
    };
    order.customer.iter().chain(&order.contact).for_each(&mut person);
    for name in [&order.last_name, &order.first_name, &order.patronymic].into_iter().flatten() {
        known.add_words(name);
    }
    for value in [&order.phone, &order.additional_phone, &order.email].into_iter().flatten() {
        known.add(value);
    }
    let address = &order.delivery.address;
    for value in [&address.street, &address.notes].into_iter().flatten() {
        known.add_words(value);
    }
    for value in [&address.text, &address.intercom_code].into_iter().flatten() {
        known.add(value);
    }
    known
}
