//! How each program starts when something it needs is wrong: what cannot mend itself ends it
//! with the documented exit code, everything else it waits for, and either way one sentence
//! says what is wrong and gives no secret away.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::proxy::{Path, Proxy};
use harness::{Database, LONG, broker_url, eventually, programs};
use sqlx::Connection as _;
use url::Url;

/// Stands for every password and key that a setting holds; must never be seen.
const PLANTED: &str = "planted-8d1f";
/// A program and its subcommand.
type Program = &'static [&'static str];
/// Names and values of the environment.
type Settings<'a> = &'a [(&'a str, &'a str)];

const ROLES: [Program; 3] = [&["ingress"], &["worker"], &["scheduler"]];
const UP: Program = &["bridge", "up"];

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bridge-startup-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program of the product with settings of its own and nothing else in its environment.
struct Started {
    child: Child,
    log: PathBuf,
    ops: String,
    ingress: String,
    http: reqwest::Client,
    name: String,
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string()
}

impl Started {
    fn new(folder: &Folder, command: &[&str], settings: &[(&str, &str)]) -> Self {
        let (ops, ingress) = (free_address(), free_address());
        let log = folder.0.join(format!("{}.log", uuid::Uuid::new_v4().simple()));
        let file = File::create(&log).expect("a log");
        let child = Command::new(programs().join(command[0]))
            .args(&command[1..])
            .env_clear()
            .env("DATA_DIR", folder.0.join("data"))
            .env("OPS_LISTEN", &ops)
            .env("INGRESS_LISTEN", &ingress)
            .env("SHUTDOWN_GRACE_S", "5")
            .env("AMQP_PREFIX", format!("startup-{}", uuid::Uuid::new_v4().simple()))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the program can be started");
        let http = simulators::http().timeout(LONG).build().expect("a client");
        Self { child, log, ops, ingress, http, name: command.join(" ") }
    }

    fn said(&self) -> String {
        let said = String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log")).into_owned();
        assert!(!said.contains(PLANTED), "{} gives a secret away:\n{said}", self.name);
        assert!(!said.contains("panicked"), "{} panicked:\n{said}", self.name);
        said
    }

    async fn code(&mut self) -> i32 {
        let name = self.name.clone();
        let status = eventually(&format!("{name} ends"), LONG, || {
            let ended = self.child.try_wait().expect("asked");
            async move { ended.ok_or_else(|| "running".to_owned()) }
        })
        .await;
        status.code().unwrap_or(-1)
    }

