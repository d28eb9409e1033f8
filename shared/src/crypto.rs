//! Secrets at rest, and the keyed hashes they are looked up by.
//!
//! A sealed secret is `version ‖ key id (4) ‖ nonce (24) ‖ ciphertext`, XChaCha20-Poly1305,
//! bound to its row and column by the associated data.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::Secret;

pub use crate::digest::{hex, sha256_hex};
pub use crate::random::{random, random_hex, random_number};

const VERSION: u8 = 1;

/// What the sealed names of a status belong to, in whichever table they are.
pub const PEOPLE: &str = "people of a status";

/// The text was no 32-byte key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret key is 32 bytes in base64; `bridge secret-key` makes one")]
pub struct BadKey;

/// Cannot be opened with this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret was sealed with another key")]
pub struct Sealed;

/// The installation's master key and what is derived from it. While it is changed for
/// another one, that one opens and recognises too; sealing is this one's alone.
#[derive(Clone)]
pub struct SecretKey {
    key: [u8; 32],
    lookup: [u8; 32],
    id: [u8; 4],
    other: Option<Arc<SecretKey>>,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([hidden])")
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether `token` is the HMAC-SHA256 of a text under a secret that is shared with somebody, in
/// hexadecimal.
pub fn is_signed_with(secret: &Secret, text: &str, token: &str) -> bool {
    let own = hex(&hmac(secret.expose().as_bytes(), &[text.as_bytes()]));
    own.as_bytes().ct_eq(token.trim().to_ascii_lowercase().as_bytes()).into()
}

impl SecretKey {
    /// # Errors
    /// [`BadKey`] unless the text is 32 bytes in base64.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| BadKey)?;
        Ok(Self::from_bytes(bytes.try_into().map_err(|_| BadKey)?))
    }

    pub fn from_bytes(key: [u8; 32]) -> Self {
        let lookup = hmac(&key, &[b"lookup"]);
        let id = hmac(&key, &[b"key id"]);
        Self { key, lookup, id: [id[0], id[1], id[2], id[3]], other: None }
    }

    /// The same key, which also opens what another one has sealed.
    pub fn beside(mut self, other: Self) -> Self {
        self.other = Some(Arc::new(other));
        self
    }

    /// Whether a sealed secret names this very key as its own.
    pub fn has_sealed(&self, sealed: &[u8]) -> bool {
        sealed.first() == Some(&VERSION) && sealed.get(1..5) == Some(&self.id[..])
    }

    /// Whether a sealed secret names the other key as its own.
    pub fn other_has_sealed(&self, sealed: &[u8]) -> bool {
        self.other.as_ref().is_some_and(|other| other.has_sealed(sealed))
    }

    /// The same, sealed by this very key; `None` when it is so already, or nobody can open it.
    pub fn resealed(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        if self.has_sealed(sealed) {
            return None;
        }
        Some(self.seal(place, &self.open(place, sealed).ok()?))
    }

    /// What the key is recognised by where it is not kept, and the same of the other one.
    pub fn fingerprints(&self) -> Vec<String> {
        let own = hex(&hmac(&self.key, &[b"fingerprint"])[..8]);
        std::iter::once(own).chain(self.other.iter().flat_map(|other| other.fingerprints())).collect()
    }

    /// A new key as its text form.
    pub fn generate() -> String {
        STANDARD.encode(random::<32>())
    }

