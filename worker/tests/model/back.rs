//! The reference for the way back: what RetailCRM must show once every status has been
//! brought, and what must have become of orders that it has no more.

use bridge_worker::order::report::{ERROR_STATUS, module_status};
use shared::domain::{CrmOrderId, Delivery};
use shared::measoft::StatusCode;
use shared::message::Kind;
use shared::reason;

use crate::measoft::{Shipment, UNKNOWN_CODE};
use crate::rules::Told;
use crate::world::World;

/// The last status that anybody knows. A record that is dated back and was followed by an
/// unknown one before anybody looked cannot be told from an old one: then the newest by its
/// date is as right.
fn present(shipment: &Shipment) -> [&'static str; 2] {
    let known = || shipment.past.iter().filter(|(code, _)| *code != UNKNOWN_CODE);
    let last = known().next_back().map_or("NEW", |(code, _)| code);
    let is_hidden = shipment.past.last().is_some_and(|(code, _)| *code == UNKNOWN_CODE);
    let newest = known().max_by_key(|(_, at)| *at).filter(|_| is_hidden).map_or(last, |(code, _)| code);
    [last, newest]
}

/// Judges what RetailCRM was told of an order that stayed with this integration.
pub async fn judge(told: &Told<'_>) {
    let Told { world, at, id, saves } = told;
    let shop = &world.shops[*at];
    let about = |text: String| world.said.broke(format!("order {id} at integration {at}: {text}"));
    let shipments = world.accounts[*at].shipments(*id);
    let Some(shipment) = shipments.iter().rfind(|s| !s.may_be_cancelled_by_us()) else { return };
    // RetailCRM drops what it was told when an order leaves; what is forgotten is not told.
    let stayed = saves.iter().all(|save| told.is_ours(save));
    let kept = world.forgotten_before.is_none_or(|at| shipment.made_at() >= at);
    if !stayed || !kept || world.crm.is_gone(*id) || world.crm.is_foreign(*id) {
        return;
    }
    let letters = told.letters().await;
    let about_payment = letters.iter().any(|dead| dead.kind == Kind::SyncPayments.as_str());
    let about_order = letters.iter().any(|dead| dead.kind != Kind::SyncPayments.as_str());
    let codes = present(shipment);

    let delivery = Delivery::external_id(shop.id(), CrmOrderId(*id));
    let said = world.crm.statuses_of(&delivery);
    let expected = codes.map(|code| module_status(shop, code));
    let last = said.last().map(String::as_str);
    if !expected.iter().any(|expected| last == Some(expected.as_str())) && !about_order && last != Some(ERROR_STATUS) {
        about(format!("MeaSoft says {codes:?}, RetailCRM was told {said:?}"));
    }

    // Preliminary codes settle nothing.
    let delivered = codes.map(|code| StatusCode::parse(code).is_delivered());
    let paid = world.crm.is_paid(*id);
    let as_agreed = shipment.content().price == told.last().saved.content(*id).price;
    if paid && delivered == [false; 2] && !about_payment {
        about(format!("MeaSoft says {codes:?}, and its payment is marked paid without a word"));
    }
    if !paid && delivered == [true; 2] && as_agreed && !about_payment {
        about(format!("MeaSoft says {codes:?}, and its payment is not marked paid"));
    }
}

/// What was deleted or combined must not be delivered: it is cancelled while the courier has
/// not begun, else a person is told.
pub async fn of_what_is_gone(world: &World) {
    for (id, saves) in world.saves.iter().filter(|(id, _)| world.crm.is_gone(**id)) {
        for at in 0..world.shops.len() {
            let told = Told { world, at, id: *id, saves };
            let letters = told.letters().await;
            // That a trigger's order cannot be found says nothing of its parcel.
            let letter = letters.iter().any(|dead| dead.reason != reason::ORDER_NOT_FOUND);
            // Nothing is done about what ended a season ago and is forgotten.
            let kept = |made_at| world.forgotten_before.is_none_or(|before| made_at >= before);
            for shipment in world.accounts[at].shipments(*id).iter().filter(|s| s.is_live() && kept(s.made_at())) {
                // What was handed over or is on its way back cannot be stopped any more.
                let codes = present(shipment);
                let ends = |code: &str| StatusCode::parse(code).is_delivered() || code == "RETURNING";
                let ended = codes.into_iter().any(ends);
                if !ended && !letter {
                    let (number, status) = (&shipment.orderno, shipment.status());
                    world.said.broke(format!("order {id} is gone, and MeaSoft still has {number}, {status}"));
                }
            }
        }
    }
}
