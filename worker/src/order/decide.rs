//! What to do about an order: a pure function of what is wanted, what the order is now,
//! and what the ledger knows. Written to be read beside ARCHITECTURE.md, «States».

use shared::domain::delivery::DeliveryState as S;
use shared::message::{GiveUp, Needless};
use shared::phrases::Details;
use shared::reason;

/// Readings that may conclude nothing before «not found», «no difference» and «still the
/// old type» are believed.
pub const REREADS: u32 = 2;

/// The unserved requests of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requested {
    pub send: bool,
    pub update: bool,
    pub cancel: bool,
    /// The newest send is newer than the newest cancel, served or not.
    pub send_after_cancel: bool,
    /// A send served before followed a cancel that may have come to pass after it.
    pub send_again: bool,
}

/// What RetailCRM shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The order is not there, or no more: deleted, or combined into another.
    NotFound,
    /// Its delivery type belongs to this integration.
    Ours,
    /// It has another delivery type now.
    Elsewhere,
}

/// What the ledger says, as far as the decision needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub state: S,
    pub cancelled_by_us: bool,
    /// What MeaSoft holds, or refused, equals what would be sent now.
    pub same: bool,
    /// It equals that but for the declared value, which is the trigger's own and says nothing of
    /// how much RetailCRM shows yet.
    pub shown_before: bool,
    /// RetailCRM was told of the present state.
    pub written_back: bool,
    /// RetailCRM shows what gave up.
    pub shows_error: bool,
}

/// The situation a decision is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    pub wanted: Requested,
    pub shown: Presence,
    /// `None`: the ledger has no delivery of this order.
    pub known: Option<Known>,
    /// Its delivery is over, and so long that the ledger keeps no more than that.
    pub over: bool,
    /// Nothing of it was ever sent by us, and it bears another integration's delivery.
    pub foreign: bool,
    pub rereads: u32,
    /// The courier lets us change and cancel.
    pub allow_edit_cancel: bool,
    /// A writer lost its lease half-way: MeaSoft may hold something else than the ledger says.
    pub verify: bool,
    /// MeaSoft was asked in this attempt.
    pub looked: bool,
    /// A `save` waits for the answer: a change that cannot be made is refused, not passed over.
    pub saving: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Create,
    /// Our own cancel is undone by a later send: a new number, then create.
    Recreate,
    Edit,
    Cancel,
    /// Ask MeaSoft what became of our number, then decide again.
    LookUp,
    /// Only RetailCRM has to be told.
    WriteBack,
    /// Nothing was sent: the ledger's row is closed without a call.
    Withdraw,
    /// Nobody's ledger knows the order: ask MeaSoft by its number whether to cancel it.
    CancelByNumber,
    AlreadyDone(Needless),
    Superseded(Needless),
    /// RetailCRM may be behind: read again.
    ReadAgain,
    GiveUp(GiveUp),
}

pub fn decide(s: &Situation) -> Decision {
    let once_more = s.rereads < REREADS;
    // RetailCRM itself says that it is not wanted any more, and it is gone: what is known of it
    // is cleared up.
    let gone = s.wanted.cancel && !s.wanted.send_after_cancel && s.known.is_some();
    match s.shown {
        Presence::NotFound if once_more => return Decision::ReadAgain,
        Presence::NotFound if !gone => return give_up(reason::ORDER_NOT_FOUND),
        Presence::NotFound | Presence::Elsewhere | Presence::Ours => {}
    }
    if s.over {
        return Decision::AlreadyDone(Needless::EndedBefore);
    }
    if let Some(known) = s.known
        && (known.state.needs_lookup() || (s.verify && !s.looked))
    {
        return Decision::LookUp;
    }
    match s.shown {
        Presence::Ours => ours(s, once_more),
        // The newest request is a send: it may have run ahead of the save that brought the order
        // here, and concluding now would lose it.
        _ if s.wanted.send && (!s.wanted.cancel || s.wanted.send_after_cancel) && once_more => Decision::ReadAgain,
        _ if s.wanted.cancel => cancel(s),
        _ => Decision::Superseded(Needless::AnotherType),
    }
}

