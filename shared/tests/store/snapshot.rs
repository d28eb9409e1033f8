//! All rows of a database in another one, or in a file and back.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::args;
use shared::domain::Fault;
use shared::store::snapshot::{Backup, Header, Load, Manifest, Snapshot, Sum, Table, carry, write};
use shared::store::{Db, Dialect, Value};

use crate::bench::{Bench, dead};

/// Rows of each table.
const ROWS: i64 = 7;

/// Rows in every table, with whatever a text or bytes may hold.
async fn fill(bench: &Bench) {
    let tables = Snapshot::of(&bench.store.db).await.expect("begun").tables;
    assert!(tables.len() > 25, "{tables:?}");
    for table in &tables {
        for n in 1..=ROWS {
            let value = |(name, kind): &(String, _)| match format!("{kind:?}").as_str() {
                "Int" => Value::from(n),
                "Text" => Value::from(format!("{name} {n} «ё»\n\t\"\\N\\\u{1}, 'x'")),
                _ => Value::from(vec![u8::try_from(n).expect("small"), 0, b'\n', 255]),
            };
            let places = (1..=table.columns.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
            let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.names());
            bench.store.db.exec(sql, table.columns.iter().map(value).collect()).await.expect("put");
        }
    }
    // Nothing in what may be nothing, and a text that is larger than what is handed over at once.
    let sql = "INSERT INTO journal (id, at, what, response) VALUES (8, 1, 'call', NULL), (9, 2, 'call', $1)";
    bench.store.db.exec(sql, args!["ю".repeat(200_000)]).await.expect("put");
}

async fn sums(db: &Db) -> Vec<(Table, Sum)> {
    let mut snapshot = Snapshot::of(db).await.expect("begun");
    let mut sums = Vec::new();
    for table in snapshot.tables.clone() {
        let sum = snapshot.sum(&table).await.expect("read");
        sums.push((table, sum));
    }
    sums
}

/// A migrated, empty database of each sort.
async fn both() -> Vec<Bench> {
    let mut benches = vec![Bench::sqlite().await];
    if crate::bench::server_url().is_some() {
        benches.push(Bench::postgres().await);
    }
    for bench in &benches {
        bench.store.db.migrate().await.expect("migrated");
    }
    benches
}

async fn carried(from: &Bench, to: &Bench) -> shared::store::Result<()> {
    to.store.db.needs_emptiness().await?;
    let mut snapshot = Snapshot::of(&from.store.db).await?;
    let mut load = Load::begin(&to.store.db, &snapshot.tables).await?;
    let ids = carry::from_snapshot(&mut load, &mut snapshot, |_, _| {}).await?;
    load.finish(&ids, async |_| Ok(())).await
}

struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("bridge-backup-{}", uuid::Uuid::new_v4().simple())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn header() -> Header {
    let made_at: Timestamp = "2024-05-17T10:00:00Z".parse().expect("a moment");
    Header::new(shared::store::migrations::newest(), "0.0.0", made_at, vec!["0011".to_owned()])
}

async fn backup(bench: &Bench, path: &Path) -> anyhow::Result<Manifest> {
    let mut snapshot = Snapshot::of(&bench.store.db).await?;
    write(path, header(), &mut snapshot, |_, _| {}).await
}

async fn every_row_of_every_table_arrives_in_either_database_as_it_was(bench: &Bench) {
    fill(bench).await;
    let before = sums(&bench.store.db).await;
    assert!(before.iter().filter(|(table, _)| table.name != "holders").all(|(_, sum)| sum.rows >= 7), "{before:?}");
    for target in both().await {
        carried(bench, &target).await.expect("carried");
        assert_eq!(sums(&target.store.db).await, before, "to {:?}", target.store.db.dialect());
        assert_eq!(sums(&bench.store.db).await, before, "the source is as it was");
        let sql = "SELECT title, password FROM integrations WHERE id = 3";
        let row = target.store.db.fetch_one(sql, vec![]).await.expect("read").expect("there");
        assert_eq!(row.text("title").expect("a text"), "title 3 «ё»\n\t\"\\N\\\u{1}, 'x'");
        assert_eq!(row.bytes("password").expect("bytes"), [3, 0, b'\n', 255]);
        target.clear().await;
    }
}

