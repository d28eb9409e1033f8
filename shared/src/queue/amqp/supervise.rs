//! One connection kept alive for ever: opened, worked on until something breaks, opened again.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::queue::amqp::config::server;
use crate::queue::amqp::connection::{EventStream, Failure, Link, Live, Socket};
use crate::queue::amqp::fallback_runtime;
use crate::queue::amqp::limits::CONNECT_LIMIT;
use crate::queue::amqp::refusal::refusal;
use crate::queue::amqp::state::Shared;
use crate::retry::Waits;

/// A connection that lived this long was a good one: the next wait is short again.
const STEADY: Duration = Duration::from_secs(1);

/// Abandons a socket whose connection never came about, also when the wait is cancelled.
struct AbandonOnDrop(pub(super) Option<Arc<Socket>>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            socket.abandon();
        }
    }
}

async fn open(shared: &Shared, uri: &AMQPUri, link: Link) -> Result<(Arc<Live>, EventStream), Failure> {
    fallback_runtime::ensure();
    let socket = Arc::new(Socket::default());
    let mut guard = AbandonOnDrop(Some(socket.clone()));
    let handle = socket.clone();
    let name = format!("{} {}", shared.config.prefix, link.name());
    let tls = shared.config.tls(uri).map_err(lapin::Error::from)?;
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            // lapin awaits this on its own thread, where our limit below does not reach.
            let stream = timeout(CONNECT_LIMIT, uri.connect_with_config_async(tls.as_ref(), &runtime))
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))?;
            let tcp = match &stream {
                AsyncTcpStream::Plain(stream) => stream.get_ref(),
                AsyncTcpStream::Rustls(stream) => stream.get_ref().0.get_ref(),
                _ => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            };
            let tcp = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
            tcp.set_nodelay(true)?;
            handle.opened(tcp)?;
            Ok(stream)
        },
        properties,
    );
    let connection = match timeout(CONNECT_LIMIT, connecting).await {
        Ok(connection) => connection?,
        Err(_) => {
            shared.progress.unanswered.fetch_add(1, Ordering::Relaxed);
            return Err(Failure::Limit("connecting"));
        }
    };
    let events = Box::pin(connection.events_listener());
    guard.0 = None;
    let broken = CancellationToken::new();
    Ok((Arc::new(Live { connection, socket, broken }), events))
}

fn words_of(failure: &Failure, uri: &AMQPUri) -> String {
    match failure {
        Failure::Broker(error) => refusal(error, uri).to_string(),
        other => other.to_string(),
    }
}

/// What is done on a connection while it lives.
pub(super) trait Session: Send {
    /// Sets up what the connection needs and works until it breaks or is to stop.
    fn run(&mut self, live: Arc<Live>, events: EventStream) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Keeps one connection open until `shared.stop`, to whichever node answers: after each loss the
/// next is tried, and only a round without an answer is followed by a pause.
pub(super) async fn supervise(shared: Arc<Shared>, link: Link, mut session: impl Session) {
    let (shortest, longest) = shared.config.reconnect;
    let mut backoff = Waits::between(shortest, longest);
    let mut connected_before = false;
    let brokers = &shared.config.uris;
    let mut turn = 0;
    let mut told = BTreeSet::new();
    while !shared.stop.is_cancelled() {
        shared.progress.beat(link);
        let uri = &brokers[turn % brokers.len()];
        turn += 1;
        let opened = tokio::select! {
            opened = open(&shared, uri, link) => opened,
            () = shared.stop.cancelled() => break,
        };
        match opened {
            Ok((live, events)) => {
                let since = Instant::now();
                if connected_before {
                    shared.progress.reconnects.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(link = link.name(), server = server(uri), "connected to RabbitMQ again");
                } else {
                    tracing::info!(link = link.name(), server = server(uri), "connected to RabbitMQ");
                }
                connected_before = true;
                told.clear();
                // The other connection need not sit out its wait.
                shared.answered.notify_waiters();
                let result = session.run(live.clone(), events).await;
                if shared.stop.is_cancelled() {
                    live.close().await;
                    break;
                }
                live.abandon();
                if let Err(error) = result {
                    tracing::warn!(link = link.name(), %error, "the connection to RabbitMQ was lost");
                }
                if since.elapsed() > STEADY {
                    backoff.reset();
                }
            }
            Err(failure) => {
                let why = words_of(&failure, uri);
                // Said once, not with every try.
                if told.insert(why.clone()) {
                    tracing::warn!(link = link.name(), why, "RabbitMQ cannot be used; it is tried again until it can");
                }
                if !turn.is_multiple_of(brokers.len()) {
                    continue;
                }
            }
        }
        shared.progress.beat(link);
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = shared.answered.notified() => {}
            () = shared.stop.cancelled() => {}
        }
    }
}
