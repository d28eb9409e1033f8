//! What a shop pastes into RetailCRM's three trigger forms (retailcrm-api.md H.1, H.3).

use crate::domain::Integration;

/// The fields whose change fires the update trigger: the vendor's documented list.
const FIELDS: [&str; 27] = [
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

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Send,
    Update,
    Cancel,
}

impl Which {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Update => "update",
            Self::Cancel => "cancel",
        }
    }
}

/// One form, filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct TriggerForm {
    pub which: Which,
    pub condition: String,
    pub url: String,
    /// Name and value; the cancel trigger's hold keys.
    pub parameters: Vec<(String, String)>,
}

/// The forms of an integration. `account`: all integrations of its CRM account, since a
/// cancel names every pair there is (the type that was left is not told).
#[must_use]
pub fn forms(integration: &Integration, account: &[Integration], public_url: &str) -> [TriggerForm; 3] {
    let list =
        |codes: &[String]| format!("[{}]", codes.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(","));
    let or = |codes: &[String], usual: &str| if codes.is_empty() { format!("[\"{usual}\"]") } else { list(codes) };
    let settings = &integration.settings;
    let own = or(&settings.delivery_types, "…");
    let statuses = or(&settings.send_statuses, "SentMeaSoft");
    let url = |what: &str| format!("{}/reintegrations/requests/{what}/retailcrm", public_url.trim_end_matches('/'));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let first = [
        pair("id", "{{ order.getNumber() }}"),
        pair("sum", "{{ order.getIntegrationDeliveryData().getDeclaredSum() }}"),
    ];
    let mut usual = first.to_vec();
    usual.push(pair("key", "{{ order.getIntegrationDeliveryData().getExtraData().deliveryApiKey }}"));
    let mut cancel = first.to_vec();
    let mut all = Vec::new();
    for other in account {
        for code in &other.settings.delivery_types {
            cancel.push(pair(code, other.secrets.delivery_api_key.expose()));
            all.push(code.clone());
        }
    }
    if all.is_empty() {
        cancel.push(pair("…", integration.secrets.delivery_api_key.expose()));
    }
    let changed = FIELDS.map(|field| format!("changeSet.hasChangedField(\"{field}\")")).join(" or ");
    [
        TriggerForm {
            which: Which::Send,
            condition: format!(
                "order.getStatus().getCode() in {statuses} and order.getDeliveryType().getCode() in {own}"
            ),
            url: url("trigger"),
            parameters: usual.clone(),
        },
        TriggerForm {
            which: Which::Update,
            condition: format!("changeSet.isUpdate() and ( {changed} ) and order.getDeliveryType().getCode() in {own}"),
            url: url("update"),
            parameters: usual,
        },
        TriggerForm {
            which: Which::Cancel,
            condition: format!(
                "changeSet.hasChangedField(\"delivery_type\") and \
                 changeSet.getOldValue(\"delivery_type\").getCode() in {}",
                or(&all, "…")
            ),
            url: url("cancel"),
            parameters: cancel,
        },
    ]
}
