//! What a shop's manager does with one order, and what MeaSoft must hold in the end. Pure.

use std::time::Duration;

use harness::Collect;

use super::chance::Chance;

/// Delivery type of nobody's integration.
pub(super) const ELSEWHERE: &str = "russian-post";
/// A status that no trigger's condition knows.
pub(super) const DRAFT: &str = "new";
/// The status that means «send».
pub(super) const TO_BE_SENT: &str = "SentMeaSoft";

/// One thing a manager does; each fires its triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The send trigger, first or again.
    Send,
    /// Another house in the address.
    Readdress(u32),
    /// Another delivery cost and the payment that goes with it, kopecks.
    Recost(i64),
    /// The order goes to another carrier.
    Leave,
    /// It comes back.
    Return,
    /// It goes to the account's other shop; the triggers in this order or the other.
    Move {
        /// The cancel trigger comes first.
        cancel_first: bool,
    },
    /// The phone becomes one.
    MendPhone,
    /// It gets another number.
    Renumber(Numbered),
    /// It is deleted in RetailCRM, which fires nothing.
    Delete,
    /// The courier takes it.
    Accept,
    /// The courier hands it over.
    HandOver,
}

/// The number an order gets later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// One that no order ever had.
    Anew,
    /// The one MeaSoft would see were a neighbour placed a second time.
    LikeARepeat,
}

/// Lives in a row whose numbers are thought of together. Four follow one another through the
/// accounts and their shops, so that the fourth next is of the same shop.
const ROUND: usize = 20;
const SAME_SHOP: usize = 4;

/// The life before with the same number: every fifth order of an integration is of its second
/// site, which counts on its own.
pub fn twin_of(n: usize) -> Option<usize> {
    (n % ROUND >= ROUND - SAME_SHOP).then(|| n - SAME_SHOP)
}

/// The number the `n`th order begins with.
pub fn number_of(n: usize) -> String {
    let counted = twin_of(n).unwrap_or(n);
    format!("{}{}", 1000 + counted, if counted.is_multiple_of(2) { "A" } else { "C" })
}

/// The number it gets later.
pub fn renumbered(n: usize, how: Numbered) -> String {
    match how {
        Numbered::LikeARepeat if n >= SAME_SHOP => format!("{}-2", number_of(n - SAME_SHOP)),
        _ => format!("{}N", 1000 + n),
    }
}

/// House of the address the `n`th order begins with: no two orders have the same.
pub fn first_house(n: usize) -> u32 {
    10_000 + u32::try_from(n).unwrap_or(0)
}

/// What a manager does with one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Which of the two shops it begins in.
    pub side: usize,
    /// What is to be collected at first.
    pub collect: Collect,
    /// Its phone is no phone at first.
    pub bad_phone: bool,
    /// In turn, each after a pause.
    pub acts: Vec<(Duration, Act)>,
}

impl Life {
    /// The `n`th life under a seed.
    pub fn nth(seed: u64, n: usize) -> Self {
        let mut chance = Chance::new(seed, 1 + n as u64);
        let mut life = Self {
            side: n % 2,
            collect: Collect::nth(usize::try_from(chance.within(0..4)).unwrap_or(0)),
            bad_phone: false,
            acts: Vec::new(),
        };
        let mut acts = vec![Act::Send];
        match chance.within(0..100) {
            0..28 => acts.extend(vec![Act::Send; usize::try_from(chance.within(0..3)).unwrap_or(0)]),
            28..55 => {
                life.collect = Collect::Cash;
                for _ in 0..chance.within(1..5) {
                    acts.push(edit(&mut chance));
                }
            }
            55..67 => {
                if chance.percent(40) {
                    acts.push(edit_address(&mut chance));
                }
                acts.push(Act::Leave);
            }
            67..77 => {
                for _ in 0..chance.within(1..3) {
                    acts.extend([Act::Leave, Act::Return]);
                    if chance.percent(50) {
                        acts.push(edit_address(&mut chance));
                    }
                }
            }
            77..87 => {
                for _ in 0..chance.within(1..4) {
                    acts.push(Act::Move { cancel_first: chance.percent(50) });
                    if chance.percent(40) {
                        acts.push(edit_address(&mut chance));
                    }
                }
            }
            87..92 => {
                life.bad_phone = true;
                if chance.percent(60) {
                    acts.push(Act::MendPhone);
                }
            }
            _ => {
                life.collect = Collect::Cash;
                acts.push(Act::Accept);
                acts.push(if chance.percent(70) { Act::HandOver } else { edit_address(&mut chance) });
            }
        }
        if chance.percent(18) {
            let how = if chance.percent(50) { Numbered::Anew } else { Numbered::LikeARepeat };
            let at = usize::try_from(chance.within(1..acts.len() as u64 + 1)).unwrap_or(1);
            acts.insert(at, Act::Renumber(how));
        }
        // What the courier has begun would not be cancelled.
        if chance.percent(5) && !acts.contains(&Act::Accept) {
            acts.push(Act::Delete);
        }
        life.acts = acts.into_iter().map(|act| (pause(&mut chance), act)).collect();
        life
    }

    /// One order that is sent and nothing else.
    pub fn plain(side: usize) -> Self {
        Self { side, collect: Collect::Cash, bad_phone: false, acts: vec![(Duration::ZERO, Act::Send)] }
    }
}

