//! Words for every reason, whoever's it is.

use crate::domain::Language;
use crate::measoft::words;
use crate::reason::{Explanation, OURS};

/// Every reason there is, ours and MeaSoft's.
pub fn all_reasons() -> impl Iterator<Item = &'static str> {
    OURS.iter().map(|(label, ..)| *label).chain(words::reasons())
}

/// The words for a reason, ours or MeaSoft's.
pub fn reason(reason: &str, language: Language) -> Explanation {
    if let Some((_, _, ru, en)) = OURS.iter().find(|(label, ..)| *label == reason) {
        return match language {
            Language::Ru => *ru,
            Language::En => *en,
        };
    }
    words::explain(reason, language)
}
