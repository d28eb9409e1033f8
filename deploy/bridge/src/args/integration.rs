//! What `bridge integration …` takes.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use shared::domain::Secret;

#[derive(Debug, Subcommand)]
pub enum IntegrationCommand {
    /// Add an integration; prints its id, deliveryApiKey and clientId
    Add(Box<Add>),
    /// List integrations
    List,
    /// Show one, with every setting (no secrets)
    Show {
        /// Number of the integration
        id: i64,
        /// Show the deliveryApiKey too
        #[arg(long)]
        show_key: bool,
    },
    /// Change what is given, keep the rest
    Edit(Box<Edit>),
    /// Let its commands wait
    Pause {
        /// Number of the integration
        id: i64,
        /// Said to whoever looks at it
        #[arg(long, default_value = "paused by the operator")]
        why: String,
    },
    /// Carry its commands out again
    Resume {
        /// Number of the integration
        id: i64,
    },
    /// Make a new deliveryApiKey; triggers with the old one are refused from then on
    RotateKey {
        /// Number of the integration
        id: i64,
    },
    /// Take it out of service; its ledger stays
    Remove {
        /// Number of the integration
        id: i64,
    },
    /// Tell RetailCRM what the delivery module offers, or bring that up to date
    Register {
        /// Number of the integration
        id: i64,
    },
    /// Ask both vendors whether the credentials work, and for tariffs to a town
    Check {
        /// Number of the integration
        id: i64,
        /// Town to ask tariffs for
        #[arg(long)]
        to: Option<String>,
        /// Weight in grams
        #[arg(long, default_value_t = 1000)]
        weight: u32,
    },
}

/// Not shown by `Debug` from here on.
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// Where the two secrets of an integration come from.
#[derive(Debug, Default, Args)]
pub struct SecretArgs {
    /// RetailCRM API key (better: --crm-key-stdin or --crm-key-file)
    #[arg(long, group = "key", value_parser = secret)]
    pub crm_key: Option<Secret>,
    /// Read the RetailCRM API key from a file
    #[arg(long, group = "key", value_name = "FILE")]
    pub crm_key_file: Option<PathBuf>,
    /// Read the RetailCRM API key from standard input; with --password-stdin it is the first line
    #[arg(long, group = "key")]
    pub crm_key_stdin: bool,
    /// Password of the client's cabinet (better: --password-stdin)
    #[arg(long, conflicts_with = "password_stdin", value_parser = secret)]
    pub password: Option<Secret>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

/// Settings of an integration.
#[derive(Debug, Default, Args)]
pub struct SettingArgs {
    /// Symbolic code of a delivery type handed to this cabinet; repeat for several, they are the
    /// whole list then
    #[arg(long = "delivery-type", value_name = "CODE")]
    pub delivery_types: Vec<String>,
    /// RetailCRM payment status to set after delivery
    #[arg(long, value_name = "CODE")]
    pub payment_status: Option<String>,
    /// Bring delivery statuses back
    #[arg(long, value_name = "BOOL")]
    pub receive_statuses: Option<bool>,
    /// Bring payment type and sum back
    #[arg(long, value_name = "BOOL")]
    pub receive_payment: Option<bool>,
    /// by_payment_type or as_vendor
    #[arg(long, value_name = "POLICY")]
    pub cod_policy: Option<String>,
    /// live, or shadow: decide and compare beside the integration before, and write nothing
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// In mode shadow: percent of the new orders that go live, by their numbers
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pub live_share: Option<u8>,
    /// In mode shadow: delivery type whose new orders go live; repeat for several, they are the whole
    /// list then
    #[arg(long = "live-delivery-type", value_name = "CODE")]
    pub live_delivery_types: Vec<String>,
    /// Any setting, for example --set payment_type_map.CARD=bank-card
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("some key").args(["crm_key", "crm_key_file", "crm_key_stdin"]).required(true)))]
#[command(group(ArgGroup::new("some password").args(["password", "password_stdin"]).required(true)))]
pub struct Add {
    /// What people call it
    #[arg(long)]
    pub title: String,
    /// Address of the account, like `https://shop.retailcrm.ru`
    #[arg(long)]
    pub crm_url: String,
    /// Code of the courier service: the number in its cabinet's address
    #[arg(long)]
    pub extra: String,
    /// Login of the client's cabinet
    #[arg(long)]
    pub login: String,
    /// MeaSoft API address of its own; without one it is reached at MEASOFT_URL, whatever that is
    #[arg(long)]
    pub measoft_url: Option<String>,
    /// Put before every order number at MeaSoft
    #[arg(long, default_value = "")]
    pub prefix: String,
    #[command(flatten)]
    pub secrets: SecretArgs,
    #[command(flatten)]
    pub settings: SettingArgs,
}

#[derive(Debug, Args)]
pub struct Edit {
    /// Number of the integration
    pub id: i64,
    /// What people call it
    #[arg(long)]
    pub title: Option<String>,
    /// Address of the account, like `https://shop.retailcrm.ru`
    #[arg(long)]
    pub crm_url: Option<String>,
    /// Code of the courier service: the number in its cabinet's address
    #[arg(long)]
    pub extra: Option<String>,
    /// Login of the client's cabinet
    #[arg(long)]
    pub login: Option<String>,
    /// MeaSoft API address of its own (--set follows_measoft_url=true takes MEASOFT_URL again)
    #[arg(long)]
    pub measoft_url: Option<String>,
    /// Put before the numbers of orders placed from now on
    #[arg(long)]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub secrets: SecretArgs,
    #[command(flatten)]
    pub settings: SettingArgs,
}
