//! RetailCRM's order → MeaSoft's. The one conversion of both paths (trigger and save):
//! what only the callback knows comes in as the delivery's saved request. Pure.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use shared::crypto::sha256_hex;
use shared::domain::{Delivery, Grams, Integration, Kopecks, Millimetres, OrderNo, Settings};
use shared::measoft::{Fee, Item, ItemKind, NewOrder, Package, PayType, Sender};
use shared::message::GiveUp;
use shared::phrases::{Detail, Details};
use shared::reason;
use shared::retailcrm::tolerant::VatRate;
use shared::retailcrm::wire::order::{self, ItemPrice, Order};

use crate::order::desired::Desired;
use crate::order::money::{Money, money};
use crate::order::prepayment::prepayment;
use crate::order::reading::{service_of_tariff, units};
use crate::order::receiver::{instruction, receiver};
use crate::order::recognise::total;
use crate::vendor::references::References;

pub use crate::order::saved_request::{SavedPackage, SavedRequest};

/// The order as MeaSoft should hold it, with the saved request its delivery has.
/// `Err`: what is wrong with the order, for the shop's manager.
pub fn desired(
    order: &Order,
    integration: &Integration,
    references: &References,
    declared: Option<Kopecks>,
    delivery: &Delivery,
) -> Result<Desired, GiveUp> {
    desired_with(order, integration, references, declared, delivery, &SavedRequest::of_delivery(delivery))
}

/// [`desired`] for order and saved request as [`SavedRequest::over`] gives them.
/// `Err`: what is wrong with the order, for the shop's manager.
pub fn desired_with(
    order: &Order,
    integration: &Integration,
    references: &References,
    declared: Option<Kopecks>,
    delivery: &Delivery,
    saved_request: &SavedRequest,
) -> Result<Desired, GiveUp> {
    let settings = &integration.settings;
    if let Some(currency) = order.currency.as_deref().filter(|code| !settings.is_currency(code)) {
        return Err(reason::give_up(
            reason::WRONG_CURRENCY,
            Detail::Currency { theirs: currency.to_owned(), ours: settings.currency.clone() },
        ));
    }
    let money = money(order, settings, references, saved_request.said(order))?;
    let declared_lines = declared_by_line(order);
    let mut items = goods(order, settings, references, &money, &declared_lines)?;
    let mut wanted = NewOrder::new(delivery.orderno.clone(), receiver(order, saved_request)?, money.paytype);
    wanted.sender = sender(integration);
    wanted.weight = Some(weight(order, saved_request, settings.default_weight_g));
    wanted.packages = packages(order, saved_request);
    wanted.places = Some(u32::try_from(wanted.packages.len()).unwrap_or(1).max(1));
    wanted.service = saved_request
        .service
        .clone()
        .or_else(|| order.delivery.data.tariff.as_deref().and_then(service_of_tariff))
        .or_else(|| settings.default_service.clone());
    if items.is_empty() {
        wanted.price = Some(money.collect);
    } else if order.delivery.cost > Kopecks::ZERO {
        let vat = vat(settings, order.delivery.vat_rate, VatRate::Absent);
        wanted.delivery_price = Some(Fee { sum: order.delivery.cost, vat });
    }
    wanted.declared = if declared_lines.is_empty() {
        match saved_request.outdated {
            false => saved_request.declared.or(declared),
            true => declared.or(saved_request.declared),
        }
    } else {
        Some(sum_declared(order, references, &declared_lines)?)
    };
    // Without a value of its own the platform insures a line at its price.
    if wanted.declared == Some(Kopecks::ZERO) {
        items
            .iter_mut()
            .filter(|line| line.kind == ItemKind::Goods)
            .for_each(|line| line.inshprice = Some(Kopecks::ZERO));
    }
    wanted.instruction = instruction(order);
    wanted.items = items;
    check(&wanted, &money)?;
    let region = order.delivery.address.region.as_deref();
    let (hash, undeclared_hash) = (hash(&wanted, region), hash(&undeclared(&wanted), region));
    Ok(Desired { order: wanted, collect: money.collect, hash, undeclared_hash })
}

