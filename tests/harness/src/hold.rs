//! Stops the product's work exactly between two of its steps: a trigger in its PostgreSQL
//! makes the statement of the next step wait.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use url::Url;

use super::eventually::{LONG, eventually};

/// The advisory lock that held statements wait for.
const LOCK: i64 = 7_300_417;

/// A step that nobody gets past: `INSERT`s or `UPDATE`s of a table.
pub struct Hold {
    connection: PgConnection,
    table: String,
}

impl Hold {
    /// `step` is what a trigger is made of: `UPDATE` or `INSERT`, and a condition.
    pub(crate) async fn at(database: &Url, table: &str, step: &str) -> Self {
        let mut hold = Self {
            connection: PgConnection::connect(database.as_str()).await.expect("the database answers"),
            table: table.to_owned(),
        };
        hold.run(&format!("SELECT pg_advisory_lock({LOCK})")).await;
        hold.run(&format!(
            "CREATE OR REPLACE FUNCTION held_step() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NEW; END $$"
        ))
        .await;
        let (what, when) = step.split_once(" WHEN ").map_or((step, "true"), |(what, when)| (what, when));
        hold.run(&format!(
            "CREATE TRIGGER held_step BEFORE {what} ON {table} FOR EACH ROW WHEN ({when}) \
             EXECUTE FUNCTION held_step()"
        ))
        .await;
        hold
    }

    async fn run(&mut self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await.expect("the hold works");
    }

    /// Waits until somebody is at the step.
    pub async fn reached(&mut self) {
        let waiting = format!(
            "SELECT COUNT(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {LOCK} \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let connection = tokio::sync::Mutex::new(&mut self.connection);
        eventually("the step is reached", LONG, || async {
            let mut connection = connection.lock().await;
            let row = sqlx::query(AssertSqlSafe(waiting.clone())).fetch_one(&mut **connection).await;
            match row.map(|row| row.get::<i64, _>("n")) {
                Ok(0) => Err("nobody waits".to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Lets the step and all later ones happen.
    pub async fn let_go(mut self) {
        self.run(&format!("SELECT pg_advisory_unlock({LOCK})")).await;
        self.run(&format!("DROP TRIGGER held_step ON {}", self.table)).await;
        let _ = self.connection.close().await;
    }

    /// The statements that wait never happen: for when those who made them are dead. Later
    /// ones do.
    pub async fn undo(mut self) {
        self.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
             AND objid = {LOCK} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ))
        .await;
        self.let_go().await;
    }
}
