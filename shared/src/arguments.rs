//! What may be written after the name of a role's program, and the exit codes of all programs.

use crate::config::{BadConfig, Role};
use crate::suggest;
use crate::telemetry::Metrics;

/// The exit code of a misspelt command line.
pub const USAGE: u8 = 2;

/// All exit codes, of `bridge` and of the roles.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (also: something is to be done), 2 usage (an unknown command, option, \
filter, integration or word), 64 bad configuration. Who stops reading the output ends it quietly and changes no exit code.";

/// What is asked of a role's program.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Start,
    /// To be printed; then nothing is started.
    Text(String),
    /// One sentence.
    Misspelt(String),
}

const OPTIONS: [&str; 4] = ["--help", "-h", "--version", "-V"];

/// Reads the arguments of a role's program. It takes none but for information: its settings come
/// from the environment.
pub fn read(role: Role, arguments: impl IntoIterator<Item = String>) -> Asked {
    let name = role.name();
    let Some(argument) = arguments.into_iter().next() else { return Asked::Start };
    match argument.as_str() {
        "--help" | "-h" => Asked::Text(help(role)),
        "--version" | "-V" => Asked::Text(format!("{name} {}\n", Metrics::BUILD)),
        other => Asked::Misspelt(format!(
            "it takes no argument «{other}»{}; `{name} --help` says where its settings come from",
            suggest::did_you_mean(other, OPTIONS)
        )),
    }
}

fn help(role: Role) -> String {
    let name = role.name();
    let what = match role {
        Role::Bridge => "Runs ingress, worker and scheduler in one process.",
        Role::Ingress => "Takes RetailCRM's triggers and callbacks and puts them into the queue.",
        Role::Worker => "Carries commands out: reads orders, talks to MeaSoft and RetailCRM, records.",
        Role::Console => "Serves the operator's pages.",
        Role::Scheduler => "Publishes periodic commands: status sync, reference lists, reconcile, retention.",
    };
    format!(
        "{what} Any number of copies may run.\n\n\
         Usage: {name}\n\n\
         Settings come from the environment: AMQP_URL, DATABASE_URL, BRIDGE_SECRET_KEY and those in deploy/SETTINGS.md, \
         each also from a file named by …_FILE. `bridge config check` reads them and says what is wrong.\n\n\
         Options:\n  -h, --help     Print this\n  -V, --version  Print the version and the commit\n\n\
         {EXIT_CODES}\n"
    )
}

// One number in two places would differ one day.
const _: () = assert!(BadConfig::EXIT_CODE == 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Asked {
        read(Role::Worker, arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn a_role_answers_to_help_and_version_and_starts_without_arguments_alone() {
        assert_eq!(asked(&[]), Asked::Start);
        for argument in ["--help", "-h"] {
            assert!(matches!(asked(&[argument]), Asked::Text(text) if text.contains("Usage: worker")));
        }
        for argument in ["--version", "-V"] {
            assert!(matches!(asked(&[argument]), Asked::Text(text) if text.contains(Metrics::VERSION)));
        }
        assert!(matches!(asked(&["--versoin"]), Asked::Misspelt(text) if text.contains("did you mean --version?")));
        assert!(matches!(asked(&["up"]), Asked::Misspelt(_)));
    }
}
