//! Requests and answers inside one process, for the mode without a broker: the same
//! traits as RabbitMQ's rpc lane, kept in memory. A request is as short-lived as its
//! caller, so nothing is lost that somebody still waits for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::locked::locked;
use crate::message::{Envelope, Lane, encode};
use crate::queue::pending_calls::PendingCalls;
use crate::queue::{Consumer, Delivery, Replier, Rpc, RpcError, Settle, Settling, Subscription};

/// Requests that may wait for a worker; more means that none is taking any.
const WAITING_LIMIT: usize = 256;
/// What a delivery names as the address of its caller.
const REPLY_TO: &str = "local";

/// Cheap to clone; all clones are one lane.
#[derive(Clone, Default)]
pub struct LocalRpc(Arc<Inner>);

#[derive(Default)]
struct Inner {
    calls: PendingCalls,
    waiting: Mutex<VecDeque<Request>>,
    bell: Notify,
}

struct Request {
    body: Vec<u8>,
    correlation_id: String,
    since: Instant,
    expires: Instant,
    redelivered: bool,
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Request>> {
        locked(&self.waiting)
    }

    /// The oldest request somebody still waits for.
    fn take(&self) -> Option<Request> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        while let Some(request) = waiting.pop_front() {
            if request.expires > now {
                return Some(request);
            }
        }
        None
    }

    fn put_back(&self, mut request: Request) {
        request.redelivered = true;
        self.waiting().push_front(request);
        self.bell.notify_one();
    }
}

impl LocalRpc {
    pub fn new() -> Self {
        Self::default()
    }

    /// Callers that wait for an answer.
    pub fn pending(&self) -> usize {
        self.0.calls.len()
    }
}

impl Rpc for LocalRpc {
    fn call(&self, envelope: Envelope, deadline: Duration) -> BoxFuture<'_, Result<Vec<u8>, RpcError>> {
        async move {
            let mut call = self.0.calls.open();
            let expires = Instant::now() + deadline;
            {
                let mut waiting = self.0.waiting();
                if waiting.len() >= WAITING_LIMIT {
                    let now = Instant::now();
                    waiting.retain(|request| request.expires > now);
                    if waiting.len() >= WAITING_LIMIT {
                        return Err(RpcError::Unavailable);
                    }
                }
                waiting.push_back(Request {
                    body: encode(&envelope),
                    correlation_id: call.id().to_owned(),
                    since: expires - deadline,
                    expires,
                    redelivered: false,
                });
            }
            self.0.bell.notify_one();
            match tokio::time::timeout_at(expires, call.answer()).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) | Err(_) => Err(RpcError::Deadline),
            }
        }
        .boxed()
    }

    fn oldest_waiting(&self) -> Option<Duration> {
        let now = Instant::now();
        let waiting = self.0.waiting();
        waiting.iter().filter(|request| request.expires > now).map(|request| now - request.since).max()
    }
}

impl Replier for LocalRpc {
    fn reply(&self, _reply_to: &str, correlation_id: &str, body: Vec<u8>) -> BoxFuture<'_, ()> {
        self.0.calls.answer(correlation_id, body);
        std::future::ready(()).boxed()
    }
}

impl Consumer for LocalRpc {
    /// Only [`Lane::Rpc`] ever yields something.
    fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription> {
        Box::new(LocalSubscription {
            inner: self.0.clone(),
            idle: lane != Lane::Rpc,
            permits: Arc::new(Semaphore::new(usize::from(prefetch.max(1)))),
            stopped: false,
        })
    }
}

struct LocalSubscription {
    inner: Arc<Inner>,
    idle: bool,
    permits: Arc<Semaphore>,
    stopped: bool,
}

impl Subscription for LocalSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            if self.stopped {
                return None;
            }
            if self.idle {
                return std::future::pending().await;
            }
            // The semaphore is never closed.
            let permit = self.permits.clone().acquire_owned().await.ok()?;
            loop {
                let rung = self.inner.bell.notified();
                if let Some(request) = self.inner.take() {
                    // One ring may stand for several requests: pass it on.
                    if !self.inner.waiting().is_empty() {
                        self.inner.bell.notify_one();
                    }
                    let (body, redelivered) = (request.body.clone(), request.redelivered);
                    let correlation_id = request.correlation_id.clone();
                    let held = Held { inner: self.inner.clone(), request: Some(request), _permit: permit };
                    let mut delivery = Delivery::new(body, redelivered, Box::new(held));
                    delivery.reply_to = Some(REPLY_TO.to_owned());
                    delivery.correlation_id = Some(correlation_id);
                    return Some(delivery);
                }
                rung.await;
            }
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        self.stopped = true;
        std::future::ready(()).boxed()
    }
}

