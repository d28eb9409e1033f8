//! Finds the rows of an answer as its bytes come in.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::measoft::envelope;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::op::Op;
use crate::measoft::stream::lexer::{Lexer, Token, name_of, usual_row};
#[cfg(any(test, feature = "testing"))]
use crate::measoft::stream::row::Row;
use crate::measoft::stream::row::{Raw, RawRow, decode};
use crate::measoft::wire::element::{self, Element, Unreadable};

/// Longest row accepted; 1000 places and as many lines stay well below.
const MAX_ROW: usize = 2 * 1024 * 1024;
/// Longest prologue and root tag accepted.
const MAX_HEAD: usize = 64 * 1024;
/// How much is kept of an answer, of its error text and of a row that is too long.
const KEPT_START: usize = 4 * 1024;
/// How much of a piece of markup is kept: enough for its name.
const KEPT_TOKEN: usize = 64;

/// Finds where the children of the root begin and end, and parses them one at a time. A
/// broken row must not shift the boundaries of the others, so boundaries go by name.
pub(crate) struct RowReader {
    op: Op,
    limit: u64,
    seen: u64,
    /// The first bytes of the answer, for diagnostics.
    start: Vec<u8>,
    lexer: Lexer,
    /// The first bytes of the current piece of markup.
    token: Vec<u8>,
    /// Open elements, the root included.
    depth: u32,
    /// Elements inside the current child that bear its name.
    namesakes: u32,
    /// Everything up to the end of the root's start tag.
    head: Vec<u8>,
    root: Option<Element<'static>>,
    /// The child of the root that is being read.
    piece: Vec<u8>,
    piece_name: Vec<u8>,
    piece_too_long: bool,
    /// The root carries an error: the start of what is in it, end tag included, for its words. Its
    /// children are not read.
    refused: Option<Vec<u8>>,
    windows_1251: bool,
    pub(super) ready: VecDeque<RawRow>,
    pub(super) done: bool,
}

impl RowReader {
    pub(crate) fn new(op: Op, limit: u64) -> Self {
        Self {
            op,
            limit,
            seen: 0,
            start: Vec::new(),
            lexer: Lexer::Text,
            token: Vec::new(),
            depth: 0,
            namesakes: 0,
            head: Vec::new(),
            root: None,
            piece: Vec::new(),
            piece_name: Vec::new(),
            piece_too_long: false,
            refused: None,
            windows_1251: false,
            ready: VecDeque::new(),
            done: false,
        }
    }

    /// Takes the next bytes of the answer.
    pub(crate) fn push(&mut self, whole: &Bytes) -> Result<(), MeasoftError> {
        let mut chunk: &[u8] = whole;
        self.seen += chunk.len() as u64;
        if self.seen > self.limit {
            return Err(MeasoftError::TooLarge { op: self.op, limit: self.limit });
        }
        let room = KEPT_START.saturating_sub(self.start.len());
        self.start.extend_from_slice(&chunk[..chunk.len().min(room)]);
        while !chunk.is_empty() && !self.done {
            if self.root.is_some() {
                if let Some(length) = self.whole_row(chunk) {
                    let (row, rest) = chunk.split_at(length);
                    self.piece_too_long = false;
                    self.ready.push_back(self.raw(whole.slice_ref(row)));
                    chunk = rest;
                    continue;
                }
                let (run, rest) = chunk.split_at(self.lexer.run(chunk));
                self.keep_run(run);
                chunk = rest;
                // White space before a row is such a run: the row is whole, most likely.
                if !run.is_empty() {
                    continue;
                }
            }
            let Some((byte, rest)) = chunk.split_first() else { break };
            chunk = rest;
            self.step(*byte)?;
        }
        Ok(())
    }

    /// The length of the row that these bytes begin with, when all of it is here and it is of
    /// the usual kind.
    fn whole_row(&self, bytes: &[u8]) -> Option<usize> {
        let between = self.lexer == Lexer::Text && self.depth == 1 && self.refused.is_none();
        if !between || self.root.as_ref().is_none_or(|root| root.name != self.op.as_str()) {
            return None;
        }
        usual_row(bytes).filter(|length| *length <= MAX_ROW)
    }

