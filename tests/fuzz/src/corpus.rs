//! What the mutations begin with: the fixtures of both vendors.

use std::path::Path;

use anyhow::Context as _;

use crate::targets::Target;

/// The corpus of a target.
pub fn of(target: Target) -> anyhow::Result<Vec<Vec<u8>>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    match target {
        Target::Triggers => Ok(triggers()),
        Target::Measoft => files(&fixtures.join("measoft"), ".response."),
        Target::Retailcrm => files(&fixtures.join("retailcrm"), ".json"),
    }
}

fn files(folder: &Path, part: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)) {
            names.push(path);
        }
    }
    // The order of a folder is nobody's promise.
    names.sort();
    names.iter().map(|path| std::fs::read(path).with_context(|| path.display().to_string())).collect()
}

/// As RetailCRM writes them (protocols/retailcrm.md#triggers).
fn triggers() -> Vec<Vec<u8>> {
    [
        "id=1234A&sum=3790&key=0123456789abcdef",
        "id=1234A&sum=3%20790%2C50&key=0123456789abcdef",
        "id=%D0%97%D0%B0%D0%BA%D0%B0%D0%B7+%E2%84%96+5%2F6&sum=&key=k",
        "id=1234A&sum=3790.00&incity=key-1&outcity=key-2",
        "{\"id\":\"1234A\",\"sum\":3790.5,\"key\":\"0123456789abcdef\"}",
        "{\"id\":1234,\"sum\":null,\"incity\":\"key-1\",\"outcity\":\"key-2\"}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
