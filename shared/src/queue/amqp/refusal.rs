//! Why a broker turned somebody away, in words for people.

use std::fmt;

use lapin::uri::AMQPUri;
use lapin::{Error, ErrorKind};

use crate::queue::amqp::config::server;
use crate::tls_trouble;

/// Codes of AMQP replies (AMQP 0-9-1, section 1.2).
pub(super) const ACCESS_REFUSED: u16 = 403;

pub(super) const NOT_FOUND: u16 = 404;

pub(super) const PRECONDITION_FAILED: u16 = 406;

pub(super) const NOT_ALLOWED: u16 = 530;

/// Why a connection did not come about. The texts hold nothing of the URL but its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens there, or the name is unknown, or TLS failed.
    NoConnection(String),
    /// User or password are wrong.
    Credentials,
    /// The virtual host is missing, or this user may not use it.
    VirtualHost(String),
    Other(String),
}

pub(super) fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// «NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible»: a
/// queue that is there and cannot be had. It must not be taken for one that is gone.
pub(super) fn is_of_a_lost_node(words: &str) -> bool {
    words.contains("home node") || words.contains("is down") || words.contains("process is stopped")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(why) => write!(f, "no connection comes about: {}", tls_trouble::explained(why)),
            Self::Credentials => f.write_str("it refuses the user name or password of AMQP_URL"),
            Self::VirtualHost(why) => write!(f, "it does not let us into the virtual host of AMQP_URL: {why}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// What the TLS library says lies below the library's own words.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        below = cause.source();
    }
    words
}

pub(super) fn refusal(error: &Error, uri: &AMQPUri) -> Refusal {
    match error.kind() {
        ErrorKind::IOError(error) => Refusal::NoConnection(format!("{}: {}", server(uri), with_causes(error))),
        ErrorKind::ProtocolError(said) => {
            let words = said.get_message().to_string();
            match said.get_id() {
                _ if words.contains("vhost") => Refusal::VirtualHost(words),
                NOT_ALLOWED => Refusal::VirtualHost(words),
                ACCESS_REFUSED => Refusal::Credentials,
                _ => Refusal::Other(words),
            }
        }
        _ => Refusal::Other(error.to_string()),
    }
}
