//! One history, lived through: the real handlers on the real store, with both vendors
//! kept in memory and a clock that stands still until it is moved.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bridge_worker::consume::triggers::requests_of;
use bridge_worker::correct::Corrigible;
use bridge_worker::dispatch::BATCH;
use bridge_worker::jobs;
use bridge_worker::order::batch::process;
use bridge_worker::policy::Policy;
use bridge_worker::tools::{Limits, Tools};
use bridge_worker::vendor::budget::Budget;
use bridge_worker::vendor::integrations::ActiveIntegrations;
use bridge_worker::vendor::limiter::Limiter;
use bridge_worker::vendor::references::ReferenceCache;
use bridge_worker::vendor::{ActiveIntegration, Connect, Vendors};
use jiff::tz::{TimeZone, offset};
use jiff::{Timestamp, ToSpan};
use shared::clock::Clock;
use shared::config::Budgets;
use shared::crypto::SecretKey;
use shared::domain::{CorrectedField, CrmOrderId, Integration, IntegrationId, Kopecks, OrderNumber, Secret, Settings};
use shared::message::{Candidate, Command, Envelope, Lane, Outcome, RECONCILE_HISTORY, decode};
use shared::store::audit::Who;
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use shared::store::{Db, Store};
use shared::telemetry::Metrics;

use crate::crm::{FakeCrm, PAID, Saved, TO_BE_SENT};
use crate::history::{self, Change, Fire, History, Op, What};
use crate::measoft::{Account, UNKNOWN_RECHECK};
use crate::steps::{How, Run, Stop};
use crate::{back, rules};

/// The first reading waits this long after its trigger.
pub const SETTLE: Duration = Duration::from_millis(1500);
pub const LEASE: Duration = Duration::from_secs(90);
/// A walk through a long time is cut in pieces by the budgets.
const WALKS: usize = 20;

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

    pub fn verdict(&self) -> Result<(), String> {
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
    /// RetailCRM's id of the order that fired it. Only the judge knows.
    pub order: i64,
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
    /// Nothing waited.
    pub idle: bool,
}

/// A manager's save.
pub struct Save {
    pub at: Timestamp,
    /// When RetailCRM's API shows it.
    pub shows: Timestamp,
    pub saved: Saved,
}

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Worker {
    pub tools: Tools,
    pub asleep: Option<(Arc<Run>, Task)>,
}

pub struct World {
    pub clock: Clock,
    pub store: Store,
    pub said: Said,
    pub crm: Arc<FakeCrm>,
    pub accounts: Vec<Arc<Account>>,
    pub shops: Vec<ActiveIntegration>,
    /// The same as the workers' registry of them.
    pub registry: ActiveIntegrations,
    one_number: bool,
    declared: bool,
    pub send_statuses: bool,
    pub workers: Vec<Worker>,
    pub journal: Journal,
    /// Commands that are still in the queue.
    pub held: Vec<(Envelope, What, i64)>,
    pub accepted: Vec<Accepted>,
    pub saves: BTreeMap<i64, Vec<Save>>,
    pub runs: usize,
    /// What ended before is not kept any more.
    pub forgotten_before: Option<Timestamp>,
}

/// The vendors of this world, by integration.
struct Fakes(HashMap<IntegrationId, Vendors>);

impl Connect for Fakes {
    fn connect(&self, integration: &Integration) -> Result<Vendors, String> {
        self.0.get(&integration.id).cloned().ok_or_else(|| "no such integration".to_owned())
    }
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
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("a schema");
        let mut world = World::on(db, history).await;
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
        if world.saves.keys().any(|id| world.crm.is_gone(*id)) {
            world.said.line("the walk through RetailCRM's history".to_owned());
            world.reconcile(false).await;
            world.come_to_rest().await;
            back::of_what_is_gone(&world).await;
            world.said.verdict()?;
        }
        Ok(())
    })
}

