//! Reads answers into a small tree. Tolerant in content (unknown things are kept and
//! ignored later, CDATA is text, unknown entities stay as written), strict in structure
//! (no DTD, bounded depth and size).

use std::borrow::Cow;

use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Deepest nesting accepted. Real answers stay below 8.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most elements accepted in one document: bounds memory for bodies made of tiny tags.
const MAX_ELEMENTS: usize = 400_000;
/// Bytes of a document for each of its elements, at least; small ones may be of any make.
const BYTES_AN_ELEMENT: usize = 12;
const FREE_ELEMENTS: usize = 4096;

/// One element. Names are case-sensitive, as the vendor's are. What needs no decoding is
/// borrowed from the document: a status sync reads hundreds of thousands of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) name: Cow<'a, str>,
    attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    children: Vec<Element<'a>>,
    text: Cow<'a, str>,
}

/// Why bytes are no readable XML document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the body is empty")]
    Empty,
    #[error("the body is an HTML page")]
    Html,
    #[error("the body is not XML")]
    NotXml,
    #[error("the document has a DTD")]
    Dtd,
    #[error("the document is broken or cut short")]
    Broken,
    #[error("the document is nested too deeply or has too many elements")]
    TooComplex,
}

impl<'d> Element<'d> {
    /// The same, borrowing nothing.
    pub(crate) fn into_owned(self) -> Element<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Element {
            name: own(self.name),
            attributes: self.attributes.into_iter().map(|(name, value)| (own(name), own(value))).collect(),
            children: self.children.into_iter().map(Element::into_owned).collect(),
            text: own(self.text),
        }
    }

    /// The attribute's text, trimmed; `None` when absent or empty.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|v| !v.is_empty())
    }

    pub(crate) fn has_attributes(&self) -> bool {
        !self.attributes.is_empty()
    }

    pub(crate) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The element's own text, trimmed; `None` when empty.
    pub(crate) fn text(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    pub(crate) fn with_text(mut self, text: String) -> Self {
        self.text = Cow::Owned(text);
        self
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + 'a + use<'a, 'd> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).and_then(Self::text)
    }

    pub(crate) fn owned_text(&self, name: &str) -> Option<String> {
        self.child_text(name).map(str::to_owned)
    }

    pub(crate) fn owned_attribute(&self, name: &str) -> Option<String> {
        self.attribute(name).map(str::to_owned)
    }
}

#[cfg(test)]
impl Element<'_> {
    /// Everything of `sample` is here too: names, attributes, texts, children in their
    /// order. Numbers are compared as numbers. The error names the path that differs.
    pub(crate) fn must_contain(&self, sample: &Self) -> Result<(), String> {
        let same = |a: &str, b: &str| {
            a == b || matches!((a.parse::<rust_decimal::Decimal>(), b.parse()), (Ok(a), Ok(b)) if a == b)
        };
        if self.name != sample.name || !same(self.text.trim(), sample.text.trim()) {
            return Err(format!("{} «{}» is not {} «{}»", self.name, self.text, sample.name, sample.text));
        }
        for (name, value) in &sample.attributes {
            let ours = self.attributes.iter().find(|(key, _)| key == name);
            if !ours.is_some_and(|(_, ours)| same(ours, value)) {
                return Err(format!("{}@{name} is {ours:?}, not {value}", self.name));
            }
        }
        let mut rest = self.children.iter();
        for child in &sample.children {
            let mut near_miss = format!("{} has no {}", self.name, child.name);
            let found = rest.any(|ours| match ours.must_contain(child) {
                Ok(()) => true,
                Err(why) if ours.name == child.name => {
                    near_miss = format!("{}/{why}", self.name);
                    false
                }
                Err(_) => false,
            });
            if !found {
                return Err(near_miss);
            }
        }
        Ok(())
    }
}