fn edit_address(chance: &mut Chance) -> Act {
    // Four digits: none begins with another.
    Act::Readdress(u32::try_from(chance.within(1_000..9_999)).unwrap_or(1_000))
}

fn edit(chance: &mut Chance) -> Act {
    if chance.percent(50) {
        edit_address(chance)
    } else {
        Act::Recost(i64::try_from(chance.within(100..900)).unwrap_or(100) * 100)
    }
}

fn pause(chance: &mut Chance) -> Duration {
    if chance.percent(30) { Duration::ZERO } else { chance.millis(50..2_500) }
}

/// What must be true of an order in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The side whose cabinet has it, or none.
    pub at: Option<usize>,
    /// House of its address at MeaSoft.
    pub house: u32,
    /// Kopecks to collect.
    pub collect: i64,
    /// Its phone cannot be sent.
    pub bad_phone: bool,
    /// A change came after the courier took it.
    pub too_late: bool,
    /// The last status RetailCRM must show, if the courier went on.
    pub status: Option<&'static str>,
    /// Times it left a shop: each may have cost a number.
    pub departures: usize,
    /// RetailCRM has it no more: so must MeaSoft once the walk through the history has seen it.
    pub deleted: bool,
}

impl Wanted {
    /// Of an order that nothing was done about.
    pub const fn nothing_yet(house: u32, collect: i64, bad_phone: bool) -> Self {
        let (at, status) = (None, None);
        Self { at, house, collect, bad_phone, too_late: false, status, departures: 0, deleted: false }
    }

    /// After an act in the shop of a side. `fee` is the delivery cost the sum has now.
    pub fn after(mut self, act: Act, side: usize, fee: i64) -> Self {
        match act {
            Act::Send | Act::Return => self.at = Some(side),
            Act::Readdress(_) if self.status.is_some() => self.too_late = true,
            Act::Readdress(house) => self.house = house,
            Act::Recost(cost) => self.collect += cost - fee,
            Act::Leave => {
                self.at = None;
                self.departures += 1;
            }
            Act::Move { .. } => {
                self.at = Some(1 - side);
                self.departures += 1;
            }
            Act::MendPhone => self.bad_phone = false,
            Act::Renumber(_) => {}
            Act::Delete => self.deleted = true,
            Act::Accept => self.status = Some("ACCEPTED"),
            Act::HandOver => self.status = Some("COMPLETE"),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_lives_and_all_sorts_of_them() {
        let of = |seed| (0..300).map(|n| Life::nth(seed, n)).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let lives = of(1);
        let with =
            |wanted: fn(&Act) -> bool| lives.iter().filter(|l| l.acts.iter().any(|(_, act)| wanted(act))).count();
        for (name, count) in [
            ("an edit", with(|act| matches!(act, Act::Recost(_)))),
            ("a cancel", with(|act| *act == Act::Leave)),
            ("a re-creation", with(|act| *act == Act::Return)),
            ("a move", with(|act| matches!(act, Act::Move { .. }))),
            ("a mended phone", with(|act| *act == Act::MendPhone)),
            ("a hand-over", with(|act| *act == Act::HandOver)),
            ("another number", with(|act| matches!(act, Act::Renumber(_)))),
            ("a deletion", with(|act| *act == Act::Delete)),
        ] {
            assert!(count >= 3, "{name}: {count} of 300");
        }
        assert!(lives.iter().all(|life| life.acts[0].1 == Act::Send));
    }

    #[test]
    fn numbers_repeat_between_the_sites_of_one_shop_and_nowhere_else() {
        let of = |n: usize| (n % 2, n / 2 % 2, number_of(n));
        let twins: Vec<usize> = (0..200).filter(|n| twin_of(*n).is_some()).collect();
        assert_eq!(twins.len(), 40);
        for n in &twins {
            assert_eq!(of(*n), of(n - 4), "side, account and number");
        }
        let numbers: std::collections::BTreeSet<String> = (0..200).map(number_of).collect();
        assert_eq!(numbers.len(), 160);
        assert_eq!(renumbered(9, Numbered::LikeARepeat), format!("{}-2", number_of(5)));
        assert!(!numbers.contains(&renumbered(9, Numbered::Anew)));
    }

    #[test]
    fn what_is_wanted_follows_the_last_act() {
        let sent = Wanted::nothing_yet(77, 1_000, false).after(Act::Send, 0, 300);
        assert_eq!((sent.at, sent.collect, sent.house), (Some(0), 1_000, 77));
        let changed = sent.after(Act::Readdress(1234), 0, 300).after(Act::Recost(500), 0, 300);
        assert_eq!((changed.house, changed.collect), (1234, 1_200));
        let gone = changed.after(Act::Leave, 0, 500);
        assert_eq!((gone.at, gone.departures), (None, 1));
        assert_eq!(gone.after(Act::Return, 0, 500).at, Some(0));
        assert_eq!(changed.after(Act::Move { cancel_first: true }, 0, 500).at, Some(1));
        let other = changed.after(Act::Renumber(Numbered::Anew), 0, 500);
        assert_eq!(other, changed, "a number is only how triggers speak");
        assert!(changed.after(Act::Delete, 0, 500).deleted);
        let late = sent.after(Act::Accept, 0, 300).after(Act::Readdress(1234), 0, 300);
        assert_eq!((late.house, late.too_late), (77, true), "MeaSoft keeps what it had");
    }
}
