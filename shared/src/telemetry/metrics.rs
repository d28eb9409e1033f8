//! Every metric family of the system, in one place.
//!
//! Labels come from closed sets, and every combination is there from the start: an alert
//! on a counter that does not exist yet would never fire. The open labels are the number of
//! an integration, of which there are as many as there are, its title in `integration_info`, and
//! the name of `breaker_held`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::domain::{Fault, IntegrationId};
use crate::locked::locked;
use crate::message::{Kind, Lane, Outcome, RetryWhy};

pub use crate::telemetry::labels::{
    BreakerState, BreakerTarget, BudgetScope, CallResult, CrmOp, IntegrationLabel, MeasoftOp, Repair, StatusRowResult,
    TriggerKind, TriggerResult,
};

/// HTTP answers of ingress, seconds.
const FAST: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 10.0];
/// Calls over the network and commands made of them, seconds; the longest limit is 180 s.
const CALLS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0, 180.0];
/// From a request to its effect, seconds: retries make it long.
const EFFECT: &[f64] = &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14400.0];
const REQUESTS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 13.0, 21.0];

/// The type of a family, by what makes it.
macro_rules! family {
    (counters) => {
        IntCounterVec
    };
    (gauges) => {
        GaugeVec
    };
    (int_gauges) => {
        IntGaugeVec
    };
    (int_gauge) => {
        IntGauge
    };
    (rows) => {
        Rows
    };
    (histogram) => {
        Histogram
    };
    (histograms) => {
        HistogramVec
    };
}

macro_rules! families {
    ($($field:ident = $kind:ident($($argument:expr),* $(,)?);)*) => {
        /// The registry and its families. One per process, shared as an `Arc`.
        pub struct Metrics {
            registry: Registry,
            /// `(name, help)` of gauges with an open label: without a sample the encoder would leave
            /// the family out.
            open_families: Vec<(&'static str, &'static str)>,
            $($field: family!($kind),)*
        }

        impl Metrics {
            fn of(mut builder: Builder) -> Self {
                $(let $field = builder.$kind($($argument),*);)*
                Self { $($field,)* registry: builder.registry, open_families: builder.open }
            }
        }
    };
}

