//! What the orders of the last 30 days use and nothing maps: payment types, payment statuses,
//! rates of VAT.

use std::collections::{BTreeMap, BTreeSet};

use bridge_worker::order::money::{is_at_the_door, is_usual_status};
use bridge_worker::vendor::references::References;
use jiff::civil::{Date, DateTime, date};
use jiff::{Span, Timestamp};
use shared::domain::Settings;
use shared::domain::integration::CodPolicy;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::{Crm, CrmError, VatRate};

use crate::doctor::finding::{Findings, tell};

/// Pages of a hundred orders that are looked at.
const PAGES: u64 = 3;
const DAYS: i64 = 30;
/// Russia's general rate is 22 % since that day; it was 20 % before.
const NEW_VAT: Date = date(2026, 1, 1);

/// How often something was met.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InUse {
    pub orders: usize,
    /// Unpaid payment types of which nothing tells whether the courier collects them.
    pub unclear_types: BTreeMap<String, usize>,
    /// Payment statuses that neither count as paid nor are known to be open or ended.
    pub unsure_statuses: BTreeMap<String, usize>,
    /// Orders made since the general rate changed that still bear the old one.
    pub old_vat: usize,
}

/// Reads the newest orders of these delivery types.
pub async fn recent(crm: &dyn Crm, delivery_types: &[String], now: Timestamp) -> Result<Vec<Order>, CrmError> {
    let since = now.checked_sub(Span::new().hours(DAYS * 24)).unwrap_or(now);
    let since: DateTime = since.to_zoned_datetime(jiff::tz::TimeZone::UTC).datetime();
    let mut orders: Vec<Order> = Vec::new();
    if delivery_types.is_empty() {
        return Ok(orders);
    }
    for page in 1..=PAGES {
        let found = crm.orders_by_delivery_types(delivery_types, page).await?;
        let read: Vec<Order> = found.orders.into_iter().flatten().collect();
        let is_last = page >= found.total_pages || read.is_empty();
        let is_old = read.iter().any(|order| order.created_at.is_some_and(|at| at < since));
        orders.extend(read.into_iter().filter(|order| order.created_at.is_none_or(|at| at >= since)));
        if is_last || is_old {
            break;
        }
    }
    Ok(orders)
}

/// Counts what nothing maps.
pub fn unmapped(orders: &[Order], settings: &Settings, lists: &References) -> InUse {
    let mut found = InUse { orders: orders.len(), ..InUse::default() };
    for order in orders {
        let delivery_type = order.delivery.code.as_deref().unwrap_or("");
        let mut types: BTreeSet<&str> = BTreeSet::new();
        let mut statuses: BTreeSet<&str> = BTreeSet::new();
        for payment in &order.payments {
            let status = payment.status.as_deref();
            if status.is_some_and(|status| lists.is_complete(status)) {
                continue;
            }
            if is_at_the_door(settings, lists, delivery_type, &payment.kind).is_none() {
                types.insert(&payment.kind);
            }
            statuses.extend(status.filter(|s| !is_usual_status(s) && !settings.ends_payment(s)));
        }
        for kind in types {
            *found.unclear_types.entry(kind.to_owned()).or_default() += 1;
        }
        for status in statuses {
            *found.unsure_statuses.entry(status.to_owned()).or_default() += 1;
        }
        let is_new = order.created_at.is_some_and(|at| at.date() >= NEW_VAT);
        let is_russian = settings.is_currency("RUB");
        let bears_old = order.items.iter().any(|item| {
            let offer = item.offer.as_ref().map_or(VatRate::Absent, |offer| offer.vat_rate);
            let rate = if item.vat_rate == VatRate::Absent { offer } else { item.vat_rate };
            rate == VatRate::Percent(20)
        });
        found.old_vat += usize::from(is_new && is_russian && bears_old);
    }
    found
}

/// A finding for each name, with its remedy.
pub fn judge(found: &InUse, integration: i64, policy: CodPolicy, say: &mut Findings) {
    if policy == CodPolicy::ByPaymentType {
        for (kind, orders) in &found.unclear_types {
            tell!(say, Error: "{orders} orders of the last {DAYS} days are to be paid by «{kind}», and nothing tells whether \
                    the courier collects it: such orders are refused (payment_type_unclear)"
                => "tick «{kind}» in the module's settings in RetailCRM (Delivery → Payment types), or map it with \
                    `bridge integration edit {integration} --set paytype_map.{kind}=CASH` (CARD, OTHER or NO)");
        }
    }
    for (status, orders) in &found.unsure_statuses {
        tell!(say, Warning: "{orders} orders of the last {DAYS} days have payments in the status «{status}»: neither paid nor \
                known to be open or ended; they count as open unless only leaving them out fits"
            => "if the status ends a payment without money, say so with `bridge integration edit {integration} --set \
                ended_payment_statuses={status}`; if it means paid, tick «Payment completed» for it in RetailCRM");
    }
    if found.old_vat > 0 {
        tell!(say, Warning: "{} orders made since {NEW_VAT} bear VAT of 20 %; the general rate is 22 % since then",
                found.old_vat
            => "correct the rate of the goods in RetailCRM (or in the catalogue it loads them from)");
    }
}
