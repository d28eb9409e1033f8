//! The invariant of every story: the ledger equals the simulators, every
//! accepted trigger has its one effect or a dead letter, nothing waits, no task died, and
//! nothing secret was said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use simulators::measoft::Order;
use simulators::retailcrm::TriggerKind;

use super::eventually::{LONG, eventually};
use super::ledger::Line;
use super::world::World;

/// Sentences shown of one failure.
const SHOWN: usize = 25;

fn text<'a>(line: &'a Line, column: &str) -> &'a str {
    line.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn number(line: &Line, column: &str) -> i64 {
    line.get(column).and_then(Value::as_i64).unwrap_or(0)
}

impl World {
    /// Ends the story: waits until nothing is wanted any more, stops everything with
    /// SIGTERM, checks the invariant and cleans up.
    ///
    /// # Panics
    /// With everything that does not hold.
    pub async fn finish(self) {
        let folder = self.folder.clone();
        let mut problems = self.conclude().await;
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        assert!(
            problems.is_empty(),
            "the story does not end as it should ({more} more like these; logs in {}):\n- {}",
            folder.display(),
            problems.join("\n- ")
        );
    }

    /// The same, answering what does not hold.
    ///
    /// # Panics
    /// When it cannot be told.
    pub async fn conclude(mut self) -> Vec<String> {
        self.settled("nothing waits at the end of the story").await;
        let mut problems = self.stop_all().await;
        problems.extend(self.nothing_left().await);
        problems.extend(self.differences().await.expect("the ledger can be read"));
        problems.extend(self.unanswered().await.expect("the ledger can be read"));
        problems.extend(self.dead_letters_as_expected().await.expect("the ledger can be read"));
        problems.extend(self.logs_are_clean());
        problems.extend(self.secrets_seen().await.expect("the ledger can be read"));
        self.measoft.stop().await;
        self.crm.stop().await;
        self.ledger.close().await;
        self.close_database();
        problems
    }

    /// Schedulers first, since they make work. Answers what died before.
    async fn stop_all(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut running = Vec::new();
        for name in self.process_names() {
            if !self.with_process(&name, |process, _| process.is_started()) {
                continue;
            }
            if let Some(status) = self.with_process(&name, |process, _| process.ended()) {
                problems.push(format!("{name} died by itself: {status}"));
                continue;
            }
            let said = (format!("the metrics of {name}"), self.metrics(&name).await);
            self.said.lock().expect("not poisoned").push(said);
            running.push(name);
        }
        running.sort_by_key(|name| !name.starts_with("scheduler"));
        for name in running {
            if name.starts_with("worker") {
                eventually("the scheduler's last messages are taken", LONG, || async {
                    let queues = self.queues.as_ref().ok_or("no queues")?;
                    let waiting = queues.waiting().await.map_err(|error| format!("{error:#}"))?;
                    let (_, jobs) = self.ledger.waiting().await.map_err(|error| format!("{error:#}"))?;
                    if waiting.is_empty() && jobs == 0 { Ok(()) } else { Err(format!("{waiting:?}, {jobs} jobs")) }
                })
                .await;
            }
            let took = self.terminate(&name).await;
            if took > Duration::from_secs(15) {
                problems.push(format!("{name} took {took:?} to stop"));
            }
        }
        problems
    }

    /// With everything stopped, what was in somebody's hands is back in its queue. A repeat
    /// may have been handed back so: a worker gets it once more.
    async fn nothing_left(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(queues) = &self.queues {
            let names = queues.names().await;
            let left = || async { queues.ready(&names).await.expect("the broker answers") };
            if !left().await.is_empty() {
                self.start("worker-1").await;
                self.settled("what was handed back is taken").await;
                self.terminate("worker-1").await;
            }
            let left = left().await;
            problems.extend(left.iter().map(|(name, messages)| format!("{messages} messages are left in {name}")));
            if let Err(error) = queues.remove(&names).await {
                problems.push(format!("the queues cannot be removed: {error:#}"));
            }
        }
        let (intents, _) = self.ledger.waiting().await.expect("the ledger can be read");
        let triggers = self.ledger.count("SELECT COUNT(*) AS n FROM jobs WHERE lane = 'interactive'").await;
        let triggers = triggers.expect("the ledger can be read");
        if intents + triggers > 0 {
            problems.push(format!("{intents} orders and {triggers} triggers wait after the stop"));
        }
        problems
    }

