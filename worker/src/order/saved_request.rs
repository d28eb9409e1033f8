//! What only the `save` callback tells, kept with the delivery so that trigger and `save`
//! convert the same order.
//!
//! During `save` the order that REST shows may still be the old one. So the whole request
//! is kept (sealed, it holds personal data) and laid over the order for as long as REST
//! shows exactly what it showed then; once REST has moved on, REST is right.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use shared::crypto::{SecretKey, sha256_hex};
use shared::domain::{Country, CrmOrderId, Delivery, Grams, IntegrationId, Kopecks, Millimetres, Phone, Secret};
use shared::retailcrm::address::{street_line, town};
use shared::retailcrm::wire::callbacks::{CallbackItem, SaveRequest};
use shared::retailcrm::wire::order::{Address, Customer, Item, ItemPrice, Offer, Order};

use crate::order::money::Said;
use crate::order::reading::{country, payments_mark, service_of_tariff, units};

/// How long a saved request may speak louder than REST.
const TRUSTED_MIN: i64 = 15;
/// REST may show an order late by so much after RetailCRM has its answer, or has given up on it.
const LAG_S: i64 = 15;
/// RetailCRM waits for no answer longer, seconds, clocks that differ included.
const LONGEST_WAIT_S: i64 = 60;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedRequest {
    /// Sum to collect as RetailCRM computed it, valid while the payments stand as they did.
    pub collect: Option<Kopecks>,
    /// Code of the payment type to be collected.
    pub cod_type: Option<String>,
    /// [`payments_mark`] of the order when it was saved.
    pub payments_mark: String,
    pub declared: Option<Kopecks>,
    /// Our tariff code as chosen.
    pub tariff: Option<String>,
    /// MeaSoft's mode of that tariff.
    pub service: Option<String>,
    pub pickup_point: Option<String>,
    pub packages: Vec<SavedPackage>,
    /// What REST showed when the saved request was first read beside it. `None`: a `save` that
    /// nobody has worked on yet.
    pub seen: Option<RestMarks>,
    /// The request as it came, sealed.
    pub request: Option<String>,
    pub saved_at: Option<Timestamp>,
    /// RetailCRM waits for its answer until then; it need not be told otherwise.
    pub answer_by: Option<Timestamp>,
    /// The order has changed since: newer sources come first.
    #[serde(skip)]
    pub outdated: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedPackage {
    pub id: Option<String>,
    pub weight: Option<Grams>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,
}

/// Marks of what REST showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestMarks {
    pub order: String,
    pub tariff: Option<String>,
    pub point: Option<String>,
    pub size: String,
}

/// What the words `pvz-…` of a tariff code mean.
pub fn is_pickup_tariff(tariff: &str) -> bool {
    tariff == "pvz" || tariff.starts_with("pvz-")
}

fn place(integration: IntegrationId, order: CrmOrderId) -> String {
    format!("delivery:{integration}:{order}:save")
}

