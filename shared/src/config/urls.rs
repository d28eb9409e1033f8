//! What the URLs of the database and the broker may say. What nobody would read is refused by
//! name: a library that skips an unknown parameter writes it into the log, password and all, and
//! a list of hosts is looked for as one host of that name for ever. No part of a URL but the name
//! of a parameter is ever repeated.

use url::Url;

use crate::tls::Tls;

const POSTGRES: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const AMQP: [&str; 5] = ["frame_max", "channel_max", "heartbeat", "connection_timeout", "auth_mechanism"];

/// A setting of a session, `options[search_path]=…`.
fn is_option(name: &str) -> bool {
    name.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']') && rest.len() > 1)
}

/// Plain http only where nobody can listen: passwords travel in bodies.
pub fn is_safe_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
}

pub(super) fn is_http(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// One without user and password.
pub(super) fn is_plain_http(text: &str) -> bool {
    is_http(text) && Url::parse(text).is_ok_and(|url| url.username().is_empty() && url.password().is_none())
}

/// What is wrong with `DATABASE_URL`, a `postgres://` one.
pub fn postgres_problem(text: &str) -> Option<String> {
    let Ok(url) = Url::parse(text) else {
        return Some(if text.contains(',') {
            "DATABASE_URL: names several hosts; one is understood: give a name that leads to the one that takes writes"
                .to_owned()
        } else {
            "DATABASE_URL: not a valid postgres:// URL".to_owned()
        });
    };
    if several(&url) || url.query_pairs().any(|(name, value)| name == "host" && value.contains(',')) {
        return Some(
            "DATABASE_URL: names several hosts; one is understood: give a name that leads to the one that takes writes"
                .to_owned(),
        );
    }
    unknown("DATABASE_URL", &url, |name| POSTGRES.contains(&name) || is_option(name))
}

/// `DATABASE_URL` with the files of the settings, for what it does not name itself.
pub(super) fn with_files(text: &str, tls: &Tls) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let names = |any: &[&str]| url.query_pairs().any(|(name, _)| any.contains(&&*name));
    let authorities = tls.authorities.as_ref().filter(|_| !names(&["sslrootcert", "ssl-root-cert", "ssl-ca"]));
    let identity = tls.identity.as_ref().filter(|_| !names(&["sslcert", "ssl-cert", "sslkey", "ssl-key"]));
    let more: Vec<_> = authorities
        .map(|authorities| ("sslrootcert", &authorities.file))
        .into_iter()
        .chain(identity.into_iter().flat_map(|own| [("sslcert", &own.certificate), ("sslkey", &own.key)]))
        .collect();
    if more.is_empty() {
        return text.to_owned();
    }
    for (name, file) in more {
        url.query_pairs_mut().append_pair(name, &file.to_string_lossy());
    }
    url.into()
}

/// The addresses that `AMQP_URL` names: one, or those of a cluster's nodes with commas between
/// them. A comma in a password is no end of an address.
pub fn brokers(text: &str) -> Vec<&str> {
    let mut brokers = Vec::new();
    let mut rest = text;
    while let Some(comma) = ["amqp://", "amqps://"].iter().filter_map(|next| rest.find(&format!(",{next}"))).min() {
        brokers.push(rest[..comma].trim());
        rest = &rest[comma + 1..];
    }
    brokers.push(rest.trim());
    brokers
}

/// What is wrong with `AMQP_URL`.
pub fn amqp_problem(text: &str) -> Option<String> {
    let brokers = brokers(text);
    let host =
        |broker: &&str| broker.parse().ok().map(|uri: lapin::uri::AMQPUri| uri.vhost.trim_matches('/').to_owned());
    brokers.iter().find_map(|broker| broker_problem(broker)).or_else(|| {
        let one = brokers.iter().all(|broker| host(broker) == host(&brokers[0]));
        let words = "AMQP_URL: its addresses name different virtual hosts; they must be nodes of one cluster";
        (!one).then(|| words.to_owned())
    })
}

fn broker_problem(text: &str) -> Option<String> {
    let Ok(url) = Url::parse(text) else {
        return Some("AMQP_URL: not a valid amqp:// or amqps:// URL".to_owned());
    };
    let path = url.path().trim_start_matches('/');
    if several(&url) || path.contains("//") || path.contains(',') {
        return Some(
            "AMQP_URL: names several brokers in one address; give each its own, whole, with a comma between".to_owned(),
        );
    }
    if path.contains('/') || path.contains('@') {
        return Some("AMQP_URL: the virtual host is one part; write its «/» as %2F and its «@» as %40".to_owned());
    }
    let not_understood = || {
        let understood = text.parse::<lapin::uri::AMQPUri>().is_ok();
        (!understood).then(|| "AMQP_URL: not a valid amqp:// or amqps:// URL".to_owned())
    };
    unknown("AMQP_URL", &url, |name| AMQP.contains(&name)).or_else(not_understood)
}

