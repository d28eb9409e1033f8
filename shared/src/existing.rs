//! Who looks at an installation does not make one: in a wrong folder an empty database would say
//! that all is well.

use std::path::Path;

use crate::config::{BadConfig, Config, Database};
use crate::store::{Db, file};

/// What to do about it, at the end of each sentence.
const BEGIN: &str = "begin one with `bridge up`, `bridge migrate` or `bridge integration add`";

/// Whether there is a database to work with. One on a server is asked by whoever uses it.
///
/// # Errors
/// One sentence that says where it was looked for, which setting says so, and what to do.
pub async fn check(config: &Config) -> Result<(), String> {
    let Database::Sqlite(path) = &config.database else { return Ok(()) };
    let shown = absolute(path);
    let by = match config.database_set_by.as_deref() {
        Some(variable) => format!("{variable} says so"),
        None => "neither DATA_DIR nor DATABASE_URL is set, so it is looked for in the present folder".to_owned(),
    };
    match path.metadata() {
        Ok(found) if found.len() > 0 => match Db::is_ours(path).await {
            // What is wrong with one that cannot be read, whoever opens it says.
            Ok(true) | Err(_) => Ok(()),
            Ok(false) => Err(format!(
                "the database {shown} is none of the bridge's ({by}): set DATA_DIR or DATABASE_URL to the one that is, or \
                 {BEGIN} in another place"
            )),
        },
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("the database {shown} cannot be looked at ({by}): {error}"))
        }
        // An empty one where an installation was is not the beginning of another.
        Ok(_) if let Err(error) = file::prepare(path) => Err(format!("the database {shown}: {error}")),
        _ => Err(format!(
            "there is no database at {shown} ({by}): set DATA_DIR to the folder of the installation, or {BEGIN}"
        )),
    }
}

/// The sentence about a database whose key is not where it was.
pub fn no_key(config: &Config) -> BadConfig {
    BadConfig(vec![format!(
        "BRIDGE_SECRET_KEY: it is not set and there is no {}, but the database was sealed with a key: put that file back \
         from the backup, or set BRIDGE_SECRET_KEY to what was in it",
        absolute(&config.key_file())
    )])
}

/// A path as it is from anywhere.
pub fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
