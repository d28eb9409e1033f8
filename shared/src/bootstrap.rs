//! How every process starts and ends: settings → logs → store → ops server → your
//! function → drain. The three binaries and `bridge up` begin here.
//!
//! Exit codes: `crate::arguments`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::arguments::{self, Asked};
use crate::config::{BadConfig, Config, Database, Role, Source};
use crate::crypto::SecretKey;
use crate::ctx::DATABASE_LIMIT;
use crate::listen::raise_limit;
use crate::shutdown::{self, Drained};
use crate::store::StoreError;
use crate::store::file::{self, FileLock, Lost, Share, Watched};
use crate::telemetry::{Metrics, health, logs};

pub use crate::ctx::{Ctx, open_store};

/// How often the file of SQLite is looked for under its name.
const FILE_LOOKED_FOR: Duration = Duration::from_secs(5);

/// Writes problems to stderr, one a line. Before logs are set up this is the only voice;
/// stdout stays the command's.
fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An error with its causes, in one line.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Many errors repeat their source in their own text.
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

/// Runs a role as a program of its own: answers to `--help` and `--version`, else starts from
/// the environment and runs `main` until it returns or a signal comes. `main` is expected to
/// return soon after `ctx.stop` is cancelled.
pub fn run<F, Fut>(role: Role, main: F) -> ExitCode
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    match arguments::read(role, std::env::args().skip(1)) {
        Asked::Start => run_from(role, &Source::environment(), main),
        Asked::Text(text) => {
            // Whoever does not read on has read enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Asked::Misspelt(sentence) => {
            complain(format!("{}: {sentence}", role.name()));
            ExitCode::from(arguments::USAGE)
        }
    }
}

/// [`start`], with what went wrong on standard error.
pub fn run_from<F, Fut>(role: Role, source: &Source, main: F) -> ExitCode
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    match start(role, source, main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Config(bad)) => {
            complain(bad);
            ExitCode::from(BadConfig::EXIT_CODE)
        }
        Err(Ended::Failed(error)) => {
            complain(format!("{}: {}", role.name(), sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Why a process ended that was not told to.
#[derive(Debug)]
pub enum Ended {
    /// Exit code 64.
    Config(BadConfig),
    /// Exit code 1.
    Failed(anyhow::Error),
}

impl From<BadConfig> for Ended {
    fn from(bad: BadConfig) -> Self {
        Self::Config(bad)
    }
}

/// Starts a process of this role with these settings and runs `main`.
///
/// # Errors
/// [`Ended`]; nothing of it has been said yet.
pub fn start<F, Fut>(role: Role, source: &Source, main: F) -> Result<(), Ended>
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let config = Arc::new(Config::read(role, source)?);
    logs::start(config.log_format, &config.log_filter).map_err(BadConfig::from)?;
    let key = config.make_folders().and_then(|()| config.load_secret_key())?;
    for unknown in Config::unknown_variables(role, source) {
        tracing::warn!("{unknown}");
    }
    if !cfg!(test) {
        logs::log_panics();
    }
    raise_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads(role) {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().thread_name(role.name()).build();
    let runtime = runtime.context("the runtime cannot be started").map_err(Ended::Failed)?;
    let done = runtime.block_on(live(config, key, main));
    // What is still running was given its time; it must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    done.map_err(|error| match error.downcast::<BadConfig>() {
        Ok(bad) => Ended::Config(bad),
        Err(error) => Ended::Failed(error),
    })
}

/// How many threads serve a role's tasks; `None`: one for each core.
///
/// Ingress does little for each request and much of that in the thread of the AMQP library:
/// threads that wake each other for it cost more than they bring (a seventh of its CPU time
/// on two cores), and it shares the machine with the broker or has copies.
fn threads(role: Role) -> Option<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (role == Role::Ingress).then_some((cores / 2).max(1))
}

