//! What goes wrong on purpose: rules that pick requests and spoil them.

use serde::{Deserialize, Serialize};

/// One rule. Rules are tried in order; delays add up, the first other action that fires decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultRule {
    /// Operation name (`orders.list`, `tracking`, …), a group (`payments.*`) or `*`.
    pub op: String,
    /// Which of the matching requests.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    pub action: Action,
    /// Only requests of this account, counted from zero; absent = of any.
    #[serde(default)]
    pub account: Option<usize>,
}

impl FaultRule {
    /// A rule from its three parts.
    pub fn new(op: &str, when: When, action: Action) -> Self {
        Self { op: op.to_owned(), when, action, account: None }
    }

    /// Only requests with a key of this account.
    #[must_use]
    pub const fn account(mut self, account: usize) -> Self {
        self.account = Some(account);
        self
    }
}

/// Which of the requests that match the operation are hit, counted from the moment the rules were set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every request.
    #[default]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl Action {
    /// Short name for the request record.
    pub fn name(&self) -> &'static str {
        match self {
            Action::FailBefore => "fail_before",
            Action::Hang => "hang",
            Action::LoseAnswer => "lose_answer",
            Action::Delay { .. } => "delay",
            Action::DelayAnswer { .. } => "delay_answer",
            Action::Html { .. } => "html",
            Action::RateLimited { .. } => "rate_limited",
            Action::ServerError { .. } => "server_error",
            Action::Forbidden => "forbidden",
            Action::Refuse { .. } => "refuse",
            Action::CutJson => "cut_json",
            Action::Empty => "empty",
        }
    }

    /// Whether the request's change takes place.
    pub fn acts(&self) -> bool {
        match self {
            Action::FailBefore
            | Action::Hang
            | Action::RateLimited { .. }
            | Action::Forbidden
            | Action::Refuse { .. } => false,
            Action::Html { acted, .. } | Action::ServerError { acted } => *acted,
            Action::LoseAnswer
            | Action::Delay { .. }
            | Action::DelayAnswer { .. }
            | Action::CutJson
            | Action::Empty => true,
        }
    }
}

/// What is to be done to one request.
#[derive(Default, Clone)]
pub struct Verdict {
    /// Wait before acting, milliseconds.
    pub delay_ms: u64,
    /// Wait between acting and answering, milliseconds.
    pub delay_answer_ms: u64,
    /// The spoiling action.
    pub action: Option<Action>,
}

/// The rules in force and their counters.
#[derive(Default)]
pub struct FaultBook {
    rules: Vec<Armed>,
    changes: u64,
}

struct Armed {
    rule: FaultRule,
    seen: u64,
    random: SplitMix,
}

impl FaultBook {
    /// Puts `rules` in place of all former ones; counters start anew.
    pub fn replace(&mut self, rules: Vec<FaultRule>) {
        self.changes += 1;
        self.rules = rules
            .into_iter()
            .map(|rule| {
                let seed = if let When::Probability { seed, .. } = rule.when { seed } else { 0 };
                Armed { rule, seen: 0, random: SplitMix(seed) }
            })
            .collect();
    }

    /// How often the rules were replaced.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<FaultRule> {
        self.rules.iter().map(|armed| armed.rule.clone()).collect()
    }

    /// Counts one request of `op` with a key of `account` and says what becomes of it.
    pub fn judge(&mut self, op: &str, account: Option<usize>) -> Verdict {
        let mut verdict = Verdict::default();
        let is_meant = |rule: &FaultRule| matches(&rule.op, op) && (rule.account.is_none() || rule.account == account);
        for armed in self.rules.iter_mut().filter(|armed| is_meant(&armed.rule)) {
            if verdict.action.is_some() {
                break;
            }
            armed.seen += 1;
            let fires = match armed.rule.when {
                When::Always => true,
                When::EveryNth(n) => n > 0 && armed.seen.is_multiple_of(n),
                When::FirstN(n) => armed.seen <= n,
                When::AfterN(n) => armed.seen > n,
                When::Probability { p, .. } => armed.random.unit() < p,
            };
            match (&armed.rule.action, fires) {
                (_, false) => {}
                (Action::Delay { ms }, true) => verdict.delay_ms += ms,
                (Action::DelayAnswer { ms }, true) => verdict.delay_answer_ms += ms,
                (action, true) => verdict.action = Some(action.clone()),
            }
        }
        verdict
    }
}

fn matches(pattern: &str, op: &str) -> bool {
    pattern == op || pattern.strip_suffix('*').is_some_and(|prefix| op.starts_with(prefix))
}

/// Small repeatable generator: faults must come out the same for the same seed on every machine.
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..1`.
    pub fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_pick_by_name_group_and_count() {
        let mut book = FaultBook::default();
        book.replace(vec![
            FaultRule::new("payments.*", When::EveryNth(2), Action::LoseAnswer),
            FaultRule::new("tracking", When::FirstN(1), Action::FailBefore),
        ]);
        assert!(book.judge("payments.create", None).action.is_none());
        assert!(matches!(book.judge("payments.delete", None).action, Some(Action::LoseAnswer)));
        assert!(matches!(book.judge("tracking", None).action, Some(Action::FailBefore)));
        assert!(book.judge("tracking", None).action.is_none());
        assert!(book.judge("orders.list", None).action.is_none());
    }

    #[test]
    fn a_rule_may_be_one_accounts() {
        let mut book = FaultBook::default();
        book.replace(vec![FaultRule::new("*", When::Always, Action::Hang).account(1)]);
        assert!(book.judge("orders.list", Some(0)).action.is_none());
        assert!(book.judge("orders.list", None).action.is_none());
        assert!(book.judge("orders.list", Some(1)).action.is_some_and(|action| !action.acts()));
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let series = |seed| {
            let mut book = FaultBook::default();
            book.replace(vec![FaultRule::new("*", When::Probability { p: 0.3, seed }, Action::Empty)]);
            (0..200).map(|_| book.judge("orders.list", None).action.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
        let hits = series(7).into_iter().filter(|hit| *hit).count();
        assert!((30..=90).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn a_delay_and_a_spoiled_answer_come_together() {
        let mut book = FaultBook::default();
        book.replace(vec![
            FaultRule::new("*", When::Always, Action::Delay { ms: 5 }),
            FaultRule::new("*", When::Always, Action::Html { status: 502, acted: false }),
        ]);
        let verdict = book.judge("settings", None);
        assert_eq!(verdict.delay_ms, 5);
        assert!(verdict.action.is_some_and(|action| !action.acts()));
    }

    #[test]
    fn rules_are_written_in_json() {
        let text = r#"[{"op":"orders.edit","when":{"first_n":2},"action":"lose_answer"},
            {"op":"*","action":{"html":{"status":503}}}]"#;
        let rules: Vec<FaultRule> = serde_json::from_str(text).unwrap();
        assert!(matches!(rules[0].when, When::FirstN(2)));
        assert!(matches!(rules[1].action, Action::Html { status: 503, acted: false }));
    }
}
