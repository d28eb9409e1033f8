//! Telling our own order from somebody else's at MeaSoft, after a lost answer or after an
//! edit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::crypto::SecretKey;
use shared::domain::delivery::Fingerprint;
use shared::domain::{Kopecks, Phone};
use shared::measoft::{ItemKind, NewOrder, PayType, StatusRow};

use crate::case::Desired;

/// What must be found again at MeaSoft to call an order ours; the phone only as a hash.
#[must_use]
pub fn fingerprint(desired: &Desired, key: &SecretKey) -> Fingerprint {
    Fingerprint {
        price: Some(desired.collect),
        extcodes: desired.order.items.iter().map(|item| item.extcode.clone()).collect(),
        phone_hash: phone_hash(desired.order.receiver.phone.as_deref().unwrap_or(""), key),
    }
}

fn phone_hash(text: &str, key: &SecretKey) -> String {
    Phone::find_all(text).first().map(|phone| key.blind(phone.as_str())).unwrap_or_default()
}

/// Whether a row found under our number is what we sent. What the row does not show is not
/// held against it (measoft-api.md §23.2: phone, sum and line ids).
#[must_use]
pub fn is_ours(row: &StatusRow, sent: &Fingerprint, key: &SecretKey) -> bool {
    let phones: Vec<String> = row
        .receiver_phones
        .iter()
        .flat_map(|text| Phone::find_all(text))
        .map(|phone| key.blind(phone.as_str()))
        .collect();
    let phone_fits = phones.is_empty() || sent.phone_hash.is_empty() || phones.contains(&sent.phone_hash);
    let price_fits = match (row.price, sent.price) {
        (Some(found), Some(expected)) => found == expected,
        _ => true,
    };
    let found: BTreeSet<&str> =
        row.items.iter().filter_map(|item| item.extcode.as_deref()).filter(|c| !c.is_empty()).collect();
    let sent_codes: BTreeSet<&str> = sent.extcodes.iter().map(String::as_str).collect();
    phone_fits && price_fits && (found.is_empty() || found == sent_codes)
}

/// Whether an order read back after an edit shows the edit.
#[must_use]
pub fn shows(row: &StatusRow, desired: &Desired) -> bool {
    let live: BTreeMap<&str, (u32, Kopecks)> = row
        .items
        .iter()
        .filter(|item| item.quantity > 0)
        .filter_map(|item| Some((item.extcode.as_deref().filter(|c| !c.is_empty())?, (item.quantity, item.retprice))))
        .collect();
    let wanted: BTreeMap<&str, (u32, Kopecks)> =
        desired.order.items.iter().map(|item| (item.extcode.as_str(), (item.quantity, item.retprice))).collect();
    let lines_fit = live.is_empty() || live == wanted;
    let price_fits = row.price.is_none_or(|price| price == desired.collect);
    lines_fit && price_fits
}

/// Our line id → MeaSoft's line code.
#[must_use]
pub fn item_codes(row: &StatusRow) -> BTreeMap<String, String> {
    row.items
        .iter()
        .filter_map(|item| Some((item.extcode.clone().filter(|c| !c.is_empty())?, item.code.clone()?)))
        .collect()
}

/// The complete order for `editorder`, each known line with its code (measoft-api.md §8).
#[must_use]
pub fn with_codes(order: &NewOrder, codes: &BTreeMap<String, String>) -> NewOrder {
    let mut order = order.clone();
    order.barcode = None;
    for item in &mut order.items {
        item.code = codes.get(&item.extcode).cloned();
    }
    order
}

/// What lines, fee and prepayment of a request add up to; with nothing to collect the
/// platform balances the sum itself.
#[must_use]
pub fn total(order: &NewOrder) -> Option<Kopecks> {
    if order.paytype == PayType::No {
        return Some(Kopecks::ZERO);
    }
    let mut sum = order.delivery_price.map_or(Kopecks::ZERO, |fee| fee.sum);
    for item in &order.items {
        // Of a prepayment line the platform ignores the quantity.
        let quantity = if item.kind == ItemKind::Prepayment { 1 } else { i64::from(item.quantity) };
        sum = sum.checked_add(Kopecks(item.retprice.0.checked_mul(quantity)?))?;
    }
    Some(sum)
}
