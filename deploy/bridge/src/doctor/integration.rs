//! One integration: both vendors' credentials and rights, and whether what is set up in
//! RetailCRM fits what is set up here.

use std::collections::BTreeSet;
use std::time::Duration;

use bridge_worker::vendor::connect::Clients;
use bridge_worker::vendor::{Connect as _, Vendors, held};
use jiff::Timestamp;
use shared::config::Config;
use shared::domain::Language;
use shared::domain::crm_account::Access;
use shared::domain::integration::{CodPolicy, PayKind};
use shared::domain::{Fault, Integration, IntegrationState, PausedBy};
use shared::measoft::{Class, MeasoftError, StatusCode, explain};
use shared::retailcrm::{Credentials, CrmError, DeliveryType, IntegrationModule, Order};
use shared::store::Store;
use shared::store::breakers::Held;
use shared::store::dead_letters::{DeadFilter, DeadState};
use shared::telemetry::metrics::BreakerTarget;
use shared::{reason, trigger_forms};

use super::references::References;
use super::say::Say;
use super::setup::is_loopback;
use super::{Finding, in_use, towns};

/// An order that has been due for longer waits for something.
const WAITS_TOO_LONG_MINUTES: i64 = 10;
/// How far back it is looked for statuses that the stream has not brought.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// A few may be missed by a restart of the courier's.
const MISSED: i64 = 3;
/// What was seen for the last time before that is not in use any more.
const IN_USE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Statuses whose mapping a shop surely wants: the ends of a delivery.
const ENDS: [StatusCode; 3] = [StatusCode::Complete, StatusCode::Partially, StatusCode::Canceled];

