//! One connection kept alive for ever: open it, let its user work on it until something
//! breaks, drop it, wait, open the next. lapin's own recovery stays off; it was measured
//! to hang (messaging.md «Connections»).

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::future::BoxFuture;
use lapin::tcp::{AMQPUriTcpExt as _, TLSConfig};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::queue::amqp::fallback_runtime;
use crate::queue::amqp::inspection::refusal;
use crate::queue::amqp::{QueueEvents, Shared};
use crate::retry::Waits;

pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
pub(super) const DECLARE_LIMIT: Duration = Duration::from_secs(5);
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// A connection that lived this long was a good one: the next wait is short again.
const STEADY: Duration = Duration::from_secs(1);

/// What ended an operation on a connection. Neither text holds the URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Broker(#[from] lapin::Error),
    #[error("{0} did not end within its time limit")]
    Limit(&'static str),
    /// The connection answers; whoever answers for that queue does not.
    #[error("{0} was not answered")]
    Silent(&'static str),
    #[error("{0}")]
    Lost(&'static str),
}

pub(super) type EventStream = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// One open connection. Whoever finds it broken says so; its supervisor then drops it.
pub(super) struct Live {
    pub(super) connection: Connection,
    socket: Arc<Socket>,
    broken: CancellationToken,
    events: Arc<dyn QueueEvents>,
}

impl Live {
    /// Awaits something of lapin for at most `limit`. Running into the limit breaks the
    /// connection: lapin was measured to stay silent for good then.
    ///
    /// # Errors
    /// lapin's error, or [`Failure::Limit`].
    pub(super) async fn limited<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        future: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(limit, future).await {
            Ok(result) => Ok(result?),
            Err(_) => {
                self.events.await_timeout(operation);
                self.break_off();
                Err(Failure::Limit(operation))
            }
        }
    }

    /// Awaits something of lapin that concerns one queue. When no answer comes, the connection
    /// itself is asked: a queue whose node is away is no reason to drop the connection of all
    /// others. The channel it was asked on is of no use then.
    ///
    /// # Errors
    /// lapin's error, [`Failure::Silent`], or that the connection does not answer either.
    pub(super) async fn of_one_queue<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        future: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        if let Ok(result) = timeout(limit, future).await {
            return Ok(result?);
        }
        self.events.await_timeout(operation);
        // A blocked connection answers nothing, and is none that is to be dropped.
        if !self.connection.status().blocked() {
            self.channel().await?;
        }
        Err(Failure::Silent(operation))
    }

    /// A new channel.
    ///
    /// # Errors
    /// As [`Live::limited`].
    pub(super) async fn channel(&self) -> Result<Channel, Failure> {
        self.limited("channel.open", DECLARE_LIMIT, self.connection.create_channel()).await
    }

    /// Says that this connection is of no use any more.
    pub(super) fn break_off(&self) {
        self.broken.cancel();
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_cancelled() || !self.connection.status().connected()
    }

    /// Returns once somebody has called [`Live::break_off`].
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    async fn close(&self) {
        let closing = self.connection.close(200, "bye".into());
        let _ = timeout(CLOSE_LIMIT, closing).await;
        self.abandon();
    }

    /// Cuts the socket, which ends lapin's thread whatever state it hangs in. A close
    /// frame could not be sent on a blocked or dead connection.
    fn abandon(&self) {
        self.broken.cancel();
        self.socket.abandon();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A second handle of the socket that lapin's thread owns.
#[derive(Default)]
struct Socket(Mutex<SocketState>);

#[derive(Default)]
enum SocketState {
    #[default]
    Connecting,
    Open(std::net::TcpStream),
    Abandoned,
}

impl Socket {
    /// Takes the handle; refuses when nobody waits for this connection any more.
    fn opened(&self, stream: std::net::TcpStream) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SocketState::Abandoned) {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        *state = SocketState::Open(stream);
        Ok(())
    }

    fn abandon(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SocketState::Open(stream) = std::mem::replace(&mut *state, SocketState::Abandoned) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Abandons a socket whose connection never came about, also when the wait is cancelled.
struct AbandonOnDrop(Option<Arc<Socket>>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            socket.abandon();
        }
    }
}

async fn open(shared: &Shared, link: Link) -> Result<(Arc<Live>, EventStream), Failure> {
    fallback_runtime::ensure();
    let socket = Arc::new(Socket::default());
    let mut guard = AbandonOnDrop(Some(socket.clone()));
    let handle = socket.clone();
    let name = format!("{} {}", shared.config.prefix, link.name());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        shared.config.uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            // lapin awaits this on its own thread, where our limit below does not reach.
            let stream = timeout(CONNECT_LIMIT, uri.connect_with_config_async(TLSConfig::default(), &runtime))
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
            shared.config.events.await_timeout("connect");
            return Err(Failure::Limit("connecting"));
        }
    };
    let events = Box::pin(connection.events_listener());
    guard.0 = None;
    let broken = CancellationToken::new();
    Ok((Arc::new(Live { connection, socket, broken, events: shared.config.events.clone() }), events))
}

/// The two connections of a process: a blocked publisher must not stop acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Publishing,
    Consuming,
}

impl Link {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Publishing => "publishing",
            Self::Consuming => "consuming",
        }
    }
}

/// What is done on a connection while it lives.
pub(super) trait Session: Send {
    /// Sets up what the connection needs and works until it breaks or is to stop.
    fn run(&mut self, live: Arc<Live>, events: EventStream) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Keeps one connection open until `shared.stop`.
pub(super) async fn supervise(shared: Arc<Shared>, link: Link, mut session: impl Session) {
    let (shortest, longest) = shared.config.reconnect;
    let mut backoff = Waits::between(shortest, longest);
    let mut connected_before = false;
    let mut last: Option<String> = None;
    while !shared.stop.is_cancelled() {
        shared.progress.beat(link);
        let opened = tokio::select! {
            opened = open(&shared, link) => opened,
            () = shared.stop.cancelled() => break,
        };
        match opened {
            Ok((live, events)) => {
                let since = Instant::now();
                if connected_before {
                    shared.config.events.reconnected();
                    tracing::info!(link = link.name(), "connected to RabbitMQ again");
                } else {
                    tracing::info!(link = link.name(), "connected to RabbitMQ");
                }
                connected_before = true;
                last = None;
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
                let why = match &failure {
                    Failure::Broker(error) => refusal(error, &shared.config).to_string(),
                    other => other.to_string(),
                };
                // Said once, not with every try.
                if last.as_ref() != Some(&why) {
                    tracing::warn!(link = link.name(), why, "RabbitMQ cannot be used; it is tried again until it can");
                    last = Some(why);
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
