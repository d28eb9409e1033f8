//! `bridge console …`: who is let into the pages, and a process that serves them.

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::json;
use shared::config::{self, BadConfig, Config, Source};
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::console::{LINK_LASTS, Person, Role};
use shared::{bootstrap, existing};

use crate::filters;
use crate::output::{Failure, Output};
use crate::stdout::say;

/// What is said where the pages are served nowhere.
const NOT_SET: &str = "CONSOLE_LISTEN: it is not set, so the console is off; set it to an address like 127.0.0.1:8081";

/// Runs until the process is told to stop. It makes no installation.
pub fn serve(source: &Source) -> Result<ExitCode, Failure> {
    let config = Config::read(config::Role::Console, source).map_err(Failure::Config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(existing::check(&config)).map_err(Failure::sentence)?;
    if config.console.listen.is_none() {
        return Err(Failure::Config(BadConfig(vec![NOT_SET.to_owned()])));
    }
    bootstrap::start(config::Role::Console, source, bridge_console::run)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes an address that lets somebody in.
pub async fn open(role: &str, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let Some(listen) = config.console.listen else { return Err(Failure::Config(BadConfig(vec![NOT_SET.to_owned()]))) };
    let words = Role::ALL.map(Role::as_str);
    let may = Role::parse(role).ok_or_else(|| filters::one_of("--role", role, &words))?;
    let url = link(listen, may, who, store).await?;
    let (name, minutes) = (&who.name, LINK_LASTS.as_secs() / 60);
    let document = json!({ "url": url, "name": name, "role": role, "minutes": minutes });
    out.answer(&document, || {
        say!("{url}");
        say!("It lets {name} in as {role}, once, within {minutes} minutes, in a browser on this machine.");
    });
    Ok(ExitCode::SUCCESS)
}

/// A one-time address; it opens on this machine alone.
pub async fn link(listen: SocketAddr, role: Role, who: &Who, store: &Store) -> Result<String, Failure> {
    let person = Person { name: who.name.clone(), os_user: who.os_user.clone(), role };
    let token = store.make_console_link(&person, who).await?;
    let host = if listen.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], listen.port())) } else { listen };
    Ok(format!("http://{host}/enter/{}", token.expose()))
}
