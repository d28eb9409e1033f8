//! Compares what MeaSoft's simulator has with what was accepted. Pure: neither the product
//! nor its ledger is asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::Shop;
use crate::measoft::Order;

use super::lives::Wanted;

/// An order all of whose triggers were accepted.
#[derive(Debug, Clone)]
pub struct Record {
    /// The account's shops, by side: places in [`crate::harness::World::shops`].
    pub shops: [usize; 2],
    /// RetailCRM's id.
    pub id: i64,
    /// RetailCRM's number.
    pub number: String,
    /// What must be true in the end.
    pub wanted: Wanted,
    /// The last status RetailCRM was told.
    pub told: Option<String>,
}

/// What does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Effects that are missing or of an earlier wish, one sentence for each order.
    pub lost: Vec<String>,
    /// Effects that are there more than once.
    pub doubled: Vec<String>,
}

/// Judges all orders.
#[must_use]
pub fn judge(records: &[Record], shops: &[Shop], orders: &[Order]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_number: BTreeMap<(&str, &str), Vec<&Order>> = BTreeMap::new();
    let known: BTreeSet<(String, String)> = records
        .iter()
        .flat_map(|record| {
            record.shops.map(|shop| (shops[shop].cabinet.clone(), orderno(&shops[shop], &record.number)))
        })
        .collect();
    for order in orders.iter().filter(|order| !order.deleted) {
        let number = base(&order.orderno);
        if !known.contains(&(order.account.clone(), number.to_owned())) {
            verdict.doubled.push(format!("MeaSoft has {}, which nobody ordered", order.orderno));
        }
        if order.creates > 1 {
            verdict.doubled.push(format!("{} was created {} times", order.orderno, order.creates));
        }
        by_number.entry((&order.account, number)).or_default().push(order);
    }
    for record in records {
        let mut all: Vec<&Order> = Vec::new();
        for shop in record.shops {
            let number = orderno(&shops[shop], &record.number);
            all.extend(by_number.get(&(shops[shop].cabinet.as_str(), number.as_str())).into_iter().flatten());
        }
        one(record, shops, &all, &mut verdict);
    }
    verdict
}

fn one(record: &Record, shops: &[Shop], all: &[&Order], verdict: &mut Verdict) {
    let (wanted, number) = (&record.wanted, &record.number);
    let live: Vec<&Order> = all.iter().copied().filter(|order| order.status != "CANCELED").collect();
    if all.len() > 1 + wanted.departures {
        verdict.doubled.push(format!("{number} was placed {} times and left {}", all.len(), wanted.departures));
    }
    let at = if wanted.bad_phone { None } else { wanted.at };
    match (at, live.as_slice()) {
        (None, []) => {}
        (None, there) => verdict.lost.push(format!("{number} is still live as {}", numbers(there))),
        (Some(_), []) => verdict.lost.push(format!("{number} is not there ({})", numbers(all))),
        (Some(side), [order]) => {
            let shop = &shops[record.shops[side]];
            let mut wrong = Vec::new();
            if order.account != shop.cabinet {
                wrong.push(format!("at {} instead of {}", order.account, shop.cabinet));
            }
            if !order.receiver.address.ends_with(&format!("д. {}", wanted.house)) {
                wrong.push(format!("not at house {}", wanted.house));
            }
            if order.price_kopecks != wanted.collect {
                wrong.push(format!("{} to collect instead of {}", order.price_kopecks, wanted.collect));
            }
            // What came too late is shown as an error.
            if let Some(status) = wanted.status
                && !wanted.too_late
                && record.told.as_deref() != Some(status)
            {
                wrong.push(format!("RetailCRM was told {:?} last instead of {status}", record.told));
            }
            if !wrong.is_empty() {
                verdict.lost.push(format!("{number} as {}: {}", order.orderno, wrong.join(", ")));
            }
            let mut lines = BTreeSet::new();
            let twice = order
                .items
                .iter()
                .find(|item| item.quantity > 0 && !item.extcode.is_empty() && !lines.insert(item.extcode.as_str()));
            if twice.is_some() {
                verdict.doubled.push(format!("{} has a line twice", order.orderno));
            }
        }
        (Some(_), there) => verdict.doubled.push(format!("{number} is live as {}", numbers(there))),
    }
}

fn numbers(orders: &[&Order]) -> String {
    let all: Vec<String> = orders.iter().map(|order| format!("{} {}", order.orderno, order.status)).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" and ") }
}

fn orderno(shop: &Shop, number: &str) -> String {
    format!("{}{number}", shop.prefix)
}