pub struct Facts {
    pub integration: Integration,
    /// Instance code, `measoft-1`.
    pub code: String,
    pub module_code: String,
    pub public_url: String,
    /// Why the vendors' clients could not be made.
    pub unusable: Option<String>,
    pub crm: Option<Result<CrmSide, CrmError>>,
    /// The client's code.
    pub courier: Option<Result<String, MeasoftError>>,
    /// Other integrations of the same RetailCRM account: id, instance code, delivery types
    /// of their settings.
    pub siblings: Vec<(i64, String, Vec<String>)>,
    /// Integrations with the same RetailCRM address and another key, of which nothing shows that
    /// they are of the same account.
    pub strangers: Vec<i64>,
    /// Open dead letters.
    pub dead: usize,
    /// Rights for the lack of which RetailCRM denied a call that is an open dead letter.
    pub denied: BTreeSet<&'static str>,
    /// Status codes of the last [`IN_USE`] that nothing maps.
    pub unmapped_statuses: Vec<String>,
    /// Edits and cancellations that our setting refused, ever.
    pub refused_by_setting: usize,
    /// Edits and cancellations that MeaSoft refused with a code of its own.
    pub refused_by_courier: usize,
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

/// What the RetailCRM account says.
pub struct CrmSide {
    pub credentials: Credentials,
    pub references: Result<References, CrmError>,
    /// `None`: not registered.
    pub module: Result<Option<IntegrationModule>, CrmError>,
    /// Orders of the last 30 days.
    pub recent: Result<Vec<Order>, CrmError>,
}

pub async fn gather(
    integration: &Integration,
    all: &[Integration],
    config: &Config,
    store: &Store,
    clients: &Clients,
) -> Facts {
    let access = Access::of(integration);
    let mut facts = Facts {
        integration: integration.clone(),
        code: integration.code(&config.module_code),
        module_code: config.module_code.clone(),
        public_url: config.public_url.clone(),
        unusable: None,
        crm: None,
        courier: None,
        siblings: all
            .iter()
            .filter(|other| other.id != integration.id && access.is_one_with(&Access::of(other)))
            .map(|other| (other.id.0, other.code(&config.module_code), other.settings.delivery_types.clone()))
            .collect(),
        strangers: all.iter().filter(|other| access.is_unclear(&Access::of(other))).map(|other| other.id.0).collect(),
        dead: 0,
        denied: BTreeSet::new(),
        unmapped_statuses: Vec::new(),
        refused_by_setting: 0,
        refused_by_courier: 0,
        towns: towns::gather(store, integration.id, store.clock.now()).await,
        missed_by_stream: 0,
        held: held::of(store.breakers().await.unwrap_or_default(), integration),
        waiting: store.backlog_of(integration.id).await.unwrap_or((0, None)),
        now: store.clock.now(),
    };
    let ever = DeadFilter { all: true, integration: Some(integration.id), ..DeadFilter::default() };
    for dead in store.dead_letters(&ever).await.unwrap_or_default() {
        facts.dead += usize::from(dead.state == DeadState::Open);
        if dead.state == DeadState::Open
            && matches!(dead.reason.as_str(), reason::CRM_SCOPE_MISSING | reason::CRM_REFUSED)
        {
            facts.denied.extend(Credentials::NEEDED_SCOPES.iter().filter(|scope| dead.detail.contains(**scope)));
        }
        facts.refused_by_setting += usize::from(dead.reason == reason::EDIT_CANCEL_OFF);
        let changes = matches!(dead.kind.as_str(), "UpdateOrder" | "CancelOrder");
        facts.refused_by_courier += usize::from(changes && dead.reason == shared::measoft::codes::UNKNOWN_CODE);
    }
    let since = facts.now.checked_sub(IN_USE).unwrap_or(Timestamp::UNIX_EPOCH);
    facts.unmapped_statuses = store.unmapped_statuses(integration.id, since).await.unwrap_or_default();
    let week = facts.now.checked_sub(WEEK).unwrap_or(Timestamp::UNIX_EPOCH);
    facts.missed_by_stream = store.missed_by_stream(integration.id, week).await.unwrap_or_default();
    facts.unmapped_statuses.retain(|code| !integration.settings.status_map.contains_key(code));
    match clients.connect(integration) {
        Err(why) => facts.unusable = Some(why),
        Ok(vendors) => {
            let (crm, courier) = tokio::join!(ask_crm(&vendors, &facts), vendors.courier.probe());
            (facts.crm, facts.courier) = (Some(crm), Some(courier));
        }
    }
    facts
}

async fn ask_crm(vendors: &Vendors, facts: &Facts) -> Result<CrmSide, CrmError> {
    let crm = &vendors.crm;
    let credentials = crm.credentials().await?;
    let references = async {
        Ok(References {
            delivery_types: crm.delivery_types().await?,
            payment_types: crm.payment_types().await?,
            payment_statuses: crm.payment_statuses().await?,
            statuses: crm.statuses().await?,
        })
    };
    let references = references.await;
    let module = match crm.module(&facts.code).await {
        Ok(module) => Ok(Some(module)),
        Err(CrmError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let recent = match &references {
        Ok(references) => {
            let ours = types_of(&facts.integration.settings.delivery_types, &facts.code, &references.delivery_types);
            let ours: Vec<String> = ours.into_iter().map(str::to_owned).collect();
            in_use::recent(crm.as_ref(), &ours, facts.now).await
        }
        Err(_) => Ok(Vec::new()),
    };
    Ok(CrmSide { credentials, references, module, recent })
}

/// Findings of one integration, each bearing its id.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut say = Say(Vec::new());
    state(facts, &mut say);
    match &facts.unusable {
        Some(why) => say.error(
            why.clone(),
            format!(
                "correct it with `bridge integration edit {id} --crm-url …` or `--measoft-url …`; a CRM at a host of your \
                 own must be named in CRM_ALLOWED_HOSTS",
                id = facts.integration.id
            ),
        ),
        None => {
            match &facts.crm {
                Some(Ok(crm)) => crm_side(facts, crm, &mut say),
                Some(Err(error)) => crm_error(facts, error, &mut say),
                None => {}
            }
            if let Some(courier) = &facts.courier {
                courier_side(facts, courier, &mut say);
            }
        }
    }
    towns::judge(&facts.towns, &mut say);
    work(facts, &mut say);
    let id = Some(facts.integration.id.0);
    say.0.into_iter().map(|finding| Finding { integration: id, ..finding }).collect()
}

fn state(facts: &Facts, say: &mut Say) {
    let id = facts.integration.id;
    let IntegrationState::Paused { by, reason } = &facts.integration.state else { return };
    let (level_is_error, remedy) = match by {
        PausedBy::Operator => (false, format!("`bridge integration resume {id}` when its orders should go out again")),
        PausedBy::Credentials(whose) => {
            let flags = if *whose == Fault::Crm { "--crm-key" } else { "--login, --password-stdin" };
            (
                true,
                format!("correct the credentials with `bridge integration edit {id}` ({flags}); it resumes by itself"),
            )
        }
        PausedBy::Crm => (true, "switch the module on again in RetailCRM (Settings → Integration)".to_owned()),
    };
    let what = format!("it is paused by {} and its orders wait: {reason}", by.as_str());
    if level_is_error { say.error(what, remedy) } else { say.warning(what, remedy) }
}

fn crm_error(facts: &Facts, error: &CrmError, say: &mut Say) {
    let id = facts.integration.id;
    let remedy = match error {
        CrmError::WrongKey => format!(
            "make a key in RetailCRM (Settings → Integration → API access keys) and enter it with \
             `bridge integration edit {id} --crm-key KEY`"
        ),
        CrmError::AccessDenied { op, .. } => rights_remedy(op.scope()),
        CrmError::AccountGone => {
            format!("check the account's address and correct it with `bridge integration edit {id} --crm-url URL`")
        }
        CrmError::RateLimited { .. } => {
            "something else uses up the key's requests: give each program a key of its own, or lower CRM_RPS".to_owned()
        }
        _ => "check this machine's way out (DNS, firewall, proxy) and RetailCRM's own state, then try again; \
              orders wait until it answers"
            .to_owned(),
    };
    say.error(format!("{error} ({})", facts.integration.crm_url), remedy);
}

fn rights_remedy(missing: Option<&str>) -> String {
    if let Some(scope) = missing {
        return format!("in RetailCRM open the API key and tick {scope} (and «Access to all shops»)");
    }
    format!("in RetailCRM open the API key and allow: {}; access to all shops", Credentials::NEEDED_SCOPES.join(", "))
}

fn crm_side(facts: &Facts, crm: &CrmSide, say: &mut Say) {
    say.ok(format!("RetailCRM accepts the API key ({})", facts.integration.crm_url));
    let missing = crm.credentials.missing_scopes();
    if !missing.is_empty() {
        say.error(
            format!("the RetailCRM API key lacks rights: {}", missing.join(", ")),
            format!("in RetailCRM open the API key and tick: {}", missing.join(", ")),
        );
    }
    if crm.credentials.site_access.as_deref() == Some("access_selective") {
        say.error(
            format!(
                "the RetailCRM API key sees selected shops only ({}): orders of the others are not found",
                crm.credentials.sites_available.join(", ")
            ),
            "in RetailCRM open the API key and choose «Access to all shops»",
        );
    }
    match &crm.references {
        Ok(references) => {
            delivery_types(facts, references, say);
            payments(facts, crm, references, say);
        }
        // With a right missing this is said already.
        Err(CrmError::AccessDenied { .. }) if !missing.is_empty() => {}
        Err(error) => crm_error(facts, error, say),
    }
    match &crm.module {
        Ok(module) => module_side(facts, module.as_ref(), crm.references.as_ref().ok(), say),
        Err(CrmError::AccessDenied { .. }) if !missing.is_empty() => {}
        Err(error) => crm_error(facts, error, say),
    }
}

fn types_of<'a>(named: &'a [String], code: &str, all: &'a [DeliveryType]) -> Vec<&'a str> {
    trigger_forms::types_of(named, code, all.iter().map(|t| (t.code.as_str(), t.integration_code.as_deref())))
}

fn delivery_types(facts: &Facts, references: &References, say: &mut Say) {
    let (id, code, all) = (facts.integration.id, &facts.code, &references.delivery_types);
    let ours = types_of(&facts.integration.settings.delivery_types, code, all);
    if ours.is_empty() {
        say.error(
            format!("no delivery type of RetailCRM belongs to {code}: no order is ever its"),
            format!(
                "in RetailCRM open the delivery type, choose the module {code} under «Integration» and save; or name the \
                 type with `bridge integration edit {id} --delivery-type CODE`"
            ),
        );
        return;
    }
    let before = say.0.len();
    for name in &ours {
        let Some(found) = all.iter().find(|t| t.code == *name) else {
            let known: Vec<&str> = all.iter().map(|t| t.code.as_str()).collect();
            say.error(
                format!("RetailCRM has no delivery type «{name}»"),
                format!(
                    "name an existing one with `bridge integration edit {id} --delivery-type CODE` ({})",
                    known.join(", ")
                ),
            );
            continue;
        };
        match found.integration_code.as_deref() {
            Some(tied) if tied == code => {}
            tied => {
                let present = tied.map_or_else(|| "no module".to_owned(), |tied| format!("the module {tied}"));
                say.error(
                    format!("the delivery type «{name}» is tied to {present}, not to {code}"),
                    format!(
                        "in RetailCRM open the delivery type «{name}», choose {code} under «Integration» and save \
                         (`bridge integration register {id}` first, if it is not offered)"
                    ),
                );
            }
        }
        if !found.active {
            say.warning(
                format!("the delivery type «{name}» is switched off in RetailCRM"),
                "switch it on, or take it out of the integration's delivery types",
            );
        }
    }
    for (other, other_code, named) in &facts.siblings {
        for shared in types_of(named, other_code, all).into_iter().filter(|t| ours.contains(t)) {
            say.error(
                format!("integration {other} works for the delivery type «{shared}» too: a trigger cannot tell whose order it is"),
                format!(
                    "give each its own with `bridge integration edit {id} --delivery-type CODE` and put each type's own \
                     deliveryApiKey into the triggers (`bridge trigger-help {id}`)"
                ),
            );
        }
    }
    if say.0.len() == before {
        say.ok(format!("delivery types: {}", ours.join(", ")));
    }
}

fn payments(facts: &Facts, crm: &CrmSide, references: &References, say: &mut Say) {
    let (id, settings) = (facts.integration.id, &facts.integration.settings);
    let known = |code: &str| references.payment_types.iter().any(|t| t.code == code);
    let all_types = || references.payment_types.iter().map(|t| t.code.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(code) = &settings.payment_status {
        match references.payment_statuses.iter().find(|s| s.code == *code) {
            None => {
                let all: Vec<&str> = references.payment_statuses.iter().map(|s| s.code.as_str()).collect();
                say.error(
                    format!("RetailCRM has no payment status «{code}»: payments would not be marked after delivery"),
                    format!(
                        "name an existing one with `bridge integration edit {id} --payment-status CODE` ({})",
                        all.join(", ")
                    ),
                );
            }
            Some(status) if !status.payment_complete => say.warning(
                format!("the payment status «{code}» does not count as paid in RetailCRM"),
                format!(
                    "tick «Payment completed» for it in RetailCRM, or choose another with \
                     `bridge integration edit {id} --payment-status CODE`"
                ),
            ),
            Some(_) => say.ok(format!("payments become «{code}» after delivery")),
        }
    }
    if settings.receive_payment {
        let map = &settings.payment_type_map;
        let defaults = [("CASH", "cash"), ("CARD", "bank-card")];
        let defaults = defaults.iter().filter(|(from, _)| !map.contains_key(*from)).copied();
        let wanted = map.iter().map(|(from, to)| (from.as_str(), to.as_str())).chain(defaults);
        for (from, to) in wanted.filter(|(_, to)| !to.is_empty() && !known(to)) {
            say.error(
                format!("RetailCRM has no payment type «{to}», which payment_type_map gives for {from}"),
                format!("run `bridge integration edit {id} --set payment_type_map.{from}=CODE` ({})", all_types()),
            );
        }
    }
    for (code, _) in settings.paytype_map.iter().filter(|(code, _)| !known(code)) {
        say.warning(
            format!("paytype_map names the payment type «{code}», which RetailCRM does not have"),
            format!(
                "take it out with `bridge integration edit {id} --set paytype_map.{code}=`, or correct the code ({})",
                all_types()
            ),
        );
    }
    cash_on_delivery(facts, crm, references, say);
    match &crm.recent {
        Ok(orders) => {
            let module =
                crm.module.as_ref().ok().and_then(|module| module.as_ref()).and_then(IntegrationModule::settings);
            let lists = references.lists(module);
            in_use::judge(&in_use::unmapped(orders, settings, &lists), id.0, settings.cod_policy, say);
        }
        Err(error) => say.warning(
            format!("the orders of the last days could not be read: {error}"),
            "give the key the right to read orders; whether all their payment types are mapped was not looked at",
        ),
    }
}

fn cash_on_delivery(facts: &Facts, crm: &CrmSide, references: &References, say: &mut Say) {
    let settings = &facts.integration.settings;
    if settings.cod_policy == CodPolicy::AsVendor {
        return;
    }
    let by_module: Vec<&str> = match &crm.module {
        Ok(Some(module)) => module
            .settings()
            .map(|s| s.payment_types.iter().filter(|t| t.active && t.cod).map(|t| t.code.as_str()).collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    let ours = types_of(&settings.delivery_types, &facts.code, &references.delivery_types);
    let by_type: Vec<&str> = references
        .delivery_types
        .iter()
        .filter(|t| ours.contains(&t.code.as_str()))
        .flat_map(|t| t.payment_types.iter().filter(|p| p.cod == Some(true)).map(|p| p.code.as_str()))
        .collect();
    let mut found = if by_module.is_empty() { by_type } else { by_module };
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        say.warning(
            "no payment type counts as cash on delivery: couriers would collect nothing",
            format!(
                "in RetailCRM open the delivery type's tab «Payment methods» and tick «Cash on delivery» for the types paid to \
                 the courier, or let the whole unpaid sum be collected with `bridge integration edit {} --cod-policy as_vendor`",
                facts.integration.id
            ),
        );
        return;
    }
    let words: Vec<String> = found
        .iter()
        .map(|code| {
            let kind = match settings.pay_kind(code) {
                PayKind::Cash => "CASH",
                PayKind::Card => "CARD",
                PayKind::No => "NO",
                PayKind::Other => "OTHER",
            };
            format!("{code} ({kind})")
        })
        .collect();
    say.ok(format!("couriers collect payments of the types {}", words.join(", ")));
}

fn module_side(facts: &Facts, module: Option<&IntegrationModule>, references: Option<&References>, say: &mut Say) {
    let (id, code) = (facts.integration.id, &facts.code);
    let register = format!("run `bridge integration register {id}`");
    let Some(module) = module else {
        say.error(
            format!("the delivery module {code} is not registered in RetailCRM: it takes no statuses and asks for no tariffs"),
            register,
        );
        return;
    };
    let before = say.0.len();
    if module.freeze {
        say.error(
            format!("RetailCRM has frozen the module {code}"),
            "pay for it in RetailCRM's marketplace, or ask RetailCRM's support why",
        );
    }
    if !module.active {
        say.error(
            format!("the module {code} is switched off in RetailCRM"),
            format!("switch it on in RetailCRM (Settings → Integration), or {register}"),
        );
    }
    if module.integration_code != facts.module_code {
        say.error(
            format!(
                "{code} is registered as «{}», but MODULE_CODE is «{}»",
                module.integration_code, facts.module_code
            ),
            format!("set MODULE_CODE as it was at the registration, or {register}"),
        );
    }
    let base = module.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
    if base != facts.public_url.trim_end_matches('/') {
        say.error(
            format!("RetailCRM calls the module at «{base}», but PUBLIC_URL is {}", facts.public_url),
            format!("correct PUBLIC_URL, or, if it is right, {register}"),
        );
    }
    if is_loopback(&facts.public_url) && !is_loopback(&facts.integration.crm_url) {
        say.error(
            format!("PUBLIC_URL is {}: RetailCRM cannot reach this machine there", facts.public_url),
            format!(
                "set PUBLIC_URL to the https:// address at which ingress is reachable from outside, then {register}"
            ),
        );
    }
    if module.client_id.as_ref().is_some_and(|told| *told != facts.integration.secrets.client_id) {
        say.error(format!("RetailCRM knows another clientId for {code}: every callback is refused"), register);
    }
    if say.0.len() == before {
        say.ok(format!("the module {code} is registered, active and called at {base}"));
    }
    statuses(facts, module, references, say);
}

fn statuses(facts: &Facts, module: &IntegrationModule, references: Option<&References>, say: &mut Say) {
    if !facts.integration.settings.receive_statuses {
        say.ok("statuses are not brought back (receive_statuses is off)");
        return;
    }
    let rows = module.settings().map(|s| s.statuses.as_slice()).unwrap_or_default();
    if let Some(references) = references {
        let gone: Vec<&str> = rows
            .iter()
            .map(|row| row.code.as_str())
            .filter(|code| !code.is_empty() && !references.statuses.iter().any(|s| s.code == *code))
            .collect();
        if !gone.is_empty() {
            say.warning(
                format!(
                    "the module's tab «Statuses» names order statuses that RetailCRM does not have: {}",
                    gone.join(", ")
                ),
                "choose existing ones in RetailCRM (Settings → Integration → the module → «Statuses»)",
            );
        }
    }
    let is_mapped = |code: &str| rows.iter().any(|row| row.tracking_status_code == code && !row.code.is_empty());
    let unmapped: Vec<&str> = ENDS.iter().map(StatusCode::as_str).filter(|code| !is_mapped(code)).collect();
    if unmapped.is_empty() {
        let listed = module.integrations.delivery.as_ref().map_or(0, |d| d.status_list.len());
        say.ok(format!("{} of {listed} courier statuses change the order's status", rows.len()));
    } else {
        say.warning(
            format!(
                "courier statuses without an order status: {}: orders stay as they are when these arrive",
                unmapped.join(", ")
            ),
            "map them in RetailCRM (Settings → Integration → the module → «Statuses»)",
        );
    }
}

fn courier_side(facts: &Facts, courier: &Result<String, MeasoftError>, say: &mut Say) {
    let i = &facts.integration;
    let id = i.id;
    match courier {
        Ok(client) => say.ok(format!("MeaSoft accepts the login of courier {} (client {client})", i.extra)),
        Err(error) => {
            let remedy = match (error.class(), error) {
                (_, MeasoftError::NotSent { .. }) => format!(
                    "check this machine's way out (DNS, firewall, proxy) and the address {}; `bridge integration edit {id} \
                     --measoft-url URL` changes it",
                    i.measoft_url
                ),
                (Class::Config, MeasoftError::Refused { .. }) => format!(
                    "check --extra (the number in the cabinet's address), --login and --password-stdin and correct them with \
                     `bridge integration edit {id}`: they are those of the client's cabinet at this courier service"
                ),
                _ => explain(error.reason(), Language::En).next_step.to_owned(),
            };
            say.error(format!("MeaSoft ({}, courier {}): {error}", i.measoft_url, i.extra), remedy);
        }
    }
    let ask = "ask the courier service to switch on «Разрешить отмену и изменение заказов» (its settings, Advanced)";
    match (i.settings.allow_edit_cancel, facts.refused_by_setting, facts.refused_by_courier) {
        (false, 0, _) => say.ok("changes and cancellations are off (allow_edit_cancel)"),
        (false, refused, _) => say.warning(
            format!("{refused} change(s) or cancellation(s) were refused because allow_edit_cancel is off"),
            format!("{ask}, then run `bridge integration edit {id} --set allow_edit_cancel=true`"),
        ),
        (true, _, 0) => {}
        (true, _, refused) => say.warning(
            format!(
                "MeaSoft refused {refused} change(s) or cancellation(s) with a code of its own: its option may be off"
            ),
            format!("{ask}; `bridge probe {id}` tries it out"),
        ),
    }
}

fn work(facts: &Facts, say: &mut Say) {
    let id = facts.integration.id;
    if facts.dead > 0 {
        say.warning(
            format!("{} open dead letter(s)", facts.dead),
            format!("`bridge dead list --integration {id}` says what happened to each and what to do"),
        );
    }
    if !facts.denied.is_empty() {
        let scopes = facts.denied.iter().copied().collect::<Vec<_>>().join(", ");
        say.error(
            format!("RetailCRM denied a call: the API key needs {scopes}"),
            format!(
                "in RetailCRM open the API key and tick {scopes}, then replay (`bridge dead list --integration {id}`)"
            ),
        );
    }
    if !facts.unmapped_statuses.is_empty() {
        let codes = facts.unmapped_statuses.join(", ");
        let first = &facts.unmapped_statuses[0];
        say.warning(
            format!("MeaSoft sends status codes that nothing maps, and RetailCRM is not told of them: {codes}"),
            format!(
                "ask the courier service what they mean, then `bridge integration edit {id} --set status_map.{first}=STATUS` \
                 (empty: not to be told)"
            ),
        );
    }
    if facts.missed_by_stream >= MISSED {
        let stream = facts.integration.settings.stream_id;
        say.warning(
            format!(
                "{} statuses of the last 7 days did not come through the status stream {stream}: another installation or \
                 program reads the same stream of this cabinet and acknowledges what it takes",
                facts.missed_by_stream
            ),
            format!(
                "give the integration a stream of its own with `bridge integration edit {id} --set stream_id=N` (100 to \
                 10000), or stop the other program"
            ),
        );
    }
    for other in &facts.strangers {
        say.warning(
            format!(
                "integration {other} names the same RetailCRM address with another API key, and nothing shows that both \
                 are of one account: a cancel trigger that names both is refused"
            ),
            format!(
                "if they are, give both the same API key, or register both modules (`bridge integration register {id}`, \
                 `bridge integration register {other}`): a worker then finds it out by itself"
            ),
        );
    }
    for held in &facts.held {
        let what = match held.target {
            BreakerTarget::Measoft => "MeaSoft's address",
            BreakerTarget::Account => "the MeaSoft account",
            BreakerTarget::Retailcrm => "the RetailCRM account",
        };
        let seconds = held.until.duration_since(facts.now).as_secs().max(0);
        say.warning(
            format!("{what} {} failed in a row and is left alone, {seconds} s more: {}", held.name, held.why),
            "nothing is lost: its orders wait and go on by themselves. If it stays so, ask whoever runs it, with that answer",
        );
    }
    let (count, oldest) = facts.waiting;
    let minutes = oldest.map_or(0, |at| facts.now.duration_since(at).as_mins());
    if minutes >= WAITS_TOO_LONG_MINUTES {
        say.warning(
            format!("{count} order(s) wait, the oldest for {minutes} min"),
            "start a worker, or see in its log what it waits for (a vendor that is away, a spent budget, a pause)",
        );
    }
    if facts.dead == 0 && minutes < WAITS_TOO_LONG_MINUTES {
        say.ok("no open dead letters, nothing waits too long");
    }
}
