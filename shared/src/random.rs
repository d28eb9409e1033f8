//! What is drawn and never repeats.

use sha2::{Digest, Sha256};

use crate::digest::hex;

/// Random bytes from the operating system (through uuid's generator, which uses it).
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    for chunk in out.chunks_mut(8) {
        // A v4 UUID has 6 fixed bits; hashing two of them leaves 64 good ones per chunk.
        let mut hash = Sha256::new();
        hash.update(uuid::Uuid::new_v4().as_bytes());
        hash.update(uuid::Uuid::new_v4().as_bytes());
        let digest = hash.finalize();
        chunk.copy_from_slice(&digest[..chunk.len()]);
    }
    out
}

/// A random positive number of 63 bits: what is drawn so does not repeat.
pub fn random_number() -> i64 {
    (i64::from_be_bytes(random::<8>()) & i64::MAX).max(1)
}

/// A random lower-case hex text of `2 × N` characters.
pub fn random_hex<const N: usize>() -> String {
    hex(&random::<N>())
}
