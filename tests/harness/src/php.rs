//! RetailCRM's trigger machinery on its real parts: Symfony's ExpressionLanguage, Twig and two HTTP
//! clients, run by `tests/harness/php/triggers.php`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A trigger about to be evaluated.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// ExpressionLanguage.
    pub condition: String,
    /// Name and Twig template.
    pub parameters: Vec<(String, String)>,
    /// Twig's `strict_variables`.
    pub strict: bool,
    /// `{number, status, type, data: {declared, extra}}`; all but the first two may be null.
    pub order: Value,
    /// `{kind: "update" | "create", fields: {name: {old, new}}}`; a value with a code is `{"code": …}`.
    pub changes: Value,
    /// Where to what fires is sent; nowhere when `None`.
    pub to: Option<To>,
}

/// How what fires leaves.
#[derive(Debug, Clone, Serialize)]
pub struct To {
    pub url: String,
    /// One of [`CLIENTS`].
    pub client: &'static str,
    /// One of [`PASSED`].
    pub pass: &'static str,
}

/// Libraries that send it; which one RetailCRM has is not known.
pub const CLIENTS: [&str; 2] = ["guzzle", "symfony"];

/// RetailCRM's «Передавать параметры».
pub const PASSED: [&str; 3] = ["form", "query", "json"];

/// What came of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Firing {
    /// `None`: the condition ended with an error.
    pub fires: Option<bool>,
    /// The first error, of the condition or of a template.
    pub why: Option<String>,
    /// The rendered parameters by name.
    pub values: Option<Value>,
    /// What would be posted, urlencoded; `None`: a template ended with an error.
    pub body: Option<String>,
    /// What it was answered, if it was sent.
    pub answer: Option<Answered>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Answered {
    pub status: u16,
    pub body: String,
}

/// Evaluates cases in one run of PHP.
///
/// # Panics
/// When PHP or one of its libraries is missing, or the script fails: nothing is skipped.
pub fn fire(cases: &[Case]) -> Vec<Firing> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<Firing>,
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("php/triggers.php");
    let child = Command::new("php")
        .args(["-d", "zend.assertions=-1"])
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!(
            "PHP cannot be started ({error}): install the Debian packages php-cli, php-symfony-expression-language, \
             php-twig, php-guzzlehttp-guzzle, php-symfony-http-client and php-curl, or let ./tests/run do it"
        )
    });
    let mut input = child.stdin.take().expect("piped");
    let asked = json!({ "cases": cases }).to_string();
    // Beside the reading: PHP answers only when it has read all, but may fail before that.
    let writing = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("PHP ends");
    let written = writing.join().expect("no panic");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "tests/harness/php/triggers.php: {} {said}", output.status);
    written.expect("PHP reads");
    let answer: Answer = serde_json::from_slice(&output.stdout).expect("the script answers JSON");
    assert_eq!(answer.results.len(), cases.len());
    answer.results
}
