//! Asking MeaSoft: in turn, through breakers that learn from each answer, and what a failure
//! means for whoever asked.

use anyhow::Context as _;
use shared::domain::{Fault, IntegrationState, PausedBy};
use shared::measoft::{Class, MeasoftError};
use shared::message::{GiveUp, Outcome, RetryWhy};

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

/// An answer for a person who waits for it, and does not try again by themselves.
pub(crate) fn answered<T>(asked: Result<Result<T, MeasoftError>, Outcome>) -> anyhow::Result<T> {
    match asked {
        Ok(answer) => answer.context("MeaSoft cannot be asked"),
        Err(Outcome::RetryLater { why, .. }) => anyhow::bail!("MeaSoft is not asked now: {}", why.as_str()),
        Err(_) => anyhow::bail!("MeaSoft is not asked now"),
    }
}

impl Tools {
    /// Waits for its turn and makes one request; breakers learn from its result.
    pub async fn ask<T>(
        &self,
        active: &ActiveIntegration,
        call: impl Future<Output = Result<T, MeasoftError>>,
    ) -> Result<Result<T, MeasoftError>, Outcome> {
        self.ask_as(active, Priority::Interactive, call).await
    }

    /// The same with a say in who goes first.
    pub async fn ask_as<T>(
        &self,
        active: &ActiveIntegration,
        priority: Priority,
        call: impl Future<Output = Result<T, MeasoftError>>,
    ) -> Result<Result<T, MeasoftError>, Outcome> {
        let account = active.integration.courier_account();
        Ok(self.limiter.pass(&account, priority).await?.make(call).await)
    }

    /// The same for whoever ends with a request that fails.
    pub async fn answer<T>(
        &self,
        active: &ActiveIntegration,
        call: impl Future<Output = Result<T, MeasoftError>>,
    ) -> Result<T, Outcome> {
        match self.ask(active, call).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failure(active, &error).await),
        }
    }

    /// The outcome of a request that failed and changed nothing, or whose class needs no
    /// more knowledge of the order.
    pub async fn failure(&self, active: &ActiveIntegration, error: &MeasoftError) -> Outcome {
        let wait = error.retry_after().and_then(|pause| self.clock.now().checked_add(pause).ok());
        match error.class() {
            Class::Transient => Outcome::retry_at(RetryWhy::CourierUnavailable, wait),
            Class::Blocked { .. } => Outcome::retry_at(RetryWhy::CourierBlocked, wait),
            Class::UnknownOutcome => Outcome::retry_at(RetryWhy::UnknownOutcome, wait),
            Class::Config => self.suspect_credentials(active, error.reason(), error.fault(), &error.to_string()).await,
            Class::Permanent | Class::AlreadyExists | Class::NotFound | Class::Bug => {
                Outcome::GiveUp(GiveUp { reason: error.reason(), fault: error.fault(), detail: error.detail() })
            }
        }
    }

    /// Code 1 is an auth failure in one table and bad XML in the other
    /// (protocols/measoft.md#error-codes): only a failed probe pauses the integration.
    pub async fn suspect_credentials(
        &self,
        active: &ActiveIntegration,
        reason: &'static str,
        fault: Fault,
        detail: &str,
    ) -> Outcome {
        match self.ask(active, active.vendors.courier.probe()).await {
            Err(closed) => closed,
            Ok(Ok(_)) => Outcome::GiveUp(GiveUp { reason, fault, detail: detail.into() }),
            Ok(Err(error)) if error.class() == Class::Config => {
                self.pause(active, PausedBy::Credentials(Fault::Courier), reason).await;
                Outcome::retry(RetryWhy::Paused)
            }
            Ok(Err(_)) => Outcome::retry(RetryWhy::CourierUnavailable),
        }
    }

    /// Stops an integration whose CRM refuses its key.
    pub async fn pause_for_crm(&self, active: &ActiveIntegration, why: &str) {
        self.pause(active, PausedBy::Credentials(Fault::Crm), why).await;
    }

    /// Takes an integration out of work; its commands wait.
    async fn pause(&self, active: &ActiveIntegration, by: PausedBy, reason: &str) {
        let state = IntegrationState::Paused { by, reason: reason.to_owned() };
        match self.store.set_state_as_seen(&active.integration, &state).await {
            Ok(true) => tracing::error!(
                integration = active.id().0,
                by = by.as_str(),
                reason,
                "integration paused: its commands wait; see `bridge integration show`"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "an integration could not be paused"),
        }
    }
}
