//! More connections than there is room for: whoever only keeps one open must not cost the
//! shops, monitoring, the database or the calls to the vendors anything.

use std::net::SocketAddr;
use std::time::Duration;

use harness::World;
use simulators::retailcrm::TriggerKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load::all_accepted;

/// Open and silent; some have asked for something before.
async fn silent_connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for n in 0..count {
        // The other side may let it wait, which is as good as silence.
        let connecting = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(to));
        let Ok(Ok(mut stream)) = connecting.await else { continue };
        if n % 10 == 0 {
            let asked = b"GET /live HTTP/1.1\r\nhost: test\r\n\r\n";
            let _ = stream.write_all(asked).await;
            let _ = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut [0; 1024])).await;
        }
        open.push(stream);
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_cost_neither_orders_nor_monitoring() {
    let world = World::embedded("crowds").start().await;
    world.terminate("bridge").await;
    world.limit_descriptors("bridge", 256);
    world.start("bridge").await;
    let ingress = world.ingress().trim_start_matches("http://").parse().expect("an address");
    let ops = world.ops("bridge");
    let (public, monitoring) = tokio::join!(silent_connections(ingress, 1_000), silent_connections(ops, 300));
    assert!(public.len() > 800 && monitoring.len() > 200, "{} and {}", public.len(), monitoring.len());

    let orders = world.place_many(20);
    let triggers: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&triggers, 8).await);
    world.settled("every order is placed").await;
    assert!(world.says_ready("bridge").await);
    assert!(world.metrics("bridge").await.contains("bridge_triggers_total"));
    let log = world.log("bridge");
    assert!(!log.contains("could not be accepted"), "descriptors ran out");
    assert!(log.contains("silent ones are closed"), "nobody was told");
    drop((public, monitoring));
    world.finish().await;
}