/// The order has left this integration and a cancel asks to clear up behind it.
fn cancel(s: &Situation) -> Decision {
    let Some(known) = s.known else {
        // Sent and cancelled in one breath: nothing of ours can be at MeaSoft.
        return if s.wanted.send { Decision::Withdraw } else { Decision::CancelByNumber };
    };
    match known.state {
        S::Sending | S::Unknown => Decision::LookUp,
        S::Planned | S::Rejected => Decision::Withdraw,
        S::Created if s.allow_edit_cancel => Decision::Cancel,
        S::Created => give_up(reason::EDIT_CANCEL_OFF),
        S::Cancelled => Decision::AlreadyDone(Needless::Cancelled),
        S::NotDelivered | S::Returned | S::Lost => Decision::AlreadyDone(Needless::EndedWithoutHandOver),
        S::InWork | S::Delivered | S::Partly => give_up(reason::TOO_LATE),
    }
}

/// The order is with this integration now.
fn ours(s: &Situation, once_more: bool) -> Decision {
    let w = s.wanted;
    // A cancel whose order still shows the old type may have run ahead of RetailCRM's own
    // commit; a send that came before it waits for that to be cleared up.
    if w.cancel && !w.send_after_cancel && once_more {
        return Decision::ReadAgain;
    }
    if !(w.send || w.update || s.verify) {
        return if w.cancel {
            Decision::Superseded(Needless::TypeStands)
        } else {
            Decision::AlreadyDone(Needless::LookedAgain)
        };
    }
    let never_sent = Decision::AlreadyDone(Needless::NeverSent);
    let is_new = s.known.is_none_or(|known| known.state == S::Planned);
    let is_refused = s.known.is_some_and(|known| known.state == S::Rejected);
    if s.foreign && ((is_new && w.send) || (is_refused && (w.send || w.update))) {
        return give_up(reason::HANDED_OVER_ELSEWHERE);
    }
    let Some(known) = s.known else {
        return if w.send { Decision::Create } else { never_sent };
    };
    // An update that finds nothing new may have run ahead of the commit as well.
    let read_again = w.update && once_more && !s.saving;
    match known.state {
        S::Sending | S::Unknown => Decision::LookUp,
        // One that was to be placed anew has its number already.
        S::Planned if w.send || (w.send_again && !known.cancelled_by_us) => Decision::Create,
        S::Planned => never_sent,
        S::Rejected if known.shown_before && read_again => Decision::ReadAgain,
        S::Rejected if w.send || w.update => Decision::Create,
        S::Rejected => Decision::AlreadyDone(Needless::Refused),
        // Whatever is unserved was wanted after the cancel, which served all before it.
        S::Cancelled if (w.send || w.send_again) && known.cancelled_by_us => Decision::Recreate,
        S::Cancelled => Decision::AlreadyDone(Needless::CancelledUntilSent),
        S::Created if known.shown_before && read_again => Decision::ReadAgain,
        S::Created if known.same => done_once_reported(known, Needless::AsItIs),
        S::Created if s.allow_edit_cancel => Decision::Edit,
        S::Created if w.update || s.saving => give_up(reason::EDIT_CANCEL_OFF),
        S::Created => done_once_reported(known, Needless::ChangingIsOff),
        // A difference is read again too: the delivery may just be ending, and our own
        // payment edit with it.
        S::InWork if read_again => Decision::ReadAgain,
        S::InWork if (w.update || s.saving) && !known.same => give_up(reason::TOO_LATE),
        S::InWork => done_once_reported(known, Needless::InWork),
        S::Delivered | S::Partly | S::NotDelivered | S::Returned | S::Lost => {
            done_once_reported(known, Needless::Ended)
        }
    }
}

fn give_up(reason: &'static str) -> Decision {
    Decision::GiveUp(reason::give_up(reason, Details::NONE))
}

/// An error that RetailCRM shows stays while the change it is about has not reached MeaSoft.
fn done_once_reported(known: Known, why: Needless) -> Decision {
    let error_stands = known.shows_error && !known.same;
    if known.written_back || error_stands { Decision::AlreadyDone(why) } else { Decision::WriteBack }
}

#[cfg(test)]
mod tests;
