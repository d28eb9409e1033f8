//! A standby of the database: it has what it was sent up to a moment, and may be promoted. What
//! was stored after that is gone then, in every table, and sequences hand out ids again.

use std::sync::{Arc, Mutex};

use shared::args;
use shared::store::{Db, Dialect, Store};

pub struct Standby {
    store: Store,
    tables: Vec<String>,
    /// Where the sequences stood; `None`: nothing was drawn yet.
    sequences: Mutex<Vec<(String, Option<i64>)>>,
}

/// The tables of the schema, whichever there are.
async fn tables(db: &Db) -> Vec<String> {
    let sql = match db.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        Dialect::Postgres => {
            "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables \
             WHERE table_schema = current_schema()"
        }
    };
    let mut names: Vec<String> =
        db.fetch(sql, vec![]).await.expect("tables").iter().map(|row| row.text("name").expect("a name")).collect();
    names.retain(|name| !name.starts_with(COPY) && name != "_sqlx_migrations");
    // What others name comes last.
    names.sort_by_key(|name| (name == "integrations", name.clone()));
    names
}

/// Begins the names of the tables that hold what the standby has.
const COPY: &str = "standby_";

async fn run(db: &Db, sql: String) {
    if let Err(error) = db.exec_returning(sql.clone(), vec![]).await {
        panic!("{sql}: {error}");
    }
}

/// Empties a server's schema for the next one who uses it.
pub async fn empty(db: &Db) {
    for table in tables(db).await {
        run(db, format!("DELETE FROM {table}")).await;
    }
    let sql = "SELECT setval(CAST(schemaname || '.' || sequencename AS regclass), 1, false) FROM pg_sequences \
               WHERE schemaname = current_schema()";
    run(db, sql.to_owned()).await;
}

impl Standby {
    /// Has nothing yet.
    pub async fn of(store: &Store) -> Arc<Self> {
        let tables = tables(&store.db).await;
        assert!(tables.len() > 15, "{tables:?}");
        for table in &tables {
            run(&store.db, format!("CREATE TABLE IF NOT EXISTS {COPY}{table} AS SELECT * FROM {table} WHERE 1 = 0"))
                .await;
        }
        Arc::new(Self { store: store.clone(), tables, sequences: Mutex::default() })
    }

    /// Has everything that is stored now, and gets no more.
    pub async fn copy(&self) {
        let db = &self.store.db;
        let mut tx = db.begin().await.expect("begun");
        for table in &self.tables {
            tx.exec(format!("DELETE FROM {COPY}{table}"), vec![]).await.expect("emptied");
            tx.exec(format!("INSERT INTO {COPY}{table} SELECT * FROM {table}"), vec![]).await.expect("copied");
        }
        let sql = match db.dialect() {
            Dialect::Sqlite => "SELECT name, seq AS drawn FROM sqlite_sequence",
            Dialect::Postgres => {
                "SELECT CAST(sequencename AS TEXT) AS name, last_value AS drawn FROM pg_sequences \
                 WHERE schemaname = current_schema()"
            }
        };
        let rows = tx.fetch(sql, vec![]).await.expect("sequences");
        tx.commit().await.expect("committed");
        let drawn = rows.iter().map(|row| (row.text("name").expect("a name"), row.opt_int("drawn").expect("a number")));
        *self.sequences.lock().expect("lock") = drawn.collect();
    }

    /// It takes over.
    pub async fn promote(&self) {
        let db = &self.store.db;
        let sequences = self.sequences.lock().expect("lock").clone();
        let mut tx = db.begin().await.expect("begun");
        for table in &self.tables {
            tx.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
        }
        for table in self.tables.iter().rev() {
            tx.exec(format!("INSERT INTO {table} SELECT * FROM {COPY}{table}"), vec![]).await.expect("there");
        }
        match db.dialect() {
            Dialect::Sqlite => {
                tx.exec("DELETE FROM sqlite_sequence", vec![]).await.expect("set back");
                for (name, drawn) in &sequences {
                    tx.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", args![name, drawn.unwrap_or(0)])
                        .await
                        .expect("set back");
                }
            }
            Dialect::Postgres => {
                for (name, drawn) in &sequences {
                    let (value, called) = (drawn.unwrap_or(1), drawn.is_some());
                    tx.fetch(format!("SELECT setval('{name}', {value}, {called})"), vec![]).await.expect("set back");
                }
            }
        }
        tx.commit().await.expect("committed");
    }
}
