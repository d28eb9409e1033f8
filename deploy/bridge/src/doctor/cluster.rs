//! RabbitMQ as a cluster: whether each queue has its copies on the nodes there are. Only the
//! management API tells (<https://www.rabbitmq.com/docs/management#http-api>), which is a plugin.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::config::Config;
use shared::domain::Secret;
use url::Url;

use crate::doctor::finding::{Area, Finding, Findings, tell};

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest answer that is read, bytes.
const CAP: usize = 8 * 1024 * 1024;
/// Copies that a queue has when it is declared in a cluster with at least as many nodes.
const COPIES: usize = 3;
/// Keys of a policy that take messages out of a queue, or the queue away.
const HARMFUL: [&str; 4] = ["message-ttl", "max-length", "max-length-bytes", "expires"];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    pub name: String,
    #[serde(default)]
    pub running: bool,
}

/// A queue of ours as the API shows it; only quorum queues have members.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Queue {
    pub name: String,
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub members: Vec<String>,
    #[serde(default)]
    pub online: Vec<String>,
    #[serde(default)]
    pub policy: Option<String>,
    #[serde(default)]
    pub operator_policy: Option<String>,
    #[serde(default)]
    pub effective_policy_definition: Definition,
}

/// What policies set; an empty one is written as a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Definition {
    Keys(std::collections::BTreeMap<String, serde_json::Value>),
    None(Vec<()>),
}

impl Default for Definition {
    fn default() -> Self {
        Self::None(Vec::new())
    }
}

