//! What the CRM sends: HTTP triggers (protocols/retailcrm.md#triggers) and the calls to the
//! delivery module (protocols/retailcrm.md#callbacks).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::RetailcrmSim;
use super::orders::{Change, Order, line_total};
use super::references;
use super::state::{Account, AccountId, Module, Source, settings};
use super::wire::{self, MoneyStyle};

/// How long an answer to a trigger or a callback is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The three triggers of the vendor's guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// «Отправка заказа».
    Send,
    /// «Изменения заказа».
    Update,
    /// «Отмена заказа».
    Cancel,
}

impl TriggerKind {
    /// Path of the trigger's address.
    pub fn path(self) -> &'static str {
        match self {
            TriggerKind::Send => "/reintegrations/requests/trigger/retailcrm",
            TriggerKind::Update => "/reintegrations/requests/update/retailcrm",
            TriggerKind::Cancel => "/reintegrations/requests/cancel/retailcrm",
        }
    }
}

/// The triggers a shop has set up in one account.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSetup {
    /// Scheme, host and port the triggers point at.
    pub ingress: String,
    /// Order statuses that mean «send».
    #[serde(default)]
    pub send_statuses: Vec<String>,
    /// Delivery types of the courier service.
    #[serde(default)]
    pub delivery_types: Vec<String>,
    /// Delivery type code → key, for the cancel trigger. A map in JSON.
    #[serde(default, deserialize_with = "pairs_of_a_map")]
    pub keys: Vec<(String, String)>,
    /// Which of the three exist; all when empty.
    #[serde(default)]
    pub kinds: Vec<TriggerKind>,
}

impl TriggerSetup {
    /// The guide's three triggers for `delivery_types`, sending on `SentMeaSoft`.
    pub fn new(ingress: &str, delivery_types: &[&str], keys: &[(&str, &str)]) -> Self {
        Self {
            ingress: ingress.trim_end_matches('/').to_owned(),
            send_statuses: vec!["SentMeaSoft".into()],
            delivery_types: delivery_types.iter().map(|code| (*code).to_owned()).collect(),
            keys: keys.iter().map(|(code, key)| ((*code).to_owned(), (*key).to_owned())).collect(),
            kinds: Vec::new(),
        }
    }
}

fn pairs_of_a_map<'a, D: serde::Deserializer<'a>>(input: D) -> Result<Vec<(String, String)>, D::Error> {
    Ok(BTreeMap::<String, String>::deserialize(input)?.into_iter().collect())
}

/// A trigger about to leave.
pub struct Firing {
    pub(super) kind: TriggerKind,
    pub(super) ingress: String,
    pub(super) order_id: i64,
    pub(super) number: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) source: Source,
}

/// What became of one trigger.
#[derive(Clone, Debug, Serialize)]
pub struct TriggerRecord {
    /// Whose order.
    pub account: AccountId,
    /// Which trigger.
    pub kind: TriggerKind,
    /// Internal id of the order.
    pub order_id: i64,
    /// Number sent as `id`.
    pub number: String,
    /// Who made the change that fired it.
    pub source: Source,
    /// Status of the answer; `None` when there was none.
    pub status: Option<u16>,
}

/// Fields of the guide's *update* condition; a bare name covers its parts (`order_product.quantity`).
pub const WATCHED: [&str; 27] = [
    "first_name",
    "last_name",
    "patronymic",
    "phone",
    "site",
    "additional_phone",
    "email",
    "customer.phones",
    "order_product",
    "total_summ",
    "delivery_date",
    "delivery_time",
    "payments",
    "prepay_sum",
    "weight",
    "length",
    "width",
    "height",
    "payments.id",
    "payments.status",
    "payments.type",
    "payments.external_id",
    "payments.amount",
    "payments.paid_at",
    "payments.comment",
    "discount_manual_amount",
    "discount_manual_percent",
];