    /// The answer is over; it has to be complete.
    pub(crate) fn finish(&mut self) -> Result<(), MeasoftError> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        if self.root.is_some() && self.refused.is_some() {
            return self.end_of_root();
        }
        let text = element::decode(&self.start);
        match element::look(text.trim_start_matches('\u{feff}').trim()) {
            Err(why) if self.root.is_none() => Err(envelope::bad_format(self.op, why, &self.start)),
            _ => Err(MeasoftError::NoAnswer { op: self.op, how: Break::Cut }),
        }
    }

    /// The next row that has arrived whole.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn pop(&mut self) -> Option<Row> {
        self.ready.pop_front().map(RawRow::read)
    }

    fn step(&mut self, byte: u8) -> Result<(), MeasoftError> {
        if self.lexer == Lexer::Text && byte == b'<' {
            self.token.clear();
            if self.depth == 1 {
                self.piece.clear();
                self.piece_too_long = false;
            }
        }
        if self.token.len() < KEPT_TOKEN {
            self.token.push(byte);
        }
        if self.root.is_none() {
            self.head.push(byte);
            self.check_head(byte)?;
        } else {
            self.keep(byte);
        }
        match self.lexer.step(byte) {
            None => Ok(()),
            Some(token) if self.root.is_none() => self.head_token(token),
            Some(Token::Open) => {
                self.depth += 1;
                if self.depth == 2 {
                    self.piece_name = self.token_name().to_vec();
                    self.namesakes = 0;
                } else if self.token_name() == self.piece_name {
                    self.namesakes += 1;
                }
                Ok(())
            }
            Some(Token::Empty) if self.depth == 1 => {
                self.piece_name = self.token_name().to_vec();
                self.end_of_child()
            }
            Some(Token::Close) => self.close(),
            Some(Token::Empty | Token::Other) => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), MeasoftError> {
        let name = self.token_name();
        match self.depth {
            0 | 1 => {
                // A stray end tag of a broken row must not end the answer early.
                if self.root.as_ref().is_some_and(|root| root.name.as_bytes() == name) {
                    self.done = true;
                    return self.end_of_root();
                }
                Ok(())
            }
            _ if name == self.piece_name => {
                if self.namesakes > 0 {
                    self.namesakes -= 1;
                    self.depth = (self.depth - 1).max(2);
                    return Ok(());
                }
                self.depth = 1;
                self.end_of_child()
            }
            depth => {
                self.depth = (depth - 1).max(2);
                Ok(())
            }
        }
    }

    /// Refuses early what cannot become an answer, so that a page is not read to its end.
    fn check_head(&self, byte: u8) -> Result<(), MeasoftError> {
        let byte_order_mark = b"\xef\xbb\xbf".starts_with(&self.head);
        let text = self.lexer == Lexer::Text && byte != b'<' && !byte.is_ascii_whitespace();
        if text && !byte_order_mark {
            return Err(envelope::bad_format(self.op, Unreadable::NotXml, &self.start));
        }
        if self.head.len() > MAX_HEAD {
            return Err(envelope::bad_format(self.op, Unreadable::TooComplex, &self.start));
        }
        Ok(())
    }

    fn head_token(&mut self, token: Token) -> Result<(), MeasoftError> {
        let bad = |why| Err(envelope::bad_format(self.op, why, &self.start));
        match token {
            Token::Open => self.start_of_root(false),
            Token::Empty => self.start_of_root(true),
            Token::Close => bad(Unreadable::Broken),
            Token::Other if self.token.len() >= 9 && self.token[..9].eq_ignore_ascii_case(b"<!doctype") => {
                let html = self.token[9..].trim_ascii_start().to_ascii_lowercase().starts_with(b"html");
                bad(if html { Unreadable::Html } else { Unreadable::Dtd })
            }
            Token::Other => Ok(()),
        }
    }

    fn start_of_root(&mut self, empty: bool) -> Result<(), MeasoftError> {
        self.windows_1251 = element::says_windows_1251(&self.head);
        let mut text = self.decode(&self.head).into_owned();
        if !empty {
            text.push_str("</");
            text.push_str(&String::from_utf8_lossy(self.token_name()));
            text.push('>');
        }
        let root = element::parse_text(&text).map_err(|why| envelope::bad_format(self.op, why, &self.start))?;
        if envelope::root_error(self.op, &root).is_some() {
            self.refused = Some(Vec::new());
        }
        self.root = Some(root.into_owned());
        self.depth = 1;
        if empty {
            self.done = true;
            return self.end_of_root();
        }
        Ok(())
    }

    fn end_of_root(&mut self) -> Result<(), MeasoftError> {
        let Some(root) = self.root.take() else { return Ok(()) };
        match &self.refused {
            Some(text) => {
                let root = root.with_text(own_text(&self.decode(text)));
                envelope::root_error(self.op, &root).map_or(Ok(()), Err)
            }
            None => envelope::check(self.op, root).map(|_| ()),
        }
    }

    fn end_of_child(&mut self) -> Result<(), MeasoftError> {
        let Some(root) = &self.root else { return Ok(()) };
        if self.refused.is_some() {
            return Ok(());
        }
        match self.piece_name.as_slice() {
            b"error" => {
                let text = self.decode(&self.piece);
                let error = element::parse_text(&text).unwrap_or_default();
                envelope::child_error(self.op, &root.name, &error).map_or(Ok(()), Err)
            }
            b"order" if root.name == self.op.as_str() => {
                let bytes = std::mem::take(&mut self.piece);
                self.ready.push_back(self.raw(bytes.into()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The element name in the current piece of markup.
    fn token_name(&self) -> &[u8] {
        let inner = self.token.get(1..).unwrap_or_default();
        name_of(inner.strip_prefix(b"/").unwrap_or(inner))
    }

    fn keep_words(&mut self, bytes: &[u8]) {
        if let Some(collected) = &mut self.refused {
            let room = KEPT_START.saturating_sub(collected.len());
            collected.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Bytes that leave the lexer where it is.
    fn keep_run(&mut self, run: &[u8]) {
        self.keep_words(run);
        if self.lexer == Lexer::Text {
            if self.depth > 1 && self.has_room(run.len()) {
                self.piece.extend_from_slice(run);
            }
            return;
        }
        let room = KEPT_TOKEN.saturating_sub(self.token.len());
        self.token.extend_from_slice(&run[..run.len().min(room)]);
        if self.has_room(run.len()) {
            self.piece.extend_from_slice(run);
        }
    }

    fn keep(&mut self, byte: u8) {
        self.keep_words(&[byte]);
        if self.has_room(1) {
            self.piece.push(byte);
        }
    }

    /// Whether the current row may grow; a row that is too long keeps its start only.
    fn has_room(&mut self, more: usize) -> bool {
        if !self.piece_too_long && self.piece.len() + more > MAX_ROW {
            self.piece_too_long = true;
            self.piece.truncate(KEPT_START);
            self.piece.shrink_to_fit();
        }
        !self.piece_too_long
    }

    fn decode<'b>(&self, bytes: &'b [u8]) -> Cow<'b, str> {
        decode(bytes, self.windows_1251)
    }

    fn raw(&self, bytes: Bytes) -> RawRow {
        RawRow(Raw::Piece { bytes, windows_1251: self.windows_1251, too_long: self.piece_too_long })
    }
}

/// The text of an element of which this is the inside, and its end tag if that arrived; of what is
/// cut short or broken, the text before any markup.
fn own_text(inside: &str) -> String {
    let inside = inside.rfind("</").map_or(inside, |end| &inside[..end]);
    let whole = format!("<error>{inside}</error>");
    let text = element::parse_text(&whole).ok().and_then(|element| element.text().map(str::to_owned));
    text.unwrap_or_else(|| inside.split('<').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
