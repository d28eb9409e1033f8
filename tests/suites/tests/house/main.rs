//! How the house is built: which folder may know which, and that no two files know each other.
//! Read from the imports, as text.

mod imports;
mod layers;
mod prose;
mod sizes;

use imports::crates;

#[test]
fn no_two_files_import_each_other() {
    let mut circles = Vec::new();
    for one in crates() {
        circles.extend(one.circles().into_iter().map(|files| format!("{}: {}", one.name, files.join(", "))));
    }
    assert!(circles.is_empty(), "files that import each other in a circle:\n{}", circles.join("\n"));
}
