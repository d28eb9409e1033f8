//! A broker for tests, whose messages are put in by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::queue::{Delivery, Settle, Settling, Subscription};

/// Hands out what lies there, the last first; waits while nothing does.
pub(crate) struct Taking(pub(crate) Arc<Mutex<Vec<Delivery>>>);

impl Subscription for Taking {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            loop {
                let next = self.0.lock().expect("lock").pop();
                match next {
                    Some(delivery) => return Some(delivery),
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// A message that nobody asks about again.
pub(crate) struct Nothing;

impl Settle for Nothing {
    fn settle(self: Box<Self>, _: Settling) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
