//! Which orders a trigger by number is about. A number is only how triggers speak: it repeats
//! between the shops of one RetailCRM, is edited, and is given to another order. Pure.

use shared::domain::{CrmOrderId, Kopecks};
use shared::message::GiveUp;
use shared::planted::{Bug, is_planted};
use shared::reason;
use shared::store::intents::Want;

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

/// The unserved wishes by a number.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Oldest first.
    pub wants: &'a [Want],
    /// Several triggers came, of which only the last is known.
    pub several: bool,
    pub declared: Option<Kopecks>,
}

/// What one of the orders gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub order: CrmOrderId,
    pub wants: Vec<Want>,
    /// The declared value that came is this order's.
    pub with_declared: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    pub shares: Vec<Share>,
    /// What cannot be told.
    pub give_up: Option<GiveUp>,
}

/// Every order that bears the number is served by its own state, so each gets the wishes: what
/// is placed is compared, what left is cleared up. Only a send that would place one of several
/// must know which.
#[must_use]
pub fn resolve(asked: Asked<'_>, bearers: &[Bearer]) -> Resolved {
    let concerns = |b: &&Bearer| b.ours || b.standing != Standing::Unknown;
    let (exact, other): (Vec<&Bearer>, Vec<&Bearer>) = bearers.iter().partition(|b| b.exact);
    let bearers = match (exact.iter().any(concerns), other.iter().any(concerns)) {
        (true, true) => {
            let give_up = reason::give_up(reason::ESCAPED_NUMBER, ids(exact.iter().chain(&other)));
            return Resolved { shares: Vec::new(), give_up: Some(give_up) };
        }
        (false, true) => other,
        _ if exact.is_empty() => other,
        _ => exact,
    };
    let bearers = if is_planted(Bug::NumberTakenForOrder) { bearers.into_iter().take(1).collect() } else { bearers };
    if let [only] = bearers[..] {
        let share = Share { order: only.order, wants: asked.wants.to_vec(), with_declared: true };
        return Resolved { shares: vec![share], give_up: None };
    }
    let open: Vec<&Bearer> = bearers.iter().copied().filter(|b| b.ours && b.standing != Standing::Settled).collect();
    let meant = which(asked, &open);
    let ambiguous = meant.is_empty() && !open.is_empty() && asked.wants.contains(&Want::Send);
    let shares = bearers
        .iter()
        .map(|b| {
            let kept_back = open.iter().any(|o| o.order == b.order) && !meant.contains(&b.order);
            let wants = asked.wants.iter().copied().filter(|want| *want != Want::Send || !kept_back).collect();
            // The value is one order's; the others keep theirs.
            Share { order: b.order, wants, with_declared: meant[..] == [b.order] }
        })
        .filter(|share: &Share| !share.wants.is_empty() || asked.wants.is_empty())
        .collect();
    let give_up = ambiguous.then(|| reason::give_up(reason::AMBIGUOUS_NUMBER, ids(open.iter())));
    Resolved { shares, give_up }
}

/// Which of the orders that a send would place are to be placed.
fn which(asked: Asked<'_>, open: &[&Bearer]) -> Vec<CrmOrderId> {
    if let [only] = open {
        return vec![only.order];
    }
    let to_be_sent: Vec<CrmOrderId> = open.iter().filter(|b| b.to_be_sent).map(|b| b.order).collect();
    if !to_be_sent.is_empty() {
        return to_be_sent;
    }
    // A single trigger that names the sum of one of them.
    match asked.declared.filter(|_| !asked.several) {
        None => Vec::new(),
        Some(declared) => {
            let fit: Vec<CrmOrderId> = open.iter().filter(|b| b.total == declared).map(|b| b.order).collect();
            if fit.len() == 1 { fit } else { Vec::new() }
        }
    }
}

