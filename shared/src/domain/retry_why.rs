//! Why something has to wait.

use serde::{Deserialize, Serialize};

use crate::domain::Language;

crate::closed_set! {
    /// Why a command has to wait; metric label of `bridge_retries_total`.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    RetryWhy {
        /// RetailCRM may not show the latest save yet: number not found, no difference, or
        /// still the old delivery type.
        CrmLag => "crm_lag",
        CrmUnavailable => "crm_unavailable",
        CrmRateLimited => "crm_rate_limited",
        CourierUnavailable => "courier_unavailable",
        CourierBlocked => "courier_blocked",
        UnknownOutcome => "unknown_outcome",
        LeaseHeld => "lease_held",
        Budget => "budget",
        Paused => "paused",
        BreakerOpen => "breaker_open",
        Internal => "internal",
    }
}

impl RetryWhy {
    /// For people.
    pub const fn words(self, language: Language) -> &'static str {
        let (ru, en) = match self {
            Self::CrmLag => ("изменения ещё не видны в RetailCRM", "RetailCRM does not show yet what was saved"),
            Self::CrmUnavailable => ("RetailCRM не отвечает", "RetailCRM does not answer"),
            Self::CrmRateLimited => ("исчерпан лимит запросов к RetailCRM", "RetailCRM's limit of requests is used up"),
            Self::CourierUnavailable => ("курьерская служба не отвечает", "the courier service does not answer"),
            Self::CourierBlocked => ("курьерская служба просит подождать", "the courier service asks for a pause"),
            Self::UnknownOutcome => (
                "неизвестно, принят ли запрос; курьерскую службу спросят ещё раз",
                "whether a request was taken is not known; the courier service is asked again",
            ),
            Self::LeaseHeld => ("заказом занят другой процесс", "another process works on the order"),
            Self::Budget => (
                "исчерпан лимит запросов к курьерской службе",
                "the budget of requests to the courier service is used up",
            ),
            Self::Paused => ("интеграция приостановлена", "the integration is paused"),
            Self::BreakerOpen => (
                "обращения к адресу или учётной записи временно приостановлены после отказов",
                "its address or account is left alone after failures",
            ),
            Self::Internal => ("внутренняя ошибка, попытка повторится", "an internal failure, it is tried again"),
        };
        match language {
            Language::Ru => ru,
            Language::En => en,
        }
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
            let (ru, en) = (why.words(Language::Ru), why.words(Language::En));
            assert!(cyrillic(ru) && !cyrillic(en) && seen.insert(ru) && seen.insert(en), "{why:?}");
        }
    }
}
