//! Carries out what is decided about payments, one integration at a time.

use futures_util::{FutureExt as _, StreamExt as _, stream};
use jiff::ZonedDateTime;
use shared::domain::CrmOrderId;
use shared::message::{Change, GiveUp, Kind, Outcome};
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::wire::payments::{Deleted, NewPayment, PaymentPatch};
use shared::retailcrm::{CrmError, Unreadable};
use shared::store::again::at_once;
use shared::store::journal::{Entry, What};
use shared::store::payment_moves::{Begun, MoveState, PaymentEnd, PaymentMove};
use shared::{reason, store};

use crate::order::report;
use crate::sync::apply::payment_letter;
use crate::sync::facts::OrderSnapshot;
use crate::sync::guard::LeaseGuard;
use crate::sync::payments::decide::{Decision, Question};
use crate::sync::payments::plan::{LeftBehind, Move, Plan};
use crate::sync::{internal, next_try};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Orders read in one request.
const BATCH: u32 = 50;
/// Of them so many are settled at one time. What is written is as old as its reading, and may be no
/// older than the changes of so few take.
const AT_ONCE: usize = 8;

/// How one order's payment went.
enum Trouble {
    /// Try again: the rest of the run may go on.
    Later(String),
    /// The account does not work at all.
    Halt(CrmError),
    GiveUp(GiveUp),
    /// The plan was taken back whole; a later look decides anew.
    TakenBack(GiveUp),
    /// Newer facts have come: they decide.
    Overtaken,
    Store(store::StoreError),
}

impl From<store::StoreError> for Trouble {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CrmError> for Trouble {
    fn from(error: CrmError) -> Self {
        match error.class() {
            Class::Retry => Self::Later(error.label().to_owned()),
            Class::StopIntegration => Self::Halt(error),
            Class::Park => Self::GiveUp(reason::give_up(reason_of(&error), error.to_string())),
        }
    }
}

/// Why a change of a payment that RetailCRM refuses is given up.
const fn reason_of(error: &CrmError) -> &'static str {
    match error {
        CrmError::AccessDenied { .. } => reason::CRM_SCOPE_MISSING,
        CrmError::Unreadable(_) => reason::UNREADABLE_ORDER,
        _ => reason::PAYMENT_REFUSED,
    }
}

/// Settles what is due of an integration.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    match tools.store.next_payment_due(active.id()).await {
        Ok(Some(due)) if due <= tools.clock.now() => {}
        Ok(_) => return Outcome::AlreadyDone("no payment waits"),
        Err(_) => return internal(),
    }
    let guard = match LeaseGuard::take(tools, &format!("payments|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded("another worker settles payments of this integration"),
        Err(_) => return internal(),
    };
    let outcome = match settle_due(tools, active, &guard).await {
        Ok(()) => Outcome::Done(Change::Synced),
        Err(Trouble::Halt(error)) => report::failure(tools, active, &error).await,
        Err(Trouble::Store(error)) => {
            tracing::warn!(%error, "payments wait for the database");
            internal()
        }
        Err(_) => internal(),
    };
    guard.release().await;
    outcome
}

async fn settle_due(tools: &Tools, active: &ActiveIntegration, guard: &LeaseGuard) -> Result<(), Trouble> {
    loop {
        let due = tools.store.due_payments(active.id(), BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let read = match (References::of(tools, active).await, read(active, &due).await) {
            (Ok(references), Ok(orders)) => Ok((references, orders)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let (mut references, orders) = match read {
            Ok(read) => read,
            Err(error) => return Err(halt(tools, &due, error).await?),
        };
        // A type or status the shop added a minute ago is not in the lists yet.
        if orders.iter().flatten().any(|order| !references.cover(order))
            && let Ok(newer) = References::reread(tools, active).await
        {
            references = newer;
        }
        for rows in due.chunks(AT_ONCE) {
            let group: Vec<Settling<'_>> =
                rows.iter().map(|row| Settling { tools, active, references: &references, row }).collect();
            if !settle(tools, active, guard, group, &orders).await? {
                return Ok(());
            }
        }
    }
}

async fn read<'a>(
    active: &ActiveIntegration,
    rows: impl IntoIterator<Item = &'a PaymentMove>,
) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
    let mut ids: Vec<CrmOrderId> = rows.into_iter().map(|row| row.crm_order).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { Ok(Vec::new()) } else { active.vendors.crm.orders_by_ids(&ids).await }
}

/// RetailCRM is not to be read: all of them wait.
async fn halt<'a>(
    tools: &Tools,
    rows: impl IntoIterator<Item = &'a PaymentMove>,
    error: CrmError,
) -> store::Result<Trouble> {
    let until: Vec<_> = rows.into_iter().map(|row| (row.id, next_try(tools, row.attempt), error.label())).collect();
    let mut tx = tools.store.db.begin().await?;
    tx.postpone_payments(&until, tools.clock.now()).await?;
    tx.commit().await?;
    Ok(Trouble::Halt(error))
}

