//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Place;

/// Longest head of a request, bytes.
const HEAD: usize = 128 * 1024;
/// What an answer on its way still gets when its connection has to go.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves one connection until it ends, is silent for `headers`, its place is needed by
/// others, or the process stops; an answer that has begun is finished.
pub async fn serve_connection<S, Fut>(
    stream: TcpStream,
    place: Place,
    headers: Duration,
    stop: &CancellationToken,
    answer: S,
) where
    S: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Response>,
{
    // An answer is one small packet; waiting to fill it would only delay it.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    let service = hyper::service::service_fn(|request| {
        place.busy();
        let (place, answer) = (place.clone(), answer(request));
        async move {
            let answer = answer.await;
            place.silent();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(headers).max_buf_size(HEAD);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = place.asked_back() => {
            if place.unused() {
                return;
            }
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
