//! Where the installation's key comes from.

use std::path::{Path, PathBuf};

use crate::config::{BadConfig, Config, Database};
use crate::crypto::SecretKey;
use crate::files;

impl Config {
    /// The installation's key. With SQLite it is made on first use; with PostgreSQL it must
    /// be given, since several machines need the same one.
    ///
    /// # Errors
    /// [`BadConfig`] naming `BRIDGE_SECRET_KEY`.
    pub fn load_secret_key(&self) -> Result<SecretKey, BadConfig> {
        let path = self.key_file();
        if self.secret_key.is_none() && !path.exists() && matches!(self.database, Database::Sqlite(_)) {
            create_key_file(&path).map_err(|error| {
                BadConfig(vec![format!("DATA_DIR: {} cannot be written ({error})", path.display())])
            })?;
        }
        let none = || BadConfig(vec![format!("DATA_DIR: {} is not there", path.display())]);
        self.find_secret_key()?.ok_or_else(none)
    }

    /// Where the key is kept that no setting gives.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("secret.key")
    }

    /// The installation's key if there is one. Nothing is made.
    ///
    /// # Errors
    /// [`BadConfig`] naming `BRIDGE_SECRET_KEY`; with PostgreSQL also when it is not given.
    pub fn find_secret_key(&self) -> Result<Option<SecretKey>, BadConfig> {
        let Some(key) = self.find_own_key()? else {
            return match self.database {
                Database::Sqlite(_) => Ok(None),
                Database::Postgres(_) => Err(BadConfig(vec![
                    "BRIDGE_SECRET_KEY: must be given when PostgreSQL is used; `bridge secret-key` makes one"
                        .to_owned(),
                ])),
            };
        };
        Ok(Some(match self.other_key.as_ref().map(|other| SecretKey::parse(other.expose())) {
            None => key,
            Some(Ok(other)) => key.beside(other),
            Some(Err(error)) => return Err(BadConfig(vec![format!("BRIDGE_SECRET_KEY_OTHER: {error}")])),
        }))
    }

    fn find_own_key(&self) -> Result<Option<SecretKey>, BadConfig> {
        let bad = |text: String| BadConfig(vec![text]);
        if let Some(key) = &self.secret_key {
            let key = SecretKey::parse(key.expose()).map_err(|error| bad(format!("BRIDGE_SECRET_KEY: {error}")))?;
            return Ok(Some(key));
        }
        let path = self.key_file();
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| bad(format!("DATA_DIR: {} cannot be read ({error})", path.display())))?;
        SecretKey::parse(&text).map(Some).map_err(|error| bad(format!("{}: {error}", path.display())))
    }
}

/// Writes a new key readable by its owner alone. Two processes starting together end up
/// with the key of one of them.
fn create_key_file(path: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = files::private().create(true).truncate(true).open(&draft)?;
    writeln!(file, "{}", SecretKey::generate())?;
    file.sync_all()?;
    // A link fails when the name is taken, so the first one wins and nobody overwrites a key in use.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
