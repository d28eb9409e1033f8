//! Mutants: guards left out on purpose, so that the test of the protocol can show that it would
//! find them missing.
//!
//! They exist only with the feature `mutants`, which no binary asks for, and then only
//! on a thread that becomes one. Everywhere else [`is_mutant`] is a constant `false`.

/// A guard of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A holder whose lease was lost writes all the same.
    FenceUnchecked,
    /// Fences count from 1, and a write goes by the row's id alone.
    FencesCounted,
    /// After a lost answer the order is sent again without asking MeaSoft.
    ResentUnseen,
    /// That we cancelled an order ourselves is not kept.
    CancelForgotten,
    /// Of several orders with one number the first stands for all.
    NumberTakenForOrder,
    /// What ended is forgotten altogether.
    TombstoneForgotten,
    /// The age of a request counts from its arrival, whether anybody tried or not.
    AgeInherited,
    /// A number is used without a look whether another order has it.
    NumberUnchecked,
    /// An order that another integration handed over is sent as any other.
    HandOverUnseen,
    /// What a closing said about a payment goes on after a correction.
    OlderFactsGoOn,
    /// An old row of the stream overwrites the sum of a newer edit.
    StaleFigures,
    /// What nobody heard of again is taken for not done.
    LateWriteForgotten,
    /// A repeated send ships whatever else bears the number, draft or not.
    DraftSent,
    /// Which order is meant is believed at the first reading.
    AmbiguityBelieved,
    /// The success of one order answers for all that its number named.
    LetterClosedByAnother,
    /// A new declared value alone passes for the change that a trigger announced.
    DeclaredPassesForChange,
}

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Leaves a guard out on this thread, or none.
    pub fn become_mutant(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    pub fn is_mutant(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use switch::{become_mutant, is_mutant};

#[cfg(not(feature = "mutants"))]
pub const fn is_mutant(_: Mutant) -> bool {
    false
}
