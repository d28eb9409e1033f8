//! Hides personal data and keys in what is kept of an exchange.
//!
//! Works on the text, not on parsed JSON, so that a broken body is masked as well. What is
//! hidden leaves its length behind («[hidden 12]»): whether a phone was there at all is
//! often the question.

use std::borrow::Cow;

/// Fields whose value is hidden whole, also when it is an object or a list.
const HIDDEN: &[&str] = &[
    "lastname",
    "firstname",
    "patronymic",
    "nickname",
    "phone",
    "additionalphone",
    "phones",
    "email",
    "customer",
    "contact",
    "company",
    "manager",
    "contragent",
    "legalname",
    "legaladdress",
    "inn",
    "kpp",
    "ogrn",
    "ogrnip",
    "address",
    "deliveryaddress",
    "street",
    "building",
    "house",
    "housing",
    "block",
    "floor",
    "flat",
    "intercomcode",
    "notes",
    "text",
    "customercomment",
    "managercomment",
    "statuscomment",
    "comment",
    "comments",
    "customfields",
    "extradata",
    "deliveryextradata",
    "shipmentextradata",
    "deliveredto",
    "deliveryapikey",
    "apikey",
    "clientid",
    "token",
    "key",
    "secret",
    "password",
    "oldvalue",
    "newvalue",
    "register",
    "pickuppointphone",
    "shipmentpointphone",
];

/// Fields that stay visible inside a hidden object: they identify nobody.
const SHOWN: &[&str] =
    &["id", "type", "site", "code", "city", "region", "regionid", "cityid", "citytype", "countryiso", "contragenttype"];

/// Texts for people, which may quote what was sent.
const QUOTING: &[&str] = &["errormsg", "errors"];

/// What becomes of a value, from least to most hidden.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Treatment {
    Show,
    /// Only phones and addresses in it are hidden.
    Text,
    Hide,
}

impl Treatment {
    /// Of the value under a name, inside of something treated as `outer`.
    fn of(name: &str, outer: Self) -> Self {
        let name = name.to_lowercase();
        if outer == Self::Hide {
            return if SHOWN.contains(&name.as_str()) { Self::Show } else { Self::Hide };
        }
        let own = if HIDDEN.contains(&name.as_str()) && outer == Self::Show {
            Self::Hide
        } else if QUOTING.contains(&name.as_str()) {
            Self::Text
        } else {
            Self::Show
        };
        own.max(outer)
    }
}

fn is_hidden(name: &str) -> bool {
    HIDDEN.contains(&name.to_lowercase().as_str())
}

/// Masks a JSON text, whole or broken.
pub fn json(text: &str) -> String {
    let mut masker = JsonMasker { out: String::with_capacity(text.len()), inside: Vec::new(), of_key: None };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = masker.token(first, rest);
    }
    masker.out
}

struct JsonMasker {
    out: String,
    /// For each open bracket: what becomes of what is inside.
    inside: Vec<Treatment>,
    /// What the key just read says about its value.
    of_key: Option<Treatment>,
}