    async fn deliveries(&self) -> anyhow::Result<Vec<Line>> {
        self.ledger.rows("SELECT * FROM deliveries ORDER BY id").await
    }

    /// Where ledger and simulators differ.
    ///
    /// # Errors
    /// Of the database.
    pub async fn differences(&self) -> anyhow::Result<Vec<String>> {
        let mut problems = Vec::new();
        let deliveries = self.deliveries().await?;
        // A number at MeaSoft is a cabinet's own.
        let there: BTreeMap<(String, String), Order> = self
            .measoft
            .orders()
            .into_iter()
            .filter(|order| !order.deleted)
            .map(|order| ((order.account.clone(), order.orderno.clone()), order))
            .collect();
        let mut known = BTreeSet::new();
        for delivery in &deliveries {
            let Some(shop) = self.shops.iter().find(|shop| shop.integration == number(delivery, "integration_id"))
            else {
                problems.push("a delivery of no integration".to_owned());
                continue;
            };
            let (orderno, state) = (text(delivery, "orderno"), text(delivery, "state"));
            let order = there.get(&(shop.cabinet.clone(), orderno.to_owned()));
            known.insert((shop.cabinet.clone(), orderno.to_owned()));
            let status = order.map(|order| order.status.as_str());
            match (state, status) {
                ("planned" | "rejected", None) | ("cancelled", None | Some("CANCELED")) => {}
                (
                    "created" | "in_work" | "delivered" | "partly" | "not_delivered" | "returned" | "lost",
                    Some(status),
                ) if status != "CANCELED" || state == "not_delivered" => {
                    let (ours, theirs) = (number(delivery, "price"), order.map_or(0, |order| order.price_kopecks));
                    if ours != theirs {
                        problems.push(format!("{orderno}: to collect {ours}, MeaSoft has {theirs}"));
                    }
                    let id = number(delivery, "crm_order_id");
                    let card = self.crm.order(shop.account, id).unwrap_or_default();
                    let ours_now = card["delivery"]["code"] == shop.delivery_type.as_str();
                    let told = card["delivery"]["data"]["externalId"].as_str().unwrap_or_default();
                    if ours_now && told != format!("ms-{}-{id}", shop.integration) {
                        problems.push(format!("{orderno}: RetailCRM shows the delivery id «{told}»"));
                    }
                }
                _ => problems.push(format!("{orderno}: {state} in the ledger, {status:?} at MeaSoft")),
            }
        }
        // Numbers of deliveries that are over are known for good.
        for past in self.ledger.rows("SELECT integration_id, orderno, state FROM past_deliveries").await? {
            let shop = self.shops.iter().find(|shop| shop.integration == number(&past, "integration_id"));
            let Some(shop) = shop else { continue };
            let key = (shop.cabinet.clone(), text(&past, "orderno").to_owned());
            let is_live = there.get(&key).is_some_and(|order| order.status != "CANCELED");
            if text(&past, "state") != "cancelled" || !is_live {
                known.insert(key);
            }
        }
        for (key, order) in &there {
            if !known.contains(key) {
                problems
                    .push(format!("MeaSoft has {} ({}), which the ledger does not know", order.orderno, order.status));
            }
        }
        for (orderno, effects) in self.measoft.effects() {
            if effects.creates > 1 {
                problems.push(format!("{orderno}: created {} times", effects.creates));
            }
        }
        Ok(problems)
    }

