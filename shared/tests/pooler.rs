//! PostgreSQL behind PgBouncer: by sessions it is PostgreSQL, by transactions it is refused in
//! one sentence.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shared::store::{Db, StoreError, migrations};
use url::Url;
use uuid::Uuid;

struct Pooler {
    child: Child,
    folder: PathBuf,
    url: Url,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn server() -> Url {
    #[expect(clippy::disallowed_methods, reason = "set by the test run, no setting of the product")]
    let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run ./tests/run");
    Url::parse(&url).expect("a URL")
}

fn open(url: &Url) -> Db {
    Db::open_postgres(url.as_str(), 4).expect("a URL")
}

impl Pooler {
    /// PgBouncer before the tests' PostgreSQL, in one of its modes.
    fn start(mode: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-pooler-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder");
        let mut url = server();
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\n\
             ignore_startup_parameters = extra_float_digits\n",
            url.port().expect("a port"),
            folder.join("users").display()
        );
        std::fs::write(folder.join("users"), format!("\"{}\" \"\"\n", url.username())).expect("written");
        std::fs::write(folder.join("ini"), ini).expect("written");
        // It refuses to run as root, and Debian keeps it out of an ordinary user's path.
        let run = "PATH=$PATH:/usr/sbin; [ \"$(id -u)\" != 0 ] || exec setpriv --reuid=nobody --regid=nogroup \
                   --clear-groups pgbouncer -q \"$0\"; exec pgbouncer -q \"$0\"";
        let child = Command::new("sh")
            .args(["-c", run])
            .arg(folder.join("ini"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        url.set_port(Some(port)).expect("a port");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "pgbouncer (Debian: pgbouncer) must be installed");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, folder, url }
    }
}

#[tokio::test]
async fn a_pooler_by_transactions_is_refused_and_one_by_sessions_is_not() {
    let database = format!("bridge_pooler_{}", Uuid::new_v4().simple());
    let admin = open(&server());
    admin.exec(format!("CREATE DATABASE {database}"), vec![]).await.expect("a database of its own");
    let mut own = server();
    own.set_path(&database);
    let direct = open(&own);
    direct.needs_sessions().await.expect("PostgreSQL itself");
    direct.migrate().await.expect("migrated");
    direct.close().await;

    let sessions = Pooler::start("session");
    let mut url = sessions.url.clone();
    url.set_path(&database);
    let db = open(&url);
    db.needs_sessions().await.expect("sessions of our own");
    db.migrate().await.expect("nothing to do");
    assert_eq!(db.schema_version().await.expect("read"), migrations::newest());
    db.close().await;
    drop(sessions);

    let transactions = Pooler::start("transaction");
    url = transactions.url.clone();
    url.set_path(&database);
    for _ in 0..10 {
        let db = open(&url);
        let refused = db.needs_sessions().await.expect_err("no sessions of our own");
        assert!(refused.is_without_sessions() && refused.to_string().contains("pool_mode = session"), "{refused}");
        // Whatever it makes of the next statements, none of it means an empty database.
        for _ in 0..3 {
            let version = db.schema_version().await;
            assert!(
                matches!(&version, Err(StoreError::Closed(..)))
                    || matches!(version, Ok(v) if v == migrations::newest()),
                "{version:?}"
            );
        }
        db.close().await;
    }
    drop(transactions);
    admin.exec(format!("DROP DATABASE {database} WITH (FORCE)"), vec![]).await.expect("dropped");
}
