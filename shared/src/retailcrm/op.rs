//! The calls the bridge makes at RetailCRM: a closed set, also the metric label.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    Orders,
    Order,
    OrderEdit,
    OrderHistory,
    PaymentCreate,
    PaymentEdit,
    PaymentDelete,
    Tracking,
    PaymentTypes,
    PaymentStatuses,
    ProductStatuses,
    DeliveryTypes,
    Statuses,
    Credentials,
    Settings,
    Module,
    ModuleEdit,
}

impl Op {
    pub const ALL: [Self; 17] = [
        Self::Orders,
        Self::Order,
        Self::OrderEdit,
        Self::OrderHistory,
        Self::PaymentCreate,
        Self::PaymentEdit,
        Self::PaymentDelete,
        Self::Tracking,
        Self::PaymentTypes,
        Self::PaymentStatuses,
        Self::ProductStatuses,
        Self::DeliveryTypes,
        Self::Statuses,
        Self::Credentials,
        Self::Settings,
        Self::Module,
        Self::ModuleEdit,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Order => "order",
            Self::OrderEdit => "order_edit",
            Self::OrderHistory => "order_history",
            Self::PaymentCreate => "payment_create",
            Self::PaymentEdit => "payment_edit",
            Self::PaymentDelete => "payment_delete",
            Self::Tracking => "tracking",
            Self::PaymentTypes => "payment_types",
            Self::PaymentStatuses => "payment_statuses",
            Self::ProductStatuses => "product_statuses",
            Self::DeliveryTypes => "delivery_types",
            Self::Statuses => "statuses",
            Self::Credentials => "credentials",
            Self::Settings => "settings",
            Self::Module => "module",
            Self::ModuleEdit => "module_edit",
        }
    }

    /// The right the API key needs for it (protocols/retailcrm.md#keys; C: put together from
    /// official modules). `None`: the reference names none.
    pub const fn scope(self) -> Option<&'static str> {
        match self {
            Self::Orders | Self::Order | Self::OrderHistory => Some("order_read"),
            Self::OrderEdit | Self::PaymentCreate | Self::PaymentEdit | Self::PaymentDelete => Some("order_write"),
            Self::Tracking => Some("delivery_write"),
            Self::PaymentTypes
            | Self::PaymentStatuses
            | Self::ProductStatuses
            | Self::DeliveryTypes
            | Self::Statuses => Some("reference_read"),
            Self::Module => Some("integration_read"),
            Self::ModuleEdit => Some("integration_write"),
            Self::Credentials | Self::Settings => None,
        }
    }

    /// Without it nothing can be done for any order: who is denied it is denied everything. Any
    /// other call that is denied fails alone.
    pub const fn is_vital(self) -> bool {
        matches!(
            self,
            Self::Credentials
                | Self::Orders
                | Self::Order
                | Self::PaymentTypes
                | Self::PaymentStatuses
                | Self::DeliveryTypes
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
