//! PostgreSQL that answers and does not work, and the file of SQLite.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use harness::{BadDisk, Disk, World};

use super::schedule::Ails;

/// Within this a process notices that its file is gone and says so.
const NOTICED: Duration = Duration::from_secs(15);
/// Longer than any statement of the harness takes.
const DONE: Duration = Duration::from_secs(30);

/// The tables that the product writes most.
const WRITTEN: [&str; 8] =
    ["jobs", "intents", "order_intents", "deliveries", "journal", "dead_letters", "leases", "cursors"];

/// A PostgreSQL that ails until [`Ailing::end`].
pub struct Ailing {
    how: Ails,
    connection: PgConnection,
    _disk: Option<BadDisk>,
}

impl Ailing {
    /// From now on.
    pub async fn begin(world: &World, how: Ails) -> Self {
        let mut connection = PgConnection::connect(world.postgres().url.as_str()).await.expect("the database answers");
        run(&mut connection, "SET default_transaction_read_only = off").await;
        let disk = (how == Ails::DiskFull).then(|| BadDisk::of_postgres(Disk::Full));
        match how {
            Ails::DiskFull => {}
            Ails::ReadOnly => {
                // For the sessions that are open as well, as when a server becomes a standby.
                run(&mut connection, "ALTER SYSTEM SET default_transaction_read_only = on").await;
                run(&mut connection, "SELECT pg_reload_conf()").await;
            }
            Ails::FailingWrites => {
                run(
                    &mut connection,
                    "CREATE OR REPLACE FUNCTION failing_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     RAISE EXCEPTION 'could not write block 7 in file \"base/1/1\": Input/output error' \
                     USING ERRCODE = '58030'; END $$",
                )
                .await;
                for table in WRITTEN {
                    let trigger = format!(
                        "CREATE TRIGGER failing_write BEFORE INSERT OR UPDATE ON {table} \
                         FOR EACH STATEMENT EXECUTE FUNCTION failing_write()"
                    );
                    run(&mut connection, &trigger).await;
                }
            }
            Ails::Locked => {
                let tables = ["deliveries", "intents", "order_intents", "jobs"].join(", ");
                lock(&mut connection, &tables).await;
            }
        }
        Self { how, connection, _disk: disk }
    }

    /// All is well again.
    pub async fn end(mut self) {
        match self.how {
            Ails::DiskFull => {}
            Ails::ReadOnly => {
                run(&mut self.connection, "ALTER SYSTEM RESET default_transaction_read_only").await;
                run(&mut self.connection, "SELECT pg_reload_conf()").await;
            }
            Ails::FailingWrites => {
                for table in WRITTEN {
                    run(&mut self.connection, &format!("DROP TRIGGER failing_write ON {table}")).await;
                }
            }
            Ails::Locked => run(&mut self.connection, "ROLLBACK").await,
        }
        let _ = self.connection.close().await;
    }
}

/// A server that kills a session over a deadlock is asked again.
async fn lock(connection: &mut PgConnection, tables: &str) {
    for _ in 0..20 {
        run(connection, "BEGIN").await;
        let sql = AssertSqlSafe(format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"));
        match sqlx::query(sql).execute(&mut *connection).await {
            Ok(_) => return,
            Err(_) => run(connection, "ROLLBACK").await,
        }
    }
    panic!("the tables cannot be locked");
}

async fn run(connection: &mut PgConnection, sql: &str) {
    // Triggers wait for whoever holds the table.
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection);
    let done = tokio::time::timeout(DONE, done).await.unwrap_or_else(|_| panic!("hangs: {sql}"));
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Removes the SQLite file under a running process, which must end with a sentence; then starts it
/// anew, as a service manager does. Answers how long it took to say so.
///
/// # Errors
/// When it does not end, or says nothing.
pub async fn remove_file(world: &World) -> Result<Duration, String> {
    let begun = std::time::Instant::now();
    let said = world.log("bridge").matches("was removed while the bridge ran").count();
    std::fs::remove_file(world.database_file()).map_err(|error| format!("the file cannot be removed: {error}"))?;
    let ended = world.has_ended("bridge", NOTICED).await;
    let took = begun.elapsed();
    if ended.is_ok() {
        world.launch("bridge");
    }
    match ended? {
        0 => return Err("it ended as if nothing had happened".to_owned()),
        _ if world.log("bridge").matches("was removed while the bridge ran").count() > said => {}
        code => return Err(format!("it ended with {code} and did not name the file")),
    }
    Ok(took)
}
