//! The commands: what somebody wants done. The struct that travels lives here, the code
//! that acts on it in `worker`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{IntegrationId, Kopecks, OrderNumber};
use crate::message::lane::Lane;

/// One pair of a cancel trigger whose key is known: an integration the order may have
/// been handed to (protocols/retailcrm.md#triggers).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Symbolic code of the delivery type, as the shop wrote it into its trigger.
    pub delivery_type: String,
    pub integration: IntegrationId,
}

/// Stands for a delivery type that nobody knows: no code of RetailCRM has this sign.
const UNKNOWN_TYPE: &str = "?";

impl Candidate {
    /// An integration whose cancel is asked for by what the ledger knows of the order. Without a
    /// type it must not pass for [`Candidate::withdrawn`]: an order that is back keeps its parcel.
    #[must_use]
    pub fn of(delivery_type: &str, integration: IntegrationId) -> Self {
        let delivery_type = if delivery_type.is_empty() { UNKNOWN_TYPE } else { delivery_type };
        Self { delivery_type: delivery_type.to_owned(), integration }
    }

    /// RetailCRM itself withdrew the delivery (the module's `delete`): the order keeps its
    /// delivery type, so the type says nothing.
    #[must_use]
    pub const fn withdrawn(integration: IntegrationId) -> Self {
        Self { delivery_type: String::new(), integration }
    }

    #[must_use]
    pub const fn is_withdrawn(&self) -> bool {
        self.delivery_type.is_empty()
    }
}

/// Envelope key of a `SyncStatuses` that MeaSoft asked for itself.
pub const PUSHED: &str = "pushed";
/// Envelope key of a `Reconcile` that looks at RetailCRM's side only.
pub const RECONCILE_HISTORY: &str = "history";

/// Makes the commands, their kinds and lanes of a row each: name, fields, lane.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty),* $(,)? } => $lane:ident,)*) => {
        /// What is wanted. A trigger is a hint: the handler reads the order and acts on what it
        /// finds.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "body")]
        pub enum Command { $($(#[$doc])* $name { $($(#[$note])* $field: $type),* }),* }

        /// The closed set of command kinds: metric label and journal word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($name),* }

        impl Kind {
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|kind| kind.as_str() == text)
            }
        }

        impl Command {
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$name { .. } => Kind::$name),* }
            }

            pub const fn lane(&self) -> Lane {
                match self { $(Self::$name { .. } => Lane::$lane),* }
            }
        }
    };
}

commands! {
    SendOrder {
        number: OrderNumber,
        /// Declared value that the trigger named, if it named one.
        declared: Option<Kopecks>,
    } => Interactive,
    UpdateOrder { number: OrderNumber, declared: Option<Kopecks> } => Interactive,
    /// The envelope's integration is the first candidate's.
    CancelOrder { number: OrderNumber, declared: Option<Kopecks>, candidates: Vec<Candidate> } => Interactive,
    /// Look at what is due for this order. Workers look each second by themselves: only an earlier
    /// release sends it.
    ResumeOrder { number: OrderNumber } => Interactive,
    /// Ask the courier whether a paused integration's credentials work again.
    ProbeIntegration {} => Interactive,
    SyncStatuses {} => Bulk,
    PushStatuses {} => Bulk,
    SyncPayments {} => Bulk,
    /// Tell RetailCRM what of each line was brought back.
    SyncReturns {} => Bulk,
    /// Notify RetailCRM's users of causes that are new or over.
    NotifyOfCauses {} => Bulk,
    Reconcile {} => Bulk,
    /// Compare what a shadow would have done with what is there; once it is live, take that over.
    CompareShadow {} => Bulk,
    RefreshReferences {} => Bulk,
    Retention {} => Bulk,
    /// Give the letters of replays their turn.
    ReplayLetters {} => Bulk,
    /// A synchronous request of RetailCRM's delivery module (protocols/retailcrm.md#callbacks).
    Callback {
        action: String,
        /// The decoded JSON of the request field, or the query as an object.
        request: Value,
    } => Rpc,
}

impl Command {
    /// The order's number, when the command is about one order.
    #[must_use]
    pub const fn number(&self) -> Option<&OrderNumber> {
        match self {
            Self::SendOrder { number, .. }
            | Self::UpdateOrder { number, .. }
            | Self::CancelOrder { number, .. }
            | Self::ResumeOrder { number } => Some(number),
            _ => None,
        }
    }
}
