//! Named leases: at most one worker does a thing at a time, and one that lost its lease
//! writes nothing more.

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::store::db::{Result, Tx};
use crate::store::{Store, free_by};

/// A lease in hand. Worth something only while its fence is the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    /// Fencing number: drawn anew by every take-over.
    pub fence: i64,
}

impl Store {
    /// Takes a lease; `None` while another holds it.
    pub async fn take_lease(&self, name: &str, owner: &str, until: Timestamp) -> Result<Option<Lease>> {
        let sql = format!(
            "INSERT INTO leases (name, owner, lease_until, fence) VALUES ($1, $2, $3, $5) \
             ON CONFLICT (name) DO UPDATE SET owner = $2, lease_until = $3, fence = $5 \
             WHERE {} RETURNING fence",
            free_by("leases.lease_until", 4)
        );
        let rows = self.db.exec_returning(sql, args![name, owner, until, self.clock.now_ms(), random_number()]).await?;
        rows.first().map(|row| Ok(Lease { name: name.to_owned(), fence: row.int("fence")? })).transpose()
    }

    /// Keeps a lease alive; false when it was lost.
    pub async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<bool> {
        let sql = "UPDATE leases SET lease_until = $3 WHERE name = $1 AND fence = $2";
        self.db.changed(sql, args![&lease.name, lease.fence, until]).await
    }

    /// Lets go of a lease; a lost one is left alone.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let sql = "UPDATE leases SET lease_until = 0, owner = NULL WHERE name = $1 AND fence = $2";
        self.db.run(sql, args![&lease.name, lease.fence]).await
    }
}

impl Store {
    /// Makes what one transaction after another takes for itself. Unlike a lease it is free as
    /// soon as its holder's connection is gone.
    pub async fn make_turn(&self, turn: &str) -> Result<()> {
        let sql = "INSERT INTO leases (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        self.db.run(sql, args![turn]).await
    }

    /// What the holder of a lease may do, in one commit; `None` when the lease was lost: then
    /// nothing of it happened.
    pub async fn under_lease<T>(
        &self,
        lease: &Lease,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(None);
        }
        let done = work(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(done))
    }
}

impl Tx {
    /// Whether the lease is still ours; it cannot be taken over before this transaction ends.
    pub async fn holds_lease(&mut self, lease: &Lease) -> Result<bool> {
        let sql = "UPDATE leases SET fence = fence WHERE name = $1 AND fence = $2";
        self.changed(sql, args![&lease.name, lease.fence]).await
    }

    /// Whether nobody else does at this moment what the turn is for; nobody can before this
    /// transaction ends. It must have been made ([`Store::make_turn`]).
    pub async fn is_my_turn(&mut self, turn: &str) -> Result<bool> {
        let skip = self.dialect().skip_locked();
        let sql = format!("SELECT 1 AS one FROM leases WHERE name = $1 {skip}");
        Ok(self.fetch_one(sql, args![turn]).await?.is_some())
    }
}
