//! What is asked of an account, call by call.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::domain::{CrmOrderId, OrderNumber};
use crate::retailcrm::client::CrmClient;
use crate::retailcrm::client::request::Call;
use crate::retailcrm::tolerant::{Fields, Misread, Node, format_datetime, integer};
use crate::retailcrm::wire::order::{read_orders, read_single};
use crate::retailcrm::wire::references::read_reference;
use crate::retailcrm::{
    AccountSettings, Answer, Credentials, Crm, CrmError, Deleted, DeliveryType, HistoryFrom, HistoryPage,
    IntegrationModule, ModuleInfo, NewPayment, Notification, Op, Order, PaymentPatch, PaymentStatus, PaymentType,
    ProductStatus, Resting, Status, TrackingUpdate, Unreadable,
};

/// Values of one `filter[…][]` and rows of one page (protocols/retailcrm.md#pages).
const PAGE: usize = 100;
/// More pages than any honest answer to 100 numbers has.
const MOST_PAGES: u64 = 50;

/// A page of orders.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdersPage {
    pub orders: Vec<Result<Order, Unreadable>>,
    /// From 1.
    pub page: u64,
    /// Zero when there is nothing.
    pub total_pages: u64,
}

/// A page holds what was asked for: reading more costs memory that nobody has set aside.
fn no_more_than(limit: usize, answer: &Value, name: &str) -> Result<(), CrmError> {
    let rows = match answer.get(name) {
        Some(Value::Array(rows)) => rows.len(),
        Some(Value::Object(rows)) => rows.len(),
        _ => 0,
    };
    if rows <= limit {
        return Ok(());
    }
    let excerpt = format!("{rows} rows of {name} where {limit} were asked for");
    Err(CrmError::BadAnswer { why: "more rows than were asked for", excerpt })
}

fn pages(answer: &Value) -> (u64, u64) {
    let number = |name: &str| {
        answer
            .pointer(&format!("/pagination/{name}"))
            .and_then(|value| integer(value).ok().flatten())
            .and_then(|number| u64::try_from(number).ok())
    };
    (number("currentPage").unwrap_or(1), number("totalPageCount").unwrap_or(0))
}

fn id_tag(id: CrmOrderId) -> String {
    format!("id:{id}")
}