fn given(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl SavedRequest {
    /// Of a request that has just come.
    pub fn of_save(
        save: &SaveRequest,
        raw: &str,
        integration: IntegrationId,
        key: &SecretKey,
        now: Timestamp,
        answer_by: Timestamp,
    ) -> Self {
        let tariff = given(save.delivery.tariff.as_deref());
        let sized = |mm: Option<Millimetres>| mm.filter(|mm| mm.0 > 0);
        let mut packages: Vec<SavedPackage> = save
            .packages
            .iter()
            .map(|package| SavedPackage {
                id: package.package_id.clone(),
                weight: package.weight.filter(|weight| weight.0 > 0),
                length: sized(package.length),
                width: sized(package.width),
                height: sized(package.height),
            })
            .collect();
        if let [only] = packages.as_mut_slice() {
            // One box is the order itself: its number within the order says nothing.
            only.id = None;
        }
        packages.retain(|p| {
            p.id.is_some() || p.weight.is_some() || p.length.is_some() || p.width.is_some() || p.height.is_some()
        });
        let sealed = key.seal(&place(integration, save.order), &Secret::new(raw));
        Self {
            collect: save.cod_total(),
            cod_type: save.delivery.cod_payment_type.clone(),
            payments_mark: String::new(),
            declared: save.declared_total(),
            service: tariff.as_deref().and_then(service_of_tariff),
            pickup_point: given(save.delivery.delivery_address.terminal.as_deref()),
            tariff,
            packages,
            seen: None,
            request: Some(STANDARD.encode(sealed)),
            saved_at: Some(now),
            answer_by: Some(answer_by),
            outdated: false,
        }
    }

    pub fn of_delivery(delivery: &Delivery) -> Self {
        delivery.saved_request.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The text it is stored as.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an overlay serialises")
    }

    /// A `save` came in and nobody has worked on it yet.
    pub fn is_new(&self) -> bool {
        self.request.is_some() && self.seen.is_none()
    }

    /// A `save` that nobody worked on while RetailCRM waited, and REST has moved on since: a
    /// process may have stood still with it.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.answer_by.is_some_and(|by| by + LAG_S.seconds() < now)
    }

    /// What is left of one that came late: what REST shows as well, it says.
    pub fn overtaken(self) -> Self {
        Self { collect: None, cod_type: None, declared: None, saved_at: None, ..self }
    }

    /// What RetailCRM said is to be collected, while the payments stand as they did.
    pub fn said(&self, order: &Order) -> Option<Said<'_>> {
        let collect = self.collect.filter(|_| self.payments_mark == payments_mark(order))?;
        Some(Said { collect, kind: self.cod_type.as_deref() })
    }

    /// The request it was made of; `None` when there is none or it cannot be read any more.
    pub fn saved(&self, integration: IntegrationId, order: CrmOrderId, key: &SecretKey) -> Option<SaveRequest> {
        let sealed = STANDARD.decode(self.request.as_deref()?).ok()?;
        let text = key.open(&place(integration, order), &sealed).ok()?;
        SaveRequest::parse(text.expose()).ok()
    }

    /// A stored saved request with its request sealed by our key; `None` when it is so already, or
    /// nobody can open it any more.
    pub fn resealed(text: &str, integration: IntegrationId, order: CrmOrderId, key: &SecretKey) -> Option<String> {
        let mut saved_request: Self = serde_json::from_str(text).ok()?;
        let sealed = STANDARD.decode(saved_request.request.as_deref()?).ok()?;
        saved_request.request = Some(STANDARD.encode(key.resealed(&place(integration, order), &sealed)?));
        Some(saved_request.text())
    }

    /// The same, with what REST showed beside it. Saved it was by now, whatever the clock said of
    /// who took it in.
    pub fn noted(&self, order: &Order, now: Timestamp) -> Self {
        let saved_at = self.saved_at.map(|at| at.min(now));
        Self { payments_mark: payments_mark(order), seen: Some(seen(order)), answer_by: None, saved_at, ..self.clone() }
    }

    /// Until when RetailCRM waits for the answer; unknown when a clock that was ahead wrote it.
    pub fn awaited_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.answer_by.filter(|by| *by <= now + LONGEST_WAIT_S.seconds())
    }

    /// Order and saved request as they are to be converted: the saved request laid over what
    /// REST showed then, and of the saved request what REST has not overtaken.
    pub fn over(&self, order: &Order, saved: Option<&SaveRequest>, instance: &str, now: Timestamp) -> (Order, Self) {
        let mut view = self.clone();
        let shows = seen(order);
        let was = self.seen.clone().unwrap_or_else(|| shows.clone());
        view.outdated = was.order != shows.order;
        if was.tariff != shows.tariff {
            view.tariff = None;
            view.service = None;
        }
        if was.point != shows.point {
            view.pickup_point = None;
        }
        if was.size != shows.size {
            view.packages.clear();
        }
        let trusted = self.saved_at.is_some_and(|at| at + TRUSTED_MIN.minutes() > now);
        match saved {
            Some(saved) if trusted && !view.outdated => (laid_over(order, saved, instance), view),
            _ => (order.clone(), view),
        }
    }
}