/// All lines, in sum what the goods cost, with what is paid before as a line of its own.
fn goods(
    order: &Order,
    settings: &Settings,
    references: &References,
    money: &Money,
    declared: &BTreeMap<i64, Kopecks>,
) -> Result<Vec<Item>, GiveUp> {
    let mut items = Vec::new();
    for item in shipped(order, references) {
        let offer_vat = item.offer.as_ref().map_or(VatRate::Absent, |offer| offer.vat_rate);
        lines(item, vat(settings, item.vat_rate, offer_vat), declared.get(&item.id).copied(), &mut items)?;
    }
    if items.is_empty() && !order.items.is_empty() && money.total.is_zero() {
        return Err(reason::give_up(reason::NOTHING_TO_SEND, Details::NONE));
    }
    // An order that never had positions is a sum and nothing else.
    if !order.items.is_empty() {
        level(&mut items, order, shipped(order, references).map(|item| units(item.quantity)).sum())?;
    }
    if !items.is_empty() && money.paytype != PayType::No && money.prepayment() > Kopecks::ZERO {
        items.push(prepayment(money.prepayment()));
    }
    Ok(items)
}

const fn vat(settings: &Settings, rate: VatRate, fallback: VatRate) -> u8 {
    match (rate, fallback) {
        (VatRate::Percent(p), _) | (VatRate::Absent, VatRate::Percent(p)) => p,
        _ => settings.vat_none,
    }
}

/// Lines and fee must come to the order's total. What single prices lose in rounding, at most
/// a kopeck a piece, goes to one line: RetailCRM's own total is right.
/// `Err`: a larger difference, with the figures.
fn level(items: &mut Vec<Item>, order: &Order, pieces: i64) -> Result<(), GiveUp> {
    let lines = items
        .iter()
        .try_fold(Kopecks::ZERO, |sum, line| {
            sum.checked_add(Kopecks(line.retprice.0.checked_mul(i64::from(line.quantity))?))
        })
        .ok_or_else(|| reason::give_up(reason::BAD_SUM, Detail::TooLarge))?;
    let fee = order.delivery.cost;
    let off = order.total_summ - fee - lines;
    if off.is_zero() || (off.0.abs() <= pieces && shift(items, off)) {
        return Ok(());
    }
    Err(reason::give_up(
        reason::SUM_MISMATCH,
        Detail::Goods { goods: lines, delivery: fee, sum: lines + fee, total: order.total_summ },
    ))
}

/// Adds kopecks to one line: to the dearest line of one piece, else to one piece of the
/// dearest line. False when no line can take them.
fn shift(items: &mut Vec<Item>, off: Kopecks) -> bool {
    let takes = |line: &Item| line.retprice + off >= Kopecks::ZERO && line.quantity > 0;
    let dearest = |single: bool| {
        let fitting = items.iter().enumerate().filter(|(_, line)| takes(line) && (line.quantity == 1) == single);
        fitting.max_by_key(|(at, line)| (line.retprice, std::cmp::Reverse(*at))).map(|(at, _)| at)
    };
    if let Some(at) = dearest(true) {
        items[at].retprice += off;
        return true;
    }
    let Some(at) = dearest(false) else { return false };
    let mut piece = items[at].clone();
    items[at].quantity -= 1;
    piece.quantity = 1;
    piece.retprice += off;
    piece.extcode.push_str("-r");
    items.insert(at + 1, piece);
    true
}

/// What is sent asks for just the sum that is to be collected.
fn check(wanted: &NewOrder, money: &Money) -> Result<(), GiveUp> {
    match total(wanted) {
        Some(asked) if asked == money.collect => Ok(()),
        Some(asked) => {
            Err(reason::give_up(reason::SUM_MISMATCH, Detail::LinesAsk { lines: asked, collect: money.collect }))
        }
        None => Err(reason::give_up(reason::BAD_SUM, Detail::TooLarge)),
    }
}

