//! What can go wrong on purpose at RetailCRM; when, says [`crate::faults`].

use serde::{Deserialize, Serialize};

use crate::faults::{self, Part};

/// When a fault happens: `op` is the name of an operation (`orders.list`, `tracking`, …), a group (`payments.*`) or
/// `*`, `account` its place counted from zero.
pub type FaultRule = faults::FaultRule<Action>;

impl FaultRule {
    /// A rule from its three parts.
    pub fn new(op: &str, when: When, action: Action) -> Self {
        let rule = Self::of(action).op(op);
        match when {
            When::Always => rule,
            When::EveryNth(n) => rule.every(n),
            When::FirstN(n) => rule.first(n),
            When::AfterN(n) => rule.skip(n),
            When::Probability { p, seed } => rule.probability(p, seed),
        }
    }
}

/// Which of the requests that match the operation are hit, counted from the moment the rules were set.
pub enum When {
    /// Every request.
    Always,
    /// The N-th, 2N-th, …
    EveryNth(u64),
    /// The first N only.
    FirstN(u64),
    /// All but the first N.
    AfterN(u64),
    /// Each with this probability (0…1); the same seed gives the same series.
    Probability {
        /// Share of the requests.
        p: f64,
        /// Start of the series.
        seed: u64,
    },
}

/// What is done to a request. `acted` says whether the change it asked for took place before the bad answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The connection is closed and nothing happened.
    FailBefore,
    /// Nothing happens and nothing is said until the rules are changed; then the connection is closed.
    Hang,
    /// The request is carried out and the connection closed without an answer.
    LoseAnswer,
    /// The request waits before it is carried out.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is carried out at once, its answer waits.
    DelayAnswer {
        /// Milliseconds.
        ms: u64,
    },
    /// An HTML page, as proxies and lost accounts answer (405 or 404 with HTML: account gone; 5xx: temporary).
    Html {
        /// HTTP status.
        status: u16,
        /// Carried out first?
        #[serde(default)]
        acted: bool,
    },
    /// A refusal with JSON `Rate limit exceeded`.
    RateLimited {
        /// 429 or 503.
        status: u16,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// 500 `Internal Server Error` as JSON.
    ServerError {
        /// Carried out first?
        #[serde(default)]
        acted: bool,
    },
    /// 403 `Access denied.`
    Forbidden,
    /// 400: the entity is refused because of one of its fields.
    Refuse {
        /// The field.
        field: String,
        /// What is said about it.
        text: String,
    },
    /// The answer breaks off in the middle of its JSON.
    CutJson,
    /// The status of success with an empty body.
    Empty,
}

impl faults::Action for Action {
    fn part(&self) -> Part {
        match self {
            Self::Delay { ms } => Part::DelayBefore(*ms),
            Self::DelayAnswer { ms } => Part::DelayAfter(*ms),
            Self::Hang => Part::Hang,
            Self::FailBefore => Part::Silence { acts: false },
            Self::LoseAnswer => Part::Silence { acts: true },
            Self::CutJson | Self::Empty => Part::Spoil { acts: true },
            Self::RateLimited { .. } | Self::Forbidden | Self::Refuse { .. } => Part::Spoil { acts: false },
            Self::Html { acted, .. } | Self::ServerError { acted } => Part::Spoil { acts: *acted },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_in_json() {
        let text = r#"[{"op":"orders.edit","first":2,"action":"lose_answer"},
            {"op":"*","action":{"html":{"status":503}}}]"#;
        let rules: Vec<FaultRule> = serde_json::from_str(text).unwrap();
        let lost = FaultRule::new("orders.edit", When::FirstN(2), Action::LoseAnswer);
        assert_eq!(rules, [lost, FaultRule::new("*", When::Always, Action::Html { status: 503, acted: false })]);
    }
}