fn seen(order: &Order) -> RestMarks {
    RestMarks {
        order: order_mark(order),
        tariff: given(order.delivery.data.tariff.as_deref()),
        point: given(order.delivery.data.pickuppoint_id.as_deref()),
        size: size_mark(order),
    }
}

fn size_mark(order: &Order) -> String {
    let mut text = format!("{:?}|{:?}|{:?}|{:?}", order.weight, order.length, order.width, order.height);
    for package in &order.delivery.data.packages {
        text.push_str(&format!(
            "|{:?}:{:?}:{:?}:{:?}:{:?}",
            package.package_id, package.weight, package.length, package.width, package.height
        ));
    }
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// Equal for two readings that mean the same delivery. Own write-backs change nothing in it.
pub fn order_mark(order: &Order) -> String {
    let d = &order.delivery;
    let mut text = format!(
        "{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{}|{}",
        order.last_name,
        order.first_name,
        order.patronymic,
        order.phone,
        order.additional_phone,
        d.code,
        town(&d.address),
        d.address.region,
        street_line(&d.address),
        d.date,
        (d.time.from, d.time.to),
        d.cost,
        payments_mark(order),
    );
    for item in &order.items {
        text.push_str(&format!("|{}:{}:{}:{}", item.id, item.is_canceled, item.quantity, line_total(item)));
    }
    sha256_hex(text.as_bytes())[..16].to_owned()
}

fn line_total(item: &Item) -> Kopecks {
    let price = |price: Kopecks, quantity: Decimal| price.times(quantity).unwrap_or_default();
    match item.prices.as_slice() {
        [] => {
            let unit = item.initial_price.unwrap_or_default() - item.discount_total;
            price(Kopecks::from_decimal(unit).unwrap_or_default(), item.quantity)
        }
        [only] => price(only.price, item.quantity),
        several => several.iter().map(|p| price(p.price, p.quantity)).sum(),
    }
}

/// The order as the callback shows it. What says the same stays as REST has it, so that a
/// later reading of the committed order converts to the same.
fn laid_over(order: &Order, save: &SaveRequest, instance: &str) -> Order {
    let mut made = order.clone();
    if made.delivery.integration_code.as_deref() != Some(instance) {
        // REST still shows the type the order had before: which one it has now is not told.
        made.delivery.integration_code = Some(instance.to_owned());
        made.delivery.code = None;
    }
    receiver(&mut made, &save.customer);
    address(&mut made.delivery.address, &save.delivery.delivery_address);
    made.currency = save.currency.clone().or(made.currency);
    made.delivery.date = save.delivery.delivery_date.or(made.delivery.date);
    let slot = &save.delivery.delivery_time;
    if slot.from.is_some() || slot.to.is_some() {
        made.delivery.time.from = slot.from;
        made.delivery.time.to = slot.to;
    }
    let cost = save.delivery.cost.unwrap_or(made.delivery.cost);
    let same_goods = goods_agree(&made.items, save);
    if !same_goods {
        made.items = goods(&made.items, save);
    }
    if !same_goods || cost != made.delivery.cost {
        made.delivery.cost = cost;
        let lines: Kopecks = made.items.iter().filter(|item| !item.is_canceled).map(line_total).sum();
        made.total_summ = lines + cost;
    }
    made
}

fn name_of(last: Option<&str>, first: Option<&str>, patronymic: Option<&str>) -> String {
    let parts: Vec<&str> = [last, first, patronymic].into_iter().flatten().flat_map(str::split_whitespace).collect();
    parts.join(" ").to_lowercase()
}

fn customer_name(c: &Customer) -> String {
    name_of(c.last_name.as_deref(), c.first_name.as_deref(), c.patronymic.as_deref())
}

fn phones_of<'a>(texts: impl IntoIterator<Item = &'a str>, country: Country) -> Vec<Phone> {
    texts.into_iter().flat_map(|text| Phone::find_all(text, country)).collect()
}

