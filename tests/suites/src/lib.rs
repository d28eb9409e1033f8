//! What proves the product from outside: stories, documents and deployment in `tests/`, the
//! fault suite in [`faults`], the benchmarks in `src/bin/bench`.

use std::path::Path;

pub mod faults;

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/suites lies in the project")
}
