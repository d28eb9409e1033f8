//! One connection kept alive for ever: open it, let its user work on it until something
//! breaks, drop it, wait, open the next. lapin's own recovery stays off; it was measured
//! to hang (messaging.md «Connections»).

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use lapin::{Channel, Connection, Event};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::locked::locked;
use crate::queue::amqp::limits::{CLOSE_LIMIT, DECLARE_LIMIT};

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
    pub(super) socket: Arc<Socket>,
    pub(super) broken: CancellationToken,
}

impl Live {
    /// Awaits something of lapin for at most `limit`. Running into the limit breaks the
    /// connection: lapin was measured to stay silent for good then.
    pub(super) async fn limited<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        future: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(limit, future).await {
            Ok(result) => Ok(result?),
            Err(_) => {
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
        // A blocked connection answers nothing, and is none that is to be dropped.
        if !self.connection.status().blocked() {
            self.channel().await?;
        }
        Err(Failure::Silent(operation))
    }

    /// A new channel.
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

    pub(super) async fn close(&self) {
        let closing = self.connection.close(200, "bye".into());
        let _ = timeout(CLOSE_LIMIT, closing).await;
        self.abandon();
    }

    /// Cuts the socket, which ends lapin's thread whatever state it hangs in. A close
    /// frame could not be sent on a blocked or dead connection.
    pub(super) fn abandon(&self) {
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
pub(super) struct Socket(Mutex<SocketState>);

#[derive(Default)]
enum SocketState {
    #[default]
    Connecting,
    Open(std::net::TcpStream),
    Abandoned,
}

impl Socket {
    /// Takes the handle; refuses when nobody waits for this connection any more.
    pub(super) fn opened(&self, stream: std::net::TcpStream) -> io::Result<()> {
        let mut state = locked(&self.0);
        if matches!(*state, SocketState::Abandoned) {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        *state = SocketState::Open(stream);
        Ok(())
    }

    pub(super) fn abandon(&self) {
        let mut state = locked(&self.0);
        if let SocketState::Open(stream) = std::mem::replace(&mut *state, SocketState::Abandoned) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
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
