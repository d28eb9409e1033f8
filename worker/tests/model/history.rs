//! What may happen: histories, how they are made up, and how they read.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::crm::CrmFault;
use crate::measoft::{Fault, UNKNOWN_CODE};
use crate::steps::{How, Spot, Stop};

/// What the manager changes about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Phone(u8),
    Price(u8),
    /// How many lines there are beside the first.
    Lines(u8),
    /// The delivery type: that of integration 0, 1, or of another carrier.
    Kind(u8),
    /// A number out of [`number`].
    Number(u8),
}

/// Numbers an order may get: its own, another's, one that a re-creation or an order known by
/// its id would choose, one that MeaSoft would not take.
pub const NUMBERS: u8 = 8;

/// The `n`th number that `order` may get.
pub fn number(order: usize, n: u8) -> String {
    match n {
        0 => format!("{}", 101 + order),
        1 => "101".to_owned(),
        2 => "102".to_owned(),
        3 => "101-2".to_owned(),
        4 => "101-3".to_owned(),
        5 => "R1001".to_owned(),
        6 => "R1002".to_owned(),
        _ => "№ 1".to_owned(),
    }
}

/// What RetailCRM does about a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fire {
    /// No trigger's condition is met.
    None,
    Send,
    Update,
    Both,
    /// Each trigger twice, as two commands.
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Send,
    Update,
    Cancel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `lag`: the save shows only after the first reading that its triggers cause. `held`:
    /// the triggers stay in the queue until [`Op::Deliver`].
    Save {
        order: usize,
        change: Change,
        fire: Fire,
        lag: bool,
        held: bool,
    },
    /// A trigger without a save.
    Trigger {
        order: usize,
        what: What,
        at: usize,
    },
    /// A command that was recorded before comes again, with its id.
    Again {
        back: usize,
    },
    /// What was held arrives, newest first.
    Deliver,
    /// A worker takes what is due.
    Work {
        by: usize,
        at: usize,
        stop: Option<Stop>,
    },
    /// A worker that stood still goes on.
    Continue {
        by: usize,
        stop: Option<Stop>,
    },
    Trouble {
        at: usize,
        fault: Fault,
        on_writes: bool,
    },
    CrmTrouble(CrmFault),
    /// RetailCRM cannot be reached for so many seconds.
    CrmAway(u32),
    /// What MeaSoft creates in the next seconds shows only after them.
    Blind {
        at: usize,
        seconds: u8,
    },
    /// The courier does something with its order, or corrects it. `backdated`: its record is
    /// older than that of the status before.
    Courier {
        order: usize,
        at: usize,
        status: &'static str,
        backdated: bool,
    },
    /// A worker brings statuses and payments back.
    Sync {
        by: usize,
        at: usize,
        stop: Option<Stop>,
    },
    /// The order is deleted in RetailCRM, or combined into another.
    Delete {
        order: usize,
        into: Option<usize>,
    },
    /// An operator sets its phone right for MeaSoft.
    Correct {
        order: usize,
        at: usize,
        phone: u8,
    },
    /// Another integration handed the order over before us.
    HandedOver {
        order: usize,
    },
    Wait(u32),
    /// An undisturbed while: what is due is worked on.
    Rest,
    NewYear,
    /// A hundred days pass, and what need not be kept is forgotten.
    Season,
}

/// A pause of more than a day, in seconds.
const DAYS: u32 = 25 * 3600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// It begins half an hour before New Year (Moscow time).
    pub eve: bool,
    /// All orders begin with one number: they are of different shops.
    pub one_number: bool,
    /// The shop has told which status means «send».
    pub send_statuses: bool,
    /// Triggers name the order's total as its declared value.
    pub declared: bool,
    pub integrations: usize,
    pub ops: Vec<Op>,
    /// Delivery types that the manager chooses last, order by order: the end is exact.
    pub closing: Vec<(usize, u8)>,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Nothing),
        3 => (0..2u8).prop_map(Change::Phone),
        3 => (0..2u8).prop_map(Change::Price),
        2 => (0..3u8).prop_map(Change::Lines),
        5 => (0..3u8).prop_map(Change::Kind),
        3 => (0..NUMBERS).prop_map(Change::Number),
        1 => Just(Change::Phone(crate::crm::BAD_PHONE)),
    ]
}

