//! Everything under deploy/ that is not Rust, held against the code: names of variables,
//! metrics, binaries and ports, and each file read by the program it is written for.
//!
//! One test needs RabbitMQ and PostgreSQL too: its Prometheus scrapes the real binaries.
//! `promtool`, `prometheus`, `nginx`, `openssl` and `systemd-analyze` must be installed;
//! with `BRIDGE_TEST_UNIT_ONLY=1` what needs them is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use harness::{World, eventually};
use serde_json::Value;
use shared::config::{Config, Role, Source};
use shared::domain::IntegrationId;
use shared::telemetry::{Health, Metrics, health};
use suites::root;

const ROLES: [(&str, Role); 4] =
    [("bridge", Role::Bridge), ("ingress", Role::Ingress), ("worker", Role::Worker), ("scheduler", Role::Scheduler)];

// ---- files and tools ----

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml_documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn entries(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value} is no map"))
}

/// Texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(text).collect()
}

/// Every text anywhere inside.
fn all_texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| all_texts(item, into)),
        Value::Object(map) => map.values().for_each(|item| all_texts(item, into)),
        _ => {}
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/usr/bin"]).map(|folder| Path::new(folder).join(name)).find(|p| p.is_file())
}

/// A program this test runs. Missing, it fails the test and says what to install, unless
/// only unit tests were asked for.
fn program(name: &str, package: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() && std::env::var_os("BRIDGE_TEST_UNIT_ONLY").is_none() {
        panic!("{name} is not installed: apt-get install {package} (or set BRIDGE_TEST_UNIT_ONLY=1 to leave this out)");
    }
    found
}

/// Runs a command to its end; panics with its output when it fails.
fn succeed(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?} failed ({}):\n{out}", done.status);
    out
}

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-deploy-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("utf-8").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("utf-8").to_owned()
    }

    /// A script that does nothing, in place of a program.
    fn dummy(&self, name: &str) {
        let path = self.write(name, "#!/bin/sh\n");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address").port()
}

// ---- what the code says ----

/// Text literals of settings' names in the code that reads them.
fn variables() -> BTreeSet<String> {
    let code = ["mod", "console", "tls"].map(|file| read(&format!("shared/src/config/{file}.rs")));
    let code = code.map(|code| code.split("#[cfg(test)]").next().expect("code").to_owned()).concat();
    // Those of tests exist in no build that is handed out.
    let is_name = |t: &str| {
        t.len() > 3
            && !t.starts_with("TEST_")
            && t.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let names: BTreeSet<String> =
        code.split('"').skip(1).step_by(2).filter(|t| is_name(t)).map(str::to_owned).collect();
    assert!(names.len() > 20 && names.contains("DATABASE_URL"), "the names were not found: {names:?}");
    names
}

/// A variable that a process of ours reads, from itself or from a file.
fn assert_variable(name: &str, place: &str) {
    let known = variables();
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    assert!(known.contains(name) || known.contains(plain), "{place}: no process reads {name}");
}

/// Names of binaries: packages with src/main.rs, and src/bin.
fn binaries() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let workspace = read("Cargo.toml");
    let members = workspace.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        let folder = root().join(member);
        if let Ok(bin) = std::fs::read_dir(folder.join("src/bin")) {
            names.extend(
                bin.map(|f| f.expect("entry").path().file_stem().expect("name").to_str().expect("utf-8").to_owned()),
            );
        }
        if folder.join("src/main.rs").exists() {
            let manifest = read(&format!("{member}/Cargo.toml"));
            let section = manifest.split("[[bin]]").nth(1).unwrap_or(&manifest);
            names.insert(section.split("name = \"").nth(1).and_then(|t| t.split('"').next()).expect("name").to_owned());
        }
    }
    names
}

fn default_config(role: Role) -> Config {
    let pairs = [("AMQP_URL", "amqp://127.0.0.1/")];
    Config::read(role, &Source::from_pairs(if role == Role::Bridge { &pairs[..0] } else { &pairs[..] }.iter().copied()))
        .expect("defaults")
}

fn ops_port(role: &str) -> u16 {
    let (_, role) = ROLES.iter().find(|(name, _)| *name == role).unwrap_or_else(|| panic!("{role} is no role"));
    default_config(*role).ops_listen.port()
}

/// Metric → label → values, of every sample a process prints.
struct Families(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Families {
    fn of_the_code() -> Self {
        let metrics = Metrics::new();
        metrics.sync_succeeded(IntegrationId(1), jiff::Timestamp::UNIX_EPOCH);
        metrics.set_waiting(&[(IntegrationId(1), "orders", "due", 1)]);
        metrics.set_replays(&[(1, "queued", 1), (1, "done", 1)]);
        let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
            let sample = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let family = found.entry(name.to_owned()).or_default();
            for (label, _, value) in matchers(labels.trim_end_matches('}')) {
                family.entry(label).or_default().insert(value);
            }
        }
        // Of the scrape, not of the process.
        found.insert("up".to_owned(), BTreeMap::new());
        Self(found)
    }
}

/// Label, operator, value.
type Matcher = (String, String, String);