families! {
    triggers = counters("triggers_total", "Requests to ingress by what was answered.", &[
        label("kind", TriggerKind::ALL, TriggerKind::as_str),
        label("result", TriggerResult::ALL, TriggerResult::as_str),
    ]);
    trigger_seconds = histogram("trigger_seconds", "From a request's headers to its answer.", FAST);
    commands = counters("commands_total", "Commands handled, by outcome.", &[
        label("kind", Kind::ALL, Kind::as_str),
        ("outcome", Outcome::LABELS.to_vec()),
    ]);
    command_seconds =
        histograms("command_seconds", "How long a worker held a command.", CALLS, label("kind", Kind::ALL, Kind::as_str));
    trigger_to_effect = histograms(
        "trigger_to_effect_seconds", "From the arrival of a trigger to its effect at MeaSoft.", EFFECT,
        label("kind", TRIGGERS, Kind::as_str),
    );
    status_to_crm = histogram(
        "status_to_crm_seconds", "From a status being made at MeaSoft to its acceptance by RetailCRM.", EFFECT,
    );
    retries = counters("retries_total", "Commands put off, by cause.", &[
        label("kind", Kind::ALL, Kind::as_str),
        label("why", RetryWhy::ALL, RetryWhy::as_str),
    ]);
    dead_letters = int_gauges("dead_letters", "Open dead letters, by whose fault it is.", &[
        label("fault", Fault::ALL, Fault::as_str),
    ]);
    causes = int_gauges("causes", "Open causes: reasons at integrations, by whose fault it is.", &[
        label("fault", Fault::ALL, Fault::as_str),
    ]);
    waiting = rows(
        "waiting", "What waits in the ledger, by integration, sort and cause; what does not wait has no sample.",
        &[open("integration"), open("work"), open("cause")],
    );
    replay_letters = rows(
        "replay_letters", "Letters of replays that run, by how far they are; without a replay there is no sample.",
        &[open("replay"), open("step")],
    );
    oldest_due = gauges("oldest_due_command_seconds", "Age of the oldest command that is due and not yet handled.", &[
        label("lane", Lane::ALL, Lane::as_str),
    ]);
    queue_depth = int_gauges("queue_depth", "Messages waiting in the queue.", &[label("lane", Lane::ALL, Lane::as_str)]);
    outbox_depth = int_gauge("outbox_depth", "Rows of the job table that wait to be forwarded to the broker.");
    callbacks_in_flight =
        int_gauge("callbacks_in_flight", "Requests of the delivery module that wait for a worker's answer.");
    measoft_requests = counters("measoft_requests_total", "Requests to MeaSoft.", &[
        label("op", MeasoftOp::ALL, MeasoftOp::as_str),
        label("result", CallResult::ALL, CallResult::as_str),
    ]);
    measoft_seconds = histograms(
        "measoft_seconds", "Duration of requests to MeaSoft.", CALLS,
        label("op", MeasoftOp::ALL, MeasoftOp::as_str),
    );
    measoft_budget = gauges("measoft_budget_tokens", "Requests MeaSoft's limits still allow.", &[
        label("scope", BudgetScope::ALL, BudgetScope::as_str),
    ]);
    measoft_per_order = histogram(
        "measoft_requests_per_order", "Requests to MeaSoft that one order took until its command ended.", REQUESTS,
    );
    crm_requests = counters("crm_requests_total", "Requests to RetailCRM.", &[
        label("op", CrmOp::ALL, CrmOp::as_str),
        label("result", CallResult::ALL, CallResult::as_str),
    ]);
    breaker = int_gauges("breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", &[
        label("target", BreakerTarget::ALL, BreakerTarget::as_str),
    ]);
    held = int_gauges(
        "breaker_held",
        "Addresses and accounts that are held back: 1 tried out, 2 left alone; others have no sample.",
        &[open("target"), open("name")],
    );
    integrations = int_gauges("integrations", "Integrations by state.", &[
        label("state", IntegrationLabel::ALL, IntegrationLabel::as_str),
    ]);
    integration_info = rows(
        "integration_info", "Integrations that are not removed, by number, name and state; always 1.",
        &[open("integration"), open("title"), open("state")],
    );
    integration_dead_letters = rows(
        "integration_dead_letters",
        "Open dead letters of an integration, by whose fault it is; without any there is no sample.",
        &[open("integration"), open("fault")],
    );
    sync_success = gauges(
        "sync_last_success_timestamp_seconds",
        "When the last status sync of an integration succeeded, seconds since the epoch.",
        &[open("integration")],
    );
    status_rows = counters("status_rows_total", "Rows of MeaSoft's status stream.", &[
        label("result", StatusRowResult::ALL, StatusRowResult::as_str),
    ]);
    repairs = counters("repairs_total", "What the reconcile found missing and made good.", &[
        label("what", Repair::ALL, Repair::as_str),
    ]);
    build = int_gauges("build_info", "The running build; always 1.", &[open("version"), open("revision")]);
}

/// Commands that a trigger asks for.
const TRIGGERS: [Kind; 3] = [Kind::SendOrder, Kind::UpdateOrder, Kind::CancelOrder];

/// A label and its values; an open one has none yet.
type Label = (&'static str, Vec<&'static str>);

fn label<T, const N: usize>(name: &'static str, all: [T; N], word: fn(T) -> &'static str) -> Label {
    (name, all.into_iter().map(word).collect())
}

const fn open(name: &'static str) -> Label {
    (name, Vec::new())
}

