//! The fields of a callback, wherever they are: query, urlencoded body, multipart body,
//! or a JSON object.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::urlencoded::{pairs, text, unescape};

/// Fields of one request. The first value of a name counts; the body comes before the query.
#[derive(Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Value)>);

/// Why a request has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// A `Content-Type` that is not supported.
    Type,
    Content,
}

/// Parts of a multipart body; more than any callback has.
const PARTS: usize = 64;

impl Fields {
    /// # Errors
    /// [`Unreadable`]; texts must be UTF-8.
    pub fn read(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Result<Self, Unreadable> {
        let mut fields = Self::default();
        if !body.is_empty() {
            fields.read_body(content_type.unwrap_or(""), body)?;
        }
        if let Some(query) = query {
            fields.read_urlencoded(query.as_bytes())?;
        }
        Ok(fields)
    }

    fn read_body(&mut self, content_type: &str, body: &[u8]) -> Result<(), Unreadable> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        match essence.trim().to_ascii_lowercase().as_str() {
            "" | "application/x-www-form-urlencoded" => self.read_urlencoded(body),
            "multipart/form-data" => {
                let boundary = parameter(parameters, "boundary").ok_or(Unreadable::Content)?;
                self.read_multipart(&boundary, body)
            }
            "application/json" | "text/json" => {
                let all: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Unreadable::Content)?;
                self.0.extend(all);
                Ok(())
            }
            _ => Err(Unreadable::Type),
        }
    }

    fn read_urlencoded(&mut self, raw: &[u8]) -> Result<(), Unreadable> {
        for (name, value) in pairs(raw) {
            self.0.push((decoded(name)?, Value::String(decoded(value)?)));
        }
        Ok(())
    }

    /// RFC 7578, as far as a form of texts needs it.
    fn read_multipart(&mut self, boundary: &str, body: &[u8]) -> Result<(), Unreadable> {
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut rest = body;
        let start = find(rest, &delimiter).ok_or(Unreadable::Content)?;
        rest = &rest[start + delimiter.len()..];
        for _ in 0..PARTS {
            if rest.starts_with(b"--") {
                return Ok(());
            }
            let end = find(rest, &delimiter).ok_or(Unreadable::Content)?;
            let part = rest[..end].strip_prefix(b"\r\n").unwrap_or(&rest[..end]);
            let part = part.strip_suffix(b"\r\n").unwrap_or(part);
            let head_end = find(part, b"\r\n\r\n").ok_or(Unreadable::Content)?;
            let head = std::str::from_utf8(&part[..head_end]).map_err(|_| Unreadable::Content)?;
            let name = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
                .and_then(|(_, value)| parameter(value, "name"));
            if let Some(name) = name {
                let value = String::from_utf8(part[head_end + 4..].to_vec()).map_err(|_| Unreadable::Content)?;
                self.0.push((name, Value::String(value)));
            }
            rest = &rest[end + delimiter.len()..];
        }
        Err(Unreadable::Content)
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_str())
    }

    /// The JSON in a field: its text read, or itself when it came as JSON. `None` when there
    /// is no such field.
    pub fn json(&self, name: &str) -> Option<Result<Value, ()>> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(match value {
            Value::String(text) => serde_json::from_str(text).map_err(|_| ()),
            other => Ok(other.clone()),
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    (!needle.is_empty()).then(|| haystack.windows(needle.len()).position(|window| window == needle)).flatten()
}

/// A parameter of a header value, quoted or not.
fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_owned())
    })
}

fn decoded(raw: &[u8]) -> Result<String, Unreadable> {
    unescape(raw).and_then(text).map(Cow::into_owned).ok_or(Unreadable::Content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn a_form_is_read_from_body_and_query() {
        let fields =
            Fields::read(Some("clientId=q&x=%D1%8B"), FORM, b"clientId=c1&save=%7B%22order%22%3A%224817%22%7D")
                .expect("read");
        assert_eq!(fields.text("clientId"), Some("c1"), "the body comes first");
        assert_eq!(fields.text("x"), Some("ы"));
        assert_eq!(fields.json("save"), Some(Ok(json!({"order": "4817"}))));
        assert_eq!(fields.json("delete"), None);
        assert_eq!(fields.json("x"), Some(Err(())));
    }

    #[test]
    fn a_multipart_form_is_read_too() {
        let body = "--xYz\r\nContent-Disposition: form-data; name=\"clientId\"\r\n\r\nc1\r\n--xYz\r\n\
                    content-disposition: form-data; name=\"save\"\r\nContent-Type: application/json\r\n\r\n{\"a\":\"строка\r\n2\"}\r\n--xYz--\r\n";
        let fields = Fields::read(None, Some("multipart/form-data; boundary=\"xYz\""), body.as_bytes()).expect("read");
        assert_eq!(fields.text("clientId"), Some("c1"));
        assert_eq!(fields.text("save"), Some("{\"a\":\"строка\r\n2\"}"));
    }

    #[test]
    fn a_json_object_is_read_too() {
        let fields = Fields::read(None, Some("application/json"), br#"{"clientId":"c1","delete":{"deliveryId":"d"}}"#)
            .expect("read");
        assert_eq!(fields.json("delete"), Some(Ok(json!({"deliveryId": "d"}))));
        assert_eq!(fields.text("clientId"), Some("c1"));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (kind, body, why) in [
            (Some("application/pdf"), &b"x"[..], Unreadable::Type),
            (FORM, b"a=%zz", Unreadable::Content),
            (FORM, b"a=%ff", Unreadable::Content),
            (Some("multipart/form-data"), b"--x", Unreadable::Content),
            (Some("multipart/form-data; boundary=x"), b"--x\r\nbroken", Unreadable::Content),
            (Some("multipart/form-data; boundary=x"), b"nothing", Unreadable::Content),
            (Some("application/json"), b"[]", Unreadable::Content),
        ] {
            assert_eq!(Fields::read(None, kind, body), Err(why), "{kind:?}");
        }
        assert_eq!(
            Fields::read(None, Some("application/pdf"), b""),
            Ok(Fields::default()),
            "an empty body has no type"
        );
    }
}
