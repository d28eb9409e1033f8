//! Private authorities, certificates of ours and proxies, on real servers: whom the product trusts,
//! what it shows, and what it says when that is not enough.

mod authority;
mod servers;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use shared::config::{Config, Role, Source};
use shared::domain::Secret;
use shared::queue::amqp::AmqpQueue;
use shared::queue::amqp::config::AmqpConfig;
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::RetailcrmSim;
use url::Url;

use crate::authority::Authority;
use crate::servers::Proxy;

/// 32 bytes.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

struct Bridge<'a> {
    home: &'a Authority,
    settings: Vec<(&'static str, String)>,
}

impl Bridge<'_> {
    fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_bridge"))
            .args(arguments)
            .current_dir(&self.home.0)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    fn doctor(&self, more: &[(&str, &str)]) -> Findings {
        let (_, out, err) = self.run(&["--json", "doctor"], more);
        Findings(serde_json::from_str(&out).unwrap_or_else(|bad| panic!("{bad}: {out} {err}")))
    }
}

#[derive(Debug)]
struct Findings(Vec<Value>);

impl Findings {
    #[track_caller]
    fn have(&self, level: &str, what: &str, remedy: &str) {
        let has = |f: &Value, key: &str, words: &str| f[key].as_str().is_some_and(|text| text.contains(words));
        let found = |f: &&Value| f["level"] == level && has(f, "what", what) && has(f, "remedy", remedy);
        assert!(self.0.iter().any(|f| found(&f)), "«{what}» with «{remedy}» in {:#?}", self.0);
    }

    #[track_caller]
    fn lack(&self, what: &str) {
        assert!(!self.0.iter().any(|f| f["what"].as_str().is_some_and(|text| text.contains(what))), "{:#?}", self.0);
    }
}

