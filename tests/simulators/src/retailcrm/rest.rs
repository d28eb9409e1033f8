//! The REST face `/api/…`: what each method answers and changes. Requests come parsed, sockets are elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::embed;
use super::orders::{Order, Payment};
use super::patch::{self, FieldErrors};
use super::references;
use super::state::{AccountId, HistoryRecord, Module, NOTIFICATIONS, Notified, Source, TrackingEntry, World, settings};
use super::wire::{self, MoneyStyle, Params};

/// What a path and method ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Route {
    SystemInfo,
    Credentials,
    Settings,
    OrdersList,
    OrderGet(String),
    OrdersHistory,
    OrderEdit(String),
    PaymentCreate,
    PaymentEdit(String),
    PaymentDelete(String),
    Reference(&'static str),
    ModuleGet(String),
    ModuleEdit(String),
    Tracking(String),
    Notify,
    Unknown,
}

const BOOKS: [(&str, &str); 5] = [
    ("payment-types", "reference.payment-types"),
    ("payment-statuses", "reference.payment-statuses"),
    ("delivery-types", "reference.delivery-types"),
    ("statuses", "reference.statuses"),
    ("product-statuses", "reference.product-statuses"),
];

impl Route {
    /// Reads the decoded path segments (`["api", "v5", "orders"]`). An empty segment is an unknown
    /// method (protocols/retailcrm.md#errors).
    pub(super) fn read(method: &str, segments: &[String]) -> Route {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Route::Unknown;
        }
        match (method, segments.as_slice()) {
            ("GET", ["api", "system-info"]) => Route::SystemInfo,
            ("GET", ["api", "credentials"]) => Route::Credentials,
            ("GET", ["api", "v5", "settings"]) => Route::Settings,
            ("GET", ["api", "v5", "orders"]) => Route::OrdersList,
            ("GET", ["api", "v5", "orders", "history"]) => Route::OrdersHistory,
            ("GET", ["api", "v5", "orders", id]) => Route::OrderGet((*id).to_owned()),
            ("POST", ["api", "v5", "orders", "payments", "create"]) => Route::PaymentCreate,
            ("POST", ["api", "v5", "orders", "payments", id, "edit"]) => Route::PaymentEdit((*id).to_owned()),
            ("POST", ["api", "v5", "orders", "payments", id, "delete"]) => Route::PaymentDelete((*id).to_owned()),
            ("POST", ["api", "v5", "orders", id, "edit"]) => Route::OrderEdit((*id).to_owned()),
            ("GET", ["api", "v5", "reference", book]) => {
                let known = BOOKS.iter().find(|(name, _)| name == book);
                known.map_or(Route::Unknown, |(name, _)| Route::Reference(name))
            }
            ("GET", ["api", "v5", "integration-modules", code]) => Route::ModuleGet((*code).to_owned()),
            ("POST", ["api", "v5", "integration-modules", code, "edit"]) => Route::ModuleEdit((*code).to_owned()),
            ("POST", ["api", "v5", "delivery", "generic", code, "tracking"]) => Route::Tracking((*code).to_owned()),
            ("POST", ["api", "v5", "notifications", "send"]) => Route::Notify,
            _ => Route::Unknown,
        }
    }

    /// Operation name for records and fault rules.
    pub(super) fn op(&self) -> &'static str {
        match self {
            Route::SystemInfo => "system-info",
            Route::Credentials => "credentials",
            Route::Settings => "settings",
            Route::OrdersList => "orders.list",
            Route::OrderGet(_) => "orders.get",
            Route::OrdersHistory => "orders.history",
            Route::OrderEdit(_) => "orders.edit",
            Route::PaymentCreate => "payments.create",
            Route::PaymentEdit(_) => "payments.edit",
            Route::PaymentDelete(_) => "payments.delete",
            Route::Reference(book) => BOOKS.iter().find(|(name, _)| name == book).map_or("unknown", |(_, op)| op),
            Route::ModuleGet(_) => "modules.get",
            Route::ModuleEdit(_) => "modules.edit",
            Route::Tracking(_) => "tracking",
            Route::Notify => "notifications.send",
            Route::Unknown => "unknown",
        }
    }

    fn needs_key(&self) -> bool {
        !matches!(self, Route::SystemInfo)
    }

    fn scope(&self) -> Option<&'static str> {
        match self {
            Route::OrdersList | Route::OrderGet(_) | Route::OrdersHistory => Some("order_read"),
            Route::OrderEdit(_) | Route::PaymentCreate | Route::PaymentEdit(_) | Route::PaymentDelete(_) => {
                Some("order_write")
            }
            Route::Reference(_) => Some("reference_read"),
            Route::ModuleGet(_) => Some("integration_read"),
            Route::ModuleEdit(_) => Some("integration_write"),
            Route::Tracking(_) => Some("delivery_write"),
            Route::Notify => Some(NOTIFICATIONS),
            Route::SystemInfo | Route::Credentials | Route::Settings | Route::Unknown => None,
        }
    }
}

