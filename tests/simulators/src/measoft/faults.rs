//! Faults that can be switched on while the simulator runs.
//!
//! A rule is a matcher and an action. All parts of a matcher must hold; `skip`, `every`, `first` and `probability`
//! then choose among the requests that match, in this order. Of the rules that fire for one request every delay
//! is added up and every refusal applies; of the other actions the first one wins.

use serde::{Deserialize, Serialize};

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

/// When an action is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultRule {
    /// Root element of the request; absent = any, also unreadable requests.
    #[serde(default)]
    pub op: Option<String>,
    /// Part of an order number in the request.
    #[serde(default)]
    pub orderno: Option<String>,
    /// `extra:login`.
    #[serde(default)]
    pub account: Option<String>,
    /// Leave the first so many matching requests alone.
    #[serde(default)]
    pub skip: u64,
    /// Hit only every Nth matching request: the Nth, the 2Nth, …
    #[serde(default)]
    pub every: Option<u64>,
    /// Fire at most so many times.
    #[serde(default)]
    pub first: Option<u64>,
    /// Fire with this probability, decided by `seed`.
    #[serde(default)]
    pub probability: Option<f64>,
    /// Seed of the decision; the same seed and the same order of requests give the same faults.
    #[serde(default)]
    pub seed: u64,
    /// What to do.
    pub action: FaultAction,
}

impl FaultRule {
    /// A rule that fires for every request.
    pub fn new(action: FaultAction) -> Self {
        Self {
            op: None,
            orderno: None,
            account: None,
            skip: 0,
            every: None,
            first: None,
            probability: None,
            seed: 0,
            action,
        }
    }

    /// Only requests with this root element.
    #[must_use]
    pub fn op(mut self, op: &str) -> Self {
        self.op = Some(op.to_owned());
        self
    }

    /// Only requests (and, for a refusal, rows) whose order number contains `part`.
    #[must_use]
    pub fn orderno(mut self, part: &str) -> Self {
        self.orderno = Some(part.to_owned());
        self
    }

    /// Only requests of this account (`extra:login`).
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Spare the first `n` matching requests.
    #[must_use]
    pub fn skip(mut self, n: u64) -> Self {
        self.skip = n;
        self
    }

    /// Hit only every `n`th matching request.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = Some(n);
        self
    }

    /// Fire at most `n` times.
    #[must_use]
    pub fn first(mut self, n: u64) -> Self {
        self.first = Some(n);
        self
    }

    /// Fire with probability `p` (0 to 1), reproducibly for one seed.
    #[must_use]
    pub fn probability(mut self, p: f64, seed: u64) -> Self {
        self.probability = Some(p);
        self.seed = seed;
        self
    }
}

/// What is to be done with one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay_before_ms: u64,
    pub(crate) delay_after_ms: u64,
    /// (part of the order number or everything, code, text)
    pub(crate) refusals: Vec<(Option<String>, i64, String)>,
    pub(crate) ending: Option<FaultAction>,
}

impl Plan {
    /// The refusal that applies to a row.
    pub(crate) fn refusal(&self, orderno: &str) -> Option<(i64, &str)> {
        self.refusals
            .iter()
            .find(|(part, ..)| part.as_deref().is_none_or(|part| orderno.contains(part)))
            .map(|(_, code, text)| (*code, text.as_str()))
    }

    /// Short name for the request record.
    pub(crate) fn label(&self) -> Option<String> {
        let ending = self.ending.as_ref().map(|action| match action {
            FaultAction::FailBefore => "fail_before".to_owned(),
            FaultAction::FailAfter => "fail_after".to_owned(),
            FaultAction::Hang => "hang".to_owned(),
            FaultAction::Html { status, .. } => format!("html {status}"),
            FaultAction::CutXml => "cut_xml".to_owned(),
            FaultAction::Empty { .. } => "empty".to_owned(),
            FaultAction::Status { status, .. } => format!("status {status}"),
            FaultAction::AuthError => "auth_error".to_owned(),
            FaultAction::RootError { code, .. } => format!("root_error {code}"),
            FaultAction::DelayBefore { .. } | FaultAction::DelayAfter { .. } | FaultAction::Refuse { .. } => {
                String::new()
            }
        });
        let delay = (self.delay_before_ms + self.delay_after_ms > 0).then(|| "delay".to_owned());
        let refuse = (!self.refusals.is_empty()).then(|| "refuse".to_owned());
        let parts: Vec<String> = [delay, refuse, ending].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("+"))
    }
}

struct Counted {
    rule: FaultRule,
    matched: u64,
    fired: u64,
}

