//! The line that makes an order's lines add up to what the courier collects.

use shared::domain::Kopecks;
use shared::measoft::{Item, ItemKind};

/// Our id of the prepayment line.
pub const PREPAYMENT: &str = "prepay";

/// The line that shows what is not collected at the door.
pub fn prepayment(sum: Kopecks) -> Item {
    let mut line = Item::goods(PREPAYMENT, "Предоплата", 1, -sum);
    line.kind = ItemKind::Prepayment;
    line
}
