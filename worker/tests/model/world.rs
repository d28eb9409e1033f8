//! One history, lived through: the real handlers on the real store, with both vendors
//! kept in memory and a clock that stands still until it is moved.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bridge_worker::budget::Budget;
use bridge_worker::gate::Gate;
use bridge_worker::intake::wishes_of;
use bridge_worker::ports::{Limits, Shop, Tools, Vendors};
use bridge_worker::references::ReferenceCache;
use bridge_worker::runner::BATCH;
use bridge_worker::serve::serve;
use bridge_worker::settle::Policy;
use jiff::tz::{TimeZone, offset};
use jiff::{Timestamp, ToSpan};
use shared::clock::Clock;
use shared::config::Budgets;
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, DeliveryState, OrderNumber, Secret, Settings};
use shared::message::{Candidate, Command, Envelope};
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use shared::store::{Db, Store};
use shared::telemetry::Metrics;

use crate::crm::{FakeCrm, Saved};
use crate::history::{Change, Fire, History, Op, What};
use crate::measoft::{Account, UNKNOWN_RECHECK};
use crate::rules;
use crate::steps::{How, Run, Stop};

/// The first reading waits this long after its trigger.
pub const SETTLE: Duration = Duration::from_millis(1500);
pub const LEASE: Duration = Duration::from_secs(90);

/// What happened, for people, and what should not have.
#[derive(Clone)]
pub struct Said {
    clock: Clock,
    words: Arc<Mutex<(Vec<String>, Vec<String>)>>,
}

impl Said {
    pub fn line(&self, text: String) {
        let at = self.clock.now().to_zoned_datetime(TimeZone::fixed(offset(3))).strftime("%H:%M:%S%.3f").to_string();
        self.words.lock().expect("lock").0.push(format!("{at} {text}"));
    }

    pub fn broke(&self, rule: String) {
        self.line(format!("** {rule}"));
        self.words.lock().expect("lock").1.push(rule);
    }

    fn verdict(&self) -> Result<(), String> {
        let words = self.words.lock().expect("lock");
        match words.1.first() {
            None => Ok(()),
            Some(rule) => Err(format!("{rule}\n\nWhat happened:\n{}", words.0.join("\n"))),
        }
    }
}

/// A command that was recorded.
pub struct Accepted {
    pub envelope: Envelope,
    pub what: What,
    pub number: String,
    pub integrations: Vec<usize>,
    pub at: Timestamp,
    /// No reading on its behalf comes sooner.
    pub first_read: Timestamp,
    /// Not a redelivery: only a trigger asks for anything.
    pub first: bool,
    /// Nothing waited, and MeaSoft and RetailCRM agreed on all the order's shipments.
    pub calm: bool,
}

/// A manager's save.
pub struct Save {
    pub at: Timestamp,
    /// When RetailCRM's API shows it.
    pub shows: Timestamp,
    pub saved: Saved,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Worker {
    tools: Tools,
    asleep: Option<(Arc<Run>, Task)>,
}

pub struct World {
    pub clock: Clock,
    pub store: Store,
    pub said: Said,
    pub crm: Arc<FakeCrm>,
    pub accounts: Vec<Arc<Account>>,
    pub shops: Vec<Shop>,
    workers: Vec<Worker>,
    journal: Journal,
    held: Vec<(Envelope, What)>,
    pub accepted: Vec<Accepted>,
    pub saves: BTreeMap<i64, Vec<Save>>,
    runs: usize,
    /// Runs that ended with their process.
    dead: BTreeSet<usize>,
    /// Somebody stood still.
    pub paused: bool,
}

/// RetailCRM's id of a history's order.
pub fn id_of(order: usize) -> i64 {
    1001 + order as i64
}

fn metrics() -> Arc<Metrics> {
    static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
    METRICS.get_or_init(|| Arc::new(Metrics::new())).clone()
}

/// Lives a history through; what broke a rule, with the story, is the error.
pub fn live(history: &History) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut world = World::new(history).await;
        world.said.line("the history".to_owned());
        for op in &history.ops {
            world.said.line(format!("· {op}"));
            world.perform(op).await;
            world.said.verdict()?;
        }
        world.said.line("all heals".to_owned());
        world.come_to_rest().await;
        rules::at_rest(&world).await;
        world.said.verdict()?;
        for (order, kind) in &history.closing {
            world.said.line(format!("· the end: order {order} gets delivery type {kind}"));
            let op = Op::Save { order: *order, change: Change::Kind(*kind), fire: Fire::Both, lag: false, held: false };
            world.perform(&op).await;
            world.come_to_rest().await;
            rules::at_rest(&world).await;
            world.said.verdict()?;
        }
        Ok(())
    })
}

