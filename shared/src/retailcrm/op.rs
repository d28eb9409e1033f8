//! The calls the bridge makes at RetailCRM: a closed set, also the metric label.

use std::fmt;

crate::closed_set! {
    Op {
        Orders => "orders",
        Order => "order",
        OrderEdit => "order_edit",
        OrderHistory => "order_history",
        PaymentCreate => "payment_create",
        PaymentEdit => "payment_edit",
        PaymentDelete => "payment_delete",
        Tracking => "tracking",
        PaymentTypes => "payment_types",
        PaymentStatuses => "payment_statuses",
        ProductStatuses => "product_statuses",
        DeliveryTypes => "delivery_types",
        Statuses => "statuses",
        Credentials => "credentials",
        Settings => "settings",
        Module => "module",
        ModuleEdit => "module_edit",
        NotificationSend => "notification_send",
    }
}

impl Op {
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
            // How RetailCRM names the right to notify is not known.
            Self::Credentials | Self::Settings | Self::NotificationSend => None,
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
