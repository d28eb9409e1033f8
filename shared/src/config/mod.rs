//! The installation's settings (design §6 «Environment», fixed). Everything about one
//! integration lives in the store instead.

pub mod source;
mod unknown;
mod urls;

pub use source::Source;
pub use unknown::UnknownVariable;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use crate::crypto::SecretKey;
use crate::domain::Secret;
use crate::queue::amqp::config::AmqpConfig;
use crate::retailcrm::AllowedHosts;

/// Which process reads the settings; it decides a default port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All roles in one process, and the operator's commands.
    Bridge,
    Ingress,
    Worker,
    Scheduler,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
        }
    }

    const fn ops_default(self) -> &'static str {
        match self {
            Self::Bridge | Self::Ingress => "127.0.0.1:9101",
            Self::Worker => "127.0.0.1:9102",
            Self::Scheduler => "127.0.0.1:9103",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(Secret),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The vendors' fair-usage limits we keep to (design §5).
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
    pub shutdown_grace: Duration,
    pub log_format: LogFormat,
    pub log_filter: String,
    /// The zone in which moments are shown to the operator.
    pub display_zone: TimeZone,
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

/// Gathers problems instead of stopping at the first.
struct Reader<'a> {
    source: &'a Source,
    problems: Vec<String>,
    /// Every name that was asked for.
    known: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new(), known: BTreeSet::new() }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.known.insert(name.to_owned());
        self.source.get(name).unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        })
    }

    fn parsed<T>(&mut self, name: &str, default: T, what: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        match self.text(name) {
            None => default,
            Some(text) => parse(&text).unwrap_or_else(|| {
                self.problems.push(format!("{name}: «{text}» is not {what}"));
                default
            }),
        }
    }

    fn number(&mut self, name: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &what, |text| text.parse().ok().filter(|n| range.contains(n)))
    }

    fn seconds(&mut self, name: &str, default: u32) -> Duration {
        self.parsed(name, Duration::from_secs(u64::from(default)), "a number of seconds above zero", positive_seconds)
    }

    fn address(&mut self, name: &str, default: &str) -> SocketAddr {
        let default = default.parse().expect("the defaults are addresses");
        self.parsed(name, default, "an address like 127.0.0.1:8080", |text| text.parse().ok())
    }
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

/// Seconds with an optional fraction (tests use small ones), above zero.
fn positive_seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds > 0.0 && seconds < 1e8).then(|| Duration::from_secs_f64(seconds))
}

fn rungs(text: &str) -> Option<Vec<Duration>> {
    let rungs: Vec<Duration> = text.split(',').map(positive_seconds).collect::<Option<_>>()?;
    (!rungs.is_empty() && rungs.windows(2).all(|pair| pair[0] < pair[1])).then_some(rungs)
}

