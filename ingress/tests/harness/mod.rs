//! A running ingress on a real socket, over a real store, with a publisher that can be
//! told to misbehave.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bridge_ingress::State;
use bridge_ingress::body::Patience;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::bootstrap::Ctx;
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::crypto::SecretKey;
use shared::domain::{Integration, IntegrationId, Secret};
use shared::message::Envelope;
use shared::queue::{PublishError, Publisher};
use shared::store::integrations::NewIntegration;
use shared::store::journal::What;
use shared::store::{Db, Store, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Works = 0,
    Fails = 1,
    Hangs = 2,
    Panics = 3,
    Slow = 4,
}

#[derive(Default)]
pub(crate) struct FakePublisher {
    mode: AtomicU8,
    pub(crate) begun: AtomicUsize,
    published: Mutex<Vec<Envelope>>,
}

impl FakePublisher {
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    pub(crate) fn published(&self) -> Vec<Envelope> {
        self.published.lock().expect("not poisoned").clone()
    }
}

impl Publisher for FakePublisher {
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
        async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let is = |mode: Mode| self.mode.load(Ordering::SeqCst) == mode as u8;
            if is(Mode::Fails) {
                return Err(PublishError::Unavailable);
            }
            if is(Mode::Hangs) {
                std::future::pending::<()>().await;
            }
            assert!(!is(Mode::Panics), "planned");
            if is(Mode::Slow) {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            self.published.lock().expect("not poisoned").push(envelope);
            Ok(())
        }
        .boxed()
    }
}

/// Short, so that the tests of slow senders are quick; every other sender is quicker.
const PATIENCE: Patience = Patience { headers: Duration::from_secs(3), body: Duration::from_secs(2) };

/// Waits for what comes within ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(10), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Everything one test needs; the folder goes with it.
pub(crate) struct World {
    pub(crate) ctx: Ctx,
    pub(crate) publisher: Arc<FakePublisher>,
    pub(crate) address: SocketAddr,
    pub(crate) server: Option<tokio::task::JoinHandle<()>>,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        self.ctx.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bridge-ingress-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).expect("folder");
    folder
}

pub(crate) fn config(folder: &std::path::Path, trusted: &str) -> Arc<Config> {
    let folder = folder.to_str().expect("utf-8");
    let pairs = [("DATA_DIR", folder), ("INGRESS_LISTEN", "127.0.0.1:0"), ("TRUSTED_PROXIES", trusted)];
    Arc::new(Config::read(Role::Bridge, &Source::from_pairs(pairs)).expect("good settings"))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::behind("").await
    }

    /// That believes these proxies.
    pub(crate) async fn behind(trusted: &str) -> Self {
        let folder = folder();
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opened");
        db.migrate().await.expect("migrated");
        let config = config(&folder, trusted);
        Self::with(folder, db, config).await
    }

    pub(crate) async fn over(folder: PathBuf, db: Db) -> Self {
        let config = config(&folder, "");
        Self::with(folder, db, config).await
    }

    async fn with(folder: PathBuf, db: Db, config: Arc<Config>) -> Self {
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system());
        let ctx = Ctx::new(config, store);
        let publisher = Arc::new(FakePublisher::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        let (served, state) = (ctx.clone(), State::with_patience(&ctx, publisher.clone(), PATIENCE));
        let server = tokio::spawn(async move { bridge_ingress::serve_on(&served, state, listener).await });
        Self { ctx, publisher, address, server: Some(server), folder }
    }

    /// With an integration whose key is known, and that key.
    pub(crate) async fn with_key() -> (Self, String) {
        let world = Self::new().await;
        let (_, key) = world.integration("one").await;
        (world, key)
    }

    /// Waits until a trigger with this key is accepted.
    pub(crate) async fn until_known(&self, key: &str) {
        let body = format!("id=warm-up&key={key}");
        until("the key is known", async || self.send(&body).await.status == 200).await;
    }

    /// An integration whose key is known already.
    pub(crate) async fn integration(&self, crm: &str) -> (Integration, String) {
        let new = NewIntegration {
            crm_url: format!("https://{crm}.retailcrm.ru"),
            crm_api_key: Secret::new("crm-key"),
            measoft_url: "https://home.courierexe.ru/api/".to_owned(),
            extra: "8".to_owned(),
            login: format!("login-{}", uuid::Uuid::new_v4()),
            ..NewIntegration::default()
        };
        let integration = self.ctx.store.add_integration(new).await.expect("added");
        let key = integration.secrets.delivery_api_key.expose().to_owned();
        self.until_known(&key).await;
        (integration, key)
    }

    pub(crate) async fn change(&self, id: IntegrationId, change: impl Fn(&mut Integration)) -> Integration {
        let change = |i: &mut Integration| -> Result<(), StoreError> {
            change(i);
            Ok(())
        };
        self.ctx.store.change_integration(id, change).await.expect("changed")
    }

    /// What the journal tells of an order's triggers.
    pub(crate) async fn told(&self, integration: &Integration, number: &str) -> Vec<String> {
        let found = self.ctx.store.timeline(number, &[], Some(integration.id)).await.expect("read");
        found.into_iter().filter(|entry| entry.what == What::Trigger).map(|entry| entry.text).collect()
    }

    /// What was published apart from warming up.
    pub(crate) fn published(&self) -> Vec<Envelope> {
        self.publisher.published().into_iter().filter(|envelope| envelope.key != "warm-up").collect()
    }

    pub(crate) async fn send(&self, body: &str) -> Answer {
        self.post(SEND, FORM, body.as_bytes()).await
    }

    pub(crate) async fn update(&self, body: &str) -> Answer {
        self.post(UPDATE, FORM, body.as_bytes()).await
    }

    pub(crate) async fn cancel(&self, body: &str) -> Answer {
        self.post(CANCEL, FORM, body.as_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nHost: bridge\r\n{headers}Content-Length: {}\r\n", body.len());
        self.raw(&[head.as_bytes(), b"Connection: close\r\n\r\n", body].concat()).await
    }

    /// Sends bytes as they are and reads to the end of the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("read");
        Answer::read(&String::from_utf8(answer).expect("utf-8"))
    }
}

pub(crate) const SEND: &str = "/reintegrations/requests/trigger/retailcrm";
pub(crate) const UPDATE: &str = "/reintegrations/requests/update/retailcrm";
pub(crate) const CANCEL: &str = "/reintegrations/requests/cancel/retailcrm";
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

/// A trigger of «send», as it is written on the wire.
pub(crate) fn send_bytes(body: &str) -> String {
    let length = body.len();
    format!("POST {SEND} HTTP/1.1\r\nHost: b\r\n{FORM}Content-Length: {length}\r\n\r\n{body}")
}

/// One HTTP answer, taken apart by hand.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The error's text, after checking the shape every error has.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["success"], false);
        assert_eq!(body.as_object().expect("object").len(), 2, "{body}");
        body["errorMsg"].as_str().expect("a text").to_owned()
    }

    /// The command's id, after checking the shape of success.
    #[track_caller]
    pub(crate) fn accepted(&self) -> uuid::Uuid {
        assert_eq!(self.status, 200, "{self:?}");
        let body = self.json();
        assert_eq!(body["success"], true);
        body["id"].as_str().expect("an id").parse().expect("a uuid")
    }
}
