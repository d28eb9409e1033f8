//! Faults that can be switched on while a simulator runs: the table by which both decide.
//!
//! A rule is a matcher and an action. All parts of a matcher must hold; `skip`, `every`, `first` and `probability`
//! then choose among the requests that match, in this order. Of the rules that fire for one request every delay
//! is added up and every refusal of rows applies; of the other actions the first one wins, and the rules with such
//! actions after it are left for another request.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an action is to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Wait so many milliseconds, then carry the request out.
    DelayBefore(u64),
    /// Carry it out, then wait so many milliseconds.
    DelayAfter(u64),
    /// Rows of it are refused, the others are carried out.
    Rows,
    /// Neither act nor answer until the rules are changed; then the connection is closed.
    Hang,
    /// Close the connection without an answer.
    Silence {
        /// Carried out first?
        acts: bool,
    },
    /// Another answer than the right one.
    Spoil {
        /// Carried out first?
        acts: bool,
    },
}

/// What one of the simulators can do to a request.
pub trait Action: Clone + Serialize {
    /// Which part it plays.
    fn part(&self) -> Part;
}

/// When an action is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct FaultRule<A> {
    /// Name of the operation, or of a group of them (`payments.*`); absent = any, also unreadable requests.
    #[serde(default)]
    pub op: Option<String>,
    /// Part of an order number in the request.
    #[serde(default)]
    pub orderno: Option<String>,
    /// The account, as the simulator names it.
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
    pub action: A,
}

impl<A> FaultRule<A> {
    /// A rule that fires for every request.
    pub(crate) fn of(action: A) -> Self {
        let (op, orderno, account, every, first, probability) = (None, None, None, None, None, None);
        Self { op, orderno, account, skip: 0, every, first, probability, seed: 0, action }
    }

    /// Only requests of this operation, or of a group of them (`payments.*`).
    pub fn op(mut self, op: &str) -> Self {
        self.op = Some(op.to_owned());
        self
    }

    /// Only requests (and, for a refusal, rows) whose order number contains `part`.
    pub fn orderno(mut self, part: &str) -> Self {
        self.orderno = Some(part.to_owned());
        self
    }

    /// Only requests of this account: `extra:login`, or its place counted from zero.
    pub fn account(mut self, account: impl ToString) -> Self {
        self.account = Some(account.to_string());
        self
    }

    /// Spare the first `n` matching requests.
    pub fn skip(mut self, n: u64) -> Self {
        self.skip = n;
        self
    }

    /// Hit only every `n`th matching request.
    pub fn every(mut self, n: u64) -> Self {
        self.every = Some(n);
        self
    }

    /// Fire at most `n` times.
    pub fn first(mut self, n: u64) -> Self {
        self.first = Some(n);
        self
    }

    /// Fire with probability `p` (0 to 1), reproducibly for one seed.
    pub fn probability(mut self, p: f64, seed: u64) -> Self {
        self.probability = Some(p);
        self.seed = seed;
        self
    }
}

/// What is to be done with one request.
#[derive(Debug, Clone)]
pub(crate) struct Plan<A> {
    pub(crate) delay_before_ms: u64,
    pub(crate) delay_after_ms: u64,
    /// (part of the order number or everything, refusal)
    pub(crate) rows: Vec<(Option<String>, A)>,
    pub(crate) ending: Option<A>,
}

impl<A> Default for Plan<A> {
    fn default() -> Self {
        Self { delay_before_ms: 0, delay_after_ms: 0, rows: Vec::new(), ending: None }
    }
}

impl<A: Action> Plan<A> {
    /// Waits before the request is carried out; one that hangs, until the number of `changes` of the rules is another.
    pub(crate) async fn hold(&self, changes: impl Fn() -> u64) {
        pause(self.delay_before_ms).await;
        if self.part() == Some(Part::Hang) {
            let before = changes();
            while changes() == before {
                pause(50).await;
            }
        }
    }