/// The triggers whose conditions hold after a saved change
/// (protocols/retailcrm.md#trigger-conditions). The guide's do not ask who made it: own writes of the integration fire
/// triggers too.
pub(super) fn evaluate(
    setup: &TriggerSetup,
    order: &Order,
    created: bool,
    changes: &[Change],
    source: Source,
) -> Vec<Firing> {
    let ours = |code: Option<&str>| code.is_some_and(|code| setup.delivery_types.iter().any(|kind| kind == code));
    let is_ours = ours(order.delivery.code.as_deref());
    let mut kinds = Vec::new();
    if is_ours && setup.send_statuses.contains(&order.status) {
        kinds.push(TriggerKind::Send);
    }
    let old_type = changes.iter().find(|change| change.field == "delivery_type").map(|change| &change.old);
    if !created && old_type.is_some_and(|old| ours(old["code"].as_str())) {
        kinds.push(TriggerKind::Cancel);
    }
    let watched = |change: &Change| {
        let root = change.field.split('.').next().unwrap_or_default();
        WATCHED.iter().any(|name| *name == change.field || *name == root)
    };
    if is_ours && !created && changes.iter().any(watched) {
        kinds.push(TriggerKind::Update);
    }
    kinds.retain(|kind| setup.kinds.is_empty() || setup.kinds.contains(kind));
    kinds
        .into_iter()
        .map(|kind| Firing {
            kind,
            ingress: setup.ingress.clone(),
            order_id: order.id,
            number: order.number.clone(),
            fields: trigger_fields(kind, order, &setup.keys),
            source,
        })
        .collect()
}

/// The parameters as the guide sets them up. After a change of the type the extra data are gone and `sum` is empty.
pub(super) fn trigger_fields(kind: TriggerKind, order: &Order, keys: &[(String, String)]) -> Vec<(String, String)> {
    let sum = if order.delivery.data.is_empty() { String::new() } else { wire::roubles(order.declared()) };
    let mut fields = vec![("id".to_owned(), order.number.clone()), ("sum".to_owned(), sum)];
    match kind {
        TriggerKind::Cancel => fields.extend(keys.iter().cloned()),
        TriggerKind::Send | TriggerKind::Update => {
            let key = order.delivery.extra("deliveryApiKey").unwrap_or_default();
            fields.push(("key".to_owned(), key.to_owned()));
        }
    }
    fields
}

