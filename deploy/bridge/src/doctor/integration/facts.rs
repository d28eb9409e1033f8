//! What is found out about one integration, here and at both vendors.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bridge_worker::jobs;
use bridge_worker::vendor::connect::Clients;
use bridge_worker::vendor::{Connect as _, Vendors, held};
use jiff::Timestamp;
use serde_json::Value;
use shared::config::Config;
use shared::domain::crm_account::Access;
use shared::domain::{Integration, IntegrationId};
use shared::measoft::MeasoftError;
use shared::retailcrm::{Credentials, CrmError, DeliveryType, IntegrationModule, Order};
use shared::store::Store;
use shared::store::audit::{Act, AuditFilter};
use shared::store::breakers::Held;
use shared::store::dead_letters::{DeadFilter, DeadLetter, DeadState};
use shared::{reason, trigger_forms};

use crate::doctor::integration::references::References;
use crate::doctor::integration::{in_use, towns};

/// How far back it is looked for statuses that the stream has not brought.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// What was seen for the last time before that is not in use any more.
const IN_USE: Duration = Duration::from_secs(30 * 24 * 3600);

pub struct Facts {
    pub integration: Integration,
    /// Instance code, `measoft-1`.
    pub code: String,
    pub module_code: String,
    pub public_url: String,
    pub widget: Widget,
    /// What RetailCRM said when it refused to notify its users.
    pub refused_to_notify: Option<String>,
    /// What the vendors say, or why their clients could not be made.
    pub vendors: Result<Answers, String>,
    /// Other integrations of the same RetailCRM account.
    pub siblings: Vec<Sibling>,
    /// Integrations with the same RetailCRM address and another key, of which nothing shows that
    /// they are of the same account.
    pub strangers: Vec<i64>,
    pub letters: Letters,
    /// Status codes of the last [`IN_USE`] that nothing maps.
    pub unmapped_statuses: Vec<String>,
    /// Towns of the last 30 days that MeaSoft's list does not have, or several times.
    pub towns: towns::Unmapped,
    /// Statuses of the last week that a look at the orders brought, and the stream had not.
    pub missed_by_stream: i64,
    /// What a worker leaves alone for now: an address or account of this integration's.
    pub held: Vec<Held>,
    /// Unserved orders, and since when the oldest due one has been due.
    pub waiting: (i64, Option<Timestamp>),
    pub now: Timestamp,
}

/// The order card's widget.
pub struct Widget {
    /// `WIDGET_DIR`.
    pub folder: Option<PathBuf>,
    pub is_built: bool,
    /// What our last registration came to, a word of `WidgetState`.
    pub registered: Option<String>,
}

impl Widget {
    async fn of(config: &Config, store: &Store, id: IntegrationId) -> Self {
        let filter =
            AuditFilter { integration: Some(id), act: Some(Act::Registered), limit: 1, ..AuditFilter::default() };
        let last = store.audit(&filter).await.ok().and_then(|all| all.into_iter().next());
        let after: Option<Value> = last.and_then(|entry| serde_json::from_str(&entry.after).ok());
        Self {
            folder: config.widget_dir.clone(),
            is_built: config.widget_dir.as_deref().is_some_and(shared::widget::is_built),
            registered: after.and_then(|after| after["widget"].as_str().map(str::to_owned)),
        }
    }
}

/// An integration of the same RetailCRM account.
pub struct Sibling {
    pub id: i64,
    pub code: String,
    /// Of its settings.
    pub delivery_types: Vec<String>,
}

pub struct Answers {
    pub crm: Result<CrmSide, CrmError>,
    /// The client's code.
    pub courier: Result<String, MeasoftError>,
}

/// What the RetailCRM account says.
pub struct CrmSide {
    pub credentials: Credentials,
    pub references: Result<References, CrmError>,
    /// `None`: not registered.
    pub module: Result<Option<IntegrationModule>, CrmError>,
    /// Orders of the last 30 days.
    pub recent: Result<Vec<Order>, CrmError>,
}

/// What the dead letters tell.
#[derive(Default)]
pub struct Letters {
    pub open: usize,
    /// Rights for the lack of which RetailCRM denied a call that is an open letter.
    pub denied: BTreeSet<&'static str>,
    /// Edits and cancellations that our setting refused, ever.
    pub refused_by_setting: usize,
    /// Edits and cancellations that MeaSoft refused with a code of its own.
    pub refused_by_courier: usize,
}

