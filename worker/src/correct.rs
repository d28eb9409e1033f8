//! Setting one order right for an operator or a manager: what RetailCRM says is read, the new
//! values are checked and kept, and MeaSoft is brought in line with them like after any trigger.

use std::sync::Arc;

use shared::config::Config;
use shared::ctx::Ctx;
use shared::domain::{CorrectedField, CrmOrderId, Integration, IntegrationId, OrderNumber};
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::order::Order;
use shared::store::audit::Who;
use shared::store::corrections::{Corrected, Correction, NewCorrections, Values};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::Journal;
use shared::store::{Store, StoreError};

use crate::order::correction::{checked, lay, lay_over, said};
use crate::order::saved_request::SavedRequest;
use crate::vendor::connect::Clients;
use crate::vendor::{Connect as _, Vendors};

/// Why an order was not set right.
#[derive(Debug, thiserror::Error)]
pub enum NotCorrected {
    #[error("RetailCRM has no order «{0}» of this integration")]
    NotFound(OrderNumber),
    #[error("several orders bear the number «{0}» (RetailCRM ids {1}): nothing tells which one is meant")]
    Several(OrderNumber, String),
    #[error("{}: {why}", field.as_str())]
    Refused { field: CorrectedField, why: &'static str },
    #[error("nothing would be different: the order says so already")]
    Nothing,
    #[error("RetailCRM cannot be asked")]
    Crm(#[from] CrmError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An order to be set right, as it is now.
pub struct Corrigible {
    pub integration: IntegrationId,
    /// As RetailCRM says, with what a `save` said of it.
    order: Order,
    /// Those that hold.
    pub corrections: Vec<Correction>,
    /// The newest version there is; 0: none.
    pub version: i64,
}

impl Corrigible {
    /// Reads the order that bears a number, by clients of its own.
    ///
    /// # Errors
    /// [`NotCorrected`] when there is none, or more than one, or nobody can be asked.
    pub async fn find(
        config: &Arc<Config>,
        store: &Store,
        integration: &Integration,
        number: &OrderNumber,
    ) -> anyhow::Result<Self> {
        let ctx = Ctx::new(config.clone(), store.clone());
        let journal = Journal::start(store.clone());
        let clients = Clients::new(config, store.clone(), journal.clone(), ctx.metrics.clone())?;
        let vendors = clients.connect(integration).map_err(anyhow::Error::msg)?;
        let instance = integration.code(&config.module_code);
        let found = Self::read(store, integration, &vendors, number, &instance).await;
        journal.flush().await;
        Ok(found?)
    }

    /// [`Corrigible::find`] by clients that are there. `instance`: the code of our module.
    ///
    /// # Errors
    /// [`NotCorrected`] when there is none, or more than one.
    pub async fn read(
        store: &Store,
        integration: &Integration,
        vendors: &Vendors,
        number: &OrderNumber,
        instance: &str,
    ) -> Result<Self, NotCorrected> {
        let read = vendors.crm.orders_by_numbers(std::slice::from_ref(number)).await?;
        let types = &integration.settings.delivery_types;
        let mut found = Vec::new();
        for order in read.into_iter().flatten() {
            let known = store.delivery_by_order(integration.id, order.id).await?;
            let of_here = order.delivery.code.as_ref().is_some_and(|code| types.contains(code))
                || order.delivery.integration_code.as_deref() == Some(instance);
            if known.is_some() || of_here {
                found.push((order, known));
            }
        }
        let (order, known) = match <[_; 1]>::try_from(found) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => return Err(NotCorrected::NotFound(number.clone())),
            Err(several) => {
                let ids: Vec<String> = several.iter().map(|(order, _)| order.id.to_string()).collect();
                return Err(NotCorrected::Several(number.clone(), ids.join(", ")));
            }
        };
        let order = match &known {
            Some(d) => {
                let saved_request = SavedRequest::of_delivery(d);
                let saved = saved_request.saved(integration.id, order.id, &store.key);
                saved_request.over(&order, saved.as_ref(), instance, store.clock.now()).0
            }
            None => order,
        };
        let corrections = store.corrections(integration.id, &[order.id]).await?;
        let version = corrections.iter().map(|one| one.version).max().unwrap_or(0);
        let corrections = corrections.into_iter().filter(|one| said(&order, one.field) == one.values.before).collect();
        Ok(Self { integration: integration.id, order, corrections, version })
    }

    pub const fn id(&self) -> CrmOrderId {
        self.order.id
    }

    /// What is used of a field now.
    pub fn used(&self, field: CorrectedField) -> String {
        let mut order = self.order.clone();
        lay_over(&mut order, &self.corrections);
        said(&order, field)
    }

    /// Keeps new values and asks for what follows from them. `seen`: the newest version that whoever
    /// corrects has looked at.
    ///
    /// # Errors
    /// [`NotCorrected`] when one of the values cannot be used, or none differs.
    pub async fn correct(
        &self,
        store: &Store,
        given: &[(CorrectedField, String)],
        seen: i64,
        who: &Who,
    ) -> Result<Corrected, NotCorrected> {
        let mut values = Vec::new();
        for (field, text) in given {
            let field = *field;
            let after = checked(&self.order, field, text).map_err(|why| NotCorrected::Refused { field, why })?;
            let mut made = self.order.clone();
            lay(&mut made, field, &after);
            if said(&made, field) != self.used(field) {
                values.push((field, Values { before: said(&self.order, field), after }));
            }
        }
        if values.is_empty() {
            return Err(NotCorrected::Nothing);
        }
        let now = store.clock.now();
        let number = &self.order.number;
        let request = OrderRequest {
            order: Some(self.order.id),
            ..OrderRequest::at(now, self.integration, number.clone(), RequestKind::Update)
        };
        let (integration, order) = (self.integration, self.order.id);
        let new = NewCorrections { integration, order, number: number.as_str().to_owned(), values, seen };
        Ok(store.correct(&new, &request, who).await?)
    }
}
