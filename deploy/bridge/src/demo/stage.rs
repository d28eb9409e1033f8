//! Where the demonstration plays: both simulators, an installation, its integrations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bridge_worker::callbacks::registration;
use bridge_worker::vendor::Connect as _;
use bridge_worker::vendor::connect::Clients;
use shared::bootstrap::Ctx;
use shared::config::{Config, Role as Process, Source};
use shared::domain::{Integration, Secret, Settings};
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::amqp::inspection::inspect;
use shared::store::audit::Who;
use shared::store::console::Role;
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::{AccountId, RetailcrmSim};

use crate::args::Demo;
use crate::console;
use crate::output::{Output, bold};
use crate::stdout::say;

/// How long the story may take before it counts as failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// One simulated shop with its integration.
pub(super) struct Shop {
    pub(super) account: AccountId,
    pub(super) integration: Integration,
    pub(super) delivery_type: &'static str,
}

pub(super) struct Stage {
    pub(super) measoft: MeasoftSim,
    pub(super) crm: RetailcrmSim,
    pub(super) ctx: Ctx,
    pub(super) ingress_address: String,
    pub(super) ingress: String,
    pub(super) ops: String,
    pub(super) shops: Vec<Shop>,
    pub(super) say: Printer,
    /// What other commands need to work on the same installation.
    pub(super) environment: PathBuf,
    settings: Vec<(String, String)>,
}

/// Progress for people; silent when a program listens.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub(super) fn line(self, text: &str) {
        if !self.json {
            say!("{text}");
        }
    }
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

pub(super) async fn set_up(args: &Demo, out: &Output, folder: PathBuf) -> anyhow::Result<Stage> {
    let say = Printer { json: out.json };
    let measoft = MeasoftSim::start(simulators::measoft::Options::default()).await?;
    let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await?;
    let (listen, ops) = (free_address()?, free_address()?);
    let mut settings = settings(args, &folder, &listen, &ops, &measoft.url());
    if args.keep {
        settings.push(("CONSOLE_LISTEN".to_owned(), free_address()?));
    }
    let ctx = open(&settings).await?;
    let shops = add_shops(&ctx, &measoft, &crm).await?;
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
    Ok(Stage { measoft, crm, ctx, ingress, ingress_address: listen, ops, shops, say, environment, settings })
}

