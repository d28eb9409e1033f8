//! The operator's command as a whole. Every command that the command line has is tried, so that
//! a new one is held to the same: in an empty folder, without its database, with words that do
//! not exist, and with nobody who reads what it prints.

// The command line itself: it says which commands there are.
#[path = "../src/args/mod.rs"]
mod args;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::domain::{CrmOrderId, Fault, IntegrationId, OrderNumber};
use shared::message;
use shared::phrases::Details;
use shared::store::Store;
use shared::store::breakers::Held;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::telemetry::metrics::{BreakerState, BreakerTarget};
use simulators::retailcrm::{RetailcrmSim, an_order};

/// Commands that make an installation where there is none.
const MAKE: [&str; 4] = ["up", "migrate", "integration add", "restore"];
/// Commands that run until they are stopped.
const SERVE: [&str; 2] = ["up", "console serve"];
/// Commands that need none.
const NEED_NONE: [&str; 5] = ["demo", "completions", "man", "config check", "secret-key"];
/// Arguments that take any text: a name, an address, a word to look for. All others are checked.
const FREE: &str = "address amqp comment crm_key crm_key_file crm_url database_url date delivery_types \
                    extra file head live_delivery_types login measoft_url name number password \
                    payment_status phone prefix save set text title to town why window";

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bridge-tools-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).expect("made");
        Self(path)
    }

    /// Everything in it.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("read");
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// With an installation in `data`: one integration whose vendors are not there.
    fn with_installation() -> Self {
        let folder = Self::new();
        let made = run(&folder, &add(&[]), &[]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        folder
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        let data = copy.0.join("data");
        std::fs::create_dir(&data).expect("made");
        for entry in std::fs::read_dir(self.0.join("data")).expect("read") {
            let entry = entry.expect("entry");
            std::fs::copy(entry.path(), data.join(entry.file_name())).expect("copied");
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Nobody listens at that address.
const ADD: &str = "integration add --title Город --crm-url http://127.0.0.1:9 --crm-key key --extra 8 --login shop \
                   --password password";

/// An integration is added, with more words.
fn add(more: &[&str]) -> Vec<String> {
    ADD.split(' ').chain(more.iter().copied()).map(str::to_owned).collect()
}

#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl Said {
    /// The one sentence on standard error.
    fn sentence(&self, what: &str) -> &str {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "`bridge {what}` says one sentence: {self:?}");
        lines[0]
    }

    fn document(&self, what: &str) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|bad| panic!("`bridge {what}` prints one document ({bad}): {self:?}"))
    }
}

fn command(folder: &Folder, arguments: &[impl AsRef<str>], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command
        .args(arguments.iter().map(AsRef::as_ref))
        .current_dir(&folder.0)
        .env_clear()
        .env("CRM_ALLOWED_HOSTS", "127.0.0.1")
        .env("MEASOFT_URL", "http://127.0.0.1:9/api/")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(folder: &Folder, arguments: &[impl AsRef<str>], settings: &[(&str, &str)]) -> Said {
    ended(command(folder, arguments, settings))
}

fn ended(mut command: Command) -> Said {
    let begun = Instant::now();
    let child = command.spawn().expect("it runs");
    // What it holds of our side of a pipe goes with it.
    drop(command);
    let output = child.wait_with_output().expect("it ends");
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begun.elapsed(),
    }
}

/// A command of the command line, and how it is called.
#[derive(Clone)]
struct Called {
    /// `integration add`.
    name: String,
    arguments: Vec<String>,
    command: clap::Command,
}

/// Every command that does something, called as it must be.
fn commands() -> Vec<Called> {
    fn walk(command: &clap::Command, path: &[String], found: &mut Vec<Called>) {
        if !path.is_empty() && !command.is_subcommand_required_set() {
            let name = path.join(" ");
            let arguments = [path.to_vec(), required(&name, command)].concat();
            found.push(Called { name, arguments, command: command.clone() });
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, &[path.to_vec(), vec![sub.get_name().to_owned()]].concat(), found);
        }
    }
    let mut found = Vec::new();
    walk(&args::Cli::command(), &[], &mut found);
    for called in &found {
        let words = std::iter::once("bridge".to_owned()).chain(called.arguments.iter().cloned());
        let read = args::Cli::command().try_get_matches_from(words);
        assert!(read.is_ok(), "these tests must learn how `bridge {}` is called: {:?}", called.name, called.arguments);
    }
    assert!(found.len() >= 24, "only {} commands were found", found.len());
    found
}

/// What a command cannot be called without.
fn required(name: &str, command: &clap::Command) -> Vec<String> {
    match name {
        "integration add" => return add(&[]).split_off(2),
        "demo" => return ["--orders", "6"].map(str::to_owned).to_vec(),
        "dead replay" => return vec!["1".to_owned()],
        "causes ack" | "causes wake" => return vec!["bad_phone".to_owned()],
        "causes snooze" => return ["bad_phone", "--for", "2h"].map(str::to_owned).to_vec(),
        "order correct" => return ["1", "--phone", "+79160001122"].map(str::to_owned).to_vec(),
        "probe" => return ["1", "--pause", "0"].map(str::to_owned).to_vec(),
        _ => {}
    }
    let mut words = Vec::new();
    for argument in command.get_arguments().filter(|argument| argument.is_required_set()) {
        if let Some(long) = argument.get_long() {
            words.push(format!("--{long}"));
        }
        let choice = argument.get_possible_values().first().map(|value| value.get_name().to_owned());
        words.push(choice.unwrap_or_else(|| "1".to_owned()));
    }
    words
}

fn with_json(called: &Called) -> Vec<String> {
    [&called.arguments[..], &["--json".to_owned()]].concat()
}

/// What people and programs are told of a failure.
fn told(called: &Called, said: &Said, program: &Said) -> [String; 2] {
    let document = program.document(&called.name);
    match called.name.as_str() {
        // Its answer is what it found.
        "doctor" => [said.stdout.clone(), document.to_string()],
        name => [said.sentence(name).to_owned(), document["error"]["text"].as_str().unwrap_or_default().to_owned()],
    }
}

fn needs_a_database(called: &Called) -> bool {
    !NEED_NONE.contains(&called.name.as_str())
}

#[test]
fn in_an_empty_folder_a_command_says_that_there_is_no_database_and_makes_none() {
    for called in commands().iter().filter(|called| !MAKE.contains(&called.name.as_str())) {
        let folder = Folder::new();
        let said = run(&folder, &called.arguments, &[]);
        let program = run(&folder, &with_json(called), &[]);
        assert!(!said.stderr.contains("panicked"), "{}: {said:?}", called.name);
        assert_eq!(folder.names(), Vec::<String>::new(), "`bridge {}` makes nothing", called.name);
        if !needs_a_database(called) {
            assert_eq!((said.code, program.code), (0, 0), "{}: {said:?} {program:?}", called.name);
            continue;
        }
        assert_eq!((said.code, program.code), (1, 1), "{}: {said:?}", called.name);
        let path = folder.0.join("data/bridge.db").display().to_string();
        for words in told(called, &said, &program) {
            for part in ["there is no database at", path.as_str(), "DATA_DIR", "bridge migrate"] {
                assert!(words.contains(part), "`bridge {}` says {part}: {words}", called.name);
            }
        }
    }
}