/// Settles a few at one time: their plans are begun in one commit, and what came of all is another.
/// `orders` were read with others, maybe minutes ago: enough to see that there is nothing to do.
/// False: the lease was lost.
async fn settle(
    tools: &Tools,
    active: &ActiveIntegration,
    guard: &LeaseGuard,
    group: Vec<Settling<'_>>,
    orders: &[Result<Order, Unreadable>],
) -> Result<bool, Trouble> {
    let mut done: Vec<(&PaymentMove, Came)> = Vec::with_capacity(group.len());
    let mut open = Vec::new();
    for one in group {
        match of(orders, one.row.crm_order).and_then(|order| one.look(order)) {
            Ok(history) => open.push((one, history)),
            Err(came) => done.push((one.row, came)),
        }
    }
    let orders = match read(active, open.iter().map(|(one, _)| one.row)).await {
        Ok(orders) => orders,
        Err(error) => return Err(halt(tools, open.iter().map(|(one, _)| one.row), error).await?),
    };
    let mut planned = Vec::new();
    for (one, history) in open {
        let plan = of(&orders, one.row.crm_order).and_then(|order| Ok((order, one.plan(order, history)?)));
        match plan {
            Ok((order, plan)) => planned.push((one, order, plan)),
            Err(came) => done.push((one.row, came)),
        }
    }
    let begun: Vec<Begun> = planned.iter().map(|(one, _, plan)| plan.begun(one.row.id)).collect();
    let now = tools.clock.now();
    let lease = &guard.lease;
    let Some(begun) = tools.store.under_lease(lease, async |tx| tx.begin_payments(&begun, now).await).await? else {
        return Ok(false);
    };
    let moves: Vec<_> = planned
        .into_iter()
        .map(|(one, order, plan)| {
            let is_begun = begun.contains(&one.row.id);
            async move {
                let came = if is_begun { one.carry_out(order, plan).await } else { Err(Trouble::Overtaken) };
                (one.row, came)
            }
            .boxed()
        })
        .collect();
    done.extend(stream::iter(moves).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    conclude(tools, done).await?;
    Ok(true)
}

fn of(orders: &[Result<Order, Unreadable>], id: CrmOrderId) -> Result<&Order, Came> {
    let order = orders.iter().flatten().find(|order| order.id == id);
    order.ok_or_else(|| Err(Trouble::GiveUp(unreadable(orders, id))))
}

fn unreadable(orders: &[Result<Order, Unreadable>], id: CrmOrderId) -> GiveUp {
    match orders.iter().find_map(|order| order.as_ref().err().filter(|bad| bad.id == Some(id))) {
        Some(bad) => reason::give_up(reason::UNREADABLE_ORDER, bad.why.to_string()),
        None => reason::give_up(reason::ORDER_NOT_FOUND, format!("id {id}")),
    }
}

/// What was done about one order's payment.
enum Settled {
    /// So many steps, in words.
    Moved(u32, String),
    Left(&'static str),
}

/// How one order's payment came out.
type Came = Result<Settled, Trouble>;

/// What is known of a closing beside its order.
struct History {
    facts: OrderSnapshot,
    plan: Option<Plan>,
    interrupted: Option<Plan>,
}

/// A plan about to be carried out.
struct Planned {
    plan: Plan,
    is_new: bool,
    /// Steps that are done, and those that were begun before.
    done: usize,
    tried: usize,
}

impl Planned {
    /// What is written down before its next step is taken.
    fn begun(&self, id: i64) -> Begun {
        let next = if self.plan.undo.is_some() { 0 } else { self.plan.moves.len().min(self.done + 1) };
        let plan = self.is_new.then(|| self.plan.text());
        Begun { id, plan, tried: count(self.tried.max(next)) }
    }
}

/// One closing at work.
struct Settling<'a> {
    tools: &'a Tools,
    active: &'a ActiveIntegration,
    references: &'a References,
    row: &'a PaymentMove,
}

impl Settling<'_> {
    fn decide(&self, order: &Order, facts: &OrderSnapshot, settled: bool, used: Option<&str>) -> Decision {
        let code = self.active.integration.code(&self.tools.module_code);
        let settings = &self.active.integration.settings;
        let replayed = self.row.replayed;
        Question { order, settings, references: self.references, facts, code: &code, settled, replayed, used }.decide()
    }

    /// What is to be decided about, unless the order shows already that there is nothing to do.
    fn look(&self, order: &Order) -> Result<History, Came> {
        let bad =
            |_| Err(Trouble::GiveUp(reason::give_up(reason::INTERNAL, "the journal of the payment cannot be read")));
        let facts: OrderSnapshot = serde_json::from_str(&self.row.facts).map_err(bad)?;
        let read = |text: &String| serde_json::from_str::<Plan>(text).map_err(bad);
        let plan = self.row.plan.as_ref().map(read).transpose()?;
        let interrupted = self.row.interrupted.as_ref().map(read).transpose()?;
        if plan.is_none()
            && interrupted.is_none()
            && let Decision::Fits(why) = self.decide(order, &facts, self.row.after_settling, None)
        {
            return Err(Ok(Settled::Left(why)));
        }
        Ok(History { facts, plan, interrupted })
    }

    /// What is to be done about an order that was read just now.
    fn plan(&self, order: &Order, History { facts, plan, interrupted }: History) -> Result<Planned, Came> {
        if let Some(plan) = plan {
            match plan.conflict(order, self.row.tried) {
                None => {
                    let (done, tried) = (self.row.step as usize, self.row.tried as usize);
                    return Ok(Planned { plan, is_new: false, done, tried });
                }
                // A person has seen it and put it right: what is there now decides, unless our
                // own half of it is still there.
                Some(_)
                    if self.row.state == MoveState::Wanted
                        && matches!(plan.left_behind(order), LeftBehind::Nothing | LeftBehind::CarriedOut) => {}
                Some(why) => return Err(Err(conflict(&why, &plan, order))),
            }
        }
        self.plan_anew(order, &facts, interrupted)
    }

    async fn read_again(&self) -> Result<Order, Trouble> {
        match self.active.vendors.crm.order(self.row.crm_order).await {
            Err(CrmError::NotFound { .. }) => {
                let detail = format!("id {}", self.row.crm_order);
                Err(Trouble::GiveUp(reason::give_up(reason::ORDER_NOT_FOUND, detail)))
            }
            read => Ok(read?),
        }
    }

    /// Decides.
    fn plan_anew(&self, order: &Order, facts: &OrderSnapshot, interrupted: Option<Plan>) -> Result<Planned, Came> {
        let left = interrupted.as_ref().map_or(LeftBehind::Nothing, |plan| plan.left_behind(order));
        // What an overtaken plan left half done is taken back first, and is not there for the
        // decision.
        let (ours, settled) = match left {
            LeftBehind::Nothing => (None, self.row.after_settling),
            LeftBehind::CarriedOut => (None, true),
            LeftBehind::HalfReplaced(id) => (Some(id), false),
            LeftBehind::Changed(why) => {
                return Err(Err(match &interrupted {
                    Some(plan) => conflict(&why, plan, order),
                    None => Trouble::Overtaken,
                }));
            }
        };
        let mut seen = order.clone();
        seen.payments.retain(|payment| Some(payment.id) != ours);
        let used = interrupted.as_ref().and_then(Plan::tag);
        let moves: Vec<Move> = match self.decide(&seen, facts, settled, used) {
            Decision::Moves(moves) => moves,
            Decision::Fits(why) if ours.is_none() => return Err(Ok(Settled::Left(why))),
            Decision::Fits(_) => Vec::new(),
            // What was settled once and cannot follow a correction is a person's.
            Decision::GiveUp(give_up) if settled => {
                let sum = facts.price.map_or_else(|| "no sum".to_owned(), |price| price.to_string());
                let paytype = facts.paytype.as_deref().unwrap_or("");
                let detail = format!("MeaSoft says {sum} {paytype} now ({}: {})", give_up.reason, give_up.detail);
                return Err(Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_CORRECTED, detail))));
            }
            Decision::GiveUp(mut give_up) => {
                if let (Some(id), Some(plan)) = (ours, &interrupted) {
                    give_up.detail =
                        format!("{}; of older facts payment {id} is left, {}", give_up.detail, plan.progress_on(order));
                }
                return Err(Err(Trouble::GiveUp(give_up)));
            }
        };
        let paid_at = facts
            .understood()
            .and_then(|event| event.at)
            .map(|at| ZonedDateTime::new(at, self.references.zone.clone()).datetime());
        let plan = Plan::of(order, moves, paid_at);
        let plan = if let Some(ours) = ours { plan.taking_back(ours) } else { plan };
        Ok(Planned { plan, is_new: true, done: 0, tried: 0 })
    }

    /// Does the steps that are not done yet, of which the first is begun. `order` was read after
    /// the last try, just now.
    async fn carry_out(&self, order: &Order, planned: Planned) -> Came {
        let Planned { mut plan, done: mut from, mut tried, .. } = planned;
        if plan.undo.is_some() {
            return self.put_back(order, &plan).await;
        }
        let (store, id) = (&self.tools.store, self.row.id);
        let mut is_begun = true;
        while let Some(step) = plan.moves.get(from).cloned() {
            // Newer facts may have come since: no step is taken on older ones.
            if !std::mem::take(&mut is_begun) && !store.payment_step_begun(id, count(from + 1)).await? {
                return Err(Trouble::Overtaken);
            }
            match self.one_step(order, &plan, &step, tried > from).await {
                Ok(Done::Now) => {
                    from += 1;
                    // The last one is noted with the end.
                    if from < plan.moves.len() {
                        store.payment_step_done(id, count(from)).await?;
                    }
                }
                Ok(Done::GoneBefore(payment)) => return Err(self.taken_away(&plan, payment).await?),
                Err(error) if error.class() == Class::Park => {
                    store.payment_step_refused(id, count(from)).await?;
                    let now = self.read_again().await?;
                    match step {
                        Move::Create { .. } if !plan.to_put_back(&now).is_empty() => {
                            plan.undo = Some(error.to_string());
                            store.amend_payment(id, &plan.text()).await?;
                            return self.put_back(&now, &plan).await;
                        }
                        Move::Create { .. } if from == 0 && refuses_the_sum(&error) => {
                            // RetailCRM may take no second payment beside one that covers the
                            // order (protocols/retailcrm.md#payment-rules [?]): then the old one
                            // goes first.
                            let Some(other) = plan.removing_first() else { return Err(refused(&error, &plan, from)) };
                            if !store.replan_payment(id, &other.text()).await? {
                                return Err(Trouble::Overtaken);
                            }
                            (plan, tried) = (other, 0);
                        }
                        _ => return Err(refused(&error, &plan, from)),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Settled::Moved(count(from), plan.words()))
    }

    /// One step; `again` when it was begun before and may have happened.
    async fn one_step(&self, order: &Order, plan: &Plan, step: &Move, again: bool) -> Result<Done, CrmError> {
        let crm = &self.active.vendors.crm;
        let paid_at = |status: &str| plan.paid_at.filter(|_| self.references.is_complete(status));
        match step {
            Move::EditAmount { payment, amount } => {
                let Some(present) = order.payment(*payment) else { return Ok(Done::GoneBefore(*payment)) };
                if present.amount != *amount {
                    let patch = PaymentPatch { amount: Some(*amount), ..PaymentPatch::default() };
                    return edited(crm.edit_payment(*payment, &order.site, &patch).await, *payment);
                }
            }
            Move::SetStatus { payment, status } => {
                let Some(present) = order.payment(*payment) else { return Ok(Done::GoneBefore(*payment)) };
                if present.status.as_ref() != Some(status) {
                    let patch = PaymentPatch {
                        status: Some(status.clone()),
                        paid_at: paid_at(status),
                        ..PaymentPatch::default()
                    };
                    return edited(crm.edit_payment(*payment, &order.site, &patch).await, *payment);
                }
            }
            Move::Delete { payment } => {
                if order.payment(*payment).is_some() && crm.delete_payment(*payment).await? == Deleted::Before && !again
                {
                    return Ok(Done::GoneBefore(*payment));
                }
            }
            Move::Create { tag, kind, amount, status } => {
                if !order.payments.iter().any(|p| p.external_id.as_deref() == Some(tag.as_str())) {
                    let new = NewPayment {
                        order: order.id,
                        kind: kind.clone(),
                        status: status.clone(),
                        amount: *amount,
                        paid_at: status.as_deref().and_then(paid_at),
                        external_id: Some(tag.clone()),
                        comment: Some("MeaSoft".to_owned()),
                    };
                    crm.create_payment(&order.site, &new).await?;
                }
            }
        }
        Ok(Done::Now)
    }

    /// Somebody took a payment away between our reading and our step. If they entered one of
    /// their own meanwhile, ours must not stand beside it.
    async fn taken_away(&self, plan: &Plan, payment: i64) -> Result<Trouble, Trouble> {
        let order = self.read_again().await?;
        let theirs = plan.conflict(&order, u32::MAX);
        let mut why = theirs.clone().unwrap_or_else(|| format!("payment {payment} was removed meanwhile"));
        let ours = plan.moves.iter().find_map(|m| match m {
            Move::Create { tag, .. } => order.payments.iter().find(|p| p.external_id.as_deref() == Some(tag)),
            _ => None,
        });
        if let (Some(_), Some(ours)) = (theirs, ours) {
            match self.active.vendors.crm.delete_payment(ours.id).await {
                Ok(_) => {
                    why.push_str(&format!("; our payment {} of {} {} was taken back", ours.id, ours.amount, ours.kind))
                }
                Err(error) => why.push_str(&format!("; our payment {} stands beside it: {error}", ours.id)),
            }
        }
        Ok(Trouble::TakenBack(reason::give_up(reason::PAYMENT_CONFLICT, format!("{why}; meant: {}", plan.words()))))
    }

    /// Enters again what was removed for a payment that RetailCRM then refused.
    async fn put_back(&self, order: &Order, plan: &Plan) -> Came {
        let said = plan.undo.as_deref().unwrap_or_default();
        let mut back = Vec::new();
        for (seen, tag) in plan.to_put_back(order) {
            let was = format!("{} {}", seen.amount, seen.kind);
            if order.payments.iter().any(|p| p.external_id.as_deref() == Some(tag.as_str())) {
                back.push(was);
                continue;
            }
            let old = NewPayment {
                order: order.id,
                kind: seen.kind,
                status: seen.status,
                amount: seen.amount,
                paid_at: seen.paid_at,
                external_id: Some(tag),
                comment: None,
            };
            match self.active.vendors.crm.create_payment(&order.site, &old).await {
                Ok(_) => back.push(was),
                Err(error) if error.class() == Class::Park => {
                    let detail = format!(
                        "payment {} ({was}) was removed and could not be entered again: {error}; {}; RetailCRM: {said}",
                        seen.id,
                        plan.progress_on(order)
                    );
                    return Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_REFUSED, detail)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let detail =
            format!("removed and entered again: {}; tried: {}; RetailCRM: {said}", back.join(", "), plan.words());
        Err(Trouble::TakenBack(reason::give_up(reason::PAYMENT_REFUSED, detail)))
    }
}

/// What came of a step.
enum Done {
    Now,
    /// The payment it is about was gone before: somebody else's doing.
    GoneBefore(i64),
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

fn edited(result: Result<(), CrmError>, payment: i64) -> Result<Done, CrmError> {
    match result {
        Err(CrmError::NotFound { .. }) => Ok(Done::GoneBefore(payment)),
        other => other.map(|()| Done::Now),
    }
}

/// Whether it is the sum that RetailCRM does not take.
fn refuses_the_sum(error: &CrmError) -> bool {
    matches!(error, CrmError::Refused { errors, .. } if errors.iter().any(|line| line.starts_with("amount")))
}

fn refused(error: &CrmError, plan: &Plan, done: usize) -> Trouble {
    Trouble::GiveUp(reason::give_up(reason_of(error), format!("{}; {error}", plan.progress(done))))
}

fn conflict(why: &str, plan: &Plan, order: &Order) -> Trouble {
    Trouble::GiveUp(reason::give_up(reason::PAYMENT_CONFLICT, format!("{why}; {}", plan.progress_on(order))))
}

/// Records what attempts came to, in one commit. What newer facts have overtaken says nothing any
/// more.
async fn conclude(tools: &Tools, done: Vec<(&PaymentMove, Came)>) -> Result<(), Trouble> {
    let (mut rest, mut refused) = (&done[..], None);
    while !rest.is_empty() {
        let mut these = rest.len();
        while let Err(error) = at_once(|| record(tools, &rest[..these])).await {
            if error.is_the_databases() {
                return Err(error.into());
            }
            // One that the database refuses holds up no other.
            if these == 1 {
                refused = Some(error);
                break;
            }
            these /= 2;
        }
        rest = &rest[these..];
    }
    if let Some(error) = refused {
        return Err(error.into());
    }
    let broken = |came| match came {
        Err(trouble @ (Trouble::Halt(_) | Trouble::Store(_))) => Some(trouble),
        _ => None,
    };
    done.into_iter().find_map(|(_, came)| broken(came)).map_or(Ok(()), Err)
}

async fn record(tools: &Tools, done: &[(&PaymentMove, Came)]) -> store::Result<()> {
    let now = tools.clock.now();
    let (mut ends, mut entries, mut postponed) = (Vec::new(), Vec::new(), Vec::new());
    for (row, came) in done {
        let mut end = |state, why: &str, steps, what, text: String| {
            let entry = Entry::new(now, what, text).about(row.integration, row.number.as_str());
            entries.push(entry.orderno(row.orderno.as_str()));
            let taken_back = matches!(came, Err(Trouble::TakenBack(_)));
            ends.push(PaymentEnd { id: row.id, state, why: why.to_owned(), steps, taken_back });
        };
        match came {
            Ok(Settled::Moved(steps, words)) => {
                end(MoveState::Done, "", Some(*steps), What::Crm, format!("payments: {words}"));
            }
            Ok(Settled::Left(why)) => {
                end(MoveState::Nothing, why, None, What::Decision, format!("payments left alone: {why}"));
            }
            Err(Trouble::GiveUp(give_up) | Trouble::TakenBack(give_up)) => {
                let text = format!("payments: gave up ({}, {}) {}", give_up.reason, give_up.fault, give_up.detail);
                end(MoveState::Dead, give_up.reason, None, What::Decision, text);
            }
            Err(Trouble::Later(why)) => postponed.push((row.id, next_try(tools, row.attempt), why.as_str())),
            Err(Trouble::Halt(error)) => postponed.push((row.id, next_try(tools, row.attempt), error.label())),
            Err(Trouble::Overtaken | Trouble::Store(_)) => {}
        }
    }
    let mut tx = tools.store.db.begin().await?;
    let ended = tx.end_payments(&ends, now).await?;
    tx.postpone_payments(&postponed, now).await?;
    let mut settled = Vec::new();
    for (row, came) in done.iter().filter(|(row, _)| ended.contains(&row.id)) {
        match came {
            Ok(_) => settled.push((row.crm_order, row.delivery)),
            Err(Trouble::GiveUp(give_up) | Trouble::TakenBack(give_up)) => {
                let (tries, number) = (row.attempt + 1, &row.number);
                let letter = payment_letter(now, row.integration, Some(row.delivery), number, give_up, tries);
                tx.add_dead_letter(&letter, now).await?;
            }
            Err(_) => {}
        }
    }
    if let Some((row, _)) = done.first() {
        let kind = Kind::SyncPayments.as_str();
        tx.resolve_dead_letters_of_orders(row.integration, &settled, kind, now).await?;
    }
    tx.append_all(&entries).await?;
    tx.commit().await
}
