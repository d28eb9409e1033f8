//! What a worker answers to a callback over the queue: a short head line and the body as
//! it goes to RetailCRM, so that a PDF needs no second encoding.

use serde::{Deserialize, Serialize};

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    Json,
    Pdf,
}

impl Media {
    /// The `Content-Type`.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Pdf => "application/pdf",
        }
    }
}

/// An answer on its way through the queue.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackReply {
    /// HTTP status.
    pub status: u16,
    pub media: Media,
    pub body: Vec<u8>,
}

/// The body holds keys and addresses.
impl std::fmt::Debug for CallbackReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackReply")
            .field("status", &self.status)
            .field("media", &self.media)
            .field("bytes", &self.body.len())
            .finish()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    media: Media,
}

impl CallbackReply {
    pub const fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, media: Media::Json, body }
    }

    pub const fn pdf(body: Vec<u8>) -> Self {
        Self { status: 200, media: Media::Pdf, body }
    }

    pub fn encode(&self) -> Vec<u8> {
        let head = Head { status: self.status, media: self.media };
        let mut bytes = serde_json::to_vec(&head).expect("two plain fields serialise");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// `None` when these bytes are no reply of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        (100..600).contains(&head.status).then(|| Self {
            status: head.status,
            media: head.media,
            body: bytes[end + 1..].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_the_queue_byte_for_byte() {
        for reply in [
            CallbackReply::json(404, br#"{"success":false}"#.to_vec()),
            CallbackReply::pdf(b"%PDF-1.4\n\n\xff\0".to_vec()),
        ] {
            assert_eq!(CallbackReply::decode(&reply.encode()), Some(reply));
        }
    }

    #[test]
    fn other_bytes_are_no_reply() {
        for bytes in
            [&b""[..], b"{}", b"{\"status\":7,\"media\":\"json\"}\n", b"{\"status\":200,\"media\":\"html\"}\nx"]
        {
            assert_eq!(CallbackReply::decode(bytes), None);
        }
    }
}
