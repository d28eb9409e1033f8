//! The installation's settings. Everything about one
//! integration lives in the store instead.

mod console;
mod key;
mod reader;
pub mod source;
mod tls;
mod unknown;
pub(crate) mod urls;

pub use console::{Console, Oidc, SignIn};
pub use source::Source;
pub use unknown::UnknownVariable;
pub use urls::is_safe_url;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::allowed_hosts::AllowedHosts;
use crate::config::reader::{Reader, positive_seconds};
use crate::crypto::SecretKey;
use crate::domain::Secret;
use crate::files;
use crate::networks::Networks;
use crate::telemetry::logs::{BadFilter, LogFormat};
use crate::tls::Tls;

/// Which process reads the settings; it decides a default port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All roles in one process, and the operator's commands.
    Bridge,
    Ingress,
    Worker,
    Scheduler,
    /// The operator's pages on their own.
    Console,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Console => "console",
        }
    }

    const fn ops_default(self) -> &'static str {
        match self {
            Self::Bridge | Self::Ingress => "127.0.0.1:9101",
            Self::Worker => "127.0.0.1:9102",
            Self::Scheduler => "127.0.0.1:9103",
            Self::Console => "127.0.0.1:9104",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(Secret),
}

/// The vendors' fair-usage limits we keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    pub measoft_per_minute: u32,
    pub measoft_per_20min: u32,
    pub measoft_account_per_hour: u32,
    /// Requests per second, per API key and per our address.
    pub crm_rps: u32,
    /// How many times shorter than in reality MeaSoft's windows are: 1 but in tests.
    pub time_scale: u32,
}

/// Timing of retries, leases and looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The first read of an order waits this long after its trigger.
    pub settle: Duration,
    /// The ladder of delayed retries, ascending.
    pub rungs: Vec<Duration>,
    /// Pause before MeaSoft is asked again about an order whose create had no answer.
    pub unknown_recheck: Duration,
    pub lease: Duration,
    pub sweep: Duration,
    pub breaker_open: Duration,
    pub sync_interval: Duration,
    /// How long the journal is kept.
    pub journal_kept: Duration,
    /// How long orders that ended are kept, with their statuses and payments.
    pub orders_kept: Duration,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub role: Role,
    pub database: Database,
    /// The variable that says where the database is; `None`: the default.
    pub database_set_by: Option<String>,
    pub amqp_url: Option<Secret>,
    pub amqp_prefix: String,
    /// RabbitMQ's management API, where it is not beside the broker; `bridge doctor` asks it.
    pub amqp_management_url: Option<String>,
    pub data_dir: PathBuf,
    pub ingress_listen: SocketAddr,
    /// Whose word ingress takes for whom a request is from.
    pub trusted_proxies: Networks,
    pub public_url: String,
    pub ops_listen: SocketAddr,
    pub measoft_url: String,
    /// Text of `CRM_ALLOWED_HOSTS`; parsed by `retailcrm::url`.
    pub crm_allowed_hosts: String,
    pub worker_concurrency: u16,
    pub timing: Timing,
    pub budgets: Budgets,
    pub callback_deadline: Duration,
    pub calculate_deadline: Duration,
    pub module_code: String,
    /// What RetailCRM signs the keys with that its marketplace makes for the module; `None`: nobody
    /// is connected from there.
    pub module_secret: Option<Secret>,
    /// Folder of the built order card's widget.
    pub widget_dir: Option<PathBuf>,
    pub shutdown_grace: Duration,
    pub log_format: LogFormat,
    pub log_filter: String,
    /// The zone in which moments are shown to the operator.
    pub display_zone: TimeZone,
    pub console: Console,
    pub tls: Tls,
    secret_key: Option<Secret>,
    /// Opens too, while one key is changed for another.
    other_key: Option<Secret>,
}

/// Everything that is wrong with the settings, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadConfig(pub Vec<String>);