impl CrmClient {
    /// Rows of `orders` under a filter, every page.
    async fn all_orders(
        &self,
        about: Option<String>,
        filter: &[(&str, String)],
    ) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
        let mut orders: Vec<Result<Order, Unreadable>> = Vec::new();
        let mut seen = HashSet::new();
        for page in 1..=MOST_PAGES {
            let mut call = Call::get(Op::Orders, &["orders"]).list();
            call.order.clone_from(&about);
            for (name, value) in filter {
                call = call.query(name, value);
            }
            call = call.query("limit", PAGE.to_string());
            if page > 1 {
                call = call.query("page", page.to_string());
            }
            let got = self.orders_page(call).await?;
            let empty = got.orders.is_empty();
            // A list that grows while it is read repeats rows on the next page.
            orders.extend(got.orders.into_iter().filter(|order| match order {
                Ok(order) => seen.insert(order.id),
                Err(unreadable) => unreadable.id.is_none_or(|id| seen.insert(id)),
            }));
            if empty || page >= got.total_pages {
                break;
            }
        }
        Ok(orders)
    }

    async fn orders_page(&self, call: Call<'_>) -> Result<OrdersPage, CrmError> {
        let answer = self.call(call).await?;
        no_more_than(PAGE, &answer, "orders")?;
        let orders =
            read_orders(answer.get("orders").unwrap_or(&Value::Null)).map_err(|e| CrmError::misread(&e, &answer))?;
        let (page, total_pages) = pages(&answer);
        Ok(OrdersPage { orders, page, total_pages })
    }

    async fn reference<T>(
        &self,
        op: Op,
        name: &str,
        key: &'static str,
        read: fn(&Fields<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, CrmError> {
        let answer = self.call(Call::get(op, &["reference", name]).list()).await?;
        read_reference(&answer, key, read).map_err(|error| CrmError::misread(&error, &answer))
    }
}

impl Crm for CrmClient {
    fn resting(&self) -> Option<Resting> {
        self.limiter.resting()
    }

    fn orders_by_numbers<'a>(&'a self, numbers: &'a [OrderNumber]) -> Answer<'a, Vec<Result<Order, Unreadable>>> {
        Box::pin(async move {
            let mut orders = Vec::new();
            let about = match numbers {
                [one] => Some(one.to_string()),
                _ => None,
            };
            for part in numbers.chunks(PAGE) {
                let filter: Vec<_> = part.iter().map(|number| ("filter[numbers][]", number.to_string())).collect();
                orders.extend(self.all_orders(about.clone(), &filter).await?);
            }
            Ok(orders)
        })
    }

    fn orders_by_ids<'a>(&'a self, ids: &'a [CrmOrderId]) -> Answer<'a, Vec<Result<Order, Unreadable>>> {
        Box::pin(async move {
            let mut orders = Vec::new();
            let about = match ids {
                [one] => Some(id_tag(*one)),
                _ => None,
            };
            for part in ids.chunks(PAGE) {
                let filter: Vec<_> = part.iter().map(|id| ("filter[ids][]", id.to_string())).collect();
                orders.extend(self.all_orders(about.clone(), &filter).await?);
            }
            Ok(orders)
        })
    }

    fn orders_by_delivery_types<'a>(&'a self, delivery_types: &'a [String], page: u64) -> Answer<'a, OrdersPage> {
        let mut call = Call::get(Op::Orders, &["orders"]).list();
        for kind in delivery_types {
            call = call.query("filter[deliveryTypes][]", kind);
        }
        let call = call.query("limit", PAGE.to_string()).query("page", page.max(1).to_string());
        Box::pin(self.orders_page(call))
    }

    fn order(&self, id: CrmOrderId) -> Answer<'_, Order> {
        Box::pin(async move {
            let id_text = id.to_string();
            // Without `by=id` the number would be taken for the shop's external id.
            let call = Call::get(Op::Order, &["orders", &id_text]).query("by", "id").about(id_tag(id));
            let answer = self.call(call).await?;
            let order = read_single(answer.get("order").unwrap_or(&Value::Null)).map_err(CrmError::Unreadable)?;
            if order.id != id {
                return Err(CrmError::BadAnswer { why: "another order than was asked for", excerpt: String::new() });
            }
            Ok(order)
        })
    }

    fn edit_order<'a>(&'a self, id: CrmOrderId, site: &'a str, patch: Value) -> Answer<'a, ()> {
        Box::pin(async move {
            let id_text = id.to_string();
            let call = Call::post(Op::OrderEdit, &["orders", &id_text, "edit"])
                .field("by", "id")
                .site(site)
                .field("order", patch.to_string())
                .about(id_tag(id));
            self.call(call).await.map(drop)
        })
    }

    fn tracking<'a>(&'a self, subcode: &'a str, updates: &'a [TrackingUpdate]) -> Answer<'a, ()> {
        Box::pin(async move {
            if updates.is_empty() {
                return Ok(());
            }
            let call = Call::post(Op::Tracking, &["delivery", "generic", subcode, "tracking"])
                .field("statusUpdate", json!(updates).to_string());
            self.call(call).await.map(drop)
        })
    }

    fn payment_types(&self) -> Answer<'_, Vec<PaymentType>> {
        Box::pin(self.reference(Op::PaymentTypes, "payment-types", "paymentTypes", PaymentType::read))
    }

    fn payment_statuses(&self) -> Answer<'_, Vec<PaymentStatus>> {
        Box::pin(self.reference(Op::PaymentStatuses, "payment-statuses", "paymentStatuses", PaymentStatus::read))
    }

    fn product_statuses(&self) -> Answer<'_, Vec<ProductStatus>> {
        Box::pin(self.reference(Op::ProductStatuses, "product-statuses", "productStatuses", ProductStatus::read))
    }

    fn delivery_types(&self) -> Answer<'_, Vec<DeliveryType>> {
        Box::pin(self.reference(Op::DeliveryTypes, "delivery-types", "deliveryTypes", DeliveryType::read))
    }

    fn statuses(&self) -> Answer<'_, Vec<Status>> {
        Box::pin(self.reference(Op::Statuses, "statuses", "statuses", Status::read))
    }

    fn credentials(&self) -> Answer<'_, Credentials> {
        Box::pin(async move {
            let answer = self.call(Call::unversioned(Op::Credentials, "credentials")).await?;
            Node::root("credentials", &answer)
                .read(Credentials::read)
                .map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn settings(&self) -> Answer<'_, AccountSettings> {
        Box::pin(async move {
            let answer = self.call(Call::get(Op::Settings, &["settings"])).await?;
            let settings = answer.get("settings").unwrap_or(&Value::Null);
            AccountSettings::parse(settings).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn history(&self, from: HistoryFrom, limit: u32) -> Answer<'_, HistoryPage> {
        Box::pin(async move {
            // Any other limit is refused (protocols/retailcrm.md#pages), and so is a page beside a
            // cursor.
            let limit = match limit {
                0..=20 => 20,
                21..=50 => 50,
                _ => 100,
            };
            let call = Call::get(Op::OrderHistory, &["orders", "history"]).list();
            let call = match from {
                HistoryFrom::After(id) => call.query("filter[sinceId]", id.to_string()),
                HistoryFrom::Since(at) => call.query("filter[startDate]", format_datetime(at)),
            };
            let answer = self.call(call.query("limit", limit.to_string())).await?;
            no_more_than(limit, &answer, "history")?;
            HistoryPage::read(&answer).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn create_payment<'a>(&'a self, site: &'a str, payment: &'a NewPayment) -> Answer<'a, i64> {
        Box::pin(async move {
            let call = Call::post(Op::PaymentCreate, &["orders", "payments", "create"])
                .site(site)
                .field("payment", json!(payment).to_string())
                .about(id_tag(payment.order));
            let answer = self.call(call).await?;
            integer(&answer["id"])
                .ok()
                .flatten()
                .ok_or(CrmError::BadAnswer { why: "no id of the new payment", excerpt: String::new() })
        })
    }

    fn edit_payment<'a>(&'a self, id: i64, site: &'a str, patch: &'a PaymentPatch) -> Answer<'a, ()> {
        Box::pin(async move {
            let id = id.to_string();
            let call = Call::post(Op::PaymentEdit, &["orders", "payments", &id, "edit"])
                .field("by", "id")
                .site(site)
                .field("payment", json!(patch).to_string());
            self.call(call).await.map(drop)
        })
    }

    fn delete_payment(&self, id: i64) -> Answer<'_, Deleted> {
        Box::pin(async move {
            let id = id.to_string();
            let call = Call::post(Op::PaymentDelete, &["orders", "payments", &id, "delete"]).field("id", &id);
            match self.call(call).await {
                Ok(_) => Ok(Deleted::Now),
                // A wrong path is a 404 too; that one deleted nothing.
                Err(CrmError::NotFound { text }) if !text.to_lowercase().contains("method") => Ok(Deleted::Before),
                Err(error) => Err(error),
            }
        })
    }

    fn module<'a>(&'a self, code: &'a str) -> Answer<'a, IntegrationModule> {
        Box::pin(async move {
            let answer = self.call(Call::get(Op::Module, &["integration-modules", code])).await?;
            let module = answer.get("integrationModule").unwrap_or(&Value::Null);
            Node::root("integrationModule", module)
                .read(IntegrationModule::read)
                .map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn edit_module<'a>(&'a self, module: &'a IntegrationModule) -> Answer<'a, ModuleInfo> {
        Box::pin(async move {
            let call = Call::post(Op::ModuleEdit, &["integration-modules", &module.code, "edit"])
                .field("integrationModule", json!(module).to_string());
            self.call(call).await.map(|answer| ModuleInfo::read(&answer))
        })
    }

    fn notify<'a>(&'a self, notification: &'a Notification) -> Answer<'a, ()> {
        Box::pin(async move {
            let call = Call::post(Op::NotificationSend, &["notifications", "send"])
                .field("notification", json!(notification).to_string());
            self.call(call).await.map(drop)
        })
    }
}
