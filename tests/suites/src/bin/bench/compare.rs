//! Today's programs beside those of another commit, in turns within one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::measure::{median, say};
use crate::report::Figure;

/// What both sides came to, by the figure's name, a value for each turn.
#[derive(Debug, Default)]
struct Sides {
    unit: String,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// Runs the parts `turns` times with each side's programs, the sides changing places, and answers
/// the table. Ratios are ours to theirs, turn by turn.
pub fn run(parts: &[String], theirs: &Path, turns: usize) -> anyhow::Result<String> {
    let ours = harness::programs();
    let mut figures: BTreeMap<String, Sides> = BTreeMap::new();
    for turn in 0..turns {
        let mut sides = [(&*ours, true), (theirs, false)];
        if turn % 2 == 1 {
            sides.reverse();
        }
        for (programs, is_ours) in sides {
            say(format_args!("turn {} of {turns}: {}", turn + 1, if is_ours { "ours" } else { "theirs" }));
            for Figure { name, value, unit } in one(parts, programs)? {
                let sides = figures.entry(name).or_default();
                sides.unit = unit;
                if is_ours { &mut sides.ours } else { &mut sides.theirs }.push(value);
            }
        }
    }
    Ok(table(&figures))
}

/// One turn of one side, in a process of its own: its figures.
fn one(parts: &[String], programs: &Path) -> anyhow::Result<Vec<Figure>> {
    anyhow::ensure!(programs.join("worker").exists(), "{} holds no programs", programs.display());
    let file = std::env::temp_dir().join(format!("bridge-bench-{}.jsonl", std::process::id()));
    let status = Command::new(std::env::current_exe()?)
        .args(parts)
        .arg("--values")
        .arg(&file)
        .env(harness::PROGRAMS, programs)
        .stdout(std::process::Stdio::null())
        .status()?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("no figures: the turn ended with {status}"))?;
    let _ = std::fs::remove_file(&file);
    anyhow::ensure!(status.success(), "the turn ended with {status}");
    text.lines().map(|line| serde_json::from_str(line).context("a figure")).collect()
}

fn table(figures: &BTreeMap<String, Sides>) -> String {
    let mut rows =
        vec!["| name | ours | theirs | ratio | turns |".to_owned(), "| --- | --- | --- | --- | --- |".to_owned()];
    for (name, sides) in figures {
        let ratios: Vec<f64> = sides.ours.iter().zip(&sides.theirs).map(|(ours, theirs)| ours / theirs).collect();
        rows.push(format!(
            "| {name} | {} {unit} | {} {unit} | {} | {} |",
            spread(&sides.ours),
            spread(&sides.theirs),
            spread(&ratios),
            ratios.len(),
            unit = sides.unit,
        ));
    }
    rows.join("\n")
}

/// `median (least–most)`.
fn spread(values: &[f64]) -> String {
    let [least, most] = [f64::min, f64::max].map(|pick| values.iter().copied().reduce(pick).unwrap_or(f64::NAN));
    let short = |value: f64| if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    format!("{} ({}–{})", short(median(values.to_vec())), short(least), short(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_turns_and_of_the_middle_one() {
        let sides = Sides { unit: "orders/s".to_owned(), ours: vec![600.0, 900.0, 610.0], theirs: vec![100.0; 3] };
        let table = table(&BTreeMap::from([("statuses".to_owned(), sides)]));
        let row = table.lines().last().expect("a row");
        assert_eq!(row, "| statuses | 610 (600–900) orders/s | 100 (100–100) orders/s | 6.100 (6.000–9.000) | 3 |");
    }
}