impl BadConfig {
    /// The exit code of a process whose settings are bad.
    pub const EXIT_CODE: u8 = 64;
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadConfig {}

impl From<BadFilter> for BadConfig {
    fn from(bad: BadFilter) -> Self {
        Self(vec![bad.to_string()])
    }
}

impl Database {
    fn read(r: &mut Reader<'_>, data_dir: &Path, tls: &Tls) -> Self {
        let Some(url) = r.text("DATABASE_URL") else { return Self::Sqlite(data_dir.join("bridge.db")) };
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            r.problems.extend(urls::postgres_problem(&url));
            return Self::Postgres(Secret::new(urls::with_files(&url, tls)));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        match path.and_then(|path| path.split('?').next()).filter(|path| !path.is_empty()) {
            Some(path) => Self::Sqlite(PathBuf::from(path)),
            None => {
                r.problems.push("DATABASE_URL: must begin with sqlite:// or postgres://".to_owned());
                Self::Sqlite(data_dir.join("bridge.db"))
            }
        }
    }
}

impl Timing {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            settle: Duration::from_millis(u64::from(r.number("SETTLE_MS", 1500, 0..=600_000))),
            rungs: r.parsed(
                "RETRY_RUNGS_S",
                [2, 15, 45, 120, 300, 900, 3600].map(Duration::from_secs).to_vec(),
                "a rising list of seconds like 2,15,45",
                rungs,
            ),
            unknown_recheck: r.seconds("UNKNOWN_RECHECK_S", 30),
            lease: r.seconds("LEASE_S", 90),
            sweep: r.seconds("SWEEP_S", 300),
            breaker_open: r.seconds("BREAKER_OPEN_S", 5),
            sync_interval: r.seconds("SYNC_INTERVAL_S", 300),
            journal_kept: r.days("KEEP_JOURNAL_DAYS", 30),
            orders_kept: r.days("KEEP_ORDERS_DAYS", 90),
        }
    }
}

impl Budgets {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            measoft_per_minute: r.number("MEASOFT_PER_MINUTE", 150, 1..=10_000_000),
            measoft_per_20min: r.number("MEASOFT_PER_20MIN", 1500, 1..=100_000_000),
            measoft_account_per_hour: r.number("MEASOFT_ACCOUNT_PER_HOUR", 3000, 1..=100_000_000),
            crm_rps: r.number("CRM_RPS", 8, 1..=1_000_000),
            time_scale: time_scale(r),
        }
    }
}

fn trusted_proxies(r: &mut Reader<'_>) -> Networks {
    let text = r.checked("TRUSTED_PROXIES", Networks::parse);
    text.and_then(|text| Networks::parse(&text).ok()).unwrap_or_default()
}

fn amqp_url(r: &mut Reader<'_>, role: Role) -> Option<Secret> {
    let Some(url) = r.text("AMQP_URL") else {
        if !matches!(role, Role::Bridge | Role::Console) {
            r.problems.push(format!(
                "AMQP_URL: {} needs RabbitMQ; set it, or run all roles in one process with `bridge up`",
                role.name()
            ));
        }
        return None;
    };
    if url.starts_with("amqp://") || url.starts_with("amqps://") {
        r.problems.extend(urls::amqp_problem(&url));
    } else {
        r.problems.push("AMQP_URL: must begin with amqp:// or amqps://".to_owned());
    }
    Some(Secret::new(url))
}

#[cfg(feature = "testing")]
fn time_scale(r: &mut Reader<'_>) -> u32 {
    r.number("TEST_TIME_SCALE", 1, 1..=1000)
}

#[cfg(not(feature = "testing"))]
const fn time_scale(_: &mut Reader<'_>) -> u32 {
    1
}

fn moscow() -> TimeZone {
    TimeZone::get("Europe/Moscow").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(3)))
}

