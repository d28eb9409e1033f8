//! What `bridge shadow …` takes.

use clap::{Args, Subcommand};

pub const SHADOW_HELP: &str = "An integration in mode shadow (`bridge integration edit ID --mode shadow`) takes the same \
triggers as the one before it, decides and converts as it would live, and writes nothing at either vendor. What it would have \
placed is laid beside what MeaSoft has: `report` says what is the same, what differs, money first, what is missing and what we \
would have refused. With --live-share or --live-delivery-type a part of the new orders goes live; `back` takes that back.";

#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// What the shadow found: orders that differ, are missing, or would be refused
    Report(Report),
    /// No new order goes live any more; those that are live are followed to their end
    Back {
        /// Number of the integration
        id: i64,
    },
}

#[derive(Debug, Args)]
pub struct Report {
    /// Only of this integration
    #[arg(long)]
    pub integration: Option<i64>,
    /// A time like 2026-09-01T10:00:00Z, or a span like 2h, 30m, 7d
    #[arg(long, default_value = "7d")]
    pub since: String,
    /// Orders that are the same, too
    #[arg(long)]
    pub all: bool,
    /// A table for other programs
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}
