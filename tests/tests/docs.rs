//! The documents name files that exist.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project").to_owned()
}

/// Texts in backticks that look like a path, and targets of links.
fn paths_in(text: &str) -> Vec<String> {
    let ticked = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    ticked
        .chain(linked)
        .filter(|p| p.contains('/') && !p.contains(' ') && !p.contains("://") && !p.starts_with('-'))
        .filter(|p| p.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_a_document_names_exists() {
    let mut checked = 0;
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect(document);
        for path in paths_in(&text) {
            // Made by a build, or a folder of another machine.
            if path.starts_with("target") {
                continue;
            }
            let path = path.trim_start_matches("./");
            assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} paths were found: the reader of documents is broken");
}