fn ids<'a>(bearers: impl Iterator<Item = &'a &'a Bearer>) -> String {
    let ids: Vec<String> = bearers.map(|b| b.order.to_string()).collect();
    format!("RetailCRM ids {}", ids.join(", "))
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

    fn asked(wants: &[Want]) -> Asked<'_> {
        Asked { wants, several: false, declared: None }
    }

    /// Order → what it gets, and whether the declared value is its own.
    fn shares(resolved: &Resolved) -> Vec<(i64, Vec<Want>, bool)> {
        resolved.shares.iter().map(|s| (s.order.0, s.wants.clone(), s.with_declared)).collect()
    }

    fn reason_of(resolved: &Resolved) -> Option<&'static str> {
        resolved.give_up.as_ref().map(|give_up| give_up.reason)
    }

    #[test]
    fn one_order_gets_everything_whatever_its_state() {
        for ours in [true, false] {
            for standing in [Standing::Unknown, Standing::Open, Standing::Settled] {
                let wants = [Want::Send, Want::Cancel];
                let resolved = resolve(asked(&wants), &[bearer(1, ours, standing)]);
                assert_eq!(shares(&resolved), [(1, wants.to_vec(), true)]);
            }
        }
    }

    #[test]
    fn of_two_orders_with_one_number_the_one_not_yet_placed_is_placed() {
        let wants = [Want::Send];
        let resolved =
            resolve(asked(&wants), &[bearer(1, true, Standing::Settled), bearer(2, true, Standing::Unknown)]);
        assert_eq!(shares(&resolved), [(1, vec![Want::Send], false), (2, vec![Want::Send], true)]);
        assert_eq!(reason_of(&resolved), None);
    }

    #[test]
    fn which_of_two_unplaced_orders_is_meant_is_never_guessed() {
        let wants = [Want::Send, Want::Update];
        let two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Open)];
        let resolved = resolve(asked(&wants), &two);
        assert_eq!(reason_of(&resolved), Some("ambiguous_number"));
        assert_eq!(shares(&resolved), [(1, vec![Want::Update], false), (2, vec![Want::Update], false)]);
    }

    #[test]
    fn a_status_that_means_send_tells_which_is_meant() {
        let wants = [Want::Send];
        let mut two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Unknown)];
        two[1].to_be_sent = true;
        let resolved = resolve(asked(&wants), &two);
        assert_eq!(shares(&resolved), [(2, vec![Want::Send], true)]);
        two[0].to_be_sent = true;
        assert_eq!(shares(&resolve(asked(&wants), &two)).len(), 2, "both are to be sent");
    }

    #[test]
    fn the_sum_of_a_single_trigger_tells_which_is_meant() {
        let wants = [Want::Send];
        let two = [bearer(1, true, Standing::Unknown), bearer(2, true, Standing::Unknown)];
        let mut sum = Asked { declared: Some(Kopecks::roubles(2)), ..asked(&wants) };
        assert_eq!(shares(&resolve(sum, &two)), [(2, vec![Want::Send], true)]);
        sum.several = true;
        assert_eq!(reason_of(&resolve(sum, &two)), Some("ambiguous_number"), "another may have been meant before");
    }

    #[test]
    fn a_cancel_reaches_every_order_that_bears_the_number() {
        let wants = [Want::Cancel];
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
        let wants = [Want::Send];
        let other = |order, ours, standing| Bearer { exact: false, ..bearer(order, ours, standing) };
        let only_other = [other(2, true, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &only_other)), [(2, vec![Want::Send], true)]);
        let both = [bearer(1, true, Standing::Unknown), other(2, true, Standing::Unknown)];
        let refused = resolve(asked(&wants), &both);
        assert_eq!((reason_of(&refused), refused.shares.len()), (Some("escaped_number"), 0));
        let not_ours = [bearer(1, false, Standing::Unknown), other(2, true, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &not_ours)), [(2, vec![Want::Send], true)]);
        let neither = [bearer(1, false, Standing::Unknown), other(2, false, Standing::Unknown)];
        assert_eq!(shares(&resolve(asked(&wants), &neither)), [(1, vec![Want::Send], true)]);
    }
}