#[test]
fn where_a_missing_database_was_looked_for_names_the_setting_that_says_so() {
    let folder = Folder::new();
    let file = folder.0.join("where");
    std::fs::write(&file, "elsewhere/of the file").expect("written");
    let elsewhere = format!("sqlite://{}", folder.0.join("x.db").display());
    for (setting, value, path) in [
        ("DATA_DIR", "elsewhere", "elsewhere/bridge.db"),
        ("DATA_DIR_FILE", file.to_str().expect("utf-8"), "elsewhere/of the file/bridge.db"),
        ("DATABASE_URL", elsewhere.as_str(), "x.db"),
    ] {
        let said = run(&folder, &["dead", "list"], &[(setting, value)]);
        let sentence = said.sentence("dead list");
        let words = format!("{} ({setting} says so)", folder.0.join(path).display());
        assert!(said.code == 1 && sentence.contains(&words), "{words}: {said:?}");
    }
    assert_eq!(folder.names(), ["where"]);
}

#[test]
fn a_file_that_is_not_ours_is_left_as_it_was() {
    let folder = Folder::new();
    let (empty, foreign) = (folder.0.join("empty.db"), folder.0.join("foreign.db"));
    std::fs::write(&empty, "").expect("written");
    std::fs::write(
        &foreign,
        "a text that is no database of anybody's, and longer than a header of SQLite is. ".repeat(9),
    )
    .expect("written");
    for file in [&empty, &foreign] {
        let before = std::fs::read(file).expect("read");
        let said = run(&folder, &["integration", "list"], &[("DATABASE_URL", &format!("sqlite://{}", file.display()))]);
        assert!(
            said.code == 1 && said.sentence("integration list").contains(file.to_str().expect("utf-8")),
            "{said:?}"
        );
        assert_eq!(std::fs::read(file).expect("read"), before);
    }
    assert_eq!(folder.names().len(), 2, "nothing beside them: {:?}", folder.names());
}

#[test]
fn a_database_whose_key_is_gone_gets_no_new_one() {
    let folder = Folder::with_installation();
    let key = folder.0.join("data/secret.key");
    std::fs::remove_file(&key).expect("removed");
    let said = run(&folder, &["integration", "list"], &[]);
    assert!(said.code == 64 && said.sentence("integration list").contains("BRIDGE_SECRET_KEY"), "{said:?}");
    assert!(!key.exists());
    // Where nothing is sealed yet, none is needed.
    let empty = Folder::new();
    assert_eq!(run(&empty, &["migrate"], &[]).code, 0);
    assert_eq!(run(&empty, &["integration", "list"], &[]).code, 0);
    assert!(!empty.0.join("data/secret.key").exists());
}

#[test]
fn without_its_database_server_a_command_says_at_once_which_and_why() {
    let key = run(&Folder::new(), &["secret-key"], &[]).stdout;
    let settings = [("DATABASE_URL", "postgres://u:planted@127.0.0.1:9/x"), ("BRIDGE_SECRET_KEY", key.trim())];
    // What runs for long waits for it.
    let asked =
        commands().into_iter().filter(|called| needs_a_database(called) && !SERVE.contains(&called.name.as_str()));
    let demo = ["demo", "--database-url", settings[0].1].map(str::to_owned).to_vec();
    let demo = Called { name: "demo".to_owned(), arguments: demo, command: clap::Command::new("demo") };
    for called in asked.chain([demo]) {
        let folder = Folder::new();
        let said = run(&folder, &called.arguments, &settings);
        let program = run(&folder, &with_json(&called), &settings);
        assert_eq!((said.code, program.code), (1, 1), "{}: {said:?}", called.name);
        for words in told(&called, &said, &program) {
            assert!(words.contains("127.0.0.1:9") && words.contains("Connection refused"), "{}: {words}", called.name);
            assert!(!words.contains("timed out") && !words.contains("planted"), "{}: {words}", called.name);
        }
        // A pool would have waited for five.
        assert!(said.took < Duration::from_secs(4), "{} took {:?}", called.name, said.took);
        assert_eq!(folder.names(), Vec::<String>::new(), "{}", called.name);
    }
}

#[test]
fn without_its_broker_a_command_says_which_and_why() {
    let folder = Folder::with_installation();
    let amqp = "amqp://u:planted@127.0.0.1:9/%2f";
    let demo = run(&folder, &["demo", "--amqp", amqp, "--json"], &[]);
    assert_eq!(demo.code, 1, "{demo:?}");
    let doctor = run(&folder, &["doctor"], &[("AMQP_URL", amqp)]);
    for words in [&demo.stdout, &demo.stderr, &doctor.stdout] {
        assert!(words.contains("127.0.0.1:9") && words.contains("Connection refused"), "{words}");
        assert!(!words.contains("planted"), "{words}");
    }
}

#[test]
fn an_option_that_does_not_exist_is_a_mistake_of_usage_with_what_was_meant() {
    for called in commands() {
        let folder = Folder::new();
        let arguments = [&called.arguments[..], &["--jsn".to_owned()]].concat();
        let said = run(&folder, &arguments, &[]);
        assert!(said.code == 2 && said.stderr.contains("--json"), "{}: {said:?}", called.name);
        let program = run(&folder, &[&arguments[..], &["--json".to_owned()]].concat(), &[]);
        let error = &program.document(&called.name)["error"];
        assert!(program.code == 2 && error["code"] == 2 && error["kind"] == "usage", "{}: {program:?}", called.name);
        assert!(error["text"].as_str().is_some_and(|text| text.contains("--json")), "{error}");
        assert_eq!(folder.names(), Vec::<String>::new(), "{}", called.name);
    }
}

/// The command line with another value of one argument.
fn with(called: &Called, argument: &clap::Arg, value: &str) -> Vec<String> {
    let path = called.name.split(' ').count();
    let mut arguments = called.arguments.clone();
    match argument.get_long() {
        // A filter of letters is there for all of them.
        Some(_) if called.name == "dead replay" => arguments[path] = "--all".to_owned(),
        Some(_) => {}
        None => {
            arguments.truncate(path);
            arguments.push(value.to_owned());
            arguments.extend(called.arguments.iter().skip(path + 1).cloned());
        }
    }
    if let Some(long) = argument.get_long() {
        arguments.extend([format!("--{long}"), value.to_owned()]);
    }
    arguments
}