/// An answer to something the CRM sent.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, `""` when absent.
    pub content_type: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body as received.
    pub body: Vec<u8>,
    /// From the call to the whole answer.
    pub took: Duration,
    module_name: String,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// What the manager gets: the whole answer of a success, or the sentence shown above the form
    /// (protocols/retailcrm.md#callbacks).
    pub fn as_manager_sees(&self) -> Result<Value, String> {
        let wrong_shape = || "Служба доставки прислала ответ в неверном формате".to_owned();
        let body: Value = serde_json::from_slice(&self.body).map_err(|_| wrong_shape())?;
        match (body["success"].as_bool(), body["errorMsg"].as_str()) {
            (Some(true), _) => Ok(body),
            (Some(false), Some(message)) => Err(format!("Ошибка сервиса доставки \"{}\": {message}", self.module_name)),
            _ => Err(wrong_shape()),
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where a module listens and how it is addressed.
struct Endpoint {
    url: String,
    client_id: String,
    module_name: String,
}

impl RetailcrmSim {
    /// Fires one trigger by hand: `sum` as text, `keys` the pairs that follow it (`("key", …)`, or for a cancel
    /// `(delivery type code, …)`).
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn fire(
        &self,
        kind: TriggerKind,
        ingress: &str,
        number: &str,
        sum: &str,
        keys: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut fields = vec![("id", number), ("sum", sum)];
        fields.extend_from_slice(keys);
        self.post(&format!("{}{}", ingress.trim_end_matches('/'), kind.path()), &fields).await
    }

    /// Fires the trigger an order's set-up would fire, whether or not its condition holds.
    ///
    /// # Errors
    /// When the order or the set-up is missing, or no answer comes.
    pub async fn fire_for(&self, account: AccountId, order: i64, kind: TriggerKind) -> anyhow::Result<Answer> {
        let (ingress, fields) = {
            let world = self.world();
            let row = world.account(account).context("no such account")?;
            let order = row.newest(order).context("no such order")?;
            let setup = row.triggers.as_ref().context("no triggers are set up")?;
            (setup.ingress.clone(), trigger_fields(kind, order, &setup.keys))
        };
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(&format!("{ingress}{}", kind.path()), &fields).await
    }

    /// A form POST, as the CRM sends all of them. Redirects are not followed.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, url: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let request = self
            .http()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::urlencode(fields));
        self.exchange(request, String::new()).await
    }

    /// Reads an address of a module, without a key.
    pub(super) async fn fetch(&self, url: &str) -> anyhow::Result<Answer> {
        self.exchange(self.http().get(url), String::new()).await
    }

    async fn exchange(&self, request: reqwest::RequestBuilder, module_name: String) -> anyhow::Result<Answer> {
        let started = std::time::Instant::now();
        let response = request.timeout(PATIENCE).send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status().as_u16();
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let content_type =
            headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.clone()).unwrap_or_default();
        let body = response.bytes().await.map_err(reqwest::Error::without_url)?.to_vec();
        Ok(Answer { status, content_type, headers, body, took: started.elapsed(), module_name })
    }

    fn endpoint(&self, account: AccountId, module: &str, action: &str) -> anyhow::Result<Endpoint> {
        let world = self.world();
        let row = world.account(account).context("no such account")?;
        let module = row.modules.get(module).with_context(|| format!("module {module} is not registered"))?;
        let config = &module.config;
        let path = match action {
            "activity" | "settings" => &config["actions"][action],
            _ => &module.delivery()["actions"][action],
        };
        let path = path.as_str().ok_or_else(|| anyhow!("the module does not list the action {action}"))?;
        let base = config["baseUrl"].as_str().unwrap_or_default();
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))
        };
        Ok(Endpoint {
            url,
            client_id: config["clientId"].as_str().unwrap_or_default().to_owned(),
            module_name: module.name().to_owned(),
        })
    }

    async fn call(&self, to: Endpoint, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut all = vec![("clientId", to.client_id.as_str())];
        all.extend_from_slice(fields);
        let request = self
            .http()
            .post(&to.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::urlencode(&all));
        self.exchange(request, to.module_name).await
    }

    async fn ask(&self, to: Endpoint, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut all = vec![("clientId", to.client_id.as_str())];
        all.extend_from_slice(fields);
        let request = self.http().get(format!("{}?{}", to.url, wire::urlencode(&all)));
        self.exchange(request, to.module_name).await
    }

    fn module_request(
        &self,
        account: AccountId,
        order: i64,
        build: impl FnOnce(&Account, &Module, &Order) -> Value,
    ) -> anyhow::Result<(String, String)> {
        let mut world = self.world();
        let models = world.writes_as_models();
        let row = world.account(account).context("no such account")?;
        let order = row.newest(order).context("no such order")?;
        let code = row.module_code_of(order).context("the delivery type belongs to no module")?;
        let module = row.modules.get(code).with_context(|| format!("module {code} is not registered"))?;
        let mut body = build(row, module, order);
        if models {
            dates_with_a_time(&mut body);
        }
        Ok((code.to_owned(), body.to_string()))
    }

    /// `calculate`: the manager presses «Выбрать тариф» (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the order has no registered module, or no answer comes.
    pub async fn calculate(&self, account: AccountId, order: i64) -> anyhow::Result<Answer> {
        let (module, body) = self.module_request(account, order, calculate_request)?;
        self.call(self.endpoint(account, &module, "calculate")?, &[("calculate", &body)]).await
    }

    /// The manager takes one of the tariffs of a `calculate` answer: code, name, term, cost and extra fields are kept.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn choose_tariff(&self, account: AccountId, order: i64, tariff: &Value) -> anyhow::Result<()> {
        let done = self.edit(account, order, |draft| {
            let delivery = &mut draft.delivery;
            for (from, to) in [
                ("code", "tariff"),
                ("name", "tariffName"),
                ("minTerm", "minTerm"),
                ("maxTerm", "maxTerm"),
                ("cost", "cost"),
            ] {
                if !tariff[from].is_null() {
                    delivery.data.insert(to.into(), tariff[from].clone());
                }
            }
            if let Some(extra) = tariff["extraData"].as_object() {
                for (code, value) in extra {
                    delivery.set_extra(code, value.clone());
                }
            }
            if let Some(cost) = wire::read_kopecks(&tariff["cost"]) {
                delivery.net_cost = cost;
            }
        });
        if done { Ok(()) } else { bail!("no such order") }
    }

    /// `save`: the order is saved without «не синхронизировать» (protocols/retailcrm.md#save). What
    /// the module answers is stored as the CRM stores it.
    ///
    /// # Errors
    /// When the order has no registered module, or no answer comes.
    pub async fn save(&self, account: AccountId, order: i64) -> anyhow::Result<Answer> {
        let (module, body) = self.module_request(account, order, save_request)?;
        let answer = self.call(self.endpoint(account, &module, "save")?, &[("save", &body)]).await?;
        if let Ok(shown) = answer.as_manager_sees() {
            self.keep_saved(account, order, &module, &shown["result"]);
        }
        Ok(answer)
    }

    fn keep_saved(&self, account: AccountId, id: i64, module: &str, result: &Value) {
        let Some(delivery_id) = result["deliveryId"].as_str().filter(|id| !id.is_empty()) else { return };
        self.with(|world| {
            let moment = world.moment();
            let Some(row) = world.account(account) else { return };
            let Some(mut order) = row.newest(id).map(|order| order.as_ref().clone()) else { return };
            let status = result["status"].as_str();
            let name = row.modules.get(module).and_then(|module| {
                let rows = module.status_codes();
                rows.into_iter().find(|row| row["code"].as_str() == status).and_then(|row| row["name"].as_str())
            });
            let data = &mut order.delivery.data;
            data.insert("externalId".into(), delivery_id.into());
            data.insert("locked".into(), false.into());
            if let Some(track_number) = result["trackNumber"].as_str() {
                data.insert("trackNumber".into(), track_number.into());
            }
            if let Some(status) = status {
                data.insert("status".into(), status.into());
                data.insert("statusText".into(), name.unwrap_or(status).into());
                data.insert("statusDate".into(), moment.text.into());
            }
            if let Some(cost) = wire::read_kopecks(&result["cost"]) {
                data.insert("cost".into(), wire::money(cost, MoneyStyle::Short));
                order.delivery.net_cost = cost;
            }
            if let Some(extra) = result["extraData"].as_object() {
                for (code, value) in extra {
                    order.delivery.set_extra(code, value.clone());
                }
            }
            world.save(account, order, Source::Code);
        });
    }

    /// `get`: a delivery id was entered in an order (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn get_delivery(&self, account: AccountId, module: &str, delivery_id: &str) -> anyhow::Result<Answer> {
        self.ask(self.endpoint(account, module, "get")?, &[("deliveryId", delivery_id)]).await
    }

    /// `delete` of the order's delivery; a success clears `delivery.data.externalId`
    /// (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the order has no delivery at a registered module, or no answer comes.
    pub async fn delete_delivery(&self, account: AccountId, order: i64) -> anyhow::Result<Answer> {
        let (module, _) = self.module_request(account, order, |_, _, _| Value::Null)?;
        let delivery_id = {
            let world = self.world();
            let known = world.account(account).and_then(|row| row.newest(order));
            known
                .and_then(|order| order.delivery.external_id().map(str::to_owned))
                .context("the order has no delivery")?
        };
        let body = json!({"deliveryId": delivery_id}).to_string();
        let answer = self.call(self.endpoint(account, &module, "delete")?, &[("delete", &body)]).await?;
        if answer.as_manager_sees().is_ok() {
            self.with(|world| {
                let known = world.account(account).and_then(|row| row.newest(order));
                let Some(mut order) = known.map(|order| order.as_ref().clone()) else { return };
                for field in ["externalId", "trackNumber", "status", "statusText", "statusDate", "statusComment"] {
                    order.delivery.data.remove(field);
                }
                world.save(account, order, Source::Code);
            });
        }
        Ok(answer)
    }

    /// `print` of a form for several deliveries (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn print(
        &self,
        account: AccountId,
        module: &str,
        form: &str,
        delivery_ids: &[&str],
    ) -> anyhow::Result<Answer> {
        let ids = if self.world().writes_as_models() { json!(delivery_ids) } else { json!([delivery_ids]) };
        let body = json!({"entityType": "order", "type": form, "deliveryIds": ids}).to_string();
        self.call(self.endpoint(account, module, "print")?, &[("print", &body)]).await
    }

    /// `tariffList` (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn tariff_list(&self, account: AccountId, module: &str) -> anyhow::Result<Answer> {
        self.ask(self.endpoint(account, module, "tariffList")?, &[]).await
    }

    /// `shipmentPointList` with the filters of a city; those unknown are sent empty
    /// (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn shipment_point_list(&self, account: AccountId, module: &str, city: &str) -> anyhow::Result<Answer> {
        let fields =
            [("country", "RU"), ("region", ""), ("regionId", ""), ("city", city), ("cityId", ""), ("code", "")];
        self.ask(self.endpoint(account, module, "shipmentPointList")?, &fields).await
    }

    /// `activity`: the module is switched or frozen in the CRM, and the module is told
    /// (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn activity(
        &self,
        account: AccountId,
        module: &str,
        active: bool,
        freeze: bool,
    ) -> anyhow::Result<Answer> {
        let to = self.endpoint(account, module, "activity")?;
        self.with(|world| {
            if let Some(row) = world.accounts.get_mut(account.0).and_then(|row| row.modules.get_mut(module)) {
                row.config["active"] = active.into();
                row.freeze = freeze;
            }
        });
        let body = json!({"active": active, "freeze": freeze}).to_string();
        let url = self.url();
        self.call(to, &[("activity", &body), ("systemUrl", &url)]).await
    }

    /// `settings`: the account's settings have changed (protocols/retailcrm.md#callbacks).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn send_settings(&self, account: AccountId, module: &str) -> anyhow::Result<Answer> {
        let body = settings(&self.world().options.time_zone).to_string();
        self.call(self.endpoint(account, module, "settings")?, &[("settings", &body)]).await
    }

    /// The manager opens the module's own page: a browser form POST of `clientId`
    /// (protocols/retailcrm.md#module).
    ///
    /// # Errors
    /// When the module is not registered, or no answer comes.
    pub async fn open_account_page(&self, account: AccountId, module: &str) -> anyhow::Result<Answer> {
        let config = self.module(account, module).context("the module is not registered")?;
        let url = config["accountUrl"].as_str().context("the module has no accountUrl")?;
        self.post(url, &[("clientId", config["clientId"].as_str().unwrap_or_default())]).await
    }

    /// Sends what left the state: triggers are posted in the background.
    pub(super) fn send_out(&self, firings: Vec<(AccountId, Firing)>) {
        for (account, firing) in firings {
            let record = TriggerRecord {
                account,
                kind: firing.kind,
                order_id: firing.order_id,
                number: firing.number.clone(),
                source: firing.source,
                status: None,
            };
            let on_the_way = self.trigger_leaves();
            let sim = self.clone();
            self.spawn(async move {
                let fields: Vec<(&str, &str)> =
                    firing.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let answer = sim.post(&format!("{}{}", firing.ingress, firing.kind.path()), &fields).await;
                let status = answer.ok().map(|answer| answer.status);
                sim.world().fired.push(TriggerRecord { status, ..record });
                drop(on_the_way);
            });
        }
    }
}

