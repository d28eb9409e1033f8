//! `bridge move`, `bridge backup` and `bridge restore` as programs, between real databases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::Database;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::store::file::{self, Share};
use shared::store::snapshot::{Header, Snapshot, Sum, Table, write};
use shared::store::{Db, Dialect, Store, migrations};
use tokio_util::sync::CancellationToken;

/// Where a story's files lie.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bridge-transfer-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).expect("made");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A database of either sort, and what the command is told to find it.
struct Place {
    url: String,
    key: String,
    _server: Option<Database>,
}

impl Place {
    fn file(folder: &Folder, name: &str, key: &str) -> Self {
        Self { url: format!("sqlite://{}", folder.text(name)), key: key.to_owned(), _server: None }
    }

    async fn server(key: &str) -> Self {
        let database = Database::create().await.expect("a database: run ./tests/run, which starts a PostgreSQL");
        Self { url: database.url.to_string(), key: key.to_owned(), _server: Some(database) }
    }

    fn bridge(&self, folder: &Folder, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command
            .args(arguments)
            .current_dir(&folder.0)
            .env_clear()
            .env("DATABASE_URL", &self.url)
            .env("BRIDGE_SECRET_KEY", &self.key)
            .env("CRM_ALLOWED_HOSTS", "127.0.0.1")
            .env("MEASOFT_URL", "http://127.0.0.1:9/api/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
        let output = self.bridge(folder, arguments).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// What it answers to a program.
    fn told(&self, folder: &Folder, arguments: &[&str]) -> Value {
        let (code, stdout, stderr) = self.run(folder, &[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "bridge {arguments:?}: {stdout} {stderr}");
        serde_json::from_str(&stdout).expect("one document")
    }

    /// The sentence it is refused with.
    fn refused(&self, folder: &Folder, arguments: &[&str], code: i32) -> String {
        let (ended, stdout, stderr) = self.run(folder, arguments);
        assert_eq!(ended, code, "bridge {arguments:?}: {stdout} {stderr}");
        stderr
    }

    async fn store(&self) -> Store {
        let db = match self.url.strip_prefix("sqlite://") {
            Some(path) => Db::open_sqlite(Path::new(path)).await,
            None => Db::open_postgres(&self.url, 2),
        };
        Store::new(db.expect("opened"), SecretKey::parse(&self.key).expect("a key"), Clock::system())
    }

    /// A database with an integration, orders, and messages that wait.
    async fn fill(&self, folder: &Folder, rows: u64) {
        assert_eq!(self.run(folder, &["migrate"]).0, 0);
        let add = "integration add --title Город --crm-url http://127.0.0.1:9 --crm-key key --extra 8 --login shop \
                   --password planted --delivery-type courier";
        let words: Vec<&str> = add.split_whitespace().collect();
        assert_eq!(self.run(folder, &words).0, 0);
        let store = self.store().await;
        let numbers =
            |n: u64| format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})");
        for sql in [
            format!(
                "{} INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, price, lease_owner, \
                 lease_until, created_at, updated_at) SELECT 1, i, i || 'A', i || 'A', 'created', i * 100, 'w1', \
                 4102444800000, 1, 1 FROM n",
                numbers(rows / 10)
            ),
            format!(
                "{} INSERT INTO journal (at, integration_id, number, orderno, what, vendor, op, outcome, duration_ms, text, \
                 request, response) SELECT i, 1, (i % 1000) || 'A', (i % 1000) || 'A', 'call', 'measoft', 'neworder', 'ok', \
                 i % 300, 'Отправлен', '<neworder><order orderno=\"' || i || '\"><receiver><phone>***</phone></receiver>\
                 </order></neworder>', '<neworder><createorder orderno=\"' || i || '\" error=\"0\"/></neworder>' FROM n",
                numbers(rows)
            ),
            "INSERT INTO jobs (id, lane, body, run_at, lease_by, lease_until, created_at) \
             VALUES ('waits', 'interactive', 'x', 1, 'w1', 4102444800000, 1), ('later', 'bulk', 'y', 2, NULL, 0, 1)"
                .to_owned(),
        ] {
            let sql =
                if store.db.dialect() == Dialect::Postgres { bytes_of_postgres(&sql) } else { bytes_of_sqlite(&sql) };
            store.db.exec(sql, vec![]).await.expect("put");
        }
        store.db.close().await;
    }
}

fn bytes_of_sqlite(sql: &str) -> String {
    sql.replace("'x',", "x'78',").replace("'y',", "x'79',")
}

fn bytes_of_postgres(sql: &str) -> String {
    sql.replace("'x',", "'\\x78'::bytea,").replace("'y',", "'\\x79'::bytea,")
}

fn key() -> String {
    SecretKey::generate()
}

/// What it holds, but for what a move adds or ends: its note in the audit, and leases.
async fn held(place: &Place) -> Vec<(String, u64)> {
    let store = place.store().await;
    let mut snapshot = Snapshot::of(&store.db).await.expect("begun");
    let mut held = Vec::new();
    for table in snapshot.tables.clone() {
        held.push((table.name.clone(), snapshot.sum(&table).await.expect("read").rows));
    }
    held
}

async fn sums(place: &Place) -> Vec<(Table, Sum)> {
    let store = place.store().await;
    let mut snapshot = Snapshot::of(&store.db).await.expect("begun");
    let mut sums = Vec::new();
    for table in snapshot.tables.clone() {
        let sum = snapshot.sum(&table).await.expect("read");
        sums.push((table, sum));
    }
    sums
}

/// Sums of a document by table.
fn told_sums(document: &Value) -> Vec<(String, u64, String)> {
    let rows = document["tables"].as_array().expect("a list").iter();
    rows.map(|row| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (text("table"), row["rows"].as_u64().expect("a number"), text("sum"))
    })
    .collect()
}