impl Counted {
    fn fires(&mut self, op: &str, account: &str, ordernos: &[String]) -> bool {
        let rule = &self.rule;
        let fits = rule.op.as_deref().is_none_or(|wanted| wanted == op)
            && rule.account.as_deref().is_none_or(|wanted| wanted == account)
            && rule.orderno.as_deref().is_none_or(|part| ordernos.iter().any(|number| number.contains(part)));
        if !fits {
            return false;
        }
        self.matched += 1;
        let Some(position) = self.matched.checked_sub(rule.skip + 1) else {
            return false;
        };
        if rule.every.is_some_and(|n| n > 1 && (position + 1) % n != 0) {
            return false;
        }
        if rule.first.is_some_and(|n| self.fired >= n) {
            return false;
        }
        if rule.probability.is_some_and(|p| unit(rule.seed, self.matched) >= p) {
            return false;
        }
        self.fired += 1;
        true
    }
}

/// A reproducible number in [0, 1): the finaliser of splitmix64.
fn unit(seed: u64, position: u64) -> f64 {
    let mut x = seed.wrapping_add(position.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// The rules in force with their counters.
#[derive(Default)]
pub(crate) struct FaultSet {
    rules: Vec<Counted>,
    changes: u64,
}

impl FaultSet {
    pub(crate) fn replace(&mut self, rules: Vec<FaultRule>) {
        self.changes += 1;
        self.rules = rules.into_iter().map(|rule| Counted { rule, matched: 0, fired: 0 }).collect();
    }

    /// How often the rules were replaced.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn rules(&self) -> Vec<FaultRule> {
        self.rules.iter().map(|counted| counted.rule.clone()).collect()
    }

    /// How often each rule fired, in the order of the rules.
    pub(crate) fn fired(&self) -> Vec<u64> {
        self.rules.iter().map(|counted| counted.fired).collect()
    }

    /// Decides about one request and counts it.
    pub(crate) fn plan(&mut self, op: &str, account: &str, ordernos: &[String]) -> Plan {
        let mut plan = Plan::default();
        for counted in &mut self.rules {
            if !counted.fires(op, account, ordernos) {
                continue;
            }
            match &counted.rule.action {
                FaultAction::DelayBefore { ms } => plan.delay_before_ms += ms,
                FaultAction::DelayAfter { ms } => plan.delay_after_ms += ms,
                FaultAction::Refuse { code, text } => {
                    plan.refusals.push((counted.rule.orderno.clone(), *code, text.clone()));
                }
                other if plan.ending.is_none() => plan.ending = Some(other.clone()),
                _ => {}
            }
        }
        plan
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hits(rule: FaultRule, requests: u64) -> Vec<u64> {
        let mut set = FaultSet::default();
        set.replace(vec![rule]);
        (1..=requests)
            .filter(|_| set.plan("neworder", "8:a", &["RC-1".to_owned()]).ending.is_some())
            .collect::<Vec<_>>()
    }

    #[test]
    fn a_rule_counts_only_the_requests_it_matches() {
        let rule = FaultRule::new(FaultAction::FailAfter).op("neworder").orderno("C-1").account("8:a").first(1);
        let mut set = FaultSet::default();
        set.replace(vec![rule]);
        let number = ["RC-1".to_owned()];
        assert_eq!(set.plan("statusreq", "8:a", &number).ending, None);
        assert_eq!(set.plan("neworder", "8:b", &number).ending, None);
        assert_eq!(set.plan("neworder", "8:a", &["RC-2".to_owned()]).ending, None);
        assert_eq!(set.plan("neworder", "8:a", &number).ending, Some(FaultAction::FailAfter));
        assert_eq!(set.plan("neworder", "8:a", &number).ending, None, "first(1) is used up");
        assert_eq!(set.fired(), [1]);
    }

    #[test]
    fn skip_every_and_first_choose_among_the_matches() {
        assert_eq!(hits(FaultRule::new(FaultAction::FailBefore).every(3), 9), [3, 6, 9]);
        assert_eq!(hits(FaultRule::new(FaultAction::FailBefore).skip(2).first(2), 9), [3, 4]);
        assert_eq!(hits(FaultRule::new(FaultAction::FailBefore).skip(1).every(2).first(1), 9), [3]);
    }

    #[test]
    fn a_seed_makes_chance_repeatable() {
        let rule = |seed| FaultRule::new(FaultAction::FailBefore).probability(0.3, seed);
        let once = hits(rule(7), 1000);
        assert_eq!(once, hits(rule(7), 1000));
        assert_ne!(once, hits(rule(8), 1000));
        assert!((250..350).contains(&once.len()), "{} of 1000", once.len());
    }

    #[test]
    fn delays_add_up_and_the_first_ending_wins() {
        let mut set = FaultSet::default();
        set.replace(vec![
            FaultRule::new(FaultAction::DelayBefore { ms: 5 }),
            FaultRule::new(FaultAction::DelayBefore { ms: 7 }),
            FaultRule::new(FaultAction::CutXml),
            FaultRule::new(FaultAction::FailAfter),
        ]);
        let plan = set.plan("client", "", &[]);
        assert_eq!((plan.delay_before_ms, plan.ending.clone()), (12, Some(FaultAction::CutXml)));
        assert_eq!(plan.label().as_deref(), Some("delay+cut_xml"));
    }

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
