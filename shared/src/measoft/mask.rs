//! Masks bodies for the journal: credentials and everything about people disappear, but
//! their presence and length stay visible (`[hidden 12]`). What is not known to be
//! harmless is hidden, and broken documents are masked like whole ones.

mod scrub;

use std::borrow::Cow;

use crate::hidden::Known;
use crate::measoft::op::Op;
use crate::measoft::wire::element::{self, Unreadable};

pub(crate) use scrub::scrub;

/// Longest body kept in the journal, in bytes before masking.
const JOURNAL_BYTES: usize = 32 * 1024;
/// Longest body kept of a page that is no XML.
const EXCERPT_BYTES: usize = 2 * 1024;

/// Deepest nesting followed: a body made of start tags must not cost much time.
const MAX_OPEN: usize = 100;

/// Elements whose text is shown as it is.
const SHOWN_ELEMENTS: &[&str] = &[
    "acceptcard",
    "acceptcash",
    "acceptfitting",
    "acceptindividuals",
    "acceptpartially",
    "arrival",
    "barcode",
    "below",
    "changes",
    "client",
    "clientcode",
    "clientstatecode",
    "code",
    "costcode",
    "countall",
    "country",
    "customstatecode",
    "date",
    "datefrom",
    "dateto",
    "delivereddate",
    "deliveredtime",
    "deliveryprice",
    "done",
    "extra",
    "fiascode",
    "form",
    "id",
    "inshprice",
    "kladrcode",
    "limitcount",
    "limitfrom",
    "mass",
    "maxdeliverydays",
    "maxweight",
    "mindeliverydate",
    "mindeliverydays",
    "namecontains",
    "namestarts",
    "ordercode",
    "orderno",
    "orderno2",
    "outstrbarcode",
    "parentcode",
    "paytype",
    "pickup",
    "price",
    "print_check",
    "pvz",
    "quantity",
    "receiverpays",
    "return",
    "return_service",
    "return_type",
    "return_weight",
    "service",
    "status",
    "streamid",
    "time_max",
    "time_min",
    "town",
    "townfrom",
    "townto",
    "type",
    "typename",
    "uid",
    "value",
    "waittime",
    "webhook_status_code",
    "weight",
    "worktime",
    "zone",
];

/// Elements whose text is shown without what looks like a phone or an e-mail.
const SCRUBBED_ELEMENTS: &[&str] =
    &["advprice", "enclosure", "error", "item", "name", "package", "parentname", "pricetype", "request", "shortname"];

/// The same inside `receiver` and `sender`, where less is harmless.
const SHOWN_OF_PEOPLE: &[&str] = &["date", "pvz", "time_max", "time_min", "town"];

const SHOWN_ATTRIBUTES: &[&str] = &[
    "VATrate",
    "above_price",
    "awb",
    "barcode",
    "below_sum",
    "code",
    "count",
    "country",
    "createtimegmt",
    "delivery",
    "encoding",
    "error",
    "eventtime",
    "extcode",
    "extra",
    "givencode",
    "h",
    "height",
    "inshprice",
    "l",
    "length",
    "mass",
    "newfolder",
    "ordercode",
    "orderno",
    "orderno2",
    "orderprice",
    "page",
    "paytype",
    "price",
    "quantity",
    "regioncode",
    "retprice",
    "return",
    "return_price",
    "returns",
    "service",
    "strbarcode",
    "total",
    "totalcount",
    "totalpages",
    "townfrom",
    "townto",
    "type",
    "version",
    "w",
    "width",
];

const SCRUBBED_ATTRIBUTES: &[&str] =
    &["article", "errormsg", "errormsgru", "eventstore", "name", "regionname", "textArticle", "title"];

/// Elements that are hidden with everything inside, also in HTML.
const HIDDEN_TREES: &[&str] = &["auth", "contacts", "coords", "courier", "currcoords", "receipt"];