/// Of the installation, by the names of the environment.
fn settings(args: &Demo, folder: &Path, listen: &str, ops: &str, measoft: &str) -> Vec<(String, String)> {
    let (folder, prefix) = (folder.display().to_string(), format!("demo-{}", std::process::id()));
    let mut settings = vec![
        ("DATA_DIR", folder.as_str()),
        ("INGRESS_LISTEN", listen),
        ("OPS_LISTEN", ops),
        ("MEASOFT_URL", measoft),
        ("CRM_ALLOWED_HOSTS", "127.0.0.1"),
        ("AMQP_PREFIX", &prefix),
        // The story is told in seconds: short waits, and no real vendor's limits to keep.
        ("SETTLE_MS", "200"),
        ("RETRY_RUNGS_S", "0.5,1,2"),
        ("UNKNOWN_RECHECK_S", "1"),
        ("CRM_RPS", "1000"),
        ("MEASOFT_PER_MINUTE", "100000"),
        ("MEASOFT_PER_20MIN", "100000"),
        ("MEASOFT_ACCOUNT_PER_HOUR", "100000"),
    ];
    if let Some(url) = &args.amqp {
        settings.push(("AMQP_URL", url));
    }
    let key = shared::crypto::SecretKey::generate();
    if let Some(url) = &args.database_url {
        settings.extend([("DATABASE_URL", url.as_str()), ("BRIDGE_SECRET_KEY", &key)]);
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The installation, with its tables made.
async fn open(settings: &[(String, String)]) -> anyhow::Result<Ctx> {
    let config = Arc::new(Config::read(Process::Bridge, &Source::from_pairs(settings.to_vec()))?);
    let key = config.load_secret_key()?;
    if let Some(url) = &config.amqp_url {
        // The story would wait for it; whoever tries the demonstration wants to know at once.
        let amqp = AmqpConfig::new(url, &config.amqp_prefix)?;
        if let Some(refusal) = inspect(&amqp).await.refusal {
            bail!("--amqp: RabbitMQ cannot be used: {refusal}");
        }
    }
    let ctx = Ctx::open(config, key).await?;
    // A server that is away says so at once; the migration would only know that it waited.
    crate::version::version(&ctx.store.db).await.context("--database-url")?;
    ctx.store.db.migrate().await?;
    Ok(ctx)
}

/// Two accounts of RetailCRM, of which one has two shops, each with an integration.
async fn add_shops(ctx: &Ctx, measoft: &MeasoftSim, crm: &RetailcrmSim) -> anyhow::Result<Vec<Shop>> {
    let (one, two) = ("demo-crm-key-one", "demo-crm-key-two");
    let plans = [
        (one, "Город", "incity", "8", "shop-demo", "secret-demo", "A-"),
        (one, "Область", "outcity", "8", "shop-demo", "secret-demo", "B-"),
        (two, "Второй магазин", "incity", "12", "second-demo", "secret-two", ""),
    ];
    let mut shops = Vec::new();
    for (crm_key, title, delivery_type, extra, login, password, prefix) in plans {
        measoft.add_account(Account::new(extra, login, password));
        let account = crm.add_account(crm_key);
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
        let code = integration.code(&ctx.config.module_code);
        crm.add_delivery_type(account, delivery_type, Some(&code), &["cash", "bank-card"]);
        shops.push(Shop { account, integration, delivery_type });
    }
    Ok(shops)
}

/// Registers the delivery modules in RetailCRM, as the operator does.
async fn register(ctx: &Ctx, shops: &[Shop]) -> anyhow::Result<()> {
    let journal = Journal::start(ctx.store.clone());
    let clients = Clients::new(&ctx.config, ctx.store.clone(), journal.clone(), ctx.metrics.clone())?;
    for shop in shops {
        let integration = Arc::new(shop.integration.clone());
        let vendors = clients.connect(&integration).map_err(anyhow::Error::msg)?;
        let shop = bridge_worker::vendor::ActiveIntegration::new(integration, vendors);
        registration::register(&shop, true, &ctx.config).await?;
    }
    journal.flush().await;
    Ok(())
}

/// For a shell: the settings of this installation.
fn exports<'a>(settings: impl IntoIterator<Item = &'a (String, String)>) -> String {
    settings.into_iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"))).collect()
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

impl Stage {
    /// Waits until nothing is wanted and nothing is queued.
    pub(super) async fn settled(&self, what: &str) -> anyhow::Result<()> {
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

    /// What to try while all of it keeps running.
    pub(super) async fn invite(&self) -> anyhow::Result<()> {
        let key = self.shops[0].integration.secrets.delivery_api_key.expose();
        let page = self.environment.with_file_name("manager.html");
        say!();
        say!("Everything keeps running; Ctrl-C ends it. In another shell, first the settings of this installation");
        say!("(also in {}):", self.environment.display());
        // What was given to the demonstration may hold passwords; the file has it.
        let secret = |name: &str| ["AMQP_URL", "DATABASE_URL", "BRIDGE_SECRET_KEY"].contains(&name);
        let (left_out, shown): (Vec<_>, Vec<_>) = self.settings.iter().partition(|(name, _)| secret(name));
        for line in exports(shown).lines() {
            say!("  {line}");
        }
        if !left_out.is_empty() {
            say!("  . {}  # and what is not printed", self.environment.display());
        }
        say!("Then try:");
        if let Some(listen) = self.ctx.config.console.listen {
            let who = Who::at_machine(Some("demo".to_owned()), "demo".to_owned());
            let link = console::link(listen, Role::Owner, &who, &self.ctx.store).await;
            let link = link.map_err(|_| anyhow::anyhow!("nobody can be let into the console"))?;
            say!("  the console, in a browser, within five minutes: {link}");
            say!("  later       bridge console open --role owner --as NAME");
        }
        say!("  all well?   bridge now; bridge doctor");
        say!("  a story     bridge order show 1001A --verbose");
        say!("  a failure   bridge causes; bridge dead list");
        say!(
            "  a trigger   curl -d 'id=1001A&sum=&key={key}' {}/reintegrations/requests/trigger/retailcrm",
            self.ingress
        );
        say!("  the manager's pages, in a browser: file://{}", page.display());
        say!("  metrics     http://{}/metrics", self.ops);
        say!("  MeaSoft     {} (simulated; orders: {}/orders)", self.measoft.url(), self.measoft.control_url());
        say!("  RetailCRM   {} (simulated)", self.crm.url());
        Ok(())
    }
}
