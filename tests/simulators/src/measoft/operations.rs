//! From a parsed request to an answer: which operation it is, who asks, what comes of it.

use std::sync::Arc;

use super::faults::Plan;
use super::model::{Account, Order, account_key};
use super::reference;
use super::state::{Refusal, State, grams};
use super::waybill;
use super::xml::{self, Element, Writer, money};

/// What is sent back.
pub(crate) enum Body {
    /// A complete document.
    Xml(String),
    /// Rows of a `statusreq`, rendered while they are sent.
    Rows(StatusRows),
}

/// The orders of a `statusreq` answer. They are snapshots, so rendering needs no lock.
pub(crate) struct StatusRows {
    pub(crate) orders: Vec<Arc<Order>>,
    pub(crate) account: Arc<Account>,
}

impl StatusRows {
    /// Pieces of the document, each holding at most `rows` rows.
    pub(crate) fn chunks(self, rows: usize) -> impl Iterator<Item = String> + Send + 'static {
        let total = self.orders.len();
        let rows = rows.max(1);
        let last = total.div_ceil(rows);
        (0..last.max(1)).map(move |chunk| {
            let mut text = if chunk == 0 { xml::status_start(total) } else { String::new() };
            for order in self.orders.iter().skip(chunk * rows).take(rows) {
                xml::status_row(&mut text, order, &self.account);
            }
            if total > 0 && chunk + 1 == last {
                text.push_str(xml::STATUS_END);
            }
            text
        })
    }
}

/// Result of one request.
pub(crate) struct Outcome {
    pub(crate) body: Body,
    pub(crate) code: i64,
    pub(crate) rows: usize,
}

impl Outcome {
    fn xml(text: String, rows: usize) -> Self {
        Self { body: Body::Xml(text), code: 0, rows }
    }

    fn failed(text: String, code: i64) -> Self {
        Self { body: Body::Xml(text), code, rows: 0 }
    }
}

/// `extra:login` as sent; the login may be missing.
pub(crate) fn sent_account(root: &Element) -> String {
    match root.child("auth") {
        Some(auth) => account_key(auth.attr("extra"), auth.attr("login")),
        None => String::new(),
    }
}

/// Every order number that a request names.
pub(crate) fn sent_ordernos(root: &Element) -> Vec<String> {
    let holder = if root.name == "waybill" { root.child("orders").unwrap_or(root) } else { root };
    let mut all: Vec<String> = holder.all("order").map(|order| order.attr("orderno").to_owned()).collect();
    all.push(root.value("orderno").to_owned());
    all.retain(|number| !number.is_empty());
    all
}

/// Shape 2 for wrong credentials.
pub(crate) fn auth_refusal() -> Refusal {
    Refusal::new(1, "authorization error", "Ошибка авторизации")
}

enum Access {
    Full,
    Courier,
    Open,
}

fn access(op: &str) -> Option<Access> {
    Some(match op {
        "neworder" | "editorder" | "cancelorder" | "statusreq" | "commitlaststatus" | "calculator" | "pvzlist"
        | "waybill" | "client" => Access::Full,
        "services" => Access::Courier,
        "townlist" => Access::Open,
        _ => return None,
    })
}

/// The account whose credentials a request carries, if they are right.
pub(crate) fn authenticated(state: &State, root: &Element) -> Option<usize> {
    let auth = root.child("auth")?;
    state.login(auth.attr("extra"), auth.attr("login"), auth.attr("pass"))
}

/// Carries out one request.
pub(crate) fn perform(state: &mut State, root: &Element, plan: &Plan) -> Outcome {
    state.settle();
    let op = root.name.as_str();
    let refuse = |refusal: Refusal| Outcome::failed(xml::request_error(&refusal), refusal.code);
    let Some(access) = access(op) else {
        return refuse(Refusal::new(14, "unknown function", "Неизвестная функция"));
    };
    let account = authenticated(state, root);
    match (access, account) {
        (Access::Full, None) => refuse(auth_refusal()),
        (Access::Full, Some(account)) => for_account(state, account, root, plan),
        (Access::Courier, _) => {
            let extra = root.child("auth").map_or("", |auth| auth.attr("extra"));
            if !state.is_courier(extra) {
                return refuse(auth_refusal());
            }
            services()
        }
        (Access::Open, _) => town_list(root),
    }
}

