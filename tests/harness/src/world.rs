//! A whole installation with both vendors, for one story.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;
use url::Url;

use crate::proxy::Proxy;
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::{AccountId, OrderBuilder, RetailcrmSim, TriggerKind};

use super::disk::{self, BadDisk, Disk};
use super::eventually::{LONG, eventually, within};
use super::hold::Hold;
use super::ledger::Ledger;
use super::process::{Guard, Port, Process, programs};
use super::secrets::Secrets;
use super::services::{Database, Queues};
use super::shop::{Collect, Placed, Shop, a_parcel, module};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    Bridge,
    Ingress,
    Worker,
    Scheduler,
    Console,
}

impl Role {
    const fn program(self) -> &'static str {
        match self {
            Self::Bridge | Self::Console => "bridge",
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
        }
    }
}

/// How a story's installation is put together.
#[derive(Default)]
#[must_use]
pub struct Builder {
    name: String,
    processes: Vec<(Role, usize)>,
    scaled: bool,
    alone: bool,
    proxied: bool,
    accounts: usize,
    shops: usize,
    settings: Vec<String>,
    later: Vec<String>,
    time_scale: f64,
    registered: bool,
    server: Option<String>,
    vhost: bool,
    disk: bool,
    descriptors: Option<u64>,
    console: bool,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// How many processes of a role (scaled only).
    pub fn with(mut self, role: Role, count: usize) -> Self {
        assert!(self.scaled, "the one-process mode has one process");
        self.processes.retain(|(known, _)| *known != role);
        self.processes.push((role, count));
        self
    }

    /// The story stops or starves the whole broker: no other story runs meanwhile. Under
    /// nextest the test's name must contain `broker_wide` as well.
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// On a virtual host of its own, as a user of its own (scaled only).
    pub const fn own_vhost(mut self) -> Self {
        self.vhost = true;
        self
    }

    /// Each process may have so many file descriptors open.
    pub const fn descriptors(mut self, most: u64) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// The console is served: see [`World::console`].
    pub const fn console(mut self) -> Self {
        self.console = true;
        self
    }

    /// Its SQLite lies on a disk that can be made bad: see [`World::bad_disk`].
    pub const fn own_disk(mut self) -> Self {
        self.disk = true;
        self
    }

    /// Puts a proxy before each of RabbitMQ, PostgreSQL, the courier and the CRM.
    pub const fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// On another PostgreSQL server than the run's, which may be replaced: everybody goes to it by
    /// way of the proxy, the harness too.
    pub fn on_server(mut self, url: &str) -> Self {
        self.server = Some(url.to_owned());
        self.proxied()
    }

    /// So many CRM accounts with two shops each, instead of one.
    pub const fn accounts(mut self, count: usize) -> Self {
        self.accounts = count;
        self
    }

    /// How many shops there are instead of two, three at most.
    pub fn shops(mut self, count: usize) -> Self {
        assert!((1..=SHOPS.len()).contains(&count), "shops");
        self.shops = count;
        self
    }

    /// A setting (`key=value`) of every integration.
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// A process that the story starts itself.
    pub fn later(mut self, name: &str) -> Self {
        self.later.push(name.to_owned());
        self
    }

    /// Makes the windows of MeaSoft's limits this many times shorter, at both ends.
    pub fn time_scale(mut self, scale: u32) -> Self {
        self.time_scale = f64::from(scale);
        self.set("TEST_TIME_SCALE", &scale.to_string())
    }

    /// Leaves the delivery modules to the story: see [`World::register`].
    pub const fn unregistered(mut self) -> Self {
        self.registered = false;
        self
    }

    /// A setting of all processes.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts everything and adds the shops.
    ///
    /// # Panics
    /// When something cannot be started.
    pub async fn start(self) -> World {
        World::start_as(self).await
    }
}

/// The answer to a trigger.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, or null when it is no JSON.
    pub body: Value,
    /// `Content-Type`.
    pub content_type: String,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// From the first byte sent to the last received.
    pub took: Duration,
}

/// A trigger that was answered with 200.
#[derive(Debug, Clone)]
pub struct Fired {
    /// Place in [`World::shops`].
    pub shop: usize,
    /// Which of the three.
    pub kind: TriggerKind,
    /// The order's number.
    pub number: String,
    /// RetailCRM's ids of the orders that had it then: a number may be edited.
    pub orders: Vec<i64>,
    /// `id` of the answer.
    pub command: String,
}

/// What a run of the operator's command said.
#[derive(Debug, Clone)]
pub struct Cli {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Cli {
    /// The document on standard output.
    ///
    /// # Panics
    /// When the command failed or printed something else.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "the command failed: {}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no single JSON document: {}", self.stdout))
    }
}