/// Every combination of the values of some labels.
fn combinations(labels: &[Label]) -> Vec<Vec<&'static str>> {
    labels.iter().fold(vec![Vec::new()], |before, (_, values)| {
        before.iter().flat_map(|one| values.iter().map(|value| [&one[..], &[*value]].concat())).collect()
    })
}

/// A family of samples that come and go: those that are not set any more are taken away, the
/// others are there at every moment.
#[derive(Debug)]
struct Rows {
    gauges: IntGaugeVec,
    shown: Mutex<BTreeSet<Vec<String>>>,
}

impl Rows {
    fn set(&self, rows: &[(Vec<String>, i64)]) {
        let mut shown = locked(&self.shown);
        for (labels, value) in rows {
            self.gauges.with_label_values(labels).set(*value);
        }
        let now: BTreeSet<Vec<String>> = rows.iter().map(|(labels, _)| labels.clone()).collect();
        for gone in shown.difference(&now) {
            let _ = self.gauges.remove_label_values(gone);
        }
        *shown = now;
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("bridge")
}

fn in_buckets(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() }
}

/// Families are constant, so making or registering one can only fail by a mistake here,
/// which the tests of this file would show.
#[derive(Default)]
struct Builder {
    registry: Registry,
    open: Vec<(&'static str, &'static str)>,
}

/// A family of this type, with every combination of its labels at zero.
macro_rules! with_labels {
    ($make:ident, $type:ident) => {
        fn $make(&mut self, name: &'static str, help: &'static str, labels: &[Label]) -> $type {
            let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
            let family = self.add($type::new(opts(name, help), &names));
            let combinations = combinations(labels);
            if combinations.is_empty() {
                self.open.push((name, help));
            }
            combinations.iter().for_each(|values| drop(family.with_label_values(values)));
            family
        }
    };
}

impl Builder {
    fn add<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("the families of this file are well formed");
        self.registry.register(Box::new(collector.clone())).expect("each family is registered once");
        collector
    }

    with_labels!(counters, IntCounterVec);
    with_labels!(gauges, GaugeVec);
    with_labels!(int_gauges, IntGaugeVec);

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(opts(name, help)))
    }

    fn rows(&mut self, name: &'static str, help: &'static str, labels: &[Label]) -> Rows {
        Rows { gauges: self.int_gauges(name, help, labels), shown: Mutex::default() }
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(in_buckets(name, help, buckets)))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], (label, values): Label) -> HistogramVec {
        let family = self.add(HistogramVec::new(in_buckets(name, help, buckets), &[label]));
        values.iter().for_each(|value| drop(family.with_label_values(&[value])));
        family
    }
}

