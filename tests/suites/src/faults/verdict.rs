//! Compares what MeaSoft's simulator has with what was accepted. Pure: neither the product
//! nor its ledger is asked. Whose a parcel is, its goods say: numbers repeat and change.

use std::collections::{BTreeMap, BTreeSet};

use harness::Shop;
use simulators::measoft::Order;

use super::lives::Wanted;

/// An order all of whose triggers were accepted.
#[derive(Debug, Clone)]
pub struct Record {
    /// The account's shops, by side: places in [`harness::World::shops`].
    pub shops: [usize; 2],
    /// RetailCRM's id.
    pub id: i64,
    /// RetailCRM's numbers, one after another.
    pub numbers: Vec<String>,
    /// RetailCRM's ids of its lines.
    pub items: BTreeSet<i64>,
    /// What must be true in the end.
    pub wanted: Wanted,
    /// The last status RetailCRM was told.
    pub told: Option<String>,
    /// What was done about it and when, for people.
    pub requests: Vec<String>,
}

impl Record {
    /// Its number and id, for people.
    pub fn name(&self) -> String {
        format!("{} (id {})", self.numbers.last().map_or("", String::as_str), self.id)
    }
}

/// The part of its lines' ids at MeaSoft that is RetailCRM's. Lines that the platform adds
/// itself, and prepayments, have none.
fn lines(order: &Order) -> impl Iterator<Item = i64> {
    let goods = order.items.iter().filter(|item| !item.automatic && item.kind == GOODS);
    goods.filter_map(|item| item.extcode.split('-').next().and_then(|id| id.parse().ok()))
}

const GOODS: u8 = 1;

/// Whether a parcel holds goods of an order.
pub fn is_of(order: &Order, record: &Record, shops: &[Shop]) -> bool {
    record.shops.iter().any(|shop| shops[*shop].cabinet == order.account)
        && lines(order).any(|line| record.items.contains(&line))
}

/// What does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Effects that are missing or of an earlier request, one sentence for each order.
    pub lost: Vec<String>,
    /// Effects that are there more than once.
    pub doubled: Vec<String>,
}

/// Judges all orders; those that were deleted only once the walk through RetailCRM's history
/// can have seen it.
pub fn judge(records: &[Record], shops: &[Shop], orders: &[Order], walked: bool) -> Verdict {
    let mut verdict = Verdict::default();
    // Lines are numbered for each RetailCRM account, and so for each cabinet.
    let mut owners: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        for shop in record.shops {
            owners.extend(record.items.iter().map(|item| ((shops[shop].cabinet.as_str(), *item), place)));
        }
    }
    let mut parcels: Vec<Vec<&Order>> = records.iter().map(|_| Vec::new()).collect();
    for order in orders.iter().filter(|order| !order.deleted) {
        // A line that an edit took out says as well whose the parcel was.
        let of: BTreeSet<usize> =
            lines(order).filter_map(|line| owners.get(&(order.account.as_str(), line)).copied()).collect();
        if of.is_empty() {
            verdict.doubled.push(format!("MeaSoft has {}, which nobody ordered", order.orderno));
        }
        if of.len() > 1 {
            let names: Vec<String> = of.iter().map(|place| records[*place].name()).collect();
            verdict.doubled.push(format!("{} holds goods of {}", order.orderno, names.join(" and ")));
        }
        if order.creates > 1 {
            verdict.doubled.push(format!("{} was created {} times", order.orderno, order.creates));
        }
        of.iter().for_each(|place| parcels[*place].push(order));
    }
    for (record, all) in records.iter().zip(&parcels) {
        if walked || !record.wanted.deleted {
            one(record, shops, all, &mut verdict);
        }
    }
    verdict
}

fn one(record: &Record, shops: &[Shop], all: &[&Order], verdict: &mut Verdict) {
    let (wanted, number) = (&record.wanted, record.name());
    let live: Vec<&Order> = all.iter().copied().filter(|order| order.status != "CANCELED").collect();
    if all.len() > 1 + wanted.departures {
        verdict.doubled.push(format!("{number} was placed {} times and left {}", all.len(), wanted.departures));
    }
    let at = if wanted.bad_phone || wanted.deleted { None } else { wanted.at };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::lives::Act;
    use simulators::measoft::{Account, MeasoftSim, Options};
    use simulators::retailcrm::AccountId;

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
            order.items.truncate(1);
            order.items[0].extcode = "3301".into();
            order.receiver.address = "Потаённая ул., д. 77".into();
            order.price_kopecks = 1_000;
            change(order);
        }
        orders
    }

    fn record(acts: &[(Act, usize)]) -> Record {
        let wanted = acts.iter().fold(Wanted::nothing_yet(77, 1_000, false), |w, (act, side)| w.after(*act, *side, 0));
        let (numbers, items) = (vec!["1001C".to_owned()], [3301].into());
        Record { shops: [0, 1], id: 1, numbers, items, wanted, told: None, requests: Vec::new() }
    }

    fn counts(record: Record, orders: &[Order]) -> (usize, usize) {
        let verdict = judge(&[record], &shops(), orders, true);
        (verdict.lost.len(), verdict.doubled.len())
    }

    #[tokio::test]
    async fn orders_of_one_number_are_told_apart_by_their_goods() {
        let both = orders(
            |order| {
                if order.orderno == "A-R2" {
                    order.items[0].extcode = "3302-2".into();
                    order.receiver.address = "Потаённая ул., д. 78".into();
                }
            },
            &[("8:a", "A-1001C"), ("8:a", "A-R2")],
        )
        .await;
        let first = record(&[(Act::Send, 0)]);
        let mut second = Record { id: 2, items: [3302].into(), ..first.clone() };
        second.wanted.house = 78;
        let judged = |orders: &[Order]| judge(&[first.clone(), second.clone()], &shops(), orders, true);
        assert_eq!(judged(&both), Verdict::default());
        let verdict = judged(&both[..1]);
        assert_eq!((verdict.lost.len(), verdict.doubled.len()), (1, 0), "the second was taken for the first");
        let mut edited = both[0].clone();
        edited.items.push(both[1].items[0].clone());
        edited.items[0].quantity = 0;
        let verdict = judged(&[edited, both[1].clone()]);
        assert!(verdict.doubled[0].contains("holds goods of 1001C (id 1) and 1001C (id 2)"), "{verdict:?}");
    }

    #[tokio::test]
    async fn what_was_deleted_is_gone_after_the_walk() {
        let there = orders(|_| {}, &[("8:a", "A-1001C")]).await;
        let deleted = record(&[(Act::Send, 0), (Act::Delete, 0)]);
        assert_eq!(judge(std::slice::from_ref(&deleted), &shops(), &there, false), Verdict::default());
        assert_eq!(counts(deleted.clone(), &there), (1, 0));
        assert_eq!(counts(deleted.clone(), &[]), (0, 0));
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
        let strange = orders(
            |order| {
                if order.orderno == "A-9C" {
                    order.items[0].extcode = "9".into();
                }
            },
            &[("8:a", "A-1001C"), ("8:a", "A-9C")],
        )
        .await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &strange), (0, 1));
        let lines = orders(
            |order| {
                order.items.push(order.items[0].clone());
            },
            &[("8:a", "A-1001C")],
        )
        .await;
        assert_eq!(counts(record(&[(Act::Send, 0)]), &lines), (0, 1));
    }
}