/// A running installation between both simulators. What it started ends with it, whatever
/// happens; [`World::finish`] ends it properly and checks the invariant.
pub struct World {
    /// The courier.
    pub measoft: MeasoftSim,
    /// The CRM.
    pub crm: RetailcrmSim,
    /// The integrations: `incity` first, then `outcity`, then `express`, of one CRM account (or of
    /// each),
    /// each with a cabinet of its own.
    pub shops: Vec<Shop>,
    /// The product's tables.
    pub ledger: Ledger,
    /// What must not be seen.
    pub secrets: Secrets,
    /// Before RabbitMQ, if asked for.
    pub broker_path: Option<Proxy>,
    /// Before PostgreSQL, if asked for.
    pub database_path: Option<Proxy>,
    /// Before the courier, if asked for.
    pub measoft_path: Option<Proxy>,
    /// Before the CRM, if asked for.
    pub crm_path: Option<Proxy>,
    pub(crate) folder: PathBuf,
    pub(crate) queues: Option<Queues>,
    pub(crate) said: Mutex<Vec<(String, String)>>,
    pub(crate) accepted: Mutex<Vec<Fired>>,
    pub(crate) expected_dead: Mutex<Vec<(String, String)>>,
    pub(crate) http: reqwest::Client,
    /// Where the roles find broker and database, by way of the proxies.
    pub(crate) of_roles: Vec<(String, String)>,
    ingresses: Vec<SocketAddr>,
    turn: AtomicUsize,
    crm_key: String,
    environment: Vec<(String, String)>,
    processes: Mutex<(Vec<Process>, Guard)>,
    database: Option<Database>,
    /// Taken for the console as long as the story lasts.
    _console: Option<Port>,
}

/// A proxy before what a URL names.
async fn before(url: &str) -> Proxy {
    let url = Url::parse(url).expect("a URL");
    let port = url.port_or_known_default().or(match url.scheme() {
        "amqp" => Some(5672),
        _ => None,
    });
    let address = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), port.expect("a port"));
    Proxy::start(address).await.expect("a proxy")
}