fn rungs(text: &str) -> Option<Vec<Duration>> {
    let rungs: Vec<Duration> = text.split(',').map(positive_seconds).collect::<Option<_>>()?;
    (!rungs.is_empty() && rungs.windows(2).all(|pair| pair[0] < pair[1])).then_some(rungs)
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// [`BadConfig`] with every problem found.
    pub fn read(role: Role, source: &Source) -> Result<Self, BadConfig> {
        let mut r = Reader::new(source);
        let config = Self::gather(role, &mut r);
        if r.problems.is_empty() { Ok(config) } else { Err(BadConfig(r.problems)) }
    }

    /// Variables that look like ours and that nothing reads.
    pub fn unknown_variables(role: Role, source: &Source) -> Vec<UnknownVariable> {
        let mut r = Reader::new(source);
        // What is read is what is known; a list of its own would be forgotten.
        let _ = Self::gather(role, &mut r);
        unknown::unknown(source, &r.known)
    }

    fn gather(role: Role, r: &mut Reader<'_>) -> Self {
        let data_dir = PathBuf::from(r.text("DATA_DIR").unwrap_or_else(|| "data".to_owned()));
        let ingress_listen = r.address("INGRESS_LISTEN", "127.0.0.1:8080");
        let tls = tls::read(r);
        Self {
            role,
            database: Database::read(r, &data_dir, &tls),
            database_set_by: r.source.variable("DATABASE_URL").or_else(|| r.source.variable("DATA_DIR")),
            amqp_url: amqp_url(r, role),
            amqp_prefix: r.word("AMQP_PREFIX", "bridge", "made of letters, digits, - _ and .", |text| {
                text.len() <= 60 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            }),
            amqp_management_url: r.parsed(
                "AMQP_MANAGEMENT_URL",
                None,
                "an http(s) URL without user and password",
                |text| urls::is_plain_http(text).then(|| Some(text.to_owned())),
            ),
            data_dir,
            ingress_listen,
            trusted_proxies: trusted_proxies(r),
            public_url: r.parsed("PUBLIC_URL", format!("http://{ingress_listen}"), "an http(s) URL", |text| {
                urls::is_http(text).then(|| text.trim_end_matches('/').to_owned())
            }),
            ops_listen: r.address("OPS_LISTEN", role.ops_default()),
            measoft_url: r.word(
                "MEASOFT_URL",
                "https://home.courierexe.ru/api/",
                "an https URL (plain http only for loopback addresses)",
                is_safe_url,
            ),
            crm_allowed_hosts: r.checked("CRM_ALLOWED_HOSTS", AllowedHosts::parse).unwrap_or_default(),
            worker_concurrency: u16::try_from(r.number("WORKER_CONCURRENCY", 32, 1..=1000)).unwrap_or(32),
            timing: Timing::read(r),
            budgets: Budgets::read(r),
            callback_deadline: r.seconds("CALLBACK_DEADLINE_S", 12),
            calculate_deadline: r.seconds("CALCULATE_DEADLINE_S", 5),
            module_code: r.word("MODULE_CODE", "measoft", "made of letters, digits, - and _", |text| {
                text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
            }),
            module_secret: r.text("MODULE_SECRET").map(Secret::new),
            widget_dir: r.text("WIDGET_DIR").map(PathBuf::from),
            shutdown_grace: r.seconds("SHUTDOWN_GRACE_S", 30),
            log_format: r.parsed("LOG_FORMAT", LogFormat::Text, "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            }),
            log_filter: r.text("RUST_LOG").unwrap_or_else(|| "info".to_owned()),
            display_zone: r.parsed("DISPLAY_TIME_ZONE", moscow(), "a time zone like Europe/Moscow", |text| {
                TimeZone::get(text).ok()
            }),
            console: Console::read(r),
            tls,
            secret_key: r.checked("BRIDGE_SECRET_KEY", SecretKey::parse).map(Secret::new),
            other_key: r.checked("BRIDGE_SECRET_KEY_OTHER", SecretKey::parse).map(Secret::new),
        }
    }

    /// Makes the folders that SQLite and the key file live in.
    ///
    /// # Errors
    /// [`BadConfig`] naming `DATA_DIR` or `DATABASE_URL`.
    pub fn make_folders(&self) -> Result<(), BadConfig> {
        let Database::Sqlite(file) = &self.database else { return Ok(()) };
        let folders = [("DATA_DIR", Some(self.data_dir.as_path())), ("DATABASE_URL", file.parent())];
        for (name, folder) in folders {
            let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { continue };
            files::make_folder(folder).map_err(|error| {
                BadConfig(vec![format!("{name}: the folder {} cannot be created ({error})", folder.display())])
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(role: Role, pairs: &[(&str, &str)]) -> Result<Config, BadConfig> {
        Config::read(role, &Source::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn an_empty_environment_is_a_working_one_process_set_up() {
        let config = read(Role::Bridge, &[]).expect("defaults");
        assert_eq!(config.database, Database::Sqlite(PathBuf::from("data/bridge.db")));
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert_eq!(config.ops_listen.port(), 9101);
        assert_eq!(config.timing.settle, Duration::from_millis(1500));
        assert_eq!(config.timing.rungs.len(), 7);
        assert_eq!(config.worker_concurrency, 32);
    }

    #[test]
    fn all_problems_are_reported_at_once_and_name_their_variable() {
        let bad = read(
            Role::Worker,
            &[
                ("DATABASE_URL", "mysql://x"),
                ("INGRESS_LISTEN", "here"),
                ("TRUSTED_PROXIES", "10.0.0.0/33"),
                ("WORKER_CONCURRENCY", "0"),
                ("RETRY_RUNGS_S", "5,2"),
                ("MEASOFT_URL", "http://home.courierexe.ru/api/"),
                ("BRIDGE_SECRET_KEY", "short"),
                ("LOG_FORMAT", "xml"),
                ("LEASE_S", "0"),
                ("KEEP_JOURNAL_DAYS", "for ever"),
                ("RUST_LOG_FILE", "/does/not/exist"),
            ],
        )
        .expect_err("bad");
        for name in [
            "DATABASE_URL",
            "INGRESS_LISTEN",
            "TRUSTED_PROXIES",
            "WORKER_CONCURRENCY",
            "RETRY_RUNGS_S",
            "MEASOFT_URL",
            "BRIDGE_SECRET_KEY",
            "LOG_FORMAT",
            "LEASE_S",
            "KEEP_JOURNAL_DAYS",
            "RUST_LOG_FILE",
            "AMQP_URL",
        ] {
            assert_eq!(bad.0.iter().filter(|p| p.starts_with(name)).count(), 1, "{name} in {bad}");
        }
        assert!(!bad.to_string().contains("short"), "a key is not repeated");
    }

    #[test]
    fn a_value_may_come_from_a_file_but_not_from_two_places() {
        let dir = std::env::temp_dir().join(format!("bridge-config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&dir).expect("dir");
        let file = dir.join("url");
        std::fs::write(&file, "amqp://guest:guest@127.0.0.1/\n").expect("file");
        let path = file.to_str().expect("utf-8");
        let config = read(Role::Worker, &[("AMQP_URL_FILE", path)]).expect("from the file");
        assert_eq!(config.amqp_url.expect("set").expose(), "amqp://guest:guest@127.0.0.1/");
        assert!(read(Role::Worker, &[("AMQP_URL_FILE", path), ("AMQP_URL", "amqp://x/")]).is_err());
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_key_file_is_made_once_and_only_for_sqlite() {
        let dir = std::env::temp_dir().join(format!("bridge-key-{}", uuid::Uuid::new_v4()));
        let path = dir.to_str().expect("utf-8").to_owned();
        let sqlite = read(Role::Bridge, &[("DATA_DIR", &path)]).expect("config");
        let first = sqlite.load_secret_key().expect("made").lookup_hash("x");
        assert_eq!(sqlite.load_secret_key().expect("kept").lookup_hash("x"), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.join("secret.key")).expect("file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::remove_dir_all(&dir).expect("clean");
        let postgres =
            read(Role::Bridge, &[("DATA_DIR", &path), ("DATABASE_URL", "postgres://u:p@127.0.0.1/x")]).expect("config");
        assert!(postgres.load_secret_key().expect_err("must be given").to_string().contains("BRIDGE_SECRET_KEY"));
    }

    #[test]
    fn plain_http_to_measoft_only_on_loopback() {
        assert!(is_safe_url("http://127.0.0.1:8000/api/"));
        assert!(is_safe_url("http://[::1]:8000/api/"));
        assert!(is_safe_url("https://home.courierexe.ru/api/"));
        assert!(!is_safe_url("http://10.0.0.1/api/"));
        assert!(!is_safe_url("ftp://127.0.0.1/"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = read(
            Role::Bridge,
            &[("DATABASE_URL", "postgres://u:hunter2@127.0.0.1/x"), ("AMQP_URL", "amqp://u:hunter2@127.0.0.1/")],
        )
        .expect("config");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
