//! The address to which MeaSoft may push what changed (protocols/measoft.md#webhook). A push says
//! only that there is something to read: what it holds is taken from the stream of statuses.

use crate::crypto::SecretKey;

/// What stands before the token.
pub const PATH: &str = "/measoft/webhook/";

/// Characters of a token, hexadecimal.
const LENGTH: usize = 40;

/// The token of a cabinet ([`crate::domain::Integration::courier_account`]). It follows from the
/// installation's key: with another key it is another one.
pub fn token(key: &SecretKey, account: &str) -> String {
    let mut token = key.sign("measoft webhook", account);
    token.truncate(LENGTH);
    token
}

/// What to paste into MeaSoft's cabinet. `public_url` has no slash at its end.
pub fn url(public_url: &str, key: &SecretKey, account: &str) -> String {
    format!("{public_url}{PATH}{}", token(key, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cabinet_and_each_installation_has_a_token_of_its_own() {
        let (key, other) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
        let tokens = [token(&key, "a"), token(&key, "b"), token(&other, "a")];
        assert!(tokens.iter().all(|token| token.len() == LENGTH));
        assert!(tokens[0] != tokens[1] && tokens[0] != tokens[2]);
        assert_eq!(url("https://b.example", &key, "a"), format!("https://b.example/measoft/webhook/{}", tokens[0]));
    }
}
