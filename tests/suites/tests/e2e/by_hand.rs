//! The page for whoever tries it by hand, run as it stands.

use std::process::{Command, Stdio};
use std::time::Duration;

use harness::programs;

/// What is to be run of a page.
fn script(page: &str) -> String {
    page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A port that is free now.
fn port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_trying_by_hand_does_what_it_says() {
    let page = suites::root().join("deploy/TRY.md");
    let mut script = script(&std::fs::read_to_string(page).expect("the page"));
    for listed in ["8091", "8092", "8080", "9101"] {
        assert!(script.contains(listed), "{listed}");
        script = script.replace(listed, &port());
    }
    // Whatever happens, nothing is left running.
    let script = format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).env_clear().env("PATH", path).env("LANG", "C.UTF-8");
    bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || bash.output());
    let done = tokio::time::timeout(Duration::from_secs(110), running).await.expect("it ends");
    let output = done.expect("joined").expect("bash");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complaints}");
    for words in [
        "RetailCRM codes: every code of the settings is there",
        "\"success\":true",
        "taken over; RetailCRM told",
        "\"state\":\"created\"",
        "\"orderno\":\"4801A\"",
        "bad_phone",
        "next step",
    ] {
        assert!(said.contains(words), "«{words}» is missing in\n{said}\n{complaints}");
    }
}