/// `label op "value"` of a selector's inside.
fn matchers(text: &str) -> Vec<Matcher> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('"') {
        let (value, after) = tail.split_once('"').expect("a closed text");
        let head = head.trim_start_matches([',', ' ']);
        let label: String = head.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.push((label.clone(), head[label.len()..].trim().to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// What a PromQL expression reads.
struct Reads {
    selectors: Vec<(String, Vec<Matcher>)>,
    /// Labels of `by (…)` and `on (…)`.
    grouped: Vec<String>,
}

fn reads(expression: &str) -> Reads {
    let mut reads = Reads { selectors: Vec::new(), grouped: Vec::new() };
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"' || c == '[') {
        rest = &rest[start..];
        if let Some(inside) = rest.strip_prefix('"') {
            rest = inside.split_once('"').expect("a closed text").1;
            continue;
        }
        if let Some(inside) = rest.strip_prefix('[') {
            rest = inside.split_once(']').expect("a closed range").1;
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let opened = after.trim_start();
        if let Some(inside) = opened.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').expect("a closed selector");
            reads.selectors.push((name.to_owned(), matchers(inside)));
            rest = after;
        } else if matches!(name, "by" | "on" | "without" | "ignoring" | "group_left" | "group_right") {
            let (inside, after) = opened.strip_prefix('(').and_then(|t| t.split_once(')')).expect("labels");
            reads.grouped.extend(inside.split(',').map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()));
            rest = after;
        } else if name == "up" || ["bridge", "process_", "ALERTS"].iter().any(|prefix| name.starts_with(prefix)) {
            reads.selectors.push((name.to_owned(), Vec::new()));
        }
    }
    reads
}

struct Rule {
    name: String,
    expr: String,
    value: Value,
}

fn rules(file: &str, kind: &str) -> Vec<Rule> {
    let mut found = Vec::new();
    for group in list(&yaml(file)["groups"]) {
        for rule in list(&group["rules"]) {
            found.push(Rule {
                name: text(&rule[kind]).to_owned(),
                expr: text(&rule["expr"]).to_owned(),
                value: rule.clone(),
            });
        }
    }
    found
}

fn recorded() -> Vec<Rule> {
    rules("deploy/prometheus/rules.yml", "record")
}

fn alerts() -> Vec<Rule> {
    rules("deploy/prometheus/alerts.yml", "alert")
}

fn dashboards() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("deploy/grafana")).expect("folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|e| e == "json") {
            let name = format!("deploy/grafana/{}", path.file_name().expect("name").to_str().expect("utf-8"));
            let board = serde_json::from_str(&read(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push((name, board));
        }
    }
    assert!(!found.is_empty(), "there is a dashboard");
    found
}

/// Every expression of the dashboards, its variables replaced.
fn dashboard_expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, board) in dashboards() {
        for panel in list(&board["panels"]) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = text(&target["expr"]).replace("$__rate_interval", "5m").replace("$job", "bridge|ingress");
                assert!(!expr.contains('$'), "{name}: unknown variable in {expr}");
                found.push((format!("{name}, {}", text(&panel["title"])), expr));
            }
        }
        for annotation in board["annotations"]["list"].as_array().into_iter().flatten() {
            found.push((format!("{name}, annotation"), text(&annotation["expr"]).to_owned()));
        }
    }
    found
}

fn scaler_query() -> (String, String) {
    let object = yaml("deploy/k8s/components/keda/scaledobject.yaml");
    ("scaledobject.yaml".to_owned(), text(&object["spec"]["triggers"][0]["metadata"]["query"]).to_owned())
}

/// Place and text of every expression there is.
fn expressions() -> Vec<(String, String)> {
    let mut all: Vec<_> = recorded().into_iter().chain(alerts()).map(|rule| (rule.name, rule.expr)).collect();
    all.extend(dashboard_expressions());
    all.push(scaler_query());
    all
}

// ---- Prometheus and Grafana ----

#[test]
fn every_expression_reads_metrics_labels_and_values_that_the_code_has() {
    let families = Families::of_the_code();
    let recorded: HashMap<String, String> = recorded().into_iter().map(|rule| (rule.name, rule.expr)).collect();
    let mut labels: BTreeSet<&str> = families.0.values().flatten().map(|(label, _)| label.as_str()).collect();
    labels.extend(["job", "instance"]);
    let mut read_families = BTreeSet::new();
    for (place, expr) in expressions() {
        let reads = reads(&expr);
        assert!(!reads.selectors.is_empty(), "{place}: {expr} reads nothing");
        for label in &reads.grouped {
            assert!(labels.contains(label.as_str()), "{place}: no metric has the label {label}");
        }
        for (name, matchers) in reads.selectors {
            if name == "ALERTS" {
                continue;
            }
            // A recorded figure has the labels of what it was made of.
            let base = match recorded.get(&name) {
                Some(expr) => self::reads(expr).selectors[0].0.clone(),
                None => name.clone(),
            };
            let family = families.0.get(&base).unwrap_or_else(|| panic!("{place}: no process prints {name}"));
            read_families.insert(base.clone());
            for (label, operator, value) in matchers {
                let known = match label.as_str() {
                    "job" => ROLES.iter().map(|(name, _)| (*name).to_owned()).collect(),
                    "instance" => continue,
                    _ => family.get(&label).unwrap_or_else(|| panic!("{place}: {base} has no label {label}")).clone(),
                };
                let wanted: Vec<&str> =
                    if operator.ends_with('~') { value.split('|').collect() } else { vec![value.as_str()] };
                for one in wanted {
                    let one = one.trim_end_matches(r"(\\.0)?");
                    assert!(known.contains(one), "{place}: {base} has no {label}={one}, only {known:?}");
                }
            }
        }
    }
    for family in families.0.keys().filter(|name| name.starts_with("bridge_")) {
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(read_families.iter().any(|name| name.starts_with(plain)), "nobody looks at {family}");
    }
}

#[test]
fn every_alert_says_what_it_is_and_has_a_runbook_entry_and_a_test() {
    let runbook = read("deploy/RUNBOOK.md");
    let cases = yaml("deploy/prometheus/alerts_test.yml");
    let cases: Vec<&Value> = list(&cases["tests"])
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten())
        .collect();
    let alerts = alerts();
    for alert in &alerts {
        let (name, rule) = (&alert.name, &alert.value);
        let severity = text(&rule["labels"]["severity"]);
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description"] {
            let words = text(&rule["annotations"][annotation]);
            assert!(words.len() > 10 && !words.ends_with(' '), "{name}: {annotation}");
        }
        assert_eq!(text(&rule["annotations"]["runbook_url"]), format!("deploy/RUNBOOK.md#{}", name.to_lowercase()));
        let entry =
            runbook.split(&format!("\n### {name}\n")).nth(1).unwrap_or_else(|| panic!("{name} is not in the runbook"));
        let entry = entry.split("\n## ").next().and_then(|t| t.split("\n### ").next()).expect("an entry");
        for part in [&format!("*{severity}* — "), "**Look**\n\n* ", "**Do**\n\n* "] {
            assert!(entry.contains(part), "the runbook entry of {name} lacks «{part}»");
        }
        let of_it = || cases.iter().filter(|case| text(&case["alertname"]) == name);
        assert!(of_it().any(|case| !list(&case["exp_alerts"]).is_empty()), "no test sees {name} fire");
        assert!(of_it().filter(|case| list(&case["exp_alerts"]).is_empty()).count() > 1, "no test sees {name} silent");
    }
    let known: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(known.len(), alerts.len(), "two alerts share a name");
    for heading in runbook.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(known.contains(heading), "the runbook explains {heading}, which is no alert");
    }
}

