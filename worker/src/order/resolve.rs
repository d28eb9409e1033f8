//! Which orders a trigger by number is about. A number is only how triggers speak: it repeats
//! between the shops of one RetailCRM, is edited, and is given to another order. Pure.

use shared::domain::{CrmOrderId, Kopecks};
use shared::message::GiveUp;
use shared::mutant::{Mutant, is_mutant};
use shared::phrases::Details;
use shared::reason;
use shared::store::dead_letters::name_orders;
use shared::store::intents::RequestKind;

/// How an order stands that bears the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Neither the ledger nor what is over says anything of it.
    Unknown,
    /// Known, and a send would place it: planned, refused, or cancelled by us.
    Open,
    /// At MeaSoft, on its way there, over, or another integration's: no send places it again.
    Settled,
}

/// An order that bears the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub order: CrmOrderId,
    /// Its number is the one that came; else the one that came without its HTML codes.
    pub exact: bool,
    /// Its delivery type belongs to this integration.
    pub ours: bool,
    pub standing: Standing,
    /// Its status is one that means «send».
    pub to_be_sent: bool,
    pub total: Kopecks,
}

/// The unserved requests by a number.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Oldest first.
    pub wants: &'a [RequestKind],
    /// Several triggers came, of which only the last is known.
    pub several: bool,
    pub declared: Option<Kopecks>,
    /// The shop has told which order statuses mean «send».
    pub by_status: bool,
    /// RetailCRM may be behind: what cannot be told is read again before it is believed.
    pub once_more: bool,
}

/// What one of the orders gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub order: CrmOrderId,
    pub wants: Vec<RequestKind>,
    /// The declared value that came is this order's.
    pub with_declared: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    pub shares: Vec<Share>,
    /// What cannot be told.
    pub give_up: Option<GiveUp>,
    /// None of the orders that a send would place is meant yet: the trigger may have run ahead
    /// of the commit that sets the status, or the sum. Nobody gets anything before that is clear.
    pub read_again: bool,
}

/// Every order that bears the number is served by its own state, so each gets the requests: what
/// is placed is compared, what left is cleared up. Only a send that would place one of several
/// must know which.
pub fn resolve(asked: Asked<'_>, bearers: &[Bearer]) -> Resolved {
    let concerns = |b: &&Bearer| b.ours || b.standing != Standing::Unknown;
    let (exact, other): (Vec<&Bearer>, Vec<&Bearer>) = bearers.iter().partition(|b| b.exact);
    let bearers = match (exact.iter().any(concerns), other.iter().any(concerns)) {
        (true, true) => {
            let give_up =
                reason::give_up(reason::ESCAPED_NUMBER, ids(exact.iter().chain(&other).filter(|b| concerns(b))));
            return Resolved { give_up: Some(give_up), ..Resolved::default() };
        }
        (false, true) => other,
        _ if exact.is_empty() => other,
        _ => exact,
    };
    let bearers = if is_mutant(Mutant::NumberTakenForOrder) { bearers.into_iter().take(1).collect() } else { bearers };
    if let [only] = bearers[..] {
        let share = Share { order: only.order, wants: asked.wants.to_vec(), with_declared: true };
        return Resolved { shares: vec![share], ..Resolved::default() };
    }
    let concerned: Vec<&Bearer> = bearers.iter().copied().filter(concerns).collect();
    let open: Vec<&Bearer> = concerned.iter().copied().filter(|b| is_open(b)).collect();
    let meant = which(asked, &concerned);
    let placed: Vec<CrmOrderId> = open.iter().map(|b| b.order).filter(|order| meant.contains(order)).collect();
    let none_placed = !open.is_empty() && placed.is_empty();
    let declared_of = if placed.is_empty() { &meant } else { &placed };
    if none_placed && asked.wants.contains(&RequestKind::Send) && asked.once_more {
        return Resolved { read_again: true, ..Resolved::default() };
    }
    let ambiguous = none_placed && meant.is_empty() && asked.wants.contains(&RequestKind::Send);
    let shares = bearers
        .iter()
        .map(|b| {
            let kept_back = is_open(b) && !meant.contains(&b.order);
            let wants = asked.wants.iter().copied().filter(|want| *want != RequestKind::Send || !kept_back).collect();
            // The value is one order's; the others keep theirs.
            Share { order: b.order, wants, with_declared: declared_of[..] == [b.order] }
        })
        .filter(|share: &Share| !share.wants.is_empty() || asked.wants.is_empty())
        .collect();
    let give_up = ambiguous.then(|| reason::give_up(reason::AMBIGUOUS_NUMBER, ids(open.iter())));
    Resolved { shares, give_up, read_again: false }
}

