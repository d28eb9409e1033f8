//! A cancel of what our ledger has no delivery of. Another candidate's may; only when none does,
//! MeaSoft is asked by the number we would have given it.

use shared::domain::OrderNo;
use shared::domain::delivery::{DeliveryState as S, Fingerprint};
use shared::message::{Needless, Outcome, RetryWhy};
use shared::phrases::Detail;
use shared::reason;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::recognise::is_ours;
use crate::order::{lost_writes, receiver};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

pub(crate) async fn cancel_by_number(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    let away = |_| Outcome::retry(RetryWhy::Internal);
    let doubted = lost_writes::doubt(tools).await.map_err(away)?.is_some();
    let Some(order) = attempt.order.clone() else {
        // Withdrawn and deleted: without the order nothing tells whose a parcel is.
        let untold = reason::give_up(reason::ORDER_NOT_FOUND, Detail::MaybeLeft);
        return Err(if doubted { Outcome::GiveUp(untold) } else { Outcome::AlreadyDone(Needless::NeverOurs) });
    };
    for candidate in &attempt.intent.candidates {
        if tools.store.delivery_by_order(candidate.integration, order.id).await.map_err(away)?.is_some() {
            return Err(Outcome::AlreadyDone(Needless::NeverTheirs));
        }
    }
    let key = DeliveryKey {
        integration: active.id(),
        crm_order: order.id,
        number: &order.number,
        prefix: &active.integration.prefix,
    };
    let orderno = OrderNo::derive(key.prefix, key.number, key.crm_order, 1);
    // Another order of this number may be there: it is not touched for this one's sake.
    let untouched = Outcome::AlreadyDone(Needless::KnownToNobody);
    if tools.store.number_is_another_s(active.id(), &orderno, order.id).await.map_err(away)? {
        return Err(untouched);
    }
    let rows = tools.answer(active, active.vendors.courier.status_by_orderno(&orderno)).await?;
    // It was not sent by us: the receiver's phone is all there is to tell it by.
    let phone_hash = receiver::phones(&order).first().map(|c| tools.store.key.blind(c.phone.as_str()));
    let sent = Fingerprint { phone_hash: phone_hash.unwrap_or_default(), ..Fingerprint::default() };
    // Whose number it was may be lost: then it is no conflict that a person has to solve.
    let is_another_s = || doubted && !rows.iter().any(|row| is_ours(row, &sent, &tools.store.key));
    if rows.is_empty() || is_another_s() {
        return Err(untouched);
    }
    match tools.store.lease_delivery(&key, &tools.owner, tools.lease_until()).await.map_err(away)? {
        Leased::Taken(mut delivery) => {
            if delivery.orderno != orderno {
                let _ = tools.store.release_delivery(&delivery).await;
                return Err(untouched);
            }
            attempt.notes.push(Told::NumberKnownThere);
            delivery.state = S::Unknown;
            delivery.sending = Some(sent);
            attempt.delivery = Some(*delivery);
            Ok(())
        }
        Leased::Over(past) => {
            attempt.past = Some(past);
            Err(Outcome::AlreadyDone(Needless::EndedBefore))
        }
        Leased::Held => Err(Outcome::retry(RetryWhy::LeaseHeld)),
    }
}