/// An answer, and the orders it is about.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) order_ids: Vec<i64>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), order_ids: Vec::new() }
    }

    fn text(body: String) -> Self {
        Self { status: 200, body, order_ids: Vec::new() }
    }

    pub(super) fn refused(status: u16, message: &str) -> Self {
        Self::json(status, &wire::refusal(message, None))
    }

    fn invalid(message: &str, errors: &FieldErrors) -> Self {
        Self::json(400, &wire::refusal(message, Some(json!(errors))))
    }

    fn entity(errors: &FieldErrors) -> Self {
        Self::invalid("Errors in the entity format", errors)
    }

    fn input(field: &str, text: &str) -> Self {
        Self::invalid("Errors in the input parameters", &one(field, text))
    }

    fn missing(parameter: &str) -> Self {
        Self::refused(400, &format!("Parameter '{parameter}' is missing"))
    }
}

fn one(field: &str, text: &str) -> FieldErrors {
    BTreeMap::from([(field.to_owned(), text.to_owned())])
}

/// Who asks and with what fields.
pub(super) struct Call<'a> {
    pub(super) world: &'a mut World,
    pub(super) params: &'a Params,
    pub(super) url: &'a str,
    pub(super) now: Instant,
}

impl Call<'_> {
    /// Checks the key, its rights, and carries the request out.
    pub(super) fn answer(mut self, route: &Route, key: Result<usize, &'static str>) -> Reply {
        if !route.needs_key() {
            return Reply::json(
                200,
                &json!({"success": true, "systemVersion": "8.12.3", "publicUrl": self.url, "technicalUrl": self.url}),
            );
        }
        let key = match key {
            Ok(key) => key,
            Err(message) => return Reply::refused(403, message),
        };
        let row = &self.world.key_rows[key];
        if route.scope().is_some_and(|scope| !row.scopes.iter().any(|known| known == scope)) {
            return Reply::refused(403, "Access denied.");
        }
        let account = AccountId(row.account);
        self.carry_out(route, key, account).unwrap_or_else(|reply| reply)
    }

    fn carry_out(&mut self, route: &Route, key: usize, account: AccountId) -> Result<Reply, Reply> {
        match route {
            Route::Credentials => Ok(self.credentials(key, account)),
            Route::Settings => {
                let zone = self.world.options.time_zone.clone();
                Ok(Reply::json(200, &json!({"success": true, "settings": settings(&zone)})))
            }
            Route::OrdersList => self.orders_list(key, account),
            Route::OrderGet(id) => {
                let id = self.find_order(key, account, id, self.params.get("by"))?;
                let text = self.world.accounts[account.0].rendered(id, self.now).ok_or_else(not_found)?;
                Ok(Reply { order_ids: vec![id], ..Reply::text(format!(r#"{{"success":true,"order":{text}}}"#)) })
            }
            Route::OrdersHistory => self.orders_history(key, account),
            Route::OrderEdit(id) => self.order_edit(key, account, id),
            Route::PaymentCreate => self.payment_create(key, account),
            Route::PaymentEdit(id) => self.payment_edit(key, account, id),
            Route::PaymentDelete(id) => self.payment_delete(key, account, id),
            Route::Reference(book) => {
                let answer = self.world.accounts[account.0].references.answer(book);
                Ok(answer.map_or_else(no_method, |answer| Reply::json(200, &answer)))
            }
            Route::ModuleGet(code) => {
                let module = self.world.accounts[account.0].modules.get(code).ok_or_else(not_found)?;
                let mut config = module.config.clone();
                config["freeze"] = module.freeze.into();
                config["native"] = false.into();
                Ok(Reply::json(200, &json!({"success": true, "integrationModule": config})))
            }
            Route::ModuleEdit(code) => self.module_edit(account, code),
            Route::Tracking(code) => self.tracking(key, account, code),
            Route::Notify => self.notify(account),
            Route::SystemInfo | Route::Unknown => Err(no_method()),
        }
    }

    fn credentials(&self, key: usize, account: AccountId) -> Reply {
        let row = &self.world.key_rows[key];
        let all: Vec<&str> =
            self.world.accounts[account.0].references.sites.iter().map(|site| site.code.as_str()).collect();
        let (access, sites) = match &row.sites {
            None => ("access_full", json!(all)),
            Some(sites) => ("access_selective", json!(sites)),
        };
        Reply::json(
            200,
            &json!({"success": true, "scopes": row.scopes, "siteAccess": access, "sitesAvailable": sites,
                "credentials": []}),
        )
    }

    fn sees_site(&self, key: usize, site: &str) -> bool {
        self.world.key_rows[key].sites.as_ref().is_none_or(|sites| sites.iter().any(|known| known == site))
    }

    /// Sites the call is about: the one named, or all of the key's when `site` is absent.
    fn site(&self, key: usize, account: AccountId) -> Result<Option<String>, Reply> {
        let Some(site) = self.params.get("site").filter(|site| !site.is_empty()) else { return Ok(None) };
        if self.world.accounts[account.0].references.site(site).is_none() {
            return Err(Reply::input("site", "Site does not exist."));
        }
        if self.sees_site(key, site) { Ok(Some(site.to_owned())) } else { Err(denied()) }
    }

    /// Ids of the shop are unique within a site only, so the site must be known
    /// (protocols/retailcrm.md#site).
    fn find_by_external_id(&mut self, key: usize, account: AccountId, external_id: &str) -> Result<i64, Reply> {
        let site = self.site(key, account)?;
        let many = match &self.world.key_rows[key].sites {
            None => self.world.accounts[account.0].references.sites.len() > 1,
            Some(sites) => sites.len() > 1,
        };
        if site.is_none() && many {
            return Err(Reply::missing("site"));
        }
        for id in self.world.accounts[account.0].ids_by_external_id(external_id) {
            if let Some(order) = self.world.accounts[account.0].visible(id, self.now)
                && order.external_id.as_deref() == Some(external_id)
                && site.as_ref().is_none_or(|site| *site == order.site)
                && self.sees_site(key, &order.site)
            {
                return Ok(id);
            }
        }
        Err(not_found())
    }

    fn find_order(&mut self, key: usize, account: AccountId, id: &str, by: Option<&str>) -> Result<i64, Reply> {
        match by.unwrap_or("externalId") {
            "externalId" => self.find_by_external_id(key, account, id),
            "id" => {
                let id: i64 = id.parse().map_err(|_| not_found())?;
                let order = self.world.accounts[account.0].visible(id, self.now).ok_or_else(not_found)?;
                if self.sees_site(key, &order.site) { Ok(id) } else { Err(denied()) }
            }
            _ => Err(Reply::input("by", "The value you selected is not a valid choice.")),
        }
    }

    fn page(&self) -> Result<(usize, usize), Reply> {
        let limit = match self.params.get("limit") {
            None => 20,
            Some("20") => 20,
            Some("50") => 50,
            Some("100") => 100,
            Some(_) => return Err(Reply::input("limit", "The value you selected is not a valid choice.")),
        };
        let page = match self.params.get("page") {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|page| *page >= 1)
                .ok_or_else(|| Reply::input("page", "This value should be 1 or more."))?,
        };
        Ok((limit, page))
    }

    fn orders_list(&mut self, key: usize, account: AccountId) -> Result<Reply, Reply> {
        let (limit, page) = self.page()?;
        let filter = Filter::read(self.params)?;
        let row = &mut self.world.accounts[account.0];
        let candidates: Vec<i64> = match filter.candidates() {
            Candidates::Ids(ids) => {
                let mut ids = ids;
                ids.sort_unstable();
                ids.dedup();
                ids.into_iter().rev().collect()
            }
            Candidates::Numbers(numbers) => row.ids_by_number(numbers.into_iter()).into_iter().rev().collect(),
            Candidates::All => row.ids_newest_first(),
        };
        let mut found = Vec::new();
        for id in candidates {
            let order = self.world.accounts[account.0].visible(id, self.now);
            if let Some(order) = order
                && self.sees_site(key, &order.site)
                && filter.accepts(&order, &self.world.accounts[account.0])
            {
                found.push(id);
            }
        }
        let total = found.len();
        let shown: Vec<i64> = found.into_iter().skip((page - 1).saturating_mul(limit)).take(limit).collect();
        let row = &mut self.world.accounts[account.0];
        let texts: Vec<Arc<str>> = shown.iter().filter_map(|id| row.rendered(*id, self.now)).collect();
        let body = format!(
            r#"{{"success":true,"pagination":{},"orders":[{}]}}"#,
            pagination(limit, total, page),
            texts.join(",")
        );
        Ok(Reply { order_ids: shown, ..Reply::text(body) })
    }

    fn orders_history(&mut self, key: usize, account: AccountId) -> Result<Reply, Reply> {
        let (limit, page) = self.page()?;
        const KNOWN: [&str; 5] = ["sinceId", "orderId", "orderExternalId", "startDate", "endDate"];
        if let Some(name) = self.params.filter_names().into_iter().find(|name| !KNOWN.contains(name)) {
            return Err(Reply::input(&format!("filter[{name}]"), EXTRA_FIELD));
        }
        let since = match self.params.get("filter[sinceId]") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Reply::input("filter[sinceId]", NOT_VALID))?),
        };
        if since.is_some() && self.params.get("page").is_some() {
            return Err(Reply::input("page", "The page parameter cannot be used together with sinceId."));
        }
        let order_id: Option<i64> = self.params.get("filter[orderId]").and_then(|text| text.parse().ok());
        let external_id = self.params.get("filter[orderExternalId]");
        for name in ["filter[startDate]", "filter[endDate]"] {
            if self.params.get(name).is_some_and(|text| !wire::is_date_time(text)) {
                return Err(Reply::input(name, NOT_VALID));
            }
        }
        let (start, end) = (self.params.get("filter[startDate]"), self.params.get("filter[endDate]"));
        let row = &self.world.accounts[account.0];
        let matching: Vec<&HistoryRecord> = row
            .history(since, self.now)
            .iter()
            .filter(|record| self.sees_site(key, &record.order.site))
            .filter(|record| order_id.is_none_or(|id| record.order.id == id))
            .filter(|record| external_id.is_none_or(|id| record.order.external_id.as_deref() == Some(id)))
            .filter(|record| start.is_none_or(|start| record.at.as_str() >= start))
            .filter(|record| end.is_none_or(|end| record.at.as_str() <= end))
            .collect();
        let shown = matching.iter().skip((page - 1).saturating_mul(limit)).take(limit);
        let history: Vec<Value> = shown.map(|record| self.history_row(key, account, record)).collect();
        let generated = wire::local_text(jiff::Timestamp::now(), &self.world.zone);
        let mut body = json!({"success": true, "generatedAt": generated, "history": history});
        body["pagination"] = pagination(limit, matching.len(), page);
        Ok(Reply::json(200, &body))
    }

    fn history_row(&self, key: usize, account: AccountId, record: &HistoryRecord) -> Value {
        let row = &self.world.accounts[account.0];
        let order = &record.order;
        let mut json = Map::new();
        json.insert("id".into(), record.id.into());
        json.insert("createdAt".into(), record.at.as_str().into());
        if record.created {
            json.insert("created".into(), true.into());
        }
        match record.source {
            Source::User => {
                json.insert("source".into(), "user".into());
                json.insert("user".into(), json!({"id": order.manager_id.unwrap_or(19)}));
            }
            Source::Api(by) => {
                json.insert("source".into(), "api".into());
                json.insert("apiKey".into(), json!({"current": by == key}));
            }
            Source::Code => drop(json.insert("source".into(), "code".into())),
        }
        json.insert("field".into(), record.change.field.as_str().into());
        json.insert("oldValue".into(), record.change.old.clone());
        json.insert("newValue".into(), record.change.new.clone());
        let whole = if record.created {
            order.to_json(&row.references, row.numbers.style_of(order.id), true)
        } else {
            let mut short = json!({"id": order.id, "site": order.site, "status": order.status});
            if let Some(external_id) = &order.external_id {
                short["externalId"] = external_id.as_str().into();
            }
            if let Some(manager) = order.manager_id {
                short["managerId"] = manager.into();
            }
            short
        };
        json.insert("order".into(), whole);
        if let Some((name, value)) = &record.change.detail {
            json.insert((*name).into(), value.clone());
        }
        Value::Object(json)
    }

    /// A form field holding JSON. A JSON body has no form fields and so lands here as missing
    /// (protocols/retailcrm.md#requests).
    fn json_field(&self, name: &str) -> Result<Value, Reply> {
        let text = self.params.get(name).ok_or_else(|| Reply::missing(name))?;
        serde_json::from_str(text).map_err(|_| Reply::input(name, "Invalid JSON."))
    }

    fn object_field(&self, name: &str) -> Result<Map<String, Value>, Reply> {
        match self.json_field(name)? {
            Value::Object(map) => Ok(map),
            Value::Array(list) if list.is_empty() => Ok(Map::new()),
            _ => Err(Reply::entity(&one(name, NOT_VALID))),
        }
    }

    fn order_edit(&mut self, key: usize, account: AccountId, id: &str) -> Result<Reply, Reply> {
        let patch = self.object_field("order")?;
        self.site(key, account)?;
        let id = self.find_order(key, account, id, self.params.get("by"))?;
        if patch.contains_key("payments") {
            return Err(Reply::entity(&one("payments", EXTRA_FIELD)));
        }
        let row = &self.world.accounts[account.0];
        let mut order = row.newest(id).ok_or_else(not_found)?.as_ref().clone();
        patch::apply_order(&mut order, &patch, &row.references).map_err(|errors| Reply::entity(&errors))?;
        self.world.save(account, order, Source::Api(key));
        let text = self.world.accounts[account.0].rendered(id, Instant::now()).ok_or_else(not_found)?;
        let reply = Reply::text(format!(r#"{{"success":true,"id":{id},"order":{text}}}"#));
        Ok(Reply { order_ids: vec![id], ..reply })
    }

    /// Users are named by their groups or by their ids, never both and never neither.
    fn notify(&mut self, account: AccountId) -> Result<Reply, Reply> {
        let notification = self.object_field("notification")?;
        let text = |name: &str| notification.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |name: &str| notification.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let (kind, message) = (text("type"), text("message"));
        let groups: Vec<String> = list("userGroups").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        for (field, is_right) in [
            ("type", matches!(kind.as_str(), "api.info" | "api.error")),
            ("message", !message.trim().is_empty()),
            ("userGroups", groups.is_empty() != list("userIds").is_empty()),
        ] {
            if !is_right {
                return Err(Reply::entity(&one(field, NOT_VALID)));
            }
        }
        self.world.accounts[account.0].notified.push(Notified { kind, message, groups });
        Ok(Reply::json(200, &json!({"success": true})))
    }

    fn payment_create(&mut self, key: usize, account: AccountId) -> Result<Reply, Reply> {
        let patch = self.object_field("payment")?;
        self.site(key, account)?;
        let mut errors = FieldErrors::new();
        let link = patch.get("order").cloned().unwrap_or(Value::Null);
        let named = ["id", "externalId", "number"].iter().any(|name| !link[*name].is_null());
        if !named {
            errors.insert("order".into(), "Set one of the following fields: id, externalId, number".into());
        }
        if !patch.contains_key("type") {
            errors.insert("type".into(), "This value should not be blank.".into());
        }
        let row = &self.world.accounts[account.0];
        let default_status = row.references.payment_statuses.first().map(|status| status.code.clone());
        let mut payment = Payment::new("", 0, &default_status.unwrap_or_default());
        if let Err(more) = patch::apply_payment(&mut payment, &patch, &row.references) {
            errors.extend(more);
        }
        if !errors.is_empty() {
            return Err(Reply::entity(&errors));
        }
        let id = self.linked_order(key, account, &link)?;
        let mut order = self.world.accounts[account.0].newest(id).ok_or_else(not_found)?.as_ref().clone();
        if !patch.contains_key("amount") {
            let covered: i64 = order.payments.values().map(|payment| payment.amount).sum();
            payment.amount = (order.total() - covered).max(0);
        }
        let known: Vec<i64> = order.payments.keys().copied().collect();
        order.payments.insert(-1, payment);
        self.world.save(account, order, Source::Api(key));
        let order = self.world.accounts[account.0].newest(id).ok_or_else(not_found)?;
        let created = order.payments.keys().find(|id| !known.contains(id)).copied().unwrap_or_default();
        Ok(Reply { order_ids: vec![id], ..Reply::json(201, &json!({"success": true, "id": created})) })
    }

    fn linked_order(&mut self, key: usize, account: AccountId, link: &Value) -> Result<i64, Reply> {
        if let Some(id) = wire::read_integer(&link["id"]) {
            return self.find_order(key, account, &id.to_string(), Some("id"));
        }
        if let Some(external_id) = link["externalId"].as_str() {
            return self.find_by_external_id(key, account, external_id);
        }
        let number = link["number"].as_str().unwrap_or_default();
        let ids = self.world.accounts[account.0].ids_by_number(std::iter::once(number));
        let mut found = Vec::new();
        for id in ids {
            let order = self.world.accounts[account.0].visible(id, self.now);
            if order.is_some_and(|order| order.number == number && self.sees_site(key, &order.site)) {
                found.push(id);
            }
        }
        match found.as_slice() {
            [id] => Ok(*id),
            _ => Err(not_found()),
        }
    }

    /// The payment with its order, refused when it belongs to an online-payment module
    /// (protocols/retailcrm.md#payment-rules).
    fn own_payment(&mut self, key: usize, account: AccountId, id: i64) -> Result<(Order, Payment), Reply> {
        let gone = || Reply::refused(404, "Payment not found");
        let row = &mut self.world.accounts[account.0];
        let order = row.order_of_payment(id).and_then(|order| row.visible(order, self.now)).ok_or_else(gone)?;
        let order = row.newest(order.id).ok_or_else(gone)?.as_ref().clone();
        let payment = order.payments.get(&id).cloned().ok_or_else(gone)?;
        if !self.sees_site(key, &order.site) {
            return Err(denied());
        }
        let row = &self.world.accounts[account.0];
        let online = row.references.payment_type(&payment.payment_type).is_some_and(|kind| kind.online);
        if online {
            return Err(Reply::entity(&one("payment", "Integration payment is not editable.")));
        }
        Ok((order, payment))
    }

    fn payment_edit(&mut self, key: usize, account: AccountId, id: &str) -> Result<Reply, Reply> {
        let patch = self.object_field("payment")?;
        let site = self.site(key, account)?;
        let id = match self.params.get("by").unwrap_or("externalId") {
            "id" => id.parse().map_err(|_| Reply::refused(404, "Payment not found"))?,
            "externalId" => self
                .payment_by_external_id(account, id, site.as_deref())
                .ok_or_else(|| Reply::refused(404, "Payment not found"))?,
            _ => return Err(Reply::input("by", "The value you selected is not a valid choice.")),
        };
        let (mut order, mut payment) = self.own_payment(key, account, id)?;
        let references = &self.world.accounts[account.0].references;
        patch::apply_payment(&mut payment, &patch, references).map_err(|errors| Reply::entity(&errors))?;
        let order_id = order.id;
        order.payments.insert(id, payment);
        self.world.save(account, order, Source::Api(key));
        Ok(Reply { order_ids: vec![order_id], ..Reply::json(200, &json!({"success": true, "id": id})) })
    }

    fn payment_by_external_id(&self, account: AccountId, external_id: &str, site: Option<&str>) -> Option<i64> {
        self.world.accounts[account.0]
            .all_newest()
            .filter(|order| site.is_none_or(|site| site == order.site))
            .flat_map(|order| order.payments.values())
            .find(|payment| payment.external_id.as_deref() == Some(external_id))
            .map(|payment| payment.id)
    }

    fn payment_delete(&mut self, key: usize, account: AccountId, id: &str) -> Result<Reply, Reply> {
        let id: i64 = id.parse().map_err(|_| Reply::refused(404, "Payment not found"))?;
        let (mut order, _) = self.own_payment(key, account, id)?;
        let order_id = order.id;
        order.payments.remove(&id);
        self.world.save(account, order, Source::Api(key));
        Ok(Reply { order_ids: vec![order_id], ..Reply::json(200, &json!({"success": true})) })
    }

    fn module_edit(&mut self, account: AccountId, code: &str) -> Result<Reply, Reply> {
        let patch = self.object_field("integrationModule")?;
        let embed = &patch.get("integrations").map_or(Value::Null, |all| all["embedJs"].clone());
        let mut errors = embed::errors(embed, self.world.options.embed_js);
        let row = &mut self.world.accounts[account.0];
        let mut config = row.modules.get(code).map_or_else(|| json!({}), |module| module.config.clone());
        merge_deep(&mut config, &Value::Object(patch));
        errors.extend(module_errors(&config, code));
        if !errors.is_empty() {
            return Err(Reply::entity(&errors));
        }
        let name = config["name"].as_str().unwrap_or(code).to_owned();
        let cod: Vec<String> = {
            let module = Module { config: config.clone(), freeze: false };
            let rows = module.setting_rows("paymentTypes");
            let cod = rows.into_iter().filter(|row| row["cod"].as_bool() == Some(true));
            cod.filter_map(|row| row["code"].as_str()).map(str::to_owned).collect()
        };
        let created = !row.modules.contains_key(code);
        let freeze = row.modules.get(code).is_some_and(|module| module.freeze);
        row.modules.insert(code.to_owned(), Module { config, freeze });
        let id = match row.references.delivery_type(code) {
            Some(kind) => kind.id,
            None => {
                let defaults = vec!["cash", "bank-card"];
                let cod = if cod.is_empty() { defaults } else { cod.iter().map(String::as_str).collect() };
                row.references.put_delivery_type(code, &name, Some(code), &cod)
            }
        };
        row.references_changed();
        let info = json!({"deliveryType": {"id": id, "code": code}, "billingInfo": references::free_billing()});
        Ok(Reply::json(if created { 201 } else { 200 }, &json!({"success": true, "info": info})))
    }

    fn tracking(&mut self, key: usize, account: AccountId, code: &str) -> Result<Reply, Reply> {
        let Value::Array(updates) = self.json_field("statusUpdate")? else {
            return Err(Reply::entity(&one("statusUpdate", "This value should be of type array.")));
        };
        if updates.len() > 100 {
            return Err(Reply::entity(&one("statusUpdate", "This collection should contain 100 elements or less.")));
        }
        let row = &self.world.accounts[account.0];
        let module = row.modules.get(code).ok_or_else(not_found)?;
        if !module.is_working() {
            return Err(Reply::refused(400, "Integration module is not active."));
        }
        let mut errors = FieldErrors::new();
        let mut known = Vec::new();
        for (place, update) in updates.iter().enumerate() {
            match check_update(update, place, module) {
                Err(more) => errors.extend(more),
                Ok(delivery_id) => match row.order_of_delivery(&delivery_id, code) {
                    Some(order) => known.push((order, update)),
                    None => drop(errors.insert(format!("[{place}][deliveryId]"), "Delivery not found.".into())),
                },
            }
        }
        if !errors.is_empty() {
            return Err(Reply::entity(&errors));
        }
        self.world.accounts[account.0].batches += 1;
        let mut order_ids = Vec::new();
        for (id, update) in known {
            self.apply_tracking(key, account, code, id, update);
            order_ids.push(id);
        }
        Ok(Reply { order_ids, ..Reply::json(200, &json!({"success": true})) })
    }

    fn apply_tracking(&mut self, key: usize, account: AccountId, code: &str, id: i64, update: &Value) {
        let received_at = jiff::Timestamp::now();
        let row = &mut self.world.accounts[account.0];
        let Some(module) = row.modules.get(code) else { return };
        let Some(mut order) = row.newest(id).map(|order| order.as_ref().clone()) else { return };
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let track_number =
            text(&update["trackNumber"]).filter(|_| module.delivery()["allowTrackNumber"].as_bool() == Some(true));
        let cost = wire::read_kopecks(&update["cost"]);
        let data = &mut order.delivery.data;
        if let Some(track_number) = &track_number {
            data.insert("trackNumber".into(), track_number.as_str().into());
        }
        if let Some(cost) = cost {
            data.insert("cost".into(), wire::money(cost, MoneyStyle::Short));
            order.delivery.net_cost = cost;
        }
        if let Some(extra) = update["extraData"].as_object() {
            for (name, value) in extra {
                order.delivery.set_extra(name, value.clone());
            }
        }
        let mut entries = Vec::new();
        let history = update["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Taken as they come: a module that sends an old status after a newer one is shown the old one.
        for step in history {
            let status = step["code"].as_str().unwrap_or_default();
            let updated_at = step["updatedAt"].as_str().unwrap_or_default();
            let name = module
                .status_codes()
                .into_iter()
                .find(|row| row["code"] == step["code"])
                .and_then(|row| row["name"].as_str())
                .unwrap_or(status);
            let data = &mut order.delivery.data;
            data.insert("status".into(), status.into());
            data.insert("statusText".into(), name.into());
            if let Some(at) = wire::read_tracking_time(updated_at) {
                data.insert("statusDate".into(), wire::local_text(at, &self.world.zone).into());
            }
            match text(&step["comment"]) {
                Some(comment) => drop(data.insert("statusComment".into(), comment.into())),
                None => drop(data.remove("statusComment")),
            }
            let mapped =
                module.setting_rows("statuses").into_iter().find(|row| row["trackingStatusCode"] == step["code"]);
            if let Some(target) = mapped.and_then(|row| row["code"].as_str())
                && row.references.status(target).is_some()
            {
                target.clone_into(&mut order.status);
            }
            entries.push(TrackingEntry {
                delivery_id: update["deliveryId"].as_str().unwrap_or_default().to_owned(),
                code: status.to_owned(),
                updated_at: updated_at.to_owned(),
                comment: text(&step["comment"]),
                track_number: track_number.clone(),
                cost,
                extra_data: update["extraData"].clone(),
                received_at,
                batch: row.batches,
            });
        }
        row.tracking.entry(id).or_default().extend(entries);
        self.world.save(account, order, Source::Api(key));
    }
}

const NOT_VALID: &str = "This value is not valid.";
const EXTRA_FIELD: &str = "This form should not contain extra fields.";

fn not_found() -> Reply {
    Reply::refused(404, "Not found")
}

fn no_method() -> Reply {
    Reply::refused(404, "API method not found")
}

fn denied() -> Reply {
    Reply::refused(403, "Access denied.")
}

fn pagination(limit: usize, total: usize, page: usize) -> Value {
    json!({"limit": limit, "totalCount": total, "currentPage": page, "totalPageCount": total.div_ceil(limit)})
}

/// Returns the delivery id, or what is wrong with one element of a tracking batch.
fn check_update(update: &Value, place: usize, module: &Module) -> Result<String, FieldErrors> {
    let mut errors = FieldErrors::new();
    let delivery_id = match update["deliveryId"].as_str().filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => {
            errors.insert(format!("[{place}][deliveryId]"), "This value should not be blank.".into());
            String::new()
        }
    };
    let codes = module.status_codes();
    match update["history"].as_array().filter(|steps| !steps.is_empty()) {
        None => drop(errors.insert(format!("[{place}][history]"), "This value should not be blank.".into())),
        Some(steps) => {
            for (number, step) in steps.iter().enumerate() {
                let path = |name: &str| format!("[{place}][history][{number}][{name}]");
                let known = codes.is_empty() || codes.iter().any(|row| row["code"] == step["code"]);
                if !step["code"].is_string() || !known {
                    errors.insert(path("code"), "Unknown status code.".into());
                }
                if step["updatedAt"].as_str().and_then(wire::read_tracking_time).is_none() {
                    errors.insert(path("updatedAt"), NOT_VALID.into());
                }
                if !matches!(step["comment"], Value::Null | Value::String(_)) {
                    errors.insert(path("comment"), NOT_VALID.into());
                }
            }
        }
    }
    let declared = module.delivery()["deliveryDataFieldList"].as_array();
    match &update["extraData"] {
        Value::Object(extra) => {
            for name in extra.keys() {
                let known = declared.is_some_and(|fields| fields.iter().any(|field| field["code"] == name.as_str()));
                if !known {
                    errors.insert(format!("[{place}][extraData][{name}]"), "Unknown field.".into());
                }
            }
        }
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        _ => drop(errors.insert(format!("[{place}][extraData]"), NOT_VALID.into())),
    }
    if !matches!(update["cost"], Value::Null) && wire::read_kopecks(&update["cost"]).is_none() {
        errors.insert(format!("[{place}][cost]"), "This value should be of type float.".into());
    }
    if errors.is_empty() { Ok(delivery_id) } else { Err(errors) }
}

/// What is wrong with a module's configuration after an edit (protocols/retailcrm.md#module).
fn module_errors(config: &Value, path_code: &str) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for name in ["code", "integrationCode", "clientId", "baseUrl", "accountUrl"] {
        if config[name].as_str().is_none_or(str::is_empty) {
            errors.insert(name.into(), "This value should not be blank.".into());
        }
    }
    if config["code"].as_str().is_some_and(|code| code != path_code) {
        errors.insert("code".into(), "The code differs from the one in the path.".into());
    }
    if !config["active"].is_boolean() {
        errors.insert("active".into(), "This value should be of type bool.".into());
    }
    for name in ["baseUrl", "accountUrl", "logo"] {
        if config[name].as_str().is_some_and(|text| !text.is_empty() && url::Url::parse(text).is_err()) {
            errors.insert(name.into(), "This value is not a valid URL.".into());
        }
    }
    if config["logo"].as_str().is_some_and(|logo| !logo.is_empty() && !logo.ends_with(".svg")) {
        errors.insert("logo".into(), "The logo must be an svg file.".into());
    }
    let delivery = &config["integrations"]["delivery"];
    if !delivery.is_object() {
        errors.insert("integrations".into(), "This value should not be blank.".into());
        return errors;
    }
    let rows = |name: &str| delivery[name].as_array().cloned().unwrap_or_default();
    let mut seen = Vec::new();
    for (place, row) in rows("statusList").iter().enumerate() {
        let code = row["code"].as_str().unwrap_or_default().to_owned();
        if code.is_empty() || seen.contains(&code) {
            errors.insert(format!("integrations[delivery][statusList][{place}][code]"), NOT_VALID.into());
        }
        if row["name"].as_str().is_none_or(str::is_empty) {
            errors.insert(format!("integrations[delivery][statusList][{place}][name]"), NOT_VALID.into());
        }
        seen.push(code);
    }
    const FIELD_TYPES: [&str; 6] = ["integer", "text", "autocomplete", "checkbox", "choice", "date"];
    for list in ["deliveryDataFieldList", "shipmentDataFieldList"] {
        for (place, row) in rows(list).iter().enumerate() {
            if !row["type"].as_str().is_some_and(|kind| FIELD_TYPES.contains(&kind)) {
                errors.insert(format!("integrations[delivery][{list}][{place}][type]"), NOT_VALID.into());
            }
            if row["code"].as_str().is_none_or(str::is_empty) {
                errors.insert(format!("integrations[delivery][{list}][{place}][code]"), NOT_VALID.into());
            }
        }
    }
    for (place, row) in rows("payerType").iter().enumerate() {
        if !matches!(row.as_str(), Some("receiver" | "sender")) {
            errors.insert(format!("integrations[delivery][payerType][{place}]"), NOT_VALID.into());
        }
    }
    errors
}

