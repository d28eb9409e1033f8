//! The operations of the API that this project sends. The root element's name selects
//! the operation (protocols/measoft.md#operations).

use std::fmt;

crate::closed_set! {
    /// One operation. `as_str` is the vendor's root element name and also the label in the
    /// journal and in metrics.
    Op {
        NewOrder => "neworder",
        EditOrder => "editorder",
        CancelOrder => "cancelorder",
        StatusReq => "statusreq",
        CommitLastStatus => "commitlaststatus",
        Calculator => "calculator",
        Services => "services",
        PvzList => "pvzlist",
        TownList => "townlist",
        Waybill => "waybill",
        Client => "client",
    }
}

impl Op {
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
