//! RetailCRM's references as far as money needs them, kept per integration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::IntegrationId;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::{CrmError, IntegrationModule};

use crate::ports::{Shop, Tools};

/// How old the lists may get.
const FRESH: Duration = Duration::from_secs(600);
/// An order that names something unknown has them read anew, but not more often than this.
const AGAIN: Duration = Duration::from_secs(30);

/// What counts as paid, and what is cash on delivery.
#[derive(Debug, Clone)]
pub struct References {
    complete: BTreeSet<String>,
    statuses: BTreeSet<String>,
    types: BTreeSet<String>,
    /// Payment types that belong to an online-payment module.
    online: BTreeSet<String>,
    /// The module's own «Способы оплаты».
    module_cod: BTreeMap<String, bool>,
    /// Delivery type → payment type → cash on delivery.
    type_cod: BTreeMap<String, BTreeMap<String, Option<bool>>>,
    pub zone: TimeZone,
}

impl Default for References {
    fn default() -> Self {
        Self {
            complete: BTreeSet::from(["paid".to_owned()]),
            statuses: BTreeSet::new(),
            types: BTreeSet::new(),
            online: BTreeSet::new(),
            module_cod: BTreeMap::new(),
            type_cod: BTreeMap::new(),
            zone: moscow(),
        }
    }
}

fn moscow() -> TimeZone {
    TimeZone::get("Europe/Moscow").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(3)))
}

impl References {
    /// Builds them for tests and for callers that have the parts.
    #[must_use]
    pub fn with(complete: &[&str], type_cod: &[(&str, &str, Option<bool>)], module_cod: &[(&str, bool)]) -> Self {
        let mut made = Self {
            complete: complete.iter().map(|s| (*s).to_owned()).collect(),
            module_cod: module_cod.iter().map(|(code, cod)| ((*code).to_owned(), *cod)).collect(),
            ..Self::default()
        };
        for (delivery_type, payment_type, cod) in type_cod {
            made.type_cod.entry((*delivery_type).to_owned()).or_default().insert((*payment_type).to_owned(), *cod);
        }
        made
    }

    #[must_use]
    pub fn is_complete(&self, payment_status: &str) -> bool {
        self.complete.contains(payment_status)
    }

    #[must_use]
    pub fn is_online(&self, payment_type: &str) -> bool {
        self.online.contains(payment_type)
    }

    /// Whether RetailCRM has a payment type of this code. Lists that could not be read deny
    /// nothing.
    #[must_use]
    pub fn has_type(&self, payment_type: &str) -> bool {
        self.types.is_empty() || self.types.contains(payment_type)
    }

    /// The same for payment statuses.
    #[must_use]
    pub fn has_status(&self, payment_status: &str) -> bool {
        self.statuses.is_empty() || self.statuses.contains(payment_status)
    }

    /// Adds online payment types, for tests and for callers that have the parts.
    #[must_use]
    pub fn with_online(mut self, types: &[&str]) -> Self {
        self.online.extend(types.iter().map(|code| (*code).to_owned()));
        self
    }

    /// Adds the codes that RetailCRM has, for tests and for callers that have the parts.
    #[must_use]
    pub fn with_codes(mut self, types: &[&str], statuses: &[&str]) -> Self {
        self.types.extend(types.iter().map(|code| (*code).to_owned()));
        self.statuses.extend(statuses.iter().map(|code| (*code).to_owned()));
        self
    }

    /// Cash on delivery for this delivery type: what the module's settings say, else the
    /// delivery type, else `cash` and `bank-card` (design §3 «Money»).
    #[must_use]
    pub fn is_cod(&self, delivery_type: &str, payment_type: &str) -> bool {
        if let Some(cod) = self.module_cod.get(payment_type) {
            return *cod;
        }
        let said = self.type_cod.get(delivery_type).and_then(|types| types.get(payment_type)).copied().flatten();
        said.unwrap_or(matches!(payment_type, "cash" | "bank-card"))
    }

    /// Whether every payment of an order is of a type and status known here.
    #[must_use]
    pub fn cover(&self, order: &Order) -> bool {
        order.payments.iter().all(|p| {
            self.types.contains(&p.kind) && p.status.as_ref().is_none_or(|status| self.statuses.contains(status))
        })
    }

