//! Who is certainly dead, and what it held.
//!
//! Each worker on PostgreSQL holds a lock of the database for as long as it lives, on a
//! connection of its own: the server lets go of it when the process ends, however it ends. A
//! holder whose lock is free has died, or has lost its connection and finds its leases gone; in
//! both cases others go on at once instead of when the leases run out. On SQLite the process that
//! holds the file is alone, so whoever held a lease before it is dead.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::args;
use crate::crypto::random_number;
use crate::store::Store;
use crate::store::db::{Db, Dialect, Pools, Result, Tx};
use crate::store::row_lease::drawn;

/// A server that has just started has lost everybody's lock: they are given this long.
const SETTLING: Duration = Duration::from_secs(3);
/// A question on the lock's connection may take this long.
const ALIVE: Duration = Duration::from_secs(3);

/// The sign of life of a process: the server holds its lock while the connection is there.
#[derive(Debug)]
pub struct SignOfLife {
    connection: PgConnection,
    since: Instant,
}

impl SignOfLife {
    /// Whether the connection, and with it the lock, is still there.
    pub async fn is_there(&mut self) -> bool {
        matches!(tokio::time::timeout(ALIVE, self.connection.ping()).await, Ok(Ok(())))
    }

    /// Long enough for others to have come back as well, had the server been away.
    pub fn is_settled(&self) -> bool {
        self.since.elapsed() >= SETTLING
    }

    /// Lets go in good order.
    pub async fn end(self) {
        let _ = tokio::time::timeout(ALIVE, self.connection.close()).await;
    }
}

/// A lock's number as the server shows it in two halves.
const LOCKED: &str = "EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
                      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                      AND ((l.classid::bigint << 32) | l.objid::bigint) = h.lock_key)";

impl Db {
    /// Holds the lock of a number on a connection of its own. Nothing on SQLite, or while
    /// another connection holds it.
    async fn sign_of_life(&self, key: i64) -> Result<Option<SignOfLife>> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
        let got = sqlx::query("SELECT pg_try_advisory_lock($1) AS got").bind(key).fetch_one(&mut connection).await?;
        Ok(got.try_get::<bool, _>("got")?.then(|| SignOfLife { connection, since: Instant::now() }))
    }

    /// Workers that hold their lock. None where there is no schema of ours yet.
    pub(super) async fn living_holders(&self) -> Result<Vec<String>> {
        let sql = format!("SELECT h.owner FROM holders h WHERE {LOCKED} ORDER BY h.owner");
        match self.read_all(sql, vec![], |row| row.text("owner")).await {
            Err(error) if error.is_missing_table() => Ok(Vec::new()),
            found => found,
        }
    }
}

impl Store {
    /// Gives a process its sign of life, and writes down whose it is.
    pub async fn announce(&self, owner: &str, key: i64) -> Result<Option<SignOfLife>> {
        let Some(sign) = self.db.sign_of_life(key).await? else { return Ok(None) };
        let sql = "INSERT INTO holders (owner, lock_key, seen_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (owner) DO UPDATE SET lock_key = excluded.lock_key, seen_at = excluded.seen_at";
        self.db.exec(sql, args![owner, key, self.clock.now_ms()]).await?;
        Ok(Some(sign))
    }

    /// Strikes a process off that ends in good order and holds nothing any more.
    pub async fn depart(&self, owner: &str) -> Result<()> {
        self.db.run("DELETE FROM holders WHERE owner = $1", args![owner]).await
    }

    /// Holders whose lock nobody holds. Nobody while the server has only just started.
    pub async fn dead_holders(&self) -> Result<Vec<String>> {
        if self.db.dialect() == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT h.owner FROM holders h WHERE NOT {LOCKED} AND pg_postmaster_start_time() \
             < clock_timestamp() - INTERVAL '{} seconds' ORDER BY h.owner",
            SETTLING.as_secs()
        );
        self.db.read_all(sql, vec![], |row| row.text("owner")).await
    }

    /// Frees what a dead holder held, for whoever asks next. What it may have sent and did not
    /// settle is looked at first. Answers how many orders' requests that were; `None` when another
    /// has done it, or the holder lives after all.
    pub async fn take_over(&self, owner: &str) -> Result<Option<u64>> {
        let mut tx = self.db.begin().await?;
        let dead = match self.db.dialect() {
            Dialect::Postgres => {
                tx.exec(format!("DELETE FROM holders h WHERE h.owner = $1 AND NOT {LOCKED}"), args![owner]).await?
            }
            Dialect::Sqlite => 1,
        };
        if dead == 0 {
            return Ok(None);
        }
        let freed = tx.free_leases(Some(owner)).await?;
        tx.commit().await?;
        Ok(Some(freed))
    }

    /// Frees every lease: only for a process that holds the whole installation alone (one
    /// process on SQLite, guarded by the lock of its file), so that a crash costs no waiting.
    pub async fn free_all_leases(&self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.free_all_leases().await?;
        tx.commit().await
    }
}

/// A write to MeaSoft was announced and its outcome is not known.
const OPEN_WRITE: &str = "EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = order_intents.integration_id \
                          AND d.crm_order_id = order_intents.crm_order_id AND (d.state IN ('sending', 'unknown') \
                          OR d.sending_hash IS NOT NULL OR (d.state = 'created' AND d.cancelled_by_us = 1)))";

impl Tx {
    /// See [`Store::free_all_leases`].
    pub async fn free_all_leases(&mut self) -> Result<()> {
        self.free_leases(None).await?;
        self.run("UPDATE jobs SET lease_until = 0, lease_by = NULL WHERE lease_until > 0", vec![]).await
    }

    /// Frees the leases of one owner, or all, in the order that everybody keeps to: intents, then
    /// deliveries. Answers how many intents.
    async fn free_leases(&mut self, owner: Option<&str>) -> Result<u64> {
        let mut freed = 0;
        for table in ["intents", "order_intents", "deliveries"] {
            let verify = match table {
                "order_intents" => format!(", verify = CASE WHEN {OPEN_WRITE} THEN 1 ELSE verify END"),
                _ => String::new(),
            };
            let whose = "lease_until > 0 AND (CAST($1 AS TEXT) IS NULL OR lease_owner = $1)";
            let rows = self.dialect().in_order(table, whose);
            let sql = format!(
                "UPDATE {table} SET lease_until = 0, lease_owner = NULL, {}{verify} WHERE {}",
                drawn(table, 2),
                rows
            );
            let rows = self.exec(sql, args![owner, random_number()]).await?;
            freed += if table == "deliveries" { 0 } else { rows };
        }
        self.exec(
            "UPDATE leases SET lease_until = 0, owner = NULL, fence = $2 WHERE lease_until > 0 \
             AND (CAST($1 AS TEXT) IS NULL OR owner = $1)",
            args![owner, random_number()],
        )
        .await?;
        Ok(freed)
    }
}
