//! Lives of orders, played against the running installation.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use harness::{Placed, World, a_parcel, within};
use simulators::retailcrm::TriggerKind::{self, Cancel, Send, Update};

use super::lives::{Act, DRAFT, ELSEWHERE, Life, TO_BE_SENT, Wanted, first_house, number_of, renumbered};
use super::verdict::{Record, is_of};

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
            awaited.push(self.live_in(Life::plain(n % 2), n, account).await);
        }
        self.arrive(&awaited, limit).await?;
        Ok(begun.elapsed())
    }

    /// Waits until MeaSoft has all of them.
    async fn arrive(&self, awaited: &[Record], limit: Duration) -> Result<(), String> {
        within(limit, Duration::from_millis(20), || async {
            let missing = awaited.iter().filter(|record| self.parcel(record).is_none()).map(Record::name);
            match missing.collect::<Vec<_>>() {
                all if all.is_empty() => Ok(()),
                missing => Err(format!("{} did not arrive within {limit:?}", missing.join(", "))),
            }
        })
        .await
    }

    /// Sends one order of a shop and answers how long it took from the trigger until MeaSoft had it.
    ///
    /// # Errors
    /// When `limit` is over.
    pub async fn placed(&self, shop: usize, limit: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        // Of the numbers that no other order has: the sides differ.
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let record = self.live_in(Life::plain(shop % 2), n, shop / 2).await;
        self.arrive(&[record], limit).await?;
        Ok(begun.elapsed())
    }

    /// Orders whose lives are over, as they must be now.
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
    pub fn strange(&self) -> Vec<String> {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest parcel with the goods of an order, wherever it is.
    fn parcel(&self, record: &Record) -> Option<simulators::measoft::Order> {
        self.world.measoft.find(|order| !order.deleted && is_of(order, record, &self.world.shops))
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
        let number = number_of(n);
        let (builder, collect) = a_parcel(n, &number, &self.world.shops[shops[side]].delivery_type, life.collect);
        let house = first_house(n);
        let mut builder = builder.address("Москва", &address(house)).status(DRAFT);
        if life.bad_phone {
            builder = builder.text("phone", "нет");
        }
        let mut placed = self.world.place_as(shops[side], &number, builder, collect);
        let mut record = Record {
            shops,
            id: placed.id,
            numbers: vec![number],
            items: self.items(&placed),
            wanted: Wanted::nothing_yet(house, collect, life.bad_phone),
            told: None,
            requests: Vec::new(),
        };
        let mut fee = self.fee(&placed);
        for (pause, act) in life.acts {
            tokio::time::sleep(pause).await;
            record.wanted = record.wanted.after(act, side, fee);
            record.requests.push(format!("{} {act:?}", jiff::Timestamp::now().strftime("%H:%M:%S%.3f")));
            match act {
                Act::Send => {
                    self.edit(&placed, |order| order.set_status(TO_BE_SENT));
                    self.fire(Send, &placed).await;
                }
                Act::Readdress(house) => {
                    self.edit(&placed, |order| order.set_address("Москва", &address(house)));
                    self.fire(Update, &placed).await;
                }
                Act::Renumber(how) => {
                    placed.number = renumbered(n, how);
                    record.numbers.push(placed.number.clone());
                    self.edit(&placed, |order| order.set_number(&placed.number));
                    self.fire(Update, &placed).await;
                    self.fire(Send, &placed).await;
                }
                Act::Delete => {
                    self.world.crm.delete_order(self.world.shops[placed.shop].account, placed.id);
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
                Act::Accept => self.courier(&record, &["ACCEPTED"]).await,
                Act::HandOver => self.courier(&record, &["DELIVERY", "COMPLETE"]).await,
            }
        }
        record.requests.push(format!("{} accepted", jiff::Timestamp::now().strftime("%H:%M:%S%.3f")));
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        record
    }

    /// RetailCRM's ids of an order's lines, by which a parcel is told whose it is.
    fn items(&self, order: &Placed) -> BTreeSet<i64> {
        let card = self.world.crm.order(self.world.shops[order.shop].account, order.id).unwrap_or_default();
        let items = card["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item["id"].as_i64()).collect()
    }

    /// The delivery cost an order has.
    fn fee(&self, order: &Placed) -> i64 {
        let card = self.world.crm.order(self.world.shops[order.shop].account, order.id).unwrap_or_default();
        let cost = card["delivery"]["cost"].to_string();
        let (roubles, kopecks) = cost.split_once('.').unwrap_or((&cost, "0"));
        let kopecks = format!("{kopecks:0<2}");
        roubles.parse::<i64>().unwrap_or(0) * 100 + kopecks[..2].parse::<i64>().unwrap_or(0)
    }

    fn edit(&self, order: &Placed, change: impl FnOnce(&mut simulators::retailcrm::OrderDraft)) {
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
    async fn courier(&self, order: &Record, codes: &[&str]) {
        let begun = Instant::now();
        // Longer and longer: a thousand that look through all parcels leave the courier no time.
        let mut pause = Duration::from_millis(50);
        let orderno = loop {
            match self.parcel(order) {
                Some(parcel) if parcel.status != "AWAITING_SYNC" => break parcel.orderno,
                _ if begun.elapsed() > COURIER => {
                    return self.note(format!("{} did not reach the courier", order.name()));
                }
                _ => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        };
        for code in codes {
            self.world.measoft.set_status(&orderno, code, self.world.measoft.now());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

fn address(house: u32) -> String {
    format!("Потаённая ул., д. {house}")
}
