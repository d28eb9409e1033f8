//! What the ledger knows of an order.

use shared::domain::Delivery;
use shared::measoft::Details;
use shared::store::dead_letters::DeadLetter;
use shared::store::waiting_orders::WaitingOrder;

pub(super) struct Seen {
    pub(super) delivery: Option<Delivery>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) waiting: Option<WaitingOrder>,
    pub(super) is_paused: bool,
    /// Another module of the account has a word to say of it, and this one has none.
    pub(super) is_of_another: bool,
    pub(super) details: Details,
    pub(super) courier: Option<String>,
    pub(super) currency: String,
}
