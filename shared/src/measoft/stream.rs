//! Answers of `statusreq` read row by row in bounded memory: the first `ONLY_LAST` of an
//! account can hold every order it ever had (measoft-api.md §11.2).

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use memchr::{memchr, memchr3};

use crate::domain::OrderNo;
use crate::measoft::class::{Class, Verdict};
use crate::measoft::envelope;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::exchange::Incoming;
use crate::measoft::op::Op;
use crate::measoft::wire::element::{self, Element, Unreadable};
use crate::measoft::wire::statusreq::{PoisonRow, StatusRow, read_status_row};

/// A row, or why it is set aside. Rows after a poisoned one still count.
pub type Row = Result<StatusRow, PoisonRow>;

/// Longest row accepted; 1000 places and as many lines stay well below.
const MAX_ROW: usize = 2 * 1024 * 1024;
/// The largest part of a full row (§10.2), and nothing of it is read: it is ourselves.
const UNREAD: &str = "sender";
/// Longest prologue and root tag accepted.
const MAX_HEAD: usize = 64 * 1024;
/// How much is kept of an answer, of its error text and of a row that is too long.
const KEPT_START: usize = 4 * 1024;
/// How much of a piece of markup is kept: enough for its name.
const KEPT_TOKEN: usize = 64;

/// The rows of one answer, in the order in which they were sent.
pub struct StatusStream {
    source: Source,
}

enum Source {
    Http(Box<(Incoming, RowReader)>),
    Given(VecDeque<Row>),
}

/// A row as it came. Reading it is most of the work of a sync and may be done on another
/// thread than the one that waits for the next.
pub struct RawRow(Raw);

enum Raw {
    Piece { bytes: Bytes, windows_1251: bool, too_long: bool },
    Read(Box<Row>),
}

impl RawRow {
    /// Parses it.
    ///
    /// # Errors
    /// [`PoisonRow`].
    pub fn read(self) -> Row {
        let (bytes, windows_1251, too_long) = match self.0 {
            Raw::Read(row) => return *row,
            Raw::Piece { bytes, windows_1251, too_long } => (bytes, windows_1251, too_long),
        };
        let why = if too_long {
            "the row is too long".to_owned()
        } else {
            match element::parse_piece(&decode(&bytes, windows_1251), Some(UNREAD)) {
                Ok(order) => return read_status_row(&order),
                Err(why) => why.to_string(),
            }
        };
        // The numbers in the start tag of a row that cannot be read.
        let end = memchr(b'>', &bytes).map_or(bytes.len(), |at| at + 1);
        let mut tag = decode(&bytes[..end], windows_1251).into_owned();
        if !tag.ends_with("/>") {
            tag.push_str("</order>");
        }
        let order = element::parse_text(&tag).unwrap_or_default();
        let (orderno, ordercode) = (order.attribute("orderno").map(OrderNo::known), order.owned_attribute("ordercode"));
        Err(PoisonRow { orderno, ordercode, why })
    }
}

impl std::fmt::Debug for RawRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawRow")
    }
}

fn decode(bytes: &[u8], windows_1251: bool) -> Cow<'_, str> {
    if windows_1251 { Cow::Owned(element::windows_1251(bytes)) } else { element::utf_8(bytes) }
}

impl StatusStream {
    /// A stream without a server behind it, for tests and fakes of the port.
    #[must_use]
    pub fn of(rows: Vec<Row>) -> Self {
        Self { source: Source::Given(rows.into()) }
    }

    /// Reads until the first row or the end, so that an answer that is an error is one
    /// from the start.
    pub(crate) async fn begin(incoming: Incoming, op: Op, limit: u64) -> Result<Self, MeasoftError> {
        let mut both = Box::new((incoming, RowReader::new(op, limit)));
        let (incoming, rows) = both.as_mut();
        while rows.ready.is_empty() && !rows.done {
            advance(incoming, rows).await?;
        }
        Ok(Self { source: Source::Http(both) })
    }