/// What is still to be collected: unpaid payments of cash-on-delivery types, kopecks.
fn to_collect(account: &Account, order: &Order) -> i64 {
    order
        .payments
        .values()
        .filter(|payment| !account.references.is_complete(&payment.status))
        .filter(|payment| account.is_cod(order, &payment.payment_type))
        .map(|payment| payment.amount)
        .sum()
}

fn calculate_request(account: &Account, module: &Module, order: &Order) -> Value {
    let mut body = Map::new();
    body.insert("shipmentAddress".into(), references::store_address());
    body.insert("store".into(), json!({"code": "main", "name": "Основной склад"}));
    body.insert("deliveryAddress".into(), Value::Object(order.delivery.address.clone()));
    let size = |name: &str| order.sizes.get(name).copied().unwrap_or(0);
    body.insert(
        "packages".into(),
        json!([{"weight": size("weight"), "length": size("length"), "width": size("width"), "height": size("height")}]),
    );
    body.insert("declaredValue".into(), wire::money(order.declared(), MoneyStyle::Short));
    body.insert("cod".into(), wire::money(to_collect(account, order), MoneyStyle::Short));
    body.insert("payerType".into(), payer(order));
    dates(&mut body, order);
    body.insert("currency".into(), "RUB".into());
    let affects_cost = |code: &str| {
        let fields = module.delivery()["deliveryDataFieldList"].as_array();
        fields.is_some_and(|fields| {
            fields.iter().any(|field| field["code"] == code && field["affectsCost"].as_bool() == Some(true))
        })
    };
    let mut extra = extra_data(order);
    extra.retain(|code, _| affects_cost(code));
    body.insert("extraData".into(), wire::map_or_empty_list(extra));
    Value::Object(body)
}