fn for_account(state: &mut State, account: usize, root: &Element, plan: &Plan) -> Outcome {
    let op = root.name.as_str();
    match op {
        "client" => {
            let mut out = Writer::document();
            out.open("client", &[]);
            out.text("code", &state.account(account).client_code);
            out.close("client");
            Outcome::xml(out.0, 0)
        }
        "neworder" | "editorder" => {
            let inputs = xml::order_inputs(root);
            if inputs.is_empty() {
                return empty_request();
            }
            let rows = if op == "neworder" {
                state.new_orders(account, inputs, plan)
            } else {
                state.edit_orders(account, inputs, plan)
            };
            let code = rows.iter().find_map(|row| row.result.as_ref().err()).map_or(0, |refusal| refusal.code);
            Outcome { body: Body::Xml(xml::create_rows(op, &rows)), code, rows: rows.len() }
        }
        "cancelorder" => {
            let numbers = xml::numbers(root);
            if numbers.is_empty() {
                return empty_request();
            }
            let rows = state.cancel_orders(account, numbers, plan);
            let code = rows.iter().find_map(|row| row.result.as_ref().err()).map_or(0, |refusal| refusal.code);
            Outcome { body: Body::Xml(xml::cancel_rows(&rows)), code, rows: rows.len() }
        }
        "statusreq" => {
            let query = xml::status_query(root);
            let orders = state.status_request(account, &query);
            let rows = orders.len();
            Outcome { body: Body::Rows(StatusRows { orders, account: state.account(account) }), code: 0, rows }
        }
        "commitlaststatus" => {
            state.commit(account, root.value("client"), root.value("streamid"));
            let mut out = Writer::document();
            out.empty(op, &[("error", "0")]);
            Outcome::xml(out.0, 0)
        }
        "calculator" => calculator(state, root),
        "pvzlist" => point_list(root),
        _ => waybills(state, account, root),
    }
}

fn empty_request() -> Outcome {
    let refusal = Refusal::new(2, "empty request", "Пустой запрос");
    Outcome::failed(xml::request_error(&refusal), refusal.code)
}

fn waybills(state: &State, account: usize, root: &Element) -> Outcome {
    let numbers = root.child("orders").map(xml::numbers).unwrap_or_default();
    let mut pages = Vec::new();
    for (orderno, ordercode) in &numbers {
        let Some(index) = state.find(account, orderno, ordercode) else {
            let refusal = Refusal::not_found();
            return Outcome::failed(xml::root_error("waybill", &refusal), refusal.code);
        };
        pages.push(state.at(index).orderno.clone());
    }
    if pages.is_empty() {
        return empty_request();
    }
    let mut out = Writer::document();
    out.open("waybill", &[]);
    out.text("content", &waybill::base64(&waybill::pdf(&pages)));
    out.close("waybill");
    Outcome::xml(out.0, pages.len())
}

fn services() -> Outcome {
    let mut out = Writer::document();
    out.open("services", &[]);
    for service in reference::SERVICES {
        out.open("service", &[]);
        out.text("code", service.code);
        out.text("name", service.name);
        out.close("service");
    }
    out.close("services");
    Outcome::xml(out.0, reference::SERVICES.len())
}

// ---- calculator

fn calculator(state: &State, root: &Element) -> Outcome {
    match calculate(state, root) {
        Ok((text, rows)) => Outcome::xml(text, rows),
        Err(refusal) => Outcome::failed(xml::root_error_text("calculator", &refusal), refusal.code),
    }
}