impl World {
    /// On a database that is empty but for its schema.
    pub async fn on(db: Db, history: &History) -> Self {
        let start = if history.eve { "2026-12-31T20:30:00Z" } else { "2026-06-15T09:00:00Z" };
        let clock = Clock::standing_at(start.parse().expect("a moment"));
        let said = Said { clock: clock.clone(), words: Arc::default() };
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), clock.clone());
        let journal = Journal::start(store.clone());
        let crm = FakeCrm::new(clock.clone(), said.clone());
        let (mut accounts, mut fakes) = (Vec::new(), Vec::new());
        for n in 0..history.integrations {
            let settings = Settings {
                delivery_types: vec![format!("courier-{n}")],
                payment_status: Some(PAID.to_owned()),
                send_statuses: history.send_statuses.then(|| TO_BE_SENT.to_owned()).into_iter().collect(),
                ..Settings::default()
            };
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
            let integration = store.add_integration(new).await.expect("an integration");
            let account = Account::new(integration.id, clock.clone(), store.clone(), crm.clone(), said.clone());
            accounts.push(account.clone());
            fakes.push((integration.id, Vendors { courier: account, crm: crm.clone() }));
        }
        let ids: Vec<IntegrationId> = fakes.iter().map(|(id, _)| *id).collect();
        let registry = ActiveIntegrations::new(store.clone(), Arc::new(Fakes(fakes.into_iter().collect())));
        registry.refresh().await.expect("integrations");
        let shops = ids.into_iter().map(|id| registry.any(id).expect("a shop")).collect();
        let mut world = Self {
            clock,
            store,
            said,
            crm,
            accounts,
            shops,
            registry,
            one_number: history.one_number,
            declared: history.declared,
            send_statuses: history.send_statuses,
            workers: Vec::new(),
            journal,
            held: Vec::new(),
            accepted: Vec::new(),
            saves: BTreeMap::new(),
            runs: 0,
            forgotten_before: None,
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
            limiter: Limiter::new(self.clock.clone(), budget, Duration::from_secs(5)),
            policy: Policy::new([2, 15, 45, 120, 300, 900, 3600].map(Duration::from_secs).to_vec()),
            limits: Limits {
                settle: SETTLE,
                lease: LEASE,
                unknown_recheck: UNKNOWN_RECHECK,
                sync_interval: Duration::from_secs(300),
                call_limit: shared::domain::delivery::CALL_LIMIT,
            },
            owner,
            module_code: "measoft".to_owned(),
            references: Arc::new(ReferenceCache::default()),
            towns: Arc::default(),
            notifier: Arc::default(),
        }
    }

    pub fn kind(&self, n: u8) -> String {
        if usize::from(n) < self.shops.len() { format!("courier-{n}") } else { "post".to_owned() }
    }

    fn courier(&self, kind: &str) -> Option<usize> {
        (0..self.shops.len()).find(|n| kind == format!("courier-{n}"))
    }

    pub async fn perform(&mut self, op: &Op) {
        match op {
            Op::Save { order, change, fire, lag, held } => self.save(*order, *change, *fire, *lag, *held).await,
            Op::Trigger { order, what, at } => {
                let id = id_of(*order);
                if let Some(saved) = self.crm.last(id)
                    && !self.crm.is_gone(id)
                {
                    let command = self.command(*what, &saved.number, *at, None);
                    self.accept(command, *what, id).await;
                }
            }
            Op::Again { back } => {
                if let Some(n) = self.accepted.len().checked_sub(back + 1) {
                    let again = &self.accepted[n];
                    let (envelope, what, order) = (again.envelope.clone(), again.what, again.order);
                    self.accept(envelope, what, order).await;
                }
            }
            Op::Deliver => {
                while let Some((envelope, what, order)) = self.held.pop() {
                    self.accept(envelope, what, order).await;
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
            Op::CrmAway(seconds) => self.crm.away(Duration::from_secs(u64::from(*seconds))),
            Op::Blind { at, seconds } => self.accounts[*at].blind(Duration::from_secs(u64::from(*seconds))),
            Op::Courier { order, at, status, backdated } => {
                self.accounts[*at].courier_does(id_of(*order), status, *backdated);
            }
            Op::Sync { by, at, stop } => self.sync(*by, *at, *stop).await,
            Op::Delete { order, into } => self.delete(*order, *into).await,
            Op::Correct { order, at, phone } => self.correct(id_of(*order), *at, *phone).await,
            Op::HandedOver { order } => self.crm.handed_over_before(id_of(*order)),
            Op::Wait(seconds) => self.pass(Duration::from_secs(u64::from(*seconds))),
            Op::Rest => {
                for _ in 0..12 {
                    for at in 0..self.shops.len() {
                        self.work(0, at, None).await;
                        self.work(1, at, None).await;
                    }
                    self.pass(Duration::from_secs(10));
                }
                for at in 0..self.shops.len() {
                    self.sync(0, at, None).await;
                }
            }
            Op::Season => {
                // No process stands still for so long; what can be done is done.
                for by in 0..self.workers.len() {
                    if self.workers[by].asleep.is_some() {
                        self.restart(by);
                    }
                }
                Box::pin(self.perform(&Op::Rest)).await;
                self.pass(Duration::from_secs(100 * 24 * 3600));
                self.forgotten_before = Some(self.clock.now());
                let forget = Envelope::new(Command::Retention {}, None, self.clock.now());
                let done = jobs::carry_out(&self.workers[0].tools, &self.registry, &forget).await;
                self.said.line(format!("   what is old is forgotten: {}", done.label()));
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
    pub fn pass(&mut self, time: Duration) {
        let zone = TimeZone::fixed(offset(3));
        let now = self.clock.now();
        if now.to_zoned_datetime(zone.clone()).year() != (now + time).to_zoned_datetime(zone).year() {
            for n in 0..self.workers.len() {
                if self.workers[n].asleep.is_some() {
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
        if self.crm.is_gone(id) {
            return;
        }
        let before = self.crm.last(id);
        let mut saved = before.clone().unwrap_or_else(|| Saved {
            number: history::number(if self.one_number { 0 } else { order }, 0),
            kind: self.kind(0),
            phone: 0,
            price: 0,
            more: 0,
            to_be_sent: false,
        });
        match change {
            Change::Nothing => {}
            Change::Phone(n) => saved.phone = n,
            Change::Price(n) => saved.price = n,
            Change::Lines(n) => saved.more = n,
            Change::Kind(n) => saved.kind = self.kind(n),
            Change::Number(n) => saved.number = history::number(order, n),
        }
        let (was, is) = (before.as_ref().and_then(|b| self.courier(&b.kind)), self.courier(&saved.kind));
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
        saved.to_be_sent |= fire != Fire::None && fired.iter().any(|(what, _)| *what == What::Send);
        let lag = if lag { Duration::from_secs(6) } else { Duration::ZERO };
        let shows = self.crm.save(id, saved.clone(), lag);
        self.saves.entry(id).or_default().push(Save { at: self.clock.now(), shows, saved: saved.clone() });
        let times = match fire {
            Fire::None => 0,
            Fire::Twice => 2,
            _ => 1,
        };
        for (what, at) in fired {
            for _ in 0..times {
                let declared = self.declared.then(|| Kopecks::roubles(saved.total(id)));
                let envelope = self.command(what, &saved.number, at, declared);
                if held {
                    self.held.push((envelope, what, id));
                } else {
                    self.accept(envelope, what, id).await;
                }
            }
        }
    }

    async fn correct(&self, id: i64, at: usize, phone: u8) {
        let Some(saved) = self.crm.shown_now(id) else { return };
        let (shop, number) = (&self.shops[at], OrderNumber::parse(&saved.number).expect("a number"));
        let instance = shop.integration.code("measoft");
        let found = Corrigible::read(&self.store, &shop.integration, &shop.vendors, &number, &instance).await;
        let after = Saved { phone, ..saved }.phone_text(id);
        let done = match found {
            Ok(order) if order.id() == CrmOrderId(id) => {
                let who = Who::at_machine(None, "operator".to_owned());
                self.crm.corrected(id, after.clone());
                let given = [(CorrectedField::Phone, after)];
                order.correct(&self.store, &given, order.version, &who).await.map(|done| format!("{done:?}"))
            }
            Ok(_) => Ok("it is another order".to_owned()),
            Err(why) => Err(why),
        };
        self.said.line(format!("   {}", done.unwrap_or_else(|why| why.to_string())));
    }

    /// What is meant by the order's phone, for an integration.
    pub async fn phone_meant(&self, at: usize, id: i64, said: String) -> String {
        let all = self.store.corrections(self.shops[at].id(), &[CrmOrderId(id)]).await.expect("corrections");
        let holds = all.into_iter().find(|one| one.values.before == said);
        holds.map_or(said, |one| one.values.after)
    }

    /// The order is there no more; another may have got its goods.
    async fn delete(&mut self, order: usize, into: Option<usize>) {
        let id = id_of(order);
        let into = into.filter(|into| *into != order && self.saves.contains_key(&id_of(*into)));
        if self.crm.is_gone(id) || !self.saves.contains_key(&id) {
            return;
        }
        self.crm.delete(id, into.map(id_of));
        if let Some(into) = into {
            let more = self.crm.last(id_of(into)).map_or(0, |saved| saved.more);
            self.save(into, Change::Lines(more + 1), Fire::Update, false, false).await;
        }
    }

    fn command(&self, what: What, number: &str, at: usize, declared: Option<Kopecks>) -> Envelope {
        let number = OrderNumber::parse(number).expect("a number");
        let command = match what {
            What::Send => Command::SendOrder { number, declared },
            What::Update => Command::UpdateOrder { number, declared },
            What::Cancel => {
                let pair = |(n, shop): (usize, &ActiveIntegration)| Candidate {
                    delivery_type: format!("courier-{n}"),
                    integration: shop.id(),
                };
                Command::CancelOrder { number, declared, candidates: self.shops.iter().enumerate().map(pair).collect() }
            }
        };
        let integration = if what == What::Cancel { self.shops[0].id() } else { self.shops[at].id() };
        Envelope::new(command, Some(integration), self.clock.now())
    }

    async fn accept(&mut self, envelope: Envelope, what: What, order: i64) {
        let idle = self.store.backlog().await.expect("a count").0 == 0;
        let calm = idle && self.is_calm();
        let requests = requests_of(&self.workers[0].tools, &envelope);
        self.store.record_requests(&requests).await.expect("recorded");
        let integrations: Vec<usize> =
            (0..self.shops.len()).filter(|n| requests.iter().any(|w| w.integration == self.shops[*n].id())).collect();
        let number = requests.first().map(|request| request.number.as_str().to_owned()).unwrap_or_default();
        self.said.line(format!("   {what:?} {number} recorded for {integrations:?}"));
        let at = self.clock.now();
        let first_read = at.max(envelope.received_at + SETTLE);
        let first = self.accepted.iter().all(|a| a.envelope.id != envelope.id);
        self.accepted.push(Accepted { envelope, order, what, number, integrations, at, first_read, first, calm, idle });
    }

    fn is_calm(&self) -> bool {
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
        self.saves.keys().all(settled)
    }

    async fn work(&mut self, by: usize, at: usize, stop: Option<Stop>) -> bool {
        let worker = &self.workers[by];
        let shop = self.shops[at].clone();
        if worker.asleep.is_some() || worker.tools.limiter.open_for(&shop.integration.courier_account()).is_err() {
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
                process(&tools, &shop, intents).await;
            }
        });
        self.drive(by, run, Box::pin(task)).await;
        true
    }

    /// Statuses and payments on their way back.
    async fn sync(&mut self, by: usize, at: usize, stop: Option<Stop>) {
        if self.workers[by].asleep.is_some() {
            return;
        }
        self.runs += 1;
        let (tools, shops, id) = (self.workers[by].tools.clone(), self.registry.clone(), self.shops[at].id());
        let run = Run::new(&tools.owner, self.runs, stop);
        let task = run.clone().walk(async move {
            jobs::carry_out(&tools, &shops, &Envelope::new(Command::SyncStatuses {}, Some(id), tools.clock.now()))
                .await;
        });
        self.drive(by, run, Box::pin(task)).await;
    }

    /// Looks for what no trigger announced, and has it done; `both`: and for what the stream of
    /// statuses did not bring.
    pub async fn reconcile(&mut self, both: bool) {
        self.pass(Duration::from_secs(60));
        for at in 0..self.shops.len() {
            let tools = self.workers[0].tools.clone();
            let mut envelope = Envelope::new(Command::Reconcile {}, Some(self.shops[at].id()), self.clock.now());
            if !both {
                envelope.key = RECONCILE_HISTORY.to_owned();
            }
            let mut done = jobs::carry_out(&tools, &self.registry, &envelope).await;
            // Tried again as its job is, whose pauses are minutes.
            for _ in 0..WALKS {
                if !matches!(done, Outcome::RetryLater { .. }) {
                    break;
                }
                self.pass(Duration::from_secs(300));
                done = jobs::carry_out(&tools, &self.registry, &envelope).await;
            }
            self.said.line(format!("   the walk for integration {at}: {}", done.label()));
        }
        let published = self.store.claim_jobs(Some(Lane::Interactive), "test", LEASE, 1000).await.expect("jobs");
        let mut ids = Vec::new();
        for job in published {
            let envelope = decode(&job.body).expect("readable");
            let requests = requests_of(&self.workers[0].tools, &envelope);
            self.said.line(format!("   it asks for {:?} of {}", envelope.command.kind(), envelope.key));
            self.store.record_requests(&requests).await.expect("recorded");
            ids.push(job.id);
        }
        self.store.finish_jobs("test", &ids).await.expect("finished");
    }

    pub async fn drive(&mut self, by: usize, run: Arc<Run>, mut task: Task) {
        let ended = tokio::time::timeout(Duration::from_secs(30), async {
            tokio::select! {
                biased;
                () = &mut task => None,
                how = run.has_stopped() => Some(how),
            }
        });
        match ended.await {
            Ok(None) => {}
            Ok(Some(How::Pause | How::Cut)) => {
                self.said.line(format!("   {} stands still", run.owner));
                self.workers[by].asleep = Some((run, task));
            }
            Ok(Some(_)) => {
                drop(task);
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
    pub async fn come_to_rest(&mut self) {
        self.accounts.iter().for_each(|account| account.heal());
        self.crm.heal();
        self.perform(&Op::Deliver).await;
        for by in 0..self.workers.len() {
            self.perform(&Op::Continue { by, stop: None }).await;
        }
        // Whoever died while it brought statuses back holds them up no longer.
        self.pass(LEASE);
        for _ in 0..20 {
            if !self.work_off().await {
                return self.said.broke("it never comes to rest".to_owned());
            }
            if !self.bring_back().await {
                return self.pass(Duration::from_secs(60));
            }
        }
        self.said.broke("statuses and orders never come to rest".to_owned());
    }

    /// Workers work until nothing is due; false: that does not happen.
    async fn work_off(&mut self) -> bool {
        for _ in 0..400 {
            let due = self.store.integrations_with_work().await.expect("due work");
            let Some(next) = due.iter().map(|(_, at)| *at).min() else { return true };
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
        false
    }

    /// Reads the streams out and brings back what they say. True: that has made work.
    ///
    /// A request that arrived after its lease, of a process that died before it could say
    /// so, is known to nobody until MeaSoft's stream of statuses shows the order.
    async fn bring_back(&mut self) -> bool {
        for _ in 0..60 {
            for at in 0..self.shops.len() {
                self.sync(0, at, None).await;
            }
            if self.store.backlog().await.expect("a count").0 > 0 {
                return true;
            }
            let mut dues = Vec::new();
            for shop in &self.shops {
                let account = shop.integration.courier_account();
                dues.push(self.store.next_tracking_due(shop.id()).await.expect("due"));
                dues.push(self.store.next_payment_due(shop.id()).await.expect("due"));
                dues.push(self.store.next_row_due(&account).await.expect("due"));
            }
            let due = dues.into_iter().flatten().min();
            if due.is_none() && self.accounts.iter().all(|account| account.is_read_out()) {
                return false;
            }
            let now = self.clock.now();
            let wait = due.map_or(Duration::ZERO, |due| due.max(now).duration_since(now).unsigned_abs());
            self.pass(wait.clamp(Duration::from_secs(1), Duration::from_secs(600)));
        }
        // Rows of what the ledger does not hold for placed wait for a day.
        false
    }
}