#[tokio::test]
async fn everything_moves_to_postgresql_and_back_and_is_in_nobodys_hand_there() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 2_000).await;
    let before = sums(&source).await;
    let server = Place::server(&key).await;
    let told = source.told(&folder, &["move", "--to", &server.url, "--as", "Анна"]);
    let expected: Vec<_> = before.iter().map(|(table, sum)| (table.name.clone(), sum.rows, sum.to_string())).collect();
    assert_eq!(told_sums(&told), expected);
    assert_eq!(told["waiting_messages"], 2);
    let fingerprint = SecretKey::parse(&key).expect("a key").fingerprints().remove(0);
    assert_eq!(told["key"], fingerprint.as_str());
    assert_eq!(sums(&source).await, before, "the source is as it was");
    let store = server.store().await;
    assert!(store.key_fits().await.expect("asked"), "secrets open with the same key");
    let due = store.claim_jobs(None, "w2", Duration::from_secs(60), 9).await.expect("claimed");
    assert_eq!(due.len(), 2, "what waited waits there, and nobody's lease of before holds it up");
    let sql = "SELECT COUNT(*) AS n FROM deliveries WHERE lease_until > 0";
    assert_eq!(store.db.count(sql, vec![]).await.expect("counted"), 0);
    let acts = server.told(&folder, &["audit"]);
    assert_eq!((&acts[0]["act"], &acts[0]["who"]), (&json!("moved"), &json!("Анна")), "{acts:#}");
    assert_eq!(server.run(&folder, &["audit", "verify"]).0, 0, "the chain goes on");
    store.db.close().await;
    let back = Place::file(&folder, "back.db", &key);
    let (code, stdout, stderr) = server.run(&folder, &["move", "--to", &back.url]);
    assert_eq!(code, 0, "{stdout} {stderr}");
    for part in ["read back and the same", "wait in the new one's", "Do not start anything on the old one"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert!(!stdout.contains("planted") && !stdout.contains(&key), "{stdout}");
    assert_eq!(back.run(&folder, &["audit", "verify"]).0, 0);
    let mode = std::fs::metadata(folder.path("back.db")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let of =
        |rows: Vec<(String, u64)>| rows.into_iter().filter(|(table, _)| table == "journal" || table == "deliveries");
    assert_eq!(of(held(&back).await).collect::<Vec<_>>(), of(held(&source).await).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_database_on_which_somebody_runs_is_neither_moved_nor_filled() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 20).await;
    let server = Place::server(&key).await;
    let held = file::lock(&folder.path("bridge.db"), Share::Roles).expect("free");
    let said = source.refused(&folder, &["move", "--to", &server.url], 1);
    assert!(said.contains("runs on") && said.contains("bridge.db") && said.contains("stop it first"), "{said}");
    drop(held);
    // A role that stands still at the server, whatever it does.
    let worker = Db::run_on_postgres(&server.url, 1, "worker").expect("a URL");
    worker.fetch("SELECT 1 AS one", vec![]).await.expect("connected");
    let said = source.refused(&folder, &["move", "--to", &server.url], 1);
    assert!(said.contains("is in use by worker at") && said.contains("stop all roles first"), "{said}");
    assert!(!said.contains("planted"), "{said}");
    worker.close().await;
    assert_eq!(source.run(&folder, &["move", "--to", &server.url]).0, 0);
    let worker = Db::run_on_postgres(&server.url, 1, "scheduler").expect("a URL");
    worker.fetch("SELECT 1 AS one", vec![]).await.expect("connected");
    let elsewhere = format!("sqlite://{}", folder.text("elsewhere.db"));
    let said = server.refused(&folder, &["move", "--to", &elsewhere], 1);
    assert!(said.contains("is in use by scheduler at"), "{said}");
    assert!(!folder.path("elsewhere.db").exists());
    worker.close().await;
    // A role of a release that gave its sessions no name.
    let ingress = Db::open_postgres(&server.url, 1).expect("a URL");
    ingress.exec("SET application_name = ''", vec![]).await.expect("renamed");
    let said = server.refused(&folder, &["move", "--to", &elsewhere], 1);
    assert!(said.contains("is in use by a session without a name"), "{said}");
    ingress.close().await;
    // A worker is known by its lock, too.
    let store = server.store().await;
    let sign = store.announce("w-old", 4711).await.expect("asked").expect("held");
    let said = server.refused(&folder, &["move", "--to", &elsewhere], 1);
    assert!(said.contains("is in use by worker w-old"), "{said}");
    sign.end().await;
}

#[tokio::test]
async fn a_target_that_holds_something_is_refused_and_left_as_it_is() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 20).await;
    for target in [Place::file(&folder, "other.db", &key), Place::server(&key).await] {
        target.fill(&folder, 10).await;
        let before = sums(&target).await;
        let said = source.refused(&folder, &["move", "--to", &target.url], 1);
        assert!(said.contains("it is not empty: there are rows in"), "{said}");
        assert_eq!(sums(&target).await, before);
    }
    let itself = source.refused(&folder, &["move", "--to", &source.url], 2);
    assert!(itself.contains("it is the database that is to be moved"), "{itself}");
    let wrong = source.refused(&folder, &["move", "--to", "mysql://x"], 2);
    assert!(wrong.contains("--to: must begin with sqlite:// or postgres://"), "{wrong}");
    // What is left of a database that was there would be put into the new one.
    std::fs::write(folder.path("new.db-wal"), "left").expect("written");
    let said = source.refused(&folder, &["move", "--to", &format!("sqlite://{}", folder.text("new.db"))], 1);
    assert!(said.contains("new.db-wal is left of another database: remove it"), "{said}");
}

