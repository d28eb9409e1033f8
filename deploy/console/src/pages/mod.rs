//! The pages, one a file, and what they share.

mod audit;
mod budget;
mod causes;
mod compare;
mod correct;
mod edit;
pub mod entry;
mod errand;
mod frame;
mod integrations;
mod letters;
mod now;
mod order;
mod people;
mod preview;
mod replays;
mod shadow;
pub mod sign_in;
mod waiting;

use axum::http::request::Parts as Head;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::routes::What;
use crate::visit::{Stop, Visit};

/// Answers somebody who may.
pub fn respond<'a>(what: What, visit: &'a Visit<'a>, head: &'a Head) -> BoxFuture<'a, Result<Response, Stop>> {
    answer(what, visit, head).boxed()
}

async fn answer(what: What, visit: &Visit<'_>, head: &Head) -> Result<Response, Stop> {
    match what {
        What::Leave => entry::leave(visit, head).await,
        What::Now => now::page(visit).await,
        What::NowCsv => now::csv(visit).await,
        What::Causes => causes::page(visit).await,
        What::CausesCsv => causes::csv(visit).await,
        What::Acknowledge | What::Snooze | What::Wake => causes::say(visit, what).await,
        What::DiscardCause => causes::discard(visit).await,
        What::PlanReplay => replays::plan(visit).await,
        What::Replays => replays::list(visit).await,
        What::ReplayOf => replays::page(visit).await,
        What::StartReplay | What::StopReplay | What::PaceReplay => replays::turn(visit, what).await,
        What::Letters => letters::page(visit).await,
        What::LettersCsv => letters::csv(visit).await,
        What::Replay => letters::replay(visit).await,
        What::Discard => letters::discard(visit).await,
        What::Waiting => waiting::page(visit).await,
        What::WaitingCsv => waiting::csv(visit).await,
        What::Hurry => waiting::hurry(visit).await,
        What::Drop => waiting::drop(visit).await,
        What::Find => order::find(visit).await,
        What::Order => order::page(visit).await,
        What::Preview => preview::page(visit).await,
        What::AskPreview => preview::ask(visit).await,
        What::AskMeasoft => order::inquire(visit).await,
        What::Correct => correct::correct(visit).await,
        What::Integrations => integrations::list(visit).await,
        What::Integration => integrations::page(visit).await,
        What::Pause | What::Resume => integrations::set_state(visit, what).await,
        What::Sync => integrations::sync(visit).await,
        What::EditForm => edit::form(visit).await,
        What::Edit => edit::edit(visit).await,
        What::Check => integrations::check(visit).await,
        What::Register => integrations::register(visit).await,
        What::RotateKey => integrations::rotate_key(visit).await,
        What::Compare => compare::page(visit).await,
        What::AskCompare => compare::ask(visit).await,
        What::CompareCsv => compare::csv(visit).await,
        What::Repair => compare::repair(visit).await,
        What::Shadow => shadow::page(visit).await,
        What::ShadowCsv => shadow::csv(visit).await,
        What::Budget => budget::page(visit).await,
        What::BudgetCsv => budget::csv(visit).await,
        What::Audit => audit::page(visit).await,
        What::AuditCsv => audit::csv(visit).await,
        What::People => people::page(visit).await,
        What::EndSession => people::end(visit).await,
        What::Style | What::Icon | What::EntryForm | What::Enter | What::SignIn | What::SignedIn => Err(Stop::NotFound),
    }
}