/// Plain http only where nobody can listen: a password travels in the body.
pub fn is_safe_measoft_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
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
        let database = match r.text("DATABASE_URL") {
            None => Database::Sqlite(data_dir.join("bridge.db")),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                r.problems.extend(urls::postgres_problem(&url));
                Database::Postgres(Secret::new(url))
            }
            Some(url) => match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
                Some(path) if !path.split('?').next().unwrap_or("").is_empty() => {
                    Database::Sqlite(PathBuf::from(path.split('?').next().unwrap_or("")))
                }
                _ => {
                    r.problems.push("DATABASE_URL: must begin with sqlite:// or postgres://".to_owned());
                    Database::Sqlite(data_dir.join("bridge.db"))
                }
            },
        };
        let amqp_url = r.text("AMQP_URL");
        match &amqp_url {
            Some(url) if !(url.starts_with("amqp://") || url.starts_with("amqps://")) => {
                r.problems.push("AMQP_URL: must begin with amqp:// or amqps://".to_owned());
            }
            Some(url) if urls::amqp_problem(url).is_some() => r.problems.extend(urls::amqp_problem(url)),
            Some(url) if AmqpConfig::new(&Secret::new(url), "p", Vec::new()).is_err() => {
                r.problems.push("AMQP_URL: not a valid amqp:// or amqps:// URL".to_owned());
            }
            None if role != Role::Bridge => r.problems.push(format!(
                "AMQP_URL: {} needs RabbitMQ; set it, or run all roles in one process with `bridge up`",
                role.name()
            )),
            _ => {}
        }
        if role != Role::Bridge && matches!(database, Database::Sqlite(_)) && amqp_url.is_some() {
            tracing::debug!("SQLite under split processes: they must share one machine");
        }
        let amqp_prefix = r.parsed("AMQP_PREFIX", "bridge".to_owned(), "made of letters, digits, - _ and .", |text| {
            let fine = text.len() <= 60 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            fine.then(|| text.to_owned())
        });
        let amqp_management_url =
            r.parsed("AMQP_MANAGEMENT_URL", None, "an http(s) URL without user and password", |text| {
                let url = Url::parse(text).ok()?;
                let plain = url.username().is_empty() && url.password().is_none();
                (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then(|| Some(text.to_owned()))
            });
        let ingress_listen = r.address("INGRESS_LISTEN", "127.0.0.1:8080");
        let public_url = r.parsed("PUBLIC_URL", format!("http://{ingress_listen}"), "an http(s) URL", |text| {
            let url = Url::parse(text).ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| text.trim_end_matches('/').to_owned())
        });
        let measoft_url = r.parsed(
            "MEASOFT_URL",
            "https://home.courierexe.ru/api/".to_owned(),
            "an https URL (plain http only for loopback addresses)",
            |text| is_safe_measoft_url(text).then(|| text.to_owned()),
        );
        let timing = Timing {
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
        };
        let budgets = Budgets {
            measoft_per_minute: r.number("MEASOFT_PER_MINUTE", 150, 1..=10_000_000),
            measoft_per_20min: r.number("MEASOFT_PER_20MIN", 1500, 1..=100_000_000),
            measoft_account_per_hour: r.number("MEASOFT_ACCOUNT_PER_HOUR", 3000, 1..=100_000_000),
            crm_rps: r.number("CRM_RPS", 8, 1..=1_000_000),
            time_scale: time_scale(r),
        };
        let crm_allowed_hosts = r.text("CRM_ALLOWED_HOSTS").unwrap_or_default();
        if let Err(bad) = AllowedHosts::parse(&crm_allowed_hosts) {
            r.problems.push(format!("CRM_ALLOWED_HOSTS: {bad}"));
        }
        let secret_key = r.text("BRIDGE_SECRET_KEY").map(Secret::new);
        if let Some(key) = &secret_key
            && let Err(error) = SecretKey::parse(key.expose())
        {
            r.problems.push(format!("BRIDGE_SECRET_KEY: {error}"));
        }
        let other_key = r.text("BRIDGE_SECRET_KEY_OTHER").map(Secret::new);
        if let Some(key) = &other_key
            && let Err(error) = SecretKey::parse(key.expose())
        {
            r.problems.push(format!("BRIDGE_SECRET_KEY_OTHER: {error}"));
        }
        let module_code = r.parsed("MODULE_CODE", "measoft".to_owned(), "made of letters, digits, - and _", |text| {
            let fine = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            fine.then(|| text.to_owned())
        });
        let database_set_by = r.source.variable("DATABASE_URL").or_else(|| r.source.variable("DATA_DIR"));
        Self {
            role,
            database,
            database_set_by,
            amqp_url: amqp_url.map(Secret::new),
            amqp_prefix,
            amqp_management_url,
            data_dir,
            ingress_listen,
            public_url,
            ops_listen: r.address("OPS_LISTEN", role.ops_default()),
            measoft_url,
            crm_allowed_hosts,
            worker_concurrency: u16::try_from(r.number("WORKER_CONCURRENCY", 32, 1..=1000)).unwrap_or(32),
            timing,
            budgets,
            callback_deadline: r.seconds("CALLBACK_DEADLINE_S", 12),
            calculate_deadline: r.seconds("CALCULATE_DEADLINE_S", 5),
            module_code,
            shutdown_grace: r.seconds("SHUTDOWN_GRACE_S", 30),
            log_format: r.parsed("LOG_FORMAT", LogFormat::Text, "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            }),
            display_zone: r.parsed("DISPLAY_TIME_ZONE", moscow(), "a time zone like Europe/Moscow", |text| {
                TimeZone::get(text).ok()
            }),
            log_filter: r.text("RUST_LOG").unwrap_or_else(|| "info".to_owned()),
            secret_key,
            other_key,
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
            crate::store::file::make_folder(folder).map_err(|error| {
                BadConfig(vec![format!("{name}: the folder {} cannot be created ({error})", folder.display())])
            })?;
        }
        Ok(())
    }

    /// The installation's key. With SQLite it is made on first use; with PostgreSQL it must
    /// be given, since several machines need the same one.
    ///
    /// # Errors
    /// [`BadConfig`] naming `BRIDGE_SECRET_KEY`.
    pub fn load_secret_key(&self) -> Result<SecretKey, BadConfig> {
        let path = self.key_file();
        if self.secret_key.is_none() && !path.exists() && matches!(self.database, Database::Sqlite(_)) {
            create_key_file(&path).map_err(|error| {
                BadConfig(vec![format!("DATA_DIR: {} cannot be written ({error})", path.display())])
            })?;
        }
        let none = || BadConfig(vec![format!("DATA_DIR: {} is not there", path.display())]);
        self.find_secret_key()?.ok_or_else(none)
    }

    /// Where the key is kept that no setting gives.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("secret.key")
    }

    /// The installation's key if there is one. Nothing is made.
    ///
    /// # Errors
    /// [`BadConfig`] naming `BRIDGE_SECRET_KEY`; with PostgreSQL also when it is not given.
    pub fn find_secret_key(&self) -> Result<Option<SecretKey>, BadConfig> {
        let Some(key) = self.find_own_key()? else {
            return match self.database {
                Database::Sqlite(_) => Ok(None),
                Database::Postgres(_) => Err(BadConfig(vec![
                    "BRIDGE_SECRET_KEY: must be given when PostgreSQL is used; `bridge secret-key` makes one"
                        .to_owned(),
                ])),
            };
        };
        Ok(Some(match self.other_key.as_ref().map(|other| SecretKey::parse(other.expose())) {
            None => key,
            Some(Ok(other)) => key.beside(other),
            Some(Err(error)) => return Err(BadConfig(vec![format!("BRIDGE_SECRET_KEY_OTHER: {error}")])),
        }))
    }

    fn find_own_key(&self) -> Result<Option<SecretKey>, BadConfig> {
        let bad = |text: String| BadConfig(vec![text]);
        if let Some(key) = &self.secret_key {
            let key = SecretKey::parse(key.expose()).map_err(|error| bad(format!("BRIDGE_SECRET_KEY: {error}")))?;
            return Ok(Some(key));
        }
        let path = self.key_file();
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| bad(format!("DATA_DIR: {} cannot be read ({error})", path.display())))?;
        SecretKey::parse(&text).map(Some).map_err(|error| bad(format!("{}: {error}", path.display())))
    }
}