/// A request or an answer for the journal. `secrets` are hidden wherever they occur.
pub(crate) fn body(body: &[u8], secrets: &[&str]) -> String {
    let text = element::decode(body);
    let page = match element::look(text.trim_start_matches('\u{feff}').trim_start()) {
        Err(Unreadable::Html) => true,
        // A plain sentence may be shown; a document without its beginning may not.
        Err(Unreadable::NotXml) => !text.contains("</"),
        _ => false,
    };
    let limit = if page { EXCERPT_BYTES } else { JOURNAL_BYTES };
    let kept = prefix(&text, limit);
    let mut masked =
        Masker { secrets, page, out: String::with_capacity(kept.len()), open: Vec::new(), broken: false }.run(kept);
    if kept.len() < text.len() {
        masked.push_str(&format!("… [{} bytes in all]", body.len()));
    }
    masked
}

/// What a request of ours says of people, for the answer to it.
pub(crate) fn people(request: &str) -> Known {
    let mut known = Known::default();
    for element in ["person", "company", "address", "phone"] {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        for part in request.split(open.as_str()).skip(1) {
            if let Some((value, _)) = part.split_once(close.as_str()) {
                known.add_words(value);
            }
        }
    }
    known
}

/// The start of a body that is in the wrong format, at most 2 kB.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    body(&bytes[..bytes.len().min(EXCERPT_BYTES)], &[])
}

struct Masker<'a> {
    secrets: &'a [&'a str],
    /// HTML or plain text: unknown elements are scrubbed, not hidden.
    page: bool,
    out: String,
    open: Vec<String>,
    /// An end tag did not fit.
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Show,
    Scrub,
    Hide,
}

