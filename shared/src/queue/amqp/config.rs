//! What the queue on RabbitMQ is told.

use std::fmt;
use std::io;
use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};

use crate::config::urls::brokers;
use crate::domain::Secret;
use crate::tls::Tls;

/// Longest prefix: names are at most 255 bytes, ours add up to 50.
const LONGEST_PREFIX: usize = 200;

/// Longest frame that is agreed upon unless the URL says otherwise; a longer message takes
/// several.
pub(super) const FRAME_MAX: u32 = 32 * 1024;

/// The settings of the adapter. `Debug` shows no password.
#[derive(Clone)]
pub struct AmqpConfig {
    /// Of one broker, or of each node of a cluster: tried in turn.
    pub(super) uris: Vec<AMQPUri>,
    pub(super) prefix: String,
    tls: Tls,
    /// How long a caller waits for its confirm.
    pub confirm_timeout: Duration,
    /// Shortest and longest wait between two tries to connect.
    pub reconnect: (Duration, Duration),
    /// How often a queue is counted and kept in use. One that nobody takes from is used with the
    /// second look: a policy with `expires` must not be shorter than three.
    pub look_every: Duration,
}

/// Why settings of the adapter cannot be used. The text holds nothing of the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAmqpConfig {
    #[error("AMQP_URL is not a valid amqp:// or amqps:// URL")]
    Url,
    #[error("AMQP_PREFIX must have between 1 and {LONGEST_PREFIX} bytes")]
    Prefix,
}

impl AmqpConfig {
    /// The heartbeat is 10 s unless the URL says otherwise (`?heartbeat=4`); a URL without a virtual
    /// host means the default one.
    pub fn new(url: &Secret, prefix: &str) -> Result<Self, BadAmqpConfig> {
        let uris = brokers(url.expose()).into_iter().map(uri).collect::<Result<Vec<_>, _>>()?;
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            return Err(BadAmqpConfig::Prefix);
        }
        Ok(Self {
            uris,
            prefix: prefix.to_owned(),
            tls: Tls::default(),
            confirm_timeout: Duration::from_secs(2),
            reconnect: (Duration::from_millis(200), Duration::from_secs(10)),
            look_every: Duration::from_secs(5),
        })
    }

    /// Whom a connection with TLS trusts, and what it shows.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// What one connection is told.
    ///
    /// # Errors
    /// When our certificate cannot be read now; the words name its setting.
    pub(super) fn tls(&self, uri: &AMQPUri) -> io::Result<OwnedTLSConfig> {
        if uri.scheme == AMQPScheme::AMQP {
            return Ok(OwnedTLSConfig::default());
        }
        let own = self.tls.identity.as_ref().map(|own| own.read().map_err(io::Error::other)).transpose()?;
        Ok(OwnedTLSConfig {
            identity: own.map(|(pem, key)| OwnedIdentity::PKCS8 { pem: pem.into(), key: key.into() }),
            cert_chain: self.tls.authorities.as_ref().map(|authorities| authorities.pem.clone()),
        })
    }
}

fn uri(broker: &str) -> Result<AMQPUri, BadAmqpConfig> {
    let mut uri: AMQPUri = broker.parse().map_err(|_| BadAmqpConfig::Url)?;
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    uri.query.heartbeat.get_or_insert(10);
    // lapin keeps 64 frames' worth of buffers for each connection: with the broker's own
    // 128 KiB that is 8 MiB, twice.
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    Ok(uri)
}

/// Host and port of a broker.
pub(super) fn server(uri: &AMQPUri) -> String {
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("servers", &self.uris.iter().map(server).collect::<Vec<_>>())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
