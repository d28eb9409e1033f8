//! A TCP proxy that plays the faults of a network path: between a client and its broker,
//! its database or a vendor.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of connections, present and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Bytes go through.
    Pass,
    /// Present connections are cut (RST), new ones as soon as they are accepted.
    Reset,
    /// Present connections are cut, new ones accepted and closed at once: a load balancer
    /// whose back end is down.
    AcceptAndClose,
    /// Nothing goes through and nothing is said, not even a close. What was sent meanwhile
    /// arrives when the path is back, as TCP would do it.
    BlackHole,
    /// Bytes go through, every piece this much later.
    Slow(Duration),
}

impl Path {
    const fn cuts(self) -> bool {
        matches!(self, Self::Reset | Self::AcceptAndClose)
    }
}

/// A listening proxy; it ends when it is dropped, and cuts what runs through it.
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<String>>,
    path: watch::Sender<Path>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target` (`host:port`).
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(target: impl Into<String>) -> io::Result<Self> {
        let target = Arc::new(Mutex::new(target.into()));
        let aimed = Arc::clone(&target);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let path = watch::Sender::new(Path::Pass);
        let watched = path.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => {
                        let target = aimed.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        drop(tokio::spawn(serve(client, target, watched.clone())));
                    }
                    // Out of file handles: they come back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(Self { address, target, path, accepting })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections from now on go to another server; present ones are left alone.
    pub fn aim(&self, target: impl Into<String>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target.into();
    }

    /// Changes the path, for present and new connections.
    pub fn set(&self, path: Path) {
        self.path.send_replace(path);
    }

    /// Cuts every present connection and lets new ones through again after `outage`.
    pub async fn cut(&self, path: Path, outage: Duration) {
        self.set(path);
        tokio::time::sleep(outage).await;
        self.set(Path::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.path.send_replace(Path::Reset);
        self.accepting.abort();
    }
}

async fn serve(mut client: TcpStream, target: String, mut path: watch::Receiver<Path>) {
    let now = *path.borrow_and_update();
    match now {
        Path::Reset => return drop(client.set_zero_linger()),
        Path::AcceptAndClose => return,
        Path::BlackHole => {
            // Accepted by the kernel and never heard of again, until the path changes.
            match path.wait_for(|path| *path != Path::BlackHole).await {
                Ok(path) if path.cuts() => return drop(client.set_zero_linger()),
                Ok(_) => {}
                Err(_) => return,
            }
        }
        Path::Pass | Path::Slow(_) => {}
    }
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::join!(pump(from_client, to_server, path.clone()), pump(from_server, to_client, path.clone()));
        };
        // First of all the cut: what piled up in a black hole must not slip through before it.
        tokio::select! {
            biased;
            () = until_cut(path.clone()) => true,
            () = both => false,
        }
    };
    if cut {
        // Closing with zero linger is a reset.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn until_cut(mut path: watch::Receiver<Path>) {
    // A sender that has gone stands for a proxy that has gone.
    let _ = path.wait_for(|path| path.cuts()).await;
}

/// Moves bytes one way until that way is closed.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut path: watch::Receiver<Path>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let Ok(now) = path.wait_for(|path| *path != Path::BlackHole).await.map(|path| *path) else { return };
        if now.cuts() {
            return;
        }
        if let Path::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if count == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn proxy() -> Proxy {
        Proxy::start(echo().await.to_string()).await.expect("proxy")
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.expect("connection")
    }

    #[tokio::test]
    async fn bytes_and_closes_go_through() {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(say(&mut stream, b"hello").await.expect("echo"), b"hello");
        stream.shutdown().await.expect("shutdown");
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.expect("closed").expect("cleanly");
        assert!(rest.is_empty());
    }

    #[tokio::test]
    async fn a_reset_cuts_what_is_open_and_what_comes() {
        let proxy = proxy().await;
        let mut open = connect(&proxy).await;
        say(&mut open, b"hello").await.expect("echo");
        proxy.set(Path::Reset);
        let error = timeout(SOON, open.read(&mut [0; 1])).await.expect("cut").expect_err("not cleanly");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut new = connect(&proxy).await;
        assert!(timeout(SOON, say(&mut new, b"x")).await.expect("cut").is_err());
        proxy.set(Path::Pass);
        assert_eq!(say(&mut connect(&proxy).await, b"again").await.expect("echo"), b"again");
    }

    #[tokio::test]
    async fn accept_and_close_ends_new_connections_cleanly() {
        let proxy = proxy().await;
        proxy.set(Path::AcceptAndClose);
        let mut stream = connect(&proxy).await;
        assert_eq!(timeout(SOON, stream.read(&mut [0; 1])).await.expect("closed").expect("cleanly"), 0);
    }

    #[tokio::test]
    async fn what_a_black_hole_holds_does_not_arrive_once_the_path_is_cut() {
        for _ in 0..16 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
            let proxy = Proxy::start(listener.local_addr().expect("address").to_string()).await.expect("proxy");
            let mut stream = connect(&proxy).await;
            let (mut server, _) = listener.accept().await.expect("connection");
            proxy.set(Path::BlackHole);
            stream.write_all(&[7; 128 * 1024]).await.expect("taken by the kernel");
            tokio::time::sleep(Duration::from_millis(5)).await;
            proxy.set(Path::Reset);
            let mut came = Vec::new();
            let _ = timeout(SOON, server.read_to_end(&mut came)).await.expect("cut");
            assert_eq!(came.len(), 0);
        }
    }

    #[tokio::test]
    async fn a_black_hole_swallows_nothing_for_good() {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"hello").await.expect("echo");
        proxy.set(Path::BlackHole);
        assert!(timeout(Duration::from_millis(100), say(&mut stream, b"lost?")).await.is_err());
        proxy.set(Path::Pass);
        let mut answer = [0; 5];
        timeout(SOON, stream.read_exact(&mut answer)).await.expect("back").expect("bytes");
        assert_eq!(&answer, b"lost?");
    }

    #[tokio::test]
    async fn what_is_aimed_anew_goes_there() {
        let proxy = Proxy::start("127.0.0.1:1").await.expect("proxy");
        assert!(timeout(SOON, say(&mut connect(&proxy).await, b"x")).await.expect("refused").is_err());
        proxy.aim(echo().await.to_string());
        assert_eq!(say(&mut connect(&proxy).await, b"hello").await.expect("echo"), b"hello");
    }

    #[tokio::test]
    async fn a_slow_path_delays_both_ways() {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"hello").await.expect("echo");
        proxy.set(Path::Slow(Duration::from_millis(60)));
        let started = std::time::Instant::now();
        say(&mut stream, b"slow").await.expect("echo");
        assert!(started.elapsed() >= Duration::from_millis(120));
    }
}
