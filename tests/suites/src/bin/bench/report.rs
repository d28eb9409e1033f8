//! The table, on the terminal and as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// One figure.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    figure: String,
    baseline: String,
    ratio: String,
    target: String,
    met: Option<bool>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
    plots: Vec<(String, String)>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
        }
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
        self.lines.push(Line {
            name: name.into(),
            figure: with_unit(value, unit),
            baseline: String::new(),
            ratio: String::new(),
            target: target.words(unit),
            met: target.met(value),
        });
    }

    /// A figure beside a baseline; the target is one of the ratio.
    pub fn compared(&mut self, name: impl Into<String>, value: f64, baseline: f64, unit: &str, target: Target) {
        let ratio = value / baseline;
        self.lines.push(Line {
            name: name.into(),
            figure: with_unit(value, unit),
            baseline: with_unit(baseline, unit),
            ratio: format!("{ratio:.2}"),
            target: target.words(""),
            met: target.met(ratio),
        });
    }

    /// A plot to be written beside the report.
    pub fn plot(&mut self, file: &str, svg: String) {
        self.plots.push((file.to_owned(), svg));
    }

    /// The table as Markdown.
    pub fn table(&self) -> String {
        let mut rows: Vec<[String; 6]> =
            vec![["name", "figure", "baseline", "ratio", "target", "met"].map(str::to_owned)];
        for line in &self.lines {
            let met = line.met.map_or("", |met| if met { "yes" } else { "NO" });
            rows.push([
                line.name.clone(),
                line.figure.clone(),
                line.baseline.clone(),
                line.ratio.clone(),
                line.target.clone(),
                met.to_owned(),
            ]);
        }
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

    /// Writes the report and its plots.
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
        for (file, svg) in &self.plots {
            std::fs::write(folder.join(file), svg)?;
            let _ = write!(text, "\n![{}]({file})\n", file.trim_end_matches(".svg").replace('-', " "));
        }
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
