//! Writes request documents: declaration first, everything escaped, nothing that XML 1.0
//! forbids, the same bytes for the same input.

use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::measoft::account::Account;
use crate::measoft::op::Op;

/// How much of the account a request carries (protocols/measoft.md#auth).
#[derive(Clone, Copy)]
pub(crate) enum Auth<'a> {
    Full(&'a Account),
    ExtraOnly(&'a Account),
    None,
}

/// A request under construction. Writing into memory cannot fail, so no method does.
pub(crate) struct Document {
    writer: Writer<Vec<u8>>,
    root: &'static str,
}

impl Document {
    pub(crate) fn new(op: Op, root_attributes: &[(&str, &str)], auth: Auth<'_>) -> Self {
        let mut document = Self { writer: Writer::new(Vec::with_capacity(1024)), root: op.as_str() };
        document.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document.open(op.as_str(), root_attributes);
        match auth {
            Auth::Full(account) => document
                .empty("auth", &[("extra", &account.extra), ("login", &account.login), ("pass", &account.password)]),
            Auth::ExtraOnly(account) => document.empty("auth", &[("extra", &account.extra)]),
            Auth::None => {}
        }
        document
    }

    pub(crate) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let start = element(name, attributes);
        self.event(Event::Start(start));
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
    }

    pub(crate) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let start = element(name, attributes);
        self.event(Event::Empty(start));
    }

    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.leaf_with(name, &[], text);
    }

    pub(crate) fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.event(Event::Text(BytesText::new(&legal(text))));
        self.close(name);
    }

    /// Nothing is written for `None` and for a text that is empty after trimming.
    pub(crate) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = given(text) {
            self.leaf(name, text);
        }
    }

    pub(crate) fn yes_no(&mut self, name: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.leaf(name, yes_no(value));
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.close(self.root);
        String::from_utf8(self.writer.into_inner()).expect("only UTF-8 was written")
    }

    fn event(&mut self, event: Event<'_>) {
        self.writer.write_event(event).expect("writing into a Vec does not fail");
    }
}

pub(crate) const fn yes_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

/// The text without surrounding whitespace, `None` when nothing is left.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn element<'a>(name: &'a str, attributes: &[(&str, &str)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (key, value) in attributes {
        let value = legal(value);
        start.push_attribute((*key, value.as_ref()));
    }
    start
}

/// Drops the characters that cannot be part of an XML 1.0 document, even escaped
/// (marking codes bring ASCII 29, pasted texts bring NUL and friends).
fn legal(text: &str) -> Cow<'_, str> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    if text.chars().all(allowed) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|c| allowed(*c)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_xml_forbids_are_dropped_and_the_others_kept() {
        assert_eq!(legal("0104\u{1d}21a\0b\u{fffe}\u{7f}\t\n"), "0104".to_owned() + "21ab\u{7f}\t\n");
        assert!(matches!(legal("Невский пр., д. 20 \"А\" <&>"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_request_begins_with_the_declaration_and_escapes_values() {
        let mut document = Document::new(Op::StatusReq, &[("a", "1\n\"<&>'")], Auth::None);
        document.leaf("orderno", "R&D <1>\r");
        document.optional("orderno2", Some("  "));
        assert_eq!(
            document.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><statusreq a=\"1&#10;&quot;&lt;&amp;&gt;&apos;\">\
             <orderno>R&amp;D &lt;1&gt;&#13;</orderno></statusreq>"
        );
    }
}
