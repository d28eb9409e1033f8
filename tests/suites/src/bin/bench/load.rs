//! Load over HTTP that costs the measuring side as little as can be: prepared bytes over
//! kept connections, each asking again as soon as it is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::measure::Samples;

/// One kept connection.
pub struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("ingress does not listen")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a whole request and reads a whole answer; gives its status and its body.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                anyhow::bail!("the connection was closed");
            }
            if let Some((status, from, length)) = head(&self.buffer)?
                && self.buffer.len() >= from + length
            {
                return Ok((status, &self.buffer[from..from + length]));
            }
        }
    }
}

/// Status, where the body begins, its length; `None` while the head is incomplete.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    Ok(Some((status.context("no status")?, end + 4, length.context("an answer without a length")?)))
}

/// A form as bytes on the wire.
pub fn form(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a round of load came to.
#[derive(Debug, Clone, Default)]
pub struct Round {
    pub done: u64,
    pub took: Duration,
    pub samples: Samples,
}

impl Round {
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    pub fn merge(&mut self, other: Self) {
        self.done += other.done;
        self.took += other.took;
        self.samples.merge(other.samples);
    }
}

/// When a round is over.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    Sent(u64),
}

/// Asks over `lines` connections at a time. `make` gives the nth request's bytes. Any
/// answer but 200 ends the round with an error.
pub async fn drive(
    address: SocketAddr,
    lines: usize,
    until: Until,
    make: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
) -> anyhow::Result<Round> {
    // One thread, so that none of the load's wakes another: the CPU belongs to what is measured.
    let alone = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(drive_on_this_thread(address, lines, until, make))
    };
    tokio::task::spawn_blocking(alone).await?
}

async fn drive_on_this_thread(
    address: SocketAddr,
    lines: usize,
    until: Until,
    make: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
) -> anyhow::Result<Round> {
    let mut open = Vec::with_capacity(lines);
    for _ in 0..lines {
        open.push(Line::open(address).await?);
    }
    let (make, turn) = (Arc::new(make), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|mut line| {
            let (make, turn) = (make.clone(), turn.clone());
            tokio::spawn(async move {
                let mut samples = Samples::default();
                loop {
                    let n = turn.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Until::Elapsed(limit) => begun.elapsed() >= limit,
                        Until::Sent(count) => n >= count,
                    };
                    if over {
                        return anyhow::Ok(samples);
                    }
                    let request = make(n);
                    let asked = Instant::now();
                    let (status, body) = line.ask(&request).await?;
                    samples.add(asked.elapsed());
                    anyhow::ensure!(status == 200, "answered {status}: {}", String::from_utf8_lossy(body));
                }
            })
        })
        .collect();
    let mut samples = Samples::default();
    for task in tasks {
        samples.merge(task.await??);
    }
    Ok(Round { done: samples.len() as u64, took: begun.elapsed(), samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        assert!(head(b"HTTP/1.1 200 OK\r\nContent-").unwrap().is_none());
        let whole = b"HTTP/1.1 503 No\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(head(whole).unwrap(), Some((503, 38, 7)));
    }
}