fn by_way_of(url: &str, path: &Proxy) -> String {
    let mut url = Url::parse(url).expect("a URL");
    let _ = url.set_port(Some(path.address().port()));
    url.to_string()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// Messages that a worker has in hand at most.
const PREFETCHED: usize = 1024;

/// How long a message may be in a worker's hand before it is recorded.
const IN_HAND: Duration = Duration::from_secs(2);

/// Delivery type, courier service, login and prefix of each shop.
const SHOPS: [(&str, &str, &str, &str); 3] =
    [("incity", "8", "shop-city", "A-"), ("outcity", "12", "shop-region", ""), ("express", "21", "shop-express", "E-")];

/// Short times, and no real vendor's limits to keep.
const TIMING: [(&str, &str); 14] = [
    ("CRM_ALLOWED_HOSTS", "127.0.0.1"),
    ("SETTLE_MS", "50"),
    ("RETRY_RUNGS_S", "0.2,0.5,1"),
    ("UNKNOWN_RECHECK_S", "0.5"),
    ("LEASE_S", "3"),
    ("SWEEP_S", "1"),
    ("BREAKER_OPEN_S", "0.3"),
    ("MEASOFT_PER_MINUTE", "10000000"),
    ("MEASOFT_PER_20MIN", "100000000"),
    ("MEASOFT_ACCOUNT_PER_HOUR", "100000000"),
    ("CRM_RPS", "2000"),
    ("SHUTDOWN_GRACE_S", "20"),
    ("LANG", "C.UTF-8"),
    ("RUST_LOG", "info,shared=debug,bridge=debug,bridge_ingress=debug,bridge_worker=debug,bridge_scheduler=debug"),
];

impl World {
    /// One process on SQLite. `name` must be the story's own: its folder is called so.
    pub fn embedded(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            processes: vec![(Role::Bridge, 1)],
            accounts: 1,
            shops: 2,
            time_scale: 1.0,
            registered: true,
            ..Builder::default()
        }
    }

    /// An ingress, two workers and a scheduler on RabbitMQ and PostgreSQL.
    pub fn scaled(name: &str) -> Builder {
        let processes = vec![(Role::Ingress, 1), (Role::Worker, 2), (Role::Scheduler, 1)];
        Builder { processes, scaled: true, ..Self::embedded(name) }
    }

    async fn start_as(plan: Builder) -> Self {
        let target = programs().parent().map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let folder = target.join("e2e").join(&plan.name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("logs")).expect("a folder for the story");
        let secrets = Secrets::default();
        let options = simulators::measoft::Options { time_scale: plan.time_scale, ..Default::default() };
        let measoft = MeasoftSim::start(options).await.expect("the courier's simulator");
        let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await.expect("the CRM's simulator");
        let data = folder.join("data");
        let mut environment: Vec<(String, String)> =
            TIMING.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.push(("DATA_DIR".to_owned(), data.display().to_string()));
        let (mut measoft_path, mut crm_path) = (None, None);
        let mut courier = measoft.url();
        if plan.proxied {
            let path = before(&courier).await;
            courier = by_way_of(&courier, &path);
            measoft_path = Some(path);
            crm_path = Some(before(&crm.url()).await);
        }
        environment.push(("MEASOFT_URL".to_owned(), courier));
        let (mut queues, mut database, mut broker_path, mut database_path) = (None, None, None, None);
        let ledger;
        let mut of_roles = Vec::new();
        if plan.scaled {
            let own = Queues::new(plan.alone, plan.vhost).await;
            let made = match &plan.server {
                Some(server) => Database::create_on(server.clone()).await,
                None => Database::create().await,
            };
            let made = made.expect("a database for the story");
            let (mut amqp, direct) = (own.url(), made.url.to_string());
            let mut postgres = direct.clone();
            environment.push(("AMQP_PREFIX".to_owned(), own.prefix.clone()));
            if plan.proxied {
                let path = before(&amqp).await;
                amqp = by_way_of(&amqp, &path);
                broker_path = Some(path);
                let path = Proxy::start(made.address()).await.expect("a proxy");
                postgres = made.by_way_of(path.address());
                database_path = Some(path);
            }
            // What is broken on the way to the product's processes is not broken for us.
            let ours = if plan.server.is_some() { &postgres } else { &direct };
            environment.push(("DATABASE_URL".to_owned(), ours.clone()));
            ledger = Ledger::postgres(ours).expect("the database's URL");
            of_roles = vec![("AMQP_URL".to_owned(), amqp), ("DATABASE_URL".to_owned(), postgres)];
            (queues, database) = (Some(own), Some(made));
        } else {
            ledger = Ledger::sqlite(&data.join("bridge.db"));
        }
        if plan.disk {
            environment.extend(disk::environment(&folder.join("disk"), ".db"));
        }
        environment.extend(plan.environment);
        let console = plan.console.then(|| Port::pick(folder.parent().expect("a folder")));
        environment.extend(console.iter().map(|port| ("CONSOLE_LISTEN".to_owned(), port.address().to_string())));
        let mut processes = plan.processes;
        if plan.console && plan.scaled {
            processes.push((Role::Console, 1));
        }
        let mut world = Self {
            measoft,
            crm,
            shops: Vec::new(),
            ledger,
            secrets,
            broker_path,
            database_path,
            measoft_path,
            crm_path,
            folder,
            queues,
            said: Mutex::default(),
            accepted: Mutex::default(),
            expected_dead: Mutex::default(),
            http: simulators::http().timeout(Duration::from_secs(30)).build().expect("a client"),
            of_roles: of_roles.clone(),
            ingresses: Vec::new(),
            turn: AtomicUsize::new(0),
            crm_key: format!("crm-{}", uuid::Uuid::new_v4().simple()),
            environment,
            processes: Mutex::new((Vec::new(), Guard::start())),
            database,
            _console: console,
        };
        if plan.scaled {
            let key = world.run(&["secret-key"], None).await;
            assert_eq!(key.code, 0, "bridge secret-key: {}", key.stderr);
            let key = key.stdout.trim().to_owned();
            world.secrets.plant("the installation's key", &key);
            world.environment.push(("BRIDGE_SECRET_KEY".to_owned(), key));
            let migrated = world.bridge(&["migrate"]).await;
            assert_eq!(migrated.code, 0, "bridge migrate: {}", migrated.stderr);
        }
        let mut keys = Vec::new();
        for nth in 0..plan.accounts {
            let key = match nth {
                0 => world.crm_key.clone(),
                _ => format!("crm-{}", uuid::Uuid::new_v4().simple()),
            };
            world.secrets.plant("RetailCRM's API key", &key);
            let account = world.crm.add_account(&key);
            for (delivery_type, extra, login, prefix) in &SHOPS[..plan.shops] {
                let (login, prefix) = match nth {
                    0 => ((*login).to_owned(), (*prefix).to_owned()),
                    _ => (format!("{login}{nth}"), format!("{}{nth}-", delivery_type[..1].to_uppercase())),
                };
                world.add_shop((account, &key), delivery_type, extra, &login, &prefix, &plan.settings).await;
            }
            keys.push(key);
        }
        world.add_processes(&processes, &of_roles);
        if let Some(most) = plan.descriptors {
            locked(&world.processes).0.iter_mut().for_each(|process| process.descriptors = Some(most));
        }
        for (shops, key) in world.shops.chunks(plan.shops).zip(&keys).filter(|_| plan.registered) {
            for shop in shops {
                world.register_module(shop, key).await;
            }
        }
        let mut names = world.process_names();
        names.retain(|name| !plan.later.contains(name));
        for name in &names {
            world.launch(name);
        }
        for name in &names {
            world.is_ready(name).await;
        }
        world
    }

    async fn add_shop(
        &mut self,
        (account, key): (AccountId, &str),
        delivery_type: &str,
        extra: &str,
        login: &str,
        prefix: &str,
        settings: &[String],
    ) {
        let crm_url = self.crm_address();
        let password = format!("pass-{}", uuid::Uuid::new_v4().simple());
        self.secrets.plant("MeaSoft's password", &password);
        self.measoft.add_account(Account::new(extra, login, &password));
        let title = format!("Магазин {delivery_type}");
        let mut arguments = vec!["integration", "add", "--json", "--password-stdin", "--title", &title];
        arguments.extend(["--crm-url", &crm_url, "--crm-key", key, "--extra", extra, "--login", login]);
        arguments.extend(["--delivery-type", delivery_type, "--prefix", prefix]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let made = self.run(&arguments, Some(&password)).await.json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        let shop = Shop {
            integration: made["id"].as_i64().expect("a number"),
            account,
            delivery_type: delivery_type.to_owned(),
            cabinet: format!("{extra}:{login}"),
            prefix: prefix.to_owned(),
            module: text("code"),
            key: text("deliveryApiKey"),
            client_id: text("clientId"),
        };
        self.secrets.plant("a deliveryApiKey", &shop.key);
        self.secrets.plant("a clientId", &shop.client_id);
        self.crm.add_delivery_type(account, delivery_type, Some(&shop.module), &["cash", "bank-card"]);
        self.shops.push(shop);
    }

    /// Adds integrations with cabinets of their own until there are `count`. Running
    /// processes notice them within two seconds.
    ///
    /// # Panics
    /// When one cannot be added.
    pub async fn grow_to(&mut self, count: usize) {
        let (account, key) = (self.shops[0].account, self.crm_key.clone());
        while self.shops.len() < count {
            let n = self.shops.len();
            let (delivery_type, login) = (format!("type-{n}"), format!("shop-{n}"));
            self.add_shop((account, &key), &delivery_type, "8", &login, &format!("N{n}-"), &[]).await;
            self.register_module(&self.shops[n], &key).await;
        }
    }

    async fn register_module(&self, shop: &Shop, key: &str) {
        let url = format!("{}/api/v5/integration-modules/{}/edit", self.crm.url(), shop.module);
        let module = module(&shop.module, &shop.client_id, &self.ingress()).to_string();
        let sent = self.http.post(url).header("x-api-key", key).form(&[("integrationModule", module)]).send().await;
        let answer = sent.expect("the CRM's simulator answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }

    fn add_processes(&mut self, plan: &[(Role, usize)], of_roles: &[(String, String)]) {
        let programs = programs();
        let claims = self.folder.parent().expect("a folder").to_owned();
        for (role, count) in plan {
            for n in 1..=*count {
                let name = match role {
                    Role::Bridge => "bridge".to_owned(),
                    Role::Console => "console".to_owned(),
                    _ => format!("{}-{n}", role.program()),
                };
                let ops = Port::pick(&claims);
                let mut environment = self.environment.clone();
                environment.extend(of_roles.iter().cloned());
                environment.push(("OPS_LISTEN".to_owned(), ops.address().to_string()));
                let clock = self.folder.join(format!("{name}.clock")).display().to_string();
                environment.push(("TEST_CLOCK_OFFSET_FILE".to_owned(), clock));
                let mut public = None;
                if matches!(role, Role::Bridge | Role::Ingress) {
                    let port = Port::pick(&claims);
                    environment.push(("INGRESS_LISTEN".to_owned(), port.address().to_string()));
                    self.ingresses.push(port.address());
                    public = Some(port);
                }
                let arguments: &[&str] = match role {
                    Role::Bridge => &["up"],
                    Role::Console => &["console", "serve"],
                    _ => &[],
                };
                let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
                let log = self.folder.join("logs").join(format!("{name}.log"));
                let process =
                    Process::new(name, programs.join(role.program()), arguments, environment, log, ops, public);
                locked(&self.processes).0.push(process);
            }
        }
    }

    // ---- processes

    /// Names of all processes: `bridge`, or `ingress-1`, `worker-1`, `worker-2`, …
    pub fn process_names(&self) -> Vec<String> {
        locked(&self.processes).0.iter().map(|process| process.name.clone()).collect()
    }

    pub(crate) fn with_process<T>(&self, name: &str, act: impl FnOnce(&mut Process, &mut Guard) -> T) -> T {
        let mut processes = locked(&self.processes);
        let (all, guard) = &mut *processes;
        let process = all.iter_mut().find(|process| process.name == name);
        act(process.unwrap_or_else(|| panic!("there is no process {name}")), guard)
    }

    /// From its next start on the process may have so many file descriptors open.
    pub fn limit_descriptors(&self, name: &str, most: u64) {
        self.with_process(name, |process, _| process.descriptors = Some(most));
    }

    /// The system's number of a running process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn process_id(&self, name: &str) -> u32 {
        self.with_process(name, |process, _| process.pid()).unwrap_or_else(|| panic!("{name} is not running"))
    }

    /// Where a process serves `/live`, `/ready` and `/metrics`.
    pub fn ops(&self, name: &str) -> SocketAddr {
        self.with_process(name, |process, _| process.ops)
    }

    /// Starts a process that was stopped, without waiting for it.
    pub fn launch(&self, name: &str) {
        self.with_process(name, Process::start);
    }

    /// Waits until a process says that it is ready.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn is_ready(&self, name: &str) {
        let ops = self.with_process(name, |process, _| process.ops);
        eventually(&format!("{name} is ready"), LONG, || async {
            if let Some(status) = self.with_process(name, |process, _| process.ended()) {
                panic!("{name} ended while starting ({status}): {}", self.log(name));
            }
            match self.http.get(format!("http://{ops}/ready")).send().await {
                Ok(answer) if answer.status().as_u16() == 200 => Ok(()),
                Ok(answer) => Err(answer.text().await.unwrap_or_default()),
                Err(error) => Err(error.without_url().to_string()),
            }
        })
        .await;
    }

    /// Starts a process that was stopped and waits until it is ready.
    pub async fn start(&self, name: &str) {
        self.launch(name);
        self.is_ready(name).await;
    }

    /// SIGSTOP, or SIGCONT after it.
    pub fn freeze(&self, name: &str, frozen: bool) {
        self.with_process(name, |process, _| process.freeze(frozen));
    }

    /// SIGHUP.
    pub fn hang_up(&self, name: &str) {
        self.with_process(name, |process, _| process.hang_up());
    }

    /// From now on the process may have so many file descriptors open; with `None` as many as at
    /// its start.
    pub fn limit_descriptors_now(&self, name: &str, most: Option<u64>) {
        self.with_process(name, |process, _| process.limit_now(most));
    }

    /// Waits until a process has ended by itself, and answers its exit code.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub async fn has_ended(&self, name: &str, limit: Duration) -> Result<i32, String> {
        let look = || async { self.forget_ended(name).ok_or_else(|| format!("{name} has not ended within {limit:?}")) };
        Ok(within(limit, Duration::from_millis(50), look).await?.code().unwrap_or(-1))
    }

    /// How a process has ended, if it has; it is not looked after any more then.
    fn forget_ended(&self, name: &str) -> Option<ExitStatus> {
        self.with_process(name, |process, guard| {
            let ended = process.ended();
            if ended.is_some() {
                process.forget(guard);
            }
            ended
        })
    }

    /// The disk under the SQLite of the story, until the answer is dropped.
    pub fn bad_disk(&self, disk: Disk) -> BadDisk {
        BadDisk::begin(&self.folder.join("disk"), disk)
    }

    /// The file of the story's SQLite.
    pub fn database_file(&self) -> PathBuf {
        self.folder.join("data").join("bridge.db")
    }

    /// The database of the story on the run's server.
    ///
    /// # Panics
    /// In the one-process mode.
    pub fn postgres(&self) -> &Database {
        self.database.as_ref().expect("a story with PostgreSQL")
    }

    /// The virtual host of the story's own.
    ///
    /// # Panics
    /// Without one.
    pub fn vhost(&self) -> &super::vhost::Vhost {
        self.queues.as_ref().and_then(|queues| queues.vhost.as_ref()).expect("a story with a virtual host of its own")
    }

    /// Whether it is one process on SQLite.
    pub const fn is_embedded(&self) -> bool {
        self.database.is_none()
    }

    /// Where the public ports are.
    pub fn public_ports(&self) -> &[SocketAddr] {
        &self.ingresses
    }

    /// Sets the clock of a process wrong by so much; zero sets it right. The binaries must
    /// have the feature `testing`.
    ///
    /// # Panics
    /// When the file it reads cannot be written.
    pub fn skew(&self, name: &str, ms: i64) {
        let file = self.folder.join(format!("{name}.clock"));
        std::fs::write(file, ms.to_string()).expect("the clock's file can be written");
    }

    /// `kill -9`.
    pub fn kill(&self, name: &str) {
        self.with_process(name, Process::kill);
    }

    /// SIGTERM, and waits until the process has ended with exit code 0. Answers how long
    /// that took.
    ///
    /// # Panics
    /// When it ends otherwise or not in time.
    pub async fn terminate(&self, name: &str) -> Duration {
        let begun = Instant::now();
        self.with_process(name, |process, _| process.terminate());
        let status = eventually(&format!("{name} ends after SIGTERM"), Duration::from_secs(25), || async {
            self.forget_ended(name).ok_or_else(|| "running".to_owned())
        })
        .await;
        assert_eq!(status.code(), Some(0), "{name} ended with {status} after SIGTERM");
        begun.elapsed()
    }

    /// Where the story's logs are.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// What a process has logged so far.
    pub fn log(&self, name: &str) -> String {
        let path = self.with_process(name, |process, _| process.log.clone());
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// The metrics of a process.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn metrics(&self, name: &str) -> String {
        let ops = self.with_process(name, |process, _| process.ops);
        let answer = self.http.get(format!("http://{ops}/metrics")).send().await.expect("metrics are served");
        answer.text().await.expect("metrics are text")
    }

    /// The most memory a process has ever held, in KiB (`VmHWM`).
    ///
    /// # Panics
    /// When it does not run.
    pub fn peak_memory_kib(&self, name: &str) -> u64 {
        let pid = self.with_process(name, |process, _| process.pid()).unwrap_or_else(|| panic!("{name} does not run"));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Holds the product's database at a step; see [`Hold`].
    ///
    /// # Panics
    /// In the one-process mode.
    pub async fn hold(&self, table: &str, step: &str) -> Hold {
        Hold::at(&self.database.as_ref().expect("a story with PostgreSQL").url, table, step).await
    }

    // ---- the operator

    /// Runs the operator's command.
    pub async fn bridge(&self, arguments: &[&str]) -> Cli {
        let said = self.run(arguments, None).await;
        let all = format!("{}\n{}", said.stdout, said.stderr);
        self.hears(format!("the output of `bridge {}`", arguments.join(" ")), &all);
        said
    }

    /// Keeps what was said, to be searched for secrets in the end.
    pub(crate) fn hears(&self, place: String, said: &str) {
        locked(&self.said).push((place, said.to_owned()));
    }

    /// The same with the secret on standard input.
    pub async fn bridge_with(&self, arguments: &[&str], input: &str) -> Cli {
        self.run(arguments, Some(input)).await
    }

    /// Registers the delivery module of a shop as the operator does.
    ///
    /// # Panics
    /// When RetailCRM does not take it.
    pub async fn register(&self, shop: usize) -> Value {
        let id = self.shops[shop].integration.to_string();
        self.bridge_in_public(&["integration", "register", &id, "--json"]).await.json()
    }

    /// The operator's command with the address that RetailCRM knows. What it says is not
    /// searched for keys: some of it is to be pasted.
    pub async fn bridge_in_public(&self, arguments: &[&str]) -> Cli {
        let public = [("PUBLIC_URL".to_owned(), self.ingress())];
        self.run_with(arguments, None, &public).await
    }

    async fn run(&self, arguments: &[&str], input: Option<&str>) -> Cli {
        self.run_with(arguments, input, &[]).await
    }

    fn command(&self, arguments: &[&str], more: &[(String, String)]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(programs().join("bridge"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().chain(more).map(|(name, value)| (name, value)))
            .env("RUST_LOG", "off")
            .stdin(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// An operator's command that goes on until the answer is dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn serve(&self, arguments: &[&str]) -> tokio::process::Child {
        self.command(arguments, &[]).spawn().expect("the command can be started")
    }

    pub(crate) async fn run_with(&self, arguments: &[&str], input: Option<&str>, more: &[(String, String)]) -> Cli {
        use tokio::io::AsyncWriteExt as _;
        let mut command = self.command(arguments, more);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the command can be started");
        let mut stdin = child.stdin.take().expect("piped");
        if let Some(input) = input {
            stdin.write_all(input.as_bytes()).await.expect("it reads its input");
        }
        drop(stdin);
        let done = tokio::time::timeout(LONG, child.wait_with_output()).await;
        let output = done.unwrap_or_else(|_| panic!("`bridge {}` hangs", arguments.join(" "))).expect("its output");
        Cli {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Open dead letters, as the operator sees them.
    pub async fn dead_letters(&self) -> Vec<Value> {
        let listed = self.bridge(&["dead", "list", "--json"]).await.json();
        listed.as_array().expect("a list").clone()
    }

    /// This story ends with an open dead letter of this order (empty for a message of no
    /// order) and reason.
    pub fn expect_dead_letter(&self, number: &str, reason: &str) {
        locked(&self.expected_dead).push((number.to_owned(), reason.to_owned()));
    }

    // ---- the shop

    /// Puts the nth order of a shop into RetailCRM.
    pub fn place(&self, shop: usize, n: usize, collect: Collect) -> Placed {
        let number = format!("{}{}", 1000 + n, if n.is_multiple_of(2) { "A" } else { "C" });
        let (builder, collect) = a_parcel(n, &number, &self.shops[shop].delivery_type, collect);
        self.place_as(shop, &number, builder, collect)
    }

    /// Puts an order of the story's own making into RetailCRM.
    pub fn place_as(&self, shop: usize, number: &str, builder: OrderBuilder, collect: i64) -> Placed {
        let id = self.crm.add_order(self.shops[shop].account, builder.number(number));
        Placed { shop, id, number: number.to_owned(), collect }
    }

    /// `count` orders of all sorts, in turn over the shops.
    pub fn place_many(&self, count: usize) -> Vec<Placed> {
        (0..count).map(|n| self.place(n % self.shops.len(), n, Collect::nth(n / 2))).collect()
    }

    /// An address of ingress, in turn.
    pub fn ingress(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        format!("http://{}", self.ingresses[turn % self.ingresses.len()])
    }

    /// Sends a form and gives the answer.
    ///
    /// # Errors
    /// When none came.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)], language: &str) -> anyhow::Result<Answer> {
        let form = self.http.post(format!("{}{path}", self.ingress())).form(fields);
        self.exchange(path, form.header("accept-language", language)).await
    }

    /// Sends bytes and gives the answer.
    ///
    /// # Errors
    /// When none came.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        language: &str,
    ) -> anyhow::Result<Answer> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = self.http.request(method, format!("{}{path}", self.ingress())).body(body);
        self.exchange(path, request.header("content-type", content_type).header("accept-language", language)).await
    }

    async fn exchange(&self, path: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, retry_after) = (answer.status().as_u16(), header("retry-after"));
        let content_type = header("content-type").unwrap_or_default();
        let body = answer.bytes().await.map_err(reqwest::Error::without_url)?;
        // The key is in the path of some requests, and not in an answer.
        let place = format!("an answer of {}", path.split('?').next().unwrap_or_default());
        locked(&self.said).push((place, String::from_utf8_lossy(&body).into_owned()));
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status, body, content_type, retry_after, took: begun.elapsed() })
    }

    /// Fires one trigger as the shop's RetailCRM would; a cancel names all shops of the account.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn fire(&self, kind: TriggerKind, shop: usize, number: &str) -> anyhow::Result<Answer> {
        let mut fields = vec![("id", number), ("sum", "")];
        match kind {
            TriggerKind::Cancel => {
                let account = self.shops[shop].account;
                let all = self.shops.iter().filter(|shop| shop.account == account);
                fields.extend(all.map(|shop| (shop.delivery_type.as_str(), shop.key.as_str())));
            }
            TriggerKind::Send | TriggerKind::Update => fields.push(("key", self.shops[shop].key.as_str())),
        }
        let answer = self.post(kind.path(), &fields, "ru").await?;
        if answer.status == 200 {
            let command = answer.body["id"].as_str().expect("200 names the command").to_owned();
            let orders = self.crm.ids_by_number(self.shops[shop].account, number);
            locked(&self.accepted).push(Fired { shop, kind, number: number.to_owned(), orders, command });
        }
        Ok(answer)
    }

    /// Fires one trigger that must be accepted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn fires(&self, kind: TriggerKind, order: &Placed) -> Answer {
        let answer = self.fire(kind, order.shop, &order.number).await.expect("an answer");
        assert_eq!(answer.status, 200, "{kind:?} of {}: {}", order.number, answer.body);
        answer
    }

    /// Fires triggers, so many at a time. One that got no answer is fired again until it
    /// gets one; any answer counts. In the order given.
    ///
    /// # Panics
    /// When a trigger gets no answer for a minute.
    pub async fn storm(&self, triggers: &[(TriggerKind, &Placed)], at_a_time: usize) -> Vec<Answer> {
        futures_util::stream::iter(triggers)
            .map(|(kind, order)| async move {
                eventually("a trigger is answered", LONG, || async {
                    self.fire(*kind, order.shop, &order.number).await.map_err(told)
                })
                .await
            })
            .buffered(at_a_time)
            .collect()
            .await
    }

    /// Triggers answered with 200 so far.
    pub fn accepted(&self) -> Vec<Fired> {
        locked(&self.accepted).clone()
    }

    /// The prefix of the story's queues and exchanges.
    ///
    /// # Panics
    /// In the one-process mode.
    pub fn queue_prefix(&self) -> &str {
        &self.queues.as_ref().expect("a story with a broker").prefix
    }

    /// The number under which MeaSoft has an order at first.
    pub fn orderno(&self, order: &Placed) -> String {
        format!("{}{}", self.shops[order.shop].prefix, order.number)
    }

    /// Deletes a queue of the story, while it is empty and no accepted trigger is in a worker's
    /// hand: a message that goes with its queue is destroyed and not lost. Answers whether it was.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn delete_empty_queue(&self, what: &str) -> anyhow::Result<bool> {
        let Some(queues) = &self.queues else { return Ok(false) };
        let name = format!("{}.{what}.v1", queues.prefix);
        if !queues.ready(std::slice::from_ref(&name)).await?.is_empty() || !self.are_recorded().await? {
            return Ok(false);
        }
        queues.delete(&name).await?;
        Ok(true)
    }

    /// Whether no lane holds anything and what was accepted lately is recorded.
    ///
    /// # Errors
    /// When the broker or the database does not answer.
    pub async fn is_at_rest(&self) -> anyhow::Result<bool> {
        let Some(queues) = &self.queues else { return Ok(true) };
        Ok(queues.waiting().await?.is_empty() && self.are_recorded().await?)
    }

    /// The address under which the integrations find RetailCRM.
    pub fn crm_address(&self) -> String {
        let url = self.crm.url();
        let url = self.crm_path.as_ref().map_or_else(|| url.clone(), |path| by_way_of(&url, path));
        url.trim_end_matches('/').to_owned()
    }

    /// Whether what was accepted lately stands in the ledger. The broker counts messages that are
    /// ready; those in a worker's hand it tells seconds later. The journal may miss what a killed
    /// worker had recorded; then the request still names it.
    async fn are_recorded(&self) -> anyhow::Result<bool> {
        let sql = "SELECT DISTINCT outcome AS id FROM journal WHERE what = 'trigger' UNION SELECT command_id FROM intents \
                   UNION SELECT command_id FROM order_intents";
        let rows = self.ledger.rows(sql).await?;
        let recorded: HashSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        let accepted = self.accepted();
        let lately = &accepted[accepted.len().saturating_sub(PREFETCHED)..];
        Ok(lately.iter().all(|fired| recorded.contains(fired.command.as_str())))
    }

    /// Whether a process says that it is ready.
    pub async fn says_ready(&self, name: &str) -> bool {
        let ops = self.with_process(name, |process, _| process.ops);
        let asked = self.http.get(format!("http://{ops}/ready")).timeout(Duration::from_secs(2)).send().await;
        asked.is_ok_and(|answer| answer.status().as_u16() == 200)
    }

    /// Waits until everything that was accepted has been served and nothing is queued.
    pub async fn settled(&self, label: &str) {
        eventually(label, LONG * 2, || self.look_settled()).await;
    }

    /// Waits until every accepted trigger has been served. What the schedulers publish
    /// meanwhile is not waited for.
    ///
    /// # Errors
    /// With what still waits when `limit` is over.
    pub async fn triggers_served(&self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut served_since: Option<Instant> = None;
        loop {
            match self.look_served().await {
                Err(seen) if begun.elapsed() > limit => return Err(seen),
                Err(_) => {
                    served_since = None;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // A message in a worker's hand is in no queue and not recorded yet.
                Ok(()) if served_since.get_or_insert_with(Instant::now).elapsed() < IN_HAND => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Waits until nothing is wanted and nothing queued, whatever became of what was accepted: a
    /// database may have lost it.
    ///
    /// # Errors
    /// With what still waits when `limit` is over.
    pub async fn nothing_waits(&self, limit: Duration) -> Result<(), String> {
        within(limit, Duration::from_millis(100), || self.look_queued()).await
    }

    async fn look_served(&self) -> Result<(), String> {
        self.all_recorded().await?;
        self.look_queued().await
    }

    async fn look_queued(&self) -> Result<(), String> {
        let (intents, _) = self.ledger.waiting().await.map_err(told)?;
        let spilled = "SELECT COUNT(*) AS n FROM jobs WHERE lane = 'interactive'";
        let spilled = self.ledger.count(spilled).await.map_err(told)?;
        if (intents, spilled) != (0, 0) {
            return Err(format!("{intents} orders and {spilled} spilled triggers wait"));
        }
        let Some(queues) = &self.queues else { return Ok(()) };
        let names = ["interactive", "dead", "unrouted"].map(|what| format!("{}.{what}.v1", queues.prefix));
        let waiting = queues.ready(&names).await.map_err(told)?;
        if waiting.is_empty() { Ok(()) } else { Err(format!("{waiting:?} wait")) }
    }

    async fn look_settled(&self) -> Result<(), String> {
        self.all_recorded().await?;
        self.look_at_ledger().await?;
        let Some(queues) = &self.queues else { return Ok(()) };
        let waiting = queues.waiting().await.map_err(told)?;
        if !waiting.is_empty() {
            return Err(format!("{waiting:?} wait"));
        }
        // What was in a queue at the first look may be in the ledger by now.
        self.look_at_ledger().await
    }

    async fn look_at_ledger(&self) -> Result<(), String> {
        match self.ledger.waiting().await.map_err(told)? {
            (0, 0) => Ok(()),
            (intents, jobs) => Err(format!("{intents} orders and {jobs} messages of the job table wait")),
        }
    }

    /// Takes the slots of the walk through RetailCRM's history for a while ahead, so that it
    /// makes nothing good: a story about lost triggers would not see them.
    ///
    /// # Errors
    /// Of the database.
    pub async fn take_history_slots(&self, sync_s: u64, ahead: Duration) -> anyhow::Result<()> {
        let every = i64::try_from((sync_s * 3).min(720) * 1_000)?;
        let now = jiff::Timestamp::now().as_millisecond();
        let (from, to) = (now / every - 3, (now + i64::try_from(ahead.as_millis())?) / every + 1);
        for shop in &self.shops {
            let job = format!("history:{}", shop.integration);
            // Both databases know it.
            let slots = format!(
                "WITH RECURSIVE ahead (slot) AS (SELECT CAST({from} AS BIGINT) UNION ALL SELECT slot + 1 FROM ahead \
                 WHERE slot < {to}) INSERT INTO slots (job, slot, created_at, published_at) \
                 SELECT '{job}', slot, {now}, {now} FROM ahead WHERE true ON CONFLICT DO NOTHING RETURNING slot"
            );
            self.ledger.rows(&slots).await?;
        }
        Ok(())
    }

    /// Lets the walk through RetailCRM's history run from now on.
    ///
    /// # Errors
    /// Of the database.
    pub async fn free_history_slots(&self) -> anyhow::Result<()> {
        self.ledger.rows("DELETE FROM slots WHERE job LIKE 'history:%' RETURNING slot").await?;
        Ok(())
    }

    /// Waits until every accepted trigger has been served; what else is queued may go on.
    pub async fn served(&self, label: &str) {
        eventually(label, LONG * 2, || async {
            self.all_recorded().await?;
            let (intents, _) = self.ledger.waiting().await.map_err(told)?;
            if intents == 0 { Ok(()) } else { Err(format!("{intents} orders wait")) }
        })
        .await;
    }

    /// Every accepted trigger has become an intent.
    async fn all_recorded(&self) -> Result<(), String> {
        let rows = self.ledger.rows("SELECT integration_id, number FROM intents").await.map_err(told)?;
        let known: std::collections::BTreeSet<(i64, &str)> =
            rows.iter().filter_map(|row| Some((row["integration_id"].as_i64()?, row["number"].as_str()?))).collect();
        let missing = |fired: &&Fired| !known.contains(&(self.shops[fired.shop].integration, fired.number.as_str()));
        match locked(&self.accepted).iter().filter(missing).count() {
            0 => Ok(()),
            n => Err(format!("{n} accepted triggers have not been recorded")),
        }
    }

    /// Ends everything at once and checks nothing: for what is measured, not told.
    pub async fn discard(mut self) {
        for name in self.process_names() {
            self.kill(&name);
        }
        self.measoft.stop().await;
        self.crm.stop().await;
        self.ledger.close().await;
        if let Some(queues) = &self.queues {
            let names = queues.names().await;
            if let Err(error) = queues.remove(&names).await {
                tracing::warn!(%error, "queues of a benchmark stay on the broker");
            }
        }
        self.close_database();
    }

    pub(crate) fn close_database(&mut self) {
        drop(self.database.take());
    }
}
