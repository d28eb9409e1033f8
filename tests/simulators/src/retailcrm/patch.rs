//! Reading an order as the API user or the control face writes it: absent keys keep their value
//! (protocols/retailcrm.md#requests).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::orders::{Item, Order, Payment, SIZE_FIELDS, TEXT_FIELDS};
use super::references::{PRODUCT_STATUSES, References};
use super::wire;

/// Field path → what is wrong with it.
pub(super) type FieldErrors = BTreeMap<String, String>;

const NOT_VALID: &str = "This value is not valid.";

/// Applies the `order` JSON of an edit. On errors the order may be half changed: throw it away.
pub(super) fn apply_order(
    order: &mut Order,
    patch: &Map<String, Value>,
    references: &References,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    for (name, _) in TEXT_FIELDS {
        if let Some(value) = patch.get(name) {
            match read_text(value) {
                Ok(None) => drop(order.texts.remove(name)),
                Ok(Some(text)) if name == "shipmentDate" && !wire::is_date(&text) => {
                    errors.insert(name.into(), NOT_VALID.into());
                }
                Ok(Some(text)) => drop(order.texts.insert(name, text)),
                Err(()) => drop(errors.insert(name.into(), NOT_VALID.into())),
            }
        }
    }
    for name in SIZE_FIELDS {
        match patch.get(name) {
            None => {}
            Some(Value::Null) => drop(order.sizes.remove(name)),
            Some(value) => match wire::read_integer(value) {
                Some(size) => drop(order.sizes.insert(name, size)),
                None => drop(errors.insert(name.into(), NOT_VALID.into())),
            },
        }
    }
    if let Some(value) = patch.get("number") {
        match read_text(value) {
            Ok(Some(text)) => order.number = text,
            _ => drop(errors.insert("number".into(), NOT_VALID.into())),
        }
    }
    if let Some(value) = patch.get("externalId") {
        order.external_id = read_text(value).ok().flatten();
    }
    if let Some(value) = patch.get("site") {
        match value.as_str().filter(|code| references.site(code).is_some()) {
            Some(code) => order.site = code.to_owned(),
            None => drop(errors.insert("site".into(), NOT_VALID.into())),
        }
    }
    if let Some(value) = patch.get("status") {
        match value.as_str().filter(|code| references.status(code).is_some()) {
            Some(code) => order.status = code.to_owned(),
            None => drop(errors.insert("status".into(), "The selected choice is invalid.".into())),
        }
    }
    if let Some(value) = patch.get("createdAt") {
        match value.as_str().filter(|text| wire::is_date_time(text)) {
            Some(text) => order.created_at = text.to_owned(),
            None => drop(errors.insert("createdAt".into(), NOT_VALID.into())),
        }
    }
    if let Some(value) = patch.get("discountManualAmount") {
        read_money(value, "discountManualAmount", &mut errors, &mut order.discount_amount);
    }
    if let Some(value) = patch.get("discountManualPercent") {
        order.discount_percent = wire::read_integer(value).unwrap_or(0);
    }
    if let Some(Value::Bool(shipped)) = patch.get("shipped") {
        order.shipped = *shipped;
    }
    if let Some(Value::Object(fields)) = patch.get("customFields") {
        for (code, value) in fields {
            if value.is_null() {
                order.custom_fields.remove(code);
            } else {
                order.custom_fields.insert(code.clone(), value.clone());
            }
        }
    }
    match patch.get("delivery") {
        Some(Value::Object(delivery)) => apply_delivery(order, delivery, references, &mut errors),
        None | Some(Value::Null) => {}
        Some(_) => drop(errors.insert("delivery".into(), NOT_VALID.into())),
    }
    match patch.get("items") {
        Some(Value::Array(items)) => apply_items(order, items, &mut errors),
        None => {}
        Some(_) => drop(errors.insert("items".into(), NOT_VALID.into())),
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn apply_delivery(order: &mut Order, patch: &Map<String, Value>, references: &References, errors: &mut FieldErrors) {
    match patch.get("code") {
        None => {}
        Some(Value::Null) => order.change_delivery_type(None),
        Some(value) => match value.as_str().filter(|code| references.delivery_type(code).is_some()) {
            Some(code) => order.change_delivery_type(Some(code)),
            None => drop(errors.insert("delivery[code]".into(), "DeliveryType does not exist.".into())),
        },
    }
    let delivery = &mut order.delivery;
    for (name, amount) in [("cost", &mut delivery.cost), ("netCost", &mut delivery.net_cost)] {
        if let Some(value) = patch.get(name) {
            read_money(value, &format!("delivery[{name}]"), errors, amount);
        }
    }
    match patch.get("date") {
        None => {}
        Some(Value::Null) => delivery.date = None,
        Some(value) => match value.as_str().filter(|text| wire::is_date(text)) {
            Some(text) => delivery.date = Some(text.to_owned()),
            None => drop(errors.insert("delivery[date]".into(), NOT_VALID.into())),
        },
    }
    if let Some(Value::String(rate)) = patch.get("vatRate") {
        delivery.vat_rate.clone_from(rate);
    }
    for (name, target) in [("time", &mut delivery.time), ("address", &mut delivery.address)] {
        if let Some(Value::Object(fields)) = patch.get(name) {
            merge(target, fields);
        }
    }
    match patch.get("data") {
        Some(Value::Object(data)) => {
            // Status fields come from tracking only, results of the calculation from the module
            // only (protocols/retailcrm.md#delivery).
            const WRITABLE: [&str; 9] = [
                "externalId",
                "trackNumber",
                "locked",
                "tariff",
                "payerType",
                "pickuppointId",
                "shipmentpointId",
                "packages",
                "itemDeclaredValues",
            ];
            for name in WRITABLE {
                if let Some(value) = data.get(name) {
                    if value.is_null() {
                        delivery.data.remove(name);
                    } else {
                        delivery.data.insert(name.to_owned(), value.clone());
                    }
                }
            }
            if let Some(Value::Object(extra)) = data.get("extraData") {
                for (code, value) in extra {
                    delivery.set_extra(code, value.clone());
                }
            }
        }
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(_) => drop(errors.insert("delivery[data]".into(), NOT_VALID.into())),
    }
}

/// A given list is the whole list: positions left out are deleted, those with `id` or `externalIds` are updated.
fn apply_items(order: &mut Order, patches: &[Value], errors: &mut FieldErrors) {
    let mut items = Vec::with_capacity(patches.len());
    for (place, patch) in patches.iter().enumerate() {
        let path = |name: &str| format!("items[{place}][{name}]");
        let Some(patch) = patch.as_object() else {
            errors.insert(format!("items[{place}]"), NOT_VALID.into());
            continue;
        };
        let id = patch.get("id").and_then(wire::read_integer);
        let external = patch
            .get("externalIds")
            .and_then(|ids| ids[0]["value"].as_str())
            .or_else(|| patch.get("externalId")?.as_str());
        let known = order.items.iter().find(|item| {
            id.map_or_else(|| external.is_some() && item.external_id.as_deref() == external, |id| item.id == id)
        });
        let name = ["productName", "name"].into_iter().find_map(|key| patch.get(key)?.as_str());
        let offer_name = patch.get("offer").and_then(|offer| offer["name"].as_str());
        let mut item = match (known, id) {
            (Some(item), _) => item.clone(),
            (None, Some(_)) => {
                errors.insert(path("id"), "Order product not found.".into());
                continue;
            }
            (None, None) => {
                let mut item = Item::new(offer_name.or(name).unwrap_or("Товар"), 0, 1000, 0);
                item.has_offer = patch.contains_key("offer") || patch.contains_key("name");
                item
            }
        };
        if let Some(name) = offer_name.or(name) {
            name.clone_into(&mut item.name);
        }
        if let Some(external) = external {
            item.external_id = Some(external.to_owned());
        }
        for key in ["initialPrice", "price"] {
            if let Some(value) = patch.get(key) {
                read_money(value, &path(key), errors, &mut item.initial_price);
            }
        }
        if let Some(value) = patch.get("discountManualAmount") {
            read_money(value, &path("discountManualAmount"), errors, &mut item.discount);
        }
        if let Some(value) = patch.get("quantity") {
            match wire::read_milli(value).filter(|milli| *milli >= 0) {
                Some(milli) => item.quantity = milli,
                None => drop(errors.insert(path("quantity"), NOT_VALID.into())),
            }
        }
        if let Some(weight) = patch.get("weight").and_then(wire::read_integer) {
            item.weight = weight;
        }
        for (key, target) in
            [("status", &mut item.status), ("comment", &mut item.comment), ("vatRate", &mut item.vat_rate)]
        {
            if let Ok(Some(text)) = patch.get(key).map_or(Ok(None), read_text) {
                *target = text;
            }
        }
        if patch.contains_key("status") && !PRODUCT_STATUSES.iter().any(|(code, ..)| *code == item.status) {
            errors.insert(path("status"), "The selected choice is invalid.".into());
        }
        if let Some(Value::Array(codes)) = patch.get("markingCodes") {
            item.marking_codes = codes.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        items.push(item);
    }
    order.items = items;
}

/// Applies the `payment` JSON of create and edit; checks codes and formats.
pub(super) fn apply_payment(
    payment: &mut Payment,
    patch: &Map<String, Value>,
    references: &References,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    if let Some(value) = patch.get("type") {
        match value.as_str().filter(|code| references.payment_type(code).is_some()) {
            Some(code) => payment.payment_type = code.to_owned(),
            None => drop(errors.insert("type".into(), "PaymentType does not exist.".into())),
        }
    }
    if let Some(value) = patch.get("status") {
        match value.as_str().filter(|code| references.payment_status(code).is_some()) {
            Some(code) => payment.status = code.to_owned(),
            None => drop(errors.insert("status".into(), "PaymentStatus does not exist.".into())),
        }
    }
    if let Some(value) = patch.get("amount") {
        match wire::read_kopecks(value) {
            Some(amount) => payment.amount = amount,
            None => drop(errors.insert("amount".into(), "This value should be of type float.".into())),
        }
    }
    match patch.get("paidAt") {
        None => {}
        Some(Value::Null) => payment.paid_at = None,
        Some(value) => match value.as_str().filter(|text| wire::is_date_time(text)) {
            Some(text) => payment.paid_at = Some(text.to_owned()),
            None => drop(errors.insert("paidAt".into(), NOT_VALID.into())),
        },
    }
    for (name, target) in [("externalId", &mut payment.external_id), ("comment", &mut payment.comment)] {
        match patch.get(name).map(read_text) {
            None => {}
            Some(Ok(text)) => *target = text,
            Some(Err(())) => drop(errors.insert(name.into(), NOT_VALID.into())),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
}

/// `None` clears the field: `null` and `""` both mean "no value"
/// (protocols/retailcrm.md#looseness).
fn read_text(value: &Value) -> Result<Option<String>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(()),
    }
}

fn read_money(value: &Value, path: &str, errors: &mut FieldErrors, target: &mut i64) {
    match wire::read_kopecks(value) {
        Some(amount) => *target = amount,
        None => drop(errors.insert(path.to_owned(), "This value should be of type float.".into())),
    }
}