    /// Accepted triggers that came to nothing.
    async fn unanswered(&self) -> anyhow::Result<Vec<String>> {
        let mut concluded: BTreeSet<(i64, String)> = BTreeSet::new();
        for sql in [
            "SELECT integration_id, number FROM deliveries WHERE state <> 'planned'",
            "SELECT integration_id, number FROM dead_letters WHERE number IS NOT NULL",
            "SELECT integration_id, number FROM journal WHERE what = 'decision' AND number IS NOT NULL \
             AND outcome IN ('done', 'already_done', 'superseded')",
        ] {
            let rows = self.ledger.rows(sql).await?;
            concluded.extend(rows.iter().map(|row| (number(row, "integration_id"), text(row, "number").to_owned())));
        }
        // A request that was handed over to its order is concluded under the order's id.
        let mut served: BTreeSet<(i64, i64)> = BTreeSet::new();
        for sql in [
            "SELECT integration_id, crm_order_id FROM order_intents WHERE requested = served",
            "SELECT integration_id, crm_order_id FROM dead_letters WHERE crm_order_id IS NOT NULL",
        ] {
            let rows = self.ledger.rows(sql).await?;
            served.extend(rows.iter().map(|row| (number(row, "integration_id"), number(row, "crm_order_id"))));
        }
        let mut problems = Vec::new();
        for fired in self.accepted() {
            let shops: Vec<i64> = match fired.kind {
                TriggerKind::Cancel => {
                    let account = self.shops[fired.shop].account;
                    self.shops.iter().filter(|shop| shop.account == account).map(|shop| shop.integration).collect()
                }
                TriggerKind::Send | TriggerKind::Update => vec![self.shops[fired.shop].integration],
            };
            for shop in shops {
                let by_order = fired.orders.iter().any(|order| served.contains(&(shop, *order)));
                if !by_order && !concluded.contains(&(shop, fired.number.clone())) {
                    problems.push(format!(
                        "{:?} of {} was accepted and came to nothing at {shop}",
                        fired.kind, fired.number
                    ));
                }
            }
        }
        Ok(problems)
    }

    async fn dead_letters_as_expected(&self) -> anyhow::Result<Vec<String>> {
        let rows = self.ledger.rows("SELECT number, reason, detail FROM dead_letters WHERE state = 'open'").await?;
        let mut expected = self.expected_dead.lock().expect("not poisoned").clone();
        let mut problems = Vec::new();
        for row in &rows {
            let found = (text(row, "number").to_owned(), text(row, "reason").to_owned());
            match expected.iter().position(|known| *known == found) {
                Some(place) => drop(expected.remove(place)),
                None => problems.push(format!("an unexpected dead letter {found:?}: {}", text(row, "detail"))),
            }
        }
        problems.extend(expected.iter().map(|missing| format!("no dead letter {missing:?}")));
        Ok(problems)
    }

    fn logs(&self) -> Vec<(String, String)> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.folder.join("logs")).into_iter().flatten().flatten() {
            let said = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()).into_owned();
            logs.push((entry.file_name().to_string_lossy().into_owned(), said));
        }
        logs
    }

    fn logs_are_clean(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, log) in self.logs() {
            if log.is_empty() {
                problems.push(format!("{name} is empty: the story must see what is logged"));
            }
            for bad in ["panicked", "a handler broke off", "a move that cannot happen"] {
                if let Some(line) = log.lines().find(|line| line.contains(bad)) {
                    problems.push(format!("{name}: {line}"));
                }
            }
        }
        problems
    }

    /// Everything that was written anywhere, searched for what was planted.
    async fn secrets_seen(&self) -> anyhow::Result<Vec<String>> {
        let mut seen = Vec::new();
        for (name, log) in self.logs() {
            seen.extend(self.secrets.seen_in(&name, &log));
        }
        for (place, said) in self.said.lock().expect("not poisoned").iter() {
            seen.extend(self.secrets.seen_in(place, said));
        }
        for table in [
            "journal",
            "dead_letters",
            "intents",
            "order_intents",
            "deliveries",
            "past_deliveries",
            "shadow_orders",
            "slots",
            "reference_cache",
            "integrations",
            "jobs",
        ] {
            for row in self.ledger.rows(&format!("SELECT * FROM {table}")).await? {
                for (column, value) in &row {
                    if let Some(text) = value.as_str() {
                        seen.extend(self.secrets.seen_in(&format!("{table}.{column}"), text));
                    }
                }
            }
        }
        seen.sort();
        seen.dedup();
        Ok(seen)
    }
}
