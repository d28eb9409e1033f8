//! A standby that was behind takes over while a worker stands still, at any step of what it does.
//! Its last rows are gone, other orders get their ids, then the worker goes on. Whatever the
//! ledger lost: no row holds another's number, sum or goods, MeaSoft has one parcel of an order,
//! and what is owed is found again or told.
//!
//! Each try is of one errand, stopped at one step: tries in a row go through all of them.
//! `TAKEOVER_TRIES` says how many (default 100, on either database), `TAKEOVER_SEED` where to
//! begin; a failure names its seed, which repeats it with `TAKEOVER_TRIES=1`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bridge_worker::callbacks::{self, CallbackContext, Request};
use bridge_worker::consume::triggers::requests_of;
use bridge_worker::dispatch::BATCH;
use bridge_worker::jobs;
use bridge_worker::order::batch::process;
use bridge_worker::order::report::module_status;
use jiff::ToSpan as _;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError};
use serde_json::json;
use shared::config::{Config, Role, Source};
use shared::domain::{CrmOrderId, Delivery};
use shared::message::{Command, Envelope, Lane, decode};
use shared::mutant::{Mutant, become_mutant};
use shared::retailcrm::AllowedHosts;
use shared::store::Db;
use shared::store::dead_letters::DeadFilter;
use shared::store::promotion::Window;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::history::{Change, Fire, History, Op, stopping};
use crate::steps::{How, Run, Spot};
use crate::world::{LEASE, Task, World};
use crate::{number, own_rows, rule, runner, standby};

/// What a worker is at when it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// Leasing due orders, sending them, telling RetailCRM, recording.
    Work,
    /// Recording triggers that came.
    Intake,
    /// Answering the `save` callback.
    Save,
    /// The stream of statuses, what RetailCRM is told, payments.
    Statuses,
    /// Finding what was missed, and taking the messages that come of it.
    Reconcile,
    /// Forgetting what is over.
    Retention,
}

const ERRANDS: [Errand; 6] =
    [Errand::Work, Errand::Intake, Errand::Save, Errand::Statuses, Errand::Reconcile, Errand::Retention];

/// No errand of these tries takes more steps.
const STEPS: usize = 120;
/// Bytes.
const STACK: usize = 32 << 20;
/// A server that takes over has been away for so long at least.
const AWAY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Try {
    integrations: usize,
    /// All orders have one number: they are of different shops.
    one_number: bool,
    job: Errand,
    /// Where it is stopped.
    step: usize,
    how: How,
    /// The step of the errand after which the standby got no more; `None`: it got none of `lost`.
    behind: Option<usize>,
    before: Vec<Op>,
    lost: Vec<Op>,
    prepare: Vec<Op>,
    meanwhile: Vec<Op>,
    /// Stopped once more after so many further steps.
    again: Option<usize>,
    between: Vec<Op>,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, name: &str, ops: &[Op]| {
            ops.iter().try_for_each(|op| writeln!(f, "  {name}: {op}"))
        };
        if self.one_number {
            writeln!(f, "  all orders with one number")?;
        }
        part(f, "before", &self.before)?;
        part(f, if self.behind.is_none() { "lost" } else { "then" }, &self.lost)?;
        part(f, "then", &self.prepare)?;
        let behind =
            self.behind.map_or(String::new(), |step| format!("; the standby gets nothing from step {step} on"));
        writeln!(f, "  worker 0 is at {:?}{}{behind}", self.job, stopping(Some((Spot::Step(self.step), self.how))))?;
        part(f, "meanwhile", &self.meanwhile)?;
        writeln!(f, "  it goes on, to stop again after {:?}", self.again)?;
        part(f, "then", &self.between)
    }
}

fn told(order: usize, change: Change, fire: Fire) -> Op {
    Op::Save { order, change, fire, lag: false, held: false }
}

fn work(at: usize) -> Op {
    Op::Work { by: 1, at, stop: None }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![(0..2u8).prop_map(Change::Phone), (0..2u8).prop_map(Change::Price), (0..3u8).prop_map(Change::Lines),]
}

