//! Deliveries of a lane as a channel.

use shared::queue::{Delivery, Subscription};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Forwards until `stop`, then stops the subscription. A `next` that is cancelled half-way
/// leaves its message to the lease: so a task of its own waits in it, and what is selected
/// over is the channel.
pub(crate) fn start(
    mut subscription: Box<dyn Subscription>,
    capacity: usize,
    stop: CancellationToken,
) -> (mpsc::Receiver<Delivery>, JoinHandle<()>) {
    let (forward, inbox) = mpsc::channel(capacity);
    let pumping = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                delivery = subscription.next() => match delivery {
                    Some(delivery) => {
                        if forward.send(delivery).await.is_err() {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        subscription.stop().await;
    });
    (inbox, pumping)
}