fn save_request(account: &Account, _module: &Module, order: &Order) -> Value {
    let money = |kopecks| wire::money(kopecks, MoneyStyle::Short);
    let cod = to_collect(account, order);
    let (item_cods, delivery_cod) = spread_cod(order, cod);
    let items: Vec<Value> = order
        .active_items()
        .zip(&item_cods)
        .map(|(item, cod)| {
            let price = if item.quantity > 0 { item.total() * 1000 / item.quantity } else { 0 };
            let id = item.id + 3700;
            json!({"offerId": if item.has_offer { id.to_string() } else { String::new() },
                "externalId": if item.has_offer { format!("offer-{id}") } else { String::new() },
                "xmlId": if item.has_offer { format!("1c-{id}") } else { String::new() },
                "name": item.name, "declaredValue": money(declared_per_unit(order, item.id).unwrap_or(price)),
                "cod": money(*cod), "vatRate": item.vat_rate, "quantity": wire::quantity(item.quantity),
                "unit": {"code": "pc", "name": "Штука", "sym": "шт."}, "cost": money(price),
                "markingCodes": item.marking_codes, "properties": [], "weight": item.weight})
        })
        .collect();
    let size = |name: &str| order.sizes.get(name).copied().unwrap_or(0);
    let package = json!({"packageId": "1", "weight": size("weight"), "width": size("width"), "length": size("length"),
        "height": size("height"), "items": items});
    let mut delivery = Map::new();
    delivery.insert("shipmentAddress".into(), references::store_address());
    let mut address = order.delivery.address.clone();
    if let Some(point) = order.delivery.data.get("pickuppointId").filter(|point| point.as_str() != Some("")) {
        address.insert("terminal".into(), point.clone());
    }
    delivery.insert("deliveryAddress".into(), Value::Object(address));
    delivery.insert("withCod".into(), (cod > 0).into());
    let unpaid = order.payments.values().find(|payment| {
        !account.references.is_complete(&payment.status) && account.is_cod(order, &payment.payment_type)
    });
    if let Some(kind) = unpaid.and_then(|payment| account.references.payment_type(&payment.payment_type)) {
        delivery.insert("codPaymentType".into(), json!({"code": kind.code, "name": kind.name}));
    }
    delivery.insert("cod".into(), money(delivery_cod));
    delivery.insert("cost".into(), money(order.delivery.cost));
    delivery.insert("vatRate".into(), order.delivery.vat_rate.as_str().into());
    delivery.insert("tariff".into(), order.delivery.data.get("tariff").cloned().unwrap_or("".into()));
    delivery.insert("payerType".into(), payer(order));
    dates(&mut delivery, order);
    delivery.insert("extraData".into(), wire::map_or_empty_list(extra_data(order)));
    let phones: Vec<&str> = order.phones().collect();
    let site = account.references.site(&order.site).map_or("", |site| site.name.as_str());
    let mut body = json!({"order": order.id.to_string(), "orderNumber": order.number, "site": order.site,
        "siteName": site, "legalEntity": "ООО «Пример»",
        "store": {"code": "main", "name": "Основной склад", "workTime": references::store_work_time()},
        "customer": {"id": order.id + 2000, "lastName": order.text("lastName"), "firstName": order.text("firstName"),
            "patronymic": order.text("patronymic"), "phones": phones, "email": order.text("email"),
            "contragent": {"type": "individual"}},
        "manager": {"id": order.manager_id.unwrap_or(19), "lastName": "Смирнов", "firstName": "Олег",
            "phone": "+74950001100", "email": "oleg@example.com"},
        "packages": [package], "currency": "RUB"});
    body["delivery"] = Value::Object(delivery);
    if let Some(delivery_id) = order.delivery.external_id() {
        body["deliveryId"] = delivery_id.into();
    }
    body
}