fn stop() -> impl Strategy<Value = Option<Stop>> {
    let how = prop_oneof![4 => Just(How::Crash), 4 => Just(How::Pause), 1 => Just(How::StoreFails)];
    let spot = prop_oneof![2 => (0..45usize).prop_map(Spot::Step), 1 => Just(Spot::Asking), 1 => Just(Spot::Answered)];
    option::weighted(0.4, (spot, how))
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::AnswerLost),
        3 => Just(Fault::RequestLost),
        2 => (1..40u8).prop_map(Fault::DoneLater),
        1 => Just(Fault::NotSent),
        1 => Just(Fault::Html),
        1 => Just(Fault::Down),
        1 => Just(Fault::Refused),
        1 => Just(Fault::RefusedWhole),
        1 => Just(Fault::RefusedOddly),
    ]
}

fn save(orders: usize) -> impl Strategy<Value = Op> {
    let fire = prop_oneof![
        1 => Just(Fire::None), 4 => Just(Fire::Send), 3 => Just(Fire::Update), 2 => Just(Fire::Both), 1 => Just(Fire::Twice)
    ];
    (0..orders, change(), fire, prop::bool::weighted(0.15), prop::bool::weighted(0.15))
        .prop_map(|(order, change, fire, lag, held)| Op::Save { order, change, fire, lag, held })
}

fn work(integrations: usize) -> impl Strategy<Value = Op> {
    (0..2usize, 0..integrations, stop()).prop_map(|(by, at, stop)| Op::Work { by, at, stop })
}

fn trouble(integrations: usize) -> impl Strategy<Value = Op> {
    (0..integrations, fault(), prop::bool::weighted(0.7)).prop_map(|(at, fault, on_writes)| Op::Trouble {
        at,
        fault,
        on_writes,
    })
}

fn wait() -> impl Strategy<Value = Op> {
    prop_oneof![Just(1u32), Just(2), Just(3), Just(16), Just(46), Just(100), Just(700), Just(DAYS)].prop_map(Op::Wait)
}

/// What the courier says of an order.
fn courier(orders: usize, integrations: usize) -> impl Strategy<Value = Op> {
    let status = prop_oneof![
        4 => Just("ACCEPTED"), 3 => Just("COMPLETE"), 2 => Just("CANCELED"), 1 => Just("DATECHANGE"),
        1 => Just("COURIERDELIVERED"), 1 => Just(UNKNOWN_CODE),
    ];
    (0..orders, 0..integrations, status, prop::bool::weighted(0.15))
        .prop_map(|(order, at, status, backdated)| Op::Courier { order, at, status, backdated })
}

fn sync(integrations: usize) -> impl Strategy<Value = Op> {
    (0..2usize, 0..integrations, stop()).prop_map(|(by, at, stop)| Op::Sync { by, at, stop })
}

fn crm_trouble() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::CrmTrouble(CrmFault::Unreachable)),
        3 => Just(Op::CrmTrouble(CrmFault::AnswerLost)),
        3 => Just(Op::CrmTrouble(CrmFault::TooFast)),
        1 => Just(Op::CrmAway(20)),
        1 => Just(Op::CrmAway(700)),
    ]
}

/// Something on its own.
fn op(orders: usize, integrations: usize) -> impl Strategy<Value = Op> {
    let what = prop_oneof![Just(What::Send), Just(What::Update), Just(What::Cancel)];
    prop_oneof![
        2 => save(orders),
        2 => (0..orders, what, 0..integrations).prop_map(|(order, what, at)| Op::Trigger { order, what, at }),
        1 => (0..6usize).prop_map(|back| Op::Again { back }),
        1 => Just(Op::Deliver),
        3 => work(integrations),
        3 => (0..2usize, stop()).prop_map(|(by, stop)| Op::Continue { by, stop }),
        2 => trouble(integrations),
        1 => crm_trouble(),
        1 => courier(orders, integrations),
        1 => sync(integrations),
        1 => (0..integrations, 5..60u8).prop_map(|(at, seconds)| Op::Blind { at, seconds }),
        2 => (0..orders, 0..integrations, 3..6u8).prop_map(|(order, at, phone)| Op::Correct { order, at, phone }),
        1 => (0..orders, option::weighted(0.4, 0..orders)).prop_map(|(order, into)| Op::Delete { order, into }),
        4 => wait(),
        2 => Just(Op::Rest),
        1 => Just(Op::NewYear),
        1 => Just(Op::Season),
    ]
}

