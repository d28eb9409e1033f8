//! RetailCRM's references as far as money needs them, kept per integration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::clock::Clock;
use shared::domain::IntegrationId;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::{CrmError, DeliveryType, IntegrationModule, ModuleSettings, PaymentStatus, PaymentType};

use crate::vendor::ActiveIntegration;

/// How old the lists may get.
pub(crate) const FRESH: Duration = Duration::from_secs(600);
/// An order that names something unknown has them read anew, but not more often than this.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);

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
    /// Position statuses that cancel; `None` when the account does not show them.
    cancelling: Option<BTreeSet<String>>,
    /// Fields of the delivery block that the module declared when it was registered.
    fields: BTreeSet<String>,
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
            cancelling: None,
            fields: BTreeSet::new(),
            zone: moscow(),
        }
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

fn moscow() -> TimeZone {
    TimeZone::get("Europe/Moscow").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(3)))
}

impl References {
    /// Builds them for tests and for callers that have the parts.
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

    pub fn is_complete(&self, payment_status: &str) -> bool {
        self.complete.contains(payment_status)
    }

    pub fn is_online(&self, payment_type: &str) -> bool {
        self.online.contains(payment_type)
    }

    /// Whether RetailCRM has a payment type of this code. Lists that could not be read deny
    /// nothing.
    pub fn has_type(&self, payment_type: &str) -> bool {
        self.types.is_empty() || self.types.contains(payment_type)
    }

    /// The same for payment statuses.
    pub fn has_status(&self, payment_status: &str) -> bool {
        self.statuses.is_empty() || self.statuses.contains(payment_status)
    }

    /// Adds online payment types, for tests and for callers that have the parts.
    pub fn with_online(mut self, types: &[&str]) -> Self {
        self.online.extend(types.iter().map(|code| (*code).to_owned()));
        self
    }

    /// Adds the codes that RetailCRM has, for tests and for callers that have the parts.
    pub fn with_codes(mut self, types: &[&str], statuses: &[&str]) -> Self {
        self.types.extend(types.iter().map(|code| (*code).to_owned()));
        self.statuses.extend(statuses.iter().map(|code| (*code).to_owned()));
        self
    }

    /// Cash on delivery for this delivery type as RetailCRM says it: the module's «Способы
    /// оплаты» first, and alone once one of them is ticked; else the delivery type. `None` when
    /// neither names the payment type.
    pub fn cod(&self, delivery_type: &str, payment_type: &str) -> Option<bool> {
        let ticked = self.module_cod.values().any(|cod| *cod).then_some(false);
        if let Some(cod) = self.module_cod.get(payment_type).copied().or(ticked) {
            return Some(cod);
        }
        self.type_cod.get(delivery_type).and_then(|types| types.get(payment_type)).copied().flatten()
    }

    /// What a type usually is where RetailCRM says nothing: the codes every installation has
    /// (protocols/retailcrm.md#payment-codes), and types of online-payment modules.
    pub fn usual_cod(&self, payment_type: &str) -> Option<bool> {
        match payment_type {
            _ if self.is_online(payment_type) => Some(false),
            "cash" | "bank-card" => Some(true),
            "bank-transfer" | "e-money" | "credit" => Some(false),
            _ => None,
        }
    }

    /// Whether a position in this status is cancelled (`cancelStatus` of the reference of
    /// position statuses; without it the codes that say so).
    pub fn is_cancelling(&self, item_status: &str) -> bool {
        match &self.cancelling {
            Some(codes) => codes.contains(item_status),
            None => matches!(item_status, "cancel" | "canceled" | "cancelled"),
        }
    }

    /// Adds cancelling position statuses, for tests and for callers that have the parts.
    pub fn with_cancelling(mut self, codes: &[&str]) -> Self {
        self.cancelling.get_or_insert_default().extend(codes.iter().map(|code| (*code).to_owned()));
        self
    }

    /// The values of fields that the module declared, as an earlier release may have: RetailCRM
    /// takes no others (protocols/retailcrm.md#tracking).
    pub fn declared(&self, mut fields: BTreeMap<String, String>) -> BTreeMap<String, String> {
        fields.retain(|code, _| self.fields.contains(code));
        fields
    }

    /// Adds declared fields, for tests and for callers that have the parts.
    pub fn with_fields(mut self, codes: impl IntoIterator<Item = String>) -> Self {
        self.fields.extend(codes);
        self
    }

    /// Whether every payment of an order is of a type and status known here.
    pub fn cover(&self, order: &Order) -> bool {
        order.payments.iter().all(|p| {
            self.types.contains(&p.kind) && p.status.as_ref().is_none_or(|status| self.statuses.contains(status))
        })
    }

