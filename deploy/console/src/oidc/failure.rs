//! Why a sign-in comes to nothing.

use crate::refusals::Refused;

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Refused(Refused),
    /// The provider does not answer, or not as it should.
    Provider,
    /// The provider does not know this console by what it calls itself.
    NotItsClient,
}

impl From<Refused> for Failure {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}
