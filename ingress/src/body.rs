//! Bodies of requests: read within a limit of size and time, or thrown away.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use futures_util::{FutureExt as _, StreamExt as _};

use crate::reply::{Bad, Reply};

/// What is read of a body that nobody wants, so that its sender gets to read the answer
/// instead of a reset.
const DISCARD_LIMIT: usize = 1024 * 1024;

const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How long a sender may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the request line and headers; also how long an idle connection is kept.
    pub headers: Duration,
    /// For the body.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { headers: Duration::from_secs(30), body: Duration::from_secs(10) }
    }
}

pub(crate) async fn discard(body: Body, already: usize) {
    if body.size_hint().lower() > DISCARD_LIMIT as u64 {
        return;
    }
    let mut rest = body.into_data_stream();
    let read = async {
        let mut seen = already;
        while let Some(Ok(chunk)) = rest.next().await {
            seen += chunk.len();
            if seen > DISCARD_LIMIT {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, read).await;
}

/// The whole body, unless it is longer than `limit` or takes too long to come.
pub(crate) async fn read_body(body: Body, limit: usize, time: Duration) -> Result<Bytes, Reply> {
    if body.size_hint().lower() > limit as u64 {
        discard(body, 0).await;
        return Err(Reply::TooLarge);
    }
    let mut rest = body.into_data_stream();
    let mut whole = Bytes::new();
    let read = async {
        let mut gathered: Option<Vec<u8>> = None;
        while let Some(chunk) = rest.next().await {
            let chunk = chunk.map_err(|_| Reply::Bad(Bad::Body))?;
            let so_far = gathered.as_ref().map_or(whole.len(), Vec::len);
            if so_far + chunk.len() > limit {
                return Err(Reply::TooLarge);
            }
            // The usual body is one chunk and is not copied.
            match &mut gathered {
                Some(gathered) => gathered.extend_from_slice(&chunk),
                None if whole.is_empty() => whole = chunk,
                None => {
                    let mut both = whole.to_vec();
                    both.extend_from_slice(&chunk);
                    gathered = Some(both);
                }
            }
        }
        Ok(gathered.map_or(std::mem::take(&mut whole), Bytes::from))
    };
    let read = {
        let mut read = std::pin::pin!(read);
        // Mostly it has come with the head and needs no timer.
        match read.as_mut().now_or_never() {
            Some(read) => Ok(read),
            None => tokio::time::timeout(time, read).await,
        }
    };
    match read {
        Ok(Err(Reply::TooLarge)) => {
            discard(Body::from_stream(rest), limit).await;
            Err(Reply::TooLarge)
        }
        Ok(read) => read,
        Err(_) => Err(Reply::TimedOut),
    }
}