impl Letters {
    fn of(all: &[DeadLetter]) -> Self {
        let mut told = Self::default();
        for dead in all {
            let is_open = dead.state == DeadState::Open;
            told.open += usize::from(is_open);
            if is_open && matches!(dead.reason.as_str(), reason::CRM_SCOPE_MISSING | reason::CRM_REFUSED) {
                let said = dead.detail.to_string();
                told.denied.extend(Credentials::NEEDED_SCOPES.iter().filter(|scope| said.contains(**scope)));
            }
            told.refused_by_setting += usize::from(dead.reason == reason::EDIT_CANCEL_OFF);
            let changes = matches!(dead.kind.as_str(), "UpdateOrder" | "CancelOrder");
            told.refused_by_courier += usize::from(changes && dead.reason == shared::measoft::codes::UNKNOWN_CODE);
        }
        told
    }
}

pub async fn gather(
    integration: &Integration,
    all: &[Integration],
    config: &Config,
    store: &Store,
    clients: &Clients,
) -> Facts {
    let (id, now, code) = (integration.id, store.clock.now(), integration.code(&config.module_code));
    let ago = |span: Duration| now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
    let access = Access::of(integration);
    let siblings = all.iter().filter(|other| other.id != id && access.is_one_with(&Access::of(other)));
    let letters = DeadFilter { all: true, integration: Some(id), ..DeadFilter::default() };
    let mut unmapped_statuses = store.unmapped_statuses(id, ago(IN_USE)).await.unwrap_or_default();
    unmapped_statuses.retain(|code| !integration.settings.status_map.contains_key(code));
    let vendors = match clients.connect(integration) {
        Err(why) => Err(why),
        Ok(vendors) => {
            let (crm, courier) = tokio::join!(ask_crm(&vendors, integration, &code, now), vendors.courier.probe());
            Ok(Answers { crm, courier })
        }
    };
    Facts {
        integration: integration.clone(),
        code,
        module_code: config.module_code.clone(),
        public_url: config.public_url.clone(),
        widget: Widget::of(config, store, id).await,
        refused_to_notify: jobs::refused_to_notify(store, id).await,
        vendors,
        siblings: siblings
            .map(|other| Sibling {
                id: other.id.0,
                code: other.code(&config.module_code),
                delivery_types: other.settings.delivery_types.clone(),
            })
            .collect(),
        strangers: all.iter().filter(|other| access.is_unclear(&Access::of(other))).map(|other| other.id.0).collect(),
        letters: Letters::of(&store.dead_letters(&letters).await.unwrap_or_default()),
        unmapped_statuses,
        towns: towns::gather(store, id, now).await,
        missed_by_stream: store.missed_by_stream(id, ago(WEEK)).await.unwrap_or_default(),
        held: held::of(store.breakers().await.unwrap_or_default(), integration),
        waiting: store.backlog_of(id).await.unwrap_or((0, None)),
        now,
    }
}

async fn ask_crm(
    vendors: &Vendors,
    integration: &Integration,
    code: &str,
    now: Timestamp,
) -> Result<CrmSide, CrmError> {
    let crm = &vendors.crm;
    let credentials = crm.credentials().await?;
    let references = References::read(crm.as_ref()).await;
    let module = match crm.module(code).await {
        Ok(module) => Ok(Some(module)),
        Err(CrmError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let recent = match &references {
        Ok(references) => {
            let ours = types_of(&integration.settings.delivery_types, code, &references.delivery_types);
            let ours: Vec<String> = ours.into_iter().map(str::to_owned).collect();
            in_use::recent(crm.as_ref(), &ours, now).await
        }
        Err(_) => Ok(Vec::new()),
    };
    Ok(CrmSide { credentials, references, module, recent })
}

/// Which of RetailCRM's delivery types are an integration's.
pub fn types_of<'a>(named: &'a [String], code: &str, all: &'a [DeliveryType]) -> Vec<&'a str> {
    trigger_forms::types_of(named, code, all.iter().map(|t| (t.code.as_str(), t.integration_code.as_deref())))
}