    pub fn seal(&self, place: &str, secret: &Secret) -> Vec<u8> {
        let nonce = random::<24>();
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret.expose().as_bytes(), aad: place.as_bytes() })
            .expect("sealing a short text does not fail");
        let mut out = Vec::with_capacity(29 + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// # Errors
    /// [`Sealed`] when the key, the place or the bytes are not the ones it was sealed with.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Secret, Sealed> {
        let (head, rest) = sealed.split_at_checked(5).ok_or(Sealed)?;
        if !self.has_sealed(head) {
            return self.other.as_ref().ok_or(Sealed)?.open(place, sealed);
        }
        let (nonce, text) = rest.split_at_checked(24).ok_or(Sealed)?;
        let nonce: [u8; 24] = nonce.try_into().map_err(|_| Sealed)?;
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let plain =
            cipher.decrypt(&XNonce::from(nonce), Payload { msg: text, aad: place.as_bytes() }).map_err(|_| Sealed)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| Sealed)
    }

    /// What a presented key is looked up by: a keyed hash, so that the table of keys is of
    /// no use to who reads it and the look-up's timing says nothing about a key.
    pub fn lookup_hash(&self, presented: &str) -> String {
        hex(&hmac(&self.lookup, &[presented.as_bytes()]))
    }

    /// A signature over a text, good for one purpose only.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        let key = hmac(&self.key, &[b"sign ", purpose.as_bytes()]);
        hex(&hmac(&key, &[text.as_bytes()]))
    }

    /// Whether a signature over a text is ours, for that purpose.
    pub fn has_signed(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let is_own = bool::from(self.sign(purpose, text).as_bytes().ct_eq(signature.as_bytes()));
        is_own || self.other.as_ref().is_some_and(|other| other.has_signed(purpose, text, signature))
    }

    /// A keyed hash for comparing personal data without keeping it.
    pub fn blind(&self, text: &str) -> String {
        hex(&hmac(&self.lookup, &[b"blind", text.as_bytes()])[..12])
    }

    /// Whether a kept hash is this text's.
    pub fn is_blinded(&self, text: &str, kept: &str) -> bool {
        self.blind(text) == kept || self.other.as_ref().is_some_and(|other| other.is_blinded(text, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_and_in_its_place() {
        let key = SecretKey::parse(&SecretKey::generate()).expect("generated");
        let sealed = key.seal("integration:1:password", &Secret::new("пароль"));
        assert_eq!(key.open("integration:1:password", &sealed).expect("opens").expose(), "пароль");
        assert_eq!(key.open("integration:2:password", &sealed), Err(Sealed));
        let other = SecretKey::parse(&SecretKey::generate()).expect("generated");
        assert_eq!(other.open("integration:1:password", &sealed), Err(Sealed));
        assert_eq!(key.open("integration:1:password", &sealed[..20]), Err(Sealed));
    }

    #[test]
    fn a_key_that_retailcrm_hands_over_is_signed_with_the_modules_secret() {
        // The reference's own vector (protocols/retailcrm.md#connection).
        let (secret, key) = (Secret::new("measoft-demo-secret"), "k3yFr0mCrm0000000000000000000000");
        let token = "c577e24431c4f8a950dd0af768924ed82709c226807897e668622bbbb49e38e5";
        assert!(is_signed_with(&secret, key, token) && is_signed_with(&secret, key, &token.to_uppercase()));
        for (secret, key, token) in [("another", key, token), ("measoft-demo-secret", "k", token), ("", key, "")] {
            assert!(!is_signed_with(&Secret::new(secret), key, token));
        }
    }

    #[test]
    fn the_other_key_opens_and_recognises_and_never_seals() {
        let (old, new) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
        let sealed = old.seal("here", &Secret::new("password"));
        let both = new.clone().beside(old.clone());
        assert_eq!(both.open("here", &sealed).expect("opens").expose(), "password");
        assert_eq!(both.open("there", &sealed), Err(Sealed), "still bound to its place");
        assert_eq!(both.open("here", &sealed[..3]), Err(Sealed));
        assert!(!both.has_sealed(&sealed) && old.has_sealed(&sealed));
        let anew = both.seal("here", &Secret::new("password"));
        assert!(both.has_sealed(&anew) && new.open("here", &anew).is_ok() && old.open("here", &anew).is_err());
        assert!(both.is_blinded("+79000000000", &old.blind("+79000000000")));
        assert!(!new.is_blinded("+79000000000", &old.blind("+79000000000")));
        assert_eq!(both.blind("x"), new.blind("x"));
    }

    #[test]
    fn bad_keys_are_refused() {
        assert!(SecretKey::parse("").is_err());
        assert!(SecretKey::parse("AAAA").is_err());
        assert!(SecretKey::parse("not base64!").is_err());
    }

    #[test]
    fn nothing_random_repeats_and_debug_hides() {
        assert_ne!(random_hex::<16>(), random_hex::<16>());
        let key = SecretKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), "SecretKey([hidden])");
        assert_ne!(key.lookup_hash("a"), key.lookup_hash("b"));
        assert_eq!(key.sign("session", "1"), key.sign("session", "1"));
        assert_ne!(key.sign("session", "1"), key.sign("csrf", "1"));
        assert_ne!(key.sign("session", "1"), SecretKey::from_bytes([8; 32]).sign("session", "1"));
    }
}
