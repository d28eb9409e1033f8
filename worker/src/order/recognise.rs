//! Telling our own order from somebody else's at MeaSoft, after a lost answer or after an
//! edit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::crypto::SecretKey;
use shared::domain::delivery::Fingerprint;
use shared::domain::{Country, Kopecks, Phone};
use shared::measoft::{Item, ItemKind, NewOrder, PayType, StatusItem, StatusRow};

use crate::order::desired::Desired;
use crate::order::prepayment::{PREPAYMENT, prepayment};

/// What must be found again at MeaSoft to call an order ours; the phone only as a hash.
pub fn fingerprint(desired: &Desired, key: &SecretKey) -> Fingerprint {
    Fingerprint {
        price: Some(desired.collect),
        extcodes: goods(desired).map(|item| item.extcode.clone()).collect(),
        phone_hash: phone_hash(desired.order.receiver.phone.as_deref().unwrap_or(""), key),
        undeclared_hash: desired.undeclared_hash.clone(),
        late_until: None,
        cancel_unheard: false,
        earlier: Vec::new(),
    }
}

/// What MeaSoft writes into «Инфо о доставке» of an order cancelled through the API
/// (protocols/measoft.md#cancelorder).
pub fn is_cancelled_by_client(delivered_to: Option<&str>) -> bool {
    let words = delivered_to.unwrap_or_default().to_lowercase();
    words.contains("отменено заказчиком") || words.contains("by client")
}

/// The prepayment line is left out: the platform makes such lines itself, without our id
/// (protocols/measoft.md#statusreq). The sum speaks for it.
fn goods(desired: &Desired) -> impl Iterator<Item = &Item> {
    desired.order.items.iter().filter(|item| item.kind != ItemKind::Prepayment)
}

fn phone_hash(text: &str, key: &SecretKey) -> String {
    // What is about to be sent is in international form: any country reads it alike.
    Phone::find_all(text, Country::default()).first().map(|phone| key.blind(phone.as_str())).unwrap_or_default()
}

/// The phones a row shows, in each form that may have been sent: as they are read, and digit
/// by digit. An earlier reading sent digits that are no number to the present one.
pub(crate) fn shown_phones(text: &str) -> Vec<String> {
    let mut phones: Vec<String> =
        Phone::find_all(text, Country::default()).iter().map(|phone| phone.as_str().to_owned()).collect();
    for part in text.split([',', ';', '/', '\n', '|']).filter(|part| !part.contains('@')) {
        let digits: String = part.chars().filter(char::is_ascii_digit).collect();
        if (10..=15).contains(&digits.len()) {
            phones.push(format!("+{digits}"));
        }
    }
    phones
}

/// Whether a row found under our number is what we sent. What the row does not show is not
/// held against it (protocols/measoft.md#repeating: phone, sum and line ids).
pub fn is_ours(row: &StatusRow, sent: &Fingerprint, key: &SecretKey) -> bool {
    let phones: Vec<String> = row.receiver_phones.iter().flat_map(|text| shown_phones(text)).collect();
    let phone_fits = phones.is_empty()
        || sent.phone_hash.is_empty()
        || phones.iter().any(|phone| key.is_blinded(phone, &sent.phone_hash));
    let price_fits = match (row.price, sent.price) {
        (Some(found), Some(expected)) => found == expected,
        _ => true,
    };
    let sent_codes: BTreeSet<&str> = sent.extcodes.iter().map(String::as_str).collect();
    let (live, gone): (Vec<_>, Vec<_>) =
        row.items.iter().filter(|item| is_comparable(item)).partition(|item| item.quantity > 0);
    let codes = |lines: &[&StatusItem]| lines.iter().filter_map(|i| i.extcode.clone()).collect::<BTreeSet<_>>();
    let (live, gone) = (codes(&live), codes(&gone));
    // Lines that an edit took out stay with a quantity of zero (protocols/measoft.md#editorder).
    let lines_fit = sent_codes.is_empty()
        || !row.shows_lines()
        || (live.is_empty() && gone.is_empty())
        || (live.iter().all(|code| sent_codes.contains(code.as_str()))
            && sent_codes.iter().all(|code| live.contains(*code) || gone.contains(*code)));
    phone_fits && price_fits && lines_fit
}

/// A line that brings our id back. The platform's own have none; a prepayment's is not
/// compared.
fn is_comparable(item: &StatusItem) -> bool {
    item.extcode.as_deref().is_some_and(|code| !code.is_empty() && code != PREPAYMENT)
}

/// Whether an order read back after an edit shows the edit.
pub fn shows(row: &StatusRow, desired: &Desired) -> bool {
    // As lists: a line that was added twice must not hide behind its twin.
    let mut live: Vec<(&str, u32, Kopecks)> = row
        .items
        .iter()
        .filter(|item| item.quantity > 0 && is_comparable(item))
        .filter_map(|item| Some((item.extcode.as_deref()?, item.quantity, item.retprice)))
        .collect();
    let mut wanted: Vec<(&str, u32, Kopecks)> =
        goods(desired).map(|item| (item.extcode.as_str(), item.quantity, item.retprice)).collect();
    // Prices that are not shown read as zero; of prepaid orders some versions show none.
    if live.iter().all(|(.., price)| price.is_zero()) {
        wanted.iter_mut().for_each(|(.., price)| *price = Kopecks::ZERO);
    }
    live.sort_unstable();
    wanted.sort_unstable();
    let echoed = row.shows_lines() && row.items.iter().any(is_comparable);
    let lines_fit = !echoed || live == wanted;
    let price_fits = row.price.is_none_or(|price| price == desired.collect);
    lines_fit && price_fits
}

/// Our line id → MeaSoft's line code. Of two lines with one id the live one counts.
pub fn item_codes(row: &StatusRow) -> BTreeMap<String, String> {
    let (live, gone): (Vec<_>, Vec<_>) = row.items.iter().partition(|item| item.quantity > 0);
    gone.into_iter()
        .chain(live)
        .filter_map(|item| Some((item.extcode.clone().filter(|c| !c.is_empty())?, item.code.clone()?)))
        .collect()
}

/// The complete order for `editorder`, each known line with its code
/// (protocols/measoft.md#editorder).
///
/// A line that is left out keeps its price and loses its quantity, and of a prepayment the
/// platform ignores the quantity (protocols/measoft.md#items): what is not prepaid any more is said
/// as 0.00.
pub fn with_codes(order: &NewOrder, codes: &BTreeMap<String, String>) -> NewOrder {
    let mut order = order.clone();
    order.barcode = None;
    if codes.contains_key(PREPAYMENT) && !order.items.iter().any(|item| item.kind == ItemKind::Prepayment) {
        order.items.push(prepayment(Kopecks::ZERO));
    }
    for item in &mut order.items {
        item.code = codes.get(&item.extcode).cloned();
    }
    order
}

/// What lines, fee and prepayment of a request add up to; with nothing to collect the
/// platform balances the sum itself.
pub fn total(order: &NewOrder) -> Option<Kopecks> {
    if order.paytype == PayType::No {
        return Some(Kopecks::ZERO);
    }
    if order.items.is_empty() && order.price.is_some() {
        return order.price;
    }
    let mut sum = order.delivery_price.map_or(Kopecks::ZERO, |fee| fee.sum);
    for item in &order.items {
        // Of a prepayment line the platform ignores the quantity.
        let quantity = if item.kind == ItemKind::Prepayment { 1 } else { i64::from(item.quantity) };
        sum = sum.checked_add(Kopecks(item.retprice.0.checked_mul(quantity)?))?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests;
