//! The build script, in a clone of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

struct Clone(PathBuf);

impl Drop for Clone {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Clone {
    /// A workspace with the script in the place it has here; its program prints what it was told.
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-revision-{}", uuid::Uuid::new_v4()));
        let own = folder.join("shared");
        std::fs::create_dir_all(own.join("src")).expect("folders");
        let put = |path: PathBuf, text: &str| std::fs::write(path, text).expect("written");
        put(folder.join("Cargo.toml"), "[workspace]\nmembers = [\"shared\"]\nresolver = \"3\"\n");
        put(folder.join(".gitignore"), "target\n");
        put(own.join("Cargo.toml"), "[package]\nname = \"told\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        put(own.join("src/main.rs"), "fn main() { print!(\"{}\", env!(\"BRIDGE_REVISION\")); }\n");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        std::fs::copy(script, own.join("build.rs")).expect("copied");
        Self(folder)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let run = Command::new("git").arg("-C").arg(&self.0).args(identity).args(arguments).output().expect("git");
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("utf-8").trim().to_owned()
    }

    fn built(&self, flags: &[&str], given: Option<&str>) -> String {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.0).args(["run", "--quiet", "--offline"]).args(flags);
        cargo.env("CARGO_TARGET_DIR", self.0.join("target")).env_remove("BRIDGE_REVISION");
        if let Some(given) = given {
            cargo.env("BRIDGE_REVISION", given);
        }
        let run = cargo.output().expect("cargo");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("utf-8")
    }
}

#[test]
fn a_build_from_a_clone_knows_its_commit_and_follows_it() {
    let clone = Clone::new();
    let release = &["--release"];
    assert_eq!(clone.built(release, None), "unknown", "without git");
    clone.git(&["init", "--quiet"]);
    clone.git(&["add", "."]);
    for message in ["one", "two"] {
        clone.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        let head = clone.git(&["rev-parse", "--short=12", "HEAD"]);
        if message == "one" {
            // Built before it was a clone, the script is not asked again by itself.
            std::fs::remove_dir_all(clone.0.join("target")).expect("removed");
        }
        assert_eq!(clone.built(release, None), head, "commit {message}");
    }
    clone.git(&["pack-refs", "--all"]);
    clone.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    assert_eq!(clone.built(release, None), clone.git(&["rev-parse", "--short=12", "HEAD"]), "another one checked out");
    assert_eq!(clone.built(release, Some("given-1")), "given-1", "what the environment says wins");
    assert_eq!(clone.built(&[], None), "unknown", "a build for tests does not ask");
}
