//! Replacing an order that MeaSoft has not begun to work on. It is read before, since nobody can
//! change what is on its way, and read back after, since an answer alone proves nothing. A lost
//! answer leaves open what MeaSoft holds: the next attempt sends all of it again.

use shared::domain::Language;
use shared::domain::delivery::DeliveryState as S;
use shared::measoft::{Class, Op};
use shared::message::{Change, Outcome};
use shared::phrases::Detail;
use shared::reason;

use crate::order::attempt::{Attempt, Step};
use crate::order::change::{begin_change, read, refused};
use crate::order::difference::{self, Difference};
use crate::order::look_up::expect_late;
use crate::order::recognise::{shows, with_codes};
use crate::order::take_over::{phase, shown_status, take_over};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

pub(crate) async fn edit(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    let Some(desired) = attempt.wanted().cloned() else { return Ok(()) };
    let row = read(tools, active, attempt).await?;
    let before = attempt.held().state;
    take_over(attempt, &row);
    let too_late = |row| Err(Outcome::GiveUp(reason::give_up(reason::TOO_LATE, shown_status(row))));
    if attempt.held().state != S::Created || !phase(&row).is_editable() {
        // The ledger was behind; decide again on what is true now.
        return if attempt.held().state == before { too_late(&row) } else { Ok(()) };
    }
    let request = with_codes(&desired.order, &attempt.held().item_codes);
    attempt.changes = difference::of(&row, &request).into_iter().map(Difference::made).collect();
    let ticket = tools.limiter.pass(&active.integration.courier_account(), Priority::Interactive).await?;
    // An edit before this one has no outcome yet.
    if attempt.held().sending_hash.is_some() {
        expect_late(tools, attempt);
    }
    let d = attempt.held_mut();
    d.sending_hash = Some(desired.hash.clone());
    d.sent_at = Some(tools.clock.now());
    d.requests += 2;
    // Until this edit's outcome is known, what MeaSoft holds is not: should the order be
    // changed back meanwhile, the old hash would call it up to date.
    let held_before = d.sent_hash.take();
    begin_change(tools, attempt).await?;
    let answer = match ticket.make(active.vendors.courier.edit_order(&request)).await {
        Ok(answer) => answer,
        Err(error) => {
            if error.class() != Class::UnknownOutcome {
                not_changed(attempt, held_before);
            }
            return Err(tools.failure(active, &error).await);
        }
    };
    let row = read(tools, active, attempt).await?;
    take_over(attempt, &row);
    match answer.verdict(Op::EditOrder) {
        None if shows(&row, &desired) => {
            let d = attempt.held_mut();
            d.sent_hash = d.sending_hash.take();
            d.sending.get_or_insert_default().undeclared_hash = desired.undeclared_hash;
            d.price = row.price.or(Some(desired.collect));
            attempt.effect_at = Some(tools.clock.now());
            Err(Outcome::Done(Change::Updated))
        }
        None => {
            let wanted = desired.collect;
            let sums = row.price.map_or(Detail::NoSumShown { wanted }, |shown| Detail::NotShown { wanted, shown });
            Err(Outcome::GiveUp(reason::give_up(reason::CHANGE_DROPPED, sums)))
        }
        Some(_) if attempt.held().state != S::Created => too_late(&row),
        Some(verdict) => {
            if verdict.class != Class::UnknownOutcome {
                not_changed(attempt, held_before);
            }
            let text = answer.text(Language::Ru).unwrap_or_default().to_owned();
            Err(refused(tools, active, attempt, verdict, text).await)
        }
    }
}

/// An edit that was certainly not made.
fn not_changed(attempt: &mut Attempt, held_before: Option<String>) {
    let late = attempt.late_until.is_some();
    let d = attempt.held_mut();
    d.sent_hash = held_before;
    // An earlier one may still be.
    if !late {
        d.sending_hash = None;
    }
}
