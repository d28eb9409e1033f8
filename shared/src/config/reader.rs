//! Settings read one by one, with every problem noted on the way.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::source::Source;

/// Gathers problems instead of stopping at the first.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: Vec<String>,
    /// Every name that was asked for.
    pub(super) known: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new(), known: BTreeSet::new() }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.known.insert(name.to_owned());
        self.source.get(name).unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        })
    }

    pub(super) fn parsed<T>(&mut self, name: &str, default: T, what: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        match self.text(name) {
            None => default,
            Some(text) => parse(&text).unwrap_or_else(|| {
                self.problems.push(format!("{name}: «{text}» is not {what}"));
                default
            }),
        }
    }

    /// A text that meets a condition.
    pub(super) fn word(&mut self, name: &str, default: &str, what: &str, is_fine: impl Fn(&str) -> bool) -> String {
        self.parsed(name, default.to_owned(), what, |text| is_fine(text).then(|| text.to_owned()))
    }

    /// A text that something else can read, and what it says when it cannot.
    pub(super) fn checked<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<String> {
        let text = self.text(name)?;
        if let Err(problem) = parse(&text) {
            self.problems.push(format!("{name}: {problem}"));
        }
        Some(text)
    }

    pub(super) fn number(&mut self, name: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &what, |text| text.parse().ok().filter(|n| range.contains(n)))
    }

    pub(super) fn seconds(&mut self, name: &str, default: u32) -> Duration {
        self.parsed(name, Duration::from_secs(u64::from(default)), "a number of seconds above zero", positive_seconds)
    }

    pub(super) fn days(&mut self, name: &str, default: u32) -> Duration {
        let days = |text: &str| text.trim().parse().ok().filter(|days| (0.0..36_500.0).contains(days) && *days > 0.0);
        let day = Duration::from_secs(24 * 3600);
        self.parsed(name, day * default, "a number of days above zero", |text| days(text).map(|days| day.mul_f64(days)))
    }

    pub(super) fn address(&mut self, name: &str, default: &str) -> SocketAddr {
        let default = default.parse().expect("the defaults are addresses");
        self.parsed(name, default, "an address like 127.0.0.1:8080", |text| text.parse().ok())
    }
}

/// Seconds with an optional fraction (tests use small ones), above zero.
pub(super) fn positive_seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds > 0.0 && seconds < 1e8).then(|| Duration::from_secs_f64(seconds))
}
