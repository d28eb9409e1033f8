//! Every sample of RetailCRM's documents is read or written by something here.

use serde_json::Value;

use crate::retailcrm::error::{Reply, judge};
use crate::retailcrm::samples;
use crate::retailcrm::tolerant::{Fields, Misread, Node};
use crate::retailcrm::wire::account::{AccountSettings, Credentials};
use crate::retailcrm::wire::callbacks::{Activity, CalculateRequest, DeleteRequest, PrintRequest, SaveRequest};
use crate::retailcrm::wire::history::HistoryPage;
use crate::retailcrm::wire::module::{IntegrationModule, ModuleInfo};
use crate::retailcrm::wire::order::{read_orders, read_single};
use crate::retailcrm::wire::references::{DeliveryType, PaymentStatus, PaymentType, Status, read_reference};

/// Written by us: compared field by field in the tests of the types that write them.
const WRITTEN: &[&str] = &[
    "callback-calculate-response.json",
    "callback-delete-response.json",
    "callback-error-response.json",
    "callback-get-response.json",
    "callback-save-async-response.json",
    "callback-save-response.json",
    "callback-shipmentpointlist-response.json",
    "callback-tarifflist-response.json",
    "order-edit-request.json",
    "payment-create-request.json",
    "payment-edit-request.json",
    "tracking-request.json",
];

/// Not part of this client: triggers are read by ingress, and the bridge takes no part in
/// hand-over batches, autocompletion and the one-click connection, and has no use for some lists.
const FOREIGN: &[&str] = &[
    "callback-autocomplete-response.json",
    "callback-shipmentdelete-request.json",
    "callback-shipmentdelete-response.json",
    "callback-shipmentsave-request.json",
    "callback-shipmentsave-response.json",
    "module-update-scopes.json",
    "orders-statuses.json",
    "reference-delivery-services.json",
    "reference-sites.json",
    "reference-stores.json",
    "register-config-response.json",
    "register-request.json",
    "register-response.json",
    "system-info.json",
    "trigger-cancel.json",
    "trigger-send.json",
    "trigger-update.json",
];

fn reference<T>(sample: &Value, key: &'static str, read: fn(&Fields<'_>) -> Result<T, Misread>) -> bool {
    read_reference(sample, key, read).is_ok_and(|rows| !rows.is_empty())
}

fn module(value: &Value) -> bool {
    Node::root("module", value).read(IntegrationModule::read).is_ok_and(|module| module.settings().is_some())
}

fn is_refused(sample: &Value, status: u16, label: &str) -> bool {
    let body = sample.to_string();
    let reply =
        Reply { op: crate::retailcrm::Op::Order, status, content_type: None, retry_after: None, body: body.as_bytes() };
    judge(reply).is_err_and(|error| error.label() == label)
}

fn is_success(sample: &Value) -> bool {
    let body = sample.to_string();
    judge(Reply {
        op: crate::retailcrm::Op::Order,
        status: 200,
        content_type: None,
        retry_after: None,
        body: body.as_bytes(),
    })
    .is_ok()
}

/// `None` for a file that nothing reads.
fn reads(file: &str, s: &Value) -> Option<bool> {
    let text = |name: &str| s[name].to_string();
    Some(match file {
        "callback-activity.json" => Activity::parse(&s["request"]["activity"].to_string()).is_ok(),
        // As RetailCRM's own models write them: dates with a time, ids in a flat list.
        "callback-calculate-models-request.json" => {
            let guide = samples::read("callback-calculate-request.json")["calculate"].to_string();
            CalculateRequest::parse(&text("calculate")).is_ok_and(|read| CalculateRequest::parse(&guide) == Ok(read))
        }
        "callback-print-models-request.json" => {
            let guide = samples::read("callback-print-request.json")["print"].to_string();
            PrintRequest::parse(&text("print")).is_ok_and(|read| PrintRequest::parse(&guide) == Ok(read))
        }
        "callback-save-models-request.json" => {
            let guide = samples::read("callback-save-request.json")["save"].to_string();
            SaveRequest::parse(&text("save")).is_ok_and(|read| SaveRequest::parse(&guide) == Ok(read))
        }
        "callback-calculate-request.json" => CalculateRequest::parse(&text("calculate")).is_ok(),
        "callback-delete-request.json" => DeleteRequest::parse(&text("delete")).is_ok(),
        "callback-print-request.json" => PrintRequest::parse(&text("print")).is_ok(),
        "callback-save-edit-request.json" => SaveRequest::parse(&text("save")).is_ok_and(|s| s.delivery_id.is_some()),
        "callback-save-request.json" => SaveRequest::parse(&text("save")).is_ok_and(|s| s.delivery_id.is_none()),
        "callback-settings.json" => {
            AccountSettings::parse(&s["request"]["settings"]).is_ok_and(|settings| settings.timezone.is_some())
        }
        "credentials.json" => {
            Node::root("answer", s).read(Credentials::read).is_ok_and(|c| c.missing_scopes().is_empty())
        }
        "error-rate-limit.json" => is_refused(s, 503, "rate_limited"),
        "error-wrong-key.json" => is_refused(s, 403, "wrong_key"),
        "errors-list.json" | "errors-map.json" => is_refused(s, 400, "refused"),
        "module-edit-request.json" | "module-get-response.json" => module(&s["integrationModule"]),
        "module-edit-response.json" => ModuleInfo::read(s).delivery_type.is_some(),
        "order-edit-response.json" | "order-empty-maps.json" | "order-full.json" => read_single(&s["order"]).is_ok(),
        "orders-history.json" => HistoryPage::read(s).is_ok_and(|page| page.unreadable.is_empty()),
        "orders-list.json" => read_orders(&s["orders"]).is_ok_and(|rows| rows.iter().all(Result::is_ok)),
        "payment-create-response.json"
        | "payment-delete-response.json"
        | "payment-edit-response.json"
        | "tracking-response.json" => is_success(s),
        "reference-delivery-types.json" => reference(s, "deliveryTypes", DeliveryType::read),
        "reference-payment-statuses.json" => reference(s, "paymentStatuses", PaymentStatus::read),
        "reference-payment-types.json" => reference(s, "paymentTypes", PaymentType::read),
        "reference-statuses.json" => reference(s, "statuses", Status::read),
        "settings.json" => AccountSettings::parse(&s["settings"]).is_ok_and(|settings| settings.timezone.is_some()),
        _ => return None,
    })
}

#[test]
fn every_sample_is_read_written_or_foreign() {
    let folder = format!("{}/fixtures/retailcrm", env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let file = entry.expect("an entry").file_name().into_string().expect("a name");
        files += 1;
        let listed = WRITTEN.contains(&file.as_str()) || FOREIGN.contains(&file.as_str());
        match reads(&file, &samples::read(&file)) {
            Some(good) => assert!(good && !listed, "{file} is not read as it should be"),
            None => assert!(listed, "{file} is neither read nor written"),
        }
    }
    assert!(files >= 58, "{files} samples");
}