    /// Waits between the act and the answer.
    pub(crate) async fn linger(&self) {
        pause(self.delay_after_ms).await;
    }

    fn part(&self) -> Option<Part> {
        self.ending.as_ref().map(Action::part)
    }

    /// Whether the request is carried out.
    pub(crate) fn acts(&self) -> bool {
        match self.part() {
            Some(Part::Hang) => false,
            Some(Part::Silence { acts } | Part::Spoil { acts }) => acts,
            _ => true,
        }
    }

    /// Whether the caller gets no byte of an answer.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.part(), Some(Part::Hang | Part::Silence { .. }))
    }

    /// Short name for the request record.
    pub(crate) fn label(&self) -> Option<String> {
        let delay = (self.delay_before_ms + self.delay_after_ms > 0).then(|| "delay".to_owned());
        let actions = self.rows.first().map(|(_, action)| action).into_iter().chain(&self.ending);
        let parts: Vec<String> = delay.into_iter().chain(actions.map(name)).collect();
        (!parts.is_empty()).then(|| parts.join("+"))
    }
}

/// No pause at all is no step of the timer either.
async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// As the action is called in JSON.
fn name(action: &impl Serialize) -> String {
    match serde_json::to_value(action) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(one)) => one.into_iter().next().map(|(name, _)| name).unwrap_or_default(),
        _ => String::new(),
    }
}

struct Counted<A> {
    rule: FaultRule<A>,
    matched: u64,
    fired: u64,
    random: SplitMix,
}

impl<A> Counted<A> {
    fn fires(&mut self, op: &str, account: &str, ordernos: &[String]) -> bool {
        let rule = &self.rule;
        let fits = rule.op.as_deref().is_none_or(|wanted| is_of(wanted, op))
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
        if rule.probability.is_some_and(|p| self.random.unit() >= p) {
            return false;
        }
        self.fired += 1;
        true
    }
}

/// Whether an operation has this name, or is of this group.
fn is_of(pattern: &str, op: &str) -> bool {
    pattern == op || pattern.strip_suffix('*').is_some_and(|prefix| op.starts_with(prefix))
}

/// The rules in force with their counters.
pub(crate) struct FaultTable<A> {
    rules: Vec<Counted<A>>,
    changes: u64,
}

impl<A> Default for FaultTable<A> {
    fn default() -> Self {
        Self { rules: Vec::new(), changes: 0 }
    }
}

impl<A: Action> FaultTable<A> {
    /// Puts `rules` in place of all former ones; counters start anew.
    pub(crate) fn replace(&mut self, rules: Vec<FaultRule<A>>) {
        self.changes += 1;
        let counted = |rule: FaultRule<A>| Counted { matched: 0, fired: 0, random: SplitMix(rule.seed), rule };
        self.rules = rules.into_iter().map(counted).collect();
    }