fn calculate(state: &State, root: &Element) -> Result<(String, usize), Refusal> {
    let missing = |code, en: &str| Refusal::new(code, en, en);
    let (from, to, region, mass, service) = match (root.child("calc"), root.child("order")) {
        (Some(calc), _) => {
            (calc.attr("townfrom"), calc.attr("townto"), "", calc.attr("mass").to_owned(), calc.attr("service"))
        }
        (None, Some(order)) => {
            let receiver = order.child("receiver");
            let town = receiver.and_then(|receiver| receiver.child("town"));
            let sender = order.child("sender").map_or("", |sender| sender.value("town"));
            (
                if sender.is_empty() { "Москва город" } else { sender },
                town.map_or("", Element::text),
                town.map_or("", |town| town.attr("regioncode")),
                order_mass(order),
                order.value("service"),
            )
        }
        (None, None) => return Err(missing(19, "destination town is missing")),
    };
    if from.is_empty() {
        return Err(missing(18, "sender town is missing"));
    }
    if to.is_empty() {
        return Err(missing(19, "destination town is missing"));
    }
    if !state.knows_town(from) {
        return Err(missing(21, "sender town not found"));
    }
    if !state.knows_town(to) {
        return Err(missing(22, "destination town not found"));
    }
    if mass.is_empty() {
        return Err(missing(23, "mass is missing"));
    }
    let weight = grams(&mass).ok_or_else(|| missing(20, "wrong mass"))?;
    let target = reference::town(to, region);
    let source = reference::town(from, "");
    let zone = target.map_or(3, |town| town.zone);
    let services: Vec<_> =
        reference::SERVICES.iter().filter(|known| service.is_empty() || known.code == service).collect();
    if services.is_empty() {
        return Err(missing(15, "tariff not found"));
    }
    let mut out = Writer::document();
    out.open("calculator", &[]);
    for mode in &services {
        let full = money(reference::delivery_price(mode, weight, zone));
        let price = full.trim_end_matches('0').trim_end_matches('.');
        let days = mode.days + zone - 1;
        let earliest = state.today().saturating_add(jiff::Span::new().days(i64::from(days)));
        out.0.push('\n');
        out.open("calc", &[("price", price)]);
        out.leaf("townfrom", &[("code", source.map_or("", |town| town.code))], source.map_or(from, |town| town.name));
        out.leaf("townto", &[("code", target.map_or("", |town| town.code))], target.map_or(to, |town| town.name));
        out.text("mass", &mass);
        out.leaf("service", &[("name", mode.name)], mode.code);
        // The vendor answers a number or a text here.
        let zone_text = if mode.code == "2" { format!("Зона {zone}, срочная") } else { zone.to_string() };
        out.text("zone", &zone_text);
        out.text("price", price);
        out.text("mindeliverydays", &days.to_string());
        out.text("maxdeliverydays", &if mode.code == "2" { String::new() } else { (days + 1).to_string() });
        out.text("mindeliverydate", &earliest.to_string());
        out.close("calc");
    }
    out.0.push('\n');
    out.close("calculator");
    Ok((out.0, services.len()))
}

/// Weight of the newer request form: the order's own, else the sum of its places; text in kilograms.
fn order_mass(order: &Element) -> String {
    let own = order.value("weight");
    let packages: Vec<&Element> =
        order.child("packages").map(|packages| packages.all("package").collect()).unwrap_or_default();
    if !own.is_empty() || packages.is_empty() {
        return own.to_owned();
    }
    let total: Option<i64> = packages.iter().map(|package| grams(package.attr("mass"))).sum();
    total.map_or_else(|| "?".to_owned(), |grams| format!("{}.{:03}", grams / 1000, grams % 1000))
}

// ---- lists

/// (offset, count, whether totals are wanted) of the `limit` element.
fn limit(root: &Element) -> (usize, usize, bool) {
    let Some(limit) = root.child("limit") else {
        return (0, usize::MAX, false);
    };
    let from = limit.value("limitfrom").parse().unwrap_or(0);
    let count = limit.value("limitcount").parse().unwrap_or(usize::MAX);
    (from, count, limit.value("countall") == "YES")
}

/// Cuts a list down to the page asked for and writes it.
fn list<T>(root: &Element, rows: &[T], write: impl Fn(&mut Writer, &T)) -> Outcome {
    let (from, count, totals) = limit(root);
    let shown: Vec<&T> = rows.iter().skip(from).take(count).collect();
    let page = if count == usize::MAX || count == 0 { 1 } else { from / count + 1 };
    let pages = if count == usize::MAX || count == 0 { 1 } else { rows.len().div_ceil(count) };
    let mut out = Writer::document();
    xml::list_start(&mut out, &root.name, shown.len(), page, totals.then_some((rows.len(), pages)));
    for row in &shown {
        write(&mut out, row);
        out.0.push('\n');
    }
    out.close(&root.name);
    Outcome::xml(out.0, shown.len())
}

/// The name conditions that the lists share.
fn named(conditions: Option<&Element>, name: &str, full: &str) -> bool {
    let Some(conditions) = conditions else {
        return true;
    };
    let name = name.to_lowercase();
    let wanted = |condition: &str| conditions.value(condition).to_lowercase();
    name.contains(&wanted("namecontains"))
        && name.starts_with(&wanted("namestarts"))
        && (wanted("name").is_empty() || wanted("name") == name || wanted("name") == full.to_lowercase())
        && (wanted("fullname").is_empty() || wanted("fullname") == full.to_lowercase())
        && wanted("namecontainsparts").split_whitespace().all(|part| name.contains(part))
}

