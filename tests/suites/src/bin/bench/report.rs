//! The table, on the terminal and as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Everything that was measured, a row for each figure.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<[String; 6]>,
    figures: Vec<Figure>,
}

/// A figure as it was measured, for a comparison.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: String,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn met(self, value: f64) -> &'static str {
        let met = match self {
            Self::None => return "",
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        };
        if met { "yes" } else { "NO" }
    }

    fn words(self, unit: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(limit) => format!("≤ {}", with_unit(limit, unit)),
            Self::AtLeast(limit) => format!("≥ {}", with_unit(limit, unit)),
        }
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let number = match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 || (v > 0.0 && v.fract() == 0.0) => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

impl Report {
    /// A figure with its own target.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &str, target: Target) {
        let name = self.keep(name, value, unit);
        let (figure, none) = (with_unit(value, unit), String::new());
        self.rows.push([name, figure, none.clone(), none, target.words(unit), target.met(value).to_owned()]);
    }

    /// A figure beside a baseline; the target is one of the ratio.
    pub fn compared(&mut self, name: impl Into<String>, value: f64, baseline: f64, unit: &str, target: Target) {
        let name = self.keep(name, value, unit);
        let ratio = value / baseline;
        let (figure, baseline) = (with_unit(value, unit), with_unit(baseline, unit));
        let met = target.met(ratio).to_owned();
        self.rows.push([name, figure, baseline, format!("{ratio:.2}"), target.words(""), met]);
    }

    fn keep(&mut self, name: impl Into<String>, value: f64, unit: &str) -> String {
        let name = name.into();
        self.figures.push(Figure { name: name.clone(), value, unit: unit.to_owned() });
        name
    }

    /// The figures alone, a JSON document a line.
    pub fn values(&self) -> anyhow::Result<String> {
        let lines: Result<Vec<String>, _> = self.figures.iter().map(serde_json::to_string).collect();
        Ok(lines?.join("\n"))
    }

    /// The table as Markdown.
    pub fn table(&self) -> String {
        let mut rows = vec![["name", "figure", "baseline", "ratio", "target", "met"].map(str::to_owned)];
        rows.extend(self.rows.iter().cloned());
        let widths: [usize; 6] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        let mut out = String::new();
        for (n, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
            if n == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                let _ = writeln!(out, "| {} |", rules.join(" | "));
            }
        }
        out
    }

    /// Writes the report.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().context("a report needs a folder")?;
        std::fs::create_dir_all(folder)?;
        let mut text = String::from("# Benchmarks\n\n");
        let _ = writeln!(text, "Made by `./tests/run bench --report` on {}.\n", machine());
        text.push_str(
            "Everything runs on this one machine and shares its cores: the load, the product, RabbitMQ, PostgreSQL \
             and both simulators. A baseline is measured in the same run, in turn with the figure beside it. CPU time is \
             what the system counts for the process alone.\n\n",
        );
        text.push_str(&self.table());
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// The machine in a few words.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let memory = read("/proc/meminfo");
    let kib = memory.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    format!("{cpus} × {model}, {} GiB, {}", (kib + (1 << 19)) >> 20, &jiff::Timestamp::now().to_string()[..10])
}