/// The lines of one position: one for each final price, one for each marking code, and a
/// fractional quantity as one line at its total.
fn lines(item: &order::Item, vat: u8, declared: Option<Kopecks>, out: &mut Vec<Item>) -> Result<(), GiveUp> {
    let unreadable = || reason::give_up(reason::BAD_SUM, Detail::Position { id: item.id });
    let offer = item.offer.as_ref();
    let name = item.title().unwrap_or("Товар").to_owned();
    if item.quantity < Decimal::ZERO {
        return Err(unreadable());
    }
    let mut prices = item.unit_prices().ok_or_else(unreadable)?;
    if let [only] = prices.as_mut_slice() {
        only.quantity = item.quantity;
    }
    let mut codes = item.marking_codes.iter().map(|code| clean_marking(code)).filter(|code| !code.is_empty());
    let mut number = 0;
    let mut push = |quantity: u32, price: Kopecks, name: String, insured: Option<Kopecks>, code: Option<String>| {
        number += 1;
        let extcode = if number == 1 { item.id.to_string() } else { format!("{}-{number}", item.id) };
        let mut line = Item::goods(extcode, name, quantity, price);
        line.vat = Some(vat);
        line.inshprice = insured;
        line.barcode = offer.and_then(|o| o.barcode.clone());
        line.text_article = offer.and_then(|o| o.article.clone());
        line.government_code = code;
        out.push(line);
    };
    for ItemPrice { price, quantity } in prices {
        if quantity.is_zero() {
            continue;
        }
        if quantity < Decimal::ZERO {
            return Err(unreadable());
        }
        if !quantity.fract().is_zero() {
            let sum = price.times(quantity).ok_or_else(unreadable)?;
            let insured = declared.map(|d| d.times(quantity).ok_or_else(unreadable)).transpose()?;
            let unit = offer.and_then(|o| o.unit.as_ref()).and_then(|u| u.sym.clone()).unwrap_or_default();
            let amount = format!("{} {unit}", quantity.normalize());
            push(1, sum, format!("{name} ({})", amount.trim_end()), insured, codes.next());
            continue;
        }
        let mut left = u32::try_from(quantity.trunc()).map_err(|_| unreadable())?;
        // The platform takes a marking code on a line of one only
        // (protocols/measoft.md#marking-codes).
        while left > 0 {
            match codes.next() {
                Some(code) => {
                    push(1, price, name.clone(), declared, Some(code));
                    left -= 1;
                }
                None => {
                    push(left, price, name.clone(), declared, None);
                    left = 0;
                }
            }
        }
    }
    Ok(())
}

/// The code itself: FNC1/GS and other control characters are illegal in XML and unwanted by the
/// platform (protocols/measoft.md#marking-codes). Nor are the ways to write them that scanners and people
/// have: the word `<GS>`, and brackets around the identifiers of the parts.
fn clean_marking(code: &str) -> String {
    let plain: String = code.trim().replace("<GS>", "").chars().filter(|c| !c.is_control()).collect();
    // Goods have fourteen digits; a serial number may hold brackets of its own.
    let Some((goods, rest)) = plain.strip_prefix("(01)").and_then(|rest| rest.split_at_checked(14)) else {
        return plain;
    };
    let Some(serial) = rest.strip_prefix("(21)").filter(|_| goods.bytes().all(|b| b.is_ascii_digit())) else {
        return plain;
    };
    let mut written = format!("01{goods}21{serial}");
    for part in ["91", "92", "93", "8005"] {
        written = written.replacen(&format!("({part})"), part, 1);
    }
    written
}

/// Cancelled positions are neither sent nor counted (protocols/retailcrm.md#items).
fn shipped<'a>(order: &'a Order, references: &References) -> impl Iterator<Item = &'a order::Item> {
    let cancelled = |item: &order::Item| {
        item.is_canceled || item.status.as_deref().is_some_and(|status| references.is_cancelling(status))
    };
    order.items.iter().filter(move |item| !cancelled(item) && !item.quantity.is_zero())
}

