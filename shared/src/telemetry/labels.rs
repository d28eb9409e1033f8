//! The words that labels take: closed sets.

use crate::closed_set;

closed_set!(
    /// What a request to ingress was for. The three triggers bear their command's name.
    TriggerKind { Send => "SendOrder", Update => "UpdateOrder", Cancel => "CancelOrder", Push => "SyncStatuses", Other => "other" }
);

closed_set!(
    /// How a request to ingress was answered.
    TriggerResult {
        Accepted => "accepted",
        BadRequest => "bad_request",
        Forbidden => "forbidden",
        NotFound => "not_found",
        NotAllowed => "not_allowed",
        TimedOut => "timed_out",
        TooLarge => "too_large",
        UnsupportedType => "unsupported_type",
        Limited => "limited",
        Unavailable => "unavailable",
        Internal => "internal",
    }
);

closed_set!(
    /// Requests to MeaSoft, named as in its documentation.
    MeasoftOp {
        NewOrder => "neworder",
        EditOrder => "editorder",
        CancelOrder => "cancelorder",
        StatusReq => "statusreq",
        OnlyLast => "only_last",
        CommitLastStatus => "commitlaststatus",
        Calculator => "calculator",
        Services => "services",
        PvzList => "pvzlist",
        TownList => "townlist",
        RegionList => "regionlist",
        StreetList => "streetlist",
        Waybill => "waybill",
        Client => "client",
    }
);

closed_set!(
    /// Requests to RetailCRM.
    CrmOp {
        OrdersList => "orders_list",
        OrderRead => "order_read",
        OrderEdit => "order_edit",
        Tracking => "tracking",
        PaymentCreate => "payment_create",
        PaymentEdit => "payment_edit",
        PaymentDelete => "payment_delete",
        References => "references",
        Credentials => "credentials",
        SystemInfo => "system_info",
        Settings => "settings",
        ModuleRead => "module_read",
        ModuleEdit => "module_edit",
        History => "history",
    }
);

closed_set!(
    /// What became of a request to a vendor.
    CallResult {
        Ok => "ok",
        /// The vendor understood and said no.
        Refused => "refused",
        /// Nothing happened there; trying again is safe.
        Transient => "transient",
        /// It may have happened.
        Unknown => "unknown",
        /// The vendor's limits or our own budget.
        Blocked => "blocked",
        /// Credentials or settings are wrong.
        Config => "config",
        BadFormat => "bad_format",
        NotFound => "not_found",
    }
);

closed_set!(
    /// Which of MeaSoft's fair-usage limits. The account's figure is that of
    /// the account with the least left.
    BudgetScope { IpMinute => "ip_minute", Ip20Min => "ip_20min", AccountHour => "account_hour" }
);

closed_set!(
    /// What a circuit breaker protects: an address of MeaSoft's, an account there, a RetailCRM
    /// account (the worst of each is shown).
    BreakerTarget { Measoft => "measoft", Account => "account", Retailcrm => "retailcrm" }
);

closed_set!(
    /// States of integrations as they are counted.
    IntegrationLabel { Active => "active", Paused => "paused", Removed => "removed" }
);

closed_set!(
    /// What a status row of MeaSoft turned out to be.
    StatusRowResult {
        Fresh => "fresh",
        Repeated => "repeated",
        /// Of an order that is not ours.
        Foreign => "foreign",
        /// Unreadable, or never taken by its delivery.
        Parked => "parked",
        /// Ours, with a code that no list has.
        UnknownCode => "unknown_code",
        /// Ours, taken over without side fields that could not be read.
        SideFieldDropped => "side_field_dropped",
    }
);

closed_set!(
    /// What the reconcile found missing and made good.
    Repair { Send => "send", Update => "update", Cancel => "cancel", Status => "status" }
);

/// A breaker as a figure: 0 closed, 1 half open, 2 open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}
