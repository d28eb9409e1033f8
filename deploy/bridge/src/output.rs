//! How commands answer: text for people, one JSON document for programs, failures in one
//! sentence on standard error.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use shared::arguments::USAGE;
use shared::bootstrap::{Ended, sentence};
use shared::config::BadConfig;

use crate::stdout::say;

/// Where and how an answer goes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// Exactly one document with `--json`, the text otherwise.
    pub fn answer(&self, document: &Value, text: impl FnOnce()) {
        if self.json {
            say!("{document}");
        } else {
            text();
        }
    }

    /// A table with a header line; columns as wide as they need to be.
    pub fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        self.rows(header, rows).iter().for_each(|line| say!("{line}"));
    }

    /// The lines of a table.
    pub fn rows(&self, header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
        let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        let below = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
        std::iter::once(bold(&line(header.to_vec()))).chain(below).collect()
    }
}

/// Whether people look at it.
pub fn is_colourful() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

pub fn bold(text: &str) -> String {
    if is_colourful() { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub fn dim(text: &str) -> String {
    if is_colourful() { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub fn green(text: &str) -> String {
    if is_colourful() { format!("\u{1b}[32m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub fn red(text: &str) -> String {
    if is_colourful() { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub fn yellow(text: &str) -> String {
    if is_colourful() { format!("\u{1b}[33m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// As RFC 4180 has it; what a spreadsheet would take for a formula is text.
pub fn cell(text: String) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// One line on standard error that says what is going on, rewritten in place. Silent when
/// a program listens or nobody looks.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    pub fn new(out: &Output) -> Self {
        Self { shown: !out.json && std::io::stderr().is_terminal() }
    }

    /// Says nothing to anybody.
    #[cfg(test)]
    pub const fn silent() -> Self {
        Self { shown: false }
    }

    pub fn say(&self, text: &str) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K{text}…");
        }
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}

/// Why a command did not do it.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 64, every problem on its own line.
    Config(BadConfig),
    /// Exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    pub fn sentence(text: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(text.into()))
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Config(_) => BadConfig::EXIT_CODE,
            Self::Usage(_) => USAGE,
            Self::Failed(_) => 1,
        }
    }

    /// The sentences, one a problem.
    fn sentences(&self) -> Vec<String> {
        match self {
            Self::Config(BadConfig(problems)) => problems.clone(),
            Self::Usage(text) => vec![text.clone()],
            Self::Failed(error) => vec![sentence(error)],
        }
    }

    /// What a program is told: `{"error":{"code":1,"kind":"failed","text":"…"}}`.
    pub fn document(&self) -> Value {
        let kind = match self {
            Self::Config(_) => "configuration",
            Self::Usage(_) => "usage",
            Self::Failed(_) => "failed",
        };
        json!({ "error": { "code": self.code(), "kind": kind, "text": self.sentences().join("\n") } })
    }

    /// Says it on standard error, to a program on standard output too, and gives the exit code.
    pub fn report(&self, out: &Output) -> ExitCode {
        let prefix = if matches!(self, Self::Config(_)) { "" } else { "bridge: " };
        for sentence in self.sentences() {
            let _ = writeln!(std::io::stderr(), "{prefix}{sentence}");
        }
        if out.json {
            say!("{}", self.document());
        }
        ExitCode::from(self.code())
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Config(bad) => Self::Config(bad),
            Ended::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<shared::store::StoreError> for Failure {
    fn from(error: shared::store::StoreError) -> Self {
        match error {
            shared::store::StoreError::WrongKey => Self::Config(BadConfig(vec![error.to_string()])),
            other => Self::Failed(other.into()),
        }
    }
}
