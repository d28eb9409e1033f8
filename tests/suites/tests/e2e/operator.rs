//! Commands of the operator that talk to a vendor or to a shell.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Collect, LONG, World, eventually, programs};
use serde_json::Value;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::{self, TriggerKind};

/// A worker waits 45 s for MeaSoft; who looks for what is wrong does not.
const LOOK: Duration = Duration::from_secs(30);

/// Files of a folder with their text.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("read"));
    entries
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_without_writing_and_writes_only_when_told_to() {
    let world = World::embedded("probe").start().await;
    let id = world.shops[0].integration.to_string();
    let (reading, writing) = (world_folder("read"), world_folder("write"));
    let read = world.bridge(&["probe", &id, "--json", "--pause", "0", "--save", &reading]).await.json();
    let probes: Vec<&Value> = read["probes"].as_array().expect("a list").iter().collect();
    assert!(probes.len() >= 10 && probes.iter().all(|probe| probe["answered"] == true), "{read}");
    assert!(
        probes.iter().all(|probe| probe["settles"].as_str().is_some_and(|text| text.contains("protocols/measoft.md#")))
    );
    assert_eq!(world.measoft.orders().len(), 0, "nothing was written");
    let table = world.bridge(&["probe", &id, "--pause", "0", "--save", &reading]).await;
    assert!(
        table.code == 0 && table.stdout.contains("settles") && !table.stdout.contains('\u{1b}'),
        "{}",
        table.stdout
    );

    let refused = world.bridge(&["probe", &id, "--write", "--pause", "0", "--save", &writing]).await;
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{}: {}", refused.code, refused.stderr);
    assert_eq!(world.measoft.orders().len(), 0, "nobody agreed");

    let wrote =
        world.bridge(&["probe", &id, "--write", "--yes", "--json", "--pause", "0", "--save", &writing]).await.json();
    let found = |probe: &str| {
        let row = wrote["probes"].as_array().expect("a list").iter().find(|row| row["probe"] == probe);
        row.unwrap_or_else(|| panic!("no {probe}: {wrote}"))["found"].as_str().expect("text").to_owned()
    };
    assert!(found("03a").starts_with("code 0"), "{wrote}");
    assert!(found("03b").starts_with("code 17"), "{wrote}");
    assert!(found("07a").starts_with("code 0"), "{wrote}");
    let names: BTreeSet<String> = files(&writing).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains("03a-neworder.request.xml") && names.contains("07a-cancelorder.response.xml"), "{names:?}");
    for folder in [&reading, &writing] {
        for (name, text) in files(folder) {
            for secret in ["pass-", "900 000-00-01", "Проверочная", "Проверка связи", "shop-city"]
            {
                assert!(!text.contains(secret), "{name} holds {secret}: {text}");
            }
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
}

fn world_folder(name: &str) -> String {
    let folder = std::env::temp_dir().join(format!("bridge-probe-{name}-{}", uuid::Uuid::new_v4().simple()));
    folder.to_str().expect("utf-8").to_owned()
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let run =
            Command::new(programs().join("bridge")).args(["completions", shell]).env_clear().output().expect("runs");
        let script = String::from_utf8(run.stdout).expect("utf-8");
        assert!(run.status.success() && script.contains("trigger-help") && script.contains("rotate-key"), "{shell}");
        if shell == "bash" {
            let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
            std::io::Write::write_all(bash.stdin.as_mut().expect("piped"), script.as_bytes()).expect("written");
            drop(bash.stdin.take());
            assert!(bash.wait().expect("ended").success());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_say_whose_a_dead_letter_is_and_what_its_integration_is_called() {
    let world = World::embedded("named-metrics").start().await;
    let order = world.place(0, 1, Collect::Cash);
    world.crm.edit(world.shops[0].account, order.id, |o| o.set_phone("нет"));
    world.expect_dead_letter(&order.number, "bad_phone");
    world.fires(TriggerKind::Send, &order).await;
    world.settled("the order gave up").await;
    let id = world.shops[0].integration;
    let letter = format!(r#"bridge_integration_dead_letters{{fault="shop",integration="{id}"}} 1"#);
    let info = format!(r#"bridge_integration_info{{integration="{id}",state="active",title=""#);
    eventually("the gauges follow", LONG, || async {
        let metrics = world.metrics("bridge").await;
        let said = metrics.contains(&letter) && metrics.contains(&info);
        if said { Ok(()) } else { Err(metrics.lines().filter(|l| l.contains("integration")).collect::<String>()) }
    })
    .await;
    world.finish().await;
}

/// The value of a field in the lines that hold some words.
fn fields(log: &str, words: &str, name: &str) -> BTreeSet<String> {
    let mark = format!("{name}=\"");
    log.lines()
        .filter(|line| line.contains(words))
        .filter_map(|line| Some(line.split_once(&mark)?.1.split('"').next()?.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_request_through_the_queue_to_the_workers_attempt() {
    let world = World::scaled("traced").start().await;
    let order = world.place(0, 1, Collect::Cash);
    world.fires(TriggerKind::Send, &order).await;
    world.settled("the order is placed").await;
    let accepted = fields(&world.log("ingress-1"), "a trigger was accepted", "traceparent");
    assert_eq!(accepted.len(), 1, "{}", world.log("ingress-1"));
    let attempts: BTreeSet<String> = ["worker-1", "worker-2"]
        .iter()
        .flat_map(|worker| fields(&world.log(worker), &format!("order=\"{}\"", order.number), "traceparent"))
        .collect();
    assert_eq!(attempts, accepted, "{}{}", world.log("worker-1"), world.log("worker-2"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_comes_to_an_end_and_names_both_vendors_while_they_take_requests_and_never_answer() {
    let world = World::embedded("doctor-hanging").start().await;
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::Hang)]);
    world.crm.set_faults(vec![retailcrm::FaultRule::new("*", retailcrm::When::Always, retailcrm::Action::Hang)]);
    let asked = world.bridge(&["doctor", "--json"]);
    let said = tokio::time::timeout(LOOK, asked).await.expect("it comes to an end");
    assert_eq!(said.code, 1, "{}", said.stdout);
    let found: Vec<Value> = serde_json::from_str(&said.stdout).expect("findings");
    for vendor in ["MeaSoft", "RetailCRM"] {
        let is_told = |finding: &Value| {
            let what = finding["what"].as_str().unwrap_or_default();
            finding["level"] == "error" && what.contains(vendor) && what.contains("answer")
        };
        assert!(found.iter().any(is_told), "{vendor}: {}", said.stdout);
    }
    world.measoft.set_faults(vec![]);
    world.crm.clear_faults();
    world.finish().await;
}
