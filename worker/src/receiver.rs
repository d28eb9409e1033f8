//! Who gets the parcel, where, and what the courier should know: the part of a conversion
//! that is about people. Pure.

use shared::domain::Phone;
use shared::measoft::Receiver;
use shared::message::GiveUp;
use shared::reason;
use shared::retailcrm::address::{address_line, joined, town};
use shared::retailcrm::wire::order::{self, Order};

use crate::overlay::Overlay;

/// The receiver as MeaSoft takes one.
///
/// # Errors
/// Nobody, nothing to call, or nowhere to go: a mistake in the order.
pub fn receiver(order: &Order, overlay: &Overlay) -> Result<Receiver, GiveUp> {
    let customer = order.customer.as_ref();
    let contact = order.contact.as_ref();
    let own = joined(&[order.last_name.as_deref(), order.first_name.as_deref(), order.patronymic.as_deref()], " ");
    let of = |c: &order::Customer| {
        joined(&[c.last_name.as_deref(), c.first_name.as_deref(), c.patronymic.as_deref()], " ")
            .or_else(|| c.nick_name.clone())
    };
    let is_company = |c: &&order::Customer| c.kind.as_deref() == Some("customer_corporate");
    let human = customer.filter(|c| !is_company(c));
    let person = own.or_else(|| contact.and_then(of)).or_else(|| human.and_then(of));
    let legal = |c: &order::Contragent| {
        (c.contragent_type.as_deref() != Some("individual")).then(|| c.legal_name.clone()).flatten()
    };
    let company = order
        .company
        .as_ref()
        .and_then(|c| c.name.clone())
        .or_else(|| order.contragent.as_ref().and_then(legal))
        .or_else(|| customer.and_then(|c| c.contragent.as_ref()).and_then(legal))
        .or_else(|| customer.filter(is_company).and_then(|c| c.nick_name.clone()));
    if person.is_none() && company.is_none() {
        return Err(reason::give_up(reason::NO_RECEIVER, ""));
    }
    let phones = phones(order);
    if phones.is_empty() {
        return Err(reason::give_up(reason::BAD_PHONE, ""));
    }
    let address = &order.delivery.address;
    let by_courier = overlay.tariff.as_deref().is_some_and(|tariff| !crate::overlay::is_pickup_tariff(tariff));
    let pvz = overlay
        .pickup_point
        .clone()
        .or_else(|| order.delivery.data.pickuppoint_id.clone().filter(|_| !by_courier))
        .filter(|code| !code.trim().is_empty());
    let street = address_line(address).or_else(|| pvz.clone());
    let Some(street) = street else { return Err(reason::give_up(reason::NO_ADDRESS, "")) };
    let time = &order.delivery.time;
    let clock = |t: jiff::civil::Time| format!("{:02}:{:02}", t.hour(), t.minute());
    Ok(Receiver {
        company,
        person,
        phone: Some(phones.iter().map(Phone::as_str).collect::<Vec<_>>().join(", ")),
        zipcode: address.index.clone(),
        town: town(address),
        regioncode: None,
        country: address.country_iso.clone(),
        address: Some(street),
        pvz,
        date: order.delivery.date.map(|d| d.to_string()),
        time_min: time.from.map(clock),
        time_max: time.to.map(clock),
        inn: [order.contragent.as_ref(), order.company.as_ref().and_then(|c| c.contragent.as_ref())]
            .into_iter()
            .flatten()
            .find_map(|c| c.inn.clone()),
        delivery_pin: None,
    })
}

/// The order's own phones, else those of its contact and customer; in order, without
/// repeats.
#[must_use]
pub fn phones(order: &Order) -> Vec<Phone> {
    let own = [order.phone.as_deref(), order.additional_phone.as_deref()];
    let mut phones: Vec<Phone> = own.into_iter().flatten().flat_map(Phone::find_all).collect();
    if phones.is_empty() {
        let people = order.contact.iter().chain(&order.customer);
        phones = people.flat_map(|c| &c.phones).flat_map(|text| Phone::find_all(text)).collect();
    }
    let mut seen = std::collections::HashSet::new();
    phones.retain(|phone| seen.insert(phone.clone()));
    phones
}

/// What the courier should know; line breaks become spaces.
#[must_use]
pub fn instruction(order: &Order) -> Option<String> {
    let address = &order.delivery.address;
    let intercom = address.intercom_code.as_deref().map(|code| format!("домофон {code}"));
    let text = joined(
        &[
            order.customer_comment.as_deref(),
            address.notes.as_deref(),
            intercom.as_deref(),
            order.delivery.time.custom.as_deref(),
        ],
        "; ",
    )?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