#[test]
fn promtool_accepts_the_files_and_the_alerts_fire_and_stay_silent_as_they_should() {
    let Some(promtool) = program("promtool", "prometheus") else { return };
    let prometheus = root().join("deploy/prometheus");
    let run = |arguments: &[&str]| succeed(Command::new(&promtool).current_dir(&prometheus).args(arguments));
    run(&["check", "rules", "rules.yml", "alerts.yml"]);
    run(&["check", "config", "prometheus.yml"]);
    run(&["check", "config", "prometheus.compose.yml"]);
    run(&["test", "rules", "alerts_test.yml"]);
    // A file of targets is read by Prometheus alone; here at least its shape and roles.
    for file in ["deploy/prometheus/targets/one-process.yml", "deploy/prometheus/targets/split.yml.example"] {
        for group in list(&yaml(file)) {
            let role = text(&group["labels"]["job"]);
            for target in texts(&group["targets"]) {
                let port: u16 = target.rsplit_once(':').expect("a port").1.parse().expect("a port");
                // worker@01 and so on have ports of their own.
                let fits = port == ops_port(role) || (role == "worker" && (9201..=9299).contains(&port));
                assert!(fits, "{file}: {role} is not at {target}");
            }
        }
    }
}

/// What idle processes print no sample of.
const WITHOUT_SAMPLE: [&str; 2] = ["bridge_waiting", "bridge_replay_letters"];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_evaluates_every_rule_and_every_panel() {
    let Some(prometheus) = program("prometheus", "prometheus") else { return };
    let scratch = Scratch::new();
    let (split, whole) = tokio::join!(World::scaled("prometheus").start(), World::embedded("prometheus-one").start());
    let mut targets = String::new();
    let mut count = 0;
    for world in [&split, &whole] {
        for name in world.process_names() {
            let job = name.split('-').next().expect("a name");
            targets.push_str(&format!("- targets: ['{}']\n  labels: {{ job: {job} }}\n", world.ops(&name)));
            count += 1;
        }
    }
    scratch.write("targets/all.yml", &targets);
    scratch.write("rules.yml", &read("deploy/prometheus/rules.yml").replace("interval: 30s", "interval: 1s"));
    scratch.write("alerts.yml", &read("deploy/prometheus/alerts.yml"));
    let config = read("deploy/prometheus/prometheus.yml");
    let config = scratch.write("prometheus.yml", &config.replace("_interval: 15s", "_interval: 1s"));
    let url = format!("http://127.0.0.1:{}", free_port());
    let log = std::fs::File::create(scratch.path("log")).expect("log");
    let _running = Running(
        Command::new(prometheus)
            .args([&format!("--config.file={config}"), &format!("--storage.tsdb.path={}", scratch.path("data"))])
            .arg(format!("--web.listen-address={}", url.trim_start_matches("http://")))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts"),
    );
    let http = simulators::http().build().expect("a client");
    let get = async |path: &str, query: &[(&str, &str)]| -> Result<Value, String> {
        let answer = http.get(format!("{url}{path}")).query(query).send().await.map_err(|error| error.to_string())?;
        let body: Value =
            serde_json::from_str(&answer.text().await.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(body.to_string()) }
    };
    let expected = count.to_string();
    eventually("Prometheus evaluates everything", Duration::from_secs(60), async || {
        let up = get("/api/v1/query", &[("query", "count(up == 1)")]).await?;
        if up["result"][0]["value"][1] != expected.as_str() {
            return Err(format!("not all targets are up: {up}"));
        }
        for group in list(&get("/api/v1/rules", &[]).await?["groups"]) {
            for rule in list(&group["rules"]) {
                if rule["health"] != "ok" {
                    return Err(format!("{} is {}: {}", rule["name"], rule["health"], rule["lastError"]));
                }
            }
        }
        // Recorded figures are there, with the labels alerts go by.
        let budget = get("/api/v1/query", &[("query", "count(bridge:measoft_budget_tokens:max)")]).await?;
        if budget["result"][0]["value"][1] != "3" {
            return Err(format!("nothing was recorded: {budget}"));
        }
        // Every name that is asked for was seen: a query of an unknown name is no error.
        let names = get("/api/v1/label/__name__/values", &[]).await?;
        let known: BTreeSet<&str> = list(&names).iter().map(text).collect();
        for (place, expr) in expressions() {
            // A recorded ratio may have nothing to say on idle processes; what it is made of is asked here too.
            let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
            for name in words.filter(|word| word.starts_with("bridge_")) {
                if !known.contains(name) && !WITHOUT_SAMPLE.contains(&name) {
                    return Err(format!("{place}: {name} was never seen"));
                }
            }
        }
        Ok(())
    })
    .await;
    for (place, expr) in expressions() {
        if let Err(error) = get("/api/v1/query", &[("query", &expr)]).await {
            panic!("{place}: {error}");
        }
    }
    let firing = get("/api/v1/alerts", &[]).await.expect("alerts");
    let firing: Vec<&Value> = list(&firing["alerts"]).iter().filter(|alert| alert["state"] == "firing").collect();
    assert!(firing.is_empty(), "on idle processes nothing fires: {firing:?}");
    split.finish().await;
    whole.finish().await;
}

#[test]
fn the_dashboard_is_whole() {
    for (name, board) in dashboards() {
        let panels = list(&board["panels"]);
        let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().expect("id")).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: panels share an id");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |side: &str| panel["gridPos"][side].as_u64().expect("a number");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{name}: {} overlaps another panel", panel["title"]);
                }
            }
            if panel["type"] != "row" {
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {}", panel["title"]);
                assert!(!list(&panel["targets"]).is_empty(), "{name}: {} shows nothing", panel["title"]);
            }
        }
    }
    let source = yaml("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(text(&source["datasources"][0]["url"]), "http://prometheus:9090");
    let provider = yaml("deploy/grafana/provisioning/dashboards/measoft-bridge.yml");
    let folder = text(&provider["providers"][0]["options"]["path"]);
    let compose = yaml("deploy/compose.yaml");
    let mounted = texts(&compose["services"]["grafana"]["volumes"]);
    assert!(mounted.iter().any(|volume| volume.contains(&format!(":{folder}/"))), "{folder} is not mounted");
}

// ---- settings ----