    /// The next row; `None` after the last one of a complete answer.
    ///
    /// # Errors
    /// [`MeasoftError`] when the answer breaks off or turns out to be an error. Nothing of
    /// it may be acknowledged then.
    pub async fn next(&mut self) -> Result<Option<RawRow>, MeasoftError> {
        match &mut self.source {
            Source::Given(rows) => Ok(rows.pop_front().map(|row| RawRow(Raw::Read(Box::new(row))))),
            Source::Http(both) => loop {
                let (incoming, rows) = both.as_mut();
                if let Some(row) = rows.ready.pop_front() {
                    return Ok(Some(row));
                }
                if rows.done {
                    incoming.finish(Ok(()));
                    return Ok(None);
                }
                advance(incoming, rows).await?;
            },
        }
    }

    /// Reports the exchange as failed for a reason that lies in a row.
    pub(crate) fn give_up(&mut self, error: MeasoftError) -> MeasoftError {
        if let Source::Http(both) = &mut self.source {
            both.0.finish(Err(&error));
        }
        error
    }
}

async fn advance(incoming: &mut Incoming, rows: &mut RowReader) -> Result<(), MeasoftError> {
    let step = match incoming.chunk().await {
        Ok(Some(chunk)) => rows.push(&chunk),
        Ok(None) => rows.finish(),
        Err(error) => Err(error),
    };
    if let Err(error) = &step {
        incoming.finish(Err(error));
    }
    step
}

impl std::fmt::Debug for StatusStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatusStream")
    }
}

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
    /// The root carries an error: its text is collected, its children are not read.
    refused: Option<Vec<u8>>,
    windows_1251: bool,
    ready: VecDeque<RawRow>,
    done: bool,
}