/// What the shop and the courier do with orders that may be there.
fn event(orders: std::ops::Range<usize>, integrations: usize) -> impl Strategy<Value = Op> {
    let fire = prop_oneof![Just(Fire::Update), Just(Fire::Both)];
    let status = prop_oneof![2 => Just("ACCEPTED"), 2 => Just("COMPLETE"), 1 => Just("CANCELED")];
    let last = integrations as u8;
    prop_oneof![
        5 => orders.clone().prop_map(|order| told(order, Change::Kind(0), Fire::Send)),
        3 => (orders.clone(), change(), fire).prop_map(|(order, change, fire)| told(order, change, fire)),
        2 => (orders.clone(), 0..=last).prop_map(|(order, kind)| told(order, Change::Kind(kind), Fire::Send)),
        2 => (orders, 0..integrations, status)
            .prop_map(|(order, at, status)| Op::Courier { order, at, status, backdated: false }),
        3 => (0..integrations).prop_map(work),
        2 => (0..integrations).prop_map(|at| Op::Sync { by: 1, at, stop: None }),
        3 => prop_oneof![Just(2u32), Just(3), Just(46)].prop_map(Op::Wait),
    ]
}

/// What gives an errand something to do.
fn prepared(job: Errand, integrations: usize) -> BoxedStrategy<Vec<Op>> {
    let some = (0..4usize, change());
    match job {
        Errand::Work => (vec(some, 1..4), any::<bool>())
            .prop_map(|(saves, fresh)| {
                let saves = saves.into_iter().map(|(order, change)| told(order, change, Fire::Both));
                let new = fresh.then(|| told(4, Change::Kind(0), Fire::Send));
                saves.chain(new).chain([Op::Wait(2)]).collect()
            })
            .boxed(),
        Errand::Intake | Errand::Save => vec(some, 1..3)
            .prop_map(|saves| {
                let held = |(order, change)| Op::Save { order, change, fire: Fire::Both, lag: false, held: true };
                saves.into_iter().map(held).collect()
            })
            .boxed(),
        Errand::Statuses => (vec(0..3usize, 1..3), 0..integrations)
            .prop_map(|(orders, at)| {
                let placed = orders.iter().map(|order| told(*order, Change::Kind(at as u8), Fire::Both));
                let done = |order: &usize| Op::Courier { order: *order, at, status: "COMPLETE", backdated: false };
                let ended = orders.iter().map(done);
                placed.chain([Op::Wait(2), work(at), Op::Wait(3)]).chain(ended).collect()
            })
            .boxed(),
        Errand::Reconcile => vec(some, 1..4)
            .prop_map(|saves| {
                let missed = |(order, change)| told(order, change, Fire::None);
                saves.into_iter().map(missed).chain([Op::Wait(46)]).collect()
            })
            .boxed(),
        Errand::Retention => (0..3usize)
            .prop_map(|order| {
                let ends = Op::Courier { order, at: 0, status: "COMPLETE", backdated: false };
                vec![ends, Op::Sync { by: 1, at: 0, stop: None }]
            })
            .boxed(),
    }
}

fn tries(job: Errand, step: usize) -> impl Strategy<Value = Try> {
    prop_oneof![2 => Just(1usize), 1 => Just(2)].prop_flat_map(move |integrations| {
        let how = prop_oneof![2 => Just(How::Pause), 1 => Just(How::Cut)];
        let behind = option::weighted(0.5, 0..=step);
        let others =
            (4..7usize, vec(event(0..7, integrations), 0..6), any::<bool>()).prop_map(|(order, more, twice)| {
                let new = told(order, Change::Kind(0), Fire::Send);
                let next = twice.then(|| told((order + 1).min(6), Change::Kind(0), Fire::Send));
                let ends = [Op::Wait(2), work(0), Op::Sync { by: 1, at: 0, stop: None }];
                std::iter::once(new).chain(next).chain(more).chain(ends).collect::<Vec<_>>()
            });
        (
            (how, behind, prop::bool::weighted(0.3)),
            vec(event(0..3, integrations), 0..6),
            vec(event(0..5, integrations), 0..5),
            prepared(job, integrations),
            others,
            option::weighted(0.4, 0..40usize),
            vec(event(0..7, integrations), 0..4),
        )
            .prop_map(
                move |((how, behind, one_number), mut before, lost, prepare, meanwhile, again, between)| {
                    // There is always something that was placed.
                    before.extend([
                        told(0, Change::Kind(0), Fire::Send),
                        told(1, Change::Kind(0), Fire::Send),
                        Op::Rest,
                    ]);
                    Try {
                        integrations,
                        one_number,
                        job,
                        step,
                        how,
                        behind,
                        before,
                        lost,
                        prepare,
                        meanwhile,
                        again,
                        between,
                    }
                },
            )
    })
}

