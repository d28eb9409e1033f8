//! RabbitMQ: there, new enough, taking messages, with the queues we need.

use shared::config::Config;
use shared::domain::Secret;
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::amqp::inspection::{Found, Inspection, inspect};
use shared::queue::amqp::refusal::Refusal;
use shared::queue::amqp::topology::Part;
use shared::tls_trouble::TlsTrouble;

use super::{Area, Finding};

/// Oldest release with at-least-once dead lettering (messaging.md).
const OLDEST: (u32, u32) = (3, 10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// The settings cannot be used.
    BadSettings(String),
    Looked {
        inspection: Inspection,
        prefix: String,
    },
}

impl Facts {
    /// Whether the broker let us in.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Looked { inspection, .. } if inspection.refusal.is_none())
    }
}

pub async fn gather(config: &Config, url: &Secret) -> Facts {
    match AmqpConfig::new(url, &config.amqp_prefix, config.timing.rungs.clone()) {
        Ok(amqp) => Facts::Looked { inspection: inspect(&amqp).await, prefix: config.amqp_prefix.clone() },
        Err(bad) => Facts::BadSettings(bad.to_string()),
    }
}

/// Major and minor version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let area = Area::Broker;
    let (inspection, prefix) = match facts {
        Facts::BadSettings(bad) => {
            return vec![Finding::error(area, bad.clone(), "correct AMQP_URL and AMQP_PREFIX")];
        }
        Facts::Looked { inspection, prefix } => (inspection, prefix),
    };
    let mut findings = Vec::new();
    if let Some(refusal) = &inspection.refusal {
        let (what, remedy) = match refusal {
            Refusal::NoConnection(why) => match TlsTrouble::in_words(why) {
                Some(trouble) => {
                    let what = format!("RabbitMQ answers, and no encrypted connection comes about: {trouble} ({why})");
                    findings.push(Finding::error(area, what, trouble.remedy("AMQP_URL")));
                    return findings;
                }
                None => (
                    format!("RabbitMQ cannot be reached: {why}"),
                    "check that it runs and that host, port and scheme (amqp or amqps) of AMQP_URL are right; \
                     until then triggers are kept in the database and nothing is lost",
                ),
            },
            Refusal::Credentials => (
                "RabbitMQ refuses the user name or password".to_owned(),
                "correct them in AMQP_URL (special characters percent-encoded); the user `guest` may log in from \
                 the broker's own machine only",
            ),
            Refusal::VirtualHost(why) => (
                format!("RabbitMQ does not let us into the virtual host: {why}"),
                "create it and grant rights with `rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`, or correct \
                 the path of AMQP_URL (the default one is written %2f)",
            ),
            Refusal::Other(why) => {
                (format!("RabbitMQ broke the connection off: {why}"), "see the broker's log for the reason")
            }
        };
        findings.push(Finding::error(area, what, remedy));
        return findings;
    }
    match inspection.version.as_deref().map(|text| (text, version(text))) {
        Some((text, Some(found))) if found < OLDEST => findings.push(Finding::error(
            area,
            format!("RabbitMQ is version {text}; 3.10 or later is needed"),
            "upgrade the broker: before 3.10 a message can be lost on its way through the delay queues",
        )),
        Some((text, Some(_))) => findings.push(Finding::ok(area, format!("RabbitMQ {text} is reachable"))),
        Some((text, None)) => findings.push(Finding::warning(
            area,
            format!("the broker calls its version «{text}»"),
            "check that AMQP_URL leads to a RabbitMQ of version 3.10 or later",
        )),
        None => findings.push(Finding::warning(
            area,
            "the broker did not tell its version",
            "check with `rabbitmqctl version` that it is 3.10 or later",
        )),
    }
    if inspection.blocked {
        findings.push(Finding::error(
            area,
            "RabbitMQ takes no messages: it blocks its publishers, or confirms nothing in time",
            "look for a memory or disk alarm with `rabbitmq-diagnostics alarms` and free what is short; until then \
             triggers are kept in the database",
        ));
    }
    if let Some((right, words)) = &inspection.forbidden {
        findings.push(Finding::error(
            area,
            format!("RabbitMQ does not give the right to {right}: {words}"),
            "give the user of AMQP_URL back its rights to configure, write and read on the virtual host \
             (`rabbitmqctl set_permissions`); messages wait in the broker or in the database until then",
        ));
    }
    findings.extend(topology(inspection, prefix));
    findings
}

