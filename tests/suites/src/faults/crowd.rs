//! Connections that somebody opens and leaves open.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The other side may let one wait, which is as good as silence.
const PATIENCE: Duration = Duration::from_millis(300);

/// So many to one address, open until they are dropped; some have asked for something before.
pub async fn silent(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for n in 0..count {
        let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await else { continue };
        if n % 10 == 0 {
            let _ = stream.write_all(b"GET /live HTTP/1.1\r\nhost: test\r\n\r\n").await;
            let _ = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1024])).await;
        }
        open.push(stream);
    }
    open
}
