//! What a browser sends: the fields of an address or of a form.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};

/// Longest form, bytes.
const LONGEST: usize = 64 * 1024;
/// How long a form may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names with their values, as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn read(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// Those of a form that was sent; `None`: it is too long, too slow or none.
    pub async fn of_body(headers: &HeaderMap, body: Body) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        let read = tokio::time::timeout(PATIENCE, to_bytes(body, LONGEST)).await;
        Some(Self::read(&read.ok()?.ok()?))
    }

    /// A value that is not empty, trimmed.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// A value as it came.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The same with some fields set or, where they are empty, left out.
    pub fn with(&self, set: &[(&str, &str)]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !set.iter().any(|(other, _)| other == name)).cloned();
        let new = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self(kept.chain(new).filter(|(_, value)| !value.is_empty()).collect())
    }

    /// `?a=1&b=2`, or nothing.
    pub fn query(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        format!("?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    }
}

/// An address on this site, from a form: of another site it is not taken.
pub fn local(path: &str) -> Option<&str> {
    let fine = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']);
    fine.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_set_and_written() {
        let fields = Fields::read("reason=bad_phone&integration=2&empty=&who=%D0%90%20%26".as_bytes());
        assert_eq!((fields.text("reason"), fields.number("integration")), (Some("bad_phone"), Some(2)));
        assert_eq!((fields.text("empty"), fields.text("who"), fields.number("reason")), (None, Some("А &"), None));
        let next = fields.with(&[("integration", ""), ("before", "9"), ("who", "")]);
        assert_eq!(next.query(), "?reason=bad_phone&before=9");
        assert_eq!(Fields::default().query(), "");
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(local("/causes?integration=1"), Some("/causes?integration=1"));
        for foreign in ["", "//evil.example", "https://evil.example", "/\\evil.example", "causes", "/a\r\nb"] {
            assert_eq!(local(foreign), None, "{foreign}");
        }
    }
}
