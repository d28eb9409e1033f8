//! Who runs on a database of PostgreSQL. A file is held by a lock instead: see
//! [`crate::store::file`].

use crate::store::db::{Db, Dialect, OURS, Result};

impl Db {
    /// The processes that run on the database: as their sessions name themselves, else workers
    /// whose sign of life is there. Asked of the server, so that one that stands still counts too.
    /// Roles of releases that gave their sessions no name are told by having none.
    pub async fn running(&self) -> Result<Vec<String>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT DISTINCT CASE application_name WHEN '' THEN 'a session without a name' \
             ELSE SUBSTR(application_name, {}) END || COALESCE(' at ' || host(client_addr), '') AS who \
             FROM pg_stat_activity WHERE datname = current_database() AND (application_name LIKE '{OURS}%' \
             OR application_name = '' AND usename = current_user AND backend_type = 'client backend') ORDER BY 1",
            OURS.len() + 1
        );
        let mut found: Vec<String> = self.read_all(sql, vec![], |row| row.text("who")).await?;
        if found.is_empty() {
            let workers = self.living_holders().await?.into_iter();
            found = workers.map(|owner| format!("worker {owner}")).collect();
        }
        Ok(found)
    }
}