async fn what_is_about_a_server_or_its_processes_stays_there(bench: &Bench) {
    let put = "INSERT INTO cursors (name, value, updated_at) VALUES ('timeline', '1', 1), ('written by worker', '', 1), \
               ('written by', '', 1), ('history|1', '77', 1)";
    bench.store.db.exec(put, vec![]).await.expect("put");
    bench.store.db.exec("INSERT INTO holders VALUES ('w1', 1, 1)", vec![]).await.expect("put");
    for target in both().await {
        // What `bridge doctor` leaves in an empty one does not make it somebody's.
        let put = "INSERT INTO cursors (name, value, updated_at) VALUES ('written by doctor', '', 1)";
        target.store.db.exec(put, vec![]).await.expect("put");
        carried(bench, &target).await.expect("carried");
        let read = |row: &shared::store::Row| row.text("name");
        let sql = "SELECT name FROM cursors UNION ALL SELECT owner AS name FROM holders ORDER BY name";
        let names: Vec<String> = target.store.db.read_all(sql, vec![], read).await.expect("read");
        assert_eq!(names, ["history|1", "written by"]);
        target.clear().await;
    }
}

async fn no_id_is_given_twice_after_a_move(bench: &Bench) {
    let integration = bench.integration("").await.id;
    let letter = dead(Some(integration), Some("1"), "bad_phone", Fault::Shop);
    let mut last = 0;
    for _ in 0..5 {
        last = bench.add_dead_letter(&letter).await;
    }
    // Somebody may still speak of it.
    bench.store.db.exec("DELETE FROM dead_letters WHERE id = $1", args![last]).await.expect("gone");
    let far = 5_000_000_000_i64;
    let put = "INSERT INTO status_rows (id, batch_id, account, order_key, mark, state, seq, due_at, created_at, updated_at) \
               VALUES ($1, 1, 'a', 'k', 'm', 'foreign', 1, 1, 1, 1)";
    bench.store.db.exec(put, args![far]).await.expect("put");
    for target in both().await {
        carried(bench, &target).await.expect("carried");
        assert!(target.add_dead_letter(&letter).await > last, "to {:?}", target.store.db.dialect());
        assert!(target.integration("X").await.id > integration);
        let put = "INSERT INTO status_rows (batch_id, account, order_key, mark, state, seq, due_at, created_at, updated_at) \
                   VALUES (1, 'a', 'k', $1, 'foreign', 1, 1, 1, 1) RETURNING id";
        for n in 0..3 {
            let row = target.store.db.exec_returning(put, args![format!("m{n}")]).await.expect("put");
            assert!(row[0].int("id").expect("an id") > far, "to {:?}", target.store.db.dialect());
        }
        target.clear().await;
    }
}

async fn a_database_that_holds_anything_is_left_as_it_is(bench: &Bench) {
    fill(bench).await;
    for target in both().await {
        target.integration("").await;
        let before = sums(&target.store.db).await;
        let refused = carried(bench, &target).await.expect_err("not empty").to_string();
        assert!(refused.contains("not empty") && refused.contains("integrations"), "{refused}");
        // Also when it was filled between the look and the copying.
        let tables = Snapshot::of(&bench.store.db).await.expect("begun").tables;
        let refused = Load::begin(&target.store.db, &tables).await.err().expect("not empty").to_string();
        assert!(refused.contains("not empty"), "{refused}");
        assert_eq!(sums(&target.store.db).await, before);
        target.clear().await;
    }
    let foreign = bench.another().await;
    foreign.store.db.exec("CREATE TABLE somebodys (a BIGINT)", vec![]).await.expect("made");
    let refused = foreign.store.db.needs_emptiness().await.expect_err("somebody's").to_string();
    assert!(refused.contains("none of the bridge's (somebodys)"), "{refused}");
    foreign.clear().await;
}

async fn what_did_not_arrive_or_was_changed_meanwhile_is_found_and_nothing_is_left(bench: &Bench) {
    fill(bench).await;
    for target in both().await {
        let spoil = match target.store.db.dialect() {
            Dialect::Sqlite => vec![
                "CREATE TRIGGER spoil AFTER INSERT ON journal WHEN NEW.id = 4 BEGIN \
                 UPDATE journal SET text = 'another' WHERE id = 4; END",
            ],
            Dialect::Postgres => vec![
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN IF NEW.id = 4 THEN NEW.text = ''another''; END IF; RETURN NEW; END'",
                "CREATE TRIGGER spoil BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION spoil()",
            ],
        };
        for sql in spoil {
            target.store.db.exec(sql, vec![]).await.expect("made");
        }
        let refused = carried(bench, &target).await.expect_err("another row").to_string();
        assert!(refused.contains("the table journal does not hold"), "{refused}");
        assert!(sums(&target.store.db).await.iter().all(|(_, sum)| sum.rows == 0), "nothing is left of it");
        target.clear().await;
    }
    let before = sums(&bench.store.db).await;
    carry::must_be_unchanged(&bench.store.db, &before).await.expect("as it was");
    bench.store.db.exec("UPDATE deliveries SET price = price + 1 WHERE id = 5", vec![]).await.expect("changed");
    let refused = carry::must_be_unchanged(&bench.store.db, &before).await.expect_err("changed").to_string();
    assert!(refused.contains("the table deliveries was written to while it was copied"), "{refused}");
}

