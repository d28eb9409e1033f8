//! Where pieces of markup begin and end, byte by byte or in bulk.

use memchr::{memchr, memchr3};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lexer {
    Text,
    /// After `<`.
    Less,
    Open {
        quote: Option<u8>,
        slash: bool,
    },
    Close,
    /// After `<!`, with the bytes seen since.
    Bang([u8; 7], u8),
    Comment {
        dashes: u8,
    },
    Cdata {
        brackets: u8,
    },
    Instruction {
        question: bool,
    },
}

/// A piece of markup that has just ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Empty,
    Close,
    Other,
}

impl Lexer {
    /// How many of the next bytes change nothing: most bytes of an answer are looked for in
    /// bulk, not looked at one by one.
    pub(super) fn run(self, bytes: &[u8]) -> usize {
        let found = match self {
            Self::Text => memchr(b'<', bytes),
            Self::Open { quote: Some(quote), slash: false } => memchr(quote, bytes),
            Self::Open { quote: None, slash: false } => {
                // A quote or the end, unless a slash comes first.
                let end = memchr3(b'"', b'\'', b'>', bytes).unwrap_or(bytes.len());
                Some(memchr(b'/', &bytes[..end]).unwrap_or(end))
            }
            Self::Close => memchr(b'>', bytes),
            Self::Comment { dashes: 0 } => memchr(b'-', bytes),
            Self::Cdata { brackets: 0 } => memchr(b']', bytes),
            Self::Instruction { question: false } => memchr(b'?', bytes),
            _ => Some(0),
        };
        found.unwrap_or(bytes.len())
    }

    pub(super) fn step(&mut self, byte: u8) -> Option<Token> {
        let (next, token) = match *self {
            Self::Text => (if byte == b'<' { Self::Less } else { Self::Text }, None),
            Self::Less => match byte {
                b'/' => (Self::Close, None),
                b'!' => (Self::Bang([0; 7], 0), None),
                b'?' => (Self::Instruction { question: false }, None),
                // A bare `<` in a text: the row is broken, the rows after it are not.
                b' ' | b'\t' | b'\r' | b'\n' | b'0'..=b'9' | b'=' => (Self::Text, None),
                _ => (Self::Open { quote: None, slash: false }, None),
            },
            Self::Open { quote: Some(quote), .. } => {
                (Self::Open { quote: (byte != quote).then_some(quote), slash: false }, None)
            }
            Self::Open { quote: None, slash } => match byte {
                b'>' if slash => (Self::Text, Some(Token::Empty)),
                b'>' => (Self::Text, Some(Token::Open)),
                b'"' | b'\'' => (Self::Open { quote: Some(byte), slash: false }, None),
                _ => (Self::Open { quote: None, slash: byte == b'/' }, None),
            },
            Self::Close if byte == b'>' => (Self::Text, Some(Token::Close)),
            Self::Close => (Self::Close, None),
            Self::Bang(mut seen, count) => {
                let at = usize::from(count);
                if at < seen.len() {
                    seen[at] = byte;
                }
                if at == 1 && &seen[..2] == b"--" {
                    (Self::Comment { dashes: 0 }, None)
                } else if at == 6 && &seen == b"[CDATA[" {
                    (Self::Cdata { brackets: 0 }, None)
                } else if byte == b'>' {
                    (Self::Text, Some(Token::Other))
                } else {
                    // Longer than any opening of interest: only the end matters.
                    (Self::Bang(seen, count.saturating_add(1).min(7)), None)
                }
            }
            Self::Comment { dashes } => match byte {
                b'-' => (Self::Comment { dashes: (dashes + 1).min(2) }, None),
                b'>' if dashes == 2 => (Self::Text, Some(Token::Other)),
                _ => (Self::Comment { dashes: 0 }, None),
            },
            Self::Cdata { brackets } => match byte {
                b']' => (Self::Cdata { brackets: (brackets + 1).min(2) }, None),
                b'>' if brackets == 2 => (Self::Text, Some(Token::Other)),
                _ => (Self::Cdata { brackets: 0 }, None),
            },
            Self::Instruction { question } => match byte {
                b'>' if question => (Self::Text, Some(Token::Other)),
                _ => (Self::Instruction { question: byte == b'?' }, None),
            },
        };
        *self = next;
        token
    }
}

/// The length of the `order` that these bytes begin with. `None` when its end is not here, and
/// when there is anything in it that the lexer below has to look at: comments, CDATA, a row in
/// the row. Otherwise both find the same end, this one without a state for each byte.
pub(super) fn usual_row(bytes: &[u8]) -> Option<usize> {
    if !is_order(bytes.strip_prefix(b"<")?) {
        return None;
    }
    let mut at = end_of_tag(bytes, 2)?;
    if bytes[at - 1] == b'/' {
        return None;
    }
    loop {
        at += memchr(b'<', &bytes[at..])?;
        match *bytes.get(at + 1)? {
            b'!' | b'?' => return None,
            b'/' => {
                let name = at + 2;
                at = name + memchr(b'>', &bytes[name..])?;
                if is_order(&bytes[name..]) {
                    return Some(at + 1);
                }
            }
            // A bare `<` in a text.
            b' ' | b'\t' | b'\r' | b'\n' | b'0'..=b'9' | b'=' => at += 1,
            _ if is_order(&bytes[at + 1..]) => return None,
            _ => at = end_of_tag(bytes, at + 2)?,
        }
    }
}

/// Whether markup goes on with this name.
fn is_order(markup: &[u8]) -> bool {
    let after = markup.strip_prefix(b"order").and_then(<[u8]>::first);
    after.is_some_and(|byte| ends_name(*byte))
}

const fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')
}

/// Where a start tag ends; `from` is behind its first letter.
fn end_of_tag(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr3(b'"', b'\'', b'>', bytes.get(from..)?)?;
        match bytes[at] {
            b'>' => return Some(at),
            quote => from = at + 2 + memchr(quote, &bytes[at + 1..])?,
        }
    }
}

/// The name that a piece of markup begins with.
pub(super) fn name_of(markup: &[u8]) -> &[u8] {
    let end = markup.iter().position(|byte| ends_name(*byte));
    &markup[..end.unwrap_or(markup.len())]
}