impl JsonMasker {
    /// Writes the token that begins with `first` and returns what follows it.
    fn token<'t>(&mut self, first: char, rest: &'t str) -> &'t str {
        match first {
            '"' => return self.string(rest),
            '{' | '[' => {
                // Inside a shown field of a hidden object everything is hidden again.
                let inside = self.outer().max(self.treatment());
                self.inside.push(inside);
                self.of_key = None;
            }
            '}' | ']' => {
                self.inside.pop();
                self.of_key = None;
            }
            ',' => self.of_key = None,
            ':' => {}
            c if c.is_whitespace() => {}
            _ => return self.scalar(rest),
        }
        self.out.push(first);
        &rest[first.len_utf8()..]
    }

    fn outer(&self) -> Treatment {
        self.inside.last().copied().unwrap_or(Treatment::Show)
    }

    fn treatment(&self) -> Treatment {
        self.of_key.unwrap_or_else(|| self.outer())
    }

    /// A key, or a value that is a text.
    fn string<'t>(&mut self, rest: &'t str) -> &'t str {
        let (raw, after) = string_token(rest);
        if after.trim_start().starts_with(':') {
            // An escape could spell a name that looks harmless.
            let name = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
            self.out.push_str(raw);
            self.of_key = Some(Treatment::of(&name, self.outer()));
            return after;
        }
        match self.treatment() {
            Treatment::Show => self.out.push_str(raw),
            // Not unescaped: nobody writes a phone in escapes.
            Treatment::Text => {
                let content = raw.strip_prefix('"').unwrap_or(raw);
                let (content, end) = content.strip_suffix('"').map_or((content, ""), |content| (content, "\""));
                self.out.push('"');
                self.out.push_str(&self::text(content));
                self.out.push_str(end);
            }
            Treatment::Hide => hide_string(raw, &mut self.out),
        }
        self.of_key = None;
        after
    }

    /// A number or a word.
    fn scalar<'t>(&mut self, rest: &'t str) -> &'t str {
        let end = rest.find(|c: char| c.is_whitespace() || ",:[]{}\"".contains(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let harmless = matches!(token, "null" | "true" | "false");
        if self.treatment() == Treatment::Hide && !harmless {
            hide_string(token, &mut self.out);
        } else {
            self.out.push_str(token);
        }
        self.of_key = None;
        after
    }
}

/// A string token with its quotes (the closing one may be missing) and what follows it.
fn string_token(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at(index + 1),
            _ => {}
        }
    }
    (text, "")
}

fn hide_string(raw: &str, out: &mut String) {
    let content = raw.trim_matches('"');
    if content.is_empty() {
        out.push_str(raw);
    } else {
        out.push('"');
        out.push_str(&hidden(content));
        out.push('"');
    }
}

fn hidden(content: &str) -> String {
    format!("[hidden {}]", content.chars().count())
}

/// Masks an urlencoded form or query: values that are JSON by field, the rest by name. The
/// result is decoded, to be read by people.
pub fn form(text: &str) -> String {
    text.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            let shown = if is_hidden(&name) && !value.is_empty() {
                hidden(&value)
            } else if value.trim_start().starts_with(['{', '[']) {
                json(&value)
            } else {
                self::text(&value)
            };
            format!("{}={shown}", self::text(&name))
        })
        .collect::<Vec<_>>()
        .join("&")
}

fn decode(text: &str) -> String {
    let pair = format!("{text}=");
    ::url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(name, _)| name.into_owned())
}

/// Masks a body of unknown kind.
pub fn body(body: &str) -> String {
    // Whatever has quotes is taken for JSON, also behind a byte-order mark or a warning of PHP.
    if body.contains('"') && !body.trim_start().starts_with('<') { json(body) } else { text(body) }
}

/// Masks e-mail addresses and phone-like digits in a text for people.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let email = word.find('@').is_some_and(|at| at > 0 && word[at..].contains('.'));
        out.push_str(&if email { Cow::Owned(hidden(word)) } else { Cow::Borrowed(word) });
    }
    hide_phones(&out)
}

/// Hides runs of ten digits and more, with the signs people put between them.
fn hide_phones(text: &str) -> String {
    const LEAST: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let mut digits = 0;
    let flush = |run: &mut String, digits: &mut usize, out: &mut String| {
        if *digits >= LEAST {
            let end = run.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
            out.push_str(&hidden(&run[..end]));
            out.push_str(&run[end..]);
        } else {
            out.push_str(run);
        }
        run.clear();
        *digits = 0;
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits += 1;
            run.push(c);
        } else if (!run.is_empty() && matches!(c, ' ' | '\u{a0}' | '-' | '\u{2010}'..='\u{2015}' | '(' | ')'))
            || c == '+'
        {
            run.push(c);
        } else {
            flush(&mut run, &mut digits, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut digits, &mut out);
    out
}

/// The first `bytes` of a text, at a character's boundary.
pub fn start(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `chars` characters; a cut is marked with «…».
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