/// Without the generation: a number of the suite ends with a letter.
fn base(orderno: &str) -> &str {
    match orderno.rsplit_once('-') {
        Some((base, generation)) if generation.bytes().all(|digit| digit.is_ascii_digit()) => base,
        _ => orderno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::lives::Act;
    use crate::measoft::{Account, MeasoftSim, Options};
    use crate::retailcrm::AccountId;

    fn shops() -> Vec<Shop> {
        [("8:a", "A-"), ("12:b", "")]
            .map(|(cabinet, prefix)| Shop {
                integration: 1,
                account: AccountId(0),
                delivery_type: String::new(),
                cabinet: cabinet.to_owned(),
                module: String::new(),
                prefix: prefix.to_owned(),
                key: String::new(),
                client_id: String::new(),
            })
            .to_vec()
    }

    /// Orders as the simulator makes them, then as the test wants them.
    async fn orders(change: impl Fn(&mut Order), of: &[(&str, &str)]) -> Vec<Order> {
        let accounts = vec![Account::new("8", "a", "p"), Account::new("12", "b", "p")];
        let sim = MeasoftSim::start(Options { accounts, ..Options::default() }).await.expect("a simulator");
        assert!(sim.seed_orders("8:a", of.len(), "S-"));
        let mut orders = sim.orders();
        for (order, (account, number)) in orders.iter_mut().zip(of) {
            (order.account, order.orderno, order.status) = ((*account).into(), (*number).into(), "NEW".into());
            order.receiver.address = "Потаённая ул., д. 77".into();
            order.price_kopecks = 1_000;
            change(order);
        }
        orders
    }

    fn record(acts: &[(Act, usize)]) -> Record {
        let wanted = acts.iter().fold(Wanted::nothing_yet(1_000, false), |w, (act, side)| w.after(*act, *side, 0));
        Record { shops: [0, 1], id: 1, number: "1001C".to_owned(), wanted, told: None }
    }

    fn counts(record: Record, orders: &[Order]) -> (usize, usize) {
        let verdict = judge(&[record], &shops(), orders);
        (verdict.lost.len(), verdict.doubled.len())
    }

    #[tokio::test]
    async fn what_is_as_wanted_passes_and_what_is_not_shows() {
        let there = orders(|_| {}, &[("8:a", "A-1001C")]).await;
        let sent = || record(&[(Act::Send, 0)]);
        assert_eq!(counts(sent(), &there), (0, 0));
        assert_eq!(counts(sent(), &[]), (1, 0), "not placed");
        assert_eq!(counts(record(&[(Act::Send, 0), (Act::Readdress(1234), 0)]), &there), (1, 0), "an old address");
        assert_eq!(counts(record(&[(Act::Send, 0), (Act::Recost(5), 0)]), &there), (1, 0), "an old sum");
        assert_eq!(counts(record(&[(Act::Send, 0), (Act::Leave, 0)]), &there), (1, 0), "not cancelled");
        let moved = || record(&[(Act::Send, 0), (Act::Move { cancel_first: true }, 0)]);
        assert_eq!(counts(moved(), &there), (1, 0), "at the old shop");
        let handed_over = record(&[(Act::Send, 0), (Act::Accept, 0)]);
        assert_eq!(counts(Record { told: Some("NEW".into()), ..handed_over.clone() }, &there), (1, 0), "not told");
        assert_eq!(counts(Record { told: Some("ACCEPTED".into()), ..handed_over }, &there), (0, 0));
        let both = orders(|_| {}, &[("8:a", "A-1001C"), ("12:b", "1001C")]).await;
        assert_eq!(counts(moved(), &both), (0, 1), "at both shops");
    }

    #[tokio::test]
    async fn doubles_of_every_sort_show() {
        let twice = orders(|order| order.creates = 2, &[("8:a", "A-1001C")]).await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &twice), (0, 1));
        let generations = orders(
            |order| {
                if order.orderno == "A-1001C" {
                    order.status = "CANCELED".into();
                }
            },
            &[("8:a", "A-1001C"), ("8:a", "A-1001C-2")],
        )
        .await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &generations), (0, 1), "no cancel asked for a second number");
        assert_eq!(counts(record(&[(Act::Send, 0), (Act::Leave, 0), (Act::Return, 0)]), &generations), (0, 0));
        let strange = orders(|_| {}, &[("8:a", "A-1001C"), ("8:a", "A-9C")]).await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &strange), (0, 1));
        let lines = orders(
            |order| {
                order.items.truncate(1);
                order.items[0].extcode = "line-1".into();
                order.items.push(order.items[0].clone());
            },
            &[("8:a", "A-1001C")],
        )
        .await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &lines), (0, 1));
    }
}