fn several(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.contains(',') || host.contains("%2C") || host.contains("%2c"))
}

fn unknown(variable: &str, url: &Url, known: impl Fn(&str) -> bool) -> Option<String> {
    let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).filter(|name| !known(name)).collect();
    if names.is_empty() {
        return None;
    }
    Some(format!("{variable}: unknown parameter {}; it would be skipped silently, so take it out", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "planted-7c21";

    #[test]
    fn one_host_with_parameters_that_are_read_is_good() {
        for good in [
            "postgres://u:p@h:5432/x?sslmode=require&sslrootcert=/ca.pem&application_name=a",
            "postgres:///x?host=/run/postgresql&options[search_path]=s",
            "postgresql://u:p%2C@[::1]/x",
        ] {
            assert_eq!(postgres_problem(good), None, "{good}");
        }
        for good in ["amqp://u:p@h:5672/%2f", "amqps://u:p@h/shop?heartbeat=30&frame_max=8192", "amqp://h", "amqp://h/"]
        {
            assert_eq!(amqp_problem(good), None, "{good}");
        }
    }

    #[test]
    fn lists_of_hosts_and_unknown_parameters_are_refused_by_name_and_nothing_is_repeated() {
        let cases = [
            (postgres_problem(&format!("postgres://u:{PASSWORD}@h1,h2/x")), "several hosts"),
            (postgres_problem(&format!("postgres://u:{PASSWORD}@h1:5432,h2:5432/x")), "several hosts"),
            (postgres_problem(&format!("postgres://u:{PASSWORD}@h/x?host=h1,h2")), "several hosts"),
            (postgres_problem(&format!("postgres://h/x?sslpassword={PASSWORD}")), "parameter sslpassword"),
            (postgres_problem(&format!("postgres://h/x?target_session_attrs={PASSWORD}")), "target_session_attrs"),
            (amqp_problem(&format!("amqp://u:{PASSWORD}@h1,h2/")), "several brokers"),
            (amqp_problem(&format!("amqp://u:{PASSWORD}@h1/,h2/")), "several brokers"),
            (amqp_problem(&format!("amqp://u:{PASSWORD}@h1/a,amqp://u:{PASSWORD}@h2/b")), "virtual hosts"),
            (amqp_problem(&format!("amqp://h1/,amqp://u:{PASSWORD}@h2/?x=1")), "parameter x"),
            (amqp_problem(&format!("amqp://h1/amqp://u:{PASSWORD}@h2/")), "several brokers"),
            (amqp_problem(&format!("amqp://h1/u:{PASSWORD}@h2")), "virtual host"),
            (amqp_problem(&format!("amqps://h/?cacertfile={PASSWORD}")), "parameter cacertfile"),
        ];
        for (n, (problem, words)) in cases.into_iter().enumerate() {
            let problem = problem.unwrap_or_else(|| panic!("case {n} is refused"));
            assert!(problem.contains(words) && !problem.contains(PASSWORD), "case {n}: {problem}");
        }
        assert!(amqp_problem("amqp://u:p@h1:5672,h2:5672").is_some());
    }

    #[test]
    fn the_nodes_of_a_cluster_are_named_each_with_its_address() {
        let cases = [
            ("amqp://u:p@h1:5672/%2f", vec!["amqp://u:p@h1:5672/%2f"]),
            ("amqp://u:p,q@h1/s", vec!["amqp://u:p,q@h1/s"]),
            (
                "amqp://u:p@h1/s,amqps://u:p@h2/s, amqp://u:p@h3/s",
                vec!["amqp://u:p@h1/s", "amqps://u:p@h2/s", "amqp://u:p@h3/s"],
            ),
            ("amqp://h1,amqp://h2/", vec!["amqp://h1", "amqp://h2/"]),
        ];
        for (text, expected) in cases {
            assert_eq!(brokers(&text.replace(", ", ",")), expected, "{text}");
            assert_eq!(amqp_problem(&text.replace(", ", ",")), None, "{text}");
        }
    }
}
