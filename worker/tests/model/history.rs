//! What may happen: histories, how they are made up, and how they read.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::crm::CrmFault;
use crate::measoft::Fault;
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
    Number(u8),
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
    /// The courier does something with its order.
    Courier {
        order: usize,
        at: usize,
        status: &'static str,
    },
    Wait(u16),
    /// An undisturbed while: what is due is worked on.
    Rest,
    NewYear,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// It begins half an hour before New Year (Moscow time).
    pub eve: bool,
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
        1 => (0..3u8).prop_map(Change::Number),
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
    prop_oneof![Just(1u16), Just(2), Just(3), Just(16), Just(46), Just(100), Just(700)].prop_map(Op::Wait)
}

/// Something on its own.
fn op(orders: usize, integrations: usize) -> impl Strategy<Value = Op> {
    let what = prop_oneof![Just(What::Send), Just(What::Update), Just(What::Cancel)];
    let status = prop_oneof![3 => Just("ACCEPTED"), 1 => Just("COMPLETE"), 1 => Just("CANCELED")];
    prop_oneof![
        2 => save(orders),
        2 => (0..orders, what, 0..integrations).prop_map(|(order, what, at)| Op::Trigger { order, what, at }),
        1 => (0..6usize).prop_map(|back| Op::Again { back }),
        1 => Just(Op::Deliver),
        3 => work(integrations),
        3 => (0..2usize, stop()).prop_map(|(by, stop)| Op::Continue { by, stop }),
        2 => trouble(integrations),
        1 => prop_oneof![Just(CrmFault::Unreachable), Just(CrmFault::AnswerLost), Just(CrmFault::TooFast)]
            .prop_map(Op::CrmTrouble),
        1 => (0..orders, 0..integrations, status)
            .prop_map(|(order, at, status)| Op::Courier { order, at, status }),
        4 => wait(),
        2 => Just(Op::Rest),
        1 => Just(Op::NewYear),
    ]
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
    prop_oneof![3 => quiet, 4 => disturbed, 3 => op(orders, integrations).prop_map(|op| vec![op])]
}

/// One to three orders, one or two integrations.
pub fn histories() -> impl Strategy<Value = History> {
    let orders = prop_oneof![3 => Just(1usize), 2 => Just(2), 1 => Just(3)];
    let integrations = prop_oneof![2 => Just(1usize), 1 => Just(2)];
    (orders, integrations).prop_flat_map(|(orders, integrations)| {
        let closing = vec((0..orders, 0..3u8), 0..3);
        (prop::bool::weighted(0.3), vec(episode(orders, integrations), 2..12), closing).prop_map(
            move |(eve, episodes, closing)| History {
                eve,
                integrations,
                ops: episodes.into_iter().flatten().collect(),
                closing,
            },
        )
    })
}

fn stopping(stop: Option<Stop>) -> String {
    let Some((spot, how)) = stop else { return String::new() };
    let how = match how {
        How::Crash => "dies",
        How::Pause => "stands still",
        How::StoreFails => "is refused by the database",
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
                    Change::Number(n) => format!("changes the number ({n})"),
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
            Self::Courier { order, at, status } => write!(f, "courier {at}: order {order} becomes {status}"),
            Self::Wait(seconds) => write!(f, "{seconds} s pass"),
            Self::Rest => write!(f, "a quiet while"),
            Self::NewYear => write!(f, "the New Year comes"),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.eve { "half an hour before New Year" } else { "in June" };
        writeln!(f, "{} integration(s), {when}:", self.integrations)?;
        for (n, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {:>2}. {op}", n + 1)?;
        }
        for (order, kind) in &self.closing {
            writeln!(f, "  end: order {order} gets delivery type {kind}")?;
        }
        Ok(())
    }
}