/// Where a try was stopped, and how far its errand would have gone.
#[derive(Debug, Clone, Copy)]
struct Lived {
    stopped_at: Option<usize>,
    steps: usize,
}

/// The database that tries are lived through on.
enum Ground {
    Memory,
    /// A schema of its own on the tests' PostgreSQL.
    Server {
        admin: String,
        own: String,
        schema: String,
    },
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(work)
}

impl Ground {
    fn server() -> Self {
        #[expect(clippy::disallowed_methods, reason = "set by the test run, no setting of the product")]
        let admin = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run ./tests/run");
        let schema = format!("bridge_takeover_{}", Uuid::new_v4().simple());
        let mut own = url::Url::parse(&admin).expect("a URL");
        own.query_pairs_mut()
            .append_pair("options[search_path]", &schema)
            // What is lost with a machine matters to no try.
            .append_pair("options[synchronous_commit]", "off");
        let ground = Self::Server { own: own.to_string(), schema, admin };
        ground.as_admin("CREATE SCHEMA", "");
        ground
    }

    fn as_admin(&self, what: &str, how: &str) {
        let Self::Server { admin, schema, .. } = self else { return };
        on_a_runtime(async {
            let db = Db::open_postgres(admin, 1).expect("a URL");
            db.exec(format!("{what} {schema} {how}"), vec![]).await.expect("done");
            db.close().await;
        });
    }

    /// A database that is empty but for its schema.
    async fn empty(&self) -> Db {
        match self {
            Self::Memory => {
                let db = Db::open_in_memory().await.expect("a database");
                db.migrate().await.expect("a schema");
                db
            }
            Self::Server { own, .. } => {
                let db = Db::open_postgres(own, 4).expect("a URL");
                if db.schema_version().await.expect("a version") == 0 {
                    db.migrate().await.expect("a schema");
                } else {
                    standby::empty(&db).await;
                }
                db
            }
        }
    }

