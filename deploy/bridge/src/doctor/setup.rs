//! The settings as a whole, and the folder they name. Single bad settings never get here:
//! reading them fails first, with all problems at once.

use std::path::{Path, PathBuf};

use shared::config::{Config, Database, UnknownVariable};
use shared::retailcrm::AllowedHosts;
use url::{Host, Url};

use crate::doctor::finding::{Area, Finding, Findings, tell};

/// A file or folder as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    pub path: PathBuf,
    /// Permission bits, where the system has them.
    pub mode: Option<u32>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

impl FileFact {
    /// Its permissions, when they give any of these bits.
    fn open_to(&self, bits: u32) -> Option<u32> {
        self.mode.filter(|mode| mode & bits != 0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub public_url: String,
    /// What is wrong with `CRM_ALLOWED_HOSTS`.
    pub allowed_hosts: Option<String>,
    /// `None` with PostgreSQL: nothing is kept in it.
    pub data_dir: Option<FileFact>,
    /// `None` when the key comes from the environment.
    pub key_file: Option<FileFact>,
    /// The files of SQLite that are there.
    pub database_files: Vec<FileFact>,
}

/// Variables that nothing reads.
pub fn judge_variables(unknown: &[UnknownVariable]) -> Vec<Finding> {
    let mut say = Findings::of(Area::Config);
    for unknown in unknown {
        tell!(say, Warning: "{unknown}" => "correct its name, or take it out of the environment");
    }
    say.all
}

pub fn gather(config: &Config) -> Facts {
    let key_path = config.key_file();
    // A folder that is not there is told where the database is looked for.
    let own_files = matches!(config.database, Database::Sqlite(_)) && config.data_dir.exists();
    Facts {
        public_url: config.public_url.clone(),
        allowed_hosts: AllowedHosts::parse(&config.crm_allowed_hosts).err().map(|bad| bad.to_string()),
        data_dir: own_files.then(|| FileFact {
            problem: write_problem(&config.data_dir),
            mode: mode(&config.data_dir),
            path: config.data_dir.clone(),
        }),
        database_files: database_files(config),
        key_file: key_path.exists().then(|| FileFact { problem: None, mode: mode(&key_path), path: key_path }),
    }
}

/// The database of SQLite and what it keeps beside it: orders with names and addresses.
fn database_files(config: &Config) -> Vec<FileFact> {
    let Database::Sqlite(path) = &config.database else { return Vec::new() };
    let beside = ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    let there = beside.into_iter().filter(|path| path.exists());
    there.map(|path| FileFact { problem: None, mode: mode(&path), path }).collect()
}

/// Why nothing can be written below a folder.
fn write_problem(folder: &Path) -> Option<String> {
    let probe = folder.join(format!(".doctor.{}", std::process::id()));
    match std::fs::write(&probe, b"") {
        Ok(()) => std::fs::remove_file(&probe).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(unix)]
pub fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
pub fn mode(_: &Path) -> Option<u32> {
    None
}

/// Whether an address means this machine alone.
pub fn is_loopback(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut say = Findings::of(Area::Config);
    let url = &facts.public_url;
    if url.starts_with("https://") || is_loopback(url) {
        tell!(say, Ok: "the settings can be read; PUBLIC_URL is {url}");
    } else {
        tell!(say, Error: "PUBLIC_URL is {url}: RetailCRM's keys and people's data would travel unencrypted"
            => "put a TLS proxy in front of ingress (deploy/nginx, deploy/caddy) and set PUBLIC_URL to its https:// address");
    }
    if let Some(bad) = &facts.allowed_hosts {
        tell!(say, Error: "CRM_ALLOWED_HOSTS: {bad}"
            => "correct CRM_ALLOWED_HOSTS, or leave it empty when every shop lives at RetailCRM's own domains");
    }
    if let Some(dir) = &facts.data_dir {
        folder(dir, &mut say);
    }
    for file in &facts.database_files {
        let shown = file.path.display();
        if let Some(mode) = file.open_to(0o077) {
            tell!(say, Error: "other users may read the database file {shown} (mode {mode:04o}): orders are in it"
                => "run `chmod 600 {shown}`");
        }
    }
    if let Some(key) = &facts.key_file {
        let shown = key.path.display();
        match key.open_to(0o077) {
            Some(mode) => tell!(say, Error: "other users may read the secret key {shown} (mode {mode:04o})"
                => "run `chmod 600 {shown}`"),
            None => tell!(say, Ok: "the secret key {shown} is its owner's alone"),
        }
    }
    say.all
}

fn folder(dir: &FileFact, say: &mut Findings) {
    let shown = dir.path.display();
    if let Some(problem) = &dir.problem {
        tell!(say, Error: "DATA_DIR {shown} cannot be written to: {problem}"
            => "give {shown} to the user that runs the bridge, or set DATA_DIR to a folder it owns");
    } else if let Some(mode) = dir.open_to(0o022) {
        tell!(say, Warning: "other users may change files in DATA_DIR {shown} (mode {mode:04o})"
            => "run `chmod go-w {shown}`");
    } else if let Some(mode) = dir.open_to(0o077) {
        tell!(say, Warning: "other users may look into DATA_DIR {shown} (mode {mode:04o})" => "run `chmod 700 {shown}`");
    } else {
        tell!(say, Ok: "DATA_DIR {shown} can be written to");
    }
}
