//! Programs that judge simulators and product by what clients written by others read: the scripts
//! of `tests/judges`, with RetailCRM's official client.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::process::programs;

/// What a judge says to what it is given.
///
/// # Panics
/// When it is not installed, fails, or answers no JSON: nothing is skipped.
pub async fn judge(script: &str, given: &Value) -> Value {
    let python = programs().parent().expect("target").join("judges/bin/python");
    assert!(python.exists(), "{} is missing: ./tests/run installs it", python.display());
    let child = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../judges").join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.expect("Python starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(given.to_string().as_bytes()).await.expect("Python reads");
    drop(input);
    let output = child.wait_with_output().await.expect("Python ends");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the judge answers JSON")
}

/// What a judge stumbled over, if anything.
///
/// # Panics
/// When it did, or when it did not notice one of its planted mistakes.
#[track_caller]
pub fn passed(verdict: &Value, planted: usize) {
    assert_eq!(verdict["complaints"], serde_json::json!([]));
    let mistakes = verdict["planted"].as_object().expect("planted mistakes");
    assert!(mistakes.len() >= planted, "only {} mistakes were planted", mistakes.len());
    let missed: Vec<_> = mistakes.iter().filter(|(_, found)| found.as_array().is_none_or(Vec::is_empty)).collect();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