    fn live(&self, a: &Try) -> Result<Lived, String> {
        on_a_runtime(async {
            let db = self.empty().await;
            let lived = live(a, db.clone()).await;
            db.close().await;
            lived
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.as_admin("DROP SCHEMA", "CASCADE");
        }
    }
}

async fn live(a: &Try, db: Db) -> Result<Lived, String> {
    let history = History {
        eve: false,
        one_number: a.one_number,
        send_statuses: true,
        declared: false,
        integrations: a.integrations,
        ops: Vec::new(),
        closing: Vec::new(),
    };
    let mut world = World::on(db, &history).await;
    let standby = standby::Standby::of(&world.store).await;
    perform(&mut world, &a.before).await;
    if a.behind.is_none() {
        standby.copy().await;
    }
    perform(&mut world, &a.lost).await;
    perform(&mut world, &a.prepare).await;
    if a.job == Errand::Retention {
        world.pass(Duration::from_secs(100 * 24 * 3600));
        world.forgotten_before = Some(world.clock.now());
    }
    world.runs += 1;
    let owner = world.workers[0].tools.owner.clone();
    let run = Run::new(&owner, world.runs, Some((Spot::Step(a.step), a.how)));
    if let Some(step) = a.behind {
        run.falls_behind(step, standby.clone());
    }
    world.said.line(format!("· worker 0 is at {:?}{}", a.job, stopping(Some((Spot::Step(a.step), a.how)))));
    let task = job(&mut world, a.job);
    world.drive(0, run.clone(), Box::pin(run.clone().walk(task))).await;
    let lived = Lived { stopped_at: run.stopped_at(), steps: run.steps() };
    if run.is_ahead() {
        standby.copy().await;
    }
    world.pass(AWAY);
    world.said.line("· the standby takes over".to_owned());
    standby.promote().await;
    let until = world.clock.now();
    // The standby notes every five seconds that it is there.
    world.store.note_takeover(Window { from: until - 5.minutes(), until }).await.expect("noted");
    world.accounts.iter().for_each(|account| account.ledger_forgot());
    perform(&mut world, &a.meanwhile).await;
    if world.workers[0].asleep.is_some() {
        let stop = a.again.map(|steps| (Spot::Step(steps), How::Pause));
        perform(&mut world, &[Op::Continue { by: 0, stop }]).await;
    }
    perform(&mut world, &a.between).await;
    world.said.verdict()?;
    world.said.line("· all heals, and both sides are compared".to_owned());
    world.come_to_rest().await;
    world.reconcile(true).await;
    world.come_to_rest().await;
    own_rows::judge(&world).await;
    effects(&world).await;
    world.said.verdict()?;
    Ok(lived)
}

async fn perform(world: &mut World, ops: &[Op]) {
    for op in ops {
        world.said.line(format!("· {op}"));
        world.perform(op).await;
    }
}

/// The errand as the product runs it.
fn job(world: &mut World, job: Errand) -> Task {
    let (tools, shops, shop) = (world.workers[0].tools.clone(), world.registry.clone(), world.shops[0].clone());
    match job {
        Errand::Work => Box::pin(async move {
            let claimed = tools.store.claim_intents(shop.id(), &tools.owner, tools.lease_until(), BATCH).await;
            if let Ok(intents) = claimed
                && !intents.is_empty()
            {
                process(&tools, &shop, intents).await;
            }
        }),
        Errand::Intake => {
            let held = std::mem::take(&mut world.held);
            Box::pin(async move {
                for (envelope, ..) in held {
                    // As often as it takes: what is not recorded is not acknowledged.
                    while tools.store.record_requests(&requests_of(&tools, &envelope)).await.is_err() {}
                }
            })
        }
        Errand::Save => {
            let (id, number) = match world.held.first() {
                Some((envelope, _, id)) => (*id, envelope.key.clone()),
                None => return Box::pin(async {}),
            };
            let phone = world.crm.last(id).map(|saved| saved.phone_text(id)).unwrap_or_default();
            let body = json!({
                "order": id, "orderNumber": number, "customer": {"firstName": "Анна", "phones": [phone]}, "packages": [],
                "delivery": {"deliveryAddress": {"city": "Москва", "text": "ул. Новая, 1"}, "cost": 0},
            });
            let now = world.clock.now();
            let (hints, _) = mpsc::channel(1);
            // Nobody is waited for: the clock stands still.
            let stop = CancellationToken::new();
            stop.cancel();
            let context = CallbackContext {
                tools,
                integrations: shops,
                hints,
                allowed: AllowedHosts::none().into(),
                config: Config::read(Role::Bridge, &Source::from_pairs([("SETTLE_MS", "1")])).expect("good").into(),
                callback_deadline: Duration::from_secs(4),
                calculate_deadline: Duration::from_secs(4),
                kept: Default::default(),
                in_hand: Default::default(),
                stop,
            };
            let command = Uuid::now_v7().to_string();
            let request =
                Request { active: shop, body, command, received_at: now, answer_by: now + context.callback_deadline };
            let said = world.said.clone();
            Box::pin(async move {
                if let Err(refusal) = callbacks::save::save(&context, &request).await {
                    said.line(format!("   the save is refused: {}", refusal.label));
                }
            })
        }
        Errand::Statuses => Box::pin(async move {
            let envelope = Envelope::new(Command::SyncStatuses {}, Some(shop.id()), tools.clock.now());
            jobs::carry_out(&tools, &shops, &envelope).await;
        }),
        Errand::Reconcile => Box::pin(async move {
            let envelope = Envelope::new(Command::Reconcile {}, Some(shop.id()), tools.clock.now());
            jobs::carry_out(&tools, &shops, &envelope).await;
            let claimed = tools.store.claim_jobs(Some(Lane::Interactive), &tools.owner, LEASE, 100).await;
            for job in claimed.unwrap_or_default() {
                let envelope = decode(&job.body).expect("readable");
                while tools.store.record_requests(&requests_of(&tools, &envelope)).await.is_err() {}
                let _ = tools.store.finish_jobs(&tools.owner, &[job.id]).await;
            }
        }),
        Errand::Retention => Box::pin(async move {
            jobs::carry_out(&tools, &shops, &Envelope::new(Command::Retention {}, None, tools.clock.now())).await;
        }),
    }
}

/// Each order that is to be sent is at MeaSoft once, as it is now; each that left is not. Or a
/// person was told.
async fn effects(world: &World) {
    let all = world.store.dead_letters(&DeadFilter::default()).await.expect("letters");
    for (id, saves) in &world.saves {
        let last = saves.last().expect("a save");
        let numbers: BTreeSet<&str> = saves.iter().map(|save| save.saved.number.as_str()).collect();
        for (at, shop) in world.shops.iter().enumerate() {
            let about = |text: String| world.said.broke(format!("order {id} at integration {at}: {text}"));
            let shipments = world.accounts[at].shipments(*id);
            let live: Vec<_> = shipments.iter().filter(|s| s.is_live()).collect();
            let touched = shipments.iter().any(|s| s.touched);
            if live.len() > 1 {
                about(format!("{} parcels are on their way", live.len()));
            }
            let is_told = all.iter().any(|dead| {
                dead.integration == Some(shop.id()) && dead.number.as_deref().is_some_and(|n| numbers.contains(n))
            });
            // What we cancelled ourselves and forgot that we did: the manager sees it cancelled.
            let shown = world.crm.statuses_of(&Delivery::external_id(shop.id(), CrmOrderId(*id)));
            let is_shown = shown.last().is_some_and(|last| *last == module_status(shop, "CANCELED"));
            if touched || is_told || (is_shown && live.is_empty()) {
                continue;
            }
            let ours = last.saved.kind == format!("courier-{at}");
            if ours && last.saved.to_be_sent && live.is_empty() {
                about("it is to be sent, MeaSoft has nothing, and nobody is told".to_owned());
            }
            if !ours && !live.is_empty() {
                about(format!("it has left, MeaSoft still has {}, and nobody is told", live[0].orderno));
            }
            let mut wanted = last.saved.content(*id);
            wanted.phone = world.phone_meant(at, *id, wanted.phone).await;
            if let ([shipment], true) = (&live[..], ours && last.saved.to_be_sent)
                && shipment.content() != wanted
                && !world.crm.is_paid(*id)
            {
                about(format!("MeaSoft has {:?}, the order says {wanted:?}", shipment.content()));
            }
            let delivery = world.store.delivery_by_order(shop.id(), CrmOrderId(*id)).await.expect("the ledger");
            if let ([shipment], true) = (&live[..], ours)
                && delivery.as_ref().is_none_or(|d| d.orderno != shipment.orderno || !d.state.is_placed())
            {
                let knows = delivery.map(|d| format!("{} {}", d.orderno, d.state.as_str()));
                about(format!("MeaSoft has {}, the ledger knows {knows:?}", shipment.orderno));
            }
        }
    }
}

/// The story of a try that breaks a rule, if it does; else where it went.
fn attempt(ground: &Ground, seed: u64, shrinks: u32) -> Result<(Errand, Lived), String> {
    let job = ERRANDS[(seed % ERRANDS.len() as u64) as usize];
    let step = (seed / ERRANDS.len() as u64) as usize % steps_of(job);
    let mut runner = runner(seed, shrinks);
    let tree = tries(job, step).new_tree(&mut runner).expect("a try");
    let (broken, lived) = (OnceCell::new(), OnceCell::new());
    let done = runner.run_one(tree, |a: Try| match ground.live(&a) {
        Ok(how) => {
            let _ = lived.set(how);
            Ok(())
        }
        // A smaller try that breaks another rule is another story.
        Err(story) if *broken.get_or_init(|| rule(&story)) == rule(&story) => Err(TestCaseError::fail(story)),
        Err(_) => Ok(()),
    });
    match done {
        Ok(_) => Ok((job, *lived.get().expect("it was lived through"))),
        Err(TestError::Fail(why, a)) => Err(format!("{why}\n\nThe try:\n{a}")),
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

/// Steps that an errand takes in most tries; each is a place to stop at.
const fn steps_of(job: Errand) -> usize {
    match job {
        Errand::Work => 60,
        Errand::Intake => 8,
        Errand::Save => 6,
        Errand::Statuses => 60,
        Errand::Reconcile => 50,
        Errand::Retention => 12,
    }
}

fn all(ground: fn() -> Ground) {
    let (first, tries) = (number("TAKEOVER_SEED", 1), number("TAKEOVER_TRIES", 100));
    let next = AtomicU64::new(first);
    let broken = Mutex::new(BTreeMap::new());
    let lived: Mutex<BTreeMap<Errand, Vec<Lived>>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let live = || {
                let ground = ground();
                while broken.lock().expect("lock").is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + tries {
                        break;
                    }
                    match attempt(&ground, seed, 400) {
                        Ok((job, how)) => lived.lock().expect("lock").entry(job).or_default().push(how),
                        Err(story) => drop(broken.lock().expect("lock").insert(seed, story)),
                    }
                }
            };
            // Not optimised, what a worker does takes more than a thread usually has.
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, live).expect("a thread");
        }
    });
    if let Some((seed, story)) = broken.into_inner().expect("lock").pop_first() {
        panic!("TAKEOVER_SEED={seed}: {story}");
    }
    for (job, lived) in lived.into_inner().expect("lock") {
        let stopped: BTreeSet<usize> = lived.iter().filter_map(|how| how.stopped_at).collect();
        let most = lived.iter().map(|how| how.steps).max().unwrap_or(0);
        let through = lived.iter().filter(|how| how.stopped_at.is_none()).count();
        let _ = writeln!(
            std::io::stdout().lock(),
            "{job:?}: {} tries, stopped at {} steps, {through} came through; {most} steps",
            lived.len(),
            stopped.len()
        );
        assert!(most <= STEPS, "{job:?} takes {most} steps");
        // Enough tries are stopped all over: not inside a transaction, unless it breaks there.
        if lived.len() > 3 * steps_of(job) {
            assert!(stopped.len() >= steps_of(job) / 2, "{job:?} was stopped at {stopped:?} alone");
        }
    }
}

/// What the tries are worth: they find that ids and fences repeat.
#[test]
fn fences_that_count_and_rows_without_their_order_are_found() {
    let search = || {
        become_mutant(Some(Mutant::FencesCounted));
        let found = (1..400).find_map(|seed| attempt(&Ground::Memory, seed, 0).err());
        become_mutant(None);
        found
    };
    let found = std::thread::scope(|scope| {
        let search = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, search).expect("a thread");
        search.join().expect("searched")
    });
    let story = found.expect("400 tries do not show it");
    let broken = story.lines().next().unwrap_or_default();
    let signs = ["is that of order", "another's", "never cost", "never had", "never bore", "a second shipment"];
    assert!(signs.iter().any(|sign| broken.contains(sign)), "{story}");
}

#[test]
fn no_row_holds_anothers_after_a_standby_took_over() {
    all(|| Ground::Memory);
}

#[test]
fn no_row_holds_anothers_after_a_postgresql_standby_took_over() {
    let set = |name: &str| std::env::var_os(name).is_some();
    if !set("TEST_DATABASE_URL") && set("BRIDGE_TEST_UNIT_ONLY") {
        return;
    }
    all(Ground::server);
}