fn topology(inspection: &Inspection, prefix: &str) -> Vec<Finding> {
    let area = Area::Broker;
    let mut findings = Vec::new();
    let all = || inspection.exchanges.iter().chain(&inspection.queues);
    let missing: Vec<&str> = all().filter(|i| i.found == Found::Missing).map(|i| i.name.as_str()).collect();
    if !missing.is_empty() && missing.len() == all().count() {
        findings.push(Finding::warning(
            area,
            format!("nothing of ours exists under the prefix «{prefix}» yet"),
            "ingress, worker and scheduler declare it when they start; if they run, compare their AMQP_PREFIX and \
             virtual host with yours",
        ));
        return findings;
    }
    if !missing.is_empty() {
        findings.push(Finding::error(
            area,
            format!("missing in RabbitMQ: {}", missing.join(", ")),
            "restart a worker: each start declares what is missing. If it was deleted on purpose, messages in it are gone: \
             look for orders that never left with `bridge order show`",
        ));
    }
    for inspected in all() {
        match &inspected.found {
            Found::Different(words) => findings.push(Finding::error(
                area,
                format!("{} exists with another type or other arguments: {words}", inspected.name),
                "nothing can be declared over it: stop the roles, let it run empty (or move its messages with a shovel), \
                 delete it and start a worker. A policy, another release or another RETRY_RUNGS_S may have made it",
            )),
            Found::Unknown(words) => findings.push(Finding::error(
                area,
                format!("{} cannot be looked at: {words}", inspected.name),
                format!(
                    "the user needs rights to configure, write and read names that begin with «{prefix}.» \
                     (`rabbitmqctl set_permissions`)"
                ),
            )),
            Found::Away(words) => findings.push(Finding::error(
                area,
                match words {
                    Some(words) => format!("{} is there and cannot be had: {words}", inspected.name),
                    None => format!("nobody answers for {}: is the node up that it lives on?", inspected.name),
                },
                "look at the nodes with `rabbitmqctl cluster_status` and start the one that is away; only what goes through \
                 this queue waits (the rpc lane: forms and printing in RetailCRM), orders go on",
            )),
            Found::Missing | Found::Fine { .. } => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            area,
            format!(
                "{} exchanges and {} queues of «{prefix}» are as they should be",
                inspection.exchanges.len(),
                inspection.queues.len()
            ),
        ));
    }
    for queue in &inspection.queues {
        let Found::Fine { messages, consumers } = queue.found else { continue };
        if messages == 0 {
            continue;
        }
        match queue.part {
            Some(Part::Dead) => findings.push(Finding::warning(
                area,
                format!("{messages} message(s) were put aside by the broker ({})", queue.name),
                "a worker brings them to the dead letters: start one, then see `bridge dead list --fault bridge`",
            )),
            Some(Part::Unrouted) => findings.push(Finding::warning(
                area,
                format!("{messages} message(s) found no queue ({})", queue.name),
                "a binding was missing: restart a worker, which declares it again and brings the messages to \
                 `bridge dead list`",
            )),
            Some(Part::Lane(lane)) if consumers == 0 => findings.push(Finding::error(
                area,
                format!("{messages} message(s) wait in the {} lane and nobody takes them", lane.as_str()),
                "start a worker; if one runs, its /live and /ready say what is wrong",
            )),
            Some(Part::Lane(_)) | None => {}
        }
    }
    findings
}
