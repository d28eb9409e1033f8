//! The fault suite: real binaries between both simulators, everything behind proxies, a
//! seeded series of faults while triggers of all kinds flow. In the end everything is well
//! again, and what MeaSoft's simulator holds is compared with what was accepted.
//!
//! [`run`] plays one seed; `src/bin/faults.rs` plays several and writes the report.

mod broker;
mod chance;
mod crowd;
mod database;
mod inject;
mod lives;
mod outages;
mod promotion;
mod report;
mod schedule;
mod told;
mod traffic;
mod verdict;
mod waiting;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use harness::{Role, World, within};

pub use outages::{Outage, line, outages, page};
pub use promotion::{Promotion, promotion};
pub use report::{Told, last_line, markdown};
pub use schedule::{Blow, Kind, Mode, Schedule, kinds, short};
pub use told::Named;
pub use waiting::Waits;

use inject::{Care, Seen};
use traffic::Traffic;

/// Every component is back by then, or the suite fails.
pub const RECOVERY: Duration = Duration::from_secs(15);
/// When the suite stops waiting for a recovery.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Everything accepted has had its effect by then.
const SETTLED: Duration = Duration::from_secs(90);
/// What was deleted in RetailCRM is cancelled by then.
const WALKED: Duration = Duration::from_secs(60);
/// Between two looks at a status.
const SYNC_S: u64 = 4;

/// How many times shorter than in reality the longest pause is that a courier may ask for: nine
/// seconds instead of a quarter of an hour.
const TIME_SCALE: u32 = 100;
/// File descriptors of a process; crowds come for more.
const DESCRIPTORS: u64 = 512;

/// Timelines written of orders that went wrong.
const TIMELINES: usize = 20;

/// What one run plays.
pub struct Plan {
    /// Of the orders' lives, and of the schedule unless one is given.
    pub seed: u64,
    /// How the installation runs.
    pub mode: Mode,
    /// The blows in turn.
    pub blows: Box<dyn Iterator<Item = Blow> + Send>,
    /// When no further blow begins.
    pub lasts: Duration,
    /// Triggers that are accepted at least; the first blow comes after a quarter of them.
    pub triggers: u64,
    /// What a fault destroys with the broker is lost to triggers: the walk through RetailCRM's
    /// history runs and makes it good.
    pub walked: bool,
    /// Triggers a second, about.
    pub rate: f64,
    /// Name of the folder with the logs.
    pub folder: String,
}

/// How a recovery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The faults that ended.
    pub labels: Vec<String>,
    /// Until every process said it was ready.
    pub ready: Duration,
    /// Until an order of each account had arrived at MeaSoft.
    pub served: Duration,
    /// How it was named while it lasted, if that was asked.
    pub named: Option<Named>,
    /// How long neighbours waited, if it was one tenant's.
    pub waits: Option<Waits>,
}

/// What a run showed.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Its seed.
    pub seed: u64,
    /// From the first blow to the verdict.
    pub took: Duration,
    /// Faults by label.
    pub faults: BTreeMap<String, u64>,
    /// Every recovery.
    pub recoveries: Vec<Recovery>,
    /// From trigger to parcel while all is well.
    pub usual: Waits,
    /// Triggers answered with 200.
    pub accepted: u64,
    /// Triggers fired again because they were not.
    pub repeated: u64,
    /// Orders that lived.
    pub orders: u64,
    /// Of them: with another's number, given another number, deleted.
    pub twins: u64,
    /// See [`Summary::twins`].
    pub renumbered: u64,
    /// See [`Summary::twins`].
    pub deleted: u64,
    /// Orders MeaSoft created, changed and cancelled.
    pub effects: (u64, u64, u64),
    /// Effects missing.
    pub lost: Vec<String>,
    /// Effects there more than once.
    pub doubled: Vec<String>,
    /// Whatever else does not hold.
    pub unexplained: Vec<String>,
}

impl Summary {
    /// Nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.unexplained.is_empty()
    }
}

