//! What the commands of the operator's console take: what is broken, what waits, how all is.

use clap::{Args, Subcommand};

pub const CAUSES_HELP: &str = "A cause is a reason at an integration, as long as a dead letter of it is open. Acknowledged: \
somebody is at it. Snoozed: not told until then. Both end with the cause: when nothing of it is open any more and one comes \
again, it is told anew.";

pub const WAITING_HELP: &str = "Read from the database: requests of orders, statuses and payments on their way, messages of the \
job table, and what workers leave alone. What lies in RabbitMQ is counted by its own tools. Nothing is changed.";

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
