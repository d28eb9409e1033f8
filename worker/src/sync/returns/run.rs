//! Writes what is decided about orders' positions, one integration at a time.

use shared::message::{Change, Command, Envelope, GiveUp, Kind, Needless, Outcome};
use shared::phrases::Details;
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::line_returns::{LineReturns, ReturnsState};
use shared::story::Event;
use shared::{reason, store};

use crate::order::report;
use crate::sync::guard::LeaseGuard;
use crate::sync::returns::decide::{AllWritten, Decision, Question};
use crate::sync::returns::facts::Lines;
use crate::sync::{internal, next_try};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Rows that are looked at together.
const BATCH: u32 = 50;

/// Why the rest waits.
enum Halt {
    Crm(CrmError),
    Store(store::StoreError),
    /// Another does it, or newer facts have come.
    Overtaken,
}

impl From<store::StoreError> for Halt {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// What came of one row.
enum Came {
    Written(Decision),
    Fits(Decision),
    GiveUp(GiveUp),
}

/// Writes whatever waits of an integration.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    match tools.store.next_returns_due(active.id()).await {
        Ok(Some(due)) if due <= tools.clock.now() => {}
        Ok(_) => return Outcome::AlreadyDone(Needless::NothingWaits),
        Err(_) => return internal(),
    }
    let guard = match LeaseGuard::take(tools, &format!("returns|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded(Needless::OthersTurn),
        Err(_) => return internal(),
    };
    let outcome = match all(&Writing { tools, active, guard: &guard }).await {
        Ok(()) => Outcome::Done(Change::Synced),
        Err(Halt::Crm(error)) => report::failure(tools, active, &error).await,
        Err(Halt::Overtaken) => Outcome::Superseded(Needless::OthersTurn),
        Err(Halt::Store(error)) => {
            tracing::warn!(%error, "results of lines wait for the database");
            internal()
        }
    };
    guard.release().await;
    outcome
}

async fn all(writing: &Writing<'_>) -> Result<(), Halt> {
    let Writing { tools, active, .. } = writing;
    loop {
        let due = tools.store.due_returns(active.id(), BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut rest = due.as_slice();
        while let Some((row, others)) = rest.split_first() {
            match writing.one(row).await {
                Ok(()) => rest = others,
                // One order that cannot be edited now holds up no other; an account that cannot be
                // asked at all rests soon.
                Err(Halt::Crm(error)) if error.class() == Class::Retry && !concerns_all(&error) => {
                    tools.store.postpone_returns(&[row.id], next_try(tools, row.attempt)).await?;
                    rest = others;
                }
                Err(Halt::Crm(error)) => {
                    // The account as a whole fails: everything due waits a moment.
                    let ids: Vec<i64> = rest.iter().map(|row| row.id).collect();
                    tools.store.postpone_returns(&ids, next_try(tools, row.attempt)).await?;
                    return Err(Halt::Crm(error));
                }
                Err(halt) => return Err(halt),
            }
        }
    }
}

const fn concerns_all(error: &CrmError) -> bool {
    matches!(error, CrmError::Resting { .. } | CrmError::RateLimited { .. } | CrmError::Unreachable { .. })
}

struct Writing<'a> {
    tools: &'a Tools,
    active: &'a ActiveIntegration,
    guard: &'a LeaseGuard,
}

