//! RabbitMQ: there, new enough, taking messages, with the queues we need.

use shared::config::Config;
use shared::domain::Secret;
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::amqp::inspection::{Condition, Inspected, Inspection, inspect};
use shared::queue::amqp::refusal::Refusal;
use shared::queue::amqp::topology::Part;
use shared::tls_trouble::TlsTrouble;

use crate::doctor::finding::{Area, Finding, Findings, tell};

/// Oldest release with at-least-once dead lettering (messaging.md).
const OLDEST: (u32, u32) = (3, 10);

/// How a connection ends that somebody has taken.
const DROPPED: [&str; 3] = ["reset by peer", "Broken pipe", "unexpected eof"];

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
    match AmqpConfig::new(url, &config.amqp_prefix) {
        Ok(amqp) => Facts::Looked {
            inspection: inspect(&amqp.with_tls(config.tls.clone())).await,
            prefix: config.amqp_prefix.clone(),
        },
        Err(bad) => Facts::BadSettings(bad.to_string()),
    }
}

fn major_and_minor(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut say = Findings::of(Area::Broker);
    let (inspection, prefix) = match facts {
        Facts::BadSettings(bad) => {
            tell!(say, Error: "{bad}" => "correct AMQP_URL and AMQP_PREFIX");
            return say.all;
        }
        Facts::Looked { inspection, prefix } => (inspection, prefix),
    };
    if let Some(refused) = &inspection.refusal {
        refusal(refused, &mut say);
        return say.all;
    }
    for (server, why) in &inspection.away {
        tell!(say, Warning: "of the brokers that AMQP_URL names, {server} is away: {why}"
            => "nothing waits for it while another answers; look after that node, or take it out of AMQP_URL");
    }
    version(inspection.version.as_deref(), &mut say);
    if inspection.blocked {
        tell!(say, Error: "RabbitMQ takes no messages: it blocks its publishers, or confirms nothing in time"
            => "look for a memory or disk alarm with `rabbitmq-diagnostics alarms` and free what is short; until then \
                triggers are kept in the database");
    }
    if let Some((right, words)) = &inspection.forbidden {
        tell!(say, Error: "RabbitMQ does not give the right to {right}: {words}"
            => "give the user of AMQP_URL back its rights to configure, write and read on the virtual host \
                (`rabbitmqctl set_permissions`); messages wait in the broker or in the database until then");
    }
    topology(inspection, prefix, &mut say);
    say.all
}

fn refusal(refusal: &Refusal, say: &mut Findings) {
    match refusal {
        Refusal::NoConnection(why) => match TlsTrouble::in_words(why) {
            Some(trouble) => {
                tell!(say, Error: "RabbitMQ answers, and no encrypted connection comes about: {trouble} ({why})"
                    => "{}", trouble.remedy("AMQP_URL"));
            }
            // Whoever is not let in with TLS 1.3 is told after the handshake, if the words arrive at all.
            None if DROPPED.iter().any(|dropped| why.contains(dropped)) => {
                tell!(say, Error: "RabbitMQ drops the connection: {why}"
                    => "its log says why; if it wants a certificate of ours, name one that its authority has signed in \
                        TLS_CERT_FILE, and its key in TLS_KEY_FILE")
            }
            None => tell!(say, Error: "RabbitMQ cannot be reached: {why}"
                => "check that it runs and that host, port and scheme (amqp or amqps) of AMQP_URL are right; \
                    until then triggers are kept in the database and nothing is lost"),
        },
        Refusal::Credentials => tell!(say, Error: "RabbitMQ refuses the user name or password"
            => "correct them in AMQP_URL (special characters percent-encoded); the user `guest` may log in from \
                the broker's own machine only"),
        Refusal::VirtualHost(why) => tell!(say, Error: "RabbitMQ does not let us into the virtual host: {why}"
            => "create it and grant rights with `rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`, or correct \
                the path of AMQP_URL (the default one is written %2f)"),
        Refusal::Other(why) => tell!(say, Error: "RabbitMQ broke the connection off: {why}"
            => "see the broker's log for the reason"),
    }
}

