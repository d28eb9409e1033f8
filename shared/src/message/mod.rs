//! What travels through the queue, and what becomes of it.

pub mod codec;
pub mod command;
pub mod envelope;
pub mod lane;
pub mod outcome;
pub mod reply;

pub use crate::domain::RetryWhy;
pub use codec::{Undecodable, decode, encode};
pub use command::{Candidate, Command, Kind, PUSHED, RECONCILE_HISTORY};
pub use envelope::Envelope;
pub use lane::Lane;
pub use outcome::{Change, GiveUp, Needless, Outcome};
pub use reply::{CallbackReply, Media};
