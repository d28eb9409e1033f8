//! Giving up for one of our own reasons.

use crate::domain::Fault;
use crate::message::GiveUp;
use crate::phrases::Details;

pub use crate::reasons::*;

/// A give-up for one of our own reasons, with its usual fault.
pub fn give_up(reason: &'static str, detail: impl Into<Details>) -> GiveUp {
    let fault = OURS.iter().find(|(label, ..)| *label == reason).map_or(Fault::Bridge, |(_, fault, ..)| *fault);
    GiveUp { reason, fault, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_give_up_takes_the_fault_of_its_reason() {
        assert_eq!(give_up(SUM_MISMATCH, "").fault, Fault::Shop);
        assert_eq!(give_up(CRM_REFUSED, "").fault, Fault::Crm);
    }
}
