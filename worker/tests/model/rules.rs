//! The reference: what must be true once nothing is due any more, told from what the
//! manager and RetailCRM did, without looking at how the bridge works.

use std::time::Duration;

use bridge_worker::order::request::desired;
use bridge_worker::vendor::references::References;
use jiff::Timestamp;
use shared::domain::{CrmOrderId, Delivery, DeliveryState as S};
use shared::message::Kind;
use shared::reason;
use shared::retailcrm::wire::order::read_single;
use shared::store::dead_letters::{DeadFilter, DeadLetter, named_orders};

use crate::back;
use crate::crm::BAD_PHONE;
use crate::history::What;
use crate::measoft::{Content, Shipment};
use crate::world::{Accepted, Save, World};

/// Readings that conclude nothing are repeated this long (2 s and 15 s).
const REREADING: Duration = Duration::from_secs(17);

/// What a history says of one order at one integration.
pub struct Told<'a> {
    pub world: &'a World,
    pub at: usize,
    pub id: i64,
    pub saves: &'a [Save],
}

impl Told<'_> {
    pub fn last(&self) -> &Save {
        self.saves.last().expect("the order was saved")
    }

    pub fn is_ours(&self, save: &Save) -> bool {
        save.saved.kind == format!("courier-{}", self.at)
    }

    /// The save that made the order what it is for this integration.
    fn decisive(&self) -> &Save {
        let last = self.last();
        let ours = self.is_ours(last);
        let same = |save: &&Save| {
            if ours { self.is_ours(save) && same_content(save, last) } else { !self.is_ours(save) }
        };
        self.saves.iter().rev().take_while(same).last().unwrap_or(last)
    }

    fn numbers(&self) -> Vec<&str> {
        self.saves.iter().map(|save| save.saved.number.as_str()).collect()
    }

    /// Other orders that had one of the numbers too, at whatever time.
    fn namesakes(&self) -> impl Iterator<Item = Told<'_>> {
        let own = self.numbers();
        let others = self.world.saves.iter().filter(|(id, _)| **id != self.id);
        others
            .map(|(id, saves)| Told { world: self.world, at: self.at, id: *id, saves })
            .filter(move |other| other.numbers().iter().any(|number| own.contains(number)))
    }

    fn is_touched(&self) -> bool {
        self.world.accounts[self.at].shipments(self.id).iter().any(|s| s.touched)
    }

    /// Under one number and with this courier all along, and there still.
    fn is_steady(&self) -> bool {
        let saves = self.saves;
        !self.world.crm.is_gone(self.id)
            && saves.windows(2).all(|pair| pair[0].saved.number == pair[1].saved.number)
            && saves.iter().all(|save| self.is_ours(save))
    }

    /// The shop has told which status means «send», the order never had it, and another has
    /// had its one number all along.
    fn is_a_draft(&self) -> bool {
        self.world.send_statuses
            && self.is_steady()
            && self.saves.iter().all(|save| !save.saved.to_be_sent)
            && self.namesakes().any(|other| other.is_steady() && other.saves[0].shows <= self.saves[0].at)
    }

    /// What a send by number means: where a status says so, and others bear the number, an order
    /// that has it by then.
    fn is_meant(&self, read: Timestamp) -> bool {
        let has_it = || self.saves.iter().any(|save| save.saved.to_be_sent && save.shows <= read);
        !self.world.send_statuses || self.namesakes().next().is_none() || has_it()
    }

    /// A send ran ahead of the commit of the status: another order, placed before, bears the number
    /// and has the status, and a repeated reading must have found this one's.
    fn sent_ahead(&self) -> bool {
        let callable = self.saves.iter().all(|save| save.saved.phone != BAD_PHONE);
        if !self.world.send_statuses || !self.is_steady() || !callable || self.namesakes().next().is_none() {
            return false;
        }
        let placed_before = |at: Timestamp| {
            self.namesakes().all(|other| {
                let sent = |a: &Accepted| a.order == other.id && a.what == What::Send && a.at + REREADING < at;
                other.is_steady()
                    && self.world.accepted.iter().any(sent)
                    && self.world.accounts[self.at].shipments(other.id).iter().any(Shipment::is_live)
            })
        };
        self.world.accepted.iter().filter(|a| a.first && a.order == self.id && a.what == What::Send).any(|a| {
            a.integrations.contains(&self.at)
                && a.idle
                && self.saves[0].shows <= a.first_read
                && self.is_meant(a.first_read + REREADING)
                && self.is_alone(a)
                && placed_before(a.at)
        })
    }

    /// Nothing else was said by its number while it was read again.
    fn is_alone(&self, a: &Accepted) -> bool {
        let until = a.first_read + REREADING;
        let others = self.world.accepted.iter().filter(|other| other.number == a.number);
        others.filter(|other| other.at >= a.at && other.at <= until).count() == 1
    }

    /// Some trigger named a number of the order.
    fn was_ever_named(&self) -> bool {
        let own = self.numbers();
        let named = |a: &&Accepted| a.integrations.contains(&self.at) && own.contains(&a.number.as_str());
        self.world.accepted.iter().any(|a| named(&a))
    }

    /// Letters about the order, or about a number it had, at this integration.
    pub async fn letters(&self) -> Vec<DeadLetter> {
        let integration = Some(self.world.shops[self.at].id());
        let filter = DeadFilter { integration, ..DeadFilter::default() };
        let all = self.world.store.dead_letters(&filter).await.expect("dead letters");
        let own = self.numbers();
        all.into_iter().filter(|dead| own.contains(&dead.number.as_deref().unwrap_or_default())).collect()
    }

    /// Whether a trigger asks for the order as it is now: the decisive save showed by the
    /// time of its first reading.
    fn asked(&self, what: What) -> bool {
        let meant = |a: &Accepted| what != What::Send || self.is_meant(a.first_read);
        self.asking(what).any(|a| a.first_read >= self.decisive().shows && meant(a))
    }

    /// The same for a trigger that ran ahead of RetailCRM's commit, where its repeated
    /// readings must have found the save: nothing else was going on.
    fn asked_ahead(&self, what: What) -> bool {
        self.asking(what).any(|a| a.first_read + REREADING >= self.decisive().shows && a.calm && self.is_alone(a))
    }

    fn asking(&self, what: What) -> impl Iterator<Item = &Accepted> {
        let number = &self.last().saved.number;
        let since = self.decisive().at;
        let fits = move |a: &&Accepted| {
            a.first
                && a.order == self.id
                && a.what == what
                && a.integrations.contains(&self.at)
                && a.number == *number
                && a.at >= since
        };
        self.world.accepted.iter().filter(fits)
    }
}

