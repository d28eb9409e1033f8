//! Writes `neworder` and `editorder`, in the order of elements the vendor documents.

use crate::domain::{Grams, Millimetres};
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document, given};
use crate::measoft::wire::neworder::{DeliverySet, Item, NewOrder, Package, Receiver, Sender};

/// A `neworder` request for one or more orders. `newfolder` stays `NO`: it groups
/// shipments and has nothing to do with repeats.
pub fn write_neworder(account: &Account, orders: &[NewOrder]) -> String {
    let mut document = Document::new(Op::NewOrder, &[("newfolder", "NO")], Auth::Full(account));
    for order in orders {
        write_order(&mut document, order, Op::NewOrder);
    }
    document.finish()
}

/// An `editorder` request: the complete order, with the codes of existing lines.
pub fn write_editorder(account: &Account, order: &NewOrder) -> String {
    let mut document = Document::new(Op::EditOrder, &[], Auth::Full(account));
    write_order(&mut document, order, Op::EditOrder);
    document.finish()
}

fn write_order(document: &mut Document, order: &NewOrder, op: Op) {
    document.open("order", &[("orderno", order.orderno.as_str())]);
    if op == Op::NewOrder {
        document.optional("barcode", order.barcode.as_deref());
    }
    if let Some(sender) = &order.sender {
        write_sender(document, sender);
    }
    write_receiver(document, &order.receiver);
    document.yes_no("return", order.return_goods);
    document.optional("weight", order.weight.map(Grams::kilograms).as_deref());
    document.optional("quantity", order.places.map(|n| n.to_string()).as_deref());
    document.leaf("paytype", order.paytype.as_str());
    document.optional("service", order.service.as_deref());
    document.optional("type", order.kind.as_deref());
    document.optional("price", order.price.map(|sum| sum.to_string()).as_deref());
    if let Some(fee) = order.delivery_price {
        document.leaf_with("deliveryprice", &[("VATrate", &fee.vat.to_string())], &fee.sum.to_string());
    }
    document.optional("inshprice", order.declared.map(|sum| sum.to_string()).as_deref());
    document.yes_no("receiverpays", order.receiver_pays);
    document.optional("enclosure", order.enclosure.as_deref());
    document.optional("instruction", order.instruction.as_deref());
    document.optional("department", order.department.as_deref());
    document.optional("costcode", order.costcode.as_deref());
    document.yes_no("pickup", order.pickup);
    document.yes_no("acceptpartially", order.accept_partially);
    if !order.items.is_empty() {
        document.open("items", &[]);
        for item in &order.items {
            write_item(document, item, op);
        }
        document.close("items");
    }
    write_packages(document, &order.packages);
    if let Some(set) = &order.delivery_set {
        write_delivery_set(document, set);
    }
    if !order.adv_prices.is_empty() {
        document.open("advprices", &[]);
        for service in &order.adv_prices {
            document.open("advprice", &[]);
            document.leaf("code", &service.code);
            document.leaf("value", &service.value);
            document.close("advprice");
        }
        document.close("advprices");
    }
    document.close("order");
}

fn write_sender(document: &mut Document, sender: &Sender) {
    document.open("sender", &[]);
    document.optional("company", sender.company.as_deref());
    document.optional("person", sender.person.as_deref());
    document.optional("phone", sender.phone.as_deref());
    document.optional("town", sender.town.as_deref());
    document.optional("address", sender.address.as_deref());
    document.optional("date", sender.date.as_deref());
    document.optional("time_min", sender.time_min.as_deref());
    document.optional("time_max", sender.time_max.as_deref());
    document.close("sender");
}

fn write_receiver(document: &mut Document, receiver: &Receiver) {
    document.open("receiver", &[]);
    document.optional("company", receiver.company.as_deref());
    document.optional("person", receiver.person.as_deref());
    document.optional("phone", receiver.phone.as_deref());
    document.optional("zipcode", receiver.zipcode.as_deref());
    write_town(document, receiver.town.as_deref(), receiver.regioncode.as_deref(), receiver.country.as_deref());
    document.optional("address", receiver.address.as_deref());
    document.optional("pvz", receiver.pvz.as_deref());
    document.optional("date", receiver.date.as_deref());
    document.optional("time_min", receiver.time_min.as_deref());
    document.optional("time_max", receiver.time_max.as_deref());
    document.optional("inn", receiver.inn.as_deref());
    document.optional("deliveryPIN", receiver.delivery_pin.as_deref());
    document.close("receiver");
}