    /// How often the rules were replaced.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn rules(&self) -> Vec<FaultRule<A>> {
        self.rules.iter().map(|counted| counted.rule.clone()).collect()
    }

    /// How often each rule fired, in the order of the rules.
    pub(crate) fn fired(&self) -> Vec<u64> {
        self.rules.iter().map(|counted| counted.fired).collect()
    }

    /// Decides about one request and counts it.
    pub(crate) fn plan(&mut self, op: &str, account: &str, ordernos: &[String]) -> Plan<A> {
        let mut plan = Plan::default();
        for counted in &mut self.rules {
            let part = counted.rule.action.part();
            let ends = matches!(part, Part::Hang | Part::Silence { .. } | Part::Spoil { .. });
            if ends && plan.ending.is_some() || !counted.fires(op, account, ordernos) {
                continue;
            }
            let FaultRule { orderno, action, .. } = &counted.rule;
            match part {
                Part::DelayBefore(ms) => plan.delay_before_ms += ms,
                Part::DelayAfter(ms) => plan.delay_after_ms += ms,
                Part::Rows => plan.rows.push((orderno.clone(), action.clone())),
                Part::Hang | Part::Silence { .. } | Part::Spoil { .. } => plan.ending = Some(action.clone()),
            }
        }
        plan
    }
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
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Deed {
        Wait(u64),
        Lose,
        Cut,
    }

    impl Action for Deed {
        fn part(&self) -> Part {
            match self {
                Self::Wait(ms) => Part::DelayBefore(*ms),
                Self::Lose => Part::Silence { acts: true },
                Self::Cut => Part::Spoil { acts: false },
            }
        }
    }

    fn table(rules: Vec<FaultRule<Deed>>) -> FaultTable<Deed> {
        let mut table = FaultTable::default();
        table.replace(rules);
        table
    }

    fn rule() -> FaultRule<Deed> {
        FaultRule::of(Deed::Lose)
    }

    fn hits(rule: FaultRule<Deed>, requests: u64) -> Vec<u64> {
        let mut table = table(vec![rule]);
        (1..=requests).filter(|_| table.plan("neworder", "8:a", &["RC-1".to_owned()]).ending.is_some()).collect()
    }

    #[test]
    fn a_rule_counts_only_the_requests_it_matches() {
        let mut table = table(vec![rule().op("neworder").orderno("C-1").account("8:a").first(1)]);
        let number = ["RC-1".to_owned()];
        assert_eq!(table.plan("statusreq", "8:a", &number).ending, None);
        assert_eq!(table.plan("neworder", "8:b", &number).ending, None);
        assert_eq!(table.plan("neworder", "8:a", &["RC-2".to_owned()]).ending, None);
        assert_eq!(table.plan("neworder", "8:a", &number).ending, Some(Deed::Lose));
        assert_eq!(table.plan("neworder", "8:a", &number).ending, None, "first(1) is used up");
        assert_eq!(table.fired(), [1]);
    }

    #[test]
    fn a_rule_may_be_of_a_group_or_of_any_operation() {
        let mut table = table(vec![rule().op("payments.*").account(1), FaultRule::of(Deed::Cut).op("*").account(2)]);
        assert_eq!(table.plan("payments.create", "1", &[]).ending, Some(Deed::Lose));
        assert_eq!(table.plan("tracking", "1", &[]).ending, None);
        assert_eq!(table.plan("", "2", &[]).ending, Some(Deed::Cut));
        assert_eq!(table.plan("payments.create", "", &[]).ending, None);
    }

    #[test]
    fn skip_every_and_first_choose_among_the_matches() {
        assert_eq!(hits(rule().every(3), 9), [3, 6, 9]);
        assert_eq!(hits(rule().skip(2).first(2), 9), [3, 4]);
        assert_eq!(hits(rule().skip(1).every(2).first(1), 9), [3]);
    }

    #[test]
    fn a_seed_makes_chance_repeatable() {
        let rule = |seed| rule().probability(0.3, seed);
        let once = hits(rule(7), 1000);
        assert_eq!(once, hits(rule(7), 1000));
        assert_ne!(once, hits(rule(8), 1000));
        assert!((250..350).contains(&once.len()), "{} of 1000", once.len());
    }

    #[test]
    fn delays_add_up_and_the_first_ending_wins() {
        let once = |action| FaultRule::of(action).first(1);
        let waits = [5, 7].map(|ms| FaultRule::of(Deed::Wait(ms)));
        let mut table = table(waits.into_iter().chain([once(Deed::Cut), once(Deed::Lose)]).collect());
        let plan = table.plan("client", "", &[]);
        assert_eq!((plan.delay_before_ms, plan.ending.clone()), (12, Some(Deed::Cut)));
        assert_eq!((plan.label().as_deref(), plan.acts(), plan.is_silent()), (Some("delay+cut"), false, false));
        let plan = table.plan("client", "", &[]);
        assert_eq!((plan.ending.clone(), plan.acts(), plan.is_silent()), (Some(Deed::Lose), true, true), "its turn");
        assert_eq!(table.plan("client", "", &[]).label().as_deref(), Some("delay"));
    }
}