/// One order is given up for another: the first is renumbered, the second gets its number.
fn reuse(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    let between = prop_oneof![Just(None), Just(Some(Op::Rest)), Just(Some(Op::Wait(2)))];
    (0..orders, 0..orders, 0..NUMBERS, between, prop::bool::weighted(0.5)).prop_map(
        |(first, second, to, between, told)| {
            let save = |order, change, fire| Op::Save { order, change, fire, lag: false, held: false };
            let renumbered = save(first, Change::Number(to), if told { Fire::Update } else { Fire::None });
            // Its own number, which for the first order is «101» as well.
            let reused = save(second, Change::Number(if first < 2 { 1 + first as u8 } else { 0 }), Fire::Send);
            [Some(renumbered), between, Some(reused)].into_iter().flatten().collect()
        },
    )
}

/// An order comes to its end, which is corrected while RetailCRM may be away.
fn ending(orders: usize, integrations: usize) -> impl Strategy<Value = Vec<Op>> {
    let pause = || prop_oneof![Just(None), Just(Some(Op::Rest)), Just(Some(Op::Wait(46))), Just(Some(Op::Season))];
    (
        (0..orders, 0..integrations),
        save(orders),
        courier(orders, integrations),
        option::weighted(0.5, crm_trouble()),
        option::weighted(0.7, sync(integrations)),
        courier(orders, integrations),
        option::weighted(0.7, sync(integrations)),
        pause(),
        option::weighted(0.5, save(orders)),
    )
        .prop_map(|((order, at), first, end, trouble, told, other, again, pause, later)| {
            let of = |op: Op| match op {
                Op::Save { change, fire, lag, held, .. } => Op::Save { order, change, fire, lag, held },
                Op::Courier { status, backdated, .. } => Op::Courier { order, at, status, backdated },
                other => other,
            };
            let all = [Some(of(first)), Some(Op::Rest), Some(of(end)), trouble, told, Some(of(other)), again, pause];
            all.into_iter().chain([later.map(of)]).flatten().collect()
        })
}

/// A save of one order that a trigger announces.
fn told(order: usize, change: Change, fire: Fire) -> Op {
    Op::Save { order, change, fire, lag: false, held: false }
}

/// What the courier said last is taken back while nobody reaches RetailCRM.
fn correction(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    let other = prop_oneof![2 => Just("CANCELED"), 1 => Just("DATECHANGE"), 1 => Just("RETURNING")];
    (0..orders, other, any::<bool>()).prop_map(|(order, other, again)| {
        let says = |status| Op::Courier { order, at: 0, status, backdated: false };
        let sync = Op::Sync { by: 0, at: 0, stop: None };
        let mut ops = vec![told(order, Change::Kind(0), Fire::Send), Op::Rest, says("COMPLETE"), Op::CrmAway(30)];
        // MeaSoft's times are whole seconds: what it says twice within one is one status.
        ops.extend([sync.clone(), Op::Wait(3), says(other), sync.clone()]);
        if again {
            ops.extend([Op::Wait(3), says("COMPLETE"), sync]);
        }
        ops.push(Op::Rest);
        ops
    })
}

/// What MeaSoft said before an edit is taken over after it.
fn overtaken(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    (0..orders, 8..40usize).prop_map(|(order, step)| {
        let work = || Op::Work { by: 0, at: 0, stop: None };
        let pause = Some((Spot::Step(step), How::Pause));
        vec![
            told(order, Change::Kind(0), Fire::Send),
            Op::Wait(2),
            work(),
            Op::Sync { by: 1, at: 0, stop: pause },
            told(order, Change::Price(0), Fire::Update),
            told(order, Change::Price(1), Fire::Update),
            Op::Wait(2),
            work(),
            Op::Continue { by: 1, stop: None },
        ]
    })
}

