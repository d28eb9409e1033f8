//! What several read of RetailCRM's order in the same way.

use rust_decimal::Decimal;
use shared::crypto::sha256_hex;
use shared::domain::contact::Country;
use shared::retailcrm::wire::order::Order;

/// The country whose way of writing phones an order's people have: that of its address.
pub fn country(order: &Order) -> Country {
    Country::of(order.delivery.address.country_iso.as_deref())
}

/// Pieces of a quantity, rounded up: each may lose a kopeck.
pub fn units(quantity: Decimal) -> i64 {
    use rust_decimal::prelude::ToPrimitive as _;
    quantity.ceil().to_i64().unwrap_or(i64::MAX)
}

/// How far a sum may be off by the rounding of unit prices.
pub fn rounding_of(order: &Order) -> i64 {
    order.items.iter().filter(|item| !item.is_canceled).map(|item| units(item.quantity)).sum::<i64>().max(1)
}

/// What an saved request's sum depends on: when payments or total change, the sum is computed
/// anew.
pub fn payments_mark(order: &Order) -> String {
    let mut text = format!("{}|{}", order.total_summ, order.prepay_sum);
    for p in &order.payments {
        text.push_str(&format!("|{}:{}:{}", p.kind, p.status.as_deref().unwrap_or(""), p.amount));
    }
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// MeaSoft's mode out of a tariff code of ours: `<mode>` or `pvz-<mode>`.
pub fn service_of_tariff(tariff: &str) -> Option<String> {
    let mode = tariff.trim().strip_prefix("pvz-").unwrap_or(tariff.trim());
    (!mode.is_empty() && mode != "pvz").then(|| mode.to_owned())
}
