//! Everything that comes in over HTTP: authenticate, translate, publish with a confirm,
//! answer. No vendor client lives here, and no decision about an order.
//!
//! Start reading at [`triggers`]; [`server`] is the shell around it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod ask;
mod bilingual;
pub mod body;
mod buckets;
pub mod callbacks;
mod connect;
pub mod failures;
mod finish;
mod hand_over;
pub mod keys;
mod push;
pub mod reply;
pub mod server;
pub mod settings_page;
pub mod triggers;
mod urlencoded;
mod widget;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use shared::bootstrap::Ctx;
use shared::clock::Clock;
use shared::config::Config;
use shared::queue::open::{Callbacks, Opened};
use shared::queue::{Publisher, Rpc};
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::body::Patience;
use crate::failures::FailureLimit;
use crate::keys::Keys;

/// What a request may touch. Cheap to clone.
#[derive(Clone)]
pub struct State(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) keys: Arc<Keys>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    pub(crate) failures: FailureLimit,
    pub(crate) looks: push::Looks,
    pub(crate) tasks: TaskTracker,
    pub(crate) patience: Patience,
    /// Asks the workers.
    pub(crate) rpc: Arc<dyn Rpc>,
    pub(crate) deadlines: Deadlines,
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) widget: widget::Widget,
}

/// How long RetailCRM is kept waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) callback: Duration,
    pub(crate) calculate: Duration,
}

impl State {
    /// Must be called inside the runtime. The key table starts empty.
    pub fn of(ctx: &Ctx, queue: &Opened) -> Self {
        Self::with(ctx, queue.publisher.clone(), queue.callbacks.rpc.clone(), Patience::default())
    }

    /// For triggers alone, with other time limits for senders: nobody answers callbacks.
    pub fn with_patience(ctx: &Ctx, publisher: Arc<dyn Publisher>, patience: Patience) -> Self {
        Self::with(ctx, publisher, Callbacks::local().rpc, patience)
    }

    fn with(ctx: &Ctx, publisher: Arc<dyn Publisher>, rpc: Arc<dyn Rpc>, patience: Patience) -> Self {
        Self(Arc::new(Parts {
            keys: Arc::new(Keys::new(ctx.store.key.clone())),
            publisher,
            metrics: ctx.metrics.clone(),
            journal: Journal::start(ctx.store.clone()),
            clock: ctx.clock.clone(),
            failures: FailureLimit::default(),
            looks: push::Looks::default(),
            tasks: ctx.tasks.clone(),
            patience,
            rpc,
            deadlines: Deadlines { callback: ctx.config.callback_deadline, calculate: ctx.config.calculate_deadline },
            config: ctx.config.clone(),
            store: ctx.store.clone(),
            widget: widget::Widget::of(ctx.config.widget_dir.as_deref()),
        }))
    }

    /// Loads the key table, waiting a moment for a database that is slow to come, and
    /// keeps it fresh until the process stops.
    async fn follow_keys(&self, ctx: &Ctx) {
        let keys = self.0.keys.clone();
        let _ = tokio::time::timeout(Duration::from_secs(2), keys.refresh(&ctx.store)).await;
        let checked = keys.clone();
        ctx.health.need("keys", move || {
            let loaded = checked.is_loaded();
            async move {
                if loaded {
                    Ok(())
                } else {
                    Err("the integrations' keys have not been read from the database yet".to_owned())
                }
            }
            .boxed()
        });
        let (store, stop) = (ctx.store.clone(), ctx.stop.clone());
        ctx.spawn_loop("key table", Duration::from_secs(30), |beat| async move {
            keys.follow(&store, &stop, &beat).await;
        });
    }
}

/// Serves until the process stops; returns when the last request has been answered.
pub async fn run(ctx: Ctx, queue: Opened) -> anyhow::Result<()> {
    let listen = ctx.config.ingress_listen;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("INGRESS_LISTEN: {listen} cannot be opened"))?;
    run_on(ctx, queue, listener).await
}

/// [`run`] on a listener that is open already.
///
/// # Errors
/// None today; the signature is [`run`]'s.
pub async fn run_on(ctx: Ctx, queue: Opened, listener: TcpListener) -> anyhow::Result<()> {
    serve_on(&ctx, State::of(&ctx, &queue), listener).await;
    Ok(())
}

/// Serves a state of the caller's own until the process stops.
pub async fn serve_on(ctx: &Ctx, state: State, listener: TcpListener) {
    state.follow_keys(ctx).await;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "triggers and callbacks are accepted");
    }
    let beat = ctx.health.heartbeat("accepting connections", Duration::from_secs(30));
    server::serve(listener, state.clone(), &ctx.stop, &beat).await;
    beat.done();
    state.0.journal.flush().await;
}
