//! Which file of a crate imports which, read from its text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use suites::root;

/// The crates of the product: name, folder.
const CRATES: [(&str, &str); 6] = [
    ("shared", "shared/src"),
    ("ingress", "ingress/src"),
    ("worker", "worker/src"),
    ("scheduler", "scheduler/src"),
    ("console", "deploy/console/src"),
    ("bridge", "deploy/bridge/src"),
];
/// Files of tests, by the end of their names.
const OF_TESTS: [&str; 5] = ["tests.rs", "stories.rs", "testing.rs", "fuzzing.rs", "samples.rs"];

/// One crate's files and what each imports.
pub struct Crate {
    pub name: &'static str,
    /// By module path, `order::decide`; the crate's own is empty.
    files: BTreeMap<String, Module>,
}

struct Module {
    /// Relative to the crate's folder.
    file: String,
    /// Names that are handed on, with the module they are of.
    handed_on: BTreeMap<String, String>,
    /// Every path of this crate in it, each as it stands after `crate::`.
    paths: Vec<String>,
}

pub fn crates() -> Vec<Crate> {
    CRATES.iter().map(|(name, folder)| Crate::read(name, &root().join(folder))).collect()
}

/// All files of Rust below a folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// All files of the product's crates.
pub fn product_files() -> Vec<PathBuf> {
    CRATES.iter().flat_map(|(_, folder)| rust_files(&root().join(folder))).collect()
}

/// Whether a file holds tests and nothing else, by its name or its folder's.
pub fn is_of_tests(file: &Path) -> bool {
    let text = file.strip_prefix(root()).unwrap_or(file).to_string_lossy();
    OF_TESTS.iter().any(|end| text.ends_with(end)) || ["/tests/", "/stories/"].iter().any(|room| text.contains(room))
}

/// The product's part of a file: without comments and without what is compiled for tests alone.
pub fn product(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test") {
            let Some(next) = lines.next() else { break };
            // A block ends where it began, in the first column.
            if next.ends_with('{') {
                for line in lines.by_ref() {
                    if line == "}" {
                        break;
                    }
                }
            }
            continue;
        }
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// `order/decide.rs` → `order::decide`.
fn module_of(file: &str) -> String {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" || path == "main" || path == "mod" { String::new() } else { path.replace('/', "::") }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn joined(prefix: &str, rest: &str) -> String {
    if prefix.is_empty() { rest.to_owned() } else { format!("{prefix}::{rest}") }
}

/// What stands at the beginning of `text` as a path, and groups in braces each by themselves.
fn paths_at(text: &str, prefix: &str, found: &mut Vec<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = text[..end].trim_end_matches("::");
    let whole = if path.is_empty() { prefix.to_owned() } else { joined(prefix, path) };
    let is_group = text[end..].starts_with('{') && (end == 0 || text[..end].ends_with("::"));
    if !is_group {
        found.push(whole);
        return;
    }
    let (mut depth, mut start) = (0_usize, end + 1);
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < end) {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 1 => {
                let piece = text[start..at].trim();
                if !piece.is_empty() {
                    paths_at(piece, &whole, found);
                }
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// Every path of the crate in a text that is `module`'s.
fn paths_in(text: &str, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            paths_at(&text[at + "crate::".len()..], "", &mut found);
        }
    }
    for (at, _) in text.match_indices("super::") {
        if !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '(') {
            let (mut rest, mut above) = (&text[at..], module);
            while let Some(after) = rest.strip_prefix("super::") {
                (rest, above) = (after, parent(above));
            }
            paths_at(rest, above, &mut found);
        }
    }
    found
}

/// `pub use tap::{Exchange, ExchangeObserver};` → both names, each with `measoft::tap`.
fn handed_on(text: &str, module: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for statement in text.split(';') {
        let Some((_, used)) = statement.rsplit_once("pub use ") else { continue };
        let mut found = Vec::new();
        let used = used.trim_start_matches("self::");
        match used.strip_prefix("crate::") {
            Some(used) => paths_at(used, "", &mut found),
            None => paths_at(used, module, &mut found),
        }
        for path in found {
            let name = path.rsplit("::").next().unwrap_or_default().to_owned();
            names.insert(name, parent(&path).to_owned());
        }
    }
    names
}

impl Crate {
    fn read(name: &'static str, folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for path in rust_files(folder) {
            let file = path.strip_prefix(folder).expect("below it").display().to_string();
            if is_of_tests(&path) || (file == "main.rs" && folder.join("lib.rs").exists()) {
                continue;
            }
            let text = product(&std::fs::read_to_string(&path).expect("text"));
            let module = module_of(&file);
            let (handed_on, paths) = (handed_on(&text, &module), paths_in(&text, &module));
            files.insert(module, Module { file, handed_on, paths });
        }
        Self { name, files }
    }

    /// The module that a path leads to: the longest that exists, and from there to whoever the
    /// name is handed on from.
    fn target(&self, path: &str) -> Option<&str> {
        let mut module = path;
        let mut rest = "";
        loop {
            if let Some((found, one)) = self.files.get_key_value(module) {
                let name = rest.split("::").next().unwrap_or_default();
                return match one.handed_on.get(name) {
                    Some(from) if from != module && !name.is_empty() => self.target(&joined(from, rest)),
                    _ => Some(found),
                };
            }
            if module.is_empty() {
                return None;
            }
            module = parent(module);
            rest = path[module.len()..].trim_start_matches("::");
        }
    }

    /// Each file with those it imports.
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let file = |module: &str| self.files[module].file.as_str();
        let of = |module: &str, one: &Module| {
            let targets = one.paths.iter().filter_map(|path| self.target(path));
            // The crate's root declares; what it runs it names, and nobody imports it back.
            targets.filter(|target| *target != module && !target.is_empty()).map(file).collect::<BTreeSet<_>>()
        };
        self.files.iter().map(|(module, one)| (one.file.as_str(), of(module, one))).collect()
    }

    /// Groups of files each of which leads to every other.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let imports = self.imports();
        let reach = |from: &str| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
            while let Some(file) = left.pop() {
                for next in imports.get(file).into_iter().flatten().copied() {
                    if seen.insert(next) {
                        left.push(next);
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|file| (*file, reach(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, from_it) in &reached {
            if from_it.contains(file) {
                let group = from_it.iter().filter(|other| reached[*other].contains(file));
                circles.insert(group.map(|other| (*other).to_owned()).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }
}

#[test]
fn paths_are_read_in_groups_and_from_above() {
    let text = "use crate::a::{b, c::{D, e}};\nuse crate::{f, g};\nuse super::x::Y;\nlet z = crate::q::r(1);";
    assert_eq!(paths_in(text, "m::n"), ["a::b", "a::c::D", "a::c::e", "f", "g", "q::r", "m::x::Y"]);
}
