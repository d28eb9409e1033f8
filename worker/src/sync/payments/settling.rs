//! One order's payment: decided on an order that was read just now, and carried out step by step.

use jiff::ZonedDateTime;
use shared::phrases::{Detail, Details, Payment, Sum, Unsettled};
use shared::reason;
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::wire::payments::{Deleted, NewPayment, PaymentPatch};
use shared::store::payment_moves::{Begun, MoveState, PaymentMove};

use crate::sync::facts::OrderSnapshot;
use crate::sync::payments::decide::{Decision, Question};
use crate::sync::payments::outcome::{Came, Settled, Trouble, reason_of};
use crate::sync::payments::plan::{self, LeftBehind, Move, Plan};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// What is known of a closing beside its order.
pub(super) struct History {
    facts: OrderSnapshot,
    plan: Option<Plan>,
    interrupted: Option<Plan>,
}

/// A plan about to be carried out.
pub(super) struct Planned {
    plan: Plan,
    is_new: bool,
    /// Steps that are done, and those that were begun before.
    done: usize,
    tried: usize,
}

impl Planned {
    /// What is written down before its next step is taken.
    pub(super) fn begun(&self, id: i64) -> Begun {
        let next = if self.plan.undo.is_some() { 0 } else { self.plan.moves.len().min(self.done + 1) };
        let plan = self.is_new.then(|| self.plan.text());
        Begun { id, plan, tried: count(self.tried.max(next)) }
    }
}

/// One closing at work.
pub(super) struct Settling<'a> {
    pub(super) tools: &'a Tools,
    pub(super) active: &'a ActiveIntegration,
    pub(super) references: &'a References,
    pub(super) row: &'a PaymentMove,
}

impl Settling<'_> {
    fn decide(&self, order: &Order, facts: &OrderSnapshot, settled: bool, used: Option<&str>) -> Decision {
        let code = self.active.integration.code(&self.tools.module_code);
        let settings = &self.active.integration.settings;
        let replayed = self.row.replayed;
        Question { order, settings, references: self.references, facts, code: &code, settled, replayed, used }.decide()
    }

    /// What is to be decided about, unless the order shows already that there is nothing to do.
    pub(super) fn look(&self, order: &Order) -> Result<History, Came> {
        let bad = |_| Err(Trouble::GiveUp(reason::give_up(reason::INTERNAL, Detail::PaymentUnread)));
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
    pub(super) fn plan(&self, order: &Order, History { facts, plan, interrupted }: History) -> Result<Planned, Came> {
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
                Some(why) => return Err(Err(conflict(why, &plan, order))),
            }
        }
        self.plan_anew(order, &facts, interrupted)
    }

    async fn read_again(&self) -> Result<Order, Trouble> {
        match self.active.vendors.crm.order(self.row.crm_order).await {
            Err(CrmError::NotFound { .. }) => {
                let detail = Detail::CrmId { id: self.row.crm_order };
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
                    Some(plan) => conflict(why, plan, order),
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
                let paytype = facts.paytype.clone().unwrap_or_default();
                let now =
                    facts.price.map_or(Detail::MeasoftSaysNoSumNow, |sum| Detail::MeasoftSaysNow { sum, paytype });
                let why = Detail::LeftAsItIs { why: Unsettled(give_up.reason.to_owned()) };
                let detail = Details::from([now, why]).and(give_up.detail);
                return Err(Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_CORRECTED, detail))));
            }
            Decision::GiveUp(mut give_up) => {
                if let (Some(id), Some(plan)) = (ours, &interrupted) {
                    let left = Detail::OlderLeft { payment: Payment { id, was: None } };
                    give_up.detail = give_up.detail.and(left).and(plan.progress_on(order));
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
    pub(super) async fn carry_out(&self, order: &Order, planned: Planned) -> Came {
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
                            plan.refused = error.detail();
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
        Ok(Settled::Moved(count(from), plan.steps()))
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
        let removed = || Detail::PaymentRemoved { payment: Payment { id: payment, was: None } };
        let mut why = Details::from(theirs.clone().unwrap_or_else(removed));
        let ours = plan.moves.iter().find_map(|m| match m {
            Move::Create { tag, .. } => order.payments.iter().find(|p| p.external_id.as_deref() == Some(tag)),
            _ => None,
        });
        if let (Some(_), Some(ours)) = (theirs, ours) {
            let payment = plan::payment(ours);
            why = match self.active.vendors.crm.delete_payment(ours.id).await {
                Ok(_) => why.and(Detail::OursTakenBack { payment }),
                Err(error) => why.and(Detail::OursBeside { payment }).and(error.detail()),
            };
        }
        let why = why.and(Detail::StepsMeant { steps: plan.steps() });
        Ok(Trouble::TakenBack(reason::give_up(reason::PAYMENT_CONFLICT, why)))
    }

    /// Enters again what was removed for a payment that RetailCRM then refused.
    async fn put_back(&self, order: &Order, plan: &Plan) -> Came {
        // An earlier release kept the words alone.
        let words = || Details::from(plan.undo.as_deref().unwrap_or_default());
        let said = if plan.refused.is_empty() { words() } else { plan.refused.clone() };
        let mut back = Vec::new();
        for (seen, tag) in plan.to_put_back(order) {
            let was = Sum { sum: seen.amount, kind: seen.kind.clone() };
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
                    let payment = Payment { id: seen.id, was: Some((was.sum, was.kind)) };
                    let failed = Details::from(Detail::NotPutBack { payment }).and(error.detail());
                    let detail = failed.and(plan.progress_on(order)).and(said);
                    return Err(Trouble::GiveUp(reason::give_up(reason::PAYMENT_REFUSED, detail)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let tried = [Detail::PutBack { sums: back }, Detail::StepsTried { steps: plan.steps() }];
        let detail = Details::from(tried).and(said);
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
    Trouble::GiveUp(reason::give_up(reason_of(error), plan.progress(done).and(error.detail())))
}

fn conflict(why: Detail, plan: &Plan, order: &Order) -> Trouble {
    let detail = Details::from(why).and(plan.progress_on(order));
    Trouble::GiveUp(reason::give_up(reason::PAYMENT_CONFLICT, detail))
}