/// The length of the `order` that these bytes begin with. `None` when its end is not here, and
/// when there is anything in it that the lexer below has to look at: comments, CDATA, a row in
/// the row. Otherwise both find the same end, this one without a state for each byte.
fn usual_row(bytes: &[u8]) -> Option<usize> {
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
fn name_of(markup: &[u8]) -> &[u8] {
    let end = markup.iter().position(|byte| ends_name(*byte));
    &markup[..end.unwrap_or(markup.len())]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lexer {
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
enum Token {
    Open,
    Empty,
    Close,
    Other,
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
                let root = root.with_text(self.decode(text).into_owned());
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

    fn keep_text(&mut self, text: &[u8]) {
        if self.depth > 1 {
            if self.has_room(text.len()) {
                self.piece.extend_from_slice(text);
            }
        } else if let Some(collected) = &mut self.refused {
            let room = KEPT_START.saturating_sub(collected.len());
            collected.extend_from_slice(&text[..text.len().min(room)]);
        }
    }

    /// Bytes that leave the lexer where it is.
    fn keep_run(&mut self, run: &[u8]) {
        if self.lexer == Lexer::Text {
            return self.keep_text(run);
        }
        let room = KEPT_TOKEN.saturating_sub(self.token.len());
        self.token.extend_from_slice(&run[..run.len().min(room)]);
        if self.has_room(run.len()) {
            self.piece.extend_from_slice(run);
        }
    }

    fn keep(&mut self, byte: u8) {
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

impl Lexer {
    /// How many of the next bytes change nothing: most bytes of an answer are looked for in
    /// bulk, not looked at one by one.
    fn run(self, bytes: &[u8]) -> usize {
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

    fn step(&mut self, byte: u8) -> Option<Token> {
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

/// Whether a refusal says only that there is nothing to report (§15.2, code 11).
pub(crate) fn means_nothing_found(error: &MeasoftError) -> bool {
    matches!(error, MeasoftError::Refused { verdict: Verdict { class: Class::NotFound, .. }, .. })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Kopecks;
    use crate::measoft::class::Class;

    const LIMIT: u64 = 64 * 1024 * 1024;

    /// Feeds a body in pieces of `step` bytes.
    fn read(body: &[u8], step: usize) -> Result<Vec<Row>, MeasoftError> {
        let mut rows = RowReader::new(Op::StatusReq, LIMIT);
        for chunk in body.chunks(step.max(1)) {
            rows.push(&Bytes::copy_from_slice(chunk))?;
        }
        rows.finish()?;
        Ok(std::iter::from_fn(|| rows.pop()).collect())
    }

    /// `ok` or `poison` with the number of each row.
    fn summary(body: &str) -> Vec<String> {
        let rows = read(body.as_bytes(), 7).expect("a complete answer");
        let name = |number: Option<&OrderNo>| number.map_or("?", OrderNo::as_str).to_owned();
        rows.iter()
            .map(|row| match row {
                Ok(row) => format!("ok {}", name(row.orderno.as_ref())),
                Err(poison) => format!("poison {}", name(poison.orderno.as_ref())),
            })
            .collect()
    }

    #[test]
    fn rows_are_the_same_however_the_bytes_are_cut() {
        let body = "\u{feff}<?xml version='1.0'?><!-- <order/> --><statusreq count=\"2\" note='a>b'>\
            <order orderno=\"1\"><deliveredto><![CDATA[</order>]]></deliveredto><!-- </order> --></order>\
            <other><order orderno=\"x\"/></other><?pi </order>?>\
            <order orderno='2' note=\"/>\"/></statusreq>  ";
        let whole = read(body.as_bytes(), body.len()).expect("rows");
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].as_ref().expect("row").deliveredto.as_deref(), Some("</order>"));
        for step in 1..40 {
            assert_eq!(read(body.as_bytes(), step).expect("rows"), whole, "pieces of {step}");
        }
    }

    #[test]
    fn a_row_that_is_here_whole_is_taken_at_once_and_read_the_same() {
        let body = "<statusreq count=\"4\"><order orderno=\"1\"><status>NEW</status><items/></order>\n\
            <order orderno=\"2\"><order>x</order><price>1</price></order><order orderno=\"3\"/>\
            <order orderno=\"4\"><deliveredto><!-- </order> -->Орлова</deliveredto></order><ordered/></statusreq>";
        let whole = read(body.as_bytes(), body.len()).expect("rows");
        assert_eq!(whole.len(), 4);
        assert_eq!(whole, read(body.as_bytes(), 1).expect("rows"));
        let mut rows = RowReader::new(Op::StatusReq, LIMIT);
        rows.push(&Bytes::from_static(b"<statusreq>")).expect("begins");
        assert_eq!(rows.whole_row(b"<order orderno=\"1\"><a/></order>tail"), Some(31));
        for unusual in [
            "<order orderno=\"1\"><a/></orde",
            "<order orderno=\"1\"/><order></order>",
            "<order><a><![CDATA[</order>]]></a></order>",
            "<order><?pi </order>?></order>",
            "<orders></order>",
            "text<order></order>",
            "<order a=\"</order>",
            "<order a=\"1\"><b </order>",
            "<order/></order>",
        ] {
            assert_eq!(rows.whole_row(unusual.as_bytes()), None, "{unusual}");
        }
    }

    #[test]
    fn what_the_sender_sent_of_himself_is_read_over() {
        let rows = read(
            b"<statusreq><order orderno=\"1\"><sender><town>x</town><sender/></sender><price>5</price></order>\
            <order orderno=\"2\"><sender><a></sender></order><order orderno=\"3\"/></statusreq>",
            4096,
        )
        .expect("rows");
        assert_eq!(rows[0].as_ref().expect("row").price, Some(Kopecks(500)));
        assert_eq!(rows[1].as_ref().expect_err("poison").orderno, Some(OrderNo::known("2")));
        assert!(rows[2].is_ok());
    }

    #[test]
    fn a_poisoned_row_costs_nothing_but_itself() {
        for poison in [
            "<a>",
            "<a><b></a>",
            "</a>",
            "</a></b></c>",
            "<address>1 < 2</address>",
            "<address>1 <2</address>",
            "<a x=1/>",
            "<address></addres>",
        ] {
            let body = format!(
                "<statusreq><order orderno=\"1\"/><order orderno=\"2\">{poison}</order><order orderno=\"3\"/></statusreq>"
            );
            assert_eq!(summary(&body), ["ok 1", "poison 2", "ok 3"], "{poison}");
        }
    }

    #[test]
    fn a_side_field_that_cannot_be_read_withholds_neither_status_nor_sum_nor_payment_type() {
        for (side, noted) in [
            ("<items><item code=\"1\" extcode=\"a\" quantity=\"half\"/></items>", "item quantity"),
            ("<items><item code=\"1\" extcode=\"a\" quantity=\"0.5\"/></items>", "item quantity"),
            ("<items><item retprice=\"—\"/></items>", "item retprice"),
            ("<items><item mass=\"н/д\"/></items>", "mass of an item"),
            ("<items><item returns=\"1,5\"/></items>", "returns of an item"),
            ("<packages><package mass=\"?\"/></packages>", "package mass"),
            ("<weight>н/д</weight>", "weight"),
            ("<quantity>два</quantity>", "quantity"),
            ("<inshprice>нет</inshprice>", "inshprice"),
            ("<deliveryprice total=\"по договору\"/>", "deliveryprice total"),
            ("<deliveryprice delivery=\"-\"/>", "deliveryprice delivery"),
            ("<deliveryprice return=\"-\"/>", "deliveryprice return"),
            ("<statushistory><status createtimegmt=\"02.09.2026\">NEW</status></statushistory>", "createtimegmt"),
        ] {
            let body = format!(
                "<statusreq><order orderno=\"1\"><status createtimegmt=\"2026-09-02 12:41:12\">COMPLETE</status>\
                 <paytype>CARD</paytype><price>540.50</price>{side}</order></statusreq>"
            );
            let rows = read(body.as_bytes(), 7).expect("a complete answer");
            let row = rows[0].as_ref().expect("the row is read");
            let status = row.status.as_ref().expect("a status");
            assert_eq!((status.code.as_str(), status.createtime_gmt.is_some()), ("COMPLETE", true), "{side}");
            assert_eq!((row.paytype.as_deref(), row.price), (Some("CARD"), Some(Kopecks(54_050))), "{side}");
            assert_eq!(row.unreadable, [noted], "{side}");
        }
        // Of a sum and of a moment that cannot be read the rest counts all the same.
        let body = "<statusreq><order orderno=\"1\"><status createtimegmt=\"02.09.2026 12:41\">COMPLETE</status>\
                    <price>много</price><paytype>CASH</paytype></order></statusreq>";
        let rows = read(body.as_bytes(), 7).expect("a complete answer");
        let row = rows[0].as_ref().expect("the row is read");
        let status = row.status.as_ref().expect("a status");
        assert_eq!((status.code.as_str(), status.createtime_gmt, row.price), ("COMPLETE", None, None));
        assert_eq!(row.unreadable, ["createtimegmt", "price"]);
        assert!(row.items.is_empty() && row.shows_lines());
    }

    #[test]
    fn a_row_without_any_number_and_one_that_is_too_long_are_poisoned() {
        let long = format!("<order orderno=\"2\"><a>{}</a></order>", "я".repeat(MAX_ROW));
        let body = format!("<statusreq><order/>{long}<order orderno=\"3\"/></statusreq>");
        let rows = read(body.as_bytes(), 8192).expect("rows");
        assert_eq!(rows[0].as_ref().expect_err("poison").why, "the row has no number at all");
        assert_eq!(rows[1].as_ref().expect_err("poison").orderno, Some(OrderNo::known("2")));
        assert!(rows[2].is_ok());
    }

    #[test]
    fn an_answer_that_breaks_off_is_never_complete() {
        let body =
            "<statusreq count=\"2\"><order orderno=\"1\"><price>1</price></order><order orderno=\"2\"/></statusreq>";
        for end in 1..body.len() {
            let error = read(&body.as_bytes()[..end], 16).expect_err("cut");
            assert_eq!(error.class(), Class::Transient, "cut at {end}: {error}");
        }
    }

    #[test]
    fn answers_that_are_errors_are_told_apart_like_small_ones() {
        for (body, reason) in [
            ("<request><error error=\"1\" errormsg=\"authorization error\"/></request>", "auth_failed"),
            ("<statusreq error=\"25\" errormsg=\"authorization error\"/>", "auth_failed"),
            ("<statusreq error=\"13\">MySQL is gone</statusreq>", "courier_database_error"),
            ("<statusreq><error error=\"13\"/></statusreq>", "courier_database_error"),
            ("<request><error>'&lt;/orderno&gt;' expected</error></request>", "bad_xml"),
            ("<neworder/>", "bad_format"),
            ("<request></request>", "bad_format"),
            ("<!DOCTYPE html><html lang=\"ru\"><body>", "bad_format"),
            ("<html><body></body></html>", "bad_format"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><statusreq>&b;</statusreq>", "bad_format"),
            ("Service busy", "bad_format"),
            ("", "bad_format"),
        ] {
            let error = read(body.as_bytes(), 5).expect_err("an error");
            assert_eq!(error.reason(), reason, "{body}: {error}");
            let whole = envelope::open(Op::StatusReq, body.as_bytes()).expect_err("an error");
            assert_eq!(whole.class(), error.class(), "{body}");
        }
    }

    #[test]
    fn an_html_page_shows_its_beginning() {
        let error = read(b"<!DOCTYPE html><html><title>Maintenance</title></html>", 64).expect_err("page");
        assert!(
            matches!(error, MeasoftError::BadFormat { html: true, excerpt, .. } if excerpt.contains("Maintenance"))
        );
    }

    #[test]
    fn nothing_changed_is_an_empty_answer() {
        assert_eq!(read(b"<statusreq count=\"0\"/>", 3), Ok(Vec::new()));
        assert_eq!(read(b"<statusreq count=\"0\"></statusreq>", 3), Ok(Vec::new()));
    }

    #[test]
    fn windows_1251_is_read_in_a_stream_too() {
        let mut body =
            b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><statusreq><order orderno=\"1\"><deliveredto>".to_vec();
        body.extend_from_slice(&[0xce, 0xf0, 0xeb, 0xee, 0xe2, 0xe0]);
        body.extend_from_slice(b"</deliveredto></order></statusreq>");
        let rows = read(&body, 10).expect("rows");
        assert_eq!(rows[0].as_ref().expect("row").deliveredto.as_deref(), Some("Орлова"));
    }

    #[test]
    fn an_endless_answer_is_given_up() {
        let mut rows = RowReader::new(Op::StatusReq, 1000);
        rows.push(&Bytes::from_static(b"<statusreq>")).expect("fits");
        let error = rows.push(&Bytes::from_static(&[b' '; 1000])).expect_err("too large");
        assert_eq!(error, MeasoftError::TooLarge { op: Op::StatusReq, limit: 1000 });
    }

    #[test]
    fn a_long_answer_is_read_in_bounded_memory() {
        let mut rows = RowReader::new(Op::StatusReq, LIMIT);
        rows.push(&Bytes::from_static(b"<statusreq>")).expect("begins");
        for number in 0..20_000 {
            let row = format!("<order orderno=\"{number}\"><price>10.50</price></order>\n");
            rows.push(&Bytes::copy_from_slice(row.as_bytes())).expect("a row");
            assert!(rows.pop().expect("ready").is_ok());
            assert!(rows.piece.capacity() < 4096 && rows.head.len() < 100);
        }
        rows.push(&Bytes::from_static(b"</statusreq>")).expect("ends");
        assert_eq!(rows.finish(), Ok(()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_stream(body in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..20) {
            let _ = read(&body, step);
        }

        #[test]
        fn arbitrary_rows_end_where_the_lexer_says(rows in "(<order( a=[\"'][^\"']{0,3}[\"'])?/?>|</order ?>|<order>|<a>|</a>|<a b=\"|<|>|\"|'|/|=|<!-- -->|<!\\[CDATA\\[|\\]\\]>|<\\?x|x|\n){0,25}") {
            let body = format!("<statusreq><order>{rows}</order></statusreq>");
            prop_assert_eq!(read(body.as_bytes(), body.len()), read(body.as_bytes(), 1));
        }

        #[test]
        fn arbitrary_markup_never_panics_the_stream(body in "(<statusreq>)?([<>/&;a=\"' !?-]|<order |</order>|<!\\[CDATA\\[|\\]\\]>|<a>|</a>){0,40}", step in 1_usize..20) {
            let _ = read(body.as_bytes(), step);
        }
    }
}
