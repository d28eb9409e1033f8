//! What is fuzzed. A target answers what came of an input, or panics.

use bridge_ingress::triggers::{Form, Param, TriggerUrl, read_json, read_urlencoded, understand};
use clap::ValueEnum;

/// A reader of what strangers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    Triggers,
    Measoft,
    Retailcrm,
}

impl Target {
    pub const ALL: [Self; 3] = [Self::Triggers, Self::Measoft, Self::Retailcrm];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::Measoft => "measoft",
            Self::Retailcrm => "retailcrm",
        }
    }

    /// What came of an input, in words that are the same for inputs that fare alike.
    pub fn read(self, input: &[u8]) -> String {
        match self {
            Self::Triggers => triggers(input),
            Self::Measoft => shared::measoft::fuzzing::read(input),
            Self::Retailcrm => shared::retailcrm::fuzzing::read(&String::from_utf8_lossy(input)),
        }
    }
}

fn triggers(input: &[u8]) -> String {
    let mut came_to = Vec::new();
    for form in [Form::UrlEncoded, Form::Json] {
        let mut params: Vec<Param<'_>> = Vec::new();
        match form {
            Form::UrlEncoded => read_urlencoded(input, &mut params),
            Form::Json => {
                if let Err(bad) = read_json(input, &mut params) {
                    came_to.push(format!("{bad:?}"));
                    continue;
                }
            }
        }
        for url in [TriggerUrl::Send, TriggerUrl::Update, TriggerUrl::Cancel] {
            came_to.push(match understand(url, &params) {
                Ok(trigger) => {
                    let number = trigger.number.as_str();
                    assert!(!number.is_empty() && number.chars().count() <= 255, "a number that fits");
                    assert!(!number.chars().any(char::is_control), "no database keeps it");
                    format!("ok {} {}", trigger.declared.is_some(), params.len().min(4))
                }
                Err(bad) => format!("{bad:?}"),
            });
        }
    }
    came_to.join(" ")
}