/// Rows of the page: name, default's cell.
fn settings() -> Vec<(String, String)> {
    let page = read("deploy/SETTINGS.md");
    let rows: Vec<(String, String)> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.len() == 3 && cells[2].len() > 10, "{line}");
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect();
    rows
}

#[test]
fn the_page_of_settings_lists_exactly_the_variables_of_the_code() {
    let listed: Vec<String> = settings().into_iter().map(|(name, _)| name).collect();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a variable is listed twice");
    assert_eq!(unique, variables());
}

#[test]
fn the_defaults_on_the_page_are_the_codes() {
    let plain = format!("{:?}", default_config(Role::Bridge));
    for (name, cell) in settings() {
        if cell == "unset" || name == "BRIDGE_SECRET_KEY" {
            continue;
        }
        if name == "OPS_LISTEN" {
            for (role, which) in ROLES {
                let stated = cell
                    .split(", ")
                    .find(|part| part.contains(&format!("`{}`", if role == "bridge" { "bridge up" } else { role })));
                let address = default_config(which).ops_listen.to_string();
                assert!(stated.is_some_and(|part| part.contains(&address)), "{role} is at {address}: {cell}");
            }
            continue;
        }
        let value =
            cell.strip_prefix('`').and_then(|c| c.strip_suffix('`')).unwrap_or_else(|| panic!("{name}: {cell}"));
        let value = value.replace("<DATA_DIR>", "data").replace("<INGRESS_LISTEN>", "127.0.0.1:8080");
        let mut set = Config::read(Role::Bridge, &Source::from_pairs([(name.as_str(), value.as_str())]))
            .unwrap_or_else(|bad| panic!("{name}: {bad}"));
        // It tells who has set the place, not which it is.
        set.database_set_by = None;
        assert_eq!(format!("{set:?}"), plain, "{name} is not {value} by default");
    }
}

// ---- image and compose ----

fn compose_env(service: &Value) -> BTreeMap<String, String> {
    service["environment"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

/// `30s` → 30.
fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text} is no number of seconds"))
}

#[test]
fn the_image_holds_the_binaries_of_the_workspace() {
    let file = read("deploy/Dockerfile");
    let version = read("rust-toolchain.toml");
    let version = version.split("channel = \"").nth(1).and_then(|t| t.split('"').next()).expect("channel");
    let short = version.rsplit_once('.').expect("a patch version").0;
    assert!(file.contains(&format!("FROM rust:{short}-slim-bookworm AS build")), "the image builds with Rust {short}");
    assert!(file.contains(&format!("RUSTUP_TOOLCHAIN={version}")));
    let copied: BTreeSet<String> = file
        .split("target/dist/")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect())
        .collect();
    let proofs = ["bench", "faults", "fuzz"].map(str::to_owned);
    assert_eq!(copied, &binaries() - &BTreeSet::from(proofs), "what proves the product is not part of it");
    let build = file.split("cargo build").nth(1).and_then(|t| t.split("&&").next()).expect("a build");
    for package in build.split(" -p ").skip(1).map(|rest| rest.split_whitespace().next().expect("name")) {
        assert!(read("Cargo.lock").contains(&format!("name = \"{package}\"\n")), "no package {package}");
    }
    let last = file.split("\nFROM ").last().expect("a stage");
    assert!(last.starts_with("base AS measoft-bridge"), "the product is what is built when nothing is said");
    let base = file.split("AS base").nth(1).and_then(|t| t.split("\nFROM ").next()).expect("base");
    assert!(base.contains("\nUSER 10001:10001") && base.contains("ca-certificates"));
    assert!(!last.contains("USER "), "nothing goes back to root");
    for (name, value) in file
        .lines()
        .filter_map(|l| l.strip_prefix("ENV "))
        .flat_map(|l| l.split_whitespace().filter_map(|pair| pair.split_once('=')).collect::<Vec<_>>())
    {
        if name != "RUSTUP_TOOLCHAIN" {
            assert_variable(name, "Dockerfile");
            assert!(!value.starts_with("127."), "{name}: not reachable from outside the container");
        }
    }
    for path in file.lines().filter_map(|l| l.strip_prefix("COPY deploy/")).filter_map(|l| l.split(' ').next()) {
        assert!(root().join("deploy").join(path).exists(), "{path}");
        assert!(read("deploy/Dockerfile.dockerignore").contains(&format!("!deploy/{path}\n")), "{path} is ignored");
    }
    for member in ["ingress", "worker", "scheduler", "shared", "tests", "deploy/bridge", "Cargo.toml", "Cargo.lock"] {
        assert!(
            read("deploy/Dockerfile.dockerignore").lines().any(|l| l == format!("!{member}")),
            "{member} is ignored"
        );
    }
}

