//! Every reader of RetailCRM's JSON over one text, for the fuzz target.

use serde_json::Value;

use super::tolerant::{Misread, Node};
use super::wire::account::{AccountSettings, Credentials};
use super::wire::callbacks::{Activity, CalculateRequest, DeleteRequest, PrintRequest, SaveRequest};
use super::wire::history::HistoryPage;
use super::wire::module::ModuleInfo;
use super::wire::order::{read_orders, read_single};
use super::wire::references::{DeliveryType, PaymentStatus, PaymentType, ProductStatus, Status, read_reference};
use super::{mask, wire};

/// Reads a text as every document there is and answers what came of it, in a word for each:
/// inputs that come to something new are worth keeping.
pub fn read(text: &str) -> String {
    let _ = (mask::body(text), mask::text(text), mask::form(text));
    let mut came_to: Vec<String> = vec![
        word(CalculateRequest::parse(text)),
        match SaveRequest::parse(text) {
            Ok(save) => format!("{} {}", save.cod_total().is_some(), save.declared_total().is_some()),
            Err(misread) => misread.path,
        },
        word(DeleteRequest::parse(text)),
        word(PrintRequest::parse(text)),
        word(Activity::parse(text)),
    ];
    let Ok(answer) = serde_json::from_str::<Value>(text) else { return "no json".to_owned() };
    came_to.push(match read_orders(&answer["orders"]) {
        Ok(orders) => orders.iter().flatten().map(money).collect::<Vec<_>>().join(","),
        Err(misread) => misread.path,
    });
    came_to.push(read_single(&answer["order"]).map_or_else(|bad| bad.why.to_string(), |order| money(&order)));
    came_to.push(word(HistoryPage::read(&answer)));
    came_to.push(word(Node::root("answer", &answer).read(Credentials::read)));
    came_to.push(word(AccountSettings::parse(&answer)));
    let _ = ModuleInfo::read(&answer);
    came_to.push(word(read_reference(&answer, "deliveryTypes", DeliveryType::read)));
    came_to.push(word(read_reference(&answer, "paymentStatuses", PaymentStatus::read)));
    came_to.push(word(read_reference(&answer, "paymentTypes", PaymentType::read)));
    came_to.push(word(read_reference(&answer, "statuses", Status::read)));
    came_to.push(word(read_reference(&answer, "productStatuses", ProductStatus::read)));
    came_to.join(" ")
}

fn word<T>(read: Result<T, Misread>) -> String {
    read.map_or_else(|misread| misread.path, |_| "ok".to_owned())
}

/// The shape of an order's money: what a mistake would cost most.
fn money(order: &wire::order::Order) -> String {
    let priced = order.items.iter().filter(|item| item.unit_prices().is_some()).count();
    format!("{}/{}/{priced}", order.items.len().min(3), order.payments.len().min(3))
}