/// Settings under which what the authority signed is trusted, and those under which it is not.
fn trust(authority: &Authority, foreign: &Authority) -> [(Vec<(&'static str, String)>, bool); 6] {
    let (ca, other) = (authority.ca(), foreign.ca());
    [
        (vec![("TLS_CA_FILE", ca.clone())], true),
        (vec![], false),
        (vec![("TLS_CA_FILE", other.clone())], false),
        // What stands for the system's list; neither takes anything from the other.
        (vec![("SSL_CERT_FILE", ca.clone())], true),
        (vec![("SSL_CERT_FILE", ca.clone()), ("TLS_CA_FILE", other.clone())], true),
        (vec![("SSL_CERT_FILE", other), ("TLS_CA_FILE", ca)], true),
    ]
}

fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

const UNKNOWN: &str = "signed by an authority that this machine does not trust";

#[tokio::test]
async fn a_database_with_a_private_authority_is_trusted_by_the_settings_or_refused_with_the_next_step() {
    let (authority, foreign) = (Authority::new("private"), Authority::new("foreign"));
    let (_postgres, port) = servers::postgres(&authority).await;
    let url = |user: &str, more: &str| format!("postgres://{user}@localhost:{port}/postgres?sslmode=verify-full{more}");
    let with = |url: String| Bridge {
        home: &authority,
        settings: vec![("DATABASE_URL", url), ("BRIDGE_SECRET_KEY", KEY.to_owned())],
    };
    let bridge = with(url("postgres", ""));
    for (settings, trusted) in trust(&authority, &foreign) {
        let settings = borrowed(&settings);
        let (code, _, err) = bridge.run(&["migrate"], &settings);
        assert_eq!(code == 0, trusted, "{settings:?}: {err}");
        if !trusted {
            assert!(err.contains(UNKNOWN), "{err}");
            bridge.doctor(&settings).have("error", UNKNOWN, "TLS_CA_FILE");
        }
    }
    let (ca, other) = (authority.ca(), foreign.ca());
    let named = with(url("postgres", &format!("&sslrootcert={ca}")));
    assert_eq!(named.run(&["migrate"], &[("TLS_CA_FILE", &other)]).0, 0, "what the URL names is taken");

    let by_address = with(url("postgres", "").replace("localhost", "127.0.0.1"));
    by_address.doctor(&[("TLS_CA_FILE", &ca)]).have("error", "for another host name", "host name into DATABASE_URL");
    let unlooked = with(url("postgres", "").replace("verify-full", "require"));
    unlooked.doctor(&[("TLS_CA_FILE", &ca)]).have("warning", "does not ask that", "sslmode=verify-full");

    // One who must show a certificate.
    let shown = with(url("shown", ""));
    let (own, key) = authority.sign("shown");
    let (stranger, strangers) = foreign.sign("shown");
    let (code, _, err) = shown.run(&["migrate"], &[("TLS_CA_FILE", &ca)]);
    assert!(code == 1 && err.contains("TLS_CERT_FILE"), "{err}");
    let (code, _, err) =
        shown.run(&["migrate"], &[("TLS_CA_FILE", &ca), ("TLS_CERT_FILE", &stranger), ("TLS_KEY_FILE", &strangers)]);
    assert!(code == 1 && err.contains("wants a certificate of ours"), "{err}");
    let (code, _, err) =
        shown.run(&["migrate"], &[("TLS_CA_FILE", &ca), ("TLS_CERT_FILE", &own), ("TLS_KEY_FILE", &key)]);
    assert_eq!(code, 0, "{err}");
}

#[tokio::test]
async fn a_broker_with_a_private_authority_is_trusted_by_the_settings_or_refused_with_the_next_step() {
    let (authority, foreign) = (Authority::new("private"), Authority::new("foreign"));
    let at = |port: u16| {
        let mut url = Url::parse(&harness::broker_url().replacen("amqp:", "amqps:", 1)).expect("a URL");
        url.set_host(Some("localhost")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        url.to_string()
    };
    let with = |url: String| Bridge {
        home: &authority,
        settings: vec![("AMQP_URL", url), ("AMQP_PREFIX", format!("tls-{}", uuid::Uuid::new_v4().simple()))],
    };
    let plain = at(servers::rabbitmq(&authority, false).await);
    let bridge = with(plain.clone());
    for (settings, trusted) in trust(&authority, &foreign) {
        let findings = bridge.doctor(&borrowed(&settings));
        match trusted {
            true => findings.have("ok", "is reachable", ""),
            false => findings.have("error", UNKNOWN, "TLS_CA_FILE"),
        }
    }

    let asking = at(servers::rabbitmq(&authority, true).await);
    let (ca, (own, key)) = (authority.ca(), authority.sign("bridge"));
    let (stranger, strangers) = foreign.sign("bridge");
    let shown = with(asking.clone());
    // Its words reach us or not, the next step does.
    shown.doctor(&[("TLS_CA_FILE", &ca)]).have("error", "RabbitMQ ", "TLS_CERT_FILE");
    let wrong = [("TLS_CA_FILE", ca.as_str()), ("TLS_CERT_FILE", &stranger), ("TLS_KEY_FILE", &strangers)];
    shown.doctor(&wrong).have("error", "RabbitMQ ", "TLS_CERT_FILE");
    let right = [("TLS_CA_FILE", ca.as_str()), ("TLS_CERT_FILE", &own), ("TLS_KEY_FILE", &key)];
    let findings = shown.doctor(&right);
    findings.have("ok", "is reachable", "");
    findings.have("ok", "TLS_CERT_FILE: 1 certificate(s)", "");

    // The queue of the roles, not the doctor's look.
    for (settings, url, lets_in) in
        [(&right[..], &asking, true), (&right[..1], &plain, true), (&right[..1], &asking, false)]
    {
        let tls = Config::read(Role::Bridge, &Source::from_pairs(settings.iter().copied())).expect("settings").tls;
        let config = AmqpConfig::new(&Secret::new(url.clone()), "tls").expect("a URL").with_tls(tls);
        let queue = AmqpQueue::start(config);
        let limit = Duration::from_secs(if lets_in { 30 } else { 2 });
        assert_eq!(queue.connected(limit).await, lets_in, "{settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vendors_behind_a_private_authority_and_a_proxy_are_reached_or_it_is_said_why_not() {
    let (authority, foreign) = (Authority::new("private"), Authority::new("foreign"));
    let measoft = MeasoftSim::start(Default::default()).await.expect("MeaSoft");
    measoft.add_account(Account::new("8", "shop-demo", "secret-demo"));
    let crm = RetailcrmSim::start(Default::default()).await.expect("RetailCRM");
    crm.add_account("crm-key");
    let courier = Url::parse(&measoft.url()).expect("a URL");
    let (_nginx, ports) = servers::nginx(&authority, &[&courier.origin().ascii_serialization(), &crm.url()]);
    let (at_measoft, at_crm) = (format!("localhost:{}", ports[0]), format!("localhost:{}", ports[1]));
    let bridge = Bridge {
        home: &authority,
        settings: vec![
            ("DATA_DIR", authority.path("data")),
            ("CRM_ALLOWED_HOSTS", "localhost".to_owned()),
            ("MEASOFT_URL", format!("https://{at_measoft}{}", courier.path())),
        ],
    };
    let address = format!("https://{at_crm}");
    let add = ["integration", "add", "--title", "Город", "--crm-url", &address, "--crm-key", "crm-key"];
    let account = ["--extra", "8", "--login", "shop-demo", "--password", "secret-demo"];
    let (code, _, err) = bridge.run(&[&add[..], &account[..]].concat(), &[]);
    assert_eq!(code, 0, "{err}");

    let (good, bad) =
        (["MeaSoft accepts the login", "RetailCRM accepts the API key"], ["MeaSoft (", "RetailCRM cannot be reached"]);
    let proxy = Proxy::start();
    for (settings, trusted) in trust(&authority, &foreign) {
        let findings = bridge.doctor(&borrowed(&settings));
        for (good, bad) in good.into_iter().zip(bad) {
            match trusted {
                true => findings.have("ok", good, ""),
                false => {
                    findings.have("error", UNKNOWN, "TLS_CA_FILE");
                    findings.have("error", bad, "TLS_CA_FILE");
                }
            }
        }
    }
    assert_eq!(proxy.take(), Vec::<String>::new());

    let mut both = [at_measoft, at_crm];
    both.sort();
    let ca = authority.ca();
    for (more, asked, reached) in [
        (vec![("HTTPS_PROXY", proxy.url.as_str())], &both[..], true),
        (vec![("https_proxy", proxy.url.as_str())], &both[..], true),
        (vec![("ALL_PROXY", proxy.url.as_str())], &both[..], true),
        (vec![("HTTPS_PROXY", proxy.url.as_str()), ("NO_PROXY", "example.org,localhost")], &[], true),
        (vec![("HTTP_PROXY", proxy.url.as_str())], &[], true),
        // Nobody listens there: nothing goes past a proxy that is away.
        (vec![("HTTPS_PROXY", "http://127.0.0.1:9")], &[], false),
    ] {
        let findings = bridge.doctor(&[&more[..], &[("TLS_CA_FILE", &ca)]].concat());
        for good in good {
            if reached { findings.have("ok", good, "") } else { findings.lack(good) }
        }
        if !reached {
            findings.have("error", "MeaSoft (", "proxy");
        }
        assert_eq!(proxy.take(), asked, "{more:?}");
    }
}