fn version(told: Option<&str>, say: &mut Findings) {
    let Some(text) = told else {
        tell!(say, Warning: "the broker did not tell its version"
            => "check with `rabbitmqctl version` that it is 3.10 or later");
        return;
    };
    match major_and_minor(text) {
        Some(found) if found < OLDEST => tell!(say, Error: "RabbitMQ is version {text}; 3.10 or later is needed"
            => "upgrade the broker: before 3.10 a message can be lost on its way through the delay queues"),
        Some(_) => tell!(say, Ok: "RabbitMQ {text} is reachable"),
        None => tell!(say, Warning: "the broker calls its version «{text}»"
            => "check that AMQP_URL leads to a RabbitMQ of version 3.10 or later"),
    }
}

fn topology(inspection: &Inspection, prefix: &str, say: &mut Findings) {
    let all = || inspection.exchanges.iter().chain(&inspection.queues);
    let missing: Vec<&str> = all().filter(|i| i.found == Condition::Missing).map(|i| i.name.as_str()).collect();
    if !missing.is_empty() && missing.len() == all().count() {
        tell!(say, Warning: "nothing of ours exists under the prefix «{prefix}» yet"
            => "ingress, worker and scheduler declare it when they start; if they run, compare their AMQP_PREFIX and \
                virtual host with yours");
        return;
    }
    let before = say.all.len();
    if !missing.is_empty() {
        tell!(say, Error: "missing in RabbitMQ: {}", missing.join(", ")
            => "restart a worker: each start declares what is missing. If it was deleted on purpose, messages in it are gone: \
                look for orders that never left with `bridge order show`");
    }
    for Inspected { name, found, .. } in all() {
        match found {
            Condition::Different(words) => {
                tell!(say, Error: "{name} exists with another type or other arguments: {words}"
                => "nothing can be declared over it: stop the roles, let it run empty (or move its messages with a shovel), \
                    delete it and start a worker. A policy or another release may have made it")
            }
            Condition::Unknown(words) => tell!(say, Error: "{name} cannot be looked at: {words}"
                => "the user needs rights to configure, write and read names that begin with «{prefix}.» \
                    (`rabbitmqctl set_permissions`)"),
            Condition::Away(words) => {
                let what = match words {
                    Some(words) => format!("{name} is there and cannot be had: {words}"),
                    None => format!("nobody answers for {name}: is the node up that it lives on?"),
                };
                tell!(say, Error: "{what}"
                    => "look at the nodes with `rabbitmqctl cluster_status` and start the one that is away; only what goes \
                        through this queue waits (the rpc lane: forms and printing in RetailCRM), orders go on");
            }
            Condition::Missing | Condition::Fine { .. } => {}
        }
    }
    if say.all.len() == before {
        let (exchanges, queues) = (inspection.exchanges.len(), inspection.queues.len());
        tell!(say, Ok: "{exchanges} exchanges and {queues} queues of «{prefix}» are as they should be");
    }
    inspection.queues.iter().for_each(|queue| waiting(queue, say));
}

/// Messages that nobody takes.
fn waiting(Inspected { name, found, part, .. }: &Inspected, say: &mut Findings) {
    let Condition::Fine { messages, consumers } = found else { return };
    match part {
        _ if *messages == 0 => {}
        Some(Part::Dead) => tell!(say, Warning: "{messages} message(s) were put aside by the broker ({name})"
            => "a worker brings them to the dead letters: start one, then see `bridge dead list --fault bridge`"),
        Some(Part::Unrouted) => tell!(say, Warning: "{messages} message(s) found no queue ({name})"
            => "a binding was missing: restart a worker, which declares it again and brings the messages to \
                `bridge dead list`"),
        Some(Part::Lane(lane)) if *consumers == 0 => {
            tell!(say, Error: "{messages} message(s) wait in the {} lane and nobody takes them", lane.as_str()
                => "start a worker; if one runs, its /live and /ready say what is wrong");
        }
        Some(Part::Lane(_)) | None => {}
    }
}
