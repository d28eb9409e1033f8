//! The one place where a process gets its queue: the job table without `AMQP_URL`, the
//! broker with it. Nothing else looks at that setting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::config::{Config, Role};
use crate::ctx::Ctx;
use crate::message::Lane;
use crate::queue::amqp::AmqpQueue;
use crate::queue::amqp::config::AmqpConfig;
use crate::queue::jobs::JobQueue;
use crate::queue::local_rpc::LocalRpc;
use crate::queue::lost_queues::LostQueues;
use crate::queue::oldest_due::OldestDue;
use crate::queue::relay::Relay;
use crate::queue::spill::SpillingPublisher;
use crate::queue::spilled::Spilled;
use crate::queue::{Consumer, Publisher, QueueState, Replier, Rpc, SharedQueue};
use crate::store::Store;

/// How often the queue is asked for its depth.
const GAUGE_EVERY: Duration = Duration::from_secs(2);

/// A queue and the publisher to use with it.
#[derive(Clone)]
pub struct Opened {
    pub queue: SharedQueue,
    /// With a broker this one spills into the store, and what is published counts as
    /// stored either way. Without one it is the queue itself.
    pub publisher: Arc<dyn Publisher>,
    pub callbacks: Callbacks,
}

/// The rpc lane: the broker's, or the process's own memory.
#[derive(Clone)]
pub struct Callbacks {
    /// The asking side.
    pub rpc: Arc<dyn Rpc>,
    /// The answering side: requests are taken from here…
    pub requests: Arc<dyn Consumer>,
    /// …and answered there.
    pub replier: Arc<dyn Replier>,
}

impl Callbacks {
    fn over<Q: Rpc + Consumer + Replier + 'static>(queue: Arc<Q>) -> Self {
        Self { rpc: queue.clone(), requests: queue.clone(), replier: queue }
    }

    /// Inside one process.
    pub fn local() -> Self {
        Self::over(Arc::new(LocalRpc::new()))
    }
}

impl Opened {
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

/// Opens the adapter the settings ask for. A broker that is away is no error.
pub async fn open(config: &Config, store: &Store) -> anyhow::Result<(SharedQueue, Callbacks)> {
    match &config.amqp_url {
        None => Ok((Arc::new(JobQueue::start(store.clone())), Callbacks::local())),
        Some(url) => {
            let config = AmqpConfig::new(url, &config.amqp_prefix)?.with_tls(config.tls.clone());
            let queue = AmqpQueue::start(config);
            Ok((queue.clone(), Callbacks::over(queue)))
        }
    }
}

/// Opens the queue, and with a broker also the spill and the relay; adds what `/ready` and
/// the gauges need.
pub async fn start(ctx: &Ctx) -> anyhow::Result<Opened> {
    let (queue, callbacks) = open(&ctx.config, &ctx.store).await?;
    check(ctx, &queue);
    measure(ctx, &queue, &callbacks.rpc);
    if ctx.config.amqp_url.is_none() {
        return Ok(Opened { publisher: queue.clone(), queue, callbacks });
    }
    let (publisher, queue) = with_spill(ctx, queue);
    Ok(Opened { queue, publisher, callbacks })
}

/// A publisher that spills, with the relay that empties the spill, and the queue whose lanes hold
/// what is spilled as well.
fn with_spill(ctx: &Ctx, broker: SharedQueue) -> (Arc<dyn Publisher>, SharedQueue) {
    let publisher = SpillingPublisher::new(broker.clone(), ctx.store.clone());
    let outbox = publisher.outbox();
    let relay = Relay::new(ctx.store.clone(), broker.clone(), outbox.clone(), ctx.metrics.clone());
    let stop = ctx.stop.clone();
    ctx.spawn_loop("relay", Duration::from_secs(60), |beat| relay.run(stop, beat));
    (Arc::new(publisher), Arc::new(Spilled::new(broker, ctx.store.clone(), outbox)))
}

fn troubles(state: &QueueState) -> String {
    let all: Vec<String> = state.trouble.iter().map(|(queue, why)| format!("{queue} cannot be used: {why}")).collect();
    all.join("; ")
}

/// What keeps the queue from being used as a whole, in one sentence.
fn problem(state: &QueueState, broker: bool) -> Result<(), String> {
    match (state.connected, state.blocked) {
        (false, _) if broker => Err("the broker is not reachable".to_owned()),
        (false, _) => Err("the job table cannot be read".to_owned()),
        (true, true) => Err("the broker blocks its publishers: memory or disk alarm".to_owned()),
        (true, false) if state.refused.contains(&Lane::Interactive) => Err(troubles(state)),
        (true, false) => Ok(()),
    }
}

/// Adds the queue to `/ready`.
fn check(ctx: &Ctx, queue: &SharedQueue) {
    let (checked, broker) = (queue.clone(), ctx.config.amqp_url.is_some());
    let look = move || {
        let queue = checked.clone();
        async move { problem(&queue.state().await, broker) }.boxed()
    };
    if broker {
        // One queue that cannot be used costs what goes through it, not the process.
        let queue = queue.clone();
        ctx.health.note("lanes", move || {
            let queue = queue.clone();
            async move { Some(queue.state().await).filter(|s| !s.trouble.is_empty()).map_or(Ok(()), |s| Err(troubles(&s))) }
                .boxed()
        });
    }
    if ctx.config.role != Role::Ingress || !broker {
        return ctx.health.need("queue", look);
    }
    ctx.health.note("queue", look.clone());
    // Either of the two is enough to accept a trigger.
    let store = ctx.store.clone();
    ctx.health.need("accepting", move || {
        let (queue, store) = (look(), store.clone());
        async move {
            match queue.await {
                Ok(()) => Ok(()),
                Err(why) => store.ping().await.map_err(|error| format!("{why}, and {error}")),
            }
        }
        .boxed()
    });
}

/// Keeps the figures of the queue, and tells what was lost with one.
fn measure(ctx: &Ctx, queue: &SharedQueue, rpc: &Arc<dyn Rpc>) {
    let broker = ctx.config.amqp_url.is_some();
    // Only who takes commands knows how long those that wait have done so.
    let mut oldest = matches!(ctx.config.role, Role::Worker | Role::Bridge)
        .then(|| OldestDue::new(ctx.store.clone(), broker.then(|| ctx.clock.now())));
    let mut lost = broker.then(|| LostQueues::new(ctx.store.clone()));
    let (queue, rpc, metrics, stop) = (queue.clone(), rpc.clone(), ctx.metrics.clone(), ctx.stop.clone());
    ctx.spawn(async move {
        loop {
            let state = queue.state().await;
            if state.connected {
                metrics.set_queue_depth(&state.depth);
            }
            if let Some(lost) = &mut lost {
                lost.look(&state).await;
            }
            if let Some(oldest) = &mut oldest {
                for (lane, age) in oldest.look(&state, rpc.oldest_waiting()).await {
                    metrics.set_oldest_due(lane, age);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GAUGE_EVERY) => {}
            }
        }
    });
}