/// The process's life inside the runtime.
async fn live<F, Fut>(config: Arc<Config>, key: SecretKey, main: F) -> anyhow::Result<()>
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    tracing::info!(version = Metrics::VERSION, revision = Metrics::REVISION, role = config.role.name(), "starting");
    let ctx = Ctx::open(config, key).await?;
    let file = hold_file(&ctx)?;
    // Waiting would not mend it. A database that is away is waited for.
    if let Ok(Ok(false)) = tokio::time::timeout(DATABASE_LIMIT, ctx.store.key_fits()).await {
        anyhow::bail!(BadConfig(vec![StoreError::WrongKey.to_string()]));
    }
    // Nor this; a database that is away is asked when it is there.
    match tokio::time::timeout(DATABASE_LIMIT, ctx.store.db.needs_sessions()).await {
        Ok(Err(error)) if error.is_without_sessions() => return Err(error.into()),
        _ => {}
    }
    let hard = CancellationToken::new();
    shutdown::watch_signals(ctx.stop.clone(), hard.clone()).context("signals cannot be watched")?;
    let listen = ctx.config.ops_listen;
    let (address, ops) = health::serve(listen, ctx.health.clone(), ctx.metrics.clone())
        .await
        .with_context(|| format!("OPS_LISTEN: {listen} cannot be opened"))?;
    tracing::info!(%address, "metrics and health are served");
    ctx.watch_database();
    let lost = file.as_ref().map(|(watched, _)| watch_file(&ctx, watched.clone()));
    let announce = {
        let (stop, health) = (ctx.stop.clone(), ctx.health.clone());
        async move {
            stop.cancelled().await;
            health.stopping();
        }
    };
    tokio::spawn(announce);

    let done = finish(&ctx, main(ctx.clone()), &hard).await;
    ops.abort();
    if let Some((watched, _)) = &file
        && let Some(lost) = lost.and_then(|lost| lost.get().copied())
    {
        anyhow::bail!(watched.rescue(&ctx.store.db, lost).await);
    }
    // A connection that hangs must not hold the end up.
    let _ = tokio::time::timeout(Duration::from_secs(2), ctx.store.db.close()).await;
    tracing::info!("stopped");
    done
}

/// The file of SQLite, held by this process for as long as it runs. Nothing with PostgreSQL.
fn hold_file(ctx: &Ctx) -> anyhow::Result<Option<(Watched, FileLock)>> {
    let Database::Sqlite(path) = &ctx.config.database else { return Ok(None) };
    let share = if ctx.config.role == Role::Bridge { Share::Alone } else { Share::Roles };
    Ok(Some((Watched::new(path), file::lock(path, share)?)))
}

/// Stops the process when its file is not where it was: what is accepted then would go where
/// nobody finds it. The cell says so.
fn watch_file(ctx: &Ctx, watched: Watched) -> Arc<OnceLock<Lost>> {
    let cell = Arc::new(OnceLock::new());
    let (stop, found) = (ctx.stop.clone(), cell.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FILE_LOOKED_FOR) => {}
            }
            if let Some(lost) = watched.lost() {
                let _ = found.set(lost);
                tracing::error!(?lost, "the database file is not where it was: stopping");
                stop.cancel();
            }
        }
    });
    cell
}