fn declared_per_unit(order: &Order, item: i64) -> Option<i64> {
    let values = order.delivery.data.get("itemDeclaredValues")?.as_array()?;
    let row = values.iter().find(|row| row["orderProduct"]["id"].as_i64() == Some(item))?;
    wire::read_kopecks(&row["value"])
}

/// Cash on delivery per unit of each position and of the delivery itself; together exactly `cod`
/// (protocols/retailcrm.md#save, "Money").
fn spread_cod(order: &Order, cod: i64) -> (Vec<i64>, i64) {
    let goods = order.goods_total();
    let for_goods = (cod - order.delivery.cost).clamp(0, goods.max(0));
    let mut left = cod;
    let units = order
        .active_items()
        .map(|item| {
            if goods == 0 || item.quantity == 0 {
                return 0;
            }
            let line = i128::from(for_goods) * i128::from(item.total()) / i128::from(goods);
            let unit = i64::try_from(line * 1000 / i128::from(item.quantity)).unwrap_or(0);
            left -= line_total(unit, item.quantity);
            unit
        })
        .collect();
    (units, left)
}

fn payer(order: &Order) -> Value {
    order.delivery.data.get("payerType").cloned().unwrap_or("sender".into())
}

/// Dates as RetailCRM's own models write them: `Y-m-d H:i:s`.
fn dates_with_a_time(body: &mut Value) {
    let Value::Object(fields) = body else { return };
    for (name, value) in fields {
        match value {
            Value::String(day) if ["shipmentDate", "deliveryDate"].contains(&name.as_str()) => {
                day.push_str(" 00:00:00")
            }
            other => dates_with_a_time(other),
        }
    }
}

fn dates(body: &mut Map<String, Value>, order: &Order) {
    if !order.text("shipmentDate").is_empty() {
        body.insert("shipmentDate".into(), order.text("shipmentDate").into());
    }
    if let Some(date) = &order.delivery.date {
        body.insert("deliveryDate".into(), date.as_str().into());
    }
    let mut time = order.delivery.time.clone();
    time.remove("custom");
    if !time.is_empty() {
        body.insert("deliveryTime".into(), Value::Object(time));
    }
}

fn extra_data(order: &Order) -> Map<String, Value> {
    order.delivery.data.get("extraData").and_then(Value::as_object).cloned().unwrap_or_default()
}
