//! Who reads.

use jiff::tz::TimeZone;

use crate::domain::Language;

/// A reader's language and time zone.
#[derive(Debug, Clone)]
pub struct Reader {
    pub language: Language,
    pub zone: TimeZone,
}

impl Reader {
    pub const fn new(language: Language, zone: TimeZone) -> Self {
        Self { language, zone }
    }

    /// Whoever reads what is kept in words: searches, programs, an earlier release.
    pub const fn plain() -> Self {
        Self { language: Language::En, zone: TimeZone::UTC }
    }

    /// The one of two texts.
    pub const fn of<'a>(&self, ru: &'a str, en: &'a str) -> &'a str {
        match self.language {
            Language::Ru => ru,
            Language::En => en,
        }
    }
}
