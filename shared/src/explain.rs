//! Words for every reason, whoever's it is.

use crate::domain::Language;
use crate::measoft::words;
use crate::message::RetryWhy;
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

/// Why a thing was put off.
pub const fn put_off(why: RetryWhy, language: Language) -> &'static str {
    let (ru, en) = match why {
        RetryWhy::CrmLag => ("RetailCRM ещё не показывает сохранённое", "RetailCRM does not show yet what was saved"),
        RetryWhy::CrmUnavailable => ("RetailCRM не отвечает", "RetailCRM does not answer"),
        RetryWhy::CrmRateLimited => ("исчерпан лимит запросов к RetailCRM", "RetailCRM's limit of requests is used up"),
        RetryWhy::CourierUnavailable => ("курьерская служба не отвечает", "the courier service does not answer"),
        RetryWhy::CourierBlocked => ("курьерская служба просит подождать", "the courier service asks for a pause"),
        RetryWhy::UnknownOutcome => (
            "неизвестно, принят ли запрос; курьерскую службу спросят ещё раз",
            "whether a request was taken is not known; the courier service is asked again",
        ),
        RetryWhy::LeaseHeld => ("заказом занят другой процесс", "another process works on the order"),
        RetryWhy::Budget => {
            ("исчерпан лимит запросов к курьерской службе", "the budget of requests to the courier service is used up")
        }
        RetryWhy::Paused => ("интеграция приостановлена", "the integration is paused"),
        RetryWhy::BreakerOpen => {
            ("адрес или учётная запись отдыхает после отказов", "its address or account is left alone after failures")
        }
        RetryWhy::Internal => ("внутренняя ошибка, попытка повторится", "an internal failure, it is tried again"),
    };
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_is_said_in_its_own_words_in_both_languages() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        let mut seen = std::collections::BTreeSet::new();
        for why in RetryWhy::ALL {
            let (ru, en) = (put_off(why, Language::Ru), put_off(why, Language::En));
            assert!(cyrillic(ru) && !cyrillic(en) && seen.insert(ru) && seen.insert(en), "{why:?}");
        }
    }
}
