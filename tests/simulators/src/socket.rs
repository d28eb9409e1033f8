//! The sockets both simulators serve on: a connection can be cut without a farewell, by a handler
//! whose answer is to be lost, or all of them when the simulator stops.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a server that stops waits for its connections before it drops them.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A server on an address that stays its own while it is stopped. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    running: Mutex<Option<Running>>,
}

struct Running {
    cancel: CancellationToken,
    down: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.down.store(true, Ordering::Release);
        self.cancel.cancel();
    }
}

impl Server {
    /// Takes an address; port 0 is a free one. Callers wait until something is served there.
    pub(crate) async fn bind(listen: SocketAddr) -> anyhow::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        Ok((Self { address: listener.local_addr()?, running: Mutex::default() }, listener))
    }

    /// Serves nobody.
    pub(crate) fn nowhere() -> Self {
        Self { address: SocketAddr::from(([0, 0, 0, 0], 0)), running: Mutex::default() }
    }

    pub(crate) fn serve(&self, listener: TcpListener, app: Router) {
        let (cancel, down) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let listener = CuttableListener { inner: listener, down: Arc::clone(&down) };
        let service = app.into_make_service_with_connect_info::<Connection>();
        let stopped = cancel.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the simulator's server ended");
            }
        });
        *self.running() = Some(Running { cancel, down, task });
    }

    /// Stops listening and cuts every connection; callers are refused from then on.
    pub(crate) async fn stop(&self) {
        let running = self.running().take();
        let Some(mut running) = running else { return };
        running.down.store(true, Ordering::Release);
        running.cancel.cancel();
        if tokio::time::timeout(STOP_GRACE, &mut running.task).await.is_err() {
            running.task.abort();
        }
    }

    /// Listens again on the same address. Does nothing while running.
    pub(crate) async fn restart(&self, app: Router) -> anyhow::Result<()> {
        if self.running().is_none() {
            let (_, listener) = Self::bind(self.address).await?;
            self.serve(listener, app);
        }
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CuttableListener {
    inner: TcpListener,
    /// Once it is set, nothing is read or written any more.
    down: Arc<AtomicBool>,
}

struct CuttableStream {
    inner: TcpStream,
    cut: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
}

impl CuttableStream {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) || self.down.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.inner.accept().await {
                Ok((inner, address)) => {
                    // Small answers must not wait for the peer's acknowledgement.
                    if let Err(error) = inner.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY was refused");
                    }
                    let cut = Arc::new(AtomicBool::new(false));
                    return (CuttableStream { inner, cut, down: Arc::clone(&self.down) }, address);
                }
                // Out of file descriptors, or the other side is gone already: neither ends the service.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What a handler knows of its connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) ip: IpAddr,
    cut: Arc<AtomicBool>,
}

impl Connection {
    /// Whatever the handler answers, the caller gets no byte of it.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        Self { ip: stream.remote_addr().ip(), cut: Arc::clone(&stream.io().cut) }
    }
}