fn same_content(a: &Save, b: &Save) -> bool {
    a.saved.phone == b.saved.phone && a.saved.price == b.saved.price && a.saved.more == b.saved.more
}

/// Judges every order at every integration.
pub async fn at_rest(world: &World) {
    let (waiting, _) = world.store.backlog().await.expect("a count");
    if waiting > 0 {
        world.said.broke(format!("{waiting} intents still wait"));
    }
    for (id, saves) in &world.saves {
        for at in 0..world.shops.len() {
            let told = Told { world, at, id: *id, saves };
            judge(&told).await;
            back::judge(&told).await;
        }
    }
}

async fn judge(told: &Told<'_>) {
    let Told { world, at, id, .. } = told;
    let shop = &world.shops[*at];
    let about = |text: String| world.said.broke(format!("order {id} at integration {at}: {text}"));
    let shipments = world.accounts[*at].shipments(*id);
    let live: Vec<_> = shipments.iter().filter(|s| s.is_live()).collect();
    let touched = told.is_touched();
    if !told.was_ever_named() && !shipments.is_empty() {
        about("no trigger ever named it, and MeaSoft has it".to_owned());
    }
    if told.is_a_draft() && !shipments.is_empty() {
        about("a draft, whose number another order has, was sent in its place".to_owned());
    }
    let last = told.last();
    let mut wanted = last.saved.content(*id);
    wanted.phone = world.phone_meant(*at, *id, wanted.phone).await;

    let mut given_up = false;
    for dead in told.letters().await.iter().filter(|dead| dead.kind != Kind::SyncPayments.as_str()) {
        if dead.reason == reason::AMBIGUOUS_NUMBER && !named_orders(&dead.detail.to_string()).contains(&CrmOrderId(*id))
        {
            continue;
        }
        given_up = true;
        // A letter names a number: it may be about another order of that number.
        let explained = dead.reason == reason::AMBIGUOUS_NUMBER && told.namesakes().next().is_some()
            || explains(told, &dead.reason)
            || told.namesakes().any(|other| explains(&other, &dead.reason));
        if !explained {
            about(format!("an unexplained dead letter: {} ({})", dead.reason, dead.detail));
        }
    }

    let delivery = world.store.delivery_by_order(shop.id(), CrmOrderId(*id)).await.expect("the ledger");
    if let Some(d) = &delivery
        && !touched
    {
        let fits = match d.state {
            S::Created => live.len() == 1 && live[0].orderno == d.orderno,
            S::Planned | S::Rejected | S::Cancelled => live.is_empty(),
            S::Sending | S::Unknown => given_up,
            _ => false,
        };
        if !fits {
            let there: Vec<_> = live.iter().map(|s| format!("{} {}", s.orderno, s.status())).collect();
            about(format!("the ledger says {} {}, MeaSoft has {there:?}", d.orderno, d.state.as_str()));
        }
        // What is gone cannot be read any more; its parcel is cancelled or a person's.
        let is_gone = world.crm.is_gone(*id);
        if let [shipment] = live[..]
            && !is_gone
            // Without it an edit is still to be cleared up.
            && d.sent_hash.is_some()
            && d.price.is_some_and(|price| price != shipment.content().price)
        {
            about(format!("the ledger says {:?} to collect, MeaSoft has {:?}", d.price, shipment.content().price));
        }
        if let [shipment] = live[..]
            && !is_gone
            && believes(told, d)
            && !is_as(shipment, &wanted, world.crm.is_paid(*id))
        {
            about(format!("the ledger believes MeaSoft has it right, but it has {:?}", shipment.content()));
        }
    }
    if touched || given_up || world.crm.is_gone(*id) {
        return;
    }
    if told.is_ours(last) {
        let sent = told.asked(What::Send);
        let updated = told.asked(What::Update) || told.asked_ahead(What::Update);
        if (sent || told.sent_ahead()) && live.is_empty() {
            about("it was sent, and MeaSoft has nothing".to_owned());
        }
        if (sent || updated)
            && let [shipment] = live[..]
        {
            if !is_as(shipment, &wanted, world.crm.is_paid(*id)) {
                about(format!("MeaSoft has {:?}, the order says {wanted:?}", shipment.content()));
            }
            let ours = Delivery::external_id(shop.id(), CrmOrderId(*id));
            let (external, track) = world.crm.told(*id, &ours);
            if external.as_deref() != Some(ours.as_str()) || track.as_deref() != Some(shipment.orderno.as_str()) {
                about(format!("RetailCRM was told {external:?}, {track:?}"));
            }
        }
    } else if !told.saves.iter().any(|save| told.is_ours(save)) {
        if !live.is_empty() {
            about("it never had this courier".to_owned());
        }
    } else if (told.asked(What::Cancel) || told.asked_ahead(What::Cancel)) && !live.is_empty() {
        about(format!("it left and was cancelled, MeaSoft still has {}", live[0].orderno));
    }
}