impl Writing<'_> {
    async fn one(&self, row: &LineReturns) -> Result<(), Halt> {
        let came = match self.carry_out(row).await {
            Ok(came) => came,
            Err(Halt::Crm(error)) if error.class() == Class::Park => Came::GiveUp(given_up(&error)),
            Err(halt) => return Err(halt),
        };
        Ok(self.conclude(row, came).await?)
    }

    /// The order is read right before its edit, which names every position.
    async fn carry_out(&self, row: &LineReturns) -> Result<Came, Halt> {
        let unread = || Came::GiveUp(reason::give_up(reason::INTERNAL, Details::NONE));
        let Ok(lines) = serde_json::from_str::<Lines>(&row.facts) else { return Ok(unread()) };
        let written: AllWritten = match row.written.as_deref().map(serde_json::from_str).transpose() {
            Ok(written) => written.unwrap_or_default(),
            Err(_) => return Ok(unread()),
        };
        let (tools, active) = (self.tools, self.active);
        let references = References::of(tools, active).await.map_err(Halt::Crm)?;
        let order: Order = active.vendors.crm.order(row.crm_order).await.map_err(Halt::Crm)?;
        let decision = Question {
            order: &order,
            settings: &active.integration.settings,
            references: &references,
            code: &active.integration.code(&tools.module_code),
            lines: &lines,
            written: &written,
        }
        .decide();
        if !decision.is_to_write() {
            return Ok(Came::Fits(decision));
        }
        let text = serde_json::to_string(&decision.written(&written)).expect("positions serialise");
        let now = tools.clock.now();
        let begun = tools.store.under_lease(&self.guard.lease, async |tx| tx.begin_returns(row, &text, now).await);
        if begun.await? != Some(true) {
            return Err(Halt::Overtaken);
        }
        active.vendors.crm.edit_order(order.id, &order.site, decision.patch(&order)).await.map_err(Halt::Crm)?;
        Ok(Came::Written(decision))
    }

    async fn conclude(&self, row: &LineReturns, came: Came) -> store::Result<()> {
        let (tools, now) = (self.tools, self.tools.clock.now());
        let (what, mut story, give_up) = match came {
            Came::Written(decision) => {
                (What::Crm, vec![Event::LinesWritten { changes: decision.told() }], unclear(decision))
            }
            Came::Fits(decision) => match unclear(decision) {
                None => (What::Decision, vec![Event::LinesFit], None),
                some => (What::Decision, Vec::new(), some),
            },
            Came::GiveUp(give_up) => (What::Decision, Vec::new(), Some(give_up)),
        };
        let mut tx = tools.store.db.begin().await?;
        let state = if give_up.is_some() { ReturnsState::Dead } else { ReturnsState::Done };
        if tx.end_returns(row, state, now).await? {
            match &give_up {
                Some(give_up) => {
                    story.push(Event::LinesGaveUp { reason: give_up.reason.into(), fault: give_up.fault });
                    story.push(Event::Figures { detail: give_up.detail.clone() });
                    tx.add_dead_letter(&letter(self.tools, row, give_up.clone()), now).await?;
                }
                None => {
                    let order = [(row.crm_order, row.delivery)];
                    let kind = Kind::SyncReturns.as_str();
                    tx.resolve_dead_letters_of_orders(row.integration, &order, kind, now).await?;
                }
            }
        }
        if !story.is_empty() {
            let entry = Entry::of(now, what, story).about(row.integration, row.number.as_str());
            tx.append_all(&[entry.orderno(row.orderno.as_str())]).await?;
        }
        tx.commit().await
    }
}

fn unclear(decision: Decision) -> Option<GiveUp> {
    (!decision.unclear.is_empty()).then(|| reason::give_up(reason::RETURNS_UNCLEAR, decision.unclear))
}

fn letter(tools: &Tools, row: &LineReturns, give_up: GiveUp) -> NewDeadLetter {
    let envelope = Envelope::new(Command::SyncReturns {}, Some(row.integration), tools.clock.now());
    let (delivery, number) = (Some(row.delivery), Some(row.number.clone()));
    NewDeadLetter { delivery, number, tries: row.attempt + 1, ..NewDeadLetter::of(&envelope, give_up) }
}

fn given_up(error: &CrmError) -> GiveUp {
    let reason = match error {
        CrmError::AccessDenied { .. } => reason::CRM_SCOPE_MISSING,
        CrmError::NotFound { .. } => reason::ORDER_NOT_FOUND,
        CrmError::Unreadable(_) => reason::UNREADABLE_ORDER,
        _ => reason::RETURNS_REFUSED,
    };
    reason::give_up(reason, error.detail())
}
