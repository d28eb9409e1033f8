//! The command line.

mod console;
pub mod integration;
pub mod shadow;
mod transfer;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub use console::{AuditCommand, AuditFilter, CausesCommand, CausesFilter, Compare, ConsoleCommand, ReplayCommand};
pub use integration::IntegrationCommand;
pub use shadow::ShadowCommand;

#[derive(Debug, Parser)]
#[command(
    name = "bridge",
    version = shared::telemetry::Metrics::BUILD,
    about = "Connects RetailCRM to MeaSoft: the operator's command",
    long_about = "Connects RetailCRM to MeaSoft («Курьерская служба 2008»).\n\n\
                  `bridge demo` shows what it does. `bridge up` runs everything in one process.\n\
                  Settings come from the environment; `bridge config check` reads them and says what is wrong.",
    after_help = shared::arguments::EXIT_CODES
)]
pub struct Cli {
    /// Print exactly one JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Who is acting, for whoever asks later; else the user of this machine
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub as_name: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole story with both vendors simulated: nothing to install, nothing left behind
    Demo(Demo),
    /// Run ingress, worker and scheduler in one process
    Up,
    /// Integrations: one RetailCRM account tied to one MeaSoft cabinet
    Integration {
        #[command(subcommand)]
        command: IntegrationCommand,
    },
    /// The exact values to paste into RetailCRM's trigger forms
    TriggerHelp(TriggerHelp),
    /// One order: what happened to it, step by step
    Order {
        #[command(subcommand)]
        command: OrderCommand,
    },
    /// What gave up, why, and whose fault it is
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Try many dead letters again: plan it, start it, see how far it is, give it another pace, stop it
    #[command(after_help = console::REPLAY_HELP)]
    Replay {
        #[command(subcommand)]
        command: ReplayCommand,
    },
    /// What is broken: dead letters by reason and integration, with who must act
    #[command(after_help = console::CAUSES_HELP)]
    Causes {
        #[command(flatten)]
        which: CausesFilter,
        #[command(subcommand)]
        command: Option<CausesCommand>,
    },
    /// Is all well? A line for each integration, the worst first
    Now,
    /// Who spends the vendors' limits: requests of the last 24 h by account and operation
    #[command(after_help = console::BUDGET_HELP)]
    Budget {
        /// Only of this integration
        #[arg(long)]
        integration: Option<i64>,
        /// How far back, like 2h or 7d, as far as the journal reaches
        #[arg(long, default_value = "24h")]
        since: String,
    },
    /// What waits, why, since when and until when
    #[command(after_help = console::WAITING_HELP)]
    Waiting {
        /// Only of this integration
        #[arg(long)]
        integration: Option<i64>,
    },
    /// Yesterday's orders in three books: RetailCRM, the ledger, MeaSoft
    #[command(after_help = console::COMPARE_HELP)]
    Compare(Compare),
    /// Beside the integration before: what ours would have done, and what differs
    #[command(after_help = shadow::SHADOW_HELP)]
    Shadow {
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// Who did what, when, and what it was before
    #[command(after_help = console::AUDIT_HELP)]
    Audit {
        #[command(flatten)]
        which: AuditFilter,
        #[command(subcommand)]
        command: Option<AuditCommand>,
    },
    /// The same as pages in a browser
    #[command(after_help = console::CONSOLE_HELP)]
    Console {
        #[command(subcommand)]
        command: ConsoleCommand,
    },
    /// Say what is wrong with the installation, and what to do about it
    #[command(after_help = "Exits 0 when nothing is to be done, 1 when there is a warning or an error.")]
    Doctor(Doctor),
    /// Every exchange with either vendor, masked («отладка»)
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Ask for a status sync now
    Sync(SyncArgs),
    /// Bring the database schema up to date
    Migrate,
    /// Copy everything into another database: from SQLite to PostgreSQL, or any other way
    #[command(after_help = transfer::MOVE_HELP)]
    Move {
        /// The empty database: postgres://… or sqlite:///path; `-`: read from standard input
        #[arg(long, value_name = "URL", allow_hyphen_values = true)]
        to: String,
    },
    /// Write everything into a file, while the bridge runs
    #[command(after_help = transfer::BACKUP_HELP)]
    Backup {
        /// A file that is not there yet
        file: std::path::PathBuf,
    },
    /// Put everything back from a file into an empty database
    #[command(after_help = transfer::RESTORE_HELP)]
    Restore {
        /// What `bridge backup` has written
        file: std::path::PathBuf,
        /// Only read it to its end and say whether it is whole
        #[arg(long)]
        check: bool,
    },
    /// Print one new secret key, or seal everything with the one in use
    SecretKey {
        #[command(subcommand)]
        command: Option<SecretKeyCommand>,
    },
    /// Try a MeaSoft account: what the documentation leaves open, settled by asking
    #[command(
        long_about = "Sends a MeaSoft account the requests whose answers its documentation leaves open, and says for \
                      each which fact is settled by what came. By default nothing is written: no order is made, and \
                      the account's own status stream is not touched.\n\n\
                      With --write one test order is made, changed, printed and cancelled under an unmistakable \
                      number (RCW-…); the command asks before it does so. Requests and answers are kept as files, \
                      without credentials and personal data.",
        after_help = "Exits 0 when every probe had an answer, 1 when one had none."
    )]
    Probe(Probe),
    /// Print a script that completes this command's words in a shell
    #[command(after_help = "bash: bridge completions bash >/etc/bash_completion.d/bridge\n\
                            zsh:  bridge completions zsh >\"${fpath[1]}/_bridge\"\n\
                            fish: bridge completions fish >~/.config/fish/completions/bridge.fish")]
    Completions {
        /// Whose words to print
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, for `man -l -`
    Man,
    /// The settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Tell the same story over RabbitMQ
    #[arg(long, value_name = "URL")]
    pub amqp: Option<String>,
    /// Keep the ledger in PostgreSQL (an empty database)
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// How many orders
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(6..=5000))]
    pub orders: u32,
    /// Leave everything running and print what to try
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read every setting and report all problems at once
    Check,
}

