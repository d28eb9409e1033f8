//! What the commands of the operator's console take: what is broken, what waits, how all is.

use clap::{Args, Subcommand};

use crate::args::Letters;

pub const CAUSES_HELP: &str = "A cause is a reason at an integration, as long as a dead letter of it is open. Acknowledged: \
somebody is at it. Snoozed: not told until then. Both end with the cause: when nothing of it is open any more and one comes \
again, it is told anew.";

pub const WAITING_HELP: &str = "Read from the database: requests of orders, statuses and payments on their way, messages of the \
job table, and what workers leave alone. What lies in RabbitMQ is counted by its own tools. Nothing is changed.";

pub const AUDIT_HELP: &str = "Each act bears the hash of the one before it, and the newest hash is signed with the installation's \
secret key, which the database does not hold: `bridge audit verify` finds what was changed, taken out, cut off or added by \
somebody else. Secrets and personal data are in none. Acts are kept for good.";

pub const BUDGET_HELP: &str = "Requests are counted from the journal. Beside them stands how much of MeaSoft's windows is used \
now: what our address may ask in a minute and in 20 minutes at that server, which all accounts there share, and what the account \
may ask in an hour.";

pub const REPLAY_HELP: &str = "A plan says how many letters it means, whose they are, how long it takes and about how many \
requests it costs; nothing is sent before it is started. Letters stay open until their turn. A replay waits while the vendor's \
breaker is open or the integration is paused, and goes on at its pace, which \
may be changed while it runs; one that was stopped can be started again.";

#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Say what it would do, and keep it under a number
    Plan {
        #[command(flatten)]
        which: Letters,
        /// How many a minute
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=6000))]
        per_minute: u32,
    },
    /// Begin one that is planned, or go on with one that was stopped
    Start {
        /// Number of the replay
        id: i64,
    },
    /// Give one another pace, also while it runs
    Pace {
        /// Number of the replay
        id: i64,
        /// How many a minute
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=6000))]
        per_minute: u32,
    },
    /// How far one is; without a number the newest ones
    Show {
        /// Number of the replay
        id: Option<i64>,
    },
    /// Stop one, also half-way: letters whose turn has not come stay open
    Stop {
        /// Number of the replay
        id: i64,
    },
}

pub const COMPARE_HELP: &str = "Orders of the day in RetailCRM, in the ledger and at MeaSoft: what one of them lacks, has too much, \
and where status or sum differ. Only reads, within the vendors' limits. --repair asks for what makes it good as the missed \
trigger would have; what a person has to look at is left. Exits 0 when the books agree, 1 when they do not, or when those of \
one of several integrations cannot be read: it is named.";

#[derive(Debug, Args)]
pub struct Compare {
    /// A day like 2026-12-01; yesterday when left out
    #[arg(long)]
    pub day: Option<String>,
    /// Only of this integration; else of all that are active
    #[arg(long)]
    pub integration: Option<i64>,
    /// Print a table for spreadsheets
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Ask for what makes it good
    #[arg(long)]
    pub repair: bool,
}

/// Which acts.
#[derive(Debug, Default, Args)]
pub struct AuditFilter {
    /// Only about this integration
    #[arg(long)]
    pub integration: Option<i64>,
    /// Only acts of one sort, like edited, paused, replayed
    #[arg(long)]
    pub act: Option<String>,
    /// A time like 2026-09-01T10:00:00Z, or a span like 2h, 30m, 7d
    #[arg(long)]
    pub since: Option<String>,
    /// How many at most, the newest
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether all acts are there as they were noted
    #[command(after_help = "Exits 0 when they are, 1 when something was changed.")]
    Verify {
        /// A hash that `bridge audit verify` printed earlier, kept elsewhere: must still be there
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

/// Which causes.
#[derive(Debug, Default, Args)]
pub struct CausesFilter {
    /// Only of this integration
    #[arg(long)]
    pub integration: Option<i64>,
    /// shop, courier, crm or bridge
    #[arg(long)]
    pub fault: Option<String>,
    /// Only this reason, like bad_phone
    #[arg(long)]
    pub reason: Option<String>,
    /// Snoozed ones too
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum CausesCommand {
    /// Say that somebody is at it
    Ack {
        /// A reason as `bridge causes` shows it, like bad_phone
        reason: String,
        /// Only at this integration; else wherever it is open
        #[arg(long)]
        integration: Option<i64>,
    },
    /// Do not tell of it for a while
    Snooze {
        /// A reason as `bridge causes` shows it, like bad_phone
        reason: String,
        /// How long, like 30m, 2h, 7d; 90d at most
        #[arg(long = "for", value_name = "SPAN")]
        span: String,
        /// Only at this integration; else wherever it is open
        #[arg(long)]
        integration: Option<i64>,
    },
    /// Take acknowledgement and snooze back
    Wake {
        /// A reason as `bridge causes` shows it, like bad_phone
        reason: String,
        /// Only at this integration; else wherever it is open
        #[arg(long)]
        integration: Option<i64>,
    },
}

pub const CONSOLE_HELP: &str = "The pages show what the commands tell, to whoever is let in: a viewer reads, an operator acts on \
orders and causes, an owner also edits, checks and registers integrations, makes new \
trigger keys and ends the sessions of others. `bridge up` serves them where CONSOLE_LISTEN says; a split \
installation has `bridge console serve` for it.";

#[derive(Debug, Subcommand)]
pub enum ConsoleCommand {
    /// Print an address that lets somebody in, once and within five minutes; the session lasts 8 h
    Open {
        /// What they may do
        #[arg(long, value_parser = ["viewer", "operator", "owner"])]
        role: String,
    },
    /// Serve the pages in a process of their own
    Serve,
}