/// Runs the role's function; after a stop it and every tracked task share one grace period.
async fn finish<Fut>(ctx: &Ctx, main: Fut, hard: &CancellationToken) -> anyhow::Result<()>
where
    Fut: Future<Output = anyhow::Result<()>>,
{
    let grace_over = async {
        ctx.stop.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(ctx.config.shutdown_grace) => {}
            () = hard.cancelled() => {}
        }
    };
    tokio::pin!(grace_over);
    let done = tokio::select! {
        done = main => done,
        () = &mut grace_over => {
            tracing::warn!(tasks = ctx.tasks.len(), "the grace period is over; what is in hand comes back after its lease");
            return Ok(());
        }
    };
    ctx.health.stopping();
    ctx.stop.cancel();
    let drained = tokio::select! {
        drained = shutdown::drain(&ctx.tasks, ctx.config.shutdown_grace, hard) => drained,
        () = &mut grace_over => Drained::Cut { left: ctx.tasks.len() },
    };
    if let Drained::Cut { left } = drained {
        tracing::warn!(tasks = left, "the grace period is over; what is in hand comes back after its lease");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::{Db, Store};

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("bridge-bootstrap-{}", uuid::Uuid::new_v4())))
        }

        fn source(&self, more: &[(&str, &str)]) -> Source {
            let mut source = Source::from_pairs([
                ("DATA_DIR", self.0.join("deep").to_str().expect("utf-8")),
                ("OPS_LISTEN", "127.0.0.1:0"),
                ("RUST_LOG", "off"),
                ("SHUTDOWN_GRACE_S", "0.05"),
            ]);
            for (name, value) in more {
                source.set(name, *value);
            }
            source
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_process_starts_on_an_empty_folder_and_ends_with_its_function() {
        let folder = Folder::new();
        let code = run_from(Role::Bridge, &folder.source(&[]), |ctx| async move {
            assert_eq!(ctx.store.db.schema_version().await.expect("migrated"), crate::store::migrations::newest());
            assert!(ctx.health.ready().await.ok);
            Ok(())
        });
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn a_task_in_hand_is_waited_for_and_a_hanging_one_is_cut() {
        let folder = Folder::new();
        let finished = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = finished.clone();
        let code = run_from(Role::Bridge, &folder.source(&[]), |ctx| async move {
            let stop = ctx.stop.clone();
            ctx.spawn(async move {
                stop.cancelled().await;
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            ctx.spawn(std::future::pending());
            Ok(())
        });
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(finished.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[test]
    fn a_function_that_ignores_the_stop_does_not_hold_the_process() {
        let folder = Folder::new();
        let code = run_from(Role::Bridge, &folder.source(&[]), |ctx| async move {
            ctx.stop.cancel();
            std::future::pending().await
        });
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn bad_settings_exit_with_64_and_a_failed_start_with_1() {
        let folder = Folder::new();
        let never = |_: Ctx| async { unreachable!("must not start") };
        assert_eq!(run_from(Role::Bridge, &folder.source(&[("LEASE_S", "x")]), never), ExitCode::from(64));
        assert_eq!(run_from(Role::Bridge, &folder.source(&[("RUST_LOG", "a=b=c")]), never), ExitCode::from(64));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("address").to_string();
        assert_eq!(run_from(Role::Bridge, &folder.source(&[("OPS_LISTEN", &address)]), never), ExitCode::FAILURE);
        let failed = |_: Ctx| async { anyhow::bail!("planned") };
        assert_eq!(run_from(Role::Bridge, &folder.source(&[]), failed), ExitCode::FAILURE);
    }

    #[test]
    fn a_postgres_that_is_away_does_not_keep_a_process_from_starting() {
        let folder = Folder::new();
        let key = SecretKey::generate();
        let more = [("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x"), ("BRIDGE_SECRET_KEY", key.as_str())];
        let code = run_from(Role::Bridge, &folder.source(&more), |ctx| async move {
            let report = ctx.health.ready().await;
            assert!(!report.ok);
            let why = report.body["checks"][0]["why"].as_str().expect("a sentence").to_owned();
            assert!(why.contains("Connection refused") && why.contains("127.0.0.1:1"), "{why}");
            Ok(())
        });
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn an_old_schema_says_what_to_run() {
        let folder = Folder::new();
        std::fs::create_dir_all(&folder.0).expect("folder");
        let db = Db::open_sqlite(&folder.0.join("bridge.db")).await.expect("opened");
        let store = Store::new(db, SecretKey::from_bytes([1; 32]), Clock::system());
        let problem = store.problem("test", DATABASE_LIMIT).await.expect("not migrated");
        assert!(problem.contains("run `bridge migrate`"), "{problem}");
        store.db.migrate().await.expect("migrated");
        assert_eq!(store.problem("test", DATABASE_LIMIT).await, None);
    }

    #[test]
    fn an_error_is_one_sentence_with_its_causes() {
        let error = anyhow::anyhow!("address in use").context("OPS_LISTEN: 1.2.3.4:5 cannot be opened");
        assert_eq!(sentence(&error), "OPS_LISTEN: 1.2.3.4:5 cannot be opened: address in use");
    }

    /// Signals need a process of their own: [`Process::start`] runs this very test once more with
    /// a folder in the environment, and there it serves here until a signal ends it.
    #[cfg(unix)]
    fn serve_if_started_by_a_test() {
        let Some(folder) = std::env::var_os("BRIDGE_TEST_FOLDER") else { return };
        let folder = std::mem::ManuallyDrop::new(Folder(folder.into()));
        let source = folder.source(&[("SHUTDOWN_GRACE_S", "600")]);
        let code = run_from(Role::Bridge, &source, |ctx| async move {
            std::fs::write(folder.0.join("ready"), "")?;
            ctx.stop.cancelled().await;
            std::fs::write(folder.0.join("stopping"), "")?;
            if std::env::var_os("BRIDGE_TEST_HANGS").is_some() {
                std::future::pending::<()>().await;
            }
            Ok(())
        });
        std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
    }

    #[cfg(unix)]
    struct Process(std::process::Child);

    #[cfg(unix)]
    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.0.kill();
        }
    }

    #[cfg(unix)]
    impl Process {
        fn start(folder: &Folder, hangs: bool) -> Self {
            std::fs::create_dir_all(&folder.0).expect("folder");
            let mut command = std::process::Command::new(std::env::current_exe().expect("this test"));
            command.args(["--exact", "bootstrap::tests::a_signal_ends_a_process_with_0"]);
            command.env("BRIDGE_TEST_FOLDER", &folder.0).stdout(std::process::Stdio::null());
            if hangs {
                command.env("BRIDGE_TEST_HANGS", "1");
            }
            Self(command.spawn().expect("started"))
        }

        fn signal(&self, name: &str) {
            let kill = format!("kill -{name} {}", self.0.id());
            assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        }

        fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut std::process::Child) -> Option<T>) -> T {
            let began = std::time::Instant::now();
            loop {
                if let Some(found) = look(&mut self.0) {
                    return found;
                }
                assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        fn ended(&mut self) -> Option<i32> {
            self.until("the process ended", |child| child.try_wait().expect("asked")).code()
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_ends_a_process_with_0() {
        serve_if_started_by_a_test();
        for name in ["TERM", "INT"] {
            let folder = Folder::new();
            let mut process = Process::start(&folder, false);
            process.until("ready", |_| folder.0.join("ready").exists().then_some(()));
            process.signal(name);
            assert_eq!(process.ended(), Some(0));
            assert!(folder.0.join("stopping").exists(), "it was stopped softly");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_terminal_that_is_closed_ends_nothing() {
        let folder = Folder::new();
        let mut process = Process::start(&folder, false);
        process.until("ready", |_| folder.0.join("ready").exists().then_some(()));
        // Had the first ended it, it would not have ended with 0.
        process.signal("HUP");
        process.signal("TERM");
        assert_eq!(process.ended(), Some(0));
    }

    /// What a row says, in the database under a folder.
    fn kept(folder: &Folder) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let db = Db::open_sqlite(&folder.0.join("deep/bridge.db")).await.expect("opened");
            let row = db.fetch_one("SELECT value FROM cursors WHERE name = 'late'", vec![]).await;
            db.close().await;
            row.expect("read").is_some()
        })
    }

    #[cfg(unix)]
    #[test]
    fn a_database_file_that_is_removed_stops_the_process_and_loses_nothing() {
        let folder = Folder::new();
        let code = run_from(Role::Bridge, &folder.source(&[]), |ctx| async move {
            let Database::Sqlite(file) = &ctx.config.database else { unreachable!("SQLite") };
            std::fs::remove_file(file)?;
            let late = "INSERT INTO cursors (name, value, updated_at) VALUES ('late', '', 1)";
            ctx.store.db.exec(late, vec![]).await?;
            ctx.stop.cancelled().await;
            Ok(())
        });
        assert_eq!(code, ExitCode::FAILURE, "it does not go on into a file that nobody sees");
        assert!(kept(&folder), "what was taken meanwhile is there for the next start");
        assert_eq!(run_from(Role::Bridge, &folder.source(&[]), |_| async { Ok(()) }), ExitCode::SUCCESS);
    }

    #[test]
    fn an_empty_database_file_where_there_was_an_installation_is_refused() {
        let folder = Folder::new();
        let start = || run_from(Role::Bridge, &folder.source(&[]), |_| async { Ok(()) });
        assert_eq!(start(), ExitCode::SUCCESS);
        let file = folder.0.join("deep/bridge.db");
        std::fs::write(&file, "").expect("emptied");
        assert_eq!(start(), ExitCode::FAILURE);
        assert_eq!(std::fs::metadata(&file).expect("there").len(), 0, "it is left as it was found");
    }

    #[test]
    fn two_folders_do_not_make_two_installations_of_one_file() {
        let (folder, other) = (Folder::new(), Folder::new());
        let url = format!("sqlite://{}", folder.0.join("one.db").display());
        let (first, second) = (folder.source(&[("DATABASE_URL", &url)]), other.source(&[("DATABASE_URL", &url)]));
        let code = run_from(Role::Bridge, &first, |_| async move {
            let second = tokio::task::spawn_blocking(move || {
                run_from(Role::Bridge, &second, |_| async { unreachable!("must not start") })
            });
            assert_eq!(second.await?, ExitCode::FAILURE);
            Ok(())
        });
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[cfg(unix)]
    #[test]
    fn a_second_signal_does_not_wait_for_the_grace_period() {
        let folder = Folder::new();
        let mut process = Process::start(&folder, true);
        process.until("ready", |_| folder.0.join("ready").exists().then_some(()));
        process.signal("TERM");
        process.until("stopping", |_| folder.0.join("stopping").exists().then_some(()));
        process.signal("TERM");
        assert_eq!(process.ended(), Some(0));
    }
}
