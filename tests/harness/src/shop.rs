//! Shops and their orders: every sum odd, every receiver recognisable.

use serde_json::{Value, json};

use simulators::retailcrm::{AccountId, OrderBuilder, an_order};

use super::secrets::{COMMENT, EMAIL, NAME, PHONE, STREET};

/// One integration with what stands on both sides of it.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its id at the bridge.
    pub integration: i64,
    /// Its RetailCRM account.
    pub account: AccountId,
    /// The one delivery type it serves.
    pub delivery_type: String,
    /// Its MeaSoft cabinet, `extra:login`.
    pub cabinet: String,
    /// Code of its module instance in RetailCRM.
    pub module: String,
    /// Before every number at MeaSoft.
    pub prefix: String,
    /// `deliveryApiKey`, what its triggers send.
    pub key: String,
    /// `clientId` of its callbacks.
    pub client_id: String,
}

/// What is to be paid at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collect {
    /// Everything, in cash.
    Cash,
    /// Nothing: paid on the site.
    Paid,
    /// Nothing: to be paid on the site, though not yet.
    OnSite,
    /// What an advance leaves.
    Rest,
}

impl Collect {
    /// In turn.
    pub fn nth(n: usize) -> Self {
        [Self::Cash, Self::Paid, Self::OnSite, Self::Rest][n % 4]
    }
}

/// An order a story has put into RetailCRM.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Place of its shop in [`super::World::shops`].
    pub shop: usize,
    /// RetailCRM's id.
    pub id: i64,
    /// RetailCRM's number.
    pub number: String,
    /// Kopecks to collect.
    pub collect: i64,
}

/// The phone of the nth receiver.
pub(crate) fn phone(n: usize) -> String {
    format!("{PHONE}{:02}-{:02}", n / 100 % 100, n % 100)
}

/// The nth order, and the kopecks to collect for it.
pub fn a_parcel(n: usize, number: &str, delivery_type: &str, collect: Collect) -> (OrderBuilder, i64) {
    let step = i64::try_from(n).unwrap_or(0);
    let (chair, lamp, fee, advance) = (100_000 + step * 1_017, 49_990 + step * 13, 35_000 + step % 7 * 50, 30_001);
    let total = 2 * chair + lamp + fee;
    let order = an_order()
        .number(number)
        .delivery_type(delivery_type)
        .status("SentMeaSoft")
        .item("Стул складной", chair, 2, 2300)
        .item("Лампа", lamp, 1, 800)
        .delivery_cost(fee)
        .receiver(NAME, &phone(n))
        .text("email", EMAIL)
        .text("customerComment", COMMENT)
        .text("managerComment", COMMENT)
        .address("Москва", STREET);
    match collect {
        Collect::Cash => (order.payment("cash", total, "not-paid"), total),
        Collect::Paid => (order.payment("bank-card", total, "paid"), 0),
        Collect::OnSite => (order.payment("2", total, "not-paid"), 0),
        Collect::Rest => {
            (order.payment("bank-card", advance, "paid").payment("cash", total - advance, "not-paid"), total - advance)
        }
    }
}

/// A registration of the delivery module, so that RetailCRM takes statuses
/// (protocols/retailcrm.md#module): what it shows of an order is part of every story.
pub(crate) fn module(code: &str, client_id: &str, base_url: &str) -> Value {
    let status = |code: &str| json!({"code": code, "name": code, "isEditable": true, "isError": code == "ERROR"});
    let field = |code: &str| json!({"code": code, "label": code, "type": "text", "editable": false});
    let fields = ["deliveryApiKey", "courier", "plannedDate", "deliveredTo", "deliveryError", "nextStep"];
    let codes = [
        "PENDING",
        "AWAITING_SYNC",
        "NEW",
        "ACCEPTED",
        "DEPARTURE",
        "TRANSACCEPTED",
        "DELIVERY",
        "COURIERDELIVERED",
        "COMPLETE",
        "PARTIALLY",
        "CANCELED",
        "RETURNING",
        "RETURNED",
        "ERROR",
    ];
    json!({
        "code": code, "integrationCode": "measoft", "active": true, "name": "Курьерская служба 2008",
        "clientId": client_id, "baseUrl": base_url, "accountUrl": format!("{base_url}/retailcrm/account"),
        "integrations": {"delivery": {
            "payerType": ["receiver", "sender"], "allowTrackNumber": true, "codAvailable": true,
            "statusList": codes.map(status), "deliveryDataFieldList": fields.map(field),
            "actions": {"calculate": "retailcrm/callback/calculate"},
        }},
    })
}