#[derive(Debug, Args)]
pub struct TriggerHelp {
    /// Number of the integration
    pub id: i64,
    /// ru or en
    #[arg(long, default_value = "ru")]
    pub lang: String,
}

#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Timeline: trigger, decisions, calls, statuses, RetailCRM writes
    Show(OrderShow),
    /// What would be done for it now: the decision, the request, the difference. Writes nothing
    #[command(after_help = PREVIEW_HELP)]
    Preview(OrderPreview),
    /// What MeaSoft has of it now; what is news there is fetched
    Ask(OrderAsk),
    /// Set right what RetailCRM says of it, for this order only; sums never
    #[command(after_help = CORRECT_HELP)]
    Correct(Box<OrderCorrect>),
}

#[derive(Debug, Args)]
pub struct OrderShow {
    /// RetailCRM's number, or ours at MeaSoft
    pub number: String,
    /// Only of this integration
    #[arg(long)]
    pub integration: Option<i64>,
    /// Show masked request and response bodies
    #[arg(long, short)]
    pub verbose: bool,
    /// Show personal data that was corrected
    #[arg(long)]
    pub unmask: bool,
}

const CORRECT_HELP: &str = "What is given takes the place of what RetailCRM says of this one order, for sends and changes alike, \
until RetailCRM's own value changes; then that one is right again. MeaSoft is brought in line at once, as after a trigger. An \
empty --date, --window or --comment says that there is none. Two people at once: the second one is told.";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(OrderCorrect::FIELDS).multiple(true).required(true)))]
pub struct OrderCorrect {
    /// RetailCRM's number
    pub number: String,
    /// Of this integration; can be left out where only one is meant
    #[arg(long)]
    pub integration: Option<i64>,
    /// The receiver's phone; several with commas
    #[arg(long)]
    pub phone: Option<String>,
    /// The receiver's name, last name first
    #[arg(long)]
    pub name: Option<String>,
    /// The town, with its region before it where there are several: `Тверская область, Тверь`
    #[arg(long)]
    pub town: Option<String>,
    /// Street, house and flat
    #[arg(long)]
    pub address: Option<String>,
    /// Day of delivery, like 2026-12-01
    #[arg(long)]
    pub date: Option<String>,
    /// Hours in which the receiver waits, like 10:00-18:00
    #[arg(long, allow_hyphen_values = true)]
    pub window: Option<String>,
    /// What the courier should know
    #[arg(long)]
    pub comment: Option<String>,
    /// The newest version that you have seen, as `bridge order show` tells it; else that of now
    #[arg(long, value_name = "VERSION")]
    pub seen: Option<i64>,
}

impl OrderCorrect {
    const FIELDS: [&str; 7] = ["phone", "name", "town", "address", "date", "window", "comment"];
}

const PREVIEW_HELP: &str = "The order is read from RetailCRM and decided on and converted as a worker would do it now, as if it \
were read for the last time; what would change something is kept instead of sent. Without --trigger: what waits for the order, \
else a change of what is at MeaSoft, else a send. Exits 0, or 1 when it would give up.";

#[derive(Debug, Args)]
pub struct OrderAsk {
    /// RetailCRM's number
    pub number: String,
    /// Of this integration; can be left out where only one is meant
    #[arg(long)]
    pub integration: Option<i64>,
}

