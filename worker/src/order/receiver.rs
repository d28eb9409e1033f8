//! Who gets the parcel, where, and what the courier should know: the part of a conversion
//! that is about people. Pure.

use shared::domain::contact::{self, Contact};
use shared::measoft::Receiver;
use shared::message::GiveUp;
use shared::phrases::Details;
use shared::reason;
use shared::retailcrm::address::{address_line, joined, town};
use shared::retailcrm::wire::order::{self, Order};

use crate::order::reading::country;
use crate::order::saved_request::{SavedRequest, is_pickup_tariff};

/// The receiver as MeaSoft takes one.
/// `Err`: nobody, nothing to call, or nowhere to go: a mistake in the order.
pub fn receiver(order: &Order, saved_request: &SavedRequest) -> Result<Receiver, GiveUp> {
    let (person, company) = (person(order), company(order));
    if person.is_none() && company.is_none() {
        return Err(reason::give_up(reason::NO_RECEIVER, Details::NONE));
    }
    let phones = phones(order);
    if phones.is_empty() {
        return Err(reason::give_up(reason::BAD_PHONE, Details::NONE));
    }
    let address = &order.delivery.address;
    let by_courier = saved_request.tariff.as_deref().is_some_and(|tariff| !is_pickup_tariff(tariff));
    let pvz = saved_request
        .pickup_point
        .clone()
        .or_else(|| order.delivery.data.pickuppoint_id.clone().filter(|_| !by_courier))
        .filter(|code| !code.trim().is_empty());
    let street = address_line(address).or_else(|| pvz.clone());
    let Some(street) = street else { return Err(reason::give_up(reason::NO_ADDRESS, Details::NONE)) };
    let time = &order.delivery.time;
    let clock = |t: jiff::civil::Time| format!("{:02}:{:02}", t.hour(), t.minute());
    // No courier comes at night: an end before its beginning was typed the wrong way round.
    let (from, to) = match (time.from, time.to) {
        (Some(from), Some(to)) if to < from => (Some(to), Some(from)),
        hours => hours,
    };
    Ok(Receiver {
        company,
        person,
        phone: Some(phones.iter().map(|contact| contact.phone.as_str()).collect::<Vec<_>>().join(", ")),
        zipcode: address.index.clone(),
        town: town(address),
        regioncode: None,
        country: address.country_iso.clone(),
        address: Some(street),
        pvz,
        date: order.delivery.date.map(|d| d.to_string()),
        time_min: from.map(clock),
        time_max: to.map(clock),
        inn: [order.contragent.as_ref(), order.company.as_ref().and_then(|c| c.contragent.as_ref())]
            .into_iter()
            .flatten()
            .find_map(|c| c.inn.clone()),
        delivery_pin: None,
    })
}

fn is_company(customer: &&order::Customer) -> bool {
    customer.kind.as_deref() == Some("customer_corporate")
}

/// Last name first: the order's own, else its contact's, else its customer's.
pub fn person(order: &Order) -> Option<String> {
    let own = joined(&[order.last_name.as_deref(), order.first_name.as_deref(), order.patronymic.as_deref()], " ");
    let of = |c: &order::Customer| {
        joined(&[c.last_name.as_deref(), c.first_name.as_deref(), c.patronymic.as_deref()], " ")
            .or_else(|| c.nick_name.clone())
    };
    let human = order.customer.as_ref().filter(|c| !is_company(c));
    own.or_else(|| order.contact.as_ref().and_then(of)).or_else(|| human.and_then(of))
}

fn company(order: &Order) -> Option<String> {
    let customer = order.customer.as_ref();
    let legal = |c: &order::Contragent| {
        (c.contragent_type.as_deref() != Some("individual")).then(|| c.legal_name.clone()).flatten()
    };
    let named = order.company.as_ref().and_then(|c| c.name.clone());
    named
        .or_else(|| order.contragent.as_ref().and_then(legal))
        .or_else(|| customer.and_then(|c| c.contragent.as_ref()).and_then(legal))
        .or_else(|| customer.filter(is_company).and_then(|c| c.nick_name.clone()))
}

/// The order's own phones, else those of its contact and customer; in order, without
/// repeats, with what was written beside them.
pub fn phones(order: &Order) -> Vec<Contact> {
    let country = country(order);
    let of = |texts: &mut dyn Iterator<Item = &str>| contact::read(&texts.collect::<Vec<_>>().join("\n"), country);
    let own = of(&mut [order.phone.as_deref(), order.additional_phone.as_deref()].into_iter().flatten());
    if !own.is_empty() {
        return own;
    }
    let people = order.contact.iter().chain(&order.customer);
    of(&mut people.flat_map(|person| &person.phones).map(String::as_str))
}

/// What the courier should know; line breaks become spaces.
pub fn instruction(order: &Order) -> Option<String> {
    let remarks = phone_remarks(&phones(order));
    let text = joined(&[instruction_of(order).as_deref(), remarks.as_deref()], "; ")?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The part of it that was not written beside a phone.
pub fn instruction_of(order: &Order) -> Option<String> {
    let address = &order.delivery.address;
    let intercom = address.intercom_code.as_deref().map(|code| format!("домофон {code}"));
    let (comment, notes) = (order.customer_comment.as_deref(), address.notes.as_deref());
    joined(&[comment, notes, intercom.as_deref(), order.delivery.time.custom.as_deref()], "; ")
}

/// «тел. +74950001122 доб. 155»: what was written beside a phone, which takes the number
/// alone.
fn phone_remarks(phones: &[Contact]) -> Option<String> {
    let told: Vec<String> = phones
        .iter()
        .filter_map(|contact| Some(format!("тел. {} {}", contact.phone.as_str(), contact.remark.as_deref()?)))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}
