//! The operations of the API that this project sends. The root element's name selects
//! the operation (protocols/measoft.md#operations).

use std::fmt;

/// One operation. `as_str` is the vendor's root element name and also the label in the
/// journal and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    NewOrder,
    EditOrder,
    CancelOrder,
    StatusReq,
    CommitLastStatus,
    Calculator,
    Services,
    PvzList,
    TownList,
    Waybill,
    Client,
}

impl Op {
    pub const ALL: [Self; 11] = [
        Self::NewOrder,
        Self::EditOrder,
        Self::CancelOrder,
        Self::StatusReq,
        Self::CommitLastStatus,
        Self::Calculator,
        Self::Services,
        Self::PvzList,
        Self::TownList,
        Self::Waybill,
        Self::Client,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewOrder => "neworder",
            Self::EditOrder => "editorder",
            Self::CancelOrder => "cancelorder",
            Self::StatusReq => "statusreq",
            Self::CommitLastStatus => "commitlaststatus",
            Self::Calculator => "calculator",
            Self::Services => "services",
            Self::PvzList => "pvzlist",
            Self::TownList => "townlist",
            Self::Waybill => "waybill",
            Self::Client => "client",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }

    /// Changes a shipment, so that a lost answer leaves its outcome unknown.
    /// `commitlaststatus` is not one: sending it again is harmless.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::NewOrder | Self::EditOrder | Self::CancelOrder)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
