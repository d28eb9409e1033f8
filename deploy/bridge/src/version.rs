//! The version of the schema that a database has.

use shared::store::Db;

/// The schema's version, or why the database lets nobody ask.
pub async fn version(db: &Db) -> anyhow::Result<i64> {
    let found = match db.needs_sessions().await {
        Ok(()) => db.schema_version().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(version) => Ok(version),
        Err(error) => {
            let error = anyhow::Error::from(db.explained(error).await);
            Err(match db.server() {
                Some(server) => error.context(format!("PostgreSQL at {server}")),
                None => error,
            })
        }
    }
}
