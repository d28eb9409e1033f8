//! What must hold however much of the ledger was lost: whatever a row says is of the order that
//! the row is of, and so is what RetailCRM was told of it. Whose a parcel is, MeaSoft's lines say.

use std::collections::BTreeMap;

use bridge_worker::order::report::{ERROR_STATUS, module_status};
use shared::domain::{CrmOrderId, Delivery, Kopecks};
use shared::message::decode;
use shared::store::Row;
use shared::store::dead_letters::{DeadFilter, named_orders};
use shared::{args, reason};

use crate::measoft::Shipment;
use crate::world::World;

/// A row's columns without the ceremony.
trait Columns {
    fn number(&self, column: &'static str) -> Option<i64>;
    fn words(&self, column: &'static str) -> Option<String>;
}

impl Columns for Row {
    fn number(&self, column: &'static str) -> Option<i64> {
        self.opt_int(column).unwrap_or_else(|error| panic!("{column}: {error}"))
    }

    fn words(&self, column: &'static str) -> Option<String> {
        self.opt_text(column).unwrap_or_else(|error| panic!("{column}: {error}"))
    }
}

/// What is known of everybody, without the ledger.
struct Known<'a> {
    world: &'a World,
    /// By place of the integration: what its courier ever had.
    shipments: Vec<Vec<Shipment>>,
}

impl Known<'_> {
    fn place(&self, integration: Option<i64>) -> Option<usize> {
        self.world.shops.iter().position(|shop| Some(shop.id().0) == integration)
    }

    fn bore(&self, order: i64, number: &str) -> bool {
        self.world.saves.get(&order).into_iter().flatten().any(|save| save.saved.number == number)
    }

    /// The order that a number of ours is of at MeaSoft.
    fn owner(&self, at: usize, orderno: &str) -> Option<i64> {
        self.shipments[at].iter().find(|s| s.orderno.as_str() == orderno).map(|s| s.order)
    }

    fn is_of(&self, at: usize, orderno: &str, order: i64) -> bool {
        self.owner(at, orderno).is_none_or(|owner| owner == order)
    }

    fn had(&self, at: usize, order: i64, code: &str) -> bool {
        self.shipments[at].iter().any(|s| s.order == order && s.past.iter().any(|(had, _)| *had == code))
    }

    fn broke(&self, text: String) {
        self.world.said.broke(text);
    }
}