fn town_list(root: &Element) -> Outcome {
    let conditions = root.child("conditions");
    let region = conditions.map_or("", |all| all.value("city"));
    let towns: Vec<_> = reference::TOWNS
        .iter()
        .filter(|town| match root.child("codesearch") {
            Some(search) => {
                let hit = |field: &str, value: &str| !value.is_empty() && search.value(field) == value;
                hit("code", town.code)
                    || hit("kladrcode", town.kladr)
                    || hit("fiascode", town.fias)
                    || hit("zipcode", town.zip)
            }
            None => {
                let of = reference::region(town.region);
                let region_name = of.map_or("", |region| region.name);
                let country = conditions.map_or("", |all| all.value("country"));
                named(conditions, town.called(), town.name)
                    && (region.is_empty() || region == town.region || reference::same(region, region_name))
                    && of.is_some_and(|region| region.country.is_meant(country))
            }
        })
        .collect();
    list(root, &towns, |out, town| {
        out.open("town", &[]);
        out.text("code", town.code);
        out.open("city", &[]);
        out.text("code", town.region);
        out.text("name", reference::region(town.region).map_or("", |region| region.name));
        out.close("city");
        out.text("name", town.name);
        out.text("fiascode", town.fias);
        out.text("kladrcode", town.kladr);
        out.text("shortname", town.short);
        out.text("typename", town.kind);
        out.empty("coords", &[("lat", town.lat), ("lon", town.lon)]);
        out.close("town");
    })
}

fn point_list(root: &Element) -> Outcome {
    let wanted_town = root.value("town");
    let region = root.child("town").map_or("", |town| town.attr("regioncode"));
    let town = reference::town(wanted_town, region);
    let weight = grams(root.value("maxweight"));
    let flag = |name: &str, have: bool| root.value(name).is_empty() || (root.value(name) == "YES") == have;
    let points: Vec<_> = reference::POINTS
        .iter()
        .filter(|point| {
            let country = root.child("town").map_or("", |town| town.attr("country"));
            let in_town = wanted_town.is_empty()
                || town.is_some_and(|town| {
                    let there = reference::region(town.region).is_some_and(|region| region.country.is_meant(country));
                    town.code == point.town && there
                });
            let of = reference::TOWNS.iter().find(|town| town.code == point.town);
            let city = root.value("city");
            let in_region = city.is_empty()
                || of.is_some_and(|town| {
                    town.region == city
                        || reference::region(town.region).is_some_and(|region| reference::same(region.name, city))
                });
            in_town
                && in_region
                && [point.code, ""].contains(&root.value("code"))
                && [point.client_code, ""].contains(&root.value("client_code"))
                && ["12", ""].contains(&root.value("parentcode"))
                && weight.is_none_or(|grams| grams <= i64::from(point.max_weight_kg) * 1000)
                && flag("acceptcash", point.cash)
                && flag("acceptcard", point.card)
                && flag("acceptfitting", point.fitting)
                && flag("acceptindividuals", true)
        })
        .collect();
    let (from, count, totals) = limit(root);
    let shown: Vec<_> = points.iter().skip(from).take(count).collect();
    let (shown_count, total) = (shown.len().to_string(), points.len().to_string());
    let mut attributes = vec![("count", shown_count.as_str())];
    if totals {
        attributes.push(("totalcount", &total));
    }
    let mut out = Writer::document();
    out.open("pvzlist", &attributes);
    for point in &shown {
        write_point(&mut out, point);
    }
    out.close("pvzlist");
    Outcome::xml(out.0, shown.len())
}

fn write_point(out: &mut Writer, point: &reference::Point) {
    let yes_no = |value: bool| if value { "YES" } else { "NO" };
    let town = reference::TOWNS.iter().find(|town| town.code == point.town);
    let region = town.and_then(|town| reference::region(town.region));
    out.open("pvz", &[]);
    out.text("uid", "");
    out.text("code", point.code);
    out.text("clientcode", point.client_code);
    out.text("name", point.name);
    out.text("parentcode", "12");
    out.text("parentname", "Партнёрская сеть");
    out.leaf(
        "town",
        &[
            ("code", point.town),
            ("regioncode", region.map_or("", |region| region.code)),
            ("regionname", region.map_or("", |region| region.name)),
        ],
        town.map_or("", |town| town.name),
    );
    out.text("address", point.address);
    out.text("phone", "+74950003344");
    out.text("comment", "");
    out.text("worktime", "Пн-Вс 10:00-21:00");
    out.text("traveldescription", "вход со двора");
    out.text("maxweight", &point.max_weight_kg.to_string());
    out.text("acceptcash", yes_no(point.cash));
    out.text("acceptcard", yes_no(point.card));
    out.text("acceptfitting", yes_no(point.fitting));
    out.text("acceptindividuals", "YES");
    out.text("latitude", point.lat);
    out.text("longitude", point.lon);
    out.close("pvz");
    out.0.push('\n');
}

/// Whether a request asks for what a stream has new.
pub(crate) fn asks_only_last(root: &Element) -> bool {
    root.name == "statusreq" && root.value("changes") == "ONLY_LAST"
}
