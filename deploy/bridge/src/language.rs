//! The language of people's texts, and the words that several commands share.

use shared::config::Source;
use shared::domain::{Fault, Language};

/// That of the terminal's locale.
pub fn language() -> Language {
    let source = Source::environment();
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| source.get(name).ok().flatten());
    if locale.is_some_and(|l| l.starts_with("ru")) { Language::Ru } else { Language::En }
}

/// The one of two texts.
pub const fn of<'a>(language: Language, ru: &'a str, en: &'a str) -> &'a str {
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

/// Who has to act.
pub const fn who_acts(fault: Fault, language: Language) -> &'static str {
    match fault {
        Fault::Shop => of(language, "решает магазин", "the shop mends it"),
        Fault::Courier => of(language, "решает курьерская служба", "the courier service's matter"),
        Fault::Crm => of(language, "вопрос к RetailCRM", "RetailCRM's matter"),
        Fault::Bridge => of(language, "решает администратор интеграции", "the operator's matter"),
    }
}
