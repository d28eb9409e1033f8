//! What can go wrong on purpose at MeaSoft; when, says [`crate::faults`].

use serde::{Deserialize, Serialize};

use crate::faults::{self, Action, Part};

/// When a fault happens: `op` is the root element of the request, `account` is `extra:login`.
pub type FaultRule = faults::FaultRule<FaultAction>;
pub(crate) type Plan = faults::Plan<FaultAction>;

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// Close the connection without acting and without an answer.
    FailBefore,
    /// Act, then close the connection without an answer.
    FailAfter,
    /// Wait before acting. The act happens even when the caller has hung up meanwhile, as it does at a real server.
    DelayBefore {
        /// Milliseconds.
        ms: u64,
    },
    /// Act, then wait before answering.
    DelayAfter {
        /// Milliseconds.
        ms: u64,
    },
    /// Neither act nor answer until the rules are changed; then the connection is closed.
    Hang,
    /// Answer an HTML page.
    Html {
        /// HTTP status of the page.
        status: u16,
        /// Act first.
        #[serde(default)]
        act: bool,
    },
    /// Act, then send only the first half of the answer (with a length that fits, so only the XML is broken).
    CutXml,
    /// HTTP 200 without a body.
    Empty {
        /// Act first.
        #[serde(default)]
        act: bool,
    },
    /// A bare HTTP status.
    Status {
        /// HTTP status, such as 429, 500 or 503.
        status: u16,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// Act first.
        #[serde(default)]
        act: bool,
    },
    /// Do not act; answer as if the credentials were wrong (shape 2 of
    /// protocols/measoft.md#envelope).
    AuthError,
    /// Do not act; refuse the whole request on its own root element (shape 3), as clients of the
    /// platform know it from calculator, lists, statuses and printing: `<statusreq error="25" …/>`
    /// for a failed authorisation, 24 for a missing login, 13 and 33 for its own troubles.
    RootError {
        /// Error code of the root.
        code: i64,
        /// Both error texts.
        text: String,
    },
    /// Refuse the matching order rows; the other rows of the batch are carried out.
    Refuse {
        /// Error code of the row.
        code: i64,
        /// Both error texts of the row.
        text: String,
    },
}

impl Action for FaultAction {
    fn part(&self) -> Part {
        match self {
            Self::DelayBefore { ms } => Part::DelayBefore(*ms),
            Self::DelayAfter { ms } => Part::DelayAfter(*ms),
            Self::Refuse { .. } => Part::Rows,
            Self::Hang => Part::Hang,
            Self::FailBefore => Part::Silence { acts: false },
            Self::FailAfter => Part::Silence { acts: true },
            Self::CutXml => Part::Spoil { acts: true },
            Self::AuthError | Self::RootError { .. } => Part::Spoil { acts: false },
            Self::Html { act, .. } | Self::Empty { act } | Self::Status { act, .. } => Part::Spoil { acts: *act },
        }
    }
}

impl FaultRule {
    /// A rule that fires for every request.
    pub fn new(action: FaultAction) -> Self {
        Self::of(action)
    }
}

impl Plan {
    /// The refusal that applies to a row.
    pub(crate) fn refusal(&self, orderno: &str) -> Option<(i64, &str)> {
        let mut fitting =
            self.rows.iter().filter(|(part, _)| part.as_deref().is_none_or(|part| orderno.contains(part)));
        fitting.find_map(|(_, action)| match action {
            FaultAction::Refuse { code, text } => Some((*code, text.as_str())),
            _ => None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_in_json_as_documented() {
        let json = r#"[
            {"op":"neworder","first":2,"action":"fail_after"},
            {"probability":0.1,"seed":3,"action":{"status":{"status":503,"retry_after":2}}},
            {"orderno":"A","action":{"refuse":{"code":5,"text":"no such town"}}},
            {"action":{"html":{"status":200}}},
            {"op":"calculator","action":{"root_error":{"code":25,"text":"authorization error"}}},
            {"action":{"delay_before":{"ms":10}}}
        ]"#;
        let rules: Vec<FaultRule> = serde_json::from_str(json).unwrap();
        assert_eq!(rules[0].action, FaultAction::FailAfter);
        assert_eq!(rules[1].action, FaultAction::Status { status: 503, retry_after: Some(2), act: false });
        assert_eq!(rules[2].action, FaultAction::Refuse { code: 5, text: "no such town".to_owned() });
        assert_eq!(rules[3].action, FaultAction::Html { status: 200, act: false });
        assert_eq!(rules[4].action, FaultAction::RootError { code: 25, text: "authorization error".to_owned() });
        let again: Vec<FaultRule> = serde_json::from_str(&serde_json::to_string(&rules).unwrap()).unwrap();
        assert_eq!(again, rules);
    }
}