    /// Status and body of `/live` or `/ready`, once it answers at all.
    async fn health(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}/{path}", self.ops);
        eventually(&format!("{} answers /{path}", self.name), LONG, || async {
            let answer = self.http.get(&url).send().await.map_err(|error| format!("{error}: {}", self.said()))?;
            Ok::<_, String>((answer.status().as_u16(), answer.text().await.map_err(|error| error.to_string())?))
        })
        .await
    }

    async fn is_ready(&self, yes: bool, because: &str) {
        eventually(&format!("{} is ready: {yes}, «{because}»", self.name), LONG, || async {
            let (status, body) = self.health("ready").await;
            if (status == 200) == yes && body.contains(because) { Ok(()) } else { Err(format!("{status} {body}")) }
        })
        .await;
    }

    async fn says(&self, words: &str) {
        eventually(&format!("{} says «{words}»", self.name), LONG, || async {
            let said = self.said();
            if said.contains(words) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// It lives, waits, and says this.
    async fn waits(&mut self, words: &str) {
        assert_eq!(self.health("live").await.0, 200, "{} lives", self.name);
        self.says(words).await;
        assert!(self.child.try_wait().expect("asked").is_none(), "{} ended: {}", self.name, self.said());
    }

    /// The answer to a trigger.
    async fn trigger(&self, key: &str) -> (u16, bool) {
        let url = format!("http://{}/reintegrations/requests/trigger/retailcrm", self.ingress);
        let send = || self.http.post(&url).form(&[("id", "1234A"), ("sum", ""), ("key", key)]).send();
        // The health of a process can be asked for before its door opens.
        let answer = eventually("an answer", LONG, || async { send().await.map_err(|error| error.to_string()) }).await;
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    }

    /// SIGTERM; it must end well.
    async fn stop(mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(told.success());
        assert_eq!(self.code().await, 0, "{} after SIGTERM: {}", self.name, self.said());
        assert!(!self.said().contains("ERROR lapin"), "{}", self.said());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `bridge` to its end.
fn bridge(folder: &Folder, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(programs().join("bridge"))
        .args(arguments)
        .env_clear()
        .env("DATA_DIR", folder.0.join("data"))
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), said)
}

fn new_key() -> String {
    bridge(&Folder::new(), &["secret-key"], &[]).1.trim().to_owned()
}

/// Adds an integration; gives its `deliveryApiKey`.
fn add_integration(folder: &Folder, settings: &[(&str, &str)]) -> String {
    let arguments =
        ["integration", "add", "--json", "--title", "T", "--crm-url", "https://shop.retailcrm.ru", "--crm-key"];
    let more = [PLANTED, "--extra", "8", "--login", "shop", "--password", PLANTED, "--delivery-type", "incity"];
    let (code, said) = bridge(folder, &[&arguments[..], &more[..]].concat(), settings);
    assert_eq!(code, 0, "{said}");
    let made: serde_json::Value = serde_json::from_str(&said).expect("one document");
    made["deliveryApiKey"].as_str().expect("a key").to_owned()
}

#[test]
fn a_role_answers_to_help_and_version_without_starting() {
    for program in ["ingress", "worker", "scheduler"] {
        let run = |argument: &str| {
            let output = Command::new(programs().join(program)).arg(argument).env_clear().output().expect("it runs");
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("utf-8");
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let (code, said, complaint) = run("--help");
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{program}");
        assert!(said.contains(&format!("Usage: {program}")) && said.contains("Exit codes: 0 done"), "{said}");
        assert_eq!(
            run("--version"),
            (Some(0), format!("{program} {}\n", shared::telemetry::Metrics::BUILD), String::new())
        );
        let (code, said, complaint) = run("--versoin");
        assert!(code == Some(2) && said.is_empty() && complaint.contains("did you mean --version?"), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_mend_itself_ends_every_program_with_its_exit_code() {
    let (folder, key) = (Folder::new(), new_key());
    let amqp = broker_url();
    let database = Database::create().await.expect("a database");
    let postgres = database.url.to_string();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let good = [("DATABASE_URL", postgres.as_str()), ("AMQP_URL", amqp.as_str()), ("BRIDGE_SECRET_KEY", key.as_str())];
    let (bad_amqp, bad_database) = (format!("http://u:{PLANTED}@x"), format!("mysql://u:{PLANTED}@x/y"));
    let file = folder.0.join("a-file");
    std::fs::write(&file, "").expect("written");
    let below_a_file = file.join("data").display().to_string();
    let missing = folder.0.join("missing").display().to_string();
    // Changed settings, exit code, what is said; an empty value takes the setting away.
    let everywhere: &[(Settings<'_>, i32, &str)] = &[
        (&[("AMQP_URL", &bad_amqp)], 64, "AMQP_URL: must begin with amqp:// or amqps://"),
        (&[("DATABASE_URL", &bad_database)], 64, "DATABASE_URL: must begin with sqlite:// or postgres://"),
        (&[("BRIDGE_SECRET_KEY", "")], 64, "BRIDGE_SECRET_KEY: must be given when PostgreSQL is used"),
        (&[("BRIDGE_SECRET_KEY", PLANTED)], 64, "BRIDGE_SECRET_KEY: a secret key is 32 bytes in base64"),
        (&[("BRIDGE_SECRET_KEY", ""), ("BRIDGE_SECRET_KEY_FILE", &missing)], 64, "BRIDGE_SECRET_KEY_FILE"),
        (&[("DATABASE_URL", ""), ("DATA_DIR", &below_a_file)], 64, "DATA_DIR: the folder"),
        (&[("OPS_LISTEN", "everywhere")], 64, "OPS_LISTEN: «everywhere» is not an address"),
        (&[("OPS_LISTEN", &taken)], 1, "cannot be opened: Address already in use"),
        (&[("CRM_ALLOWED_HOSTS", "http://x/y z")], 64, "CRM_ALLOWED_HOSTS: "),
        (&[("RUST_LOG", "a=b=c")], 64, "RUST_LOG: not a filter"),
    ];
    let by_program: &[(Program, Settings<'_>, i32, &str)] = &[
        (&["ingress"], &[("INGRESS_LISTEN", &taken)], 1, "INGRESS_LISTEN:"),
        (UP, &[("INGRESS_LISTEN", &taken)], 1, "INGRESS_LISTEN:"),
        (&["ingress"], &[("AMQP_URL", "")], 64, "AMQP_URL: ingress needs RabbitMQ"),
        (&["worker"], &[("AMQP_URL", "")], 64, "AMQP_URL: worker needs RabbitMQ"),
        (&["scheduler"], &[("AMQP_URL", "")], 64, "AMQP_URL: scheduler needs RabbitMQ"),
    ];
    let all = everywhere.iter().flat_map(|(changed, code, words)| {
        ROLES.into_iter().chain([UP]).map(move |program| (program, *changed, *code, *words))
    });
    for (program, changed, code, words) in all.chain(by_program.iter().copied()) {
        let settings = [&good[..], changed].concat();
        let mut started = Started::new(&folder, program, &settings);
        let (ended, said) = (started.code().await, started.said());
        assert_eq!(ended, code, "{} with {changed:?}: {said}", started.name);
        let sentences: Vec<&str> = said.lines().filter(|line| line.contains(words)).collect();
        assert_eq!(sentences.len(), 1, "{} with {changed:?} says «{words}» once: {said}", started.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_the_databases_ends_every_program() {
    let folder = Folder::new();
    let database = Database::create().await.expect("a database");
    let (postgres, amqp, right, wrong) = (database.url.to_string(), broker_url(), new_key(), new_key());
    let own = [("DATABASE_URL", postgres.as_str()), ("BRIDGE_SECRET_KEY", right.as_str())];
    assert_eq!(bridge(&folder, &["migrate"], &own).0, 0);
    add_integration(&folder, &own);
    for program in ROLES.into_iter().chain([UP]) {
        let settings = [own[0], ("AMQP_URL", amqp.as_str()), ("BRIDGE_SECRET_KEY", wrong.as_str())];
        let mut started = Started::new(&folder, program, &settings);
        assert_eq!(started.code().await, 64, "{}: {}", started.name, started.said());
        assert!(started.said().contains("BRIDGE_SECRET_KEY is not the key it was written with"), "{}", started.said());
    }
    let stranger = [own[0], ("BRIDGE_SECRET_KEY", wrong.as_str())];
    assert_eq!(bridge(&folder, &["integration", "list"], &stranger).0, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_sqlite_folder_is_refused() {
    let folder = Folder::new();
    let first = Started::new(&folder, UP, &[]);
    first.is_ready(true, "").await;
    let mut second = Started::new(&folder, UP, &[]);
    assert_eq!(second.code().await, 1);
    assert!(second.said().contains("another `bridge up`"), "{}", second.said());
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_broker_every_program_waits_and_ingress_accepts() {
    let folder = Folder::new();
    let (database, key) = (Database::create().await.expect("a database"), new_key());
    let postgres = database.url.to_string();
    let own = [("DATABASE_URL", postgres.as_str()), ("BRIDGE_SECRET_KEY", key.as_str())];
    assert_eq!(bridge(&folder, &["migrate"], &own).0, 0);
    let shop = add_integration(&folder, &own);
    let mut url = Url::parse(&broker_url()).expect("a URL");
    let proxy = Proxy::start(format!("127.0.0.1:{}", url.port().expect("a port"))).await.expect("a proxy");
    proxy.set(Path::Reset);
    url.set_port(Some(proxy.address().port())).expect("a port");
    let amqp = url.to_string();
    let settings = [own[0], own[1], ("AMQP_URL", amqp.as_str())];
    let mut all: Vec<Started> =
        ROLES.into_iter().chain([UP]).map(|program| Started::new(&folder, program, &settings)).collect();
    for (n, started) in all.iter_mut().enumerate() {
        started.waits("RabbitMQ cannot be used").await;
        started.is_ready(n == 0, "the broker is not reachable").await;
    }
    assert_eq!(all[0].trigger(&shop).await.0, 200, "what is accepted lies in the database");
    proxy.set(Path::Pass);
    for started in all {
        started.is_ready(true, "").await;
        started.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_let_us_in_is_named_by_its_reason() {
    let folder = Folder::new();
    let (database, key) = (Database::create().await.expect("a database"), new_key());
    let postgres = database.url.to_string();
    let own = [("DATABASE_URL", postgres.as_str()), ("BRIDGE_SECRET_KEY", key.as_str())];
    assert_eq!(bridge(&folder, &["migrate"], &own).0, 0);
    let mut login = Url::parse(&broker_url()).expect("a URL");
    login.set_password(Some(PLANTED)).expect("a password");
    let mut host = Url::parse(&broker_url()).expect("a URL");
    host.set_path("/nowhere");
    for (url, words) in [
        (login.to_string(), "it refuses the user name or password of AMQP_URL"),
        (host.to_string(), "it does not let us into the virtual host of AMQP_URL"),
    ] {
        for program in ROLES.into_iter().chain([UP]) {
            let mut started = Started::new(&folder, program, &[own[0], own[1], ("AMQP_URL", url.as_str())]);
            started.waits(words).await;
            started.stop().await;
        }
        let (code, said) = bridge(&folder, &["demo", "--orders", "6", "--amqp", &url], &[]);
        assert!(code == 1 && said.contains(words) && !said.contains(PLANTED), "{code}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_every_program_waits_and_ingress_says_when_to_come_back() {
    let folder = Folder::new();
    let (database, key, amqp) = (Database::create().await.expect("a database"), new_key(), broker_url());
    let own = [("DATABASE_URL", database.url.as_str()), ("BRIDGE_SECRET_KEY", key.as_str())];
    assert_eq!(bridge(&folder, &["migrate"], &own).0, 0);
    let shop = add_integration(&folder, &own);
    let proxy = Proxy::start(database.address()).await.expect("a proxy");
    proxy.set(Path::Reset);
    let away = database.by_way_of(proxy.address());
    let settings = [("DATABASE_URL", away.as_str()), own[1], ("AMQP_URL", amqp.as_str())];
    let mut all: Vec<Started> =
        ROLES.into_iter().chain([UP]).map(|program| Started::new(&folder, program, &settings)).collect();
    for started in &mut all {
        started.waits("the database is not reachable").await;
        started.is_ready(false, "the database is not reachable").await;
    }
    let (status, retry_after) = all[0].trigger(&shop).await;
    assert!(status == 503 && retry_after, "whose key it is cannot be told yet: {status}");
    proxy.set(Path::Pass);
    for started in &all {
        started.is_ready(true, "").await;
    }
    assert_eq!(all[0].trigger(&shop).await.0, 200);
    for started in all {
        started.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_or_not_ours_is_named_by_its_reason() {
    let folder = Folder::new();
    let (database, key, amqp) = (Database::create().await.expect("a database"), new_key(), broker_url());
    let (mut missing, mut stranger) = (database.url.clone(), database.url.clone());
    missing.set_path("/nowhere");
    stranger.set_username("nobody_of_this_name").expect("a user");
    stranger.set_password(Some(PLANTED)).expect("a password");
    for (url, words) in [
        (missing.to_string(), "the database that DATABASE_URL names does not exist"),
        (stranger.to_string(), "PostgreSQL does not let the user of DATABASE_URL log in"),
    ] {
        let settings =
            [("DATABASE_URL", url.as_str()), ("BRIDGE_SECRET_KEY", key.as_str()), ("AMQP_URL", amqp.as_str())];
        for program in ROLES.into_iter().chain([UP]) {
            let mut started = Started::new(&folder, program, &settings);
            started.waits(words).await;
            started.is_ready(false, words).await;
            started.stop().await;
        }
        let (code, said) = bridge(&folder, &["integration", "list"], &settings);
        assert!(code == 1 && said.contains(words) && !said.contains(PLANTED), "{code}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_waited_for_and_a_newer_one_is_worked_on() {
    let folder = Folder::new();
    let (database, key, amqp) = (Database::create().await.expect("a database"), new_key(), broker_url());
    let postgres = database.url.to_string();
    let settings =
        [("DATABASE_URL", postgres.as_str()), ("BRIDGE_SECRET_KEY", key.as_str()), ("AMQP_URL", amqp.as_str())];
    let mut all: Vec<Started> =
        ROLES.into_iter().chain([UP]).map(|program| Started::new(&folder, program, &settings)).collect();
    for started in &mut all {
        started.waits("run `bridge migrate`").await;
        started.is_ready(false, "run `bridge migrate`").await;
    }
    let (code, said) = bridge(&folder, &["integration", "list"], &settings[..2]);
    assert!(code == 1 && said.contains("run `bridge migrate`"), "{code}: {said}");
    assert_eq!(bridge(&folder, &["migrate"], &settings[..2]).0, 0);
    for started in all {
        started.is_ready(true, "").await;
        started.stop().await;
    }
    // A step of a release to come.
    let mut connection = sqlx::PgConnection::connect(&postgres).await.expect("connected");
    let step = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                VALUES (9999, 'to come', TRUE, '\\x00', 0)";
    sqlx::query(step).execute(&mut connection).await.expect("stored");
    connection.close().await.expect("closed");
    assert_eq!(bridge(&folder, &["migrate"], &settings[..2]).0, 0, "an older release's migrate changes nothing");
    for program in ROLES.into_iter().chain([UP]) {
        let started = Started::new(&folder, program, &settings);
        started.is_ready(true, "").await;
        started.stop().await;
    }
}

/// Both keys are known to the running process while everything is sealed anew; afterwards
/// the new one is enough, and the old one opens nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_key_is_changed_beside_a_running_process() {
    let (folder, old, new) = (Folder::new(), new_key(), new_key());
    let before = [("BRIDGE_SECRET_KEY", old.as_str())];
    let shop = add_integration(&folder, &before);
    let both = [("BRIDGE_SECRET_KEY", new.as_str()), ("BRIDGE_SECRET_KEY_OTHER", old.as_str())];
    let running = Started::new(&folder, UP, &both);
    running.is_ready(true, "").await;
    assert_eq!(running.trigger(&shop).await.0, 200, "the keys of the triggers stay");
    let (code, said) = bridge(&folder, &["secret-key", "rotate", "--json"], &both);
    let done: serde_json::Value = serde_json::from_str(&said).expect("one document");
    assert_eq!((code, &done["integrations"]), (0, &1.into()), "{said}");
    let (code, said) = bridge(&folder, &["secret-key", "rotate", "--json"], &both);
    let done: serde_json::Value = serde_json::from_str(&said).expect("one document");
    assert_eq!((code, &done["integrations"]), (0, &0.into()), "a second run finds nothing: {said}");
    assert_eq!(running.trigger(&shop).await.0, 200);
    running.stop().await;
    let after = Started::new(&folder, UP, &both[..1]);
    after.is_ready(true, "").await;
    assert_eq!(after.trigger(&shop).await.0, 200);
    after.stop().await;
    let mut stale = Started::new(&folder, UP, &before);
    assert_eq!(stale.code().await, 64, "{}", stale.said());
    let (code, said) = bridge(&folder, &["secret-key", "rotate"], &before);
    assert!(code == 64 && said.contains("BRIDGE_SECRET_KEY"), "{code}: {said}");
}

/// What reads the log has gone (a restarted log collector, `head`): the work goes on.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_behind_standard_error_stops_nobody() {
    let folder = Folder::new();
    let (ops, ingress) = (free_address(), free_address());
    let mut child = Command::new(programs().join("bridge"))
        .arg("up")
        .env_clear()
        .env("DATA_DIR", folder.0.join("data"))
        .env("OPS_LISTEN", &ops)
        .env("INGRESS_LISTEN", &ingress)
        .env("RUST_LOG", "debug")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stderr.take());
    let mut started = Started {
        child,
        log: folder.0.join("none"),
        ops,
        ingress,
        http: simulators::http().timeout(LONG).build().expect("a client"),
        name: "bridge up without a reader".to_owned(),
    };
    std::fs::write(&started.log, "").expect("written");
    started.is_ready(true, "").await;
    // Each refusal is a line nobody can read.
    for _ in 0..50 {
        assert_eq!(started.trigger("nobody").await.0, 403);
    }
    assert_eq!(started.health("live").await.0, 200);
    assert!(started.child.try_wait().expect("asked").is_none());
    tokio::time::timeout(Duration::from_secs(60), started.stop()).await.expect("it stops");
}
