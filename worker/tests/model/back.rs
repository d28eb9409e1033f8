//! The reference for the way back: what RetailCRM must show once every status has been
//! brought, and what must have become of orders that it has no more.

use bridge_worker::crm::{ERROR_STATUS, module_status};
use shared::domain::{CrmOrderId, Delivery};
use shared::measoft::StatusCode;
use shared::message::Kind;
use shared::reason;

use crate::measoft::{Shipment, UNKNOWN_CODE};
use crate::rules::Told;
use crate::world::World;

/// The last status that anybody knows.
fn present(shipment: &Shipment) -> &'static str {
    shipment.past.iter().map(|(code, _)| *code).rfind(|code| *code != UNKNOWN_CODE).unwrap_or("NEW")
}

/// Judges what RetailCRM was told of an order that stayed with this integration.
pub async fn judge(told: &Told<'_>) {
    let Told { world, at, id, saves } = told;
    let shop = &world.shops[*at];
    let about = |text: String| world.said.broke(format!("order {id} at integration {at}: {text}"));
    let shipments = world.accounts[*at].shipments(*id);
    let Some(shipment) = shipments.iter().rfind(|s| !s.cancelled_by_us) else { return };
    // RetailCRM drops what it was told when an order leaves; what is forgotten is not told.
    let stayed = saves.iter().all(|save| told.is_ours(save));
    let kept = world.forgotten_before.is_none_or(|at| shipment.made_at >= at);
    if !stayed || !kept || world.crm.is_gone(*id) || world.crm.is_foreign(*id) {
        return;
    }
    let letters = told.letters().await;
    let about_payment = letters.iter().any(|dead| dead.kind == Kind::SyncPayments.as_str());
    let about_order = letters.iter().any(|dead| dead.kind != Kind::SyncPayments.as_str());
    let code = present(shipment);

    let delivery = Delivery::external_id(shop.id(), CrmOrderId(*id));
    let said = world.crm.statuses_of(&delivery);
    let expected = module_status(shop, code);
    let last = said.last().map(String::as_str);
    if last != Some(expected.as_str()) && !about_order && last != Some(ERROR_STATUS) {
        about(format!("MeaSoft says {code}, RetailCRM was told {said:?}"));
    }

    // Preliminary codes settle nothing.
    let delivered = StatusCode::parse(code).is_delivered();
    let paid = world.crm.is_paid(*id);
    let as_agreed = shipment.content().price == told.last().saved.content(*id).price;
    if paid && !delivered && !about_payment {
        about(format!("MeaSoft says {code}, and its payment is marked paid without a word"));
    }
    if !paid && delivered && as_agreed && !about_payment {
        about(format!("MeaSoft says {code}, and its payment is not marked paid"));
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
            for shipment in world.accounts[at].shipments(*id).iter().filter(|s| s.is_live() && kept(s.made_at)) {
                // What was handed over or is on its way back cannot be stopped any more.
                let code = present(shipment);
                let ended = StatusCode::parse(code).is_delivered() || code == "RETURNING";
                if !ended && !letter {
                    let (number, status) = (&shipment.orderno, shipment.status);
                    world.said.broke(format!("order {id} is gone, and MeaSoft still has {number}, {status}"));
                }
            }
        }
    }
}