    async fn read(active: &ActiveIntegration, module_code: &str) -> Result<Self, CrmError> {
        let crm = &active.vendors.crm;
        let statuses = crm.payment_statuses().await?;
        let types = crm.payment_types().await?;
        let delivery_types = crm.delivery_types().await?;
        // Without a registered module, or without the right to see it, the delivery types decide.
        let module = match crm.module(&active.integration.code(module_code)).await {
            Ok(module) => Some(module),
            Err(error) if error.class() == Class::Retry => return Err(error),
            Err(_) => None,
        };
        // Installations and keys without this reference exist; its absence holds no order up.
        let cancelling = match crm.product_statuses().await {
            Ok(statuses) => Some(statuses.into_iter().filter(|s| s.cancels).map(|s| s.code).collect()),
            Err(error) if error.class() == Class::Retry => return Err(error),
            Err(_) => None,
        };
        let zone = match crm.settings().await {
            Ok(settings) => {
                settings.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(moscow)
            }
            Err(CrmError::NotFound { .. } | CrmError::Refused { .. } | CrmError::AccessDenied { .. }) => moscow(),
            Err(error) => return Err(error),
        };
        let settings = module.as_ref().and_then(IntegrationModule::settings);
        let fields = module
            .as_ref()
            .and_then(|module| module.integrations.delivery.as_ref())
            .map(|delivery| delivery.delivery_data_field_list.iter().map(|field| field.code.clone()).collect())
            .unwrap_or_default();
        Ok(Self { cancelling, fields, zone, ..Self::of_lists(statuses, types, delivery_types, settings) })
    }

    /// Of lists that were read.
    pub fn of_lists(
        statuses: Vec<PaymentStatus>,
        types: Vec<PaymentType>,
        delivery_types: Vec<DeliveryType>,
        module: Option<&ModuleSettings>,
    ) -> Self {
        Self {
            complete: statuses.iter().filter(|s| s.payment_complete).map(|s| s.code.clone()).collect(),
            statuses: statuses.into_iter().map(|s| s.code).collect(),
            online: types.iter().filter(|t| t.integration_module).map(|t| t.code.clone()).collect(),
            types: types.into_iter().map(|t| t.code).collect(),
            module_cod: module
                .map(|settings| {
                    // A type that is not used with this delivery is one nobody has spoken of.
                    let spoken = settings.payment_types.iter().filter(|p| p.active || p.cod);
                    spoken.map(|p| (p.code.clone(), p.cod)).collect()
                })
                .unwrap_or_default(),
            type_cod: delivery_types
                .into_iter()
                .map(|d| (d.code, d.payment_types.into_iter().map(|p| (p.code, p.cod)).collect()))
                .collect(),
            ..Self::default()
        }
    }
}

/// Lists, when they were read, and for which version of the integration.
type CachedLists = (Arc<References>, Timestamp, i64);

/// The turn to read one integration's lists, and how the last reading failed.
type Turn = Arc<tokio::sync::Mutex<Option<(CrmError, Timestamp)>>>;

/// The lists of all integrations a process works for. Each is read by one at a time, so that a
/// batch of new orders does not ask twice; nobody waits for another integration's.
#[derive(Default)]
pub struct ReferenceCache {
    kept: Mutex<HashMap<IntegrationId, CachedLists>>,
    turns: Mutex<HashMap<IntegrationId, Turn>>,
}

impl ReferenceCache {
    /// What is kept, however old; asks nobody.
    pub fn latest(&self, id: IntegrationId) -> Option<Arc<References>> {
        self.kept.lock().expect("never poisoned").get(&id).map(|(references, ..)| references.clone())
    }

    fn fresh(&self, active: &ActiveIntegration, since: Timestamp) -> Option<Arc<References>> {
        let kept = self.kept.lock().expect("never poisoned");
        let (references, at, version) = kept.get(&active.id())?;
        (*at >= since && *version == active.integration.version).then(|| references.clone())
    }

    fn turn(&self, id: IntegrationId) -> Turn {
        self.turns.lock().expect("never poisoned").entry(id).or_default().clone()
    }

    /// Lists no older than `age`. Yesterday's are better than none: they serve while others
    /// are being read, and for a while after that failed.
    pub(crate) async fn get(
        &self,
        clock: &Clock,
        active: &ActiveIntegration,
        module: &str,
        age: Duration,
    ) -> Result<Arc<References>, CrmError> {
        let now = clock.now();
        let since = before(now, age);
        if let Some(fresh) = self.fresh(active, since) {
            return Ok(fresh);
        }
        let Some(old) = self.latest(active.id()) else { return self.read_since(clock, active, module, since).await };
        match self.turn(active.id()).try_lock() {
            Ok(last) if last.as_ref().is_some_and(|(_, at)| *at > before(now, AGAIN)) => return Ok(old),
            Ok(_) => {}
            Err(_) => return Ok(old),
        }
        Ok(self.read_since(clock, active, module, since).await.unwrap_or(old))
    }

    pub(crate) async fn read_since(
        &self,
        clock: &Clock,
        active: &ActiveIntegration,
        module: &str,
        since: Timestamp,
    ) -> Result<Arc<References>, CrmError> {
        let now = clock.now();
        if let Some(fresh) = self.fresh(active, since) {
            return Ok(fresh);
        }
        let turn = self.turn(active.id());
        let mut last = turn.lock().await;
        if let Some(fresh) = self.fresh(active, since) {
            return Ok(fresh);
        }
        // Who waited for a reading that failed does not wait for another.
        if let Some((error, at)) = &*last
            && *at >= now
        {
            return Err(error.clone());
        }
        match References::read(active, module).await {
            Ok(read) => {
                let read = Arc::new(read);
                let entry = (read.clone(), now, active.integration.version);
                self.kept.lock().expect("never poisoned").insert(active.id(), entry);
                *last = None;
                Ok(read)
            }
            Err(error) => {
                *last = Some((error.clone(), clock.now()));
                Err(error)
            }
        }
    }
}
