//! The reference: what must be true once nothing is due any more, told from what the
//! manager and RetailCRM did, without looking at how the bridge works.

use std::time::Duration;

use bridge_worker::convert::desired;
use bridge_worker::references::References;
use shared::domain::{CrmOrderId, Delivery, DeliveryState as S};
use shared::retailcrm::wire::order::read_single;
use shared::store::dead_letters::DeadFilter;

use crate::crm::{BAD_PHONE, document};
use crate::history::What;
use crate::world::{Accepted, Save, World};

/// Readings that conclude nothing are repeated this long (2 s and 15 s).
const REREADING: Duration = Duration::from_secs(17);

/// What a history says of one order at one integration.
struct Told<'a> {
    world: &'a World,
    at: usize,
    id: i64,
    saves: &'a [Save],
}

impl Told<'_> {
    fn last(&self) -> &Save {
        self.saves.last().expect("the order was saved")
    }

    fn is_ours(&self, save: &Save) -> bool {
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

    /// Whether a trigger asks for the order as it is now: the decisive save showed by the
    /// time of its first reading.
    fn asked(&self, what: What) -> bool {
        self.asking(what).any(|a| a.first_read >= self.decisive().shows)
    }

    /// The same for a trigger that ran ahead of RetailCRM's commit, where its repeated
    /// readings must have found the save: nothing else was going on.
    fn asked_ahead(&self, what: What) -> bool {
        let alone = |a: &Accepted| {
            let until = a.first_read + REREADING;
            let others = self.world.accepted.iter().filter(|other| other.number == a.number);
            a.calm && others.filter(|other| other.at >= a.at && other.at <= until).count() == 1
        };
        self.asking(what).any(|a| a.first_read + REREADING >= self.decisive().shows && alone(a))
    }

    fn asking(&self, what: What) -> impl Iterator<Item = &Accepted> {
        let number = &self.last().saved.number;
        let since = self.decisive().at;
        let fits = move |a: &&Accepted| {
            a.first && a.what == what && a.integrations.contains(&self.at) && a.number == *number && a.at >= since
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
            judge(&Told { world, at, id: *id, saves }).await;
        }
    }
}

async fn judge(told: &Told<'_>) {
    let Told { world, at, id, .. } = told;
    let shop = &world.shops[*at];
    let about = |text: String| world.said.broke(format!("order {id} at integration {at}: {text}"));
    let shipments = world.accounts[*at].shipments(*id);
    let live: Vec<_> = shipments.iter().filter(|s| s.is_live()).collect();
    let touched = shipments.iter().any(|s| s.touched);
    let last = told.last();
    let wanted = last.saved.content(*id);

    let mut given_up = false;
    for dead in world
        .store
        .dead_letters(&DeadFilter { integration: Some(shop.id()), ..DeadFilter::default() })
        .await
        .expect("dead letters")
    {
        if told.numbers().contains(&dead.number.as_deref().unwrap_or_default()) {
            given_up = true;
            if !may_give_up(told, &dead.reason, touched) {
                about(format!("an unexplained dead letter: {} ({})", dead.reason, dead.detail));
            }
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
            let there: Vec<_> = live.iter().map(|s| format!("{} {}", s.orderno, s.status)).collect();
            about(format!("the ledger says {} {}, MeaSoft has {there:?}", d.orderno, d.state.as_str()));
        }
        if let [shipment] = live[..]
            && believes(told, d)
            && shipment.content() != wanted
        {
            about(format!("the ledger believes MeaSoft has it right, but it has {:?}", shipment.content()));
        }
    }
    if touched || given_up {
        return;
    }
    if told.is_ours(last) {
        let sent = told.asked(What::Send);
        let updated = told.asked(What::Update) || told.asked_ahead(What::Update);
        if sent && live.is_empty() {
            about("it was sent, and MeaSoft has nothing".to_owned());
        }
        if (sent || updated)
            && let [shipment] = live[..]
        {
            if shipment.content() != wanted {
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

/// The ledger holds that MeaSoft has the order as it is now.
fn believes(told: &Told<'_>, d: &Delivery) -> bool {
    let shop = &told.world.shops[told.at];
    let order = read_single(&document(told.id, &told.last().saved, None)).expect("an order");
    let desired = desired(&order, &shop.integration, &References::default(), None, d);
    told.is_ours(told.last()) && desired.is_ok_and(|desired| d.sent_hash.as_deref() == Some(desired.hash.as_str()))
}

/// What of a history explains that something was given up.
fn may_give_up(told: &Told<'_>, reason: &str, touched: bool) -> bool {
    let account = &told.world.accounts[told.at];
    let renumbered = told.saves.windows(2).any(|pair| pair[0].saved.number != pair[1].saved.number);
    match reason {
        "too_late" => touched,
        "town_not_found" | "unknown_code" => account.happened("refused"),
        "bad_phone" => told.saves.iter().any(|save| save.saved.phone == BAD_PHONE),
        "order_not_found" => renumbered,
        _ => false,
    }
}
