//! What comparing one order comes to. Pure.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::crypto::SecretKey;
use shared::domain::DeliveryState as S;
use shared::measoft::StatusRow;
use shared::store::shadow_orders::{Difference, ShadowOrder, Verdict};

use crate::order::figures::{Field, differences};
use crate::order::lost_writes::is_live;

/// Times MeaSoft is asked about an order that it does not have, or has otherwise: the last one about
/// six hours after the trigger, as it is installed.
const ASKS: u32 = 7;
/// An order that we would have refused is looked for twice.
const REFUSED_ASKS: u32 = 2;

/// The order with what was found of it.
pub(super) fn judged(
    mut row: ShadowOrder,
    there: Option<&StatusRow>,
    key: &SecretKey,
    now: Timestamp,
    pause: Duration,
) -> ShadowOrder {
    let status = |row: &StatusRow| row.status.as_ref().map_or("NEW", |status| status.code.as_str()).to_owned();
    row.asks += 1;
    row.asked_at = Some(now);
    row.content.status = there.map(status);
    row.content.differences = Vec::new();
    let refused = row.verdict == Verdict::Refused;
    if !refused {
        (row.verdict, row.content.differences) = verdict(&row, there, key);
    }
    let is_final = match row.verdict {
        Verdict::Refused => there.is_some() || row.asks >= REFUSED_ASKS,
        Verdict::Same => true,
        _ => row.asks >= ASKS,
    };
    row.due_at = (!is_final).then(|| asked_again(row.asks, now, pause));
    row
}

fn verdict(row: &ShadowOrder, there: Option<&StatusRow>, key: &SecretKey) -> (Verdict, Vec<Difference>) {
    let stands = |ours: &str, theirs: Option<&StatusRow>| {
        let theirs = theirs.map(|row| row.status.as_ref().map_or("NEW", |status| status.code.as_str()).to_owned());
        vec![Difference { field: Field::Placed.as_str().to_owned(), ours: Some(ours.to_owned()), theirs }]
    };
    match (row.state, there) {
        (S::Cancelled, Some(found)) if is_live(found) => (Verdict::Different, stands("CANCELED", there)),
        (S::Cancelled, _) => (Verdict::Same, Vec::new()),
        (_, None) => (Verdict::MissingThere, Vec::new()),
        (_, Some(found)) if found.status.as_ref().is_some_and(|status| status.code.as_str() == "CANCELED") => {
            (Verdict::Different, stands("NEW", there))
        }
        (_, Some(found)) => match differences(&row.content.figures, found, key) {
            none if none.is_empty() => (Verdict::Same, none),
            some => (Verdict::Different, some),
        },
    }
}

/// When an order is asked about again.
fn asked_again(asks: u32, now: Timestamp, pause: Duration) -> Timestamp {
    later(now, pause * 3_u32.saturating_pow(asks))
}

#[cfg(test)]
mod tests {
    use shared::domain::IntegrationId;
    use shared::store::shadow_orders::Side;

    use super::*;
    use crate::testing::{at, status_row};

    fn judged_as(verdict: Verdict, state: S, asks: u32, there: Option<&StatusRow>) -> ShadowOrder {
        let mut row = ShadowOrder::new(IntegrationId(1), None, "1", Side::Shadow, at(0));
        (row.verdict, row.state, row.asks) = (verdict, state, asks);
        row.content.figures.insert("sum".to_owned(), "1000.00".to_owned());
        judged(row, there, &SecretKey::from_bytes([7; 32]), at(60), Duration::from_secs(60))
    }

    #[test]
    fn what_is_missing_or_otherwise_is_asked_about_again_and_what_is_the_same_is_not() {
        let (same, gone) = (status_row("1", "NEW", 0), status_row("1", "CANCELED", 0));
        let wait = Verdict::Waiting;
        let found = judged_as(wait, S::Created, 0, Some(&same));
        assert_eq!((found.verdict, found.due_at, found.content.status.as_deref()), (Verdict::Same, None, Some("NEW")));
        let missing = judged_as(wait, S::Created, 0, None);
        assert_eq!((missing.verdict, missing.due_at), (Verdict::MissingThere, Some(at(60 + 180))));
        assert_eq!(judged_as(wait, S::Created, ASKS - 1, None).due_at, None, "for the last time");
        let cancelled = judged_as(wait, S::Created, 0, Some(&gone));
        assert_eq!(
            (cancelled.verdict, cancelled.content.differences[0].field.as_str()),
            (Verdict::Different, "placed")
        );
        let mut other = same.clone();
        other.price = Some(shared::domain::Kopecks::roubles(900));
        let other = judged_as(wait, S::Created, 0, Some(&other));
        assert_eq!(
            (other.verdict, other.content.differences[0].theirs.as_deref()),
            (Verdict::Different, Some("900.00"))
        );
        assert!(other.due_at.is_some(), "the other integration may be behind");
    }

    #[test]
    fn a_cancelled_order_should_be_gone_and_a_refused_one_stays_refused() {
        let (live, gone) = (status_row("1", "NEW", 0), status_row("1", "CANCELED", 0));
        let verdict = |there| judged_as(Verdict::Waiting, S::Cancelled, 0, there).verdict;
        assert_eq!([Some(&live), Some(&gone), None].map(verdict), [Verdict::Different, Verdict::Same, Verdict::Same]);
        let refused = judged_as(Verdict::Refused, S::Rejected, 0, Some(&live));
        assert_eq!(
            (refused.verdict, refused.content.status.as_deref(), refused.due_at),
            (Verdict::Refused, Some("NEW"), None)
        );
        assert!(judged_as(Verdict::Refused, S::Rejected, 0, None).due_at.is_some());
    }
}