/// Objects are merged, everything else replaced: what an edit leaves out, such as `settings`, stays
/// (protocols/retailcrm.md#settings).
pub(super) fn merge_deep(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge_deep(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

enum Candidates<'a> {
    All,
    Ids(Vec<i64>),
    Numbers(Vec<&'a str>),
}

/// Conditions of `GET orders` (protocols/retailcrm.md#order). A name this simulator does not know
/// is refused, so that a typo cannot pass.
struct Filter<'a> {
    params: &'a Params,
    names: Vec<&'a str>,
}

const DATE_FILTERS: [&str; 7] =
    ["createdAt", "deliveryDate", "shipmentDate", "fullPaidAt", "paidAt", "statusUpdatedAt", "firstOrder"];

impl<'a> Filter<'a> {
    fn read(params: &'a Params) -> Result<Self, Reply> {
        const LISTS: [&str; 9] = [
            "numbers",
            "ids",
            "externalIds",
            "sites",
            "extendedStatus",
            "deliveryTypes",
            "deliveryServices",
            "paymentTypes",
            "paymentStatuses",
        ];
        const SCALARS: [&str; 3] = ["deliveryExternalId", "trackNumber", "shipped"];
        let names = params.filter_names();
        for name in &names {
            let field = format!("filter[{name}]");
            if LISTS.contains(name) {
                let values = params.list(&field);
                if params.get(&field).is_some() {
                    return Err(Reply::input(&field, "This value should be of type array."));
                }
                if values.len() > 100 {
                    return Err(Reply::input(&field, "This collection should contain 100 elements or less."));
                }
                if *name == "ids" && values.iter().any(|id| id.parse::<i64>().is_err()) {
                    return Err(Reply::input(&field, NOT_VALID));
                }
                continue;
            }
            let stem = name.strip_suffix("From").or_else(|| name.strip_suffix("To"));
            if let Some(stem) = stem
                && DATE_FILTERS.contains(&stem)
            {
                let text = params.get(&field).unwrap_or_default();
                let with_time = stem == "statusUpdatedAt" && wire::is_date_time(text);
                if !wire::is_date(text) && !with_time {
                    return Err(Reply::input(&field, NOT_VALID));
                }
            } else if !SCALARS.contains(name) {
                return Err(Reply::input(&field, EXTRA_FIELD));
            }
        }
        Ok(Self { params, names })
    }

    fn values(&self, name: &str) -> Vec<&'a str> {
        self.params.list(&format!("filter[{name}]"))
    }

    fn candidates(&self) -> Candidates<'a> {
        if self.names.contains(&"ids") {
            Candidates::Ids(self.values("ids").iter().filter_map(|id| id.parse().ok()).collect())
        } else if self.names.contains(&"numbers") {
            Candidates::Numbers(self.values("numbers"))
        } else {
            Candidates::All
        }
    }

    fn accepts(&self, order: &Order, account: &super::state::Account) -> bool {
        self.names.iter().all(|name| self.accepts_one(name, order, account))
    }

    fn accepts_one(&self, name: &str, order: &Order, account: &super::state::Account) -> bool {
        let any = |value: &str| self.values(name).contains(&value);
        let scalar = self.params.get(&format!("filter[{name}]")).unwrap_or_default();
        match name {
            "ids" => any(&order.id.to_string()),
            "numbers" => any(&order.number),
            "externalIds" => order.external_id.as_deref().is_some_and(any),
            "sites" => any(&order.site),
            "extendedStatus" => {
                let group = account.references.status(&order.status).map(|status| status.group.as_str());
                any(&order.status) || group.is_some_and(any)
            }
            "deliveryTypes" => order.delivery.code.as_deref().is_some_and(any),
            "deliveryServices" => order.delivery.service.as_deref().is_some_and(any),
            "paymentTypes" => order.payments.values().any(|payment| any(&payment.payment_type)),
            "paymentStatuses" => order.payments.values().any(|payment| any(&payment.status)),
            "deliveryExternalId" => order.delivery.external_id() == Some(scalar),
            "trackNumber" => order.delivery.data.get("trackNumber").and_then(Value::as_str) == Some(scalar),
            "shipped" => order.shipped == (scalar == "1"),
            _ => {
                let (stem, from) = match name.strip_suffix("From") {
                    Some(stem) => (stem, true),
                    None => (name.strip_suffix("To").unwrap_or(name), false),
                };
                let paid: Vec<&str> =
                    order.payments.values().filter_map(|payment| payment.paid_at.as_deref()).collect();
                let values: Vec<&str> = match stem {
                    "createdAt" => vec![&order.created_at],
                    "statusUpdatedAt" => vec![&order.status_updated_at],
                    "deliveryDate" => order.delivery.date.as_deref().into_iter().collect(),
                    "shipmentDate" => vec![order.text("shipmentDate")],
                    "fullPaidAt" => order.full_paid_at.as_deref().into_iter().collect(),
                    "paidAt" => paid,
                    _ => Vec::new(),
                };
                // A day as the upper bound includes the whole day.
                values.into_iter().filter(|value| !value.is_empty()).any(|value| {
                    let comparable = value.get(..scalar.len().min(value.len())).unwrap_or(value);
                    if from { comparable >= scalar } else { comparable <= scalar }
                })
            }
        }
    }
}