async fn world(mode: Mode, folder: &str) -> World {
    let builder = match mode {
        Mode::Scaled => World::scaled(folder)
            .with(Role::Ingress, 2)
            .with(Role::Worker, 3)
            .with(Role::Scheduler, 2)
            .alone()
            .own_vhost(),
        Mode::Embedded => World::embedded(folder).own_disk(),
    };
    builder
        .proxied()
        .accounts(2)
        .descriptors(DESCRIPTORS)
        .time_scale(TIME_SCALE)
        .setting(&format!("send_statuses={}", lives::TO_BE_SENT))
        .set("SYNC_INTERVAL_S", &SYNC_S.to_string())
        .set("RUST_LOG", "info,shared=debug,bridge_worker=debug")
        .start()
        .await
}

/// Plays one run. `say` hears how it goes on.
pub async fn run(mut plan: Plan, say: Told) -> Summary {
    let world = Arc::new(world(plan.mode, &plan.folder).await);
    let mut summary = Summary { seed: plan.seed, ..Summary::default() };
    // What the walk through RetailCRM's history makes good, the suite would not see. Clocks may be
    // a day ahead.
    let hours = plan.lasts + Duration::from_secs(26 * 3_600);
    if !plan.walked
        && let Err(error) = world.take_history_slots(SYNC_S, hours).await
    {
        summary.unexplained.push(format!("the history's slots cannot be taken: {error:#}"));
    }
    let begun = Instant::now();
    let traffic = Traffic::new(Arc::clone(&world), plan.seed);
    let stop = CancellationToken::new();
    let flowing = tokio::spawn(Arc::clone(&traffic).flow(plan.rate, stop.clone()));
    match waiting::usual(&traffic, world.shops.len()).await {
        Ok(usual) => summary.usual = usual,
        Err(why) => summary.unexplained.push(format!("while all was well: {why}")),
    }
    accepted(&world, plan.triggers / 4, begun + plan.lasts).await;
    while begun.elapsed() < plan.lasts {
        let Some(blow) = plan.blows.next() else { break };
        strike(&world, &traffic, &blow, plan.walked, &mut summary, say).await;
        tokio::time::sleep(blow.quiet).await;
    }
    accepted(&world, plan.triggers, begun + plan.lasts).await;
    stop.cancel();
    if let Err(error) = flowing.await {
        summary.unexplained.push(format!("the traffic broke off: {error}"));
    }
    let stuck = match plan.walked {
        // What was destroyed with the broker is in no table until the walk has found it.
        true => made_good(&world, &traffic).await.err(),
        false => world.triggers_served(SETTLED).await.err(),
    };
    let settled = stuck.is_none();
    summary.unexplained.extend(stuck.map(|seen| format!("not all was served in time: {seen}")));
    say(&format!("everything is served after {:.0} s; statuses follow", begun.elapsed().as_secs_f64()));
    statuses_arrive(&traffic).await;
    conclude(world, traffic, &mut summary, settled && !plan.walked, !plan.walked).await;
    summary.took = begun.elapsed();
    summary
}