fn declared_by_line(order: &Order) -> BTreeMap<i64, Kopecks> {
    let by_id = |product: &order::OrderProductRef| {
        product.id.or_else(|| {
            let wanted: Vec<&str> =
                product.external_ids.iter().map(|e| e.value.as_str()).chain(product.external_id.as_deref()).collect();
            order
                .items
                .iter()
                .find(|item| item.external_ids.iter().any(|e| wanted.contains(&e.value.as_str())))
                .map(|item| item.id)
        })
    };
    order.delivery.data.item_declared_values.iter().filter_map(|d| Some((by_id(&d.product)?, d.value))).collect()
}

fn sum_declared(order: &Order, references: &References, declared: &BTreeMap<i64, Kopecks>) -> Result<Kopecks, GiveUp> {
    let mut sum = Kopecks::ZERO;
    for item in shipped(order, references) {
        if let Some(value) = declared.get(&item.id) {
            sum += value.times(item.quantity).ok_or_else(|| reason::give_up(reason::BAD_SUM, Detail::DeclaredValue))?;
        }
    }
    Ok(sum)
}

fn sender(integration: &Integration) -> Option<Sender> {
    let s = &integration.settings.sender;
    let any = [&s.company, &s.person, &s.phone, &s.town, &s.address].into_iter().any(Option::is_some);
    any.then(|| Sender {
        company: s.company.clone(),
        person: s.person.clone(),
        phone: s.phone.clone(),
        town: s.town.clone(),
        address: s.address.clone(),
        ..Sender::default()
    })
}

fn weight(order: &Order, saved_request: &SavedRequest, default_g: u32) -> Grams {
    let sum = |weights: &mut dyn Iterator<Item = Grams>| weights.fold(0_u32, |sum, w| sum.saturating_add(w.0));
    let packed = sum(&mut saved_request.packages.iter().filter_map(|p| p.weight));
    match order.weight {
        _ if packed > 0 => Grams(packed),
        Some(weight) if weight.0 > 0 => weight,
        _ => {
            let listed = sum(&mut order.delivery.data.packages.iter().filter_map(|p| p.weight));
            if listed > 0 { Grams(listed) } else { Grams(default_g) }
        }
    }
}

fn packages(order: &Order, saved_request: &SavedRequest) -> Vec<Package> {
    let place = |code: Option<String>, mass, length, width, height| Package {
        code,
        mass,
        length,
        width,
        height,
        quantity: Some(1),
        ..Package::default()
    };
    if !saved_request.packages.is_empty() {
        return saved_request
            .packages
            .iter()
            .map(|p| place(p.id.clone(), p.weight, p.length, p.width, p.height))
            .collect();
    }
    let listed = &order.delivery.data.packages;
    if !listed.is_empty() {
        return listed.iter().map(|p| place(p.package_id.clone(), p.weight, p.length, p.width, p.height)).collect();
    }
    let given = |mm: Option<Millimetres>| mm.filter(|mm| mm.0 > 0);
    let (length, width, height) = (given(order.length), given(order.width), given(order.height));
    if length.is_none() && width.is_none() && height.is_none() {
        return Vec::new();
    }
    vec![place(None, order.weight.filter(|w| w.0 > 0), length, width, height)]
}

/// Equal for two orders that mean the same to MeaSoft, whatever their number. The town is
/// in it as RetailCRM has it, with its region: what it resolves to must not move the hash.
/// Without what a declared value says on the order and, if it is zero, on its lines.
fn undeclared(order: &NewOrder) -> NewOrder {
    let mut bare = order.clone();
    if bare.declared.take() == Some(Kopecks::ZERO) {
        bare.items.iter_mut().for_each(|line| line.inshprice = None);
    }
    bare
}

fn hash(order: &NewOrder, region: Option<&str>) -> String {
    let mut bare = order.clone();
    bare.orderno = OrderNo::known("");
    for item in &mut bare.items {
        item.code = None;
    }
    let mut text = serde_json::to_vec(&bare).expect("an order serialises");
    if let Some(region) = region {
        text.push(b'|');
        text.extend_from_slice(region.trim().as_bytes());
    }
    sha256_hex(&text)
}

#[cfg(test)]
pub(crate) mod tests;