/// `town` with its two optional attributes; nothing without a town.
pub(crate) fn write_town(document: &mut Document, town: Option<&str>, regioncode: Option<&str>, country: Option<&str>) {
    let Some(town) = given(town) else { return };
    let mut attributes = Vec::new();
    push_given(&mut attributes, "regioncode", regioncode);
    push_given(&mut attributes, "country", country);
    document.leaf_with("town", &attributes, town);
}

fn write_item(document: &mut Document, item: &Item, op: Op) {
    let quantity = item.quantity.to_string();
    let mass = item.mass.map(Grams::kilograms);
    let retprice = item.retprice.to_string();
    let inshprice = item.inshprice.map(|sum| sum.to_string());
    let vat = item.vat.map(|vat| vat.to_string());
    let [length, width, height] = [item.length, item.width, item.height].map(centimetres);
    let mut attributes = Vec::with_capacity(16);
    if op == Op::EditOrder {
        push_given(&mut attributes, "code", item.code.as_deref());
    }
    push_given(&mut attributes, "extcode", Some(&item.extcode));
    attributes.push(("quantity", quantity.as_str()));
    push_given(&mut attributes, "mass", mass.as_deref());
    attributes.push(("retprice", retprice.as_str()));
    push_given(&mut attributes, "inshprice", inshprice.as_deref());
    push_given(&mut attributes, "VATrate", vat.as_deref());
    push_given(&mut attributes, "barcode", item.barcode.as_deref());
    push_given(&mut attributes, "textArticle", item.text_article.as_deref());
    push_given(&mut attributes, "length", length.as_deref());
    push_given(&mut attributes, "width", width.as_deref());
    push_given(&mut attributes, "height", height.as_deref());
    attributes.push(("type", item.kind.code()));
    push_given(&mut attributes, "governmentCode", item.government_code.as_deref());
    document.leaf_with("item", &attributes, item.name.trim());
}

/// The `packages` container; nothing without places.
pub(crate) fn write_packages(document: &mut Document, packages: &[Package]) {
    if packages.is_empty() {
        return;
    }
    document.open("packages", &[]);
    for package in packages {
        let mass = package.mass.map(Grams::kilograms);
        let [length, width, height] = [package.length, package.width, package.height].map(centimetres);
        let quantity = package.quantity.map(|n| n.to_string());
        let mut attributes = Vec::with_capacity(8);
        push_given(&mut attributes, "code", package.code.as_deref());
        push_given(&mut attributes, "strbarcode", package.strbarcode.as_deref());
        push_given(&mut attributes, "mass", mass.as_deref());
        push_given(&mut attributes, "length", length.as_deref());
        push_given(&mut attributes, "width", width.as_deref());
        push_given(&mut attributes, "height", height.as_deref());
        push_given(&mut attributes, "quantity", quantity.as_deref());
        push_given(&mut attributes, "message", package.message.as_deref());
        match given(package.name.as_deref()) {
            Some(name) => document.leaf_with("package", &attributes, name),
            None => document.empty("package", &attributes),
        }
    }
    document.close("packages");
}

fn write_delivery_set(document: &mut Document, set: &DeliverySet) {
    let above = set.above_price.to_string();
    let back = set.return_price.to_string();
    let vat = set.vat.map(|vat| vat.to_string());
    let mut attributes = vec![("above_price", above.as_str()), ("return_price", back.as_str())];
    push_given(&mut attributes, "VATrate", vat.as_deref());
    document.open("deliveryset", &attributes);
    for (below_sum, price) in &set.below {
        document.empty("below", &[("below_sum", &below_sum.to_string()), ("price", &price.to_string())]);
    }
    document.close("deliveryset");
}

fn centimetres(length: Option<Millimetres>) -> Option<String> {
    length.map(|length| length.centimetres().to_string())
}

fn push_given<'a>(attributes: &mut Vec<(&'static str, &'a str)>, name: &'static str, value: Option<&'a str>) {
    if let Some(value) = given(value) {
        attributes.push((name, value));
    }
}
