//! The findings for people.

use std::collections::BTreeSet;

use crate::doctor::causes::{causes, numbers};
use crate::doctor::finding::{Area, Finding, Level};
use crate::output::{bold, dim, green, red, yellow};

fn one(level: Level, what: &str, remedy: &str) -> impl Iterator<Item = String> {
    let mark = match level {
        Level::Ok => green("ok   "),
        Level::Warning => yellow("warn "),
        Level::Error => red("error"),
    };
    let remedy = (!remedy.is_empty()).then(|| format!("        {} {remedy}", dim("→")));
    [Some(format!("  {mark} {what}")), remedy].into_iter().flatten()
}

/// A line for each, below the name of its area; of several integrations, what they have in common
/// is said once.
pub fn lines(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let of_integrations: BTreeSet<i64> = findings.iter().filter_map(|finding| finding.integration).collect();
    let several = of_integrations.len() > 1;
    let mut last = None;
    for finding in findings.iter().filter(|f| !(several && f.area == Area::Integration && f.integration.is_some())) {
        let heading = match finding.integration {
            Some(id) => format!("{} {id}", finding.area.as_str()),
            None => finding.area.as_str().to_owned(),
        };
        if last.as_ref() != Some(&heading) {
            lines.push(bold(&heading));
            last = Some(heading);
        }
        lines.extend(one(finding.level, &finding.what, &finding.remedy));
    }
    if several {
        lines.push(bold(&format!("{} integrations", of_integrations.len())));
        lines.extend(in_common(findings));
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    lines.push(match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => green("Everything looks well."),
        (errors, warnings) => format!("{errors} error(s), {warnings} warning(s)."),
    });
    lines
}

/// A line for each cause, with whose it is.
fn in_common(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let (causes, good) = causes(findings);
    for cause in &causes {
        let whose = numbers(&cause.integrations);
        let finding = cause.finding;
        let what = match (cause.alike, finding.integration) {
            (false, Some(first)) => format!("[{whose}] {} (so of {first}; alike of the others)", finding.what),
            _ => format!("[{whose}] {}", finding.what),
        };
        lines.extend(one(finding.level, &what, &finding.remedy));
    }
    if good > 0 {
        let what = format!("{good} other things are well; `bridge doctor ID` lists those of one");
        lines.extend(one(Level::Ok, &what, ""));
    }
    lines
}