/// Counted in a gauge until it is dropped, also by a caller that gives up.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The version this build reports.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// The commit this build was made from (`shared/build.rs`).
    pub const REVISION: &'static str = env!("BRIDGE_REVISION");
    /// Both, as `--version` shows them.
    pub const BUILD: &'static str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BRIDGE_REVISION"), ")");

    /// All families, every closed label combination at zero.
    pub fn new() -> Self {
        let metrics = Self::of(Builder::default());
        metrics.build.with_label_values(&[Self::VERSION, Self::REVISION]).set(1);
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            // Two collectors of one process would only repeat themselves.
            let _ = metrics.registry.register(Box::new(process));
        }
        metrics
    }

    /// One request to ingress and its answer.
    pub fn trigger(&self, kind: TriggerKind, result: TriggerResult, took: Duration) {
        self.triggers.with_label_values(&[kind.as_str(), result.as_str()]).inc();
        self.trigger_seconds.observe(took.as_secs_f64());
    }

    /// One command as a worker left it.
    pub fn command(&self, kind: Kind, outcome: &Outcome, took: Duration) {
        self.commands.with_label_values(&[kind.as_str(), outcome.label()]).inc();
        self.command_seconds.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// A trigger had its effect this long after it arrived. Kinds that are no trigger
    /// have no such time and are left out.
    pub fn effect(&self, kind: Kind, after: Duration) {
        if TRIGGERS.contains(&kind) {
            self.trigger_to_effect.with_label_values(&[kind.as_str()]).observe(after.as_secs_f64());
        }
    }

    /// Rows of the status stream.
    pub fn status_rows(&self, result: StatusRowResult, count: u64) {
        self.status_rows.with_label_values(&[result.as_str()]).inc_by(count);
    }

    /// The reconcile made something good.
    pub fn repaired(&self, what: Repair) {
        self.repairs.with_label_values(&[what.as_str()]).inc();
    }

    /// A status reached RetailCRM this long after it was made at MeaSoft.
    pub fn status_to_crm(&self, after: Duration) {
        self.status_to_crm.observe(after.as_secs_f64());
    }

    pub fn retry(&self, kind: Kind, why: RetryWhy) {
        self.retries.with_label_values(&[kind.as_str(), why.as_str()]).inc();
    }

    /// Open dead letters and their reasons as the store counts them; faults not named have none.
    pub fn set_dead_letters(&self, open: &[(Option<IntegrationId>, Fault, i64, i64)]) {
        for fault in Fault::ALL {
            let of = || open.iter().filter(|(_, of, ..)| *of == fault);
            self.dead_letters.with_label_values(&[fault.as_str()]).set(of().map(|(_, _, n, _)| n).sum());
            self.causes.with_label_values(&[fault.as_str()]).set(of().map(|(.., reasons)| reasons).sum());
        }
        let of = |(id, fault, n, _): &(Option<IntegrationId>, Fault, i64, i64)| {
            id.map(|id| (vec![id.to_string(), fault.as_str().to_owned()], *n))
        };
        self.integration_dead_letters.set(&open.iter().filter_map(of).collect::<Vec<_>>());
    }

    /// What waits: whose, sort, cause, how many. What is not named does not wait.
    pub fn set_waiting(&self, waits: &[(IntegrationId, &str, &str, i64)]) {
        let row = |(id, work, cause, n): &(IntegrationId, &str, &str, i64)| {
            (vec![id.to_string(), (*work).to_owned(), (*cause).to_owned()], *n)
        };
        self.waiting.set(&waits.iter().map(row).collect::<Vec<_>>());
    }

    /// Letters of the replays that run: which, how far, how many.
    pub fn set_replays(&self, running: &[(i64, &str, i64)]) {
        let row = |(replay, step, n): &(i64, &str, i64)| (vec![replay.to_string(), (*step).to_owned()], *n);
        self.replay_letters.set(&running.iter().map(row).collect::<Vec<_>>());
    }

    /// Zero when nothing is due.
    pub fn set_oldest_due(&self, lane: Lane, age: Duration) {
        self.oldest_due.with_label_values(&[lane.as_str()]).set(age.as_secs_f64());
    }

    /// Messages waiting, as a queue counts them; lanes not named have none.
    pub fn set_queue_depth(&self, depth: &[(Lane, u64)]) {
        for lane in Lane::ALL {
            let count: u64 = depth.iter().filter(|(of, _)| *of == lane).map(|(_, n)| n).sum();
            self.queue_depth.with_label_values(&[lane.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub fn set_outbox_depth(&self, rows: u64) {
        self.outbox_depth.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A request waits for a worker's answer as long as this lives.
    #[must_use]
    pub fn callback_in_flight(&self) -> InFlight {
        self.callbacks_in_flight.inc();
        InFlight(self.callbacks_in_flight.clone())
    }

    pub fn measoft_request(&self, op: MeasoftOp, result: CallResult, took: Duration) {
        self.measoft_requests.with_label_values(&[op.as_str(), result.as_str()]).inc();
        self.measoft_seconds.with_label_values(&[op.as_str()]).observe(took.as_secs_f64());
    }

    pub fn set_budget_tokens(&self, scope: BudgetScope, left: f64) {
        self.measoft_budget.with_label_values(&[scope.as_str()]).set(left);
    }

    /// How many requests to MeaSoft an order's command took in all.
    pub fn requests_per_order(&self, requests: u32) {
        self.measoft_per_order.observe(f64::from(requests));
    }

    pub fn crm_request(&self, op: CrmOp, result: CallResult) {
        self.crm_requests.with_label_values(&[op.as_str(), result.as_str()]).inc();
    }

    pub fn set_breaker(&self, target: BreakerTarget, state: BreakerState) {
        self.breaker.with_label_values(&[target.as_str()]).set(state as i64);
    }

    /// Which addresses and accounts are held back; all others have no sample.
    pub fn set_held(&self, held: &[(BreakerTarget, &str, BreakerState)]) {
        self.held.reset();
        for (target, name, state) in held {
            self.held.with_label_values(&[target.as_str(), name]).set(*state as i64);
        }
    }

    pub fn set_integrations(&self, state: IntegrationLabel, count: u64) {
        self.integrations.with_label_values(&[state.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Who the integrations are: number, name, state.
    pub fn name_integrations(&self, all: &[(IntegrationId, &str, IntegrationLabel)]) {
        let row = |(id, title, state): &(IntegrationId, &str, IntegrationLabel)| {
            (vec![id.to_string(), (*title).to_owned(), state.as_str().to_owned()], 1)
        };
        self.integration_info.set(&all.iter().map(row).collect::<Vec<_>>());
    }

    pub fn sync_succeeded(&self, integration: IntegrationId, at: Timestamp) {
        self.sync_success.with_label_values(&[&integration.to_string()]).set(at.as_duration().as_secs_f64());
    }

    /// An integration that is gone keeps no sample: an alert on its age would never end.
    pub fn forget_sync(&self, integration: IntegrationId) {
        let _ = self.sync_success.remove_label_values(&[&integration.to_string()]);
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut bytes = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut bytes) {
            tracing::error!(%error, "metrics cannot be written");
        }
        let mut text = String::from_utf8(bytes).unwrap_or_default();
        for (name, help) in &self.open_families {
            if !text.contains(&format!("# TYPE bridge_{name} ")) {
                let _ = write!(text, "# HELP bridge_{name} {help}\n# TYPE bridge_{name} gauge\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Change;

    /// Design §6, and what the status sync adds.
    const FAMILIES: [&str; 28] = [
        "triggers_total",
        "trigger_seconds",
        "commands_total",
        "command_seconds",
        "trigger_to_effect_seconds",
        "status_to_crm_seconds",
        "retries_total",
        "dead_letters",
        "causes",
        "waiting",
        "replay_letters",
        "oldest_due_command_seconds",
        "queue_depth",
        "outbox_depth",
        "callbacks_in_flight",
        "measoft_requests_total",
        "measoft_seconds",
        "measoft_budget_tokens",
        "measoft_requests_per_order",
        "crm_requests_total",
        "breaker_state",
        "integrations",
        "integration_info",
        "integration_dead_letters",
        "sync_last_success_timestamp_seconds",
        "status_rows_total",
        "repairs_total",
        "build_info",
    ];

    #[test]
    fn every_family_is_there_from_the_start() {
        let text = Metrics::new().render();
        for family in FAMILIES {
            assert!(text.contains(&format!("# TYPE bridge_{family} ")), "{family} is missing");
        }
    }

    #[test]
    fn every_closed_label_combination_starts_at_zero() {
        let text = Metrics::new().render();
        for line in [
            r#"bridge_triggers_total{kind="SendOrder",result="accepted"} 0"#,
            r#"bridge_triggers_total{kind="other",result="not_found"} 0"#,
            r#"bridge_commands_total{kind="Retention",outcome="give_up"} 0"#,
            r#"bridge_retries_total{kind="SendOrder",why="breaker_open"} 0"#,
            r#"bridge_dead_letters{fault="crm"} 0"#,
            r#"bridge_queue_depth{lane="rpc"} 0"#,
            r#"bridge_measoft_requests_total{op="only_last",result="bad_format"} 0"#,
            r#"bridge_crm_requests_total{op="payment_delete",result="unknown"} 0"#,
            r#"bridge_breaker_state{target="measoft"} 0"#,
            r#"bridge_integrations{state="paused"} 0"#,
            r#"bridge_trigger_to_effect_seconds_count{kind="CancelOrder"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing");
        }
    }

    #[test]
    fn what_is_observed_is_printed() {
        let metrics = Metrics::new();
        metrics.trigger(TriggerKind::Send, TriggerResult::Accepted, Duration::from_millis(3));
        metrics.command(Kind::SendOrder, &Outcome::Done(Change::Created), Duration::from_secs(1));
        let (one, other) = (Some(IntegrationId(1)), Some(IntegrationId(2)));
        metrics.set_dead_letters(&[(one, Fault::Shop, 3, 2)]);
        metrics.set_dead_letters(&[(one, Fault::Crm, 1, 1), (other, Fault::Crm, 2, 2), (None, Fault::Crm, 4, 1)]);
        metrics.name_integrations(&[(IntegrationId(1), "Old", IntegrationLabel::Active)]);
        metrics.name_integrations(&[
            (IntegrationId(1), "Город", IntegrationLabel::Active),
            (IntegrationId(2), "Область «2»", IntegrationLabel::Paused),
        ]);
        let id = IntegrationId(1);
        metrics.set_waiting(&[(id, "orders", "unknown_outcome", 4), (id, "orders", "due", 2)]);
        metrics.set_waiting(&[(id, "orders", "due", 1)]);
        metrics.set_replays(&[(3, "queued", 40), (3, "done", 2)]);
        metrics.set_breaker(BreakerTarget::Measoft, BreakerState::Open);
        metrics.sync_succeeded(IntegrationId(7), Timestamp::from_second(1_700_000_000).expect("a moment"));
        let text = metrics.render();
        for line in [
            r#"bridge_triggers_total{kind="SendOrder",result="accepted"} 1"#,
            "bridge_trigger_seconds_count 1",
            r#"bridge_commands_total{kind="SendOrder",outcome="done"} 1"#,
            r#"bridge_dead_letters{fault="shop"} 0"#,
            r#"bridge_dead_letters{fault="crm"} 7"#,
            r#"bridge_causes{fault="shop"} 0"#,
            r#"bridge_causes{fault="crm"} 4"#,
            r#"bridge_waiting{cause="due",integration="1",work="orders"} 1"#,
            r#"bridge_replay_letters{replay="3",step="queued"} 40"#,
            r#"bridge_integration_dead_letters{fault="crm",integration="2"} 2"#,
            r#"bridge_integration_info{integration="1",state="active",title="Город"} 1"#,
            r#"bridge_integration_info{integration="2",state="paused",title="Область «2»"} 1"#,
            r#"bridge_breaker_state{target="measoft"} 2"#,
            r#"bridge_sync_last_success_timestamp_seconds{integration="7"} 1700000000"#,
        ] {
            assert!(text.contains(line), "{line} is missing");
        }
        assert_eq!(text.matches("# TYPE bridge_sync_last_success").count(), 1);
        assert!(!text.contains("Old") && !text.contains(r#"fault="shop",integration"#), "what is over has no sample");
        metrics.forget_sync(IntegrationId(7));
        assert!(!metrics.render().contains(r#"integration="7""#));
    }

    #[test]
    fn label_texts_are_read_back() {
        for op in MeasoftOp::ALL {
            assert_eq!(MeasoftOp::parse(op.as_str()), Some(op));
        }
        assert_eq!(CrmOp::parse("nothing"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_itself_is_measured() {
        assert!(Metrics::new().render().contains("process_resident_memory_bytes"));
    }
}
