//! How prose is written: in lines that fit beside code.

use suites::root;

/// Columns of a line of prose.
const WIDTH: usize = 100;

/// Lines that are too wide: of text, not of tables, code, or one long word.
fn wide(text: &str) -> Vec<usize> {
    let (mut code, mut found) = (false, Vec::new());
    for (n, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            code = !code;
        }
        let is_prose = !code && !trimmed.starts_with(['|', '#']) && !line.starts_with("    ");
        let breaks = line.char_indices().nth(WIDTH).is_some_and(|(end, _)| line[..end].trim_start().contains(' '));
        if is_prose && breaks {
            found.push(n + 1);
        }
    }
    found
}

/// Pages that people read, wherever they lie.
fn pages(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir()
            && !name.starts_with(['.', '_'])
            && !["fixtures", "node_modules"].contains(&name.as_str())
            && !name.starts_with("target")
        {
            pages(&entry, found);
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
}

#[test]
fn prose_keeps_to_a_hundred_columns() {
    let (mut found, mut all) = (Vec::new(), Vec::new());
    pages(root(), &mut all);
    assert!(all.len() > 8, "only {} pages were found", all.len());
    for page in all {
        let text = std::fs::read_to_string(&page).expect("text");
        let name = page.strip_prefix(root()).expect("below it").display().to_string();
        found.extend(wide(&text).into_iter().map(|line| format!("{name}:{line}")));
    }
    assert!(found.is_empty(), "lines of prose wider than {WIDTH} columns:\n{}", found.join("\n"));
}

#[test]
fn what_cannot_be_broken_is_not_too_wide() {
    let long = "x".repeat(120);
    assert!(wide(&long).is_empty() && wide(&format!("```\na {long}\n```")).is_empty());
    assert_eq!(wide(&format!("one\n{}", "word ".repeat(30))), [2]);
}

/// Who comes new reads it to the end.
#[test]
fn the_page_of_architecture_is_read_in_minutes_and_draws_the_states() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a page");
    assert!(page.lines().count() <= 150, "{} lines", page.lines().count());
    assert_eq!(page.matches("stateDiagram").count(), 2, "the states of a delivery and of an intent are drawn");
    let states = page.lines().filter(|line| line.contains(" --> ")).count();
    assert!(states > 12, "{states} moves are drawn");
}