/// A change is done after a newer one, or after the order has come back.
fn late(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    let pair =
        prop_oneof![(Just(Change::Price(0)), Just(Change::Price(1))), (Just(Change::Kind(2)), Just(Change::Kind(0))),];
    (0..orders, pair, 10..40u8).prop_map(|(order, (first, second), after)| {
        let work = || Op::Work { by: 0, at: 0, stop: None };
        vec![
            told(order, Change::Kind(0), Fire::Send),
            told(order, Change::Price(1), Fire::Update),
            Op::Rest,
            Op::Trouble { at: 0, fault: Fault::DoneLater(after), on_writes: true },
            told(order, first, Fire::Update),
            Op::Wait(2),
            work(),
            told(order, second, Fire::Both),
            Op::Wait(2),
            work(),
            Op::Wait(3),
            work(),
            Op::Wait(46),
        ]
    })
}

/// Two orders under one number: one is placed while the other is a draft; both are sent at once;
/// the second is sent before its status shows.
fn twins(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    let same = Change::Number(1);
    (0..orders, 0..orders, 0..3u8).prop_map(move |(first, second, how)| match how {
        0 => vec![
            told(first, same, Fire::Send),
            Op::Rest,
            told(second, same, Fire::None),
            Op::Wait(16),
            told(first, Change::Nothing, Fire::Send),
            Op::Rest,
        ],
        1 => vec![
            told(first, same, Fire::None),
            told(second, same, Fire::None),
            told(first, Change::Nothing, Fire::Send),
            told(second, Change::Nothing, Fire::Send),
            Op::Rest,
            told(second, Change::Nothing, Fire::Send),
            Op::Rest,
        ],
        _ => vec![
            told(first, same, Fire::Send),
            Op::Rest,
            told(second, same, Fire::None),
            Op::Rest,
            Op::Save { order: second, change: Change::Nothing, fire: Fire::Send, lag: true, held: false },
            // The first reading comes before the save shows.
            Op::Wait(2),
            Op::Work { by: 0, at: 0, stop: None },
            Op::Rest,
        ],
    })
}

/// A change shows after the trigger that names the new total.
fn shown_late(orders: usize) -> impl Strategy<Value = Vec<Op>> {
    (0..orders, 0..2u8).prop_map(|(order, price)| {
        vec![
            told(order, Change::Kind(0), Fire::Send),
            told(order, Change::Price(price), Fire::Both),
            Op::Rest,
            Op::Save { order, change: Change::Price(1 - price), fire: Fire::Update, lag: true, held: false },
            Op::Wait(2),
            Op::Work { by: 0, at: 0, stop: None },
            Op::Rest,
        ]
    })
}

/// A manager's save and what comes of it.
fn episode(orders: usize, integrations: usize) -> impl Strategy<Value = Vec<Op>> {
    let quiet = save(orders).prop_map(|save| vec![save, Op::Rest]);
    // While the first save is worked on, something goes wrong and another save comes.
    let disturbed = (
        save(orders),
        option::weighted(0.4, trouble(integrations)),
        work(integrations),
        option::weighted(0.6, save(orders)),
        wait(),
        option::weighted(0.7, work(integrations)),
        option::weighted(0.5, (0..2usize, stop()).prop_map(|(by, stop)| Op::Continue { by, stop })),
    )
        .prop_map(|(first, trouble, work, second, wait, again, wake)| {
            let first = [Some(first), Some(Op::Wait(2)), trouble, Some(work)];
            first.into_iter().chain([second, Some(wait), again, wake]).flatten().collect()
        });
    prop_oneof![
        6 => quiet,
        8 => disturbed,
        6 => op(orders, integrations).prop_map(|op| vec![op]),
        2 => reuse(orders),
        2 => ending(orders, integrations),
        1 => correction(orders),
        1 => overtaken(orders),
        1 => late(orders),
        1 => twins(orders),
        1 => shown_late(orders),
    ]
}

/// One to three orders, one or two integrations.
pub fn histories() -> impl Strategy<Value = History> {
    let orders = prop_oneof![3 => Just(1usize), 2 => Just(2), 1 => Just(3)];
    let integrations = prop_oneof![2 => Just(1usize), 1 => Just(2)];
    (orders, integrations).prop_flat_map(|(orders, integrations)| {
        let closing = vec((0..orders, 0..3u8), 0..3);
        let before = option::weighted(0.1, (0..orders).prop_map(|order| Op::HandedOver { order }));
        let kinds = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), any::<bool>(), any::<bool>());
        // Some are short: what is told of a draft, or of a save shown late, another save overtells.
        let short = prop_oneof![twins(orders), shown_late(orders)].prop_map(|ops| vec![ops]);
        let episodes = prop_oneof![5 => vec(episode(orders, integrations), 2..12), 1 => short];
        (kinds, before, episodes, closing).prop_map(
            move |((eve, one_number, send_statuses, declared), before, episodes, closing)| History {
                eve,
                one_number,
                send_statuses,
                declared,
                integrations,
                ops: before.into_iter().chain(episodes.into_iter().flatten()).collect(),
                closing,
            },
        )
    })
}

