//! RetailCRM's symbolic codes as people enter them.

use crate::pasted;

/// What no code of RetailCRM has, and what would break the condition or the list it is put
/// into.
const FORBIDDEN: &str = "\"'`\\{}<>&=,;…«»“”";

/// Why a text is no symbolic code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    #[error("the code is empty")]
    Empty,
    #[error("a code has no spaces")]
    Space,
    #[error("a code has no «{0}»")]
    Character(char),
    #[error("a code is not that long")]
    TooLong,
    #[error("it is a parameter of the triggers")]
    Reserved,
}

/// The code without what was pasted around it.
pub fn parse(text: &str) -> Result<String, BadCode> {
    let code = pasted::trim(text);
    if code.is_empty() {
        return Err(BadCode::Empty);
    }
    if code.chars().count() > 255 {
        return Err(BadCode::TooLong);
    }
    match code.chars().find(|c| pasted::is_unseen(*c) || c.is_control() || FORBIDDEN.contains(*c)) {
        Some(c) if pasted::is_unseen(c) || c.is_control() => Err(BadCode::Space),
        Some(c) => Err(BadCode::Character(c)),
        None => Ok(code.to_owned()),
    }
}

/// The same for a delivery type, whose code is a parameter of the cancel trigger.
pub fn delivery_type(text: &str) -> Result<String, BadCode> {
    let code = parse(text)?;
    if ["id", "sum", "key"].contains(&code.as_str()) { Err(BadCode::Reserved) } else { Ok(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_trimmed_and_what_would_break_a_condition_is_refused() {
        for (text, code) in [
            ("incity", "incity"),
            (" in-city_2\r\n", "in-city_2"),
            ("\u{feff}in.city\u{a0}", "in.city"),
            ("самовывоз", "самовывоз"),
        ] {
            assert_eq!(delivery_type(text).as_deref(), Ok(code), "{text:?}");
        }
        for (text, bad) in [
            ("", BadCode::Empty),
            (" \u{200b}", BadCode::Empty),
            ("a\"b", BadCode::Character('"')),
            ("a\\b", BadCode::Character('\\')),
            ("a'b", BadCode::Character('\'')),
            ("…", BadCode::Character('…')),
            ("{{x}}", BadCode::Character('{')),
            ("incity,outcity", BadCode::Character(',')),
            ("in city", BadCode::Space),
            ("in\u{200b}city", BadCode::Space),
            ("in\ncity", BadCode::Space),
            ("in\u{7}city", BadCode::Space),
            ("key", BadCode::Reserved),
            (" sum ", BadCode::Reserved),
        ] {
            assert_eq!(delivery_type(text), Err(bad), "{text:?}");
        }
        assert_eq!(parse("id").as_deref(), Ok("id"), "only delivery types clash");
        assert_eq!(parse(&"x".repeat(256)), Err(BadCode::TooLong));
    }
}