#[test]
fn a_word_that_does_not_exist_is_a_mistake_of_usage_and_not_an_empty_answer() {
    let folder = Folder::with_installation();
    let mut tried = 0;
    for called in commands().iter().filter(|called| called.name != "up") {
        let checked = called.command.get_arguments().filter(|argument| argument.get_action().takes_values());
        for argument in checked.filter(|argument| !FREE.split(' ').any(|free| argument.get_id() == free)) {
            let id = argument.get_id().as_str();
            let is_word = argument.get_value_parser().type_id() == clap::builder::ValueParser::string().type_id();
            // Letters are looked up by their number; other numbers may be any.
            let names_one = id == "integration"
                || (id == "id" && !["dead", "replay"].iter().any(|word| called.name.starts_with(word)));
            let wrong = if is_word || names_one { &["no-such-word", "4711"][..] } else { &["no-such-word"] };
            for wrong in wrong {
                let arguments = with(called, argument, wrong);
                let said = run(&folder, &arguments, &[]);
                assert_eq!(said.code, 2, "`bridge {}`: {said:?}", arguments.join(" "));
                assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{said:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "only {tried}");
}

#[test]
fn a_misspelt_filter_says_which_word_was_meant() {
    let folder = Folder::with_installation();
    for (arguments, words) in [
        (&["dead", "list", "--reason", "bad_fone"][..], "did you mean bad_phone?"),
        (&["dead", "replay", "--all", "--reason", "sum_mismach"], "did you mean sum_mismatch?"),
        (&["dead", "list", "--fault", "shpo"], "did you mean shop?"),
        (&["causes", "--reason", "bad_fone"], "did you mean bad_phone?"),
        (&["causes", "--fault", "shpo"], "did you mean shop?"),
        (&["causes", "--integration", "99"], "there are 1 «Город»"),
        (&["causes", "ack", "bad_fone"], "did you mean bad_phone?"),
        (&["causes", "ack", "bad_phone", "--integration", "99"], "there are 1 «Город»"),
        (&["causes", "snooze", "bad_phone", "--for", "2w"], "like 30m, 2h or 7d"),
        (&["causes", "--fault", "shop", "ack", "bad_phone"], "behind ack, snooze or wake"),
        (&["causes", "ack", "bad_phone", "--as", " "], "--as: a name"),
        (&["order", "preview", "1", "--integration", "99"], "there are 1 «Город»"),
        (&["budget", "--integration", "99"], "there are 1 «Город»"),
        (&["budget", "--since", "2w"], "nor a span like 2h, 30m or 7d"),
        (&["audit", "--act", "editted"], "did you mean edited?"),
        (&["audit", "--integration", "99"], "there are 1 «Город»"),
        (&["audit", "--since", "2h", "verify"], "it takes no filter"),
        (&["waiting", "--integration", "99"], "there are 1 «Город»"),
        (&["dead", "list", "--integration", "99"], "there is no integration 99; there are 1 «Город»"),
        (&["dead", "replay", "--all", "--integration", "99"], "there are 1 «Город»"),
        (&["order", "correct", "1", "--phone", "+79160001122", "--integration", "99"], "there are 1 «Город»"),
        (&["compare", "--integration", "99"], "there are 1 «Город»"),
        (&["compare", "--day", "yesterday"], "is no day like 2026-12-01"),
        (&["replay", "plan", "--reason", "bad_fone"], "did you mean bad_phone?"),
        (&["replay", "plan", "--integration", "99"], "there are 1 «Город»"),
        (&["replay", "plan", "--fault", "shpo"], "did you mean shop?"),
        (&["replay", "start", "9"], "there is no replay 9; `bridge replay show` lists them"),
        (&["order", "show", "1", "--integration", "99"], "there are 1 «Город»"),
        (&["journal", "search", "1", "--integration", "99"], "there are 1 «Город»"),
        (&["doctor", "99"], "there are 1 «Город»"),
        (&["sync", "99"], "there are 1 «Город»"),
        (&["integration", "edit", "1", "--set", "recieve_payment=true"], "did you mean receive_payment?"),
        (&["integration", "edit", "1", "--set", "sender.fone=1"], "did you mean sender.phone?"),
        (&["integration", "edit", "1", "--cod-policy", "as-vendor"], "did you mean as_vendor?"),
        (&["trigger-help", "1", "--lang", "rus"], "did you mean ru?"),
    ] {
        let said = run(&folder, arguments, &[]);
        assert!(said.code == 2 && said.sentence("").contains(words), "{arguments:?}: {said:?}");
    }
}

/// The store of an installation, as the roles open it.
async fn store(folder: &Folder) -> Store {
    let data = folder.0.join("data").display().to_string();
    let config = Config::read(Role::Bridge, &Source::from_pairs([("DATA_DIR", data)])).expect("settings");
    let key = config.load_secret_key().expect("a key");
    shared::bootstrap::open_store(&config, key, Clock::system()).await.expect("a store")
}

/// Letters of orders 1001, 1002… that hold a command each.
async fn letters(store: &Store, count: usize) {
    for n in 0..count {
        let number = format!("{}", 1001 + n);
        let command =
            message::Command::SendOrder { number: OrderNumber::parse(&number).expect("a number"), declared: None };
        let envelope = message::Envelope::new(command, Some(IntegrationId(1)), store.clock.now());
        let letter = NewDeadLetter {
            integration: Some(IntegrationId(1)),
            delivery: None,
            number: Some(number),
            kind: "SendOrder".to_owned(),
            reason: "bad_phone".to_owned(),
            fault: Fault::Shop,
            detail: Details::NONE,
            tries: 1,
            command: Some(serde_json::to_string(&envelope).expect("JSON")),
            raw: None,
        };
        store.add_dead_letter(&letter).await.expect("buried");
    }
}

#[tokio::test]
async fn a_cause_is_told_once_with_who_is_at_it_until_it_is_over_and_anew_when_it_comes_again() {
    let folder = Folder::with_installation();
    let opened = store(&folder).await;
    letters(&opened, 3).await;
    let causes = |more: &[&str]| {
        let arguments = [&["causes", "--json"][..], more].concat();
        run(&folder, &arguments, &[]).document("causes").as_array().expect("a list").clone()
    };
    let [cause] = &causes(&[])[..] else { panic!("{:?}", causes(&[])) };
    assert_eq!(
        (&cause["reason"], &cause["fault"], &cause["integration"]),
        (&json!("bad_phone"), &json!("shop"), &json!(1))
    );
    assert_eq!(
        (&cause["count"], &cause["title"], &cause["acknowledged_by"]),
        (&json!(3), &json!("Город"), &Value::Null)
    );
    assert!(cause["text"].is_string() && cause["next_step"].is_string() && cause["first_seen"].is_string(), "{cause}");
    let acknowledged = run(&folder, &["causes", "ack", "bad_phone", "--as", "Анна"], &[]);
    assert!(acknowledged.code == 0 && acknowledged.stdout.contains("is acknowledged"), "{acknowledged:?}");
    assert_eq!(causes(&[])[0]["acknowledged_by"], "Анна");
    let people = run(&folder, &["causes"], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(
        people.contains("3 × bad_phone, интеграция 1 «Город», исправляет магазин") && people.contains("Анна"),
        "{people}"
    );
    // Snoozed: only told to whoever asks for all.
    assert_eq!(run(&folder, &["causes", "snooze", "bad_phone", "--for", "2h"], &[]).code, 0);
    assert!(causes(&[]).is_empty());
    let [snoozed] = &causes(&["--all"])[..] else { panic!("one") };
    assert!(snoozed["snoozed_until"].is_string() && snoozed["snoozed_by"].is_string(), "{snoozed}");
    assert!(run(&folder, &["causes"], &[]).stdout.contains("1 snoozed: `bridge causes --all`"));
    assert_eq!(run(&folder, &["causes", "wake", "bad_phone"], &[]).code, 0);
    assert_eq!(causes(&[])[0]["acknowledged_by"], Value::Null);
    // Over with its last letter; what comes then is another trouble.
    assert_eq!(run(&folder, &["causes", "ack", "bad_phone", "--as", "Анна"], &[]).code, 0);
    for id in ["1", "2", "3"] {
        assert_eq!(run(&folder, &["dead", "discard", id, "--why", "seen"], &[]).code, 0);
    }
    assert!(causes(&["--all"]).is_empty());
    let nothing = run(&folder, &["causes", "ack", "bad_phone"], &[]);
    assert!(
        nothing.code == 1 && nothing.sentence("causes ack").contains("no dead letter of bad_phone is open"),
        "{nothing:?}"
    );
    letters(&opened, 1).await;
    assert_eq!(causes(&[])[0]["acknowledged_by"], Value::Null, "told anew");
}

#[tokio::test]
async fn what_waits_is_told_with_its_cause_since_when_and_until_when() {
    let folder = Folder::with_installation();
    let waiting = |more: &[&str]| {
        let arguments = [&["waiting", "--json"][..], more].concat();
        run(&folder, &arguments, &[]).document("waiting")
    };
    assert!(run(&folder, &["waiting"], &[]).stdout.contains("Nothing waits."));
    let opened = store(&folder).await;
    let now = opened.clock.now();
    let request = |number: &str, seconds: u64| OrderRequest {
        integration: IntegrationId(1),
        number: OrderNumber::parse(number).expect("a number"),
        order: None,
        want: RequestKind::Send,
        declared: None,
        candidates: Vec::new(),
        due_at: now + Duration::from_secs(seconds),
        received_at: now,
        generation: 0,
        traceparent: None,
        command_id: number.to_owned(),
    };
    opened.record_requests(&[request("1001", 0), request("1002", 0), request("1003", 600)]).await.expect("recorded");
    let held = Held {
        target: BreakerTarget::Account,
        name: "http://127.0.0.1:9 courier 8 login shop".to_owned(),
        state: BreakerState::Open,
        until: now + Duration::from_secs(300),
        why: "no answer".to_owned(),
    };
    opened.note_breakers("worker-1", std::slice::from_ref(&held)).await.expect("noted");
    let told = waiting(&[]);
    let causes: Vec<_> =
        told["waiting"].as_array().expect("a list").iter().map(|w| (&w["cause"], &w["count"])).collect();
    assert!(causes.contains(&(&json!("breaker_open"), &json!(3))), "{told:#}");
    assert_eq!(told["breakers"][0]["name"], held.name.as_str(), "{told:#}");
    assert!(told["waiting"][0]["next_try"].is_string() && told["waiting"][0]["title"] == "Город", "{told:#}");
    let people = run(&folder, &["waiting"], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(people.contains("учётная запись MeaSoft http://127.0.0.1:9, служба 8, логин shop"), "{people}");
    assert_eq!(run(&folder, &["integration", "pause", "1", "--why", "a move"], &[]).code, 0);
    let paused = waiting(&["--integration", "1"]);
    assert_eq!((&paused["waiting"][0]["cause"], &paused["waiting"][0]["next_try"]), (&json!("paused"), &Value::Null));
    assert_eq!((&paused["waiting"][0]["count"], &paused["paused"][0]["reason"]), (&json!(3), &json!("a move")));
    assert!(paused["waiting"][0]["text"].as_str().is_some_and(|text| text.ends_with("a move")), "{paused:#}");
}

#[tokio::test]
async fn one_screen_tells_how_each_integration_is_the_worst_first() {
    let folder = Folder::with_installation();
    let mut second = add(&["--prefix", "o"]);
    second[3] = "Область".to_owned();
    assert_eq!(run(&folder, &second, &[]).code, 0);
    let now = || run(&folder, &["now", "--json"], &[]).document("now");
    let levels = |told: &Value| -> Vec<(i64, String)> {
        let each = told["integrations"].as_array().expect("a list").iter();
        each.map(|i| (i["integration"].as_i64().expect("a number"), i["level"].as_str().expect("a word").to_owned()))
            .collect()
    };
    let well = now();
    assert_eq!(levels(&well), [(1, "ok".to_owned()), (2, "ok".to_owned())], "{well:#}");
    assert_eq!(run(&folder, &["integration", "pause", "2", "--why", "a move"], &[]).code, 0);
    let paused = now();
    assert_eq!(levels(&paused), [(2, "warning".to_owned()), (1, "ok".to_owned())], "{paused:#}");
    assert_eq!(paused["integrations"][0]["paused_reason"], "a move");
    let opened = store(&folder).await;
    letters(&opened, 2).await;
    let failing = now();
    assert_eq!(levels(&failing), [(1, "error".to_owned()), (2, "warning".to_owned())], "{failing:#}");
    assert_eq!(failing["integrations"][0]["failures"], json!({ "shop": 2, "courier": 0, "crm": 0, "bridge": 0 }));
    assert_eq!(failing["integrations"][0]["waiting"]["count"], 0);
    let people = run(&folder, &["now"], &[]).stdout;
    let first = people.lines().nth(1).expect("a line");
    assert!(first.starts_with("error 1 «Город»") && first.contains("2 the shop mends it"), "{people}");
    assert!(people.contains("paused by the operator: a move") && people.contains("`bridge causes`"), "{people}");
    let russian = run(&folder, &["now"], &[("LC_ALL", "ru_RU.UTF-8")]).stdout;
    assert!(
        russian.contains("2 исправляет магазин") && russian.contains("приостановлена администратором"),
        "{russian}"
    );
}

#[tokio::test]
async fn whoever_changes_something_is_noted_with_what_it_was_and_a_changed_note_is_found() {
    let folder = Folder::with_installation();
    let opened = store(&folder).await;
    letters(&opened, 3).await;
    let rotated = run(&folder, &["integration", "rotate-key", "1", "--json"], &[]).document("rotate-key");
    for (arguments, act) in [
        (&["integration", "edit", "1", "--title", "Область", "--password", "hunter2"][..], "edited"),
        (&["integration", "pause", "1", "--why", "a move"], "paused"),
        (&["integration", "resume", "1"], "resumed"),
        (&["causes", "ack", "bad_phone"], "acknowledged"),
        (&["causes", "snooze", "bad_phone", "--for", "2h"], "snoozed"),
        (&["causes", "wake", "bad_phone"], "woken"),
        (&["dead", "replay", "1"], "replayed"),
        (&["dead", "discard", "2", "--why", "seen"], "discarded"),
        (&["dead", "replay", "--all"], "replay_started"),
        (&["integration", "remove", "1"], "removed"),
    ] {
        let done = run(&folder, &[arguments, &["--as", "Анна"]].concat(), &[]);
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        let newest = run(&folder, &["audit", "--limit", "1", "--json"], &[]).document("audit");
        assert_eq!((&newest[0]["act"], &newest[0]["who"]), (&json!(act), &json!("Анна")), "{newest:#}");
    }
    let acts = run(&folder, &["audit", "--json"], &[]);
    let all = acts.document("audit");
    let edited = all.as_array().expect("a list").iter().find(|act| act["act"] == "edited").expect("edited");
    assert_eq!((&edited["before"]["title"], &edited["after"]["title"]), (&json!("Город"), &json!("Область")));
    assert_eq!(edited["after"]["password"], "(another secret)");
    let added = all.as_array().and_then(|all| all.last()).expect("the first");
    assert_eq!((&added["act"], &added["via"], &added["who"]), (&json!("added"), &json!("os_user"), &added["os_user"]));
    for secret in ["hunter2", rotated["deliveryApiKey"].as_str().expect("a key")] {
        assert!(!acts.stdout.contains(secret), "{secret}: {}", acts.stdout);
    }
    let people = run(&folder, &["audit", "--act", "edited"], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(
        people.contains("изменено: integration 1") && people.contains("title: \"Город\" → \"Область\""),
        "{people}"
    );
    let good = run(&folder, &["audit", "verify", "--json"], &[]);
    let hash = good.document("audit verify")["head"]["hash"].as_str().expect("a hash").to_owned();
    let entries = good.document("audit verify")["entries"].as_u64();
    assert_eq!((good.code, entries), (0, all.as_array().map(|all| all.len() as u64)), "{good:?}");
    assert_eq!(run(&folder, &["audit", "verify", "--head", &hash], &[]).code, 0);
    assert_eq!(run(&folder, &["audit", "verify", "--head", "another"], &[]).code, 1);
    opened.db.exec("UPDATE audit SET who = 'Пётр' WHERE seq = 2", vec![]).await.expect("behind its back");
    let bad = run(&folder, &["audit", "verify"], &[]);
    assert!(bad.code == 1 && bad.stdout.contains("act 2 was changed after it was noted"), "{bad:?}");
}

#[tokio::test]
async fn requests_are_counted_by_account_and_operation() {
    let folder = Folder::with_installation();
    assert_eq!(run(&folder, &add(&["--prefix", "o"]), &[]).code, 0, "a neighbour in the cabinet");
    let opened = store(&folder).await;
    let now = opened.clock.now();
    let ago = |hours: u64| now - Duration::from_secs(3600 * hours);
    let entry = |integration: i64, at: Timestamp, vendor: &'static str, op: &str, outcome: &str| {
        let mut entry = Entry::of(at, What::Call, Vec::new()).outcome(outcome);
        (entry.integration, entry.vendor, entry.op) =
            (Some(IntegrationId(integration)), Some(vendor), Some(op.to_owned()));
        entry
    };
    let entries = [
        entry(1, ago(1), "measoft", "neworder", "ok"),
        // Two orders of one request.
        entry(1, ago(2), "measoft", "neworder", "ok"),
        entry(1, ago(2), "measoft", "neworder", "ok"),
        entry(2, ago(3), "measoft", "neworder", "unknown"),
        entry(2, ago(3), "measoft", "statusreq", "ok"),
        entry(1, ago(4), "retailcrm", "orders_list", "ok"),
        entry(1, ago(30), "measoft", "neworder", "ok"),
    ];
    opened.append_journal(&entries).await.expect("written");
    let budget = |more: &[&str]| {
        let arguments = [&["budget", "--json"][..], more].concat();
        run(&folder, &arguments, &[]).document("budget")["accounts"].clone()
    };
    let all = budget(&[]);
    let [measoft, crm] = &all.as_array().expect("a list")[..] else { panic!("{all:#}") };
    assert_eq!(
        (&measoft["requests"], &measoft["failed"], &measoft["integrations"]),
        (&json!(4), &json!(1), &json!([1, 2]))
    );
    assert_eq!(measoft["account"], "http://127.0.0.1:9 courier 8 login shop");
    let op = &measoft["operations"][0];
    assert_eq!((&op["op"], &op["requests"], &op["failed"]), (&json!("neworder"), &json!(3), &json!(1)), "{measoft:#}");
    let window = &measoft["windows"][0];
    assert_eq!((&window["window"], &window["used"]), (&json!("ip_minute"), &json!(0)), "{measoft:#}");
    assert!(
        window["limit"].as_u64().is_some_and(|limit| limit > 0)
            && measoft["windows"].as_array().map(Vec::len) == Some(3)
    );
    assert_eq!((&crm["vendor"], &crm["requests"], &crm["windows"]), (&json!("retailcrm"), &json!(1), &json!([])));
    assert_eq!(budget(&["--since", "2d"])[0]["requests"], 5);
    assert_eq!(budget(&["--integration", "2"])[0]["requests"], 2);
    let people = run(&folder, &["budget"], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(people.contains("запросов: 4, неудачных: 1"), "{people}");
}

#[test]
fn a_letter_that_is_named_is_not_asked_for_by_a_filter_too() {
    let folder = Folder::with_installation();
    for filter in [["--reason", "bad_phone"], ["--fault", "shop"], ["--since", "2h"], ["--integration", "1"]] {
        let said = run(&folder, &[&["dead", "replay", "7"][..], &filter].concat(), &[]);
        assert!(said.code == 2 && said.stderr.contains("cannot be used with"), "{filter:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_letter_that_is_to_be_tried_again_stays_in_sight_until_its_turn() {
    let folder = Folder::with_installation();
    let opened = store(&folder).await;
    letters(&opened, 3).await;
    opened.db.close().await;
    let done = run(&folder, &["dead", "replay", "--all", "--per-minute", "1"], &[]);
    assert!(done.code == 0 && done.stdout.contains("3 dead letter(s)"), "{done:?}");
    let opened = store(&folder).await;
    assert_eq!(opened.take_turns(&[]).await.expect("taken"), 1, "the first one's turn has come");
    opened.db.close().await;
    let listed = run(&folder, &["dead", "list"], &[]).stdout;
    assert_eq!(listed.matches("queued for replay 1, due ").count(), 2, "{listed}");
    assert!(listed.contains("2 wait to be tried again, the next at "), "{listed}");
    let one = run(&folder, &["dead", "show", "2"], &[]).stdout;
    assert!(one.contains("waits for its turn at "), "{one}");
    let all = run(&folder, &["dead", "list", "--all", "--json"], &[]).document("dead list");
    let due: Vec<bool> = all.as_array().expect("a list").iter().map(|d| d["replay_due_at"].is_string()).collect();
    assert_eq!(due, [false, true, true], "{all}");
    assert_eq!((&all[0]["state"], &all[1]["state"]), (&json!("replayed"), &json!("open")), "open until its turn");
    let story = run(&folder, &["order", "show", "1003"], &[]).stdout;
    assert!(story.contains("dead letter 3 is to be tried again at "), "{story}");
    let doctor = run(&folder, &["doctor"], &[]).stdout;
    assert!(doctor.contains("2 dead letter(s) wait to be tried again, the next at "), "{doctor}");
    let waiting = run(&folder, &["waiting", "--json"], &[]).document("waiting");
    let queued = waiting["waiting"].as_array().expect("a list").iter().find(|row| row["cause"] == "replay");
    assert_eq!(queued.map(|row| (&row["what"], &row["count"])), Some((&json!("letters"), &json!(2))), "{waiting}");
}

#[tokio::test]
async fn a_replay_says_what_it_will_do_and_is_started_watched_and_stopped() {
    let folder = Folder::with_installation();
    let none = run(&folder, &["replay", "plan"], &[]);
    assert!(none.code == 1 && none.stderr.contains("no open dead letter is meant"), "{none:?}");
    let opened = store(&folder).await;
    letters(&opened, 12).await;
    opened.db.close().await;
    let anna = |words: &[&str]| run(&folder, &[words, &["--as", "Анна"]].concat(), &[]);
    let planned = anna(&["replay", "plan", "--per-minute", "6", "--json"]).document("replay plan");
    let counts =
        |queued: i64| json!({ "queued": queued, "in_hand": 12 - queued, "done": 0, "dead_again": 0, "skipped": 0 });
    assert_eq!((&planned["id"], &planned["state"], &planned["who"]), (&json!(1), &json!("planned"), &json!("Анна")));
    assert_eq!((&planned["letters"], &planned["takes_s"], &planned["counts"]), (&json!(12), &json!(120), &counts(12)));
    assert_eq!(planned["cost"], json!({ "measoft": 12, "retailcrm": 36 }));
    let part = &planned["parts"][0];
    assert_eq!((&part["title"], &part["kind"], &part["letters"]), (&json!("Город"), &json!("SendOrder"), &json!(12)));
    assert_eq!(part["orders"].as_array().map(Vec::len), Some(10), "the first of them");
    let people = anna(&["replay", "show", "1"]).stdout;
    for words in
        ["Replay 1: planned", "12 × SendOrder, integration 1 «Город»: 1001, ", " and more: 2", "(6 a minute of 150)"]
    {
        assert!(people.contains(words), "«{words}» is not in {people}");
    }
    let russian = run(&folder, &["replay", "show", "1"], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(russian.contains("Повтор 1: запланирован") && russian.contains("осталось 2 мин"), "{russian}");
    assert_eq!(anna(&["replay", "start", "1", "--json"]).document("replay start")["state"], "running");
    let again = anna(&["replay", "start", "1"]);
    assert!(again.code == 1 && again.stderr.contains("replay 1 is running already"), "{again:?}");
    let opened = store(&folder).await;
    assert_eq!(opened.take_turns(&[]).await.expect("taken"), 1);
    opened.db.close().await;
    let paused = run(&folder, &["integration", "pause", "1"], &[]);
    assert_eq!(paused.code, 0, "{paused:?}");
    let shown = anna(&["replay", "show", "1", "--json"]).document("replay show");
    assert_eq!((&shown["counts"], &shown["waits"]), (&counts(11), &json!([1])), "it waits for the end of the pause");
    assert_eq!(anna(&["replay", "stop", "1", "--json"]).document("replay stop")["state"], "stopped");
    assert_eq!(anna(&["replay", "show", "--json"]).document("replay show")[0]["counts"], counts(11));
    let acts = run(&folder, &["audit", "--json"], &[]).document("audit");
    let told: Vec<_> = acts.as_array().expect("a list").iter().filter(|act| act["who"] == "Анна").collect();
    let what: Vec<_> = told.iter().map(|act| act["act"].as_str().unwrap_or_default()).collect();
    assert_eq!(what, ["replay_stopped", "replay_started", "replay_planned"], "{acts}");
}

#[test]
fn an_integration_without_an_address_of_its_own_goes_with_the_installations() {
    let folder = Folder::with_installation();
    let own = "http://127.0.0.1:7/api/";
    let add = |login: &str, address: &str, measoft: &str| {
        let mut arguments = add(&["--measoft-url", address]);
        arguments[11] = login.to_owned();
        run(&folder, &arguments, &[("MEASOFT_URL", measoft)])
    };
    assert_eq!(add("second", own, "http://127.0.0.1:9/api/").code, 0);
    let address = |id: &str, measoft: &str| {
        let shown = run(&folder, &["integration", "show", id, "--json"], &[("MEASOFT_URL", measoft)]);
        shown.document("integration show")["measoft_url"].as_str().expect("an address").to_owned()
    };
    let moved = "http://127.0.0.1:8/api/";
    assert_eq!((address("1", moved), address("2", moved)), (moved.to_owned(), own.to_owned()));
    // Whoever is there at the new address is a neighbour in the cabinet.
    let twin = add("shop", moved, moved);
    assert!(twin.code == 1 && twin.sentence("add").contains("--prefix"), "{twin:?}");
    assert_eq!(add("shop", "http://127.0.0.1:9/api/", moved).code, 0, "nobody is at the old one");
    for (arguments, then) in [(["--measoft-url", own], own), (["--set", "follows_measoft_url=true"], moved)] {
        let edit = [&["integration", "edit", "1"][..], &arguments].concat();
        assert_eq!(run(&folder, &edit, &[("MEASOFT_URL", moved)]).code, 0);
        assert_eq!(address("1", moved), then);
    }
}

#[test]
fn of_twenty_integrations_the_doctor_says_each_cause_once() {
    let folder = Folder::with_installation();
    for n in 2..=20 {
        assert_eq!(run(&folder, &add(&["--prefix", &format!("p{n}")]), &[]).code, 0);
    }
    let said = run(&folder, &["doctor"], &[]);
    assert_eq!(said.code, 1);
    let lines = said.stdout.lines().count();
    assert!(lines < 40, "{lines} lines: {}", said.stdout);
    assert!(said.stdout.contains("[1–20] "), "{}", said.stdout);
    let bad = run(&folder, &["doctor", "--bad-only"], &[]);
    assert!(bad.code == 1 && !bad.stdout.contains("ok   "), "{}", bad.stdout);
    let all = run(&folder, &["doctor", "--json"], &[]).document("doctor");
    let of = |id: i64| all.as_array().expect("a list").iter().filter(|f| f["integration"] == id).count();
    assert!(of(1) > 0 && of(1) == of(20), "a program is told of each: {all}");
    let bad = run(&folder, &["doctor", "--bad-only", "--json"], &[]).document("doctor");
    assert!(bad.as_array().expect("a list").iter().all(|f| f["level"] != "ok"), "{bad}");
}

/// With a pipe on standard output whose reader has gone.
fn unread(folder: &Folder, arguments: &[impl AsRef<str>]) -> Said {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(folder, arguments, &[]);
    command.stdout(writer);
    ended(command)
}

/// Each command with and without a reader, on an installation of its own.
fn unread_ends_like_read(commands: &[Called], arguments: impl Fn(&Called) -> Vec<String>) {
    let template = Folder::with_installation();
    for called in commands.iter().filter(|called| called.name != "up") {
        let arguments = arguments(called);
        let (one, other) = (template.copy(), template.copy());
        let (read, unread) = (run(&one, &arguments, &[]), unread(&other, &arguments));
        assert_eq!(unread.code, read.code, "{arguments:?}: {read:?} {unread:?}");
        assert!(!unread.stderr.contains("panicked") && !unread.stderr.contains("pipe"), "{arguments:?}: {unread:?}");
        assert_eq!(unread.stderr, read.stderr, "{arguments:?}");
    }
}

#[test]
fn a_closed_pipe_ends_a_command_quietly_with_the_exit_code_it_has_anyway() {
    unread_ends_like_read(&commands(), |called| called.arguments.clone());
}

#[test]
fn a_closed_pipe_ends_a_command_for_programs_quietly_too() {
    unread_ends_like_read(&commands(), with_json);
}

#[test]
fn a_closed_pipe_ends_every_help_quietly() {
    let folder = Folder::new();
    for called in commands() {
        let help = [called.name.split(' ').map(str::to_owned).collect(), vec!["--help".to_owned()]].concat();
        let said = unread(&folder, &help);
        assert!(said.code == 0 && said.stderr.is_empty(), "{help:?}: {said:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let folder = Folder::with_installation();
    for arguments in [&["integration", "list"][..], &["integration", "list", "--json"], &["completions", "bash"]] {
        let mut command = command(&folder, arguments, &[]);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").expect("a full disk"));
        let said = ended(command);
        assert!(said.code == 1 && said.sentence("").contains("No space left"), "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_failure_is_one_document_for_a_program() {
    let folder = Folder::with_installation();
    for (arguments, settings, code, kind) in [
        (&["dead", "show", "7", "--json"][..], &[][..], 1, "failed"),
        (&["dead", "list", "--reason", "bad_fone", "--json"], &[], 2, "usage"),
        (&["integration", "show", "99", "--json"], &[], 2, "usage"),
        (&["config", "check", "--json"], &[("LEASE_S", "soon"), ("WORKER_CONCURRENCY", "0")], 64, "configuration"),
        (&["up", "--json"], &[("LEASE_S", "soon")], 64, "configuration"),
        (&["demo", "--json"], &[("RUST_LOG", "a=b=c")], 64, "configuration"),
        (&["nonsense", "--json"], &[], 2, "usage"),
    ] {
        let said = run(&folder, arguments, settings);
        let error = &said.document(&arguments.join(" "))["error"];
        assert!(said.code == code && error["code"] == code && error["kind"] == kind, "{arguments:?}: {said:?}");
        let first = said.stderr.lines().next().unwrap_or_default();
        let text = error["text"].as_str().expect("text");
        assert!(
            !text.is_empty() && first.contains(text.lines().next().expect("a line").split(';').next().expect("words")),
            "{said:?}"
        );
    }
}

#[test]
fn the_configuration_check_makes_nothing_and_warns_of_a_variable_that_nothing_reads() {
    let folder = Folder::new();
    let good = run(&folder, &["config", "check", "--json"], &[("SYNC_INTERVAL_S", "60")]);
    assert_eq!((good.code, &good.document("config check")["warnings"]), (0, &json!([])));
    let settings = [("SYNC_INTERVALL_S", "60"), ("BRIDGE_SOMETHING", "1"), ("HOME", "/root")];
    let said = run(&folder, &["config", "check", "--json"], &settings);
    let warnings = &said.document("config check")["warnings"];
    assert_eq!(said.code, 0);
    assert_eq!(warnings[0]["variable"], "BRIDGE_SOMETHING", "{warnings}");
    assert_eq!(warnings[1]["did_you_mean"], "SYNC_INTERVAL_S", "{warnings}");
    let people = run(&folder, &["config", "check"], &settings).stdout;
    assert!(people.contains("SYNC_INTERVALL_S") && people.contains("did you mean SYNC_INTERVAL_S?"), "{people}");
    assert_eq!(folder.names(), Vec::<String>::new());
    let doctor = run(&Folder::with_installation(), &["doctor"], &settings).stdout;
    assert!(doctor.contains("did you mean SYNC_INTERVAL_S?"), "{doctor}");
}

#[test]
fn exit_codes_are_told_by_the_help_of_the_command() {
    let help = run(&Folder::new(), &["--help"], &[]).stdout;
    assert!(help.contains(shared::arguments::EXIT_CODES), "{help}");
    let version = run(&Folder::new(), &["--version"], &[]).stdout;
    assert_eq!(version.trim(), format!("bridge {}", shared::telemetry::Metrics::BUILD));
}

#[test]
fn what_needs_no_installation_is_listed_here_by_its_name() {
    let names: Vec<String> = commands().into_iter().map(|called| called.name).collect();
    for name in MAKE.iter().chain(&NEED_NONE) {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    assert!(Path::new(env!("CARGO_BIN_EXE_bridge")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_retailcrm_does_not_have_is_refused_with_what_was_meant() {
    let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await.expect("a RetailCRM");
    crm.add_account("key");
    let folder = Folder::new();
    let add = |option: &str, value: &str| {
        let mut words = add(&[option, value]);
        words[5] = crm.url();
        run(&folder, &words, &[])
    };
    for (option, value, meant) in [
        ("--payment-status", "payed", "did you mean paid?"),
        ("--set", "payment_type_map.CARD=bank-crad", "did you mean bank-card?"),
        ("--set", "paytype_map.bank_card=CARD", "did you mean bank-card?"),
        ("--set", "status_map.X=INVENTROY", "did you mean INVENTORY?"),
    ] {
        let refused = add(option, value);
        assert!(refused.code == 2 && refused.sentence("add").contains(meant), "{value}: {refused:?}");
        let none = run(&folder, &["integration", "list", "--json"], &[]);
        assert_eq!(none.document("list").as_array().map(Vec::len), Some(0), "nothing is saved");
    }
    let added = add("--payment-status", "paid");
    assert!(added.code == 0 && added.stderr.is_empty(), "{added:?}");
    let edit = ["integration", "edit", "1", "--payment-status"];
    let refused = run(&folder, &[&edit[..], &["payed"]].concat(), &[]);
    assert!(refused.code == 2 && refused.sentence("edit").contains("did you mean paid?"), "{refused:?}");
    let show = || run(&folder, &["integration", "show", "1", "--json"], &[]).document("show");
    assert_eq!(show()["settings"]["payment_status"], "paid");
    let check = || run(&folder, &["integration", "check", "1"], &[]).stdout;
    assert!(check().contains("ok   RetailCRM codes"), "{}", check());
    // Away: saved, with a warning; told by the check when it is there again.
    crm.stop().await;
    let away = run(&folder, &[&edit[..], &["payed", "--json"]].concat(), &[]);
    assert!(away.code == 0 && away.sentence("edit").contains("unverified"), "{away:?}");
    assert!(
        away.document("edit")["warning"].as_str().is_some_and(|text| text.contains("integration check")),
        "{away:?}"
    );
    assert_eq!(show()["settings"]["payment_status"], "payed");
    assert!(check().contains("bad  RetailCRM codes: unverified"), "{}", check());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_corrected_and_told_without_its_personal_data_and_the_books_of_a_day_are_compared() {
    let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await.expect("a RetailCRM");
    let accounts = vec![simulators::measoft::Account::new("8", "shop", "password")];
    let options = simulators::measoft::Options { accounts, ..simulators::measoft::Options::default() };
    let courier = simulators::measoft::MeasoftSim::start(options).await.expect("a MeaSoft");
    let account = crm.add_account("key");
    crm.add_delivery_type(account, "incity", None, &["cash"]);
    let order = crm.add_order(account, an_order().number("7001").delivery_type("incity").status("SentMeaSoft"));
    let folder = Folder::new();
    let mut words =
        add(&["--measoft-url", &courier.url(), "--delivery-type", "incity", "--set", "send_statuses=SentMeaSoft"]);
    words[5] = crm.url();
    let added = run(&folder, &words, &[]);
    assert_eq!(added.code, 0, "{added:?}");
    let opened = store(&folder).await;
    let number = OrderNumber::parse("7001").expect("a number");
    let key = DeliveryKey { integration: IntegrationId(1), crm_order: CrmOrderId(order), number: &number, prefix: "" };
    opened.lease_delivery(&key, "w1", opened.clock.now()).await.expect("leased");
    opened.db.close().await;
    let correct = |words: &[&str]| run(&folder, &[&["order", "correct", "7001"][..], words].concat(), &[]);
    let done = correct(&["--phone", "8 903 765-43-21", "--window", "12-15", "--as", "Анна", "--json"]);
    let document = done.document("order correct");
    assert_eq!((&document["version"], &document["by"]), (&json!(1), &json!("Анна")), "{done:?}");
    assert_eq!(document["fields"], json!(["phone", "window"]));
    let late = correct(&["--phone", "+79030000000", "--seen", "0"]);
    assert!(late.code == 1 && late.sentence("correct").contains("Анна has corrected this order meanwhile"), "{late:?}");
    let bad = correct(&["--date", "завтра"]);
    assert!(bad.code == 2 && bad.sentence("correct").contains("--date: it is no date like 2026-12-01"), "{bad:?}");
    let show = |words: &[&str]| run(&folder, &[&["order", "show", "7001"][..], words].concat(), &[]);
    let masked = show(&["--json"]).document("order show");
    let told = &masked["corrections"];
    assert_eq!((&told[0]["field"], &told[0]["after"], &told[0]["by"]), (&json!("phone"), &Value::Null, &json!("Анна")));
    assert_eq!((&told[1]["before"], &told[1]["after"]), (&json!("10:00-18:00"), &json!("12:00-15:00")), "{told:#}");
    assert_eq!(show(&["--json", "--unmask"]).document("order show")["corrections"][0]["after"], "8 903 765-43-21");
    let people = show(&[]).stdout;
    assert!(people.contains("corrected: phone changed, Анна (version 1)"), "{people}");
    assert!(!people.contains("765-43-21"), "{people}");
    let compare = |words: &[&str]| run(&folder, &[&["compare"][..], words].concat(), &[]);
    let day = Clock::system()
        .now()
        .to_zoned_datetime(jiff::tz::TimeZone::get("Europe/Moscow").expect("a zone"))
        .date()
        .to_string();
    crm.add_order(account, an_order().number("7,002").delivery_type("incity").status("SentMeaSoft"));
    let books = compare(&["--day", &day, "--json"]);
    let found = &books.document("compare")["integrations"][0]["found"];
    assert_eq!(
        (books.code, &found[0]["order"], &found[0]["what"]),
        (1, &json!("7,002"), &json!("missing")),
        "{books:?}"
    );
    let table = compare(&["--day", &day, "--csv"]).stdout;
    assert!(
        table.starts_with("integration,what,book,order,") && table.contains("1,missing,ledger,\"7,002\","),
        "{table}"
    );
    let repaired = compare(&["--day", &day, "--repair", "--json"]).document("compare");
    assert_eq!(repaired["integrations"][0]["asked_for"], json!({ "send": 1 }), "{repaired:#}");
    let russian = run(&folder, &["compare", "--day", &day], &[("LANG", "ru_RU.UTF-8")]).stdout;
    assert!(russian.contains("не передан"), "{russian}");
}

/// A demonstration that is left running, and what it printed.
struct Demo {
    child: std::process::Child,
    printed: String,
}

impl Demo {
    fn keep(folder: &Folder) -> Self {
        use std::io::BufRead as _;
        let mut command = command(folder, &["demo", "--keep", "--orders", "6"], &[]);
        let mut child = command.env("TMPDIR", &folder.0).spawn().expect("it runs");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut printed = String::new();
        while !printed.contains("RetailCRM   http") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {printed}")).expect("a line");
            printed.push_str(&line);
            printed.push('\n');
        }
        Self { child, printed }
    }

    /// What stands behind a word.
    fn after(&self, word: &str) -> &str {
        let line =
            self.printed.lines().find_map(|line| line.split_once(word)).unwrap_or_else(|| panic!("{}", self.printed));
        line.1.trim()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kept_demonstration_prints_works_as_it_is_printed() {
    let folder = Folder::new();
    let demo = Demo::keep(&folder);
    let exports: Vec<&str> = demo.printed.lines().map(str::trim).filter(|line| line.starts_with("export ")).collect();
    let settings = exports.join("\n");
    let shell = |words: &str| {
        let script = format!("{settings}\n{words}");
        let path = Path::new(env!("CARGO_BIN_EXE_bridge")).parent().expect("a folder").display().to_string();
        let output = Command::new("sh")
            .args(["-ec", &script])
            .current_dir(&folder.0)
            .env_clear()
            .env("PATH", format!("{path}:/usr/bin:/bin"))
            .output()
            .expect("a shell");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), stdout.into_owned(), stderr.into_owned())
    };
    let (_, findings, stderr) = shell("bridge doctor --json");
    let findings: Value = serde_json::from_str(&findings).unwrap_or_else(|bad| panic!("{bad}: {findings} {stderr}"));
    let errors: Vec<&Value> = findings.as_array().expect("a list").iter().filter(|f| f["level"] == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for word in ["a story ", "a failure "] {
        let (code, stdout, stderr) = shell(demo.after(word));
        assert!(code == Some(0) && stdout.lines().count() > 1, "{word}: {stdout}{stderr}");
    }
    // What would be done for the order of the story, over the vendors that are there.
    let story = demo.after("a story ").replace(" --verbose", "");
    let preview = story.replace("order show", "order preview --json");
    let (code, answer, stderr) = shell(&preview);
    let seen: Value = serde_json::from_str(&answer).unwrap_or_else(|bad| panic!("{bad}: {answer} {stderr}"));
    assert!(code == Some(0) && seen["requests"] == json!([]), "as it is at MeaSoft: {seen:#}");
    assert!(seen["decisions"][0]["decision"].is_string() && seen["at_measoft"][0]["sum"].is_string(), "{seen:#}");
    let people = shell(&story.replace("order show", "order preview")).1;
    assert!(people.contains("nothing is written or sent") && !people.contains("retry_later"), "{people}");
    let (code, answer, stderr) = shell(&format!("{} -s", demo.after("a trigger ")));
    assert!(code == Some(0) && answer.contains("\"success\":true"), "{answer}{stderr}");
    // Into the console by the address that was printed, and by one that the command prints.
    let http = simulators::http().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let printed = demo.after("within five minutes: ").to_owned();
    let (code, another, stderr) = shell(&demo.after("later ").replace("NAME", "Anna"));
    assert_eq!(code, Some(0), "{stderr}");
    for link in [printed, another.lines().next().expect("an address").to_owned()] {
        let (origin, token) = link.split_once("/enter/").expect("an address");
        let enter = http.post(format!("{origin}/enter")).header("origin", origin).form(&[("link", token)]);
        let entered = enter.send().await.expect("an answer");
        assert_eq!(entered.status(), 303, "{link}");
        let cookie = entered.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("one").to_owned();
        let page =
            http.get(origin).header("cookie", cookie).send().await.expect("an answer").text().await.expect("a page");
        assert!(page.contains("Второй магазин"), "{page}");
    }
    // The manager's page, as a browser goes there.
    let page = std::fs::read_to_string(demo.after("file://")).expect("a page");
    let between = |text: &str, from: &str| text.split(from).nth(1).and_then(|t| t.split('"').next()).map(str::to_owned);
    let (action, client) = (between(&page, "action=\""), between(&page, "value=\""));
    let form = [("clientId", client.expect("an id"))];
    let opened = http.post(action.expect("an address")).form(&form).send().await.expect("an answer");
    assert_eq!(opened.status(), 303, "a session");
}