/// Writes a new key readable by its owner alone. Two processes starting together end up
/// with the key of one of them.
fn create_key_file(path: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    if let Some(folder) = path.parent() {
        crate::store::file::make_folder(folder)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    writeln!(file, "{}", SecretKey::generate())?;
    file.sync_all()?;
    // A link fails when the name is taken, so the first one wins and nobody overwrites a key in use.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
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
                ("WORKER_CONCURRENCY", "0"),
                ("RETRY_RUNGS_S", "5,2"),
                ("MEASOFT_URL", "http://home.courierexe.ru/api/"),
                ("BRIDGE_SECRET_KEY", "short"),
                ("LOG_FORMAT", "xml"),
                ("LEASE_S", "0"),
                ("RUST_LOG_FILE", "/does/not/exist"),
            ],
        )
        .expect_err("bad");
        for name in [
            "DATABASE_URL",
            "INGRESS_LISTEN",
            "WORKER_CONCURRENCY",
            "RETRY_RUNGS_S",
            "MEASOFT_URL",
            "BRIDGE_SECRET_KEY",
            "LOG_FORMAT",
            "LEASE_S",
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
        assert!(is_safe_measoft_url("http://127.0.0.1:8000/api/"));
        assert!(is_safe_measoft_url("http://[::1]:8000/api/"));
        assert!(is_safe_measoft_url("https://home.courierexe.ru/api/"));
        assert!(!is_safe_measoft_url("http://10.0.0.1/api/"));
        assert!(!is_safe_measoft_url("ftp://127.0.0.1/"));
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
