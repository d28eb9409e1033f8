//! What must never be seen, and the search for it.

use std::sync::{Mutex, PoisonError};

/// Receiver of every order of a story, recognisable wherever it shows up.
pub(crate) const NAME: &str = "Тайнова Секретина Скрытовна";
pub(crate) const STREET: &str = "Потаённая ул., д. 77";
pub(crate) const EMAIL: &str = "taynova@secret-post.example";
pub(crate) const COMMENT: &str = "Код домофона 77К4242";
/// Every phone of a story begins so; see [`super::shop::phone`].
pub(crate) const PHONE: &str = "+7 (916) 555-";

/// Texts planted in a story that must not leave it.
pub struct Secrets(Mutex<Vec<(String, String)>>);

impl Default for Secrets {
    fn default() -> Self {
        let secrets = Self(Mutex::default());
        for name in NAME.split(' ') {
            secrets.plant("a name", name);
        }
        secrets.plant("a street", "Потаённая");
        secrets.plant("a mail address", "taynova@");
        secrets.plant("a comment", "77К4242");
        for phone in ["916555", "(916) 555", "(916)555", "916 555", "916-555"] {
            secrets.plant("a phone", phone);
        }
        secrets
    }
}

impl Secrets {
    /// From now on `text` must not be seen; `what` names it in the failure, which does not
    /// show the text itself.
    pub fn plant(&self, what: &str, text: &str) {
        let mut planted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        planted.push((what.to_owned(), text.to_owned()));
        // As JSON may write it.
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        if !text.is_ascii() {
            planted.push((format!("{what}, escaped"), escaped));
        }
    }

    /// Which secrets `text` shows, with the line around.
    pub fn seen_in(&self, place: &str, text: &str) -> Vec<String> {
        let planted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        for (what, secret) in planted.iter() {
            let mut found = text.match_indices(secret.as_str()).map(|(at, _)| at);
            if let Some(at) = found.find(|at| !is_of_a_moment(&text[..*at]) && !is_of_an_id(text, *at)) {
                let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
                let before: String =
                    text[line..at].chars().rev().take(160).collect::<Vec<_>>().into_iter().rev().collect();
                seen.push(format!("{what} shows in {place}, after «{before}»"));
            }
        }
        seen
    }
}

/// Whether what comes next are digits of a second: `…T09:13:16.` says nothing of a phone,
/// whichever microsecond it was.
fn is_of_a_moment(before: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let Some(whole) = before.trim_end_matches(is_digit).strip_suffix('.') else { return false };
    whole.trim_end_matches(is_digit).ends_with(':') && whole.ends_with(is_digit)
}

/// Whether the digits there are of a random id (UUID, trace): in 32 hexadecimal digits or more any
/// phone's beginning comes up by chance.
fn is_of_an_id(text: &str, at: usize) -> bool {
    let is_of_it = |c: char| c.is_ascii_hexdigit() || c == '-';
    let before = text[..at].chars().rev().take_while(|c| is_of_it(*c));
    let after = text[at..].chars().take_while(|c| is_of_it(*c));
    before.chain(after).filter(|c| *c != '-').count() >= 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_text_is_found_plain_and_escaped_and_nothing_else_is() {
        let secrets = Secrets::default();
        secrets.plant("a key", "k-123");
        assert!(secrets.seen_in("x", "nothing [hidden 12] +7").is_empty());
        assert_eq!(secrets.seen_in("the log", "a\nkey=k-123").len(), 1);
        assert_eq!(secrets.seen_in("x", "{\"firstName\":\"Секретина\"}").len(), 1);
        let escaped: String = "Секретина".encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        assert_eq!(secrets.seen_in("x", &escaped).len(), 1);
        assert_eq!(secrets.seen_in("x", "tel +79165557001").len(), 1);
        assert!(secrets.seen_in("x", "2026-11-26T09:13:16.916555Z at=2026-11-26T09:13:17.239165551Z").is_empty());
        assert_eq!(secrets.seen_in("x", "2026-11-26T09:13:16.916555Z tel.9165557001").len(), 1);
        assert!(secrets.seen_in("x", "id=01a223d9-6adc-76b0-81da-483591655571").is_empty());
        assert_eq!(secrets.seen_in("x", "id=01a223d9-6adc-76b0-81da-483591655571 +79165557001").len(), 1);
    }
}