    /// The kept lists of an integration, read when they are old.
    ///
    /// # Errors
    /// [`CrmError`] when there are none yet and they cannot be read.
    pub async fn of(tools: &Tools, shop: &Shop) -> Result<Arc<Self>, CrmError> {
        tools.references.get(tools.clock.now(), shop, &tools.module_code, FRESH).await
    }

    /// The same after an order named something they do not have.
    ///
    /// # Errors
    /// As [`References::of`].
    pub async fn reread(tools: &Tools, shop: &Shop) -> Result<Arc<Self>, CrmError> {
        tools.references.get(tools.clock.now(), shop, &tools.module_code, AGAIN).await
    }

    async fn read(shop: &Shop, module_code: &str) -> Result<Self, CrmError> {
        let crm = &shop.vendors.crm;
        let statuses = crm.payment_statuses().await?;
        let types = crm.payment_types().await?;
        let delivery_types = crm.delivery_types().await?;
        // Without a registered module, or without the right to see it, the delivery types decide.
        let module = match crm.module(&shop.integration.code(module_code)).await {
            Ok(module) => Some(module),
            Err(error) if error.class() == Class::Retry => return Err(error),
            Err(_) => None,
        };
        let module_cod = module
            .as_ref()
            .and_then(IntegrationModule::settings)
            .map(|settings| settings.payment_types.iter().map(|p| (p.code.clone(), p.cod)).collect())
            .unwrap_or_default();
        let zone = match crm.settings().await {
            Ok(settings) => {
                settings.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(moscow)
            }
            Err(CrmError::NotFound { .. } | CrmError::Refused { .. } | CrmError::AccessDenied { .. }) => moscow(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            complete: statuses.iter().filter(|s| s.payment_complete).map(|s| s.code.clone()).collect(),
            statuses: statuses.into_iter().map(|s| s.code).collect(),
            online: types.iter().filter(|t| t.integration_module).map(|t| t.code.clone()).collect(),
            types: types.into_iter().map(|t| t.code).collect(),
            module_cod,
            type_cod: delivery_types
                .into_iter()
                .map(|d| (d.code, d.payment_types.into_iter().map(|p| (p.code, p.cod)).collect()))
                .collect(),
            zone,
        })
    }
}

/// Lists, when they were read, and for which version of the integration.
type Kept = (Arc<References>, Timestamp, i64);

/// The lists of all integrations a process works for.
#[derive(Default)]
pub struct ReferenceCache {
    kept: Mutex<HashMap<IntegrationId, Kept>>,
    /// One reading at a time: a batch of new orders must not ask twice.
    reading: tokio::sync::Mutex<()>,
}

impl ReferenceCache {
    /// What is kept, however old; asks nobody.
    #[must_use]
    pub fn latest(&self, id: IntegrationId) -> Option<Arc<References>> {
        self.kept.lock().expect("never poisoned").get(&id).map(|(references, ..)| references.clone())
    }

    fn fresh(&self, now: Timestamp, shop: &Shop, age: Duration) -> Option<Arc<References>> {
        let kept = self.kept.lock().expect("never poisoned");
        let (references, at, version) = kept.get(&shop.id())?;
        let old = now.duration_since(*at).unsigned_abs() >= age;
        (!old && *version == shop.integration.version).then(|| references.clone())
    }

    async fn get(&self, now: Timestamp, shop: &Shop, module: &str, age: Duration) -> Result<Arc<References>, CrmError> {
        if let Some(fresh) = self.fresh(now, shop, age) {
            return Ok(fresh);
        }
        let _one = self.reading.lock().await;
        if let Some(fresh) = self.fresh(now, shop, age) {
            return Ok(fresh);
        }
        match References::read(shop, module).await {
            Ok(read) => {
                let read = Arc::new(read);
                let entry = (read.clone(), now, shop.integration.version);
                self.kept.lock().expect("never poisoned").insert(shop.id(), entry);
                Ok(read)
            }
            Err(error) => {
                // Yesterday's lists are better than none; an order that needs newer ones waits.
                let kept = self.kept.lock().expect("never poisoned").get(&shop.id()).map(|(r, ..)| r.clone());
                kept.ok_or(error)
            }
        }
    }
}