/// A struct and, beside each field, how it is read from an element. There is no row when what it
/// cannot do without is missing.
macro_rules! row {
    ($($(#[$meta:meta])* pub struct $name:ident($row:ident) {
        $($(#[$field_meta:meta])* pub $field:ident: $kind:ty = $read:expr,)+
    })+) => {$(
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)+ }

        impl $name {
            pub(crate) fn read($row: &$crate::measoft::wire::element::Element) -> Option<Self> {
                Some(Self { $($field: $read,)+ })
            }
        }
    )+};
}
pub(crate) use row;

/// Parses one whole document.
pub(crate) fn parse(body: &[u8]) -> Result<Element<'static>, Unreadable> {
    parse_text(&decode(body)).map(Element::into_owned)
}

pub(crate) fn parse_text(text: &str) -> Result<Element<'_>, Unreadable> {
    let text = text.trim_start_matches('\u{feff}').trim();
    look(text)?;
    parse_piece(text, None)
}

/// Parses one element of a document that is known to be one. A child named `without` is read
/// over: it is well-formed and left out.
pub(crate) fn parse_piece<'a>(text: &'a str, without: Option<&str>) -> Result<Element<'a>, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element<'_>> = Vec::new();
    let mut root: Option<Element<'_>> = None;
    let mut elements = 0_usize;
    let most = (FREE_ELEMENTS + text.len() / BYTES_AN_ELEMENT).min(MAX_ELEMENTS);
    let position = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    loop {
        let from = position(&reader);
        let event = reader.read_event().map_err(|_| Unreadable::Broken)?;
        match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= MAX_DEPTH || elements > most {
                    return Err(Unreadable::TooComplex);
                }
                if open.is_empty() && root.is_some() {
                    return Err(Unreadable::Broken);
                }
                if open.len() == 1 && without == Some(start.name().as_ref()) {
                    reader.read_to_end(start.name()).map_err(|_| Unreadable::Broken)?;
                    continue;
                }
                open.push(begin(tag(text, from, position(&reader), 1)?, &start)?);
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > most {
                    return Err(Unreadable::TooComplex);
                }
                place(begin(tag(text, from, position(&reader), 2)?, &start)?, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let done = open.pop().ok_or(Unreadable::Broken)?;
                place(done, &mut open, &mut root)?;
            }
            Event::Text(text) => match open.last_mut() {
                Some(element) => append(&mut element.text, text.xml10_content()),
                None if text.trim().is_empty() => {}
                None => return Err(Unreadable::Broken),
            },
            Event::CData(data) => match open.last_mut() {
                Some(element) => append(&mut element.text, data.xml10_content()),
                None => return Err(Unreadable::Broken),
            },
            Event::GeneralRef(reference) => match open.last_mut() {
                Some(element) => push_reference(element.text.to_mut(), &reference),
                None => return Err(Unreadable::Broken),
            },
            Event::DocType(_) => return Err(Unreadable::Dtd),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if !open.is_empty() {
        return Err(Unreadable::Broken);
    }
    root.ok_or(Unreadable::Empty)
}

/// The quick look that tells an HTML page from a broken document.
pub(crate) fn look(text: &str) -> Result<(), Unreadable> {
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    // Enough of it; a letter cut in half at the end says nothing.
    let start = String::from_utf8_lossy(&text.as_bytes()[..text.len().min(512)]).to_ascii_lowercase();
    if start.contains("<html") || start.contains("<!doctype html") {
        return Err(Unreadable::Html);
    }
    if start.starts_with("<!doctype") {
        return Err(Unreadable::Dtd);
    }
    if !start.starts_with('<') {
        return Err(Unreadable::NotXml);
    }
    Ok(())
}

/// Text of a body: UTF-8, or windows-1251 when the declaration says so. Bad bytes become
/// replacement characters: one broken letter in an address must not cost the whole answer.
pub(crate) fn decode(body: &[u8]) -> Cow<'_, str> {
    if says_windows_1251(body) { Cow::Owned(windows_1251(body)) } else { utf_8(body) }
}