/// A send would place it.
fn is_open(b: &Bearer) -> bool {
    b.ours && b.standing != Standing::Settled
}

/// Which of the orders a send means. A repeated send of one that is placed means none of the
/// others.
fn which(asked: Asked<'_>, concerned: &[&Bearer]) -> Vec<CrmOrderId> {
    let of = |fits: &dyn Fn(&Bearer) -> bool| -> Vec<CrmOrderId> {
        concerned.iter().filter(|b| fits(b)).map(|b| b.order).collect()
    };
    let open = of(&is_open);
    // A single trigger that names a sum.
    let declared = asked.declared.filter(|_| !asked.several);
    let costs_so = |b: &Bearer| declared.is_some_and(|declared| b.total == declared);
    let placed_of_that_sum = of(&|b| !is_open(b) && costs_so(b));
    if asked.by_status && concerned.len() > 1 && !is_mutant(Mutant::DraftSent) {
        // What the shop does not mean to send, no sum makes a parcel of.
        let to_be_sent = of(&|b| b.to_be_sent);
        return if to_be_sent.is_empty() { placed_of_that_sum } else { to_be_sent };
    }
    let open_of_that_sum = of(&|b| is_open(b) && costs_so(b));
    match (&open[..], &open_of_that_sum[..]) {
        (_, [_]) => open_of_that_sum,
        (_, []) if !placed_of_that_sum.is_empty() => placed_of_that_sum,
        ([_], _) => open,
        _ => Vec::new(),
    }
}