struct Held {
    inner: Arc<Inner>,
    request: Option<Request>,
    /// Frees a place of the prefetch window when the delivery is settled.
    _permit: OwnedSemaphorePermit,
}

impl Settle for Held {
    fn settle(mut self: Box<Self>, how: Settling) -> BoxFuture<'static, ()> {
        if how == Settling::Ack {
            self.request = None;
        }
        std::future::ready(()).boxed()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.inner.put_back(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Command, decode};

    const LONG: Duration = Duration::from_secs(30);

    fn request(action: &str) -> Envelope {
        let command = Command::Callback { action: action.to_owned(), request: serde_json::Value::Null };
        Envelope::new(command, None, "2026-09-01T10:00:00Z".parse().expect("time"))
    }

    async fn answer(rpc: &LocalRpc, delivery: Delivery, body: &[u8]) {
        let (to, id) = (delivery.reply_to.clone().expect("address"), delivery.correlation_id.clone().expect("id"));
        rpc.reply(&to, &id, body.to_vec()).await;
        delivery.ack().await;
    }

    #[tokio::test]
    async fn each_caller_gets_its_own_answer() {
        let rpc = LocalRpc::new();
        let worker = tokio::spawn({
            let rpc = rpc.clone();
            async move {
                let mut requests = rpc.subscribe(Lane::Rpc, 4);
                for _ in 0..20 {
                    let delivery = requests.next().await.expect("request");
                    let id = decode(&delivery.body).expect("envelope").id;
                    answer(&rpc, delivery, id.to_string().as_bytes()).await;
                }
            }
        });
        let calls: Vec<_> = (0..20).map(|_| request("calculate")).collect();
        let answers = futures_util::future::join_all(calls.iter().map(|call| rpc.call(call.clone(), LONG))).await;
        for (call, answer) in calls.iter().zip(answers) {
            assert_eq!(answer, Ok(call.id.to_string().into_bytes()));
        }
        worker.await.expect("worker");
        assert_eq!(rpc.pending(), 0);
    }

    #[tokio::test]
    async fn nobody_works_on_a_request_whose_deadline_has_passed() {
        let rpc = LocalRpc::new();
        assert_eq!(rpc.call(request("late"), Duration::from_millis(20)).await, Err(RpcError::Deadline));
        let caller = tokio::spawn({
            let rpc = rpc.clone();
            async move { rpc.call(request("fresh"), LONG).await }
        });
        let mut requests = rpc.subscribe(Lane::Rpc, 1);
        let delivery = requests.next().await.expect("request");
        assert!(String::from_utf8_lossy(&delivery.body).contains("fresh"));
        answer(&rpc, delivery, b"done").await;
        assert_eq!(caller.await.expect("caller"), Ok(b"done".to_vec()));
    }

    #[tokio::test]
    async fn a_dropped_request_goes_to_another_worker() {
        let rpc = LocalRpc::new();
        let caller = tokio::spawn({
            let rpc = rpc.clone();
            async move { rpc.call(request("save"), LONG).await }
        });
        let mut first = rpc.subscribe(Lane::Rpc, 1);
        drop(first.next().await.expect("request"));
        first.stop().await;
        assert!(first.next().await.is_none());
        let mut second = rpc.subscribe(Lane::Rpc, 1);
        let delivery = second.next().await.expect("again");
        assert!(delivery.redelivered);
        answer(&rpc, delivery, b"done").await;
        assert_eq!(caller.await.expect("caller"), Ok(b"done".to_vec()));
    }

    #[tokio::test]
    async fn two_hundred_abandoned_calls_leak_nothing() {
        let rpc = LocalRpc::new();
        for _ in 0..200 {
            let call = rpc.call(request("save"), LONG);
            assert!(tokio::time::timeout(Duration::ZERO, call).await.is_err());
        }
        assert_eq!(rpc.pending(), 0);
    }

    #[tokio::test]
    async fn callers_are_refused_when_no_worker_takes_anything() {
        let rpc = LocalRpc::new();
        let calls: Vec<_> = (0..WAITING_LIMIT).map(|_| rpc.call(request("save"), LONG)).collect();
        let all = futures_util::future::join_all(calls);
        tokio::pin!(all);
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(rpc.call(request("save"), LONG).await, Err(RpcError::Unavailable));
    }
}