/// Of an order that was paid once only the rest is left to collect.
fn is_as(shipment: &Shipment, wanted: &Content, paid: bool) -> bool {
    let content = shipment.content();
    (content.price == wanted.price || paid) && content.phone == wanted.phone && content.lines == wanted.lines
}

/// The ledger holds that MeaSoft has the order as it is now.
fn believes(told: &Told<'_>, d: &Delivery) -> bool {
    let shop = &told.world.shops[told.at];
    let order = read_single(&told.world.crm.document(told.id, &told.last().saved)).expect("an order");
    let desired = desired(&order, &shop.integration, &References::default(), None, d);
    told.is_ours(told.last()) && desired.is_ok_and(|desired| d.sent_hash.as_deref() == Some(desired.hash.as_str()))
}

/// What of an order's history explains that something was given up.
fn explains(told: &Told<'_>, reason: &str) -> bool {
    let account = &told.world.accounts[told.at];
    let renumbered = told.saves.windows(2).any(|pair| pair[0].saved.number != pair[1].saved.number);
    match reason {
        "too_late" => told.is_touched(),
        "town_not_found" | "unknown_code" => account.happened("refused"),
        "handed_over_elsewhere" => told.world.crm.was_handed_over(told.id),
        "bad_phone" => told.saves.iter().any(|save| save.saved.phone == BAD_PHONE),
        "order_not_found" => renumbered || told.world.crm.is_gone(told.id),
        _ => false,
    }
}
