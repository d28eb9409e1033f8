//! The binary itself.

use std::process::Command;

#[test]
fn bad_settings_are_listed_one_a_line_and_exit_with_64() {
    let run = Command::new(env!("CARGO_BIN_EXE_ingress"))
        .env_clear()
        .envs([("INGRESS_LISTEN", "here"), ("LEASE_S", "soon"), ("AMQP_URL", "http://x")])
        .output()
        .expect("run");
    assert_eq!(run.status.code(), Some(64));
    let lines = String::from_utf8(run.stderr).expect("utf-8");
    for name in ["INGRESS_LISTEN", "LEASE_S", "AMQP_URL"] {
        assert_eq!(lines.lines().filter(|line| line.starts_with(name)).count(), 1, "{name} in {lines}");
    }
    assert!(run.stdout.is_empty());
}
