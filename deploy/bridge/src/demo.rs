//! `bridge demo`: both vendors simulated, all roles in one process, one story told, and the
//! ledger checked against the simulators' own record at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bridge_worker::callbacks::registration;
use bridge_worker::vendor::Connect as _;
use bridge_worker::vendor::connect::Clients;
use futures_util::StreamExt as _;
use serde_json::json;
use shared::bootstrap::Ctx;
use shared::config::{BadConfig, Config, Role, Source};
use shared::domain::{Delivery, Integration, Secret, Settings};
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::amqp::inspection::inspect;
use shared::queue::open;
use shared::store::dead_letters::DeadFilter;
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use shared::telemetry::{health, logs};
use simulators::measoft::{Account, FaultAction, FaultRule, MeasoftSim};
use simulators::retailcrm::{AccountId, OrderBuilder, RetailcrmSim, TriggerKind, an_order};

use crate::args::Demo;
use crate::order::Story;
use crate::output::{Failure, Output, bold, dim, green, red};
use crate::stdout::{self, say};
use crate::up;

/// How long the story may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// # Errors
/// Why the story could not be told.
pub fn run(args: &Demo, out: &Output) -> Result<ExitCode, Failure> {
    let filter = Source::environment().get("RUST_LOG").ok().flatten().unwrap_or_else(|| "off".to_owned());
    logs::start(logs::LogFormat::Text, &filter).map_err(|bad| Failure::Config(bad.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let done = runtime.block_on(async {
        let folder = std::env::temp_dir().join(format!("measoft-bridge-demo-{}", std::process::id()));
        let done = tokio::select! {
            done = tell(args, out, folder.clone()) => done,
            _ = tokio::signal::ctrl_c() => Ok(args.keep),
            () = stdout::closed() => Ok(true),
        };
        let _ = std::fs::remove_dir_all(&folder);
        done
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => Err(match error.downcast::<BadConfig>() {
            Ok(bad) => Failure::Config(bad),
            Err(error) => Failure::Failed(error),
        }),
    }
}

/// One simulated shop with its integration.
struct Shop {
    account: AccountId,
    integration: Integration,
    delivery_type: &'static str,
}

struct Stage {
    measoft: MeasoftSim,
    crm: RetailcrmSim,
    ctx: Ctx,
    ingress_address: String,
    ingress: String,
    ops: String,
    shops: Vec<Shop>,
    say: Say,
    /// What other commands need to work on the same installation.
    environment: PathBuf,
}

/// Progress for people; silent when a program listens.
#[derive(Clone, Copy)]
struct Say {
    json: bool,
}

impl Say {
    fn line(self, text: &str) {
        if !self.json {
            say!("{text}");
        }
    }
}

/// True when the ledger is right.
async fn tell(args: &Demo, out: &Output, folder: PathBuf) -> anyhow::Result<bool> {
    let stage = set_up(args, out, folder).await?;
    let (ctx, queue) = (stage.ctx.clone(), open::start(&stage.ctx).await?);
    health::serve(stage.ops.parse()?, ctx.health.clone(), ctx.metrics.clone()).await?;
    let mut running = tokio::spawn(up::roles(ctx.clone(), queue.clone()));
    tokio::select! {
        // A role that ends now failed, and knows why.
        ended = &mut running => {
            queue.close().await;
            ended?.context("a role failed")?;
            bail!("the roles stopped before the story began");
        }
        listening = listens(&stage.ingress_address) => listening?,
    }
    let told = story(args, out, &stage).await;
    if args.keep && told.is_ok() {
        stage.invite();
        std::future::pending::<()>().await;
    }
    ctx.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
    queue.close().await;
    let right = told?;
    ended.context("the roles did not stop in time")??.context("a role failed")?;
    Ok(right)
}

/// Waits until ingress takes connections.
async fn listens(address: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(error) = tokio::net::TcpStream::connect(address).await {
        if begun.elapsed() > PATIENCE {
            return Err(error).context("ingress does not listen");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn set_up(args: &Demo, out: &Output, folder: PathBuf) -> anyhow::Result<Stage> {
    let say = Say { json: out.json };
    let measoft = MeasoftSim::start(simulators::measoft::Options::default()).await?;
    measoft.add_account(Account::new("8", "shop-demo", "secret-demo"));
    measoft.add_account(Account::new("12", "second-demo", "secret-two"));
    let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await?;
    let (listen, ops) = (free_address()?, free_address()?);
    let mut settings = vec![
        ("DATA_DIR".to_owned(), folder.display().to_string()),
        ("INGRESS_LISTEN".to_owned(), listen.clone()),
        ("OPS_LISTEN".to_owned(), ops.clone()),
        ("MEASOFT_URL".to_owned(), measoft.url()),
        ("CRM_ALLOWED_HOSTS".to_owned(), "127.0.0.1".to_owned()),
        ("AMQP_PREFIX".to_owned(), format!("demo-{}", std::process::id())),
        // The story is told in seconds: short waits, and no real vendor's limits to keep.
        ("SETTLE_MS".to_owned(), "200".to_owned()),
        ("RETRY_RUNGS_S".to_owned(), "0.5,1,2".to_owned()),
        ("UNKNOWN_RECHECK_S".to_owned(), "1".to_owned()),
        ("CRM_RPS".to_owned(), "1000".to_owned()),
        ("MEASOFT_PER_MINUTE".to_owned(), "100000".to_owned()),
        ("MEASOFT_PER_20MIN".to_owned(), "100000".to_owned()),
        ("MEASOFT_ACCOUNT_PER_HOUR".to_owned(), "100000".to_owned()),
    ];
    if let Some(url) = &args.amqp {
        settings.push(("AMQP_URL".to_owned(), url.clone()));
    }
    if let Some(url) = &args.database_url {
        settings.push(("DATABASE_URL".to_owned(), url.clone()));
        settings.push(("BRIDGE_SECRET_KEY".to_owned(), shared::crypto::SecretKey::generate()));
    }
    let config = Arc::new(Config::read(Role::Bridge, &Source::from_pairs(settings.clone()))?);
    let key = config.load_secret_key()?;
    if let Some(url) = &config.amqp_url {
        // The story would wait for it; whoever tries the demonstration wants to know at once.
        let amqp = AmqpConfig::new(url, &config.amqp_prefix, config.timing.rungs.clone())?;
        if let Some(refusal) = inspect(&amqp).await.refusal {
            bail!("--amqp: RabbitMQ cannot be used: {refusal}");
        }
    }
    let ctx = Ctx::open(config.clone(), key).await?;
    // A server that is away says so at once; the migration would only know that it waited.
    crate::version(&ctx.store).await.context("--database-url")?;
    ctx.store.db.migrate().await?;
    let mut shops = Vec::new();
    let first = crm.add_account("demo-crm-key-one");
    let second = crm.add_account("demo-crm-key-two");
    let plans = [
        (first, "demo-crm-key-one", "Город", "incity", "8", "shop-demo", "secret-demo", "A-"),
        (first, "demo-crm-key-one", "Область", "outcity", "8", "shop-demo", "secret-demo", "B-"),
        (second, "demo-crm-key-two", "Второй магазин", "incity", "12", "second-demo", "secret-two", ""),
    ];
    for (account, crm_key, title, delivery_type, extra, login, password, prefix) in plans {
        let new = NewIntegration {
            title: title.to_owned(),
            crm_url: crm.url(),
            crm_api_key: Secret::new(crm_key),
            measoft_url: measoft.url(),
            extra: extra.to_owned(),
            login: login.to_owned(),
            password: Secret::new(password),
            prefix: prefix.to_owned(),
            settings: Settings { delivery_types: vec![delivery_type.to_owned()], ..Settings::default() },
        };
        let integration = ctx.store.add_integration(new).await?;
        crm.add_delivery_type(
            account,
            delivery_type,
            Some(&integration.code(&config.module_code)),
            &["cash", "bank-card"],
        );
        shops.push(Shop { account, integration, delivery_type });
    }
    register(&ctx, &shops).await?;
    let environment = folder.join("environment");
    keep_private(&environment, &exports(&settings))?;
    keep_private(&folder.join("manager.html"), &manager(&ctx.config.public_url, &shops))?;
    let queue = if args.amqp.is_some() { "RabbitMQ" } else { "the embedded queue" };
    let store = if args.database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    say.line(&bold("measoft-bridge: one story, everything real except the two vendors"));
    say.line(&format!(
        "  {} integrations on {queue} and {store}; both vendors are simulated on real sockets",
        shops.len()
    ));
    let ingress = format!("http://{listen}");
    Ok(Stage { measoft, crm, ctx, ingress, ingress_address: listen, ops, shops, say, environment })
}

/// Registers the delivery modules in RetailCRM, as the operator does.
async fn register(ctx: &Ctx, shops: &[Shop]) -> anyhow::Result<()> {
    let journal = Journal::start(ctx.store.clone());
    let clients = Clients::new(&ctx.config, ctx.store.clone(), journal.clone(), ctx.metrics.clone())?;
    for shop in shops {
        let integration = Arc::new(shop.integration.clone());
        let vendors = clients.connect(&integration).map_err(anyhow::Error::msg)?;
        let shop = bridge_worker::vendor::ActiveIntegration::new(integration, vendors);
        registration::register(&shop, &ctx.config.public_url, &ctx.config.module_code).await?;
    }
    journal.flush().await;
    Ok(())
}

/// For a shell: the settings of this installation.
fn exports(settings: &[(String, String)]) -> String {
    settings.iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"))).collect()
}

/// RetailCRM opens the page of a module with a form; this one has the same.
fn manager(public_url: &str, shops: &[Shop]) -> String {
    let form = |shop: &Shop| {
        format!(
            "<form method=\"post\" action=\"{public_url}/retailcrm/account\"><input type=\"hidden\" name=\"clientId\" \
             value=\"{}\"><button>{}</button></form>\n",
            shop.integration.secrets.client_id.expose(),
            shop.integration.title
        )
    };
    let forms: String = shops.iter().map(form).collect();
    format!("<!doctype html><meta charset=\"utf-8\"><title>RetailCRM</title>\n{forms}")
}

/// Readable by its owner alone: keys are in it.
fn keep_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let kept = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    kept.with_context(|| format!("{} cannot be written", path.display()))
}

/// What a demo order shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    CashOnDelivery,
    PaidOnSite,
    /// Unpaid, but to be paid on the site: nothing to collect at the door.
    ToPayOnSite,
    PartlyPaid,
    BadPhone,
    WrongSum,
}

struct Placed {
    shop: usize,
    id: i64,
    number: String,
    sort: Sort,
    /// Kopecks the courier has to collect.
    collect: i64,
}

fn build(number: &str, n: u32, sort: Sort, delivery_type: &str) -> (OrderBuilder, i64) {
    let price = 100_000 + i64::from(n) * 1_017;
    let fee = 35_000;
    let total = 2 * price + fee;
    let order = an_order()
        .number(number)
        .delivery_type(delivery_type)
        .status("SentMeaSoft")
        .item("Стул складной", price, 2, 2300)
        .delivery_cost(fee)
        .receiver("Петрова Анна", "+7 (916) 000-11-22")
        .address("Москва", "ул. Льва Толстого, д. 16, кв. 42");
    match sort {
        Sort::CashOnDelivery => (order.payment("cash", total, "not-paid"), total),
        Sort::PaidOnSite => (order.payment("bank-card", total, "paid"), 0),
        Sort::ToPayOnSite => (order.payment("2", total, "not-paid"), 0),
        Sort::PartlyPaid => {
            (order.payment("bank-card", 50_000, "paid").payment("cash", total - 50_000, "not-paid"), total - 50_000)
        }
        Sort::BadPhone => (order.payment("cash", total, "not-paid").receiver("Петрова Анна", "нет"), total),
        Sort::WrongSum => (order.payment("cash", total - 12_345, "not-paid"), 0),
    }
}

async fn story(args: &Demo, out: &Output, stage: &Stage) -> anyhow::Result<bool> {
    let say = stage.say;
    let mut orders = Vec::new();
    for n in 0..args.orders {
        let shop = (n as usize) % stage.shops.len();
        let sort = match n {
            3 => Sort::BadPhone,
            4 => Sort::WrongSum,
            _ => [Sort::CashOnDelivery, Sort::PaidOnSite, Sort::ToPayOnSite, Sort::PartlyPaid][(n as usize) % 4],
        };
        let number = format!("{}{}", 1001 + n, if n % 2 == 0 { "A" } else { "C" });
        let (builder, collect) = build(&number, n, sort, stage.shops[shop].delivery_type);
        let id = stage.crm.add_order(stage.shops[shop].account, builder);
        orders.push(Placed { shop, id, number, sort, collect });
    }
    stage.measoft.set_faults(vec![
        FaultRule::new(FaultAction::FailAfter).op("neworder").every(3),
        FaultRule::new(FaultAction::Html { status: 200, act: false }).op("neworder").skip(1).first(1),
    ]);

    // Every order once, every second one again: a send trigger fires on each later save.
    let mut triggers: Vec<&Placed> = orders.iter().collect();
    triggers.extend(orders.iter().step_by(2));
    say.line(&format!(
        "  {} orders; MeaSoft loses every third answer after acting, and sends one HTML page",
        orders.len()
    ));
    let begun = Instant::now();
    let answers: Vec<anyhow::Result<bool>> = futures_util::stream::iter(triggers.iter().map(|order| async move {
        let key = stage.shops[order.shop].integration.secrets.delivery_api_key.expose();
        let answer = stage.crm.fire(TriggerKind::Send, &stage.ingress, &order.number, "", &[("key", key)]).await?;
        Ok(answer.status == 200)
    }))
    .buffer_unordered(16)
    .collect()
    .await;
    let mut accepted = 0;
    for answer in answers {
        accepted += usize::from(answer?);
    }
    say.line(&format!(
        "  {accepted} of {} send triggers answered 200 in {} ms",
        triggers.len(),
        begun.elapsed().as_millis()
    ));
    stage.settled("the orders are placed").await?;

    // Saving an order again fires its trigger again: nothing may happen at MeaSoft.
    stage.measoft.clear_faults();
    let before = stage.measoft.requests().len();
    for order in orders.iter().step_by(5) {
        let key = stage.shops[order.shop].integration.secrets.delivery_api_key.expose();
        let answer = stage.crm.fire(TriggerKind::Send, &stage.ingress, &order.number, "", &[("key", key)]).await?;
        accepted += usize::from(answer.status == 200);
    }
    stage.settled("repeats are recognised").await?;
    say.line(&format!("  {} requests to MeaSoft for the repeats", stage.measoft.requests().len() - before));

    // A manager mends the phone, another changes an order, a third moves one to the post.
    let mended = &orders[3];
    let changed = &orders[0];
    let moved = &orders[1];
    stage.crm.edit(stage.account(mended), mended.id, |o| o.set_phone("+7 916 000-11-33"));
    stage.crm.edit(stage.account(changed), changed.id, |o| o.set_address("Москва", "Тверская ул., д. 7"));
    stage.crm.edit(stage.account(moved), moved.id, |o| o.set_delivery_type("russian-post"));
    for (kind, order) in [(TriggerKind::Update, mended), (TriggerKind::Update, changed), (TriggerKind::Cancel, moved)] {
        let shop = &stage.shops[order.shop];
        let key = shop.integration.secrets.delivery_api_key.expose();
        let name = if kind == TriggerKind::Cancel { shop.delivery_type } else { "key" };
        let answer = stage.crm.fire(kind, &stage.ingress, &order.number, "", &[(name, key)]).await?;
        accepted += usize::from(answer.status == 200);
    }
    say.line("  then: a phone mended, an address changed, one order moved to the post");
    stage.settled("the changes have arrived").await?;

    let verdict = stage.check(&orders, moved, changed).await?;
    let told = stage.most_eventful(&orders).await?;
    if !out.json {
        say!();
        told.lines(false, &stage.ctx.config.display_zone).iter().for_each(|line| say!("{line}"));
        say!();
    }
    let counts = stage.counts().await?;
    let document = json!({
        "accepted": accepted, "placed": counts.placed, "cancelled": counts.cancelled,
        "already_done": counts.already_done, "dead": counts.dead, "differences": verdict,
    });
    out.answer(&document, || {
        say!("{}", bold("accepted  placed  cancelled  already done  dead"));
        say!("{accepted:<9} {:<7} {:<10} {:<13} {}", counts.placed, counts.cancelled, counts.already_done, counts.dead);
        say!("{}", dim("the one dead letter is the order whose payments do not add up: refused, not guessed"));
        if verdict.is_empty() {
            say!("{}", green("The ledger equals the simulators: every order once, every sum right, RetailCRM told."));
        } else {
            for difference in &verdict {
                say!("{}", red(difference));
            }
        }
    });
    Ok(verdict.is_empty())
}

struct Counts {
    placed: usize,
    cancelled: usize,
    already_done: i64,
    dead: usize,
}

impl Stage {
    fn account(&self, order: &Placed) -> AccountId {
        self.shops[order.shop].account
    }

    /// Waits until nothing is wanted and nothing is queued.
    async fn settled(&self, what: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let (waiting, _) = self.ctx.store.backlog().await?;
            let queued: u64 = self.ctx.store.job_counts().await?.iter().map(|(_, n)| n).sum();
            // A trigger may lie in the broker: look twice, with time for it to be taken.
            if waiting == 0 && queued == 0 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                if self.ctx.store.backlog().await?.0 == 0 {
                    self.say.line(&format!("  {what} ({:.1} s)", begun.elapsed().as_secs_f32()));
                    return Ok(());
                }
            }
            if begun.elapsed() > PATIENCE {
                bail!("not settled in time: {waiting} orders and {queued} messages are still waiting");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn delivery(&self, order: &Placed) -> anyhow::Result<Option<Delivery>> {
        let id = shared::domain::CrmOrderId(order.id);
        Ok(self.ctx.store.delivery_by_order(self.shops[order.shop].integration.id, id).await?)
    }

    /// Compares the ledger with the simulators' own record; every difference is a sentence.
    async fn check(&self, orders: &[Placed], moved: &Placed, changed: &Placed) -> anyhow::Result<Vec<String>> {
        let mut differences = Vec::new();
        let effects = self.measoft.effects();
        let mut expected: BTreeMap<String, ()> = BTreeMap::new();
        for order in orders {
            let number = &order.number;
            let delivery = self.delivery(order).await?;
            if order.sort == Sort::WrongSum {
                if delivery.is_some_and(|d| d.state.is_placed()) {
                    differences.push(format!("{number}: placed although its payments do not add up"));
                }
                continue;
            }
            let Some(d) = delivery else {
                differences.push(format!("{number}: the ledger does not know it"));
                continue;
            };
            expected.insert(d.orderno.to_string(), ());
            let Some(there) = self.measoft.order(d.orderno.as_str()) else {
                differences.push(format!("{number}: MeaSoft does not have it"));
                continue;
            };
            let creates = effects.get(d.orderno.as_str()).map_or(0, |e| e.creates);
            if creates != 1 {
                differences.push(format!("{number}: created {creates} times"));
            }
            if order.number == moved.number {
                if there.status.as_str() != "CANCELED" {
                    differences
                        .push(format!("{number}: moved to the post and not cancelled ({})", there.status.as_str()));
                }
                continue;
            }
            if there.price_kopecks != order.collect || d.price.map(|p| p.0) != Some(order.collect) {
                differences.push(format!(
                    "{number}: to collect {}, MeaSoft has {}, the ledger {:?}",
                    order.collect, there.price_kopecks, d.price
                ));
            }
            if order.number == changed.number && !there.receiver.address.contains("Тверская") {
                differences.push(format!("{number}: the changed address did not arrive"));
            }
            let card = self.crm.order(self.account(order), order.id).unwrap_or_default();
            let told = card["delivery"]["data"]["externalId"].as_str().unwrap_or_default();
            if told != Delivery::external_id(d.integration, d.crm_order) {
                differences.push(format!("{number}: RetailCRM was not told"));
            }
        }
        for there in self.measoft.orders() {
            if !expected.contains_key(&there.orderno) {
                differences.push(format!("MeaSoft has {}, which nobody asked for", there.orderno));
            }
        }
        Ok(differences)
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let live = self.measoft.orders();
        let cancelled = live.iter().filter(|o| o.status.as_str() == "CANCELED").count();
        let rows = self
            .ctx
            .store
            .db
            .fetch("SELECT COUNT(*) AS n FROM journal WHERE what = 'decision' AND outcome IN ('already_done', 'superseded')", vec![])
            .await?;
        let dead = self.ctx.store.dead_letters(&DeadFilter::default()).await?.len();
        let already_done = rows.first().map(|row| row.int("n")).transpose()?.unwrap_or(0);
        Ok(Counts { placed: live.len() - cancelled, cancelled, already_done, dead })
    }

    /// The order with the longest story; one whose answer was lost, if there is one.
    async fn most_eventful(&self, orders: &[Placed]) -> anyhow::Result<Story> {
        let mut best = None;
        for order in orders {
            let story = Story::of(&self.ctx.store, &order.number, None)
                .await
                .map_err(|_| anyhow::anyhow!("the timeline cannot be read"))?;
            let lost = story.timeline.iter().any(|kept| kept.text.contains("lost"));
            let rank = story.timeline.len() + if lost { 100 } else { 0 };
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, story));
            }
        }
        best.map(|(_, story)| story).ok_or_else(|| anyhow::anyhow!("the demonstration has no orders"))
    }

    fn invite(&self) {
        let key = self.shops[0].integration.secrets.delivery_api_key.expose();
        let page = self.environment.with_file_name("manager.html");
        say!();
        say!("Everything keeps running; Ctrl-C ends it. Things to try, in another shell:");
        say!("  settings    . {}", self.environment.display());
        say!("  all well?   bridge doctor");
        say!("  a story     bridge order show 1001A --verbose");
        say!("  a failure   bridge dead list");
        say!(
            "  a trigger   curl -d 'id=1001A&sum=&key={key}' {}/reintegrations/requests/trigger/retailcrm",
            self.ingress
        );
        say!("  the manager's pages, in a browser: file://{}", page.display());
        say!("  metrics     http://{}/metrics", self.ops);
        say!("  MeaSoft     {} (simulated; orders: {}/orders)", self.measoft.url(), self.measoft.control_url());
        say!("  RetailCRM   {} (simulated)", self.crm.url());
    }
}
