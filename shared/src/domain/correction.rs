//! What of one order an operator or a manager may set right. Sums never.

use crate::closed_set;

closed_set! {
    CorrectedField {
        Phone => "phone",
        Name => "name",
        Town => "town",
        Address => "address",
        Date => "date",
        Window => "window",
        Comment => "comment",
    }
}

impl CorrectedField {
    /// Whether its value says something of a person.
    pub const fn is_personal(self) -> bool {
        !matches!(self, Self::Date | Self::Window)
    }
}