async fn rows(world: &World, sql: &str) -> Vec<Row> {
    world.store.db.fetch(sql, args![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Judges every row of every table that is about an order, and what RetailCRM was told.
pub async fn judge(world: &World) {
    world.journal.flush().await;
    let shipments = world.accounts.iter().map(|account| account.all()).collect();
    let known = Known { world, shipments };
    let owners = ledger(&known).await;
    requests(&known, &owners).await;
    way_back(&known, &owners).await;
    letters(&known, &owners).await;
    words(&known).await;
    told(&known);
}

/// Answers whose order each delivery is of.
async fn ledger(known: &Known<'_>) -> BTreeMap<i64, i64> {
    let world = known.world;
    let mut owners = BTreeMap::new();
    for row in rows(world, "SELECT * FROM deliveries").await {
        let (Some(id), Some(order), Some(at)) =
            (row.number("id"), row.number("crm_order_id"), known.place(row.number("integration_id")))
        else {
            known.broke("a delivery of nobody's".to_owned());
            continue;
        };
        owners.insert(id, order);
        let (number, orderno) = (row.words("number").unwrap_or_default(), row.words("orderno").unwrap_or_default());
        let about = |text: String| known.broke(format!("the delivery {id} of order {order}: {text}"));
        if !known.bore(order, &number) {
            about(format!("RetailCRM's number {number} was never its own"));
        }
        if !known.is_of(at, &orderno, order) {
            about(format!("its number {orderno} is that of order {:?}", known.owner(at, &orderno)));
        }
        let its = |s: &&Shipment| s.order == order;
        if let Some(code) = row.words("ordercode")
            && !known.shipments[at].iter().filter(its).any(|s| s.ordercode() == code)
        {
            about(format!("MeaSoft's own number {code} is another's"));
        }
        if let Some(price) = row.number("price")
            && !world.crm.ever_cost(order, Kopecks(price))
        {
            about(format!("{} to collect, which it never cost", Kopecks(price)));
        }
        if let Some(status) = row.words("status")
            && !known.had(at, order, &status)
        {
            about(format!("the status {status}, which it never had"));
        }
        let codes: BTreeMap<String, String> =
            serde_json::from_str(&row.words("item_codes").unwrap_or_default()).expect("codes of lines");
        let line_of = |line: &str| line.split('-').next().and_then(|id| id.parse::<i64>().ok()).map(|id| id / 100);
        if let Some(line) = codes.keys().find(|line| line_of(line) != Some(order)) {
            about(format!("the goods {line} are another's"));
        }
        let written: serde_json::Value =
            row.words("crm_written").map_or(serde_json::Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        let ours = Delivery::external_id(world.shops[at].id(), CrmOrderId(order));
        let told = written["external_id"].as_str().or(written["externalId"].as_str()).unwrap_or_default();
        if !told.is_empty() && told != ours {
            about(format!("RetailCRM was told {told} for it"));
        }
    }
    for row in rows(world, "SELECT * FROM past_deliveries").await {
        let (order, number, orderno) = (row.number("crm_order_id"), row.words("number"), row.words("orderno"));
        let (Some(order), Some(number), Some(orderno), Some(at)) =
            (order, number, orderno, known.place(row.number("integration_id")))
        else {
            continue;
        };
        if !known.bore(order, &number) || !known.is_of(at, &orderno, order) {
            known.broke(format!("what is over of order {order} is called {number} and {orderno}, another's"));
        }
    }
    owners
}

async fn requests(known: &Known<'_>, owners: &BTreeMap<i64, i64>) {
    for row in rows(known.world, "SELECT * FROM order_intents").await {
        let (order, number) = (row.number("crm_order_id").unwrap_or(0), row.words("number").unwrap_or_default());
        if !known.bore(order, &number) {
            known.broke(format!("the wish for order {order} names {number}, which is another's"));
        }
        if let Some(declared) = row.number("declared")
            && !known.world.crm.may_declare(order, Kopecks(declared))
        {
            known.broke(format!("the wish for order {order} declares {}, another's sum", Kopecks(declared)));
        }
    }
    for row in rows(known.world, "SELECT * FROM intents WHERE delivery_id IS NOT NULL").await {
        let number = row.words("number").unwrap_or_default();
        if let Some(owner) = row.number("delivery_id").and_then(|id| owners.get(&id))
            && !known.bore(*owner, &number)
        {
            known.broke(format!("the number {number} remembers the delivery of order {owner}, which never bore it"));
        }
    }
    for row in rows(known.world, "SELECT body FROM jobs").await {
        let envelope = decode(&row.bytes("body").expect("bytes")).expect("an envelope");
        if let (Some(order), Some(number)) = (envelope.order, envelope.command.number())
            && !known.bore(order.0, number.as_str())
        {
            known.broke(format!("a message about order {order} names {number}, another's"));
        }
    }
}

async fn way_back(known: &Known<'_>, owners: &BTreeMap<i64, i64>) {
    for row in rows(known.world, "SELECT * FROM status_rows WHERE delivery_id IS NOT NULL").await {
        let at = known.place(row.number("integration_id"));
        let owner = row.number("delivery_id").and_then(|id| owners.get(&id));
        let (Some(at), Some(owner), Some(orderno)) = (at, owner, row.words("orderno")) else { continue };
        if !known.is_of(at, &orderno, *owner) {
            known.broke(format!("a status of {orderno} waits at the delivery of order {owner}"));
        }
        // The number's own order and no other's figures.
        let facts: serde_json::Value =
            row.words("facts").map_or(serde_json::Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        if facts["orderno"].as_str().is_some_and(|told| told != orderno) {
            known.broke(format!("the status of {orderno} holds what was said of {}", facts["orderno"]));
        }
    }
    for row in rows(known.world, "SELECT * FROM tracking_outbox").await {
        let at = known.place(row.number("integration_id"));
        let owner = row.number("delivery_id").and_then(|id| owners.get(&id));
        let (Some(at), Some(owner)) = (at, owner) else { continue };
        let (orderno, code) = (row.words("orderno").unwrap_or_default(), row.words("code").unwrap_or_default());
        if !known.is_of(at, &orderno, *owner) || !known.had(at, *owner, &code) {
            known.broke(format!("RetailCRM is told {code} of {orderno} for order {owner}, which was never so"));
        }
    }
    for row in rows(known.world, "SELECT * FROM payment_moves").await {
        let at = known.place(row.number("integration_id"));
        let owner = row.number("delivery_id").and_then(|id| owners.get(&id));
        let (Some(at), Some(owner)) = (at, owner) else { continue };
        for part in ["facts", "plan"] {
            let text = row.words(part).unwrap_or_default();
            let facts: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(orderno) = facts["orderno"].as_str()
                && !known.is_of(at, orderno, *owner)
            {
                known.broke(format!("the payment of order {owner} goes by what was said of {orderno}"));
            }
            for payment in payments(&facts) {
                if payment / 10 != *owner {
                    known.broke(format!("the payment of order {owner} changes payment {payment}, another's"));
                }
            }
        }
    }
}

/// Every payment that a plan names.
fn payments(plan: &serde_json::Value) -> Vec<i64> {
    match plan {
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                let own = value.as_i64().filter(|_| name == "payment");
                own.into_iter().chain(payments(value)).collect::<Vec<_>>()
            })
            .collect(),
        serde_json::Value::Array(all) => all.iter().flat_map(payments).collect(),
        _ => Vec::new(),
    }
}

async fn letters(known: &Known<'_>, owners: &BTreeMap<i64, i64>) {
    let filter = DeadFilter { all: true, ..DeadFilter::default() };
    for dead in known.world.store.dead_letters(&filter).await.expect("letters") {
        let about = |text: String| known.broke(format!("the letter {} ({}): {text}", dead.id, dead.reason));
        let many = [reason::AMBIGUOUS_NUMBER, reason::ESCAPED_NUMBER].contains(&dead.reason.as_str());
        if let (Some(order), Some(number), false) = (dead.order, &dead.number, many)
            && !known.bore(order.0, number)
        {
            about(format!("it is about order {order} and number {number}, another's"));
        }
        if let (Some(order), Some(owner)) = (dead.order, dead.delivery.and_then(|d| owners.get(&d.0)))
            && order.0 != *owner
        {
            about(format!("it is about order {order} and the delivery of order {owner}"));
        }
        if many && let Some(number) = &dead.number {
            for order in named_orders(&dead.detail.to_string()) {
                if !known.bore(order.0, number) {
                    about(format!("it names order {order}, which never bore {number}"));
                }
            }
        }
    }
}

async fn words(known: &Known<'_>) {
    let sql = "SELECT integration_id, number, orderno FROM journal WHERE number IS NOT NULL AND orderno IS NOT NULL";
    for row in rows(known.world, sql).await {
        let (number, orderno) = (row.words("number").unwrap_or_default(), row.words("orderno").unwrap_or_default());
        let Some(at) = known.place(row.number("integration_id")) else { continue };
        if let Some(owner) = known.owner(at, &orderno)
            && !known.bore(owner, &number)
        {
            known.broke(format!("the journal of {number} tells of {orderno}, which is of order {owner}"));
        }
    }
}

/// RetailCRM shows of an order what its own parcels were.
fn told(known: &Known<'_>) {
    let world = known.world;
    for order in world.saves.keys() {
        for (at, shop) in world.shops.iter().enumerate() {
            let ours = Delivery::external_id(shop.id(), CrmOrderId(*order));
            let (_, track) = world.crm.told(*order, &ours);
            let mine = |s: &&Shipment| s.order == *order;
            if let Some(track) = track
                && !known.shipments[at].iter().filter(mine).any(|s| s.orderno.as_str() == track)
            {
                known.broke(format!("RetailCRM was told the number {track} for order {order}, another's"));
            }
            let past = known.shipments[at].iter().filter(mine).flat_map(|s| s.past.iter());
            let may: Vec<String> = past.map(|(code, _)| module_status(shop, code)).collect();
            for status in world.crm.statuses_of(&ours) {
                if status != ERROR_STATUS && !may.contains(&status) {
                    known.broke(format!("RetailCRM was told {status} for order {order}, which was never so"));
                }
            }
        }
        let delivered = (0..world.shops.len())
            .any(|at| ["COMPLETE", "PARTLYDELIVERED"].iter().any(|code| known.had(at, *order, code)));
        if world.crm.is_paid(*order) && !delivered {
            known.broke(format!("the payment of order {order} is marked paid, and it was never delivered"));
        }
    }
}
