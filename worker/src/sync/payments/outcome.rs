//! How the settling of one order's payment came out.

use shared::message::GiveUp;
use shared::phrases::PaymentStep;
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::story::Fits;
use shared::{reason, store};

/// How one order's payment went.
pub(super) enum Trouble {
    /// Try again: the rest of the run may go on.
    Later(String),
    /// The account does not work at all.
    Halt(CrmError),
    GiveUp(GiveUp),
    /// The plan was taken back whole; a later look decides anew.
    TakenBack(GiveUp),
    /// Newer facts have come: they decide.
    Overtaken,
    Store(store::StoreError),
}

impl From<store::StoreError> for Trouble {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CrmError> for Trouble {
    fn from(error: CrmError) -> Self {
        match error.class() {
            Class::Retry => Self::Later(error.label().to_owned()),
            Class::StopIntegration => Self::Halt(error),
            Class::Park => Self::GiveUp(reason::give_up(reason_of(&error), error.detail())),
        }
    }
}

/// Why a change of a payment that RetailCRM refuses is given up.
pub(super) const fn reason_of(error: &CrmError) -> &'static str {
    match error {
        CrmError::AccessDenied { .. } => reason::CRM_SCOPE_MISSING,
        CrmError::Unreadable(_) => reason::UNREADABLE_ORDER,
        _ => reason::PAYMENT_REFUSED,
    }
}

/// What was done about one order's payment.
pub(super) enum Settled {
    /// So many steps, and all of them.
    Moved(u32, Vec<PaymentStep>),
    Left(Fits),
}

/// How one order's payment came out.
pub(super) type Came = Result<Settled, Trouble>;
