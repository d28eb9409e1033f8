//! Lives of orders, played against the running installation.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Placed, World, a_parcel};
use crate::retailcrm::TriggerKind::{self, Cancel, Send, Update};

use super::lives::{Act, ELSEWHERE, Life, Wanted};
use super::verdict::Record;

/// RetailCRM's patience is not known; a manager's is.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before a trigger that was not accepted is fired again.
const AGAIN: Duration = Duration::from_millis(150);
/// The courier waits so long for an order before the suite calls it missing.
const COURIER: Duration = Duration::from_secs(90);
/// Triggers of a life, about: so many lives make a rate.
const TRIGGERS_OF_A_LIFE: f64 = 3.0;

/// What flows through the installation.
pub struct Traffic {
    world: Arc<World>,
    seed: u64,
    next: AtomicUsize,
    records: Mutex<Vec<Record>>,
    strange: Mutex<Vec<String>>,
    /// Triggers that were fired again because no 200 came.
    pub repeated: AtomicU64,
    /// Held to write while no trigger may be on its way.
    pub gate: RwLock<()>,
}

impl Traffic {
    /// Nothing flows yet.
    #[must_use]
    pub fn new(world: Arc<World>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            world,
            seed,
            next: AtomicUsize::new(0),
            records: Mutex::default(),
            strange: Mutex::default(),
            repeated: AtomicU64::new(0),
            gate: RwLock::const_new(()),
        })
    }

    /// Begins lives at a rate of triggers a second until `stop`, then waits for their ends.
    pub async fn flow(self: Arc<Self>, rate: f64, stop: CancellationToken) {
        let mut lives = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(TRIGGERS_OF_A_LIFE / rate));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let traffic = Arc::clone(&self);
            lives.spawn(async move { traffic.live(Life::nth(traffic.seed, n), n).await });
            while lives.try_join_next().is_some() {}
        }
        lives.join_all().await;
    }

    /// Sends one order of each account and answers how long it took until MeaSoft had both.
    ///
    /// # Errors
    /// With what is missing when `limit` is over.
    pub async fn canary(&self, limit: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        let mut awaited = Vec::new();
        for account in 0..self.world.shops.len() / 2 {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let record = self.live_in(Life::plain(n % 2), n, account).await;
            let shop = &self.world.shops[record.shops[record.wanted.at.unwrap_or(0)]];
            awaited.push(format!("{}{}", shop.prefix, record.number));
        }
        loop {
            awaited.retain(|orderno| self.world.measoft.order(orderno).is_none());
            if awaited.is_empty() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                return Err(format!("{} did not arrive within {limit:?}", awaited.join(", ")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Orders whose lives are over, as they must be now.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for record in &mut records {
            let told = self.world.crm.tracking(self.world.shops[record.shops[0]].account, record.id);
            // By arrival: a worker whose clock is wrong dates its own entries wrong.
            record.told = told.into_iter().next_back().map(|entry| entry.code);
        }
        records
    }

    /// Answers that no trigger may get, and orders that the courier waited for in vain.
    #[must_use]
    pub fn strange(&self) -> Vec<String> {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: String) {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    async fn live(&self, life: Life, n: usize) {
        let account = (n / 2) % (self.world.shops.len() / 2);
        self.live_in(life, n, account).await;
    }

    async fn live_in(&self, life: Life, n: usize, account: usize) -> Record {
        let shops = [account * 2, account * 2 + 1];
        let mut side = life.side;
        let number = format!("{}{}", 1000 + n, if n.is_multiple_of(2) { "A" } else { "C" });
        let (mut builder, collect) = a_parcel(n, &number, &self.world.shops[shops[side]].delivery_type, life.collect);
        if life.bad_phone {
            builder = builder.text("phone", "нет");
        }
        let mut placed = self.world.place_as(shops[side], &number, builder, collect);
        let mut wanted = Wanted::nothing_yet(collect, life.bad_phone);
        let mut fee = self.fee(&placed);
        for (pause, act) in life.acts {
            tokio::time::sleep(pause).await;
            wanted = wanted.after(act, side, fee);
            match act {
                Act::Send => self.fire(Send, &placed).await,
                Act::Readdress(house) => {
                    self.edit(&placed, |order| order.set_address("Москва", &format!("Потаённая ул., д. {house}")));
                    self.fire(Update, &placed).await;
                }
                Act::Recost(cost) => {
                    fee = cost;
                    self.edit(&placed, |order| {
                        order.set_delivery_cost(cost);
                        order.adjust_payment();
                    });
                    self.fire(Update, &placed).await;
                    // The order's status still means «send», so each save fires that one too.
                    self.fire(Send, &placed).await;
                }
                Act::Leave => {
                    self.edit(&placed, |order| order.set_delivery_type(ELSEWHERE));
                    self.fire(Cancel, &placed).await;
                }
                Act::Return => {
                    let back = self.world.shops[placed.shop].delivery_type.clone();
                    self.edit(&placed, |order| order.set_delivery_type(&back));
                    self.fire(Send, &placed).await;
                }
                Act::Move { cancel_first } => {
                    side = 1 - side;
                    let moved = Placed { shop: shops[side], ..placed.clone() };
                    let there = self.world.shops[moved.shop].delivery_type.clone();
                    self.edit(&placed, |order| order.set_delivery_type(&there));
                    if cancel_first {
                        self.fire(Cancel, &placed).await;
                        self.fire(Send, &moved).await;
                    } else {
                        self.fire(Send, &moved).await;
                        self.fire(Cancel, &placed).await;
                    }
                    placed = moved;
                }
                Act::MendPhone => {
                    self.edit(&placed, |order| order.set_phone("+7 (916) 555-00-77"));
                    self.fire(Update, &placed).await;
                }
                Act::Accept => self.courier(&placed, &["ACCEPTED"]).await,
                Act::HandOver => self.courier(&placed, &["DELIVERY", "COMPLETE"]).await,
            }
        }
        let record = Record { shops, id: placed.id, number, wanted, told: None };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        record
    }

    /// The delivery cost an order has.
    fn fee(&self, order: &Placed) -> i64 {
        let card = self.world.crm.order(self.world.shops[order.shop].account, order.id).unwrap_or_default();
        let cost = card["delivery"]["cost"].to_string();
        let (roubles, kopecks) = cost.split_once('.').unwrap_or((&cost, "0"));
        let kopecks = format!("{kopecks:0<2}");
        roubles.parse::<i64>().unwrap_or(0) * 100 + kopecks[..2].parse::<i64>().unwrap_or(0)
    }

    fn edit(&self, order: &Placed, change: impl FnOnce(&mut crate::retailcrm::OrderDraft)) {
        self.world.crm.edit(self.world.shops[order.shop].account, order.id, change);
    }

    /// Fires until it is accepted. Only a 503 or no answer at all may stand in the way.
    async fn fire(&self, kind: TriggerKind, order: &Placed) {
        loop {
            {
                let _open = self.gate.read().await;
                let asked = self.world.fire(kind, order.shop, &order.number);
                match tokio::time::timeout(PATIENCE, asked).await {
                    Ok(Ok(answer)) if answer.status == 200 => return,
                    Ok(Ok(answer)) if answer.status == 503 => {}
                    Ok(Ok(answer)) => {
                        self.note(format!(
                            "{kind:?} of {} was answered {}: {}",
                            order.number, answer.status, answer.body
                        ));
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The courier's work on an order, once it is there.
    async fn courier(&self, order: &Placed, codes: &[&str]) {
        let begun = Instant::now();
        let orderno = self.world.orderno(order);
        while self.world.measoft.order(&orderno).is_none_or(|order| order.status == "AWAITING_SYNC") {
            if begun.elapsed() > COURIER {
                return self.note(format!("{orderno} did not reach the courier"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for code in codes {
            self.world.measoft.set_status(&orderno, code, self.world.measoft.now());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}
