//! Tells the build which commit it is of, as `BRIDGE_REVISION`: what the environment says, else
//! what git says of a clone, else `unknown`.
//!
//! Only optimised builds ask git: each commit would have all code compiled anew for every test.

use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "BRIDGE_REVISION";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var(VARIABLE).ok().filter(|given| !given.trim().is_empty() && given != "unknown");
    let is_shipped = std::env::var("OPT_LEVEL").is_ok_and(|level| level != "0");
    let revision = match given {
        Some(given) => Some(given.trim().to_owned()),
        None if is_shipped => {
            PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).parent().and_then(of_clone)
        }
        None => None,
    };
    println!("cargo::rustc-env={VARIABLE}={}", revision.as_deref().unwrap_or("unknown"));
}

/// The commit of the clone whose root is this folder. A repository around it says nothing of us.
fn of_clone(root: &Path) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if std::fs::canonicalize(top).ok()? != std::fs::canonicalize(root).ok()? {
        return None;
    }
    // HEAD names a branch or a commit; a branch's commit is a file of its own or one line of many.
    for name in ["HEAD", "refs/heads", "packed-refs"] {
        let path = git(root, &["rev-parse", "--path-format=absolute", "--git-path", name])?;
        // Cargo would build anew each time for the sake of one that is not there.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(root, &["rev-parse", "--short=12", "HEAD"])
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let asked = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let said = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    (asked.status.success() && !said.is_empty()).then_some(said)
}
