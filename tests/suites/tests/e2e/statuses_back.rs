//! Every status that MeaSoft reports comes to RetailCRM, in order and once.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{LONG, Placed, World, eventually};
use jiff::Timestamp;
use simulators::measoft::RequestRecord;
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, long};

/// A thousand with `E2E_LONG=1`.
fn orders_in_all() -> usize {
    if long() { 1000 } else { 240 }
}

/// How the courier brings a parcel to its receiver.
const ROUTE: [&str; 6] = ["ACCEPTED", "DEPARTURE", "TRANSACCEPTED", "DELIVERY", "COURIERDELIVERED", "COMPLETE"];
/// All changes happen within this time, so that many polls fall between them.
const SPREAD: Duration = Duration::from_secs(12);
const SEED: u64 = 417;
/// Statuses that may come before the courier has touched the parcel.
const AT_FIRST: [&str; 2] = ["AWAITING_SYNC", "NEW"];

/// A small repeatable generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A status that was set: not before `after`, and not after `before`.
#[derive(Clone, Copy)]
struct Set {
    code: &'static str,
    after: Timestamp,
    before: Timestamp,
}

/// Six moments for each order, mixed: `(milliseconds, order, status)`.
fn timetable(orders: usize) -> Vec<(u64, usize, usize)> {
    let mut random = Random(SEED);
    let mut all = Vec::with_capacity(orders * ROUTE.len());
    for order in 0..orders {
        let spread = u64::try_from(SPREAD.as_millis()).expect("fits");
        let mut moments: Vec<u64> = ROUTE.iter().map(|_| random.below(spread)).collect();
        moments.sort_unstable();
        all.extend(moments.into_iter().enumerate().map(|(status, at)| (at, order, status)));
    }
    all.sort_unstable();
    all
}

/// The courier at work: answers what was set when, by order.
async fn deliver(world: &World, orders: &[Placed]) -> Vec<Vec<Set>> {
    let mut set: Vec<Vec<Set>> = vec![Vec::new(); orders.len()];
    let begun = tokio::time::Instant::now();
    for (at, order, status) in timetable(orders.len()) {
        tokio::time::sleep_until(begun + Duration::from_millis(at)).await;
        let after = world.measoft.now();
        assert!(world.measoft.set_status(&world.orderno(&orders[order]), ROUTE[status], after));
        set[order].push(Set { code: ROUTE[status], after, before: world.measoft.now() });
    }
    set
}

/// What RetailCRM was told of the order after it was placed.
fn told(world: &World, order: &Placed) -> Vec<(String, String)> {
    let all = world.crm.tracking(world.shops[order.shop].account, order.id);
    let later = all.into_iter().skip_while(|entry| AT_FIRST.contains(&entry.code.as_str()));
    later.map(|entry| (entry.code, entry.updated_at)).collect()
}

fn polls(world: &World, cabinet: &str) -> Vec<RequestRecord> {
    let requests = world.measoft.requests().into_iter();
    requests.filter(|r| r.only_last && r.account == cabinet && r.acted && !r.lost).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_set_at_random_moments_arrive_in_order_and_once() {
    let world = World::scaled("statuses-back").shops(3).set("SYNC_INTERVAL_S", "1").start().await;
    // The third shop's plan has no history of statuses.
    let without = world.shops[2].cabinet.clone();
    assert!(world.measoft.update_account(&without, |cabinet| cabinet.statushistory = false));
    let orders = world.place_many(orders_in_all());
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 32).await);
    world.served("all orders are placed").await;

    let set = deliver(&world, &orders).await;
    let last_change = world.measoft.now();
    eventually("the last status of every order is told", LONG, || async {
        let open = orders.iter().filter(|order| told(&world, order).last().is_none_or(|l| l.0 != "COMPLETE")).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} orders lack it")) }
    })
    .await;

    let polled: BTreeMap<&str, Vec<RequestRecord>> =
        world.shops.iter().map(|shop| (shop.cabinet.as_str(), polls(&world, &shop.cabinet))).collect();
    let mut passed_over = 0;
    for (order, set) in orders.iter().zip(&set) {
        let cabinet = world.shops[order.shop].cabinet.as_str();
        let found = told(&world, order);
        let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
        let number = &order.number;
        assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{number}: in order of time: {found:?}");
        let expected: Vec<&str> = if cabinet == without {
            // Current at a poll, or the last one of all.
            let current = |n: usize| {
                let until = set.get(n + 1).map(|next| next.after);
                let at_a_poll = |poll: &RequestRecord| {
                    poll.acted_at.is_some_and(|at| at > set[n].before && until.is_none_or(|until| at < until))
                };
                polled[cabinet].iter().any(at_a_poll)
            };
            let certain: Vec<&str> = (0..set.len()).filter(|n| current(*n)).map(|n| set[n].code).collect();
            passed_over += set.len() - certain.len();
            certain
        } else {
            set.iter().map(|status| status.code).collect()
        };
        assert_eq!(codes, expected, "{number} of {cabinet}");
    }
    assert!(passed_over > 0, "every status was current at some poll: the story shows nothing");
    // Within one interval: of the answers asked for after the last change, the first that
    // held anything held everything.
    for (cabinet, polls) in &polled {
        let late = polls.iter().filter(|poll| poll.at > last_change && poll.rows > 0).count();
        assert!(late <= 1, "{cabinet}: {late} answers with news after the last change");
    }
    world.finish().await;
}