pub fn stopping(stop: Option<Stop>) -> String {
    let Some((spot, how)) = stop else { return String::new() };
    let how = match how {
        How::Crash => "dies",
        How::Pause => "stands still",
        How::StoreFails => "is refused by the database",
        How::Cut => "loses its database and stands still",
    };
    match spot {
        Spot::Step(step) => format!(", {how} at step {step}"),
        Spot::Asking => format!(", {how} while its write is on the way"),
        Spot::Answered => format!(", {how} while the answer to its write is on the way"),
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save { order, change, fire, lag, held } => {
                let what = match change {
                    Change::Nothing => "saves it as it is".to_owned(),
                    Change::Phone(n) => format!("changes the phone ({n})"),
                    Change::Price(n) => format!("changes the price ({n})"),
                    Change::Lines(n) => format!("has {n} more lines in it"),
                    Change::Kind(n) => format!("chooses delivery type {n}"),
                    Change::Number(n) => format!("changes the number to {}", number(*order, *n)),
                };
                let lag = if *lag { ", shown late" } else { "" };
                let held = if *held { ", triggers held" } else { "" };
                write!(f, "order {order}: the manager {what}; triggers {fire:?}{lag}{held}")
            }
            Self::Trigger { order, what, at } => {
                write!(f, "order {order}: a stray {what:?} trigger for integration {at}")
            }
            Self::Again { back } => write!(f, "the command {back} back is delivered again"),
            Self::Deliver => write!(f, "held triggers arrive"),
            Self::Work { by, at, stop } => write!(f, "worker {by} works for integration {at}{}", stopping(*stop)),
            Self::Continue { by, stop } => write!(f, "worker {by} goes on{}", stopping(*stop)),
            Self::Trouble { at, fault, on_writes } => {
                let on = if *on_writes { "write" } else { "look-up" };
                write!(f, "MeaSoft {at}: the next {on} meets {fault:?}")
            }
            Self::CrmTrouble(fault) => write!(f, "RetailCRM: the next call meets {fault:?}"),
            Self::CrmAway(seconds) => write!(f, "RetailCRM cannot be reached for {seconds} s"),
            Self::Blind { at, seconds } => write!(f, "MeaSoft {at}: what is new shows only after {seconds} s"),
            Self::Courier { order, at, status, backdated } => {
                let dated = if *backdated { ", dated back" } else { "" };
                write!(f, "courier {at}: order {order} becomes {status}{dated}")
            }
            Self::Sync { by, at, stop } => {
                write!(f, "worker {by} brings statuses back from courier {at}{}", stopping(*stop))
            }
            Self::Delete { order, into: None } => write!(f, "order {order} is deleted"),
            Self::Delete { order, into: Some(into) } => write!(f, "order {order} is combined into order {into}"),
            Self::Correct { order, at, phone } => {
                write!(f, "order {order}: an operator of integration {at} corrects the phone ({phone})")
            }
            Self::HandedOver { order } => write!(f, "order {order} was handed over by another integration"),
            Self::Wait(seconds) => write!(f, "{seconds} s pass"),
            Self::Rest => write!(f, "a quiet while"),
            Self::NewYear => write!(f, "the New Year comes"),
            Self::Season => write!(f, "a hundred days pass, and what is old is forgotten"),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.eve { "half an hour before New Year" } else { "in June" };
        let numbers = if self.one_number { ", all orders with one number" } else { "" };
        let statuses = if self.send_statuses { ", a status means «send»" } else { "" };
        let declared = if self.declared { ", triggers name the total" } else { "" };
        writeln!(f, "{} integration(s), {when}{numbers}{statuses}{declared}:", self.integrations)?;
        for (n, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {:>2}. {op}", n + 1)?;
        }
        for (order, kind) in &self.closing {
            writeln!(f, "  end: order {order} gets delivery type {kind}")?;
        }
        Ok(())
    }
}