fn ids<'a>(bearers: impl Iterator<Item = &'a &'a Bearer>) -> Details {
    name_orders(&bearers.map(|b| b.order).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(order: i64, ours: bool, standing: Standing) -> Bearer {
        Bearer {
            order: CrmOrderId(order),
            exact: true,
            ours,
            standing,
            to_be_sent: false,
            total: Kopecks::roubles(order),
        }
    }

    fn asked(wants: &[RequestKind]) -> Asked<'_> {
        Asked { wants, several: false, declared: None, by_status: false, once_more: false }
    }

    /// Order → what it gets, and whether the declared value is its own.
    fn shares(resolved: &Resolved) -> Vec<(i64, Vec<RequestKind>, bool)> {
        resolved.shares.iter().map(|s| (s.order.0, s.wants.clone(), s.with_declared)).collect()
    }

    fn reason_of(resolved: &Resolved) -> Option<&'static str> {
        resolved.give_up.as_ref().map(|give_up| give_up.reason)
    }

    #[test]
    fn one_order_gets_everything_whatever_its_state() {
        for ours in [true, false] {
            for standing in [Standing::Unknown, Standing::Open, Standing::Settled] {
                let wants = [RequestKind::Send, RequestKind::Cancel];
                let resolved = resolve(asked(&wants), &[bearer(1, ours, standing)]);
                assert_eq!(shares(&resolved), [(1, wants.to_vec(), true)]);
            }
        }
    }

    #[test]
    fn of_two_orders_with_one_number_the_one_not_yet_placed_is_placed() {
        let wants = [RequestKind::Send];
        let resolved =
            resolve(asked(&wants), &[bearer(1, true, Standing::Settled), bearer(2, true, Standing::Unknown)]);
        assert_eq!(shares(&resolved), [(1, vec![RequestKind::Send], false), (2, vec![RequestKind::Send], true)]);
        assert_eq!(reason_of(&resolved), None);
    }

    #[test]
    fn which_of_two_unplaced_orders_is_meant_is_never_guessed() {
        let wants = [RequestKind::Send, RequestKind::Update];
        let two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Open)];
        let resolved = resolve(asked(&wants), &two);
        assert_eq!(reason_of(&resolved), Some("ambiguous_number"));
        assert_eq!(shares(&resolved), [(1, vec![RequestKind::Update], false), (2, vec![RequestKind::Update], false)]);
    }

    #[test]
    fn a_status_that_means_send_tells_which_is_meant() {
        let wants = [RequestKind::Send];
        let asked = Asked { by_status: true, ..asked(&wants) };
        let mut two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Unknown)];
        two[1].to_be_sent = true;
        let resolved = resolve(asked, &two);
        assert_eq!(shares(&resolved), [(2, vec![RequestKind::Send], true)]);
        two[0].to_be_sent = true;
        assert_eq!(shares(&resolve(asked, &two)).len(), 2, "both are to be sent");
    }

    #[test]
    fn a_repeated_send_of_a_placed_order_leaves_anothers_draft_alone() {
        let wants = [RequestKind::Send];
        let placed = Bearer { to_be_sent: true, ..bearer(1, true, Standing::Settled) };
        let draft = bearer(2, true, Standing::Unknown);
        let by_status = Asked { by_status: true, ..asked(&wants) };
        // The draft's sum does not make it one to be sent.
        for declared in [None, Some(placed.total), Some(draft.total)] {
            let resolved = resolve(Asked { declared, ..by_status }, &[placed.clone(), draft.clone()]);
            assert_eq!(shares(&resolved), [(1, vec![RequestKind::Send], true)], "{declared:?}");
            assert_eq!(reason_of(&resolved), None);
        }
        // Without such statuses the sum tells whose trigger it was.
        let sum = Asked { declared: Some(placed.total), ..asked(&wants) };
        assert_eq!(shares(&resolve(sum, &[placed.clone(), draft.clone()])), [(1, vec![RequestKind::Send], true)]);
        let other = Asked { declared: Some(Kopecks::roubles(99)), ..asked(&wants) };
        assert_eq!(shares(&resolve(other, &[placed, draft])).len(), 2, "of another sum: the one not yet placed");
    }

    #[test]
    fn of_several_orders_with_one_number_none_with_the_status_is_a_persons() {
        let wants = [RequestKind::Send];
        let asked = Asked { by_status: true, ..asked(&wants) };
        let moved_on = bearer(1, true, Standing::Settled);
        let resolved = resolve(asked, &[moved_on.clone(), bearer(2, true, Standing::Unknown)]);
        assert_eq!(shares(&resolved), [(1, vec![RequestKind::Send], false)]);
        assert_eq!(reason_of(&resolved), Some("ambiguous_number"));
        let elsewhere = bearer(2, false, Standing::Unknown);
        let only_ours = [bearer(1, true, Standing::Unknown), elsewhere];
        assert_eq!(reason_of(&resolve(asked, &only_ours)), None, "nobody else's trigger comes here");
    }

    #[test]
    fn what_cannot_be_told_is_read_again_before_it_is_believed() {
        let wants = [RequestKind::Send, RequestKind::Update];
        let once_more = Asked { once_more: true, ..asked(&wants) };
        let draft = |order| bearer(order, true, Standing::Unknown);
        let placed = Bearer { to_be_sent: true, ..bearer(3, true, Standing::Settled) };
        let two = resolve(once_more, &[draft(1), draft(2)]);
        assert_eq!(two, Resolved { read_again: true, ..Resolved::default() });
        // The draft may just be getting the status.
        let by_status = Asked { by_status: true, ..once_more };
        assert!(resolve(by_status, &[placed.clone(), draft(1)]).read_again);
        let to_be_sent = Bearer { to_be_sent: true, ..draft(1) };
        assert!(
            !resolve(by_status, &[placed, to_be_sent, draft(2)]).read_again,
            "one is meant: it is not kept waiting"
        );
    }

    #[test]
    fn the_sum_of_a_single_trigger_tells_which_is_meant() {
        let wants = [RequestKind::Send];
        let two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Unknown)];
        let mut sum = Asked { declared: Some(Kopecks::roubles(2)), ..asked(&wants) };
        assert_eq!(shares(&resolve(sum, &two)), [(2, vec![RequestKind::Send], true)]);
        sum.several = true;
        assert_eq!(reason_of(&resolve(sum, &two)), Some("ambiguous_number"), "another may have been meant before");
    }

    #[test]
    fn a_cancel_reaches_every_order_that_bears_the_number() {
        let wants = [RequestKind::Cancel];
        let resolved = resolve(
            asked(&wants),
            &[
                bearer(1, true, Standing::Settled),
                bearer(2, false, Standing::Settled),
                bearer(3, false, Standing::Unknown),
            ],
        );
        assert_eq!(shares(&resolved).len(), 3);
    }

    #[test]
    fn the_number_as_it_came_wins_and_both_spellings_are_refused() {
        let wants = [RequestKind::Send];
        let other = |order, ours, standing| Bearer { exact: false, ..bearer(order, ours, standing) };
        let only_other = [other(2, true, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &only_other)), [(2, vec![RequestKind::Send], true)]);
        let both = [bearer(1, true, Standing::Unknown), other(2, true, Standing::Unknown)];
        let refused = resolve(asked(&wants), &both);
        assert_eq!((reason_of(&refused), refused.shares.len()), (Some("escaped_number"), 0));
        let not_ours = [bearer(1, false, Standing::Unknown), other(2, true, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &not_ours)), [(2, vec![RequestKind::Send], true)]);
        let neither = [bearer(1, false, Standing::Unknown), other(2, false, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &neither)), [(1, vec![RequestKind::Send], true)]);
    }
}
