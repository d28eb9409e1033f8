//! A proxy before a RabbitMQ that reads what clients send, frame by frame: it counts methods, and
//! swallows those that name a queue, as a cluster does whose node with that queue is away.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Length of the protocol header that a connection begins with.
const GREETING: usize = 8;
/// A frame's type, channel and size (AMQP 0-9-1, 2.3.5); one byte ends it.
const HEAD: usize = 7;
/// Type of a frame with a method.
const METHOD: u8 = 1;

/// Class and method numbers (AMQP 0-9-1).
pub type Method = (u16, u16);
/// `basic.reject`.
pub const BASIC_REJECT: Method = (60, 90);
/// `basic.nack`.
pub const BASIC_NACK: Method = (60, 120);

#[derive(Default)]
struct Seen {
    /// Methods that contain this are swallowed.
    mute: Option<Vec<u8>>,
    counts: HashMap<Method, u64>,
}

/// A listening proxy; it ends when it is dropped.
pub struct AmqpFrames {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

impl AmqpFrames {
    /// Listens on a free loopback port and forwards to `target` (`host:port`).
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(target: impl Into<String>) -> io::Result<Self> {
        let target = target.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, seen) = (target.clone(), shared.clone());
                tokio::spawn(async move {
                    let _ = serve(client, &target, &seen).await;
                });
            }
        });
        Ok(Self { address, seen, accepting })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on no method that contains this name arrives; `None`: all do.
    pub fn mute(&self, name: Option<&str>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).mute = name.map(|name| name.as_bytes().to_vec());
    }

    /// How often clients sent a method.
    pub fn count(&self, method: Method) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).counts.get(&method).copied().unwrap_or(0)
    }
}

impl Drop for AmqpFrames {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, target: &str, seen: &Mutex<Seen>) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        up = pass(from_client, to_server, seen) => up,
        down = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) } => down,
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut greeting = [0; GREETING];
    from.read_exact(&mut greeting).await?;
    to.write_all(&greeting).await?;
    loop {
        let mut frame = vec![0; HEAD];
        from.read_exact(&mut frame).await?;
        let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        frame.resize(HEAD + size + 1, 0);
        from.read_exact(&mut frame[HEAD..]).await?;
        if !swallows(seen, &frame) {
            to.write_all(&frame).await?;
        }
    }
}

fn swallows(seen: &Mutex<Seen>, frame: &[u8]) -> bool {
    let payload = &frame[HEAD..];
    if frame[0] != METHOD || payload.len() < 4 {
        return false;
    }
    let method = (u16::from_be_bytes([payload[0], payload[1]]), u16::from_be_bytes([payload[2], payload[3]]));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    *seen.counts.entry(method).or_default() += 1;
    seen.mute.as_deref().is_some_and(|name| payload.windows(name.len()).any(|part| part == name))
}