/// Bad bytes become replacement characters. Whether there are any is looked for in bulk: most
/// of a status sync would go into it otherwise.
pub(crate) fn utf_8(bytes: &[u8]) -> Cow<'_, str> {
    simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Whether the XML declaration names windows-1251.
pub(crate) fn says_windows_1251(body: &[u8]) -> bool {
    let head = &body[..body.len().min(200)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{feff}').trim_start();
    let Some(declaration) = head.strip_prefix("<?xml").and_then(|rest| rest.split("?>").next()) else {
        return false;
    };
    declaration.contains("windows-1251") || declaration.contains("cp1251")
}

pub(crate) fn windows_1251(body: &[u8]) -> String {
    const UPPER: [char; 64] = [
        'Ђ', 'Ѓ', '‚', 'ѓ', '„', '…', '†', '‡', '€', '‰', 'Љ', '‹', 'Њ', 'Ќ', 'Ћ', 'Џ', 'ђ', '‘', '’', '“', '”', '•',
        '–', '—', '\u{fffd}', '™', 'љ', '›', 'њ', 'ќ', 'ћ', 'џ', '\u{a0}', 'Ў', 'ў', 'Ј', '¤', 'Ґ', '¦', '§', 'Ё', '©',
        'Є', '«', '¬', '\u{ad}', '®', 'Ї', '°', '±', 'І', 'і', 'ґ', 'µ', '¶', '·', 'ё', '№', 'є', '»', 'ј', 'Ѕ', 'ѕ',
        'ї',
    ];
    body.iter()
        .map(|byte| match byte {
            0..=0x7f => char::from(*byte),
            0x80..=0xbf => UPPER[usize::from(byte - 0x80)],
            0xc0..=0xff => char::from_u32(0x410 + u32::from(byte - 0xc0)).unwrap_or('\u{fffd}'),
        })
        .collect()
}

/// What stands between `<` and `>` or, with an `end` of 2, `/>`.
fn tag(text: &str, from: usize, to: usize, end: usize) -> Result<&str, Unreadable> {
    text.get(from + 1..to.saturating_sub(end)).ok_or(Unreadable::Broken)
}

/// An element of a tag; `tag` is the text of `start`.
fn begin<'a>(tag: &'a str, start: &BytesStart<'_>) -> Result<Element<'a>, Unreadable> {
    let length = start.name().as_ref().len();
    let name = tag.get(..length).ok_or(Unreadable::Broken)?;
    let mut element = Element { name: Cow::Borrowed(name), ..Element::default() };
    let mut attributes = Attributes::new(tag, length);
    for attribute in attributes.with_checks(false) {
        let attribute = attribute.map_err(|_| Unreadable::Broken)?;
        let value = match attribute.normalized_value(XmlVersion::Explicit1_0) {
            Ok(Cow::Owned(value)) => Cow::Owned(value),
            // As it stands; with an unknown entity the raw text is still better than nothing.
            Ok(Cow::Borrowed(_)) | Err(_) => attribute.value,
        };
        element.attributes.push((Cow::Borrowed(attribute.key.0), value));
    }
    Ok(element)
}

fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        // Texts are read trimmed: what indents children need not be put together.
        if !more.trim_ascii_start().is_empty() {
            *text = more;
        }
    } else {
        text.to_mut().push_str(&more);
    }
}

fn place<'a>(element: Element<'a>, open: &mut [Element<'a>], root: &mut Option<Element<'a>>) -> Result<(), Unreadable> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err(Unreadable::Broken),
    }
    Ok(())
}

fn push_reference(text: &mut String, reference: &quick_xml::events::BytesRef<'_>) {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        text.push(c);
        return;
    }
    match quick_xml::escape::resolve_predefined_entity(reference) {
        Some(value) => text.push_str(value),
        None => {
            text.push('&');
            text.push_str(reference);
            text.push(';');
        }
    }
}

#[cfg(test)]
mod tests;