impl World {
    async fn new(history: &History) -> Self {
        let start = if history.eve { "2026-12-31T20:30:00Z" } else { "2026-06-15T09:00:00Z" };
        let clock = Clock::standing_at(start.parse().expect("a moment"));
        let said = Said { clock: clock.clone(), words: Arc::default() };
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("a schema");
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), clock.clone());
        let journal = Journal::start(store.clone());
        let crm = FakeCrm::new(clock.clone(), said.clone());
        let (mut accounts, mut shops) = (Vec::new(), Vec::new());
        for n in 0..history.integrations {
            let settings = Settings { delivery_types: vec![format!("courier-{n}")], ..Settings::default() };
            let new = NewIntegration {
                title: format!("shop {n}"),
                crm_url: "https://shop.example".to_owned(),
                crm_api_key: Secret::new("key".to_owned()),
                measoft_url: format!("https://courier-{n}.example"),
                extra: "8".to_owned(),
                login: "login".to_owned(),
                password: Secret::new("password".to_owned()),
                prefix: String::new(),
                settings,
            };
            let integration = Arc::new(store.add_integration(new).await.expect("an integration"));
            let account = Account::new(integration.id, clock.clone(), store.clone(), said.clone());
            accounts.push(account.clone());
            shops.push(Shop { integration, vendors: Vendors { courier: account, crm: crm.clone() } });
        }
        let mut world = Self {
            clock,
            store,
            said,
            crm,
            accounts,
            shops,
            workers: Vec::new(),
            journal,
            held: Vec::new(),
            accepted: Vec::new(),
            saves: BTreeMap::new(),
            runs: 0,
            dead: BTreeSet::new(),
            paused: false,
        };
        world.workers = (0..2).map(|n| Worker { tools: world.tools(format!("w{n}")), asleep: None }).collect();
        world
    }

    /// A process just started.
    fn tools(&self, owner: String) -> Tools {
        let plenty = Budgets {
            measoft_per_minute: 100_000,
            measoft_per_20min: 1_000_000,
            measoft_account_per_hour: 1_000_000,
            crm_rps: 1000,
            time_scale: 1,
        };
        let budget = Budget::new(self.store.clone(), &plenty);
        Tools {
            store: self.store.clone(),
            clock: self.clock.clone(),
            journal: self.journal.clone(),
            metrics: metrics(),
            gate: Gate::new(self.clock.clone(), budget, Duration::from_secs(5)),
            policy: Policy::new([2, 15, 45, 120, 300, 900, 3600].map(Duration::from_secs).to_vec()),
            limits: Limits {
                settle: SETTLE,
                lease: LEASE,
                unknown_recheck: UNKNOWN_RECHECK,
                sync_interval: Duration::from_secs(300),
                call_limit: bridge_worker::decide::CALL_LIMIT,
            },
            owner,
            module_code: "measoft".to_owned(),
            references: Arc::new(ReferenceCache::default()),
            towns: Arc::default(),
            bell: Arc::default(),
        }
    }

    pub fn kind(&self, n: u8) -> String {
        if usize::from(n) < self.shops.len() { format!("courier-{n}") } else { "post".to_owned() }
    }

    fn courier(&self, kind: &str) -> Option<usize> {
        (0..self.shops.len()).find(|n| kind == format!("courier-{n}"))
    }

    async fn perform(&mut self, op: &Op) {
        match op {
            Op::Save { order, change, fire, lag, held } => self.save(*order, *change, *fire, *lag, *held).await,
            Op::Trigger { order, what, at } => {
                if let Some(saved) = self.crm.last(id_of(*order)) {
                    let command = self.command(*what, &saved.number, *at);
                    self.accept(command, *what).await;
                }
            }
            Op::Again { back } => {
                if let Some(n) = self.accepted.len().checked_sub(back + 1) {
                    let (envelope, what) = (self.accepted[n].envelope.clone(), self.accepted[n].what);
                    self.accept(envelope, what).await;
                }
            }
            Op::Deliver => {
                while let Some((envelope, what)) = self.held.pop() {
                    self.accept(envelope, what).await;
                }
            }
            Op::Work { by, at, stop } => {
                self.work(*by, *at, *stop).await;
            }
            Op::Continue { by, stop } => {
                if let Some((run, task)) = self.workers[*by].asleep.take() {
                    run.wake(*stop);
                    self.drive(*by, run, task).await;
                }
            }
            Op::Trouble { at, fault, on_writes } => self.accounts[*at].trouble(*fault, *on_writes),
            Op::CrmTrouble(fault) => self.crm.trouble(*fault),
            Op::Courier { order, at, status } => self.accounts[*at].courier_does(id_of(*order), status),
            Op::Wait(seconds) => self.pass(Duration::from_secs(u64::from(*seconds))),
            Op::Rest => {
                for _ in 0..12 {
                    for at in 0..self.shops.len() {
                        self.work(0, at, None).await;
                        self.work(1, at, None).await;
                    }
                    self.pass(Duration::from_secs(10));
                }
            }
            Op::NewYear => {
                let now = self.clock.now().to_zoned_datetime(TimeZone::fixed(offset(3)));
                if now.month() == 12 {
                    let next = now.date().last_of_year().saturating_add(1.day());
                    let begins = next
                        .to_datetime(jiff::civil::Time::midnight())
                        .to_zoned_datetime(now.time_zone().clone())
                        .expect("a moment")
                        .timestamp();
                    self.pass(begins.duration_since(self.clock.now()).unsigned_abs() + Duration::from_secs(5));
                }
            }
        }
    }

    /// A request that leaves in one year and arrives in the next is beyond what numbers can
    /// protect; nobody stands still over midnight.
    fn pass(&mut self, time: Duration) {
        let zone = TimeZone::fixed(offset(3));
        let now = self.clock.now();
        if now.to_zoned_datetime(zone.clone()).year() != (now + time).to_zoned_datetime(zone).year() {
            for n in 0..self.workers.len() {
                if let Some((run, _)) = &self.workers[n].asleep {
                    self.dead.insert(run.id);
                    self.restart(n);
                }
            }
            self.accounts.iter().for_each(|account| account.time_passed(true));
        }
        self.clock.advance(time);
        self.accounts.iter().for_each(|account| account.time_passed(false));
    }

    async fn save(&mut self, order: usize, change: Change, fire: Fire, lag: bool, held: bool) {
        let id = id_of(order);
        let before = self.crm.last(id);
        let mut saved = before.clone().unwrap_or_else(|| Saved {
            number: format!("{}", 101 + order),
            kind: self.kind(0),
            phone: 0,
            price: 0,
            more: 0,
        });
        match change {
            Change::Nothing => {}
            Change::Phone(n) => saved.phone = n,
            Change::Price(n) => saved.price = n,
            Change::Lines(n) => saved.more = n,
            Change::Kind(n) => saved.kind = self.kind(n),
            Change::Number(n) => saved.number = format!("{}-{n}", 101 + order),
        }
        let lag = if lag { Duration::from_secs(6) } else { Duration::ZERO };
        let shows = self.crm.save(id, saved.clone(), lag);
        let (was, is) = (before.as_ref().and_then(|b| self.courier(&b.kind)), self.courier(&saved.kind));
        self.saves.entry(id).or_default().push(Save { at: self.clock.now(), shows, saved: saved.clone() });
        let mut fired = Vec::new();
        if let Some(was) = was
            && is != Some(was)
        {
            fired.push((What::Cancel, was));
        }
        if let Some(is) = is {
            match fire {
                Fire::Update if was == Some(is) => fired.push((What::Update, is)),
                Fire::Both if was == Some(is) => fired.extend([(What::Update, is), (What::Send, is)]),
                _ => fired.push((What::Send, is)),
            }
        }
        let times = match fire {
            Fire::None => 0,
            Fire::Twice => 2,
            _ => 1,
        };
        for (what, at) in fired {
            for _ in 0..times {
                let envelope = self.command(what, &saved.number, at);
                if held {
                    self.held.push((envelope, what));
                } else {
                    self.accept(envelope, what).await;
                }
            }
        }
    }

    fn command(&self, what: What, number: &str, at: usize) -> Envelope {
        let number = OrderNumber::parse(number).expect("a number");
        let command = match what {
            What::Send => Command::SendOrder { number, declared: None },
            What::Update => Command::UpdateOrder { number, declared: None },
            What::Cancel => {
                let pair = |(n, shop): (usize, &Shop)| Candidate {
                    delivery_type: format!("courier-{n}"),
                    integration: shop.id(),
                };
                Command::CancelOrder {
                    number,
                    declared: None,
                    candidates: self.shops.iter().enumerate().map(pair).collect(),
                }
            }
        };
        let integration = if what == What::Cancel { self.shops[0].id() } else { self.shops[at].id() };
        Envelope::new(command, Some(integration), self.clock.now())
    }

    async fn accept(&mut self, envelope: Envelope, what: What) {
        let calm = self.is_calm().await;
        let wishes = wishes_of(&self.workers[0].tools, &envelope);
        self.store.record_wishes(&wishes).await.expect("recorded");
        let integrations: Vec<usize> =
            (0..self.shops.len()).filter(|n| wishes.iter().any(|w| w.integration == self.shops[*n].id())).collect();
        let number = wishes.first().map(|wish| wish.number.as_str().to_owned()).unwrap_or_default();
        self.said.line(format!("   {what:?} {number} recorded for {integrations:?}"));
        let at = self.clock.now();
        let first_read = at.max(envelope.received_at + SETTLE);
        let first = self.accepted.iter().all(|a| a.envelope.id != envelope.id);
        self.accepted.push(Accepted { envelope, what, number, integrations, at, first_read, first, calm });
    }

    async fn is_calm(&self) -> bool {
        let (waiting, _) = self.store.backlog().await.expect("a count");
        let settled = |id: &i64| {
            let shown = self.crm.shown_now(*id);
            self.accounts.iter().enumerate().all(|(at, account)| {
                let ours = shown.as_ref().filter(|saved| self.courier(&saved.kind) == Some(at));
                let shipments = account.shipments(*id);
                let live: Vec<_> = shipments.iter().filter(|s| s.is_live()).collect();
                match (ours, &live[..]) {
                    (Some(saved), [shipment]) => {
                        let (_, track) = self.crm.told(*id, &format!("ms-{}-{id}", account.integration));
                        shipment.content() == saved.content(*id) && track.as_deref() == Some(shipment.orderno.as_str())
                    }
                    (None, []) => true,
                    _ => false,
                }
            })
        };
        waiting == 0 && self.saves.keys().all(settled)
    }

    async fn work(&mut self, by: usize, at: usize, stop: Option<Stop>) -> bool {
        let worker = &self.workers[by];
        let shop = self.shops[at].clone();
        if worker.asleep.is_some() || worker.tools.gate.open_for(&shop.integration.courier_account()).is_err() {
            return false;
        }
        self.runs += 1;
        let tools = worker.tools.clone();
        let run = Run::new(&tools.owner, self.runs, stop);
        let task = run.clone().walk(async move {
            let claimed = tools.store.claim_intents(shop.id(), &tools.owner, tools.lease_until(), BATCH).await;
            if let Ok(intents) = claimed
                && !intents.is_empty()
            {
                serve(&tools, &shop, intents).await;
            }
        });
        self.drive(by, run, Box::pin(task)).await;
        true
    }

    async fn drive(&mut self, by: usize, run: Arc<Run>, mut task: Task) {
        let ended = tokio::time::timeout(Duration::from_secs(30), async {
            tokio::select! {
                biased;
                () = &mut task => None,
                how = run.has_stopped() => Some(how),
            }
        });
        match ended.await {
            Ok(None) => {}
            Ok(Some(How::Pause)) => {
                self.said.line(format!("   {} stands still", run.owner));
                self.paused = true;
                self.workers[by].asleep = Some((run, task));
            }
            Ok(Some(_)) => {
                drop(task);
                self.dead.insert(run.id);
                self.restart(by);
            }
            Err(_) => self.said.broke("a worker hangs".to_owned()),
        }
    }

    /// The process is gone; another one takes its place.
    fn restart(&mut self, by: usize) {
        self.runs += 1;
        let old = &self.workers[by].tools.owner;
        self.said.line(format!("   {old} is dead"));
        let owner = format!("w{by}.{}", self.runs);
        self.workers[by] = Worker { tools: self.tools(owner), asleep: None };
    }

    /// Nothing goes wrong any more; workers work until nothing is due.
    async fn come_to_rest(&mut self) {
        self.accounts.iter().for_each(|account| account.heal());
        self.crm.heal();
        self.perform(&Op::Deliver).await;
        for by in 0..self.workers.len() {
            self.perform(&Op::Continue { by, stop: None }).await;
        }
        for _ in 0..400 {
            let due = self.store.integrations_with_work().await.expect("due work");
            let Some(next) = due.iter().map(|(_, at)| *at).min() else {
                if self.stream_surprises().await {
                    continue;
                }
                self.pass(Duration::from_secs(60));
                return;
            };
            let now = self.clock.now();
            if next > now {
                self.pass(next.duration_since(now).unsigned_abs());
            }
            let mut worked = false;
            for at in 0..self.shops.len() {
                worked |= self.work(0, at, None).await;
            }
            if !worked {
                self.pass(Duration::from_secs(1));
            }
        }
        self.said.broke("it never comes to rest".to_owned());
    }

    /// A request that arrived after its lease, of a process that died before it could say
    /// so, is known to nobody until MeaSoft's stream of statuses shows the order.
    async fn stream_surprises(&self) -> bool {
        let mut surprised = false;
        for (shop, account) in self.shops.iter().zip(&self.accounts) {
            for id in self.saves.keys() {
                let lost = account
                    .shipments(*id)
                    .into_iter()
                    .filter(|s| s.is_live())
                    .any(|s| s.late_from.is_some_and(|run| self.dead.contains(&run)));
                let delivery = self.store.delivery_by_order(shop.id(), CrmOrderId(*id)).await.expect("the ledger");
                if let Some(d) = delivery
                    && lost
                    && matches!(d.state, DeliveryState::Planned | DeliveryState::Rejected)
                {
                    self.said.line(format!("   the stream shows {}", d.orderno));
                    let mut tx = self.store.db.begin().await.expect("a transaction");
                    tx.doubt_delivery(&d, self.clock.now()).await.expect("noted");
                    tx.commit().await.expect("noted");
                    surprised = true;
                }
            }
        }
        surprised
    }
}