/// The callback's «customer» is the receiver unless the order names somebody else as
/// receiver and the customer is known to REST as just that.
fn receiver(order: &mut Order, said: &Customer) {
    let theirs = customer_name(said);
    let known = order.customer.as_ref();
    let ours = name_of(order.last_name.as_deref(), order.first_name.as_deref(), order.patronymic.as_deref());
    if !theirs.is_empty() && theirs != ours && known.map(customer_name).as_deref() != Some(theirs.as_str()) {
        order.last_name.clone_from(&said.last_name);
        order.first_name.clone_from(&said.first_name);
        order.patronymic.clone_from(&said.patronymic);
    }
    let country = country(order);
    let theirs = phones_of(said.phones.iter().map(String::as_str), country);
    let ours = phones_of([order.phone.as_deref(), order.additional_phone.as_deref()].into_iter().flatten(), country);
    let customers = order.customer.as_ref().map(|c| phones_of(c.phones.iter().map(String::as_str), country));
    if said.phones.is_empty() || theirs.iter().all(|phone| ours.contains(phone)) && !theirs.is_empty() {
        return;
    }
    if !theirs.is_empty() && !ours.is_empty() && customers.as_ref() == Some(&theirs) {
        return;
    }
    let mut texts = said.phones.iter().cloned();
    order.phone = texts.next();
    order.additional_phone = Some(texts.collect::<Vec<_>>().join(", ")).filter(|rest| !rest.is_empty());
    if theirs.is_empty() {
        // What was typed in is no number: the customer's old one must not stand in for it.
        order.customer = order.customer.take().map(|customer| Customer { phones: Vec::new(), ..customer });
        order.contact = order.contact.take().map(|contact| Customer { phones: Vec::new(), ..contact });
    }
}

fn address(ours: &mut Address, said: &Address) {
    let agree = town(ours) == town(said)
        && ours.region == said.region
        && ours.index == said.index
        && street_line(ours) == street_line(said);
    if !agree && (town(said).is_some() || street_line(said).is_some()) {
        *ours = said.clone();
    }
}

/// What tells goods apart in both documents.
fn offer_key(id: Option<&str>, external: Option<&str>, name: Option<&str>) -> String {
    let part = |text: Option<&str>| text.map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    part(id).or_else(|| part(external)).or_else(|| part(name)).unwrap_or_default()
}

fn key_of_item(item: &Item) -> String {
    let offer = item.offer.as_ref();
    let id = offer.and_then(|o| o.id).map(|id| id.to_string());
    let name = offer.and_then(|o| o.name.as_deref()).or(item.product_name.as_deref());
    offer_key(id.as_deref(), offer.and_then(|o| o.external_id.as_deref()), name)
}

fn key_of_callback(item: &CallbackItem) -> String {
    offer_key(item.offer_id.as_deref(), item.external_id.as_deref(), item.name.as_deref())
}

/// Both documents mean the same goods: quantities exactly, sums up to the rounding of a
/// unit price.
fn goods_agree(items: &[Item], save: &SaveRequest) -> bool {
    let mut ours: BTreeMap<String, (Decimal, Kopecks)> = BTreeMap::new();
    for item in items.iter().filter(|item| !item.is_canceled && item.quantity > Decimal::ZERO) {
        let line = ours.entry(key_of_item(item)).or_default();
        line.0 += item.quantity;
        line.1 += line_total(item);
    }
    let mut theirs: BTreeMap<String, (Decimal, Kopecks)> = BTreeMap::new();
    for item in save.items().filter(|item| item.quantity > Decimal::ZERO) {
        let line = theirs.entry(key_of_callback(item)).or_default();
        line.0 += item.quantity;
        line.1 += item.cost.unwrap_or_default().times(item.quantity).unwrap_or_default();
    }
    // Old installations list no goods in the boxes.
    theirs.is_empty()
        || (ours.len() == theirs.len()
            && ours.iter().all(|(key, (quantity, sum))| {
                theirs.get(key).is_some_and(|(n, s)| n == quantity && (*s - *sum).0.abs() <= units(*n))
            }))
}

