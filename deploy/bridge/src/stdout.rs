//! The one way to standard output. Whoever stops reading it (`| head`) ends it quietly: what is
//! written after that goes nowhere, and what the command does besides goes on to its end.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why nothing is written any more.
static BROKEN: Mutex<Option<io::Error>> = Mutex::new(None);

/// A line for people or programs.
macro_rules! say {
    () => { $crate::stdout::text("\n") };
    ($($words:tt)*) => { $crate::stdout::line(format_args!($($words)*)) };
}
pub(crate) use say;

pub fn line(words: fmt::Arguments<'_>) {
    text(&format!("{words}\n"));
}

/// As it is, without an end of line.
pub fn text(words: &str) {
    let mut broken = BROKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if broken.is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    *broken = out.write_all(words.as_bytes()).and_then(|()| out.flush()).err();
}

fn is_broken() -> bool {
    BROKEN.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Waits until nobody reads any more: a story need not be told on then.
pub async fn closed() {
    while !is_broken() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The command's exit code, unless what it had to say could not be written for another reason
/// than that nobody reads it: a full disk behind `>` is told.
pub fn finish(code: ExitCode) -> ExitCode {
    match BROKEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "bridge: standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}
