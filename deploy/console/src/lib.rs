//! What the operator sees: what the commands tell ([`seen`]), and the same as pages in a browser.
//!
//! Start reading at [`routes`]: every address, who may use it, and what answers it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod answer;
mod chart;
mod csv;
mod errands;
mod form;
mod html;
mod oidc;
mod pages;
mod refusals;
pub mod routes;
pub mod seen;
mod texts;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use shared::bootstrap::Ctx;
use shared::config::Config;
use shared::listen::{Places, serve_connection};
use shared::store::Store;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::errands::Errands;
use crate::oidc::Oidc;
use crate::refusals::Refusals;

/// Connections that may be open at a time.
const CONNECTIONS: usize = 256;
/// How long a sender may take for a request's head; an idle connection is kept as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection may wait for its place.
const FOR_A_PLACE: Duration = Duration::from_secs(5);

/// What a request may touch. Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Parts>);

struct Parts {
    config: Arc<Config>,
    store: Store,
    refusals: Refusals,
    errands: Errands,
    /// Who signs people in, if a provider does.
    oidc: Option<Oidc>,
}

impl Console {
    /// # Errors
    /// When no client for HTTP can be made.
    pub fn of(ctx: &Ctx) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Parts {
            config: ctx.config.clone(),
            store: ctx.store.clone(),
            refusals: Refusals::default(),
            errands: Errands::new(ctx.stop.child_token()),
            oidc: ctx.config.console.oidc.clone().map(|oidc| Oidc::new(oidc, &ctx.config.tls)).transpose()?,
        })))
    }
}

/// Serves the pages until the process stops, where `CONSOLE_LISTEN` says; at once done when it says
/// nothing.
///
/// # Errors
/// When the address cannot be opened, or no client for HTTP can be made.
pub async fn run(ctx: Ctx) -> anyhow::Result<()> {
    let Some(listen) = ctx.config.console.listen else { return Ok(()) };
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("CONSOLE_LISTEN: {listen} cannot be opened"))?;
    run_on(&ctx, listener).await
}

/// [`run`] on a listener that is open already.
///
/// # Errors
/// When no client for HTTP can be made.
pub async fn run_on(ctx: &Ctx, listener: TcpListener) -> anyhow::Result<()> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("the console: http://{address}; `bridge console open` lets somebody in");
    }
    let beat = ctx.health.heartbeat("the console's connections", Duration::from_secs(30));
    let (console, connections, places) = (Console::of(ctx)?, TaskTracker::new(), Places::new(CONNECTIONS));
    loop {
        beat.beat();
        let accepted = tokio::select! {
            () = ctx.stop.cancelled() => break,
            // An idle listener still turns.
            () = tokio::time::sleep(Duration::from_secs(5)) => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let place = tokio::select! {
            () = ctx.stop.cancelled() => break,
            place = tokio::time::timeout(FOR_A_PLACE, places.take(from.ip())) => place,
        };
        // Whoever crowds the pages waits for them; the roles beside them do not.
        let Ok(Some(place)) = place else { continue };
        let (console, stop) = (console.clone(), ctx.stop.child_token());
        connections.spawn(async move {
            let answer = |request: hyper::Request<_>| answer::answer(&console, request.map(Body::new), from.ip());
            serve_connection(stream, place, PATIENCE, &stop, answer).await;
        });
    }
    beat.done();
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}
