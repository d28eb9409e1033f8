//! The commands: what somebody wants done. The struct that travels lives here, the code
//! that acts on it in `worker`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{IntegrationId, Kopecks, OrderNumber};
use crate::message::lane::Lane;

/// One pair of a cancel trigger whose key is known: an integration the order may have
/// been handed to (retailcrm-api.md H.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Symbolic code of the delivery type, as the shop wrote it into its trigger.
    pub delivery_type: String,
    pub integration: IntegrationId,
}

impl Candidate {
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

/// Envelope key of a `Reconcile` that looks at RetailCRM's side only.
pub const RECONCILE_HISTORY: &str = "history";

/// What is wanted. A trigger is a hint: the handler reads the order and acts on what it
/// finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body")]
pub enum Command {
    SendOrder {
        number: OrderNumber,
        /// Declared value that the trigger named, if it named one.
        declared: Option<Kopecks>,
    },
    UpdateOrder {
        number: OrderNumber,
        declared: Option<Kopecks>,
    },
    /// The envelope's integration is the first candidate's.
    CancelOrder {
        number: OrderNumber,
        declared: Option<Kopecks>,
        candidates: Vec<Candidate>,
    },
    /// Look at what is due for this order: a retry whose time has come, or the sweep
    /// found nobody working on it.
    ResumeOrder {
        number: OrderNumber,
    },
    /// Ask the courier whether a paused integration's credentials work again.
    ProbeIntegration {},
    SyncStatuses {},
    PushStatuses {},
    SyncPayments {},
    Reconcile {},
    RefreshReferences {},
    Retention {},
    /// A synchronous request of RetailCRM's delivery module (retailcrm-api.md F).
    Callback {
        action: String,
        /// The decoded JSON of the request field, or the query as an object.
        request: Value,
    },
}

/// The closed set of command kinds: metric label and journal word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    SendOrder,
    UpdateOrder,
    CancelOrder,
    ResumeOrder,
    ProbeIntegration,
    SyncStatuses,
    PushStatuses,
    SyncPayments,
    Reconcile,
    RefreshReferences,
    Retention,
    Callback,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::SendOrder,
        Self::UpdateOrder,
        Self::CancelOrder,
        Self::ResumeOrder,
        Self::ProbeIntegration,
        Self::SyncStatuses,
        Self::PushStatuses,
        Self::SyncPayments,
        Self::Reconcile,
        Self::RefreshReferences,
        Self::Retention,
        Self::Callback,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendOrder => "SendOrder",
            Self::UpdateOrder => "UpdateOrder",
            Self::CancelOrder => "CancelOrder",
            Self::ResumeOrder => "ResumeOrder",
            Self::ProbeIntegration => "ProbeIntegration",
            Self::SyncStatuses => "SyncStatuses",
            Self::PushStatuses => "PushStatuses",
            Self::SyncPayments => "SyncPayments",
            Self::Reconcile => "Reconcile",
            Self::RefreshReferences => "RefreshReferences",
            Self::Retention => "Retention",
            Self::Callback => "Callback",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Command {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::SendOrder { .. } => Kind::SendOrder,
            Self::UpdateOrder { .. } => Kind::UpdateOrder,
            Self::CancelOrder { .. } => Kind::CancelOrder,
            Self::ResumeOrder { .. } => Kind::ResumeOrder,
            Self::ProbeIntegration {} => Kind::ProbeIntegration,
            Self::SyncStatuses {} => Kind::SyncStatuses,
            Self::PushStatuses {} => Kind::PushStatuses,
            Self::SyncPayments {} => Kind::SyncPayments,
            Self::Reconcile {} => Kind::Reconcile,
            Self::RefreshReferences {} => Kind::RefreshReferences,
            Self::Retention {} => Kind::Retention,
            Self::Callback { .. } => Kind::Callback,
        }
    }

    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::SendOrder { .. }
            | Self::UpdateOrder { .. }
            | Self::CancelOrder { .. }
            | Self::ResumeOrder { .. }
            | Self::ProbeIntegration {} => Lane::Interactive,
            Self::SyncStatuses {}
            | Self::PushStatuses {}
            | Self::SyncPayments {}
            | Self::Reconcile {}
            | Self::RefreshReferences {}
            | Self::Retention {} => Lane::Bulk,
            Self::Callback { .. } => Lane::Rpc,
        }
    }

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
