//! The language of people's texts, and the words that several commands share.

use shared::config::Source;
use shared::domain::Language;
use shared::phrases::Reader;

pub use bridge_console::seen::words::{of, who_acts};

/// Whoever reads the terminal, of what has no moments in it.
pub fn reader() -> Reader {
    Reader { language: language(), ..Reader::plain() }
}

/// That of the terminal's locale.
pub fn language() -> Language {
    let source = Source::environment();
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| source.get(name).ok().flatten());
    if locale.is_some_and(|l| l.starts_with("ru")) { Language::Ru } else { Language::En }
}