impl Definition {
    fn harmful(&self) -> Vec<&str> {
        match self {
            Self::Keys(keys) => keys.keys().map(String::as_str).filter(|key| HARMFUL.contains(key)).collect(),
            Self::None(_) => Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    Looked {
        nodes: Vec<Node>,
        queues: Vec<Queue>,
    },
    /// What was asked, without user and password, and why nothing came of it.
    Unknown {
        address: String,
        why: String,
    },
}

/// Asks the management API where the settings say, or where it is by default beside `amqp`, for what
/// begins with our prefix. `None`: there is no address to ask.
pub async fn gather(amqp: &Secret, config: &Config) -> Option<Facts> {
    let amqp = Url::parse(amqp.expose()).ok()?;
    let base = match &config.amqp_management_url {
        Some(base) => Url::parse(base).ok()?,
        None => beside(&amqp)?,
    };
    let address = base.origin().ascii_serialization();
    Some(match ask(&amqp, &base, config).await {
        Ok((nodes, queues)) => Facts::Looked { nodes, queues },
        Err(why) => Facts::Unknown { address, why },
    })
}

/// Where the plugin listens unless it was told otherwise.
fn beside(amqp: &Url) -> Option<Url> {
    let (scheme, port) = if amqp.scheme() == "amqps" { ("https", 15671) } else { ("http", 15672) };
    Url::parse(&format!("{scheme}://{}:{port}/", amqp.host_str()?)).ok()
}

/// A percent-encoded part of a URL; a plus means itself there.
fn decoded(part: &str) -> String {
    let field = format!("part={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(field.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

async fn ask(amqp: &Url, base: &Url, config: &Config) -> Result<(Vec<Node>, Vec<Queue>), String> {
    let client = shared::http::client(&config.tls).timeout(LIMIT).build().map_err(|error| error.to_string())?;
    let (user, password) = match amqp.username() {
        "" => ("guest".to_owned(), "guest".to_owned()),
        user => (decoded(user), decoded(amqp.password().unwrap_or(""))),
    };
    let vhost = match amqp.path().trim_start_matches('/') {
        "" => "%2F",
        // As it is written in AMQP_URL: one part, encoded.
        vhost => vhost,
    };
    let root = base.as_str().trim_end_matches('/');
    let get = |path: String| client.get(format!("{root}{path}")).basic_auth(&user, Some(&password));
    let nodes: Vec<Node> = read(get("/api/nodes?columns=name,running".to_owned())).await?;
    let columns = "name,type,members,online,policy,operator_policy,effective_policy_definition";
    let mut queues: Vec<Queue> = read(get(format!("/api/queues/{vhost}?columns={columns}"))).await?;
    queues.retain(|queue| queue.name.strip_prefix(&config.amqp_prefix).is_some_and(|rest| rest.starts_with('.')));
    Ok((nodes, queues))
}

async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, String> {
    let mut answer = request.send().await.map_err(|error| words(error.without_url()))?;
    match answer.status().as_u16() {
        200 => {}
        401 | 403 => {
            return Err(
                "it lets the user of AMQP_URL see nothing; `rabbitmqctl set_user_tags USER monitoring` does".into()
            );
        }
        other => return Err(format!("it answers with HTTP status {other}")),
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| words(error.without_url()))? {
        body.extend_from_slice(&piece);
        if body.len() > CAP {
            return Err("its answer is too long".to_owned());
        }
    }
    serde_json::from_slice(&body).map_err(|_| "its answer is not what RabbitMQ's management API says".to_owned())
}

/// With the cause: reqwest's own words say only that it failed.
fn words(error: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    shared::tls_trouble::explained(&cause.to_string())
}

pub fn judge(facts: &Facts, prefix: &str) -> Vec<Finding> {
    let mut say = Findings::of(Area::Broker);
    let (nodes, queues) = match facts {
        Facts::Looked { nodes, queues } => (nodes, queues),
        Facts::Unknown { address, why } => {
            tell!(say, Ok: "not known, since the management API at {address} tells nothing ({why}): whether the queues have \
                    copies on every node of a cluster, and which policies apply to them"
                => "`rabbitmqctl cluster_status`, `rabbitmqctl list_policies` and `rabbitmq-queues quorum_status QUEUE` tell; \
                    or name the API's address in AMQP_MANAGEMENT_URL");
            return say.all;
        }
    };
    let down: Vec<&str> = nodes.iter().filter(|node| !node.running).map(|node| node.name.as_str()).collect();
    if !down.is_empty() {
        tell!(say, Warning: "of {} nodes of the RabbitMQ cluster these are down: {}", nodes.len(), down.join(", ")
            => "start them; if one is gone for good, `rabbitmqctl forget_cluster_node NODE`");
    }
    let quorum: Vec<&Queue> =
        queues.iter().filter(|queue| queue.kind == "quorum" || !queue.members.is_empty()).collect();
    copies(nodes, &quorum, prefix, &mut say);
    let is_cut = |queue: &&Queue| !queue.online.is_empty() && queue.online.len() * 2 <= queue.members.len();
    let cut = names(quorum.iter().copied().filter(is_cut));
    if !cut.is_empty() {
        tell!(say, Error: "no majority of members is online: {cut}"
            => "start the nodes that are down; until then triggers are kept in the database and served from there");
    }
    for queue in queues {
        let harmful = queue.effective_policy_definition.harmful();
        if harmful.is_empty() {
            continue;
        }
        let policies: Vec<&str> =
            [&queue.policy, &queue.operator_policy].into_iter().flatten().map(String::as_str).collect();
        tell!(say, Warning: "the policy «{}» sets {} on {}", policies.join("», «"), harmful.join(", "), queue.name
            => "narrow its pattern so that it leaves our queues out: it takes commands, or the queue with them, away");
    }
    if say.all.is_empty() && nodes.len() == 1 {
        tell!(say, Ok: "RabbitMQ is one node: what waits in its queues is worth its disk");
    } else if say.all.is_empty() {
        let copies = quorum.iter().map(|queue| queue.members.len()).min().unwrap_or(0);
        tell!(say, Ok: "RabbitMQ is a cluster of {} nodes, and each queue has at least {copies} members", nodes.len());
    }
    say.all
}

fn names<'a>(queues: impl IntoIterator<Item = &'a Queue>) -> String {
    queues.into_iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Queues with fewer copies than the cluster has room for.
fn copies(nodes: &[Node], quorum: &[&Queue], prefix: &str, say: &mut Findings) {
    let wanted = nodes.len().min(COPIES);
    let few: Vec<&Queue> = quorum.iter().copied().filter(|queue| queue.members.len() < wanted).collect();
    let Some(fewest) = few.iter().map(|queue| queue.members.len()).min() else { return };
    let pattern = prefix.replace('.', "\\.");
    let lacking = nodes.iter().filter(|node| few.iter().any(|queue| !queue.members.contains(&node.name)));
    let grow: Vec<String> = lacking
        .map(|node| format!("`rabbitmq-queues grow {} all --queue-pattern '^{pattern}\\.'`", node.name))
        .collect();
    tell!(say, Warning: "the cluster has {} nodes, and these queues have fewer members (as few as {fewest}): {}. When their \
            nodes are lost, so is what waits in them", nodes.len(), names(few.iter().copied())
        => "nodes that join later get no copies by themselves; run {}", grow.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn nodes(names: &[&str]) -> Vec<Node> {
        names.iter().map(|name| Node { name: (*name).to_owned(), running: true }).collect()
    }

    fn queue(members: &[&str], online: &[&str]) -> Queue {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Queue {
            name: "shop.a.interactive.v1".to_owned(),
            kind: "quorum".to_owned(),
            members: owned(members),
            online: owned(online),
            policy: None,
            operator_policy: None,
            effective_policy_definition: Definition::default(),
        }
    }

    fn judged(nodes: Vec<Node>, queue: Queue) -> Finding {
        let mut findings = judge(&Facts::Looked { nodes, queues: vec![queue] }, "shop.a");
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }

    #[test]
    fn a_queue_with_fewer_members_than_the_cluster_has_nodes_is_told_with_what_to_run() {
        let all = ["rabbit@a", "rabbit@b", "rabbit@c"];
        let found = judged(nodes(&all), queue(&all[..1], &all[..1]));
        assert_eq!(found.level, Level::Warning);
        assert!(found.what.contains("3 nodes") && found.what.contains("shop.a.interactive.v1"), "{}", found.what);
        assert!(
            found.remedy.contains(r"rabbitmq-queues grow rabbit@b all --queue-pattern '^shop\.a\.'"),
            "{}",
            found.remedy
        );
        assert!(!found.remedy.contains("grow rabbit@a"), "it has one there: {}", found.remedy);
        assert_eq!(judged(nodes(&all), queue(&all, &all)).level, Level::Ok);
        let five = ["a", "b", "c", "d", "e"];
        assert_eq!(judged(nodes(&five), queue(&five[..3], &five[..3])).level, Level::Ok, "three are enough");
    }

    #[test]
    fn a_single_node_is_said_to_be_one() {
        let found = judged(nodes(&["rabbit@a"]), queue(&["rabbit@a"], &["rabbit@a"]));
        assert_eq!(found.level, Level::Ok);
        assert!(found.what.contains("worth its disk"), "{}", found.what);
    }

    #[test]
    fn a_lost_majority_and_a_node_that_is_down_are_told() {
        let all = ["a", "b", "c"];
        let found = judged(nodes(&all), queue(&all, &all[..1]));
        assert_eq!(found.level, Level::Error);
        let mut one_down = nodes(&all);
        one_down[2].running = false;
        let found = judged(one_down, queue(&all, &all[..2]));
        assert!(found.what.contains("are down: c"), "{}", found.what);
    }

    #[test]
    fn a_policy_that_takes_commands_away_is_named() {
        let mut with_policy = queue(&["a"], &["a"]);
        with_policy.policy = Some("tidy".to_owned());
        with_policy.effective_policy_definition =
            serde_json::from_str(r#"{"expires": 60000, "delivery-limit": 20}"#).expect("an object");
        let found = judged(nodes(&["a"]), with_policy);
        assert_eq!(found.level, Level::Warning);
        assert!(found.what.contains("«tidy» sets expires on shop.a.interactive.v1"), "{}", found.what);
        let none: Definition = serde_json::from_str("[]").expect("RabbitMQ's empty object");
        assert!(none.harmful().is_empty());
    }

    #[test]
    fn what_could_not_be_known_is_said() {
        let facts = Facts::Unknown { address: "http://mq:15672".to_owned(), why: "Connection refused".to_owned() };
        let found = &judge(&facts, "shop")[0];
        assert_eq!(found.level, Level::Ok, "an installation without the plugin is no worse for it");
        assert!(found.what.contains("not known") && found.what.contains("http://mq:15672"), "{}", found.what);
        assert!(found.remedy.contains("AMQP_MANAGEMENT_URL"));
    }

    #[test]
    fn the_api_is_looked_for_beside_the_broker() {
        let at = |url: &str| beside(&Url::parse(url).expect("a URL")).map(|url| url.to_string());
        assert_eq!(at("amqp://u:p@mq:5672/%2f").as_deref(), Some("http://mq:15672/"));
        assert_eq!(at("amqps://u:p@mq/x").as_deref(), Some("https://mq:15671/"));
        assert_eq!(decoded("a%40b+c%26d"), "a@b+c&d");
    }
}