/// The callback's goods under the ids REST knows them by.
fn goods(items: &[Item], save: &SaveRequest) -> Vec<Item> {
    let mut left: Vec<&Item> = items.iter().filter(|item| !item.is_canceled).collect();
    let mut made: Vec<(String, Kopecks, Item)> = Vec::new();
    for said in save.items().filter(|item| item.quantity > Decimal::ZERO) {
        let (key, cost) = (key_of_callback(said), said.cost.unwrap_or_default());
        // A position may be spread over several boxes.
        if let Some((.., item)) = made.iter_mut().find(|(k, c, _)| *k == key && *c == cost) {
            item.quantity += said.quantity;
            item.prices = vec![ItemPrice { price: cost, quantity: item.quantity }];
            item.marking_codes.extend(said.marking_codes.iter().cloned());
            continue;
        }
        let known = left.iter().position(|item| key_of_item(item) == key).map(|at| left.remove(at).clone());
        let number = i64::try_from(made.len()).unwrap_or(0) + 1;
        let mut item = known.unwrap_or_else(|| new_item(said, number));
        item.quantity = said.quantity;
        item.prices = vec![ItemPrice { price: cost, quantity: said.quantity }];
        item.vat_rate = said.vat_rate;
        item.marking_codes.clone_from(&said.marking_codes);
        made.push((key, cost, item));
    }
    made.into_iter().map(|(.., item)| item).collect()
}

fn new_item(said: &CallbackItem, number: i64) -> Item {
    let offer_id = said.offer_id.as_deref().and_then(|id| id.parse::<i64>().ok());
    Item {
        // RetailCRM's own id is not known yet; below zero it cannot meet another position's.
        id: -offer_id.unwrap_or(number).abs().max(1),
        external_ids: Vec::new(),
        offer: Some(Offer {
            id: offer_id,
            external_id: said.external_id.clone(),
            name: said.name.clone(),
            unit: said.unit.clone(),
            ..Offer::default()
        }),
        product_name: said.name.clone(),
        prices: Vec::new(),
        initial_price: None,
        discount_total: Decimal::ZERO,
        vat_rate: said.vat_rate,
        quantity: said.quantity,
        status: None,
        is_canceled: false,
        marking_codes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_that_came_late_says_only_what_rest_does_not() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a moment");
        let save = SavedRequest {
            collect: Some(Kopecks(100)),
            cod_type: Some("cash".to_owned()),
            declared: Some(Kopecks(200)),
            tariff: Some("express".to_owned()),
            saved_at: Some(now),
            answer_by: Some(now + 4.seconds()),
            ..SavedRequest::default()
        };
        assert!(!save.is_late(now + 19.seconds()), "REST may still show what was before");
        assert!(save.is_late(now + 20.seconds()));
        assert!(!SavedRequest::default().is_late(now));
        let left = save.overtaken();
        assert_eq!((left.collect, left.declared, left.saved_at), (None, None, None));
        assert_eq!(left.tariff.as_deref(), Some("express"));
    }

    #[test]
    fn a_save_of_a_clock_that_was_ahead_is_trusted_no_longer_than_any_other() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a moment");
        let tomorrow = now + 24.hours();
        let order: Order = serde_json::from_str(r#"{"id":1,"number":"1","totalSumm":0}"#).expect("an order");
        let save = SavedRequest { saved_at: Some(tomorrow), answer_by: Some(tomorrow), ..SavedRequest::default() };
        assert_eq!(save.awaited_until(now), None);
        assert_eq!(save.noted(&order, now).saved_at, Some(now));
        let usual = SavedRequest { saved_at: Some(now - 1.seconds()), answer_by: Some(now + 4.seconds()), ..save };
        assert_eq!(usual.awaited_until(now), Some(now + 4.seconds()));
        assert_eq!(usual.noted(&order, now).saved_at, Some(now - 1.seconds()));
    }
}
