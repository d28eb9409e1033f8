//! A planted key and personal data must not be seen anywhere but in the message itself.

mod harness;

use std::io::Write;
use std::sync::{Arc, Mutex};

use harness::{Mode, World};
use shared::telemetry::logs::{self, LogFormat};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Alone in its binary: it listens to everything the process logs, at the finest level.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_personal_data_is_ever_shown() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = logs::subscriber(LogFormat::Text, "trace", false, move || writer.clone()).expect("a filter");
    tracing::subscriber::set_global_default(subscriber).expect("the first");

    let mut world = World::new().await;
    let (integration, key) = world.integration("one").await;
    let client_id = integration.secrets.client_id.expose().to_owned();
    let phone = "79160001122";
    let mut answers = Vec::new();
    for mode in [Mode::Works, Mode::Fails, Mode::Panics, Mode::Works] {
        world.publisher.set(mode);
        for body in [
            format!("id=1&key={key}&phone={phone}"),
            format!("id=%FF&key={key}&phone={phone}"),
            format!("id=1&sum={phone}x&key={key}"),
            format!("id=1&key={key}x"),
            format!("id=1&{key}={phone}"),
        ] {
            answers.push(world.send(&body).await);
        }
        answers.push(world.cancel(&format!("id=1&incity={key}&{key}=other&{phone}=planted-stranger")).await);
        answers.push(world.post(&format!("/reintegrations/requests/{key}/retailcrm?key={key}"), "", b"").await);
        answers.push(
            world.raw(format!("GET /{key} HTTP/1.1\r\nHost: {key}\r\nConnection: close\r\n\r\n").as_bytes()).await,
        );
    }
    world.ctx.health.ready().await;
    world.ctx.stop.cancel();
    let server = world.server.take().expect("running");
    server.await.expect("ended, and its journal is written");
    let everything = shared::store::journal::Search { limit: 1000, ..Default::default() };
    let journal = format!("{:?}", world.ctx.store.search_journal(&everything).await.expect("read"));
    let logged = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("utf-8");
    assert!(logged.contains("a request was refused"), "the test must see what is logged");
    let places = [
        ("logs", logged),
        ("metrics", world.ctx.metrics.render()),
        ("answers", format!("{answers:?}")),
        ("journal", journal),
        ("debug", format!("{:?}", world.publisher.published())),
    ];
    assert!(places[3].1.contains("unknown and were ignored"), "the test must see what is journalled");
    for (place, text) in places {
        for secret in [key.as_str(), client_id.as_str(), phone, "planted-stranger"] {
            assert!(!text.contains(secret), "a secret shows in the {place}");
        }
    }
}
