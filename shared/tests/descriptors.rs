//! Connections that are lost while the process has no descriptor left. Alone in its process: the
//! limit is everybody's.

#[path = "amqp/bench.rs"]
#[expect(dead_code, reason = "the bench of the RabbitMQ tests")]
mod bench;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::proxy::{Path, Proxy};
use rlimit::Resource;
use shared::queue::Queue as _;
use tokio::time::{sleep, timeout};
use url::Url;

const BACK: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_while_descriptors_are_used_up_ends_without_a_panic_and_comes_back() {
    let mut url = Url::parse(&bench::broker_url()).expect("a URL");
    let target = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672));
    let proxy = Proxy::start(target).await.expect("a proxy");
    url.set_port(Some(proxy.address().port())).expect("a port");
    let bench = bench::AmqpBench::new().await;
    let queue = bench::connected(bench.config(url.as_str())).await;

    let panics = Arc::new(AtomicUsize::new(0));
    let count = panics.clone();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, Ordering::SeqCst);
        usual(info);
    }));
    let (soft, hard) = Resource::NOFILE.get().expect("a limit");
    Resource::NOFILE.set(0, hard).expect("no descriptor more");
    proxy.set(Path::Reset);
    let lost = async {
        while queue.state().await.connected {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let lost = timeout(BACK, lost).await;
    // What lapin's thread does in the end.
    sleep(Duration::from_millis(300)).await;
    Resource::NOFILE.set(soft, hard).expect("descriptors again");
    proxy.set(Path::Pass);
    lost.expect("the loss is noticed");
    let back = async {
        while !queue.state().await.connected {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(BACK, back).await.expect("it is back");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "panics");
}
