//! What happens to orders and integrations, as the journal keeps it: codes and values. Words are made
//! of them when somebody reads.

mod change;
mod events;
mod terms;

pub use change::{Field, FieldChange};
pub use events::Event;
pub use terms::{Action, Fits, Person, Reason, Reported, Silence, Wish};

use crate::phrases::{Reader, Value};

/// Of one entry, in words.
pub fn words(story: &[Event], reader: &Reader) -> String {
    // Figures may be none.
    let said = story.iter().map(|event| event.words(reader)).filter(|words| !words.is_empty());
    said.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
