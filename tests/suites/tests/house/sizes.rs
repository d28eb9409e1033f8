//! How large a file and a function of the product may be, so that each is read at one sitting.

use std::path::Path;

use suites::root;

use crate::imports::{is_of_tests, product_files};

/// Lines of a file, without its tests.
const FILE: usize = 500;
/// Lines of a function, from its name to its closing brace.
const FUNCTION: usize = 60;

/// The part of a file before its tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Name and length of each function: it ends at the brace in the column where it began.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (from, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line.split(" fn ").next().unwrap_or_default();
        let is_head = line.trim_start().starts_with("fn ") || (head.len() < line.len() && is_qualifiers(head));
        if !is_head {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[from..].iter().position(|line| *line == end).map_or(1, |at| at + 1);
        // A declaration, or a body on the line itself.
        let is_one_line = line.ends_with(';') || line.ends_with('}');
        let name = line.split("fn ").nth(1).unwrap_or_default().split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), if is_one_line { 1 } else { length }));
    }
    found
}

/// Whether what stands before `fn` are its qualifiers and nothing else.
fn is_qualifiers(head: &str) -> bool {
    head.split_whitespace().all(|word| ["pub", "pub(crate)", "pub(super)", "async", "const"].contains(&word))
}

fn file_name(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).to_string_lossy().into_owned()
}

#[test]
fn files_and_functions_of_the_product_are_read_at_one_sitting() {
    let mut large = Vec::new();
    let mut seen = 0;
    for file in product_files().into_iter().filter(|file| !is_of_tests(file)) {
        let (name, text) = (file_name(&file), std::fs::read_to_string(&file).expect("a file"));
        let text = without_tests(&text);
        if text.lines().count() > FILE {
            large.push(format!("{name}: {} lines", text.lines().count()));
        }
        for (function, lines) in functions(text) {
            seen += 1;
            if lines > FUNCTION {
                large.push(format!("{name}: {function} has {lines} lines"));
            }
        }
    }
    assert!(seen > 2_000, "only {seen} functions were found: the reader of sources is broken");
    assert!(large.is_empty(), "more than {FILE} lines a file or {FUNCTION} a function:\n{}", large.join("\n"));
}

#[test]
fn the_length_of_a_function_is_that_of_its_body() {
    let text =
        "fn one() {\n    two()\n}\n\nimpl X {\n    pub async fn three(\n        a: u8,\n    ) {\n        a\n    }\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 3), ("three".to_owned(), 5)]);
}