#[test]
fn compose_runs_the_roles_with_settings_that_exist() {
    let compose = yaml("deploy/compose.yaml");
    let services = entries(&compose["services"]);
    let secrets = entries(&compose["secrets"]);
    let scraped = yaml("deploy/prometheus/prometheus.compose.yml");
    for (role, _) in ROLES.iter().skip(1) {
        let service = services.get(*role).unwrap_or_else(|| panic!("no service {role}"));
        assert_eq!(texts(&service["command"]), [*role]);
        let env = compose_env(service);
        assert_eq!(env["OPS_LISTEN"], format!("0.0.0.0:{}", ops_port(role)));
        let job = list(&scraped["scrape_configs"]).iter().find(|job| job["job_name"] == *role);
        let found = &job.unwrap_or_else(|| panic!("{role} is not scraped"))["dns_sd_configs"][0];
        assert_eq!((texts(&found["names"]), found["port"].as_u64()), (vec![*role], Some(ops_port(role).into())));
        let shared = |name: &str| list(&services[name]["networks"]).to_vec();
        assert!(shared(role).iter().any(|network| shared("prometheus").contains(network)), "{role} is out of reach");
    }
    let ours = services.iter().filter(|(_, s)| s["image"].as_str().is_some_and(|i| i.starts_with("measoft-bridge:")));
    let mut count = 0;
    for (name, service) in ours {
        count += 1;
        let env = compose_env(service);
        env.keys().for_each(|variable| assert_variable(variable, name));
        for (variable, value) in env.iter().filter(|(variable, _)| variable.ends_with("_FILE")) {
            let secret = value.strip_prefix("/run/secrets/").unwrap_or_else(|| panic!("{variable}: {value}"));
            assert!(texts(&service["secrets"]).contains(&secret), "{name} is not given {secret}");
        }
        let grace: u64 = env["SHUTDOWN_GRACE_S"].parse().expect("seconds");
        assert!(seconds(text(&service["stop_grace_period"])) > grace + 5, "{name} is killed before its grace is over");
        let binary = service.get("entrypoint").unwrap_or(&service["command"]);
        assert!(binaries().contains(texts(binary)[0]), "{name} runs {binary}");
        let build = &service["build"];
        assert!(root().join("deploy").join(text(&build["context"])).join(text(&build["dockerfile"])).exists());
        assert!(read("deploy/Dockerfile").contains(&format!(" AS {}\n", text(&build["target"]))));
        let source =
            Source::from_pairs(env.iter().filter(|(n, _)| !n.ends_with("_FILE")).map(|(n, v)| (n.clone(), plain(v))));
        Config::read(Role::Bridge, &source).unwrap_or_else(|bad| panic!("{name}: {bad}"));
    }
    assert_eq!(count, 5, "three roles, migration, operator's command");
    for (name, service) in services {
        for used in service["secrets"].as_array().into_iter().flatten() {
            let used = used.as_str().unwrap_or_else(|| text(&used["source"]));
            assert!(secrets.contains_key(used), "{name}: no secret {used}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(["ingress", "grafana"].contains(&name.as_str()), "{name} is reachable from outside");
            assert!(text(port).starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().map(text) {
            let from = volume.split(':').next().expect("a source");
            let there = if from.starts_with('.') {
                root().join("deploy").join(from).exists()
            } else {
                compose["volumes"].get(from).is_some()
            };
            assert!(there, "{name}: {from} does not exist");
        }
        for after in service["depends_on"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(services.contains_key(after), "{name} waits for {after}, which does not exist");
        }
        let checked = service["healthcheck"].get("test").is_some()
            || service["image"].as_str().is_some_and(|i| i.starts_with("measoft-bridge"));
        assert!(checked, "{name} has no health check");
    }
}

/// A value with compose's `${NAME:-default}` at its default.
fn plain(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (inside, after) = rest.split_once('}').expect("a closed variable");
    format!("{before}{}{}", inside.split_once(":-").map_or("", |(_, default)| default), plain(after))
}

#[test]
fn the_demo_adds_simulators_that_the_worker_may_call() {
    let base = yaml("deploy/compose.yaml");
    let demo = yaml("deploy/compose.demo.yaml");
    let mut vendors = None;
    for (name, service) in entries(&demo["services"]) {
        let env = compose_env(service);
        env.keys().for_each(|variable| assert_variable(variable, name));
        if base["services"].get(name).is_some() {
            vendors = Some(env);
            continue;
        }
        let command = texts(&service["command"]);
        assert!(binaries().contains(command[0]), "{name} runs {command:?}");
        let code = read(&format!("tests/simulators/src/bin/{}.rs", command[0]));
        for flag in command.iter().filter_map(|part| part.strip_prefix("--")) {
            let declared = code.contains(&format!("    {flag}: ")) || code.contains(&format!("long = \"{flag}\""));
            assert!(declared, "{name} has no --{flag}");
        }
        assert!(read("deploy/Dockerfile").contains(&format!("target/dist/{}", command[0])));
    }
    let vendors = vendors.expect("the roles are told where the vendors are");
    let measoft = &vendors["MEASOFT_URL"];
    assert!(shared::config::is_safe_url(measoft), "{measoft} would be refused");
    let listen = texts(&demo["services"]["measoft-sim"]["command"])[2];
    assert_eq!(measoft, &format!("http://{listen}/api/"));
    assert_eq!(text(&demo["services"]["measoft-sim"]["network_mode"]), "service:worker");
    assert_eq!(vendors["CRM_ALLOWED_HOSTS"], "retailcrm-sim");
}

#[test]
fn secrets_are_made_once_and_fit_what_reads_them() {
    let scratch = Scratch::new();
    let script = scratch.write("make-secrets", &read("deploy/make-secrets"));
    let run = || succeed(Command::new("bash").arg(&script));
    run();
    let secret = |file: &str| std::fs::read_to_string(scratch.path(&format!("secrets/{file}"))).expect("a secret");
    let compose = yaml("deploy/compose.yaml");
    let files: Vec<&str> = entries(&compose["secrets"])
        .values()
        .map(|s| text(&s["file"]).strip_prefix("./secrets/").expect("below secrets"))
        .collect();
    let before: Vec<String> = files.iter().map(|file| secret(file)).collect();
    shared::crypto::SecretKey::parse(secret("secret_key").trim()).expect("a key");
    let source = Source::from_pairs([
        ("DATABASE_URL_FILE", scratch.path("secrets/database_url")),
        ("AMQP_URL_FILE", scratch.path("secrets/amqp_url")),
        ("BRIDGE_SECRET_KEY_FILE", scratch.path("secrets/secret_key")),
    ]);
    Config::read(Role::Worker, &source).expect("readable by a worker");
    let password = secret("postgres_password");
    assert!(
        password.len() >= 40 && secret("database_url").contains(&format!("bridge:{password}@postgres:5432/bridge"))
    );
    let password = secret("rabbitmq_user.conf");
    let password = password.trim().rsplit(' ').next().expect("a password");
    assert!(password.len() >= 40 && secret("amqp_url").contains(&format!("bridge:{password}@rabbitmq:5672/%2f")));
    let mode = std::fs::metadata(scratch.path("secrets")).expect("folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    run();
    assert_eq!(before, files.iter().map(|file| secret(file)).collect::<Vec<_>>(), "a second run changed a secret");
    assert!(read("deploy/.gitignore").contains("/secrets\n"));
}

#[tokio::test]
async fn the_health_check_believes_the_status_and_nothing_else() {
    let check = |port: u16, arguments: &[&str]| {
        let script = root().join("deploy/healthcheck");
        let mut command = tokio::process::Command::new(script);
        command.args(arguments).env("OPS_LISTEN", format!("0.0.0.0:{port}")).stderr(Stdio::null());
        async move { command.status().await.expect("runs").success() }
    };
    let health = Health::new();
    let (address, _server) =
        health::serve("127.0.0.1:0".parse().expect("address"), health.clone(), Arc::new(Metrics::new()))
            .await
            .expect("served");
    let port = address.port();
    assert!(check(port, &[]).await && check(port, &["/live"]).await && check(port, &["--wait", "5", "/ready"]).await);
    assert!(!check(port, &["/nothing"]).await);
    health.stopping();
    assert!(check(port, &["/live"]).await && !check(port, &["/ready"]).await);
    assert!(!check(free_port(), &["/live"]).await, "nobody listens");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    assert!(!check(silent.local_addr().expect("address").port(), &["/live"]).await, "accepts and says nothing");
}

// ---- systemd ----

/// Every `Key=value` of a unit, keys repeated.
fn unit(file: &str) -> Vec<(String, String)> {
    read(file)
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

const UNITS: [(&str, &str, &str); 4] = [
    ("bridge.service", "bridge up", "bridge"),
    ("ingress.service", "ingress", "ingress"),
    ("worker@.service", "worker", "worker"),
    ("scheduler.service", "scheduler", "scheduler"),
];

#[test]
fn the_units_run_the_binaries_with_settings_that_exist() {
    let mut hardening = BTreeSet::new();
    for (file, command, role) in UNITS {
        let path = format!("deploy/systemd/{file}");
        let unit = unit(&path);
        let one = |key: &str| {
            let found: Vec<&str> = unit.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect();
            assert_eq!(found.len(), 1, "{file}: {key}");
            found[0]
        };
        assert_eq!(one("ExecStart"), format!("/usr/local/bin/{command}"));
        assert!(binaries().contains(command.split(' ').next().expect("a name")));
        assert_eq!(one("RestartPreventExitStatus"), shared::config::BadConfig::EXIT_CODE.to_string());
        assert_eq!(one("Restart"), "always");
        let env: BTreeMap<&str, &str> =
            one("Environment").split(' ').map(|p| p.split_once('=').expect("a pair")).collect();
        env.keys().for_each(|variable| assert_variable(variable, file));
        let expected =
            if role == "worker" { "127.0.0.1:92%i".to_owned() } else { format!("127.0.0.1:{}", ops_port(role)) };
        assert_eq!(env["OPS_LISTEN"], expected, "{file}");
        let grace: u64 = env["SHUTDOWN_GRACE_S"].parse().expect("seconds");
        assert!(seconds(one("TimeoutStopSec")) > grace + 5, "{file} is killed before its grace is over");
        assert_eq!(env["DATA_DIR"], format!("/var/lib/{}", one("StateDirectory")));
        assert_eq!(one("EnvironmentFile"), "-/etc/measoft-bridge/bridge.env");
        let text = read(&path);
        hardening.insert(text.split("# What it does not need.").nth(1).expect("hardening").to_owned());
    }
    assert_eq!(hardening.len(), 1, "the units are locked down alike");

    let example = read("deploy/systemd/bridge.env.example");
    let mut seen = 0;
    for line in example.lines() {
        if let Some((name, _)) = line.trim_start_matches('#').split_once('=')
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        {
            assert_variable(name, "bridge.env.example");
            assert!(
                !["OPS_LISTEN", "DATA_DIR", "SHUTDOWN_GRACE_S"].contains(&name),
                "{name} would override every unit"
            );
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn systemd_accepts_the_units_and_finds_them_locked_down() {
    let Some(analyze) = program("systemd-analyze", "systemd") else { return };
    let scratch = Scratch::new();
    let programs = scratch.path("bin/");
    for name in ["bridge", "ingress", "worker", "scheduler", "healthcheck"] {
        scratch.dummy(&format!("bin/{name}"));
    }
    let mut files = Vec::new();
    for (file, ..) in UNITS {
        let text = read(&format!("deploy/systemd/{file}"));
        let text = text.replace("/usr/local/bin/", &programs).replace("/usr/local/lib/measoft-bridge/", &programs);
        files.push(scratch.write(&file.replace("@.", "@01."), &text));
    }
    let out = succeed(Command::new(&analyze).args(["verify", "--man=no"]).args(&files));
    // Unknown keys are only warned about.
    let ours: Vec<&str> = out.lines().filter(|line| line.contains(&scratch.path(""))).collect();
    assert!(ours.is_empty(), "{ours:?}");
    for file in &files {
        succeed(Command::new(&analyze).args(["security", "--offline=true", "--no-pager", "--threshold=20", file]));
    }
}

// ---- Kubernetes ----

fn base_objects() -> Vec<Value> {
    let kustomization = yaml("deploy/k8s/base/kustomization.yaml");
    texts(&kustomization["resources"])
        .iter()
        .flat_map(|file| yaml_documents(&format!("deploy/k8s/base/{file}")))
        .collect()
}

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn kubernetes_runs_the_roles_with_settings_that_exist() {
    let objects = base_objects();
    let settings = object(&objects, "ConfigMap", "bridge-settings");
    let secret = yaml("deploy/k8s/base/secret.example.yaml");
    let mut source = Vec::new();
    for (name, value) in entries(&settings["data"]) {
        assert_variable(name, "settings.yaml");
        source.push((name.clone(), text(value).to_owned()));
    }
    Config::read(Role::Bridge, &Source::from_pairs(source)).expect("settings the processes accept");
    for (name, _) in entries(&secret["stringData"]) {
        assert_variable(name, "secret.example.yaml");
    }
    for needed in ["DATABASE_URL", "AMQP_URL", "BRIDGE_SECRET_KEY"] {
        assert!(secret["stringData"].get(needed).is_some(), "{needed}");
    }
    let grace: u64 = text(&settings["data"]["SHUTDOWN_GRACE_S"]).parse().expect("seconds");
    for (role, _) in ROLES.iter().skip(1) {
        let deployment = object(&objects, "Deployment", role);
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(texts(&container["command"]), [*role]);
        let pause =
            container["lifecycle"]["preStop"]["exec"]["command"][1].as_str().map_or(0, |s| s.parse().expect("seconds"));
        let patience = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
        assert!(patience > grace + pause + 5, "{role} is killed before its grace is over");
        assert_eq!(container["env"][0]["name"], "OPS_LISTEN");
        let port = ops_port(role);
        assert_eq!(text(&container["env"][0]["value"]), format!("0.0.0.0:{port}"));
        let ports: HashMap<&str, u64> = list(&container["ports"])
            .iter()
            .map(|p| (text(&p["name"]), p["containerPort"].as_u64().expect("port")))
            .collect();
        assert_eq!(ports["ops"], u64::from(port));
        for (probe, path) in [("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{role}: {probe}");
            assert_eq!(container[probe]["httpGet"]["port"], "ops");
        }
        assert_eq!(
            text(&deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"]),
            port.to_string()
        );
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
        let budget = object(&objects, "PodDisruptionBudget", role);
        assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(read("deploy/Dockerfile").contains(&format!("USER {}:", pod["securityContext"]["runAsUser"])));
    }
    let ingress = object(&objects, "Deployment", "ingress");
    assert_eq!(ingress["spec"]["replicas"], 2);
    let listen = text(&settings["data"]["INGRESS_LISTEN"]).rsplit_once(':').expect("a port").1.to_owned();
    let http =
        list(&ingress["spec"]["template"]["spec"]["containers"][0]["ports"]).iter().find(|p| p["name"] == "http");
    assert_eq!(http.expect("a port http")["containerPort"].to_string(), listen);
    let service = object(&objects, "Service", "ingress");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "http");
    assert_eq!(service["spec"]["selector"], ingress["spec"]["selector"]["matchLabels"]);
    let job = object(&objects, "Job", "migrate");
    assert_eq!(texts(&job["spec"]["template"]["spec"]["containers"][0]["command"]), ["bridge", "migrate"]);
    let scaled = yaml("deploy/k8s/components/keda/scaledobject.yaml");
    assert_eq!(object(&objects, "Deployment", text(&scaled["spec"]["scaleTargetRef"]["name"]))["kind"], "Deployment");
    assert!(scaler_query().1.contains("bridge_oldest_due_command_seconds"));
    for component in ["keda", "prometheus-operator"] {
        for file in texts(&yaml(&format!("deploy/k8s/components/{component}/kustomization.yaml"))["resources"]) {
            assert!(root().join(format!("deploy/k8s/components/{component}/{file}")).exists());
        }
    }
}

#[test]
fn kustomize_builds_the_base_with_its_components() {
    // Not in Debian: where it is missing the shape was checked above.
    let Some(kubectl) = find_program("kubectl") else { return };
    let scratch = Scratch::new();
    for folder in ["base", "components/keda", "components/prometheus-operator"] {
        for entry in std::fs::read_dir(root().join("deploy/k8s").join(folder)).expect("folder") {
            let name = format!("{folder}/{}", entry.expect("entry").file_name().to_str().expect("utf-8"));
            scratch.write(&format!("k8s/{name}"), &read(&format!("deploy/k8s/{name}")));
        }
    }
    scratch.write(
        "k8s/overlay/kustomization.yaml",
        "resources: [../base]\ncomponents: [../components/keda, ../components/prometheus-operator]\n",
    );
    let built = succeed(Command::new(kubectl).args(["kustomize", &scratch.path("k8s/overlay")]));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&built).expect("yaml");
    assert_eq!(objects.len(), base_objects().len() + 2);
    let worker = object(&objects, "Deployment", "worker");
    assert!(worker["spec"].get("replicas").is_none(), "the count is the autoscaler's");
    assert_eq!(worker["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], "measoft-bridge");
    assert!(objects.iter().all(|object| object["metadata"]["namespace"] == "measoft-bridge"));
}

// ---- TLS proxies ----

#[tokio::test]
async fn nginx_passes_triggers_on_and_writes_no_key_down() {
    let (Some(nginx), Some(openssl)) = (program("nginx", "nginx-light"), program("openssl", "openssl")) else { return };
    let config = default_config(Role::Ingress);
    let conf = read("deploy/nginx/measoft-bridge.conf");
    let read_timeout = conf.split("proxy_read_timeout ").nth(1).and_then(|t| t.split("s;").next()).expect("a limit");
    assert!(read_timeout.parse::<u64>().expect("seconds") > config.callback_deadline.as_secs() + 5);
    assert!(conf.contains(&format!("server {};", config.ingress_listen)), "the upstream is ingress");

    // The vendor's side: an ingress that tells what reached it.
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream_address = upstream.local_addr().expect("address");
    let echo =
        axum::Router::new().fallback(|uri: axum::http::Uri, headers: axum::http::HeaderMap, body: String| async move {
            let from: Vec<&str> =
                headers.get_all("x-forwarded-for").iter().filter_map(|from| from.to_str().ok()).collect();
            format!("{uri} {body} from {}", from.join(" and "))
        });
    let serving = tokio::spawn(async move { axum::serve(upstream, echo).await });

    let scratch = Scratch::new();
    succeed(
        Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
            .args([
                "-subj",
                "/CN=bridge.example.org",
                "-keyout",
                &scratch.path("privkey.pem"),
                "-out",
                &scratch.path("fullchain.pem"),
            ]),
    );
    let (tls, http) = (free_port(), free_port());
    // Ports and places are this test's, the rest is the file's.
    let conf: String = conf
        .lines()
        .filter(|line| !line.contains("listen [::]"))
        .map(|line| {
            line.replace("listen 443 ", &format!("listen 127.0.0.1:{tls} "))
                .replace("listen 80;", &format!("listen 127.0.0.1:{http};"))
                .replace(&config.ingress_listen.to_string(), &upstream_address.to_string())
                .replace("/etc/letsencrypt/live/bridge.example.org/", &scratch.path(""))
                .replace("/var/log/nginx/", &scratch.path(""))
                + "\n"
        })
        .collect();
    scratch.write("site.conf", &conf);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {};\n", scratch.path(kind)))
        .collect();
    let here = scratch.path("");
    let main = scratch.write(
        "nginx.conf",
        &format!("daemon off; pid {here}pid; error_log {here}main.log crit;\nevents {{}}\nhttp {{\n{temporary}include {here}site.conf;\n}}\n"),
    );
    succeed(Command::new(&nginx).args(["-t", "-q", "-e", &scratch.path("main.log"), "-c", &main]));
    let mut running = Running(
        Command::new(&nginx)
            .args(["-e", &scratch.path("main.log"), "-c", &main])
            .stderr(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    let client = simulators::http().danger_accept_invalid_certs(true).build().expect("client");
    let path = "/reintegrations/requests/trigger/retailcrm?key=planted-key";
    // What TRUSTED_PROXIES makes ingress believe is nginx's word, not the sender's.
    let post = async || {
        let asked = client.post(format!("https://127.0.0.1:{tls}{path}")).header("X-Forwarded-For", "198.51.100.7");
        asked.body("id=1&key=planted-key").send().await
    };
    eventually("nginx answers", Duration::from_secs(20), async || {
        post().await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let answer = post().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert_eq!(answer.text().await.expect("a body"), format!("{path} id=1&key=planted-key from 127.0.0.1"));
    let callback = client.post(format!("https://127.0.0.1:{tls}/retailcrm/callback/save")).body(vec![b'x'; 1 << 20]);
    assert_eq!(callback.send().await.expect("an answer").status(), 200, "callbacks may have 1 MiB");
    let plain = client.post(format!("http://127.0.0.1:{http}{path}")).send().await.expect("an answer");
    assert_eq!(plain.status(), 403, "no key over plain http");
    serving.abort();
    let _ = serving.await;
    assert!(post().await.expect("an answer").status().is_server_error(), "ingress is away");

    // Workers of nginx end with their master, when it is asked.
    succeed(Command::new(&nginx).args(["-e", &scratch.path("main.log"), "-c", &main, "-s", "quit"]));
    let _ = running.0.wait();
    let mut logged = String::new();
    for name in ["measoft-bridge.log", "measoft-bridge.error.log", "main.log"] {
        logged += &std::fs::read_to_string(scratch.path(name)).unwrap_or_default();
    }
    assert!(logged.contains("POST /reintegrations/requests/trigger/retailcrm\" 200"), "{logged}");
    assert!(!logged.contains("planted-key"), "{logged}");
}

#[tokio::test]
async fn caddy_passes_on_to_ingress_and_writes_no_query_down() {
    let file = read("deploy/caddy/Caddyfile");
    let config = default_config(Role::Ingress);
    assert!(file.contains(&format!("reverse_proxy {} {{", config.ingress_listen)));
    let limit = file.split("response_header_timeout ").nth(1).and_then(|t| t.split("s\n").next()).expect("a limit");
    assert!(limit.parse::<u64>().expect("seconds") > config.callback_deadline.as_secs() + 5);
    for part in [r#"request>uri regexp "\?.*" """#, "request>headers delete", "auto_https disable_redirects"] {
        assert!(file.contains(part), "{part}");
    }
    // Not needed by anything else, so not asked for.
    let Some(caddy) = find_program("caddy") else { return };
    let scratch = Scratch::new();
    let port = free_port();
    let here = file.replace("/var/log/caddy/", &scratch.path(""));
    let whole = scratch.write("Caddyfile", &here);
    let command = |action: &str, file: &str| {
        let mut command = Command::new(&caddy);
        command.args([action, "--adapter", "caddyfile", "--config", file]).env("HOME", scratch.path("home"));
        command
    };
    succeed(&mut command("validate", &whole));
    // Without a certificate and with nobody behind it: what is tried is the logs.
    let here = here
        .replace("bridge.example.org {", &format!("http://127.0.0.1:{port} {{"))
        .replace("auto_https disable_redirects", "auto_https off\n\tadmin off")
        .replace(&config.ingress_listen.to_string(), &format!("127.0.0.1:{}", free_port()));
    let plain = scratch.write("Caddyfile.plain", &here);
    let own_log = std::fs::File::create(scratch.path("own.log")).expect("log");
    let running = Running(command("run", &plain).stdout(Stdio::null()).stderr(own_log).spawn().expect("starts"));
    let client = simulators::http().build().expect("a client");
    let ask = async || client.post(format!("http://127.0.0.1:{port}/trigger?key=planted-key")).send().await;
    eventually("Caddy answers", Duration::from_secs(20), async || {
        ask().await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let logs = || {
        ["measoft-bridge.log", "own.log"].map(|name| std::fs::read_to_string(scratch.path(name)).unwrap_or_default())
    };
    eventually("both logs have it", Duration::from_secs(20), async || {
        let complete = logs().iter().all(|log| log.contains("/trigger"));
        if complete { Ok(()) } else { Err(format!("not logged: {:?}", logs())) }
    })
    .await;
    drop(running);
    assert!(!logs().concat().contains("planted-key"), "{:?}", logs());
}

// ---- scripts and pages ----

#[test]
fn scripts_are_executable_and_readable_by_bash() {
    for path in [
        "deploy/local/run",
        "deploy/healthcheck",
        "deploy/make-secrets",
        "deploy/deb/build",
        "deploy/deb/measoft-bridge-op",
    ] {
        let mode = std::fs::metadata(root().join(path)).expect("a script").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{path} is not executable");
        succeed(Command::new("bash").arg("-n").arg(root().join(path)));
    }
    let help = succeed(Command::new(root().join("deploy/local/run")).arg("--help"));
    assert!(help.contains("deploy/local/run [WORKERS]"), "{help}");
    let refused = Command::new(root().join("deploy/local/run")).arg("many").output().expect("runs");
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    for page in ["README", "RUNBOOK", "SETTINGS"] {
        let page = format!("deploy/{page}.md");
        for target in read(&page).split("](").skip(1).map(|rest| rest.split(')').next().expect("closed").to_owned()) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            assert!(root().join("deploy").join(file).exists(), "{page}: {target}");
            if !anchor.is_empty() {
                let slug = |heading: &str| {
                    let kept = heading.trim_start_matches(['#', ' ']).to_lowercase();
                    kept.chars()
                        .filter(|c| c.is_alphanumeric() || " -".contains(*c))
                        .collect::<String>()
                        .replace(' ', "-")
                };
                let there =
                    read(&format!("deploy/{file}")).lines().any(|line| line.starts_with('#') && slug(line) == anchor);
                assert!(there, "{page}: {target}");
            }
        }
    }
}

#[test]
fn variables_named_on_the_pages_and_in_examples_exist() {
    let known = variables();
    let mut all = Vec::new();
    let compose = yaml("deploy/compose.yaml");
    all_texts(&compose, &mut all);
    for page in ["deploy/README.md", "deploy/RUNBOOK.md"] {
        for word in read(page).split('`').skip(1).step_by(2) {
            let name = word.split('=').next().expect("a word");
            let looks =
                name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            // Compose's own.
            if looks && name != "BRIDGE_VERSION" {
                let plain = name.strip_suffix("_FILE").unwrap_or(name);
                assert!(known.contains(name) || known.contains(plain), "{page}: {name}");
            } else if looks {
                assert!(all.iter().any(|text| text.contains(name)), "{page}: {name}");
            }
        }
    }
}