/// Runs it, and ends it with `kill -9` after so long.
fn killed(mut command: Command, after: Duration) {
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let begun = Instant::now();
    while begun.elapsed() < after {
        if child.try_wait().expect("asked").is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[tokio::test]
async fn a_move_that_is_killed_anywhere_is_begun_again_and_comes_to_the_same() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 2_000).await;
    // Neither leases nor the audit, which a move ends and adds to, are in these.
    let kept = async |place: &Place| {
        let sums = sums(place).await.into_iter();
        sums.filter(|(table, _)| ["integrations", "journal"].contains(&table.name.as_str())).collect::<Vec<_>>()
    };
    let expected = kept(&source).await;
    for to_server in [true, false] {
        let another = async |n: u32| {
            let name = format!("target-{n}.db");
            let target = if to_server { Place::server(&key).await } else { Place::file(&folder, &name, &key) };
            assert_eq!(target.run(&folder, &["migrate"]).0, 0);
            target
        };
        let mut target = another(0).await;
        let begun = Instant::now();
        source.told(&folder, &["move", "--to", &target.url]);
        let whole = begun.elapsed();
        target = another(1).await;
        let mut killed_half_way = 0;
        for n in 1..=10 {
            killed(source.bridge(&folder, &["move", "--to", target.url.as_str()]), whole * n / 11);
            let held = kept(&target).await;
            if held.iter().all(|(_, sum)| sum.rows == 0) {
                killed_half_way += 1;
                continue;
            }
            assert_eq!(held, expected, "all of it or nothing, killed at {n} of 10");
            target = another(n + 1).await;
        }
        assert!(killed_half_way >= 5, "only {killed_half_way} were killed before their end");
        source.told(&folder, &["move", "--to", &target.url]);
        assert_eq!(kept(&target).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_writer_is_of_one_moment() {
    let (folder, key) = (Folder::new(), key());
    for source in [Place::file(&folder, "bridge.db", &key), Place::server(&key).await] {
        source.fill(&folder, 3_000).await;
        let store = source.store().await;
        let stop = CancellationToken::new();
        let writer = tokio::spawn({
            let (store, stop) = (store.clone(), stop.clone());
            async move {
                for n in 10_000.. {
                    let mut tx = store.db.begin().await.expect("begun");
                    // A row in the first table that is read, and in the last.
                    let first = format!("INSERT INTO breakers VALUES ('p', 't', 'n{n}', 'w', 1, 1)");
                    let last = format!(
                        "INSERT INTO tracking_outbox (integration_id, delivery_id, orderno, code, made_at, \
                                        state, due_at, seen_at) VALUES (1, {n}, 'o', 'c', 1, 'sent', 1, 1)"
                    );
                    tx.run(first, vec![]).await.expect("put");
                    tx.run(last, vec![]).await.expect("put");
                    tx.commit().await.expect("committed");
                    if stop.is_cancelled() {
                        return n - 9_999;
                    }
                }
                0
            }
        });
        let file = folder.text(&format!("{}.backup", uuid::Uuid::new_v4().simple()));
        let begun = store.db.count("SELECT COUNT(*) AS n FROM breakers", vec![]).await.expect("counted");
        let told = tokio::task::block_in_place(|| source.told(&folder, &["backup", &file]));
        stop.cancel();
        let written: i64 = writer.await.expect("ended");
        let rows = |table: &str| told_sums(&told).into_iter().find(|(name, ..)| name == table).map_or(0, |(_, n, _)| n);
        assert_eq!(rows("breakers"), rows("tracking_outbox"), "half a commit is in it");
        assert!(written > begun + 5, "nothing was written meanwhile");
        store.db.close().await;
    }
}

#[tokio::test]
async fn a_backup_is_restored_into_either_database_and_asks_for_both_sides_to_be_compared() {
    let (folder, key) = (Folder::new(), key());
    for (from, into) in [
        (Place::file(&folder, "one.db", &key), Place::server(&key).await),
        (Place::server(&key).await, Place::file(&folder, "two.db", &key)),
    ] {
        from.fill(&folder, 500).await;
        let file = folder.text(&format!("{}.backup", uuid::Uuid::new_v4().simple()));
        let written = from.told(&folder, &["backup", &file]);
        let checked = into.told(&folder, &["restore", &file, "--check"]);
        assert_eq!((&checked["ok"], &checked["rows"]), (&json!(true), &written["rows"]));
        let told = into.told(&folder, &["restore", &file]);
        assert_eq!(told_sums(&told), told_sums(&written));
        assert_eq!(told["without_reconcile"], json!([1]));
        let store = into.store().await;
        assert!(store.key_fits().await.expect("asked"));
        assert!(store.is_taken_over_unnoticed().await.expect("asked"), "nobody has said so yet");
        let jobs = "SELECT COUNT(*) AS n FROM jobs";
        let before = store.db.count(jobs, vec![]).await.expect("counted");
        let window = store.taken_over(Duration::from_secs(900)).await.expect("asked").expect("said");
        let made_at: jiff::Timestamp = written["made_at"].as_str().expect("a text").parse().expect("a moment");
        assert_eq!(window.from.as_millisecond(), made_at.as_millisecond());
        assert!(window.until > window.from);
        assert_eq!(store.last_takeover().await.expect("asked"), Some(window));
        let asked = store.db.count(jobs, vec![]).await.expect("counted") - before;
        assert_eq!(asked, 2, "a reconcile, and one more");
        assert!(!store.is_taken_over_unnoticed().await.expect("asked"));
        assert_eq!(store.taken_over(Duration::from_secs(900)).await.expect("asked"), None, "said once");
        store.db.close().await;
        let acts = into.told(&folder, &["audit"]);
        assert_eq!(acts[0]["act"], "restored", "{acts:#}");
        assert_eq!(into.run(&folder, &["audit", "verify"]).0, 0);
        let again = into.refused(&folder, &["restore", &file], 1);
        assert!(again.contains("it is not empty"), "{again}");
    }
}

#[tokio::test]
async fn a_restore_that_did_not_end_leaves_a_file_that_no_role_starts_on() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 100).await;
    let file = folder.text("one.backup");
    source.told(&folder, &["backup", &file]);
    let target = Place::file(&folder, "new.db", &key);
    // Something is in the way.
    std::fs::create_dir(folder.path("new.db.draft")).expect("made");
    target.refused(&folder, &["restore", &file], 1);
    let said = target.refused(&folder, &["migrate"], 1);
    assert!(said.contains("it is empty, and there was an installation in it"), "{said}");
    std::fs::remove_dir(folder.path("new.db.draft")).expect("removed");
    target.told(&folder, &["restore", &file]);
    assert_eq!(held(&target).await.iter().find(|(name, _)| name == "journal").map(|(_, rows)| *rows), Some(100));
    assert!(!folder.path("new.db.draft").exists());
}

#[tokio::test]
async fn a_restore_with_another_key_or_a_damaged_file_writes_nothing() {
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, 100).await;
    let file = folder.text("one.backup");
    source.told(&folder, &["backup", &file]);
    assert!(!std::fs::read_to_string(&file).expect("read").contains(&key), "the key is not in it");
    let other = Place::file(&folder, "other.db", &self::key());
    let said = other.refused(&folder, &["restore", &file], 64);
    let needed = SecretKey::parse(&key).expect("a key").fingerprints().remove(0);
    assert!(said.contains(&needed) && said.contains("BRIDGE_SECRET_KEY"), "{said}");
    let bytes = std::fs::read(&file).expect("read");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("written");
    let fit = Place::file(&folder, "fit.db", &key);
    for arguments in [&["restore", file.as_str()][..], &["restore", file.as_str(), "--check"]] {
        let said = fit.refused(&folder, arguments, 1);
        assert!(said.contains("is damaged, take another backup") && said.contains("cut off after line"), "{said}");
    }
    let missing = fit.refused(&folder, &["restore", "missing"], 1);
    assert!(missing.contains("missing cannot be read"), "{missing}");
    assert!(!folder.path("other.db").exists() && !folder.path("fit.db").exists(), "nothing was made");
    // On the file that is in use nothing is restored either, were it empty.
    std::fs::write(&file, &bytes).expect("written");
    std::fs::write(folder.path("fit.db"), "").expect("made");
    let held = file::lock(&folder.path("fit.db"), Share::Alone).expect("free");
    let said = fit.refused(&folder, &["restore", &file], 1);
    assert!(said.contains("runs on"), "{said}");
    drop(held);
    assert_eq!(fit.run(&folder, &["restore", &file]).0, 0);
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_to_date() {
    let (folder, key) = (Folder::new(), key());
    let old = Place::file(&folder, "old.db", &key);
    let store = old.store().await;
    store.db.migrate_to(10).await.expect("migrated");
    let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ('history|1', '7', 1)";
    store.db.exec(sql, vec![]).await.expect("put");
    let file = folder.path("old.backup");
    let mut snapshot = Snapshot::of(&store.db).await.expect("begun");
    let header = Header::new(snapshot.version, "0.0.9", jiff::Timestamp::now(), Vec::new());
    write(&file, header, &mut snapshot, |_, _| {}).await.expect("written");
    store.db.close().await;
    for into in [Place::file(&folder, "new.db", &key), Place::server(&key).await] {
        into.told(&folder, &["restore", &folder.text("old.backup")]);
        let store = into.store().await;
        assert_eq!(store.db.schema_version().await.expect("asked"), migrations::newest());
        assert_eq!(store.cursor("history|1").await.expect("asked").expect("there").0, "7");
        assert!(store.is_taken_over_unnoticed().await.expect("asked"));
        store.db.close().await;
        assert_eq!(into.told(&folder, &["audit"])[0]["act"], "restored");
    }
    let old_source = old.refused(&folder, &["move", "--to", &format!("sqlite://{}", folder.text("x.db"))], 1);
    assert!(
        old_source.contains("is at version 10") && old_source.contains("run `bridge migrate` first"),
        "{old_source}"
    );
}

/// `kB` of the largest memory a process had, as the kernel says.
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// On demand: how long it takes, and how much memory.
#[tokio::test]
#[ignore = "measures minutes of work; a_move_that_is_killed_anywhere… proves the same with few rows on every run"]
#[expect(clippy::print_stdout, reason = "it is run for what it says")]
async fn a_large_installation_is_moved_within_minutes() {
    let rows = std::env::var("TRANSFER_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let (folder, key) = (Folder::new(), key());
    let source = Place::file(&folder, "bridge.db", &key);
    source.fill(&folder, rows).await;
    let server = Place::server(&key).await;
    let back = Place::file(&folder, "back.db", &key);
    let file = folder.text("all.backup");
    let restored = Place::server(&key).await;
    for (what, place, arguments) in [
        ("SQLite to PostgreSQL", &source, ["move", "--to", server.url.as_str()].to_vec()),
        ("PostgreSQL to SQLite", &server, ["move", "--to", back.url.as_str()].to_vec()),
        ("a backup of SQLite", &source, ["backup", file.as_str()].to_vec()),
        ("its restore into PostgreSQL", &restored, ["restore", file.as_str()].to_vec()),
    ] {
        let begun = Instant::now();
        let mut child = place.bridge(&folder, &arguments).stdout(Stdio::null()).spawn().expect("it runs");
        let mut most = 0;
        let status = loop {
            most = most.max(peak(&child));
            match child.try_wait().expect("asked") {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert!(status.success(), "{what}");
        println!("{what}: {:.1} s, {} MB of memory at most", begun.elapsed().as_secs_f64(), most / 1024);
        assert!(most < 200 * 1024, "memory is bounded");
    }
    println!("the backup has {} MB", std::fs::metadata(&file).expect("there").len() / 1_000_000);
}