impl Masker<'_> {
    fn run(mut self, mut rest: &str) -> String {
        while !rest.is_empty() {
            let Some(at) = rest.find('<') else {
                self.text(rest);
                break;
            };
            self.text(&rest[..at]);
            rest = self.markup(&rest[at..]);
        }
        self.out
    }

    /// Writes one piece of markup and returns what follows it.
    fn markup<'t>(&mut self, rest: &'t str) -> &'t str {
        if let Some(inner) = rest.strip_prefix("<![CDATA[") {
            let (data, after) = inner.split_once("]]>").unwrap_or((inner, ""));
            self.text(data);
            return after;
        }
        if let Some(inner) = rest.strip_prefix("<!--") {
            return inner.split_once("-->").map_or("", |(_, after)| after);
        }
        if let Some(inner) = rest.strip_prefix("<!") {
            self.out.push_str("<!…>");
            return inner.split_once('>').map_or("", |(_, after)| after);
        }
        let inner = rest.get(1..).unwrap_or_default();
        if let Some(inner) = inner.strip_prefix('/') {
            let end = inner.find(['<', '>']).unwrap_or(inner.len());
            self.close(inner[..end].trim());
            return inner[end..].strip_prefix('>').unwrap_or(&inner[end..]);
        }
        let (processing, inner) = inner.strip_prefix('?').map_or((false, inner), |inner| (true, inner));
        if !inner.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            self.out.push('<');
            return inner;
        }
        self.tag(inner, processing)
    }

    fn tag<'t>(&mut self, inner: &'t str, processing: bool) -> &'t str {
        let end = inner.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '/' | '?')).unwrap_or(inner.len());
        let (name, mut rest) = inner.split_at(end);
        self.out.push_str(if processing { "<?" } else { "<" });
        self.name(name);
        let hidden = self.hidden() || HIDDEN_TREES.contains(&name) && name != "auth";
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("/>") {
                self.out.push_str("/>");
                return after;
            }
            if let Some(after) = rest.strip_prefix("?>") {
                self.out.push_str("?>");
                return after;
            }
            if let Some(after) = rest.strip_prefix('>') {
                self.out.push('>');
                if !processing {
                    self.enter(name);
                }
                return after;
            }
            if rest.is_empty() || rest.starts_with('<') {
                // Cut or broken: whatever this was, it is not shown.
                self.out.push('…');
                if !processing {
                    self.enter(name);
                }
                return rest;
            }
            rest = self.attribute(rest, hidden);
        }
    }

    fn enter(&mut self, name: &str) {
        if self.open.len() < MAX_OPEN {
            self.open.push(name.to_owned());
        } else {
            self.broken = true;
        }
    }

    fn attribute<'t>(&mut self, rest: &'t str, hidden: bool) -> &'t str {
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '<' | '>')).unwrap_or(rest.len());
        // A stray slash or question mark must not stop the loop.
        let end = end.max(rest.chars().next().map_or(0, char::len_utf8));
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            self.out.push(' ');
            self.hide(name);
            return after;
        };
        self.out.push(' ');
        self.name(name);
        self.out.push_str("=\"");
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len())),
        };
        let rule = match () {
            // An unclosed quote swallows the elements after it.
            () if hidden || value.contains('<') => Rule::Hide,
            () if SHOWN_ATTRIBUTES.contains(&name) => Rule::Show,
            () if SCRUBBED_ATTRIBUTES.contains(&name) => Rule::Scrub,
            () => Rule::Hide,
        };
        self.value(value, rule);
        self.out.push('"');
        after
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.name(name);
        self.out.push('>');
        let at = self.open.iter().rposition(|open| open == name);
        // From here on an element's name says little about the text that follows it.
        self.broken |= at.is_none_or(|at| at + 1 != self.open.len());
        if let Some(at) = at {
            self.open.truncate(at);
        }
    }

    fn text(&mut self, text: &str) {
        // A stray `>` is the end of a tag that lost its beginning.
        let rule = if text.contains('>') && !self.page { Rule::Hide } else { self.rule() };
        self.value(text, rule);
    }

    fn rule(&self) -> Rule {
        if self.hidden() || self.open.len() >= MAX_OPEN || self.broken && !self.page {
            return Rule::Hide;
        }
        let personal = self.open.iter().any(|name| matches!(name.as_str(), "receiver" | "sender"));
        match self.open.last().map(String::as_str) {
            Some(name) if personal && !SHOWN_OF_PEOPLE.contains(&name) => Rule::Hide,
            None if self.page => Rule::Scrub,
            None => Rule::Hide,
            Some(name) if SHOWN_ELEMENTS.contains(&name) => Rule::Show,
            Some(name) if SCRUBBED_ELEMENTS.contains(&name) || Op::parse(name).is_some() => Rule::Scrub,
            Some(name) if self.page && !PERSONAL_ELEMENTS.contains(&name) => Rule::Scrub,
            Some(_) => Rule::Hide,
        }
    }

    fn hidden(&self) -> bool {
        self.open.iter().any(|name| HIDDEN_TREES.contains(&name.as_str()))
    }

    fn value(&mut self, value: &str, rule: Rule) {
        if value.trim().is_empty() {
            // Layout is worth one character.
            self.out.push_str(if value.contains('\n') { "\n" } else { "" });
            return;
        }
        match rule {
            Rule::Hide => self.hide(value),
            Rule::Show => {
                let text = self.without_secrets(value).into_owned();
                self.out.push_str(&text);
            }
            Rule::Scrub => {
                let text = scrub(&self.without_secrets(value));
                self.out.push_str(&text);
            }
        }
    }

    /// Names are the vendor's vocabulary, except in a broken document.
    fn name(&mut self, name: &str) {
        let plain = name.len() <= 40
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'.'))
            && name.bytes().filter(u8::is_ascii_digit).count() < 2
            && !self.secrets.contains(&name);
        if plain { self.out.push_str(name) } else { self.hide(name) }
    }

    fn hide(&mut self, value: &str) {
        self.out.push_str(&format!("[hidden {}]", value.trim().chars().count()));
    }

    fn without_secrets<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        // Very short secrets would tear ordinary words apart and are no secrets.
        for secret in self.secrets.iter().filter(|secret| secret.chars().count() >= 3) {
            if text.contains(secret) {
                text = Cow::Owned(text.replace(secret, "[hidden]"));
            }
        }
        text
    }
}

/// Hidden also where unknown elements are shown.
const PERSONAL_ELEMENTS: &[&str] = &[
    "address",
    "addressto",
    "company",
    "deliveredto",
    "deliveryPIN",
    "inn",
    "instruction",
    "login",
    "pass",
    "person",
    "phone",
    "receiver",
    "sender",
    "zipcode",
];

fn prefix(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