#[derive(Debug, Args)]
pub struct OrderPreview {
    /// RetailCRM's number
    pub number: String,
    /// Of this integration; can be left out where only one is meant
    #[arg(long)]
    pub integration: Option<i64>,
    /// As if this trigger had come now
    #[arg(long, value_enum)]
    pub trigger: Option<Trigger>,
    /// Show personal data in the request; never the credentials
    #[arg(long)]
    pub unmask: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trigger {
    Send,
    Update,
}

/// Which dead letters.
#[derive(Debug, Default, Args)]
pub struct Letters {
    /// Only of this integration
    #[arg(long)]
    pub integration: Option<i64>,
    /// shop, courier, crm or bridge
    #[arg(long)]
    pub fault: Option<String>,
    /// A reason as `bridge dead list` shows it, like bad_phone
    #[arg(long)]
    pub reason: Option<String>,
    /// A time like 2026-09-01T10:00:00Z, or a span like 2h, 30m, 7d
    #[arg(long)]
    pub since: Option<String>,
}

impl Letters {
    const NAMES: [&str; 4] = ["integration", "fault", "reason", "since"];
}

#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List open dead letters
    List {
        /// Closed ones too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        which: Letters,
    },
    /// Everything about one
    Show {
        /// Number of the dead letter
        id: i64,
    },
    /// Try again: one, or all that match
    #[command(group(ArgGroup::new("filters").args(Letters::NAMES).multiple(true).requires("all")))]
    Replay {
        /// Number of the dead letter
        #[arg(required_unless_present = "all", conflicts_with_all = Letters::NAMES)]
        id: Option<i64>,
        /// Every open one that matches the filters
        #[arg(long, conflicts_with = "id")]
        all: bool,
        #[command(flatten)]
        which: Letters,
        /// How many a minute
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        per_minute: u32,
    },
    /// Close without trying again
    Discard {
        /// Number of the dead letter
        id: i64,
        /// The reason, for whoever looks later
        #[arg(long)]
        why: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Find exchanges by order number or any text in them
    Search {
        /// An order number, or any text of an exchange
        text: String,
        /// Only of this integration
        #[arg(long)]
        integration: Option<i64>,
        /// A time like 2026-09-01T10:00:00Z, or a span like 2h, 30m, 7d
        #[arg(long)]
        since: Option<String>,
        /// How many at most, the newest
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum SecretKeyCommand {
    /// Seal all stored secrets with BRIDGE_SECRET_KEY; BRIDGE_SECRET_KEY_OTHER opens the old ones
    #[command(after_help = "Safe beside running processes, and to begin again when it was cut short.")]
    Rotate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub struct Probe {
    /// The integration whose MeaSoft account is tried
    pub id: i64,
    /// Also make, change and cancel one test order
    #[arg(long)]
    pub write: bool,
    /// Do not ask before writing
    #[arg(long, requires = "write")]
    pub yes: bool,
    /// Also ask RetailCRM whether the module may have a button in the order's card, by registering
    /// it with one; WIDGET_DIR must hold it
    #[arg(long)]
    pub widget: bool,
    /// A town the courier service delivers to, with its type word or as a code
    #[arg(long, default_value = "Москва город")]
    pub town: String,
    /// Where requests and answers are kept [default: `probe-ID` in DATA_DIR]
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<std::path::PathBuf>,
    /// Seconds between two requests
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    pub pause: u64,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// One integration only, beside what all of them stand on; with everything that is well
    pub id: Option<i64>,
    /// Leave out what is well
    #[arg(long)]
    pub bad_only: bool,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// One integration; all active ones when left out
    pub id: Option<i64>,
}

/// A moment given as a time or as a span back from now.
pub fn since(text: &str, now: jiff::Timestamp) -> Result<jiff::Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at);
    }
    let bad = || format!("«{text}» is neither a time like 2026-09-01T10:00:00Z nor a span like 2h, 30m or 7d");
    now.checked_sub(span(text).ok_or_else(bad)?).map_err(|_| bad())
}

/// `30m`, `2h`, `7d`.
pub fn span(text: &str) -> Option<std::time::Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(std::time::Duration::from_secs(number.parse::<u64>().ok()?.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_filter_of_letters_is_for_a_replay_of_all() {
        let read = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(read("bridge dead replay --all --reason bad_phone --since 2h") && read("bridge dead replay 7"));
        assert!(!read("bridge dead replay --reason bad_phone") && !read("bridge dead replay --since 2h"));
        // Not even when the letter is named: a filter that is passed over would be believed.
        for filter in ["--reason bad_phone", "--fault shop", "--integration 1", "--since 2h", "--all"] {
            assert!(!read(&format!("bridge dead replay 7 {filter}")), "{filter}");
        }
    }

    #[test]
    fn a_span_counts_back_from_now() {
        let now: jiff::Timestamp = "2026-09-01T10:00:00Z".parse().expect("time");
        assert_eq!(since("2h", now).expect("span").to_string(), "2026-09-01T08:00:00Z");
        assert_eq!(since("2026-08-31T00:00:00Z", now).expect("time").to_string(), "2026-08-31T00:00:00Z");
        for bad in ["", "h", "2w", "yesterday", "99999999999999999999d"] {
            assert!(since(bad, now).is_err(), "{bad}");
        }
    }

    /// Commands and arguments that say nothing about themselves.
    fn silent(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let arguments = command.get_arguments().filter(|a| a.get_help().is_none());
        found.extend(arguments.map(|argument| format!("{path} {}", argument.get_id())));
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            if sub.get_about().is_none() {
                found.push(path.clone());
            }
            silent(sub, &path, found);
        }
    }

    #[test]
    fn every_command_and_argument_says_what_it_is() {
        let mut found = Vec::new();
        silent(&Cli::command(), "bridge", &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}