/// Waits until so many triggers were accepted, or the time is over.
async fn accepted(world: &World, triggers: u64, until: Instant) {
    while (world.accepted().len() as u64) < triggers && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the walk through RetailCRM's history has made good what was destroyed.
async fn made_good(world: &World, traffic: &Traffic) -> Result<(), String> {
    within(SETTLED, Duration::from_secs(1), || async {
        let records = traffic.records();
        let lost = verdict::judge(&records, &world.shops, &world.measoft.orders(), true).lost;
        lost.first().map_or(Ok(()), |first| Err(format!("{} orders, {first}", lost.len())))
    })
    .await
}

/// Makes the faults of a blow happen at once and measures the recovery from the end of the last.
async fn strike(
    world: &Arc<World>,
    traffic: &Arc<Traffic>,
    blow: &Blow,
    walked: bool,
    summary: &mut Summary,
    say: Told,
) {
    let labels: Vec<String> = blow.faults.iter().map(|fault| fault.kind.label()).collect();
    let number: u64 = summary.faults.values().sum();
    let care = Care { watched: blow.faults.len() == 1, sparing: !walked };
    let mut under_way = tokio::task::JoinSet::new();
    for fault in blow.faults.clone() {
        let (world, traffic, seed) = (Arc::clone(world), Arc::clone(traffic), summary.seed ^ number);
        under_way.spawn(async move { inject::happen(&world, &traffic, fault, seed, care).await });
    }
    let (mut slow, mut seen) = (Vec::new(), Seen::default());
    while let Some(ended) = under_way.join_next().await {
        match ended {
            Ok(of_one) => {
                slow.extend(of_one.wrong);
                seen.named = seen.named.or(of_one.named);
                seen.waits = seen.waits.or(of_one.waits);
            }
            Err(error) => summary.unexplained.push(format!("{}: {error}", labels.join(" and "))),
        }
    }
    for label in &labels {
        *summary.faults.entry(label.clone()).or_default() += 1;
    }
    if let Some(waits) = &seen.waits
        && waits.quantile(95) > summary.usual.limit()
    {
        let (waited, usual) = (waits.quantile(95), summary.usual.quantile(95));
        slow.push(format!("neighbours waited {waited:.1?} (p95 of {}), as a rule {usual:.1?}", waits.count()));
    }
    let ended = Instant::now();
    let (ready, served) = tokio::join!(all_ready(world, ended), traffic.canary(GIVE_UP));
    let mut late = Vec::new();
    let mut keep = |took: Result<Duration, String>| {
        took.unwrap_or_else(|seen| {
            late.push(seen);
            GIVE_UP
        })
    };
    let (ready, served) = (keep(ready), keep(served));
    if late.is_empty() && ready.max(served) > RECOVERY {
        late.push(format!("ready after {ready:.1?}, serving after {served:.1?}"));
    }
    slow.extend(late);
    let deleted = blow.faults.iter().any(|fault| fault.kind == Kind::QueueDeleted);
    if deleted && let Err(seen) = replay_unroutable(world).await {
        slow.push(seen);
    }
    let accepted = world.accepted().len();
    say(&format!(
        "{number:>4} {}: {}ready after {:.1} s, serving after {:.1} s, {accepted} triggers so far",
        labels.join(" and "),
        report::told(&seen),
        ready.as_secs_f64(),
        served.as_secs_f64()
    ));
    for sentence in &slow {
        say(&format!("     {sentence}"));
    }
    summary.unexplained.extend(slow.into_iter().map(|seen| format!("{}: {seen}", labels.join(" and "))));
    summary.recoveries.push(Recovery { labels, ready, served, named: seen.named, waits: seen.waits });
}

async fn all_ready(world: &World, since: Instant) -> Result<Duration, String> {
    let mut waiting = world.process_names();
    loop {
        let mut left = Vec::new();
        for name in waiting {
            if !world.says_ready(&name).await {
                left.push(name);
            }
        }
        if left.is_empty() {
            return Ok(since.elapsed());
        }
        if since.elapsed() > GIVE_UP {
            return Err(format!("not ready within {GIVE_UP:?}: {}", left.join(", ")));
        }
        waiting = left;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What found its queue gone is a dead letter, which the operator replays. One that a later
/// success of its order has closed meanwhile needs that no more.
async fn replay_unroutable(world: &World) -> Result<(), String> {
    let unroutable = |dead: &serde_json::Value| dead["reason"] == "unroutable";
    let mut refused = Vec::new();
    for dead in world.dead_letters().await.into_iter().filter(unroutable) {
        let done = world.bridge(&["dead", "replay", &dead["id"].to_string(), "--json"]).await;
        if done.code != 0 {
            refused.push((dead["id"].clone(), done.stderr));
        }
    }
    let open = world.dead_letters().await;
    match refused.into_iter().find(|(id, _)| open.iter().any(|dead| dead["id"] == *id)) {
        Some((_, why)) => Err(format!("a dead letter cannot be replayed: {why}")),
        None => Ok(()),
    }
}

/// Waits until RetailCRM has the last statuses, or the time for that is over.
async fn statuses_arrive(traffic: &Traffic) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(SYNC_S * 5) {
        let due = |record: &verdict::Record| {
            let wanted = &record.wanted;
            wanted.status.is_some_and(|status| !wanted.too_late && record.told.as_deref() != Some(status))
        };
        if !traffic.records().iter().any(due) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Leaves the product's own account of the orders that went wrong beside the logs.
async fn write_timelines(world: &World, more: &[String], records: &[verdict::Record], summary: &mut Summary) {
    let wrong = || summary.lost.iter().chain(&summary.doubled).chain(&summary.unexplained).chain(more);
    let is_named = |record: &&verdict::Record| {
        let by_id = format!("R{}", record.id);
        let is_in =
            |sentence: &String| record.numbers.iter().chain([&by_id]).any(|name| sentence.contains(name.as_str()));
        wrong().any(is_in)
    };
    let mut page = String::new();
    for record in records.iter().filter(is_named).take(TIMELINES) {
        let _ = writeln!(page, "{}: {:?}\nwished: {}", record.name(), record.wanted, record.requests.join(", "));
        for line in served(world, record) {
            let _ = writeln!(page, "{line}");
        }
        for number in &record.numbers {
            let shown = world.bridge(&["order", "show", number]).await;
            let _ = writeln!(page, "{}{}", shown.stdout, shown.stderr);
        }
    }
    if !page.is_empty()
        && let Err(error) = std::fs::write(world.folder().join("timelines.txt"), page)
    {
        summary.unexplained.push(format!("the timelines cannot be written: {error}"));
    }
}

/// What the workers logged of their attempts at an order, each with the worker's name.
fn served(world: &World, record: &verdict::Record) -> Vec<String> {
    let mut lines = Vec::new();
    let serves = |name: &String| name.starts_with("worker") || name == "bridge";
    for name in world.process_names().into_iter().filter(serves) {
        let log = world.log(&name);
        let about = |line: &&str| {
            line.contains("attempt.finished")
                && record.numbers.iter().any(|number| line.contains(&format!("order=\"{number}\"")))
        };
        lines.extend(log.lines().filter(about).map(|line| format!("{line} [{name}]")));
    }
    // Each begins with its moment.
    lines.sort_unstable();
    lines
}

/// A sentence about an order with what was wished of it last, and who served it.
fn with_last_request(world: &World, records: &[verdict::Record], sentence: String) -> String {
    let Some(record) = records.iter().find(|record| sentence.starts_with(&record.name())) else { return sentence };
    let wished = record.requests.iter().rev().nth(1).map_or("nothing", String::as_str);
    let by = served(world, record).pop().unwrap_or_else(|| "nobody".to_owned());
    format!("{sentence}; last wish {wished}; served last: {by}")
}

/// Lets the walk through RetailCRM's history run and waits until what was deleted there has
/// been cancelled.
async fn walk(world: &World, traffic: &Traffic) -> Result<(), String> {
    world.free_history_slots().await.map_err(|error| format!("the history's slots cannot be freed: {error:#}"))?;
    within(WALKED, Duration::from_secs(1), || async {
        let mut gone = traffic.records();
        gone.retain(|record| record.wanted.deleted);
        match verdict::judge(&gone, &world.shops, &world.measoft.orders(), true).lost.len() {
            0 => Ok(()),
            left => Err(format!("{left} deleted orders are not cancelled within {WALKED:?}")),
        }
    })
    .await
}

/// `apart`: what triggers did is judged before the walk through RetailCRM's history runs.
async fn conclude(world: Arc<World>, traffic: Arc<Traffic>, summary: &mut Summary, settled: bool, apart: bool) {
    let records = traffic.records();
    summary.accepted = world.accepted().len() as u64;
    summary.repeated = traffic.repeated.load(Ordering::Relaxed);
    summary.orders = records.len() as u64;
    for effects in world.measoft.effects().values() {
        summary.effects.0 += u64::from(effects.creates);
        summary.effects.1 += u64::from(effects.edits);
        summary.effects.2 += u64::from(effects.cancels);
    }
    let numbers: Vec<&String> = records.iter().filter_map(|record| record.numbers.first()).collect();
    let distinct: std::collections::BTreeSet<&&String> = numbers.iter().collect();
    summary.twins = (numbers.len() - distinct.len()) as u64;
    summary.renumbered = records.iter().filter(|record| record.numbers.len() > 1).count() as u64;
    summary.deleted = records.iter().filter(|record| record.wanted.deleted).count() as u64;
    // The walk would make good what triggers did not: first without it.
    let before = verdict::judge(&records, &world.shops, &world.measoft.orders(), false);
    if apart && summary.deleted > 0 {
        summary.unexplained.extend(walk(&world, &traffic).await.err());
    }
    let gone: Vec<verdict::Record> = records.iter().filter(|record| record.wanted.deleted).cloned().collect();
    let after = verdict::judge(&records, &world.shops, &world.measoft.orders(), true);
    let gone = after.lost.into_iter().filter(|lost| gone.iter().any(|record| lost.starts_with(&record.name())));
    let lost = before.lost.into_iter().chain(gone);
    summary.lost = lost.map(|sentence| with_last_request(&world, &records, sentence)).collect();
    summary.doubled = before.doubled;
    summary.doubled.extend(after.doubled);
    summary.doubled.sort();
    summary.doubled.dedup();
    summary.unexplained.extend(traffic.strange());
    match world.ledger.rows("SELECT * FROM dead_letters WHERE state = 'open'").await {
        Ok(rows) => {
            let text = |row: &harness::Line, name: &str| {
                row.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
            };
            let mut explained = std::collections::BTreeSet::new();
            for row in &rows {
                let (number, reason) = (text(row, "number"), text(row, "reason"));
                // By the order where the letter names one, else by its number, which others may have.
                let id = row.get("crm_order_id").and_then(serde_json::Value::as_i64);
                let mut about = records
                    .iter()
                    .filter(|record| record.numbers.contains(&number) && id.is_none_or(|id| record.id == id));
                let wanted = |record: &&verdict::Record| match reason.as_str() {
                    // Deleted before its mended phone was read: the letter is a person's to close.
                    "bad_phone" => record.wanted.bad_phone || record.wanted.deleted,
                    "too_late" => record.wanted.too_late,
                    // A trigger may have named it by a number, or an order, that is no more.
                    "order_not_found" => record.wanted.deleted || record.numbers.len() > 1,
                    _ => false,
                };
                if about.any(|record| wanted(&record)) {
                    explained.insert(number.clone());
                    world.expect_dead_letter(&number, &reason);
                } else {
                    let detail = text(row, "detail");
                    summary.unexplained.push(format!("a dead letter nobody can explain: {number} {reason} {detail}"));
                    world.expect_dead_letter(&number, &reason);
                }
            }
            let owed = records
                .iter()
                .filter(|record| (record.wanted.bad_phone || record.wanted.too_late) && !record.wanted.deleted);
            for record in owed.filter(|record| record.numbers.iter().all(|number| !explained.contains(number))) {
                summary.lost.push(format!("{} failed and nobody was told", record.name()));
            }
        }
        Err(error) => summary.unexplained.push(format!("the dead letters cannot be read: {error:#}")),
    }
    let differences = world.differences().await.unwrap_or_else(|error| vec![format!("{error:#}")]);
    write_timelines(&world, &differences, &records, summary).await;
    drop(traffic);
    // They would go on making work.
    for name in world.process_names().iter().filter(|name| name.starts_with("scheduler")) {
        world.terminate(name).await;
    }
    // What never settles would only be waited for again.
    if settled && let Ok(world) = Arc::try_unwrap(world) {
        summary.unexplained.extend(world.conclude().await);
    }
}
