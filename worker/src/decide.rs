//! What to do about an order: a pure function of what is wanted, what the order is now,
//! and what the ledger knows. Written to be read beside design §3 «Triggers».

use std::time::Duration;

use shared::domain::delivery::DeliveryState as S;
use shared::message::{GiveUp, RetryWhy};
use shared::reason;

/// Readings that may conclude nothing before «not found», «no difference» and «still the
/// old type» are believed.
pub const REREADS: u32 = 2;

/// The unserved wishes of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    pub send: bool,
    pub update: bool,
    pub cancel: bool,
    /// The newest send is newer than the newest cancel, served or not.
    pub send_after_cancel: bool,
}

/// What RetailCRM shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    NotFound,
    /// More than one order has the number and nothing tells which is meant.
    Ambiguous,
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
    /// What MeaSoft holds equals what would be sent now.
    pub same: bool,
    /// RetailCRM was told of the present state.
    pub written_back: bool,
}

/// The situation a decision is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    pub wanted: Wanted,
    pub shown: Shown,
    /// `None`: the ledger has no delivery of this order.
    pub known: Option<Known>,
    pub rereads: u32,
    /// The courier lets us change and cancel.
    pub allow_edit_cancel: bool,
    /// A lost fence asks to look at MeaSoft before anything else.
    pub verify: bool,
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
    AlreadyDone(&'static str),
    Superseded(&'static str),
    /// RetailCRM may be behind: read again.
    ReadAgain,
    GiveUp(GiveUp),
}

impl Decision {
    /// The wait a reading that concluded nothing asks for.
    #[must_use]
    pub const fn retry_why(&self) -> Option<RetryWhy> {
        match self {
            Self::ReadAgain => Some(RetryWhy::CrmLag),
            _ => None,
        }
    }
}

/// Pause before a look-up that a cancel waits for: no sooner than one call limit after the
/// last send, since a slow first request may still be under way.
pub const CALL_LIMIT: Duration = Duration::from_secs(45);

#[must_use]
pub fn decide(s: &Situation) -> Decision {
    let once_more = s.rereads < REREADS;
    match s.shown {
        Shown::Ambiguous => return Decision::GiveUp(reason::give_up(reason::AMBIGUOUS_NUMBER, "")),
        Shown::NotFound if once_more => return Decision::ReadAgain,
        Shown::NotFound => return Decision::GiveUp(reason::give_up(reason::ORDER_NOT_FOUND, "")),
        Shown::Elsewhere | Shown::Ours => {}
    }
    if let Some(known) = s.known
        && (known.state.needs_lookup() || (s.verify && known.state != S::Planned))
    {
        return Decision::LookUp;
    }
    match s.shown {
        Shown::Elsewhere if s.wanted.cancel => cancel(s),
        Shown::Elsewhere => Decision::Superseded("the order has another delivery type now"),
        _ => ours(s, once_more),
    }
}

/// The order has left this integration and a cancel asks to clear up behind it.
fn cancel(s: &Situation) -> Decision {
    let Some(known) = s.known else { return Decision::CancelByNumber };
    match known.state {
        S::Planned | S::Rejected => Decision::Withdraw,
        S::Cancelled => Decision::AlreadyDone("cancelled before"),
        S::Created | S::Unknown | S::Sending => {
            if s.allow_edit_cancel {
                Decision::Cancel
            } else {
                Decision::GiveUp(reason::give_up(reason::EDIT_CANCEL_OFF, ""))
            }
        }
        S::NotDelivered if known.cancelled_by_us => Decision::AlreadyDone("cancelled before"),
        S::NotDelivered | S::Returned | S::Lost => Decision::AlreadyDone("the delivery has ended without a hand-over"),
        S::InWork | S::Delivered | S::Partly => Decision::GiveUp(reason::give_up(reason::TOO_LATE, "")),
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
    let Some(known) = s.known else {
        return if w.send { Decision::Create } else { nothing_sent(w) };
    };
    match known.state {
        S::Planned => {
            if w.send {
                Decision::Create
            } else {
                nothing_sent(w)
            }
        }
        S::Rejected => {
            if w.send || w.update {
                Decision::Create
            } else {
                nothing_sent(w)
            }
        }
        S::Cancelled => {
            if w.send && s.known.is_some_and(|k| k.cancelled_by_us) && w.send_after_cancel {
                Decision::Recreate
            } else {
                Decision::AlreadyDone("cancelled before; a new send would place it again")
            }
        }
        S::Created => placed(s, known, once_more),
        S::InWork => {
            if known.same || (w.send && !s.saving) {
                told(known, "the courier is working on it")
            } else if s.saving {
                Decision::GiveUp(reason::give_up(reason::TOO_LATE, ""))
            } else if w.update && once_more {
                // The order may show a newer save in a moment; the refusal can wait for it.
                Decision::ReadAgain
            } else if w.update {
                Decision::GiveUp(reason::give_up(reason::TOO_LATE, ""))
            } else {
                told(known, "the courier is working on it")
            }
        }
        S::Delivered | S::Partly | S::NotDelivered | S::Returned | S::Lost => told(known, "the delivery has ended"),
        S::Sending | S::Unknown => Decision::LookUp,
    }
}

fn placed(s: &Situation, known: Known, once_more: bool) -> Decision {
    let w = s.wanted;
    if known.same {
        // An update without a difference: the trigger may have run ahead of the commit.
        if w.update && !w.send && once_more && known.written_back {
            return Decision::ReadAgain;
        }
        return told(known, "MeaSoft has the order as it is");
    }
    if !(w.send || w.update) {
        return Decision::Superseded("the order has this delivery type still or again");
    }
    if s.allow_edit_cancel {
        Decision::Edit
    } else if w.update || s.saving {
        Decision::GiveUp(reason::give_up(reason::EDIT_CANCEL_OFF, ""))
    } else {
        told(known, "placed before; changing orders is switched off")
    }
}

fn told(known: Known, why: &'static str) -> Decision {
    if known.written_back { Decision::AlreadyDone(why) } else { Decision::WriteBack }
}

const fn nothing_sent(w: Wanted) -> Decision {
    if w.update {
        Decision::AlreadyDone("the order was never sent")
    } else {
        Decision::Superseded("the order has this delivery type still or again")
    }
}
