//! What the doctor says: one thing that was looked at, and what to do about it.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    Config,
    Store,
    Broker,
    Integration,
    Clock,
}

impl Area {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Store => "store",
            Self::Broker => "broker",
            Self::Integration => "integration",
            Self::Clock => "clock",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub area: Area,
    /// Whose it is, when it is one integration's.
    pub integration: Option<i64>,
    pub what: String,
    /// What to do; empty when all is well.
    pub remedy: String,
}

/// Findings of an area, as they are made.
#[derive(Debug)]
pub struct Findings {
    area: Area,
    pub all: Vec<Finding>,
}

impl Findings {
    pub const fn of(area: Area) -> Self {
        Self { area, all: Vec::new() }
    }

    pub fn add(&mut self, level: Level, what: String, remedy: String) {
        self.all.push(Finding { level, area: self.area, integration: None, what, remedy });
    }
}

/// One row: how bad it is, what is found, and what to do about it (nothing when all is well).
macro_rules! tell {
    ($findings:expr, $level:ident: $what:literal $(, $word:expr)*) => {
        $findings.add($crate::doctor::finding::Level::$level, format!($what $(, $word)*), String::new())
    };
    ($findings:expr, $level:ident: $what:literal $(, $word:expr)* => $remedy:literal $(, $name:expr)*) => {
        $findings.add(
            $crate::doctor::finding::Level::$level,
            format!($what $(, $word)*),
            format!($remedy $(, $name)*),
        )
    };
}
pub(crate) use tell;
