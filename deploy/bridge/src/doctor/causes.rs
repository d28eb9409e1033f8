//! What is said of many integrations in one line each: a cause, and whose it is.

use crate::doctor::finding::{Area, Finding, Level};

/// Findings that differ in numbers and addresses only.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The first of them, for all.
    pub finding: &'a Finding,
    /// Whose it is, ascending.
    pub integrations: Vec<i64>,
    /// All say the very same.
    pub alike: bool,
}

/// The words of a finding without what is its integration's own: numbers, and addresses.
fn plain(text: &str) -> String {
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "(),;«»`".contains(c)).map(|word| {
        if word.contains("://") {
            return "URL".to_owned();
        }
        let mut plain = String::new();
        for c in word.chars() {
            match c.is_ascii_digit() {
                true if plain.ends_with('0') => {}
                true => plain.push('0'),
                false => plain.push(c),
            }
        }
        plain
    });
    words.collect()
}

/// The findings of the integrations by their causes, the worst first; what is well is one line.
/// The second is how many things were looked at that are.
pub fn causes(findings: &[Finding]) -> (Vec<Cause<'_>>, usize) {
    let of_integrations = findings.iter().filter(|f| f.area == Area::Integration && f.integration.is_some());
    let (good, bad): (Vec<&Finding>, Vec<&Finding>) = of_integrations.partition(|f| f.level == Level::Ok);
    let mut causes: Vec<(String, Cause<'_>)> = Vec::new();
    for finding in bad {
        let key = format!("{:?} {} {}", finding.level, plain(&finding.what), plain(&finding.remedy));
        let id = finding.integration.unwrap_or_default();
        match causes.iter_mut().find(|(other, _)| *other == key) {
            Some((_, cause)) => {
                cause.alike &= cause.finding.what == finding.what;
                if !cause.integrations.contains(&id) {
                    cause.integrations.push(id);
                }
            }
            None => causes.push((key, Cause { finding, integrations: vec![id], alike: true })),
        }
    }
    let mut causes: Vec<Cause<'_>> = causes.into_iter().map(|(_, cause)| cause).collect();
    causes.sort_by_key(|cause| (std::cmp::Reverse(cause.finding.level), std::cmp::Reverse(cause.integrations.len())));
    for cause in &mut causes {
        cause.integrations.sort_unstable();
    }
    (causes, good.len())
}

/// `1, 3–7, 9`.
pub fn numbers(ids: &[i64]) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let words = runs.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}–{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::doctor::finding::{Findings, tell};

    fn of(id: i64, say: Findings) -> Vec<Finding> {
        say.all.into_iter().map(|finding| Finding { integration: Some(id), ..finding }).collect()
    }

    #[test]
    fn one_cause_is_one_line_whosever_it_is_and_the_worst_comes_first() {
        let mut findings = Vec::new();
        for id in 1..=20 {
            let mut say = Findings::of(Area::Integration);
            tell!(say, Ok: "RetailCRM accepts the API key (https://s{id}.example)");
            tell!(say, Warning: "no payment type counts" => "run `bridge integration edit {id} --set x=y`");
            if [2, 3, 4, 9].contains(&id) {
                tell!(say, Error: "{id} dead letters are open (https://s{id}.example)"
                    => "`bridge dead list --integration {id}`");
            }
            findings.extend(of(id, say));
        }
        let mut broker = Findings::of(Area::Broker);
        tell!(broker, Error: "RabbitMQ cannot be reached" => "start it");
        findings.extend(broker.all);
        let (causes, good) = causes(&findings);
        assert_eq!(good, 20);
        let told: Vec<(Level, String, bool)> =
            causes.iter().map(|cause| (cause.finding.level, numbers(&cause.integrations), cause.alike)).collect();
        assert_eq!(told, [(Level::Error, "2–4, 9".to_owned(), false), (Level::Warning, "1–20".to_owned(), true)]);
    }

    #[test]
    fn two_causes_stay_two() {
        let lacks = |id, right: &str| {
            let mut say = Findings::of(Area::Integration);
            tell!(say, Error: "the key lacks rights: {right}" => "tick it");
            of(id, say)
        };
        let findings = [lacks(1, "order_read"), lacks(2, "order_write")].concat();
        assert_eq!(causes(&findings).0.len(), 2);
        assert_eq!(numbers(&[1, 2, 4]), "1, 2, 4");
    }
}