async fn a_snapshot_is_of_one_moment(bench: &Bench) {
    fill(bench).await;
    let before = sums(&bench.store.db).await;
    let mut snapshot = Snapshot::of(&bench.store.db).await.expect("begun");
    bench.store.db.exec("DELETE FROM journal", vec![]).await.expect("gone");
    bench.store.db.exec("UPDATE jobs SET deliveries = 99", vec![]).await.expect("changed");
    bench.store.db.exec("DELETE FROM tracking_outbox WHERE id > 2", vec![]).await.expect("gone");
    for (table, sum) in &before {
        assert_eq!(snapshot.sum(table).await.expect("read"), *sum, "{}", table.name);
    }
}

async fn a_backup_is_put_back_into_either_database_as_it_was(bench: &Bench) {
    fill(bench).await;
    let file = File::new();
    let written = backup(bench, &file.0).await.expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file.0).expect("there").permissions().mode() & 0o777, 0o600);
    }
    let again = backup(bench, &file.0).await.expect_err("there already").to_string();
    assert!(again.contains("is there already"), "{again}");
    let name = file.0.file_name().expect("a name").to_string_lossy().into_owned();
    let beside = std::fs::read_dir(std::env::temp_dir()).expect("read");
    let drafts = beside.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
    assert_eq!(drafts.filter(|other| other.starts_with(&name)).collect::<Vec<_>>(), [name], "no draft is left");
    let checked = Backup::check(&file.0, |_, _| {}).expect("whole");
    let before = sums(&bench.store.db).await;
    assert_eq!((&checked.header, &checked.tables, &checked.ids), (&header(), &before, &written.ids));
    for target in both().await {
        let tables: Vec<Table> = checked.tables.iter().map(|(table, _)| table.clone()).collect();
        let mut load = Load::begin(&target.store.db, &tables).await.expect("begun");
        let ids = carry::from_backup(&mut load, &file.0, |_, _| {}).await.expect("carried");
        assert_eq!(load.held(), before);
        load.finish(&ids, async |_| Ok(())).await.expect("committed");
        assert_eq!(sums(&target.store.db).await, before);
        target.clear().await;
    }
}

async fn a_backup_that_is_torn_or_changed_anywhere_is_found(bench: &Bench) {
    fill(bench).await;
    bench.store.db.exec("DELETE FROM journal WHERE id > 7", vec![]).await.expect("gone");
    let file = File::new();
    backup(bench, &file.0).await.expect("written");
    let whole = std::fs::read(&file.0).expect("read");
    let must_be_found = |bytes: &[u8], what: &str| {
        std::fs::write(&file.0, bytes).expect("written");
        let found = Backup::check(&file.0, |_, _| {});
        assert!(found.is_err(), "{what} is not found");
        format!("{:#}", found.expect_err("found"))
    };
    for cut in (0..whole.len()).step_by(whole.len() / 60).chain([whole.len() - 1]) {
        must_be_found(&whole[..cut], &format!("a cut at {cut}"));
    }
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        must_be_found(&changed, &format!("a bit at {at}"));
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let row = lines.iter().position(|line| line.starts_with(b"[")).expect("a row");
    let with = |change: &dyn Fn(&mut Vec<&[u8]>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        lines.concat()
    };
    let taken_out = must_be_found(&[&lines[..row], &lines[row + 1..]].concat().concat(), "a row taken out");
    assert!(taken_out.contains("are not those that were written"), "{taken_out}");
    must_be_found(&with(&|lines| lines.insert(row, lines[row])), "a row twice");
    must_be_found(&with(&|lines| lines.push(b"{}\n")), "something behind the end");
    // Rows that change places come to the same sum, and to another hash of the whole.
    must_be_found(&with(&|lines| lines.swap(row, row + 1)), "rows in another order");
    let foreign = must_be_found(b"SQLite format 3\0 and more\n", "another file");
    assert!(foreign.contains("is no backup that `bridge backup` has written"), "{foreign}");
    std::fs::write(&file.0, &whole).expect("written");
    Backup::check(&file.0, |_, _| {}).expect("whole");
}

contract![
    every_row_of_every_table_arrives_in_either_database_as_it_was,
    what_is_about_a_server_or_its_processes_stays_there,
    no_id_is_given_twice_after_a_move,
    a_database_that_holds_anything_is_left_as_it_is,
    what_did_not_arrive_or_was_changed_meanwhile_is_found_and_nothing_is_left,
    a_snapshot_is_of_one_moment,
    a_backup_is_put_back_into_either_database_as_it_was,
    a_backup_that_is_torn_or_changed_anywhere_is_found,
];
