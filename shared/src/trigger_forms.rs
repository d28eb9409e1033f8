//! What a shop pastes into RetailCRM's three trigger forms (protocols/retailcrm.md#triggers).
//!
//! Conditions are Symfony's ExpressionLanguage, values are Twig templates. RetailCRM's versions
//! are unknown, so only what 4.4 to 7.4 and 2.14 to 3.x have in common is used: no `?.`, no
//! `??`. A value that may be missing is asked for first: calling a method of null ends the
//! trigger.

use crate::domain::{Integration, IntegrationId};

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

/// What the vendor's list leaves out: address, comments, delivery cost, tariff and pick-up point.
/// Address, comments and costs are named as RetailCRM's own modules name them in an order's
/// history. Of the last two the first half is RetailCRM's own (`integration_delivery_data.status`
/// in its rules for triggers, `.track_number`, `.courier`, `.locked` in histories), the second half
/// is unproven: nothing public names tariff or pick-up point. A name that RetailCRM does not know
/// is never changed, so that a wrong guess does no harm.
const MORE_FIELDS: [&str; 22] = [
    "delivery_address",
    "delivery_address.country",
    "delivery_address.index",
    "delivery_address.region",
    "delivery_address.city",
    "delivery_address.street",
    "delivery_address.building",
    "delivery_address.house",
    "delivery_address.housing",
    "delivery_address.block",
    "delivery_address.flat",
    "delivery_address.floor",
    "delivery_address.intercom_code",
    "delivery_address.metro",
    "delivery_address.notes",
    "delivery_address.text",
    "customer_comment",
    "manager_comment",
    "delivery_cost",
    "delivery_net_cost",
    "integration_delivery_data.tariff",
    "integration_delivery_data.pickuppoint_id",
];

/// Stands where a code is not known.
pub const GAP: &str = "…";

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Send,
    Update,
    Cancel,
}

impl Which {
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
    /// A choice in the condition's place that fires for more changes; of the update form.
    pub extended_condition: Option<String>,
    pub url: String,
    /// Name and value; the cancel trigger's hold keys.
    pub parameters: Vec<(String, String)>,
    /// A choice in the place of the value of `key`, for orders whose tariff nobody chose: they
    /// do not carry the key. The condition names the types, so the key is known.
    pub literal_key: Option<String>,
}

/// A delivery type of RetailCRM and the instance code of the module it is tied to.
pub type Tied = (String, String);

/// The delivery types an integration works for: those it names, else those RetailCRM ties to it.
/// `tied`: RetailCRM's types with the instance code of their module.
pub fn types_of<'a>(
    named: &'a [String],
    code: &str,
    tied: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<&'a str> {
    if !named.is_empty() {
        return named.iter().map(String::as_str).collect();
    }
    tied.into_iter().filter(|(_, instance)| *instance == Some(code)).map(|(kind, _)| kind).collect()
}

/// An integration and the delivery types it works for; none when neither it names any nor
/// RetailCRM was found to tie one to it.
#[derive(Clone)]
pub struct Served<'a> {
    pub integration: &'a Integration,
    pub types: Vec<String>,
}

impl<'a> Served<'a> {
    pub fn of(integration: &'a Integration, module_code: &str, tied: &[Tied]) -> Self {
        let code = integration.code(module_code);
        let tied = tied.iter().map(|(kind, instance)| (kind.as_str(), Some(instance.as_str())));
        let types = types_of(&integration.settings.delivery_types, &code, tied);
        Self { integration, types: types.into_iter().map(str::to_owned).collect() }
    }

    /// All integrations of one CRM account.
    pub fn all(account: &'a [Integration], module_code: &str, tied: &[Tied]) -> Vec<Self> {
        account.iter().map(|integration| Self::of(integration, module_code, tied)).collect()
    }

    fn or_gap(&self) -> Vec<String> {
        if self.types.is_empty() { vec![GAP.to_owned()] } else { self.types.clone() }
    }
}

/// Whether RetailCRM must be asked which delivery types are whose.
pub fn must_ask(account: &[Integration]) -> bool {
    account.iter().any(|integration| integration.settings.delivery_types.is_empty())
}

/// Integrations whose types nobody knows: their forms have gaps.
pub fn without_types<'a>(account: &[Served<'a>]) -> Vec<&'a Integration> {
    account.iter().filter(|served| served.types.is_empty()).map(|served| served.integration).collect()
}

/// A string of ExpressionLanguage.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(codes: &[String]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for code in codes.iter().map(|code| quoted(code)) {
        if !seen.contains(&code) {
            seen.push(code);
        }
    }
    format!("[{}]", seen.join(","))
}

fn changed(fields: impl IntoIterator<Item = &'static str>) -> String {
    let fields: Vec<String> =
        fields.into_iter().map(|field| format!("changeSet.hasChangedField(\"{field}\")")).collect();
    fields.join(" or ")
}

/// The forms of the integration `id`. `account`: all integrations of its CRM account, itself too,
/// since a cancel names every pair there is (the type that was left is not told). An
/// integration without types gets a pair of its own with [`GAP`].
pub fn forms(id: IntegrationId, account: &[Served<'_>], public_url: &str) -> Vec<TriggerForm> {
    let Some(own) = account.iter().find(|served| served.integration.id == id) else { return Vec::new() };
    let sent = &own.integration.settings.send_statuses;
    let statuses = if sent.is_empty() { list(&["SentMeaSoft".to_owned()]) } else { list(sent) };
    let url = |what: &str| format!("{}/reintegrations/requests/{what}/retailcrm", public_url.trim_end_matches('/'));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let first = [
        pair("id", "{{ order.getNumber() }}"),
        // An order that left its type has no delivery data any more.
        pair(
            "sum",
            "{{ order.getIntegrationDeliveryData() ? order.getIntegrationDeliveryData().getDeclaredSum() : \"\" }}",
        ),
    ];
    let mut usual = first.to_vec();
    usual.push(pair("key", "{{ order.getIntegrationDeliveryData().getExtraData().deliveryApiKey }}"));
    let mut cancel = first.to_vec();
    let mut all = Vec::new();
    for served in account {
        for code in served.or_gap() {
            cancel.push(pair(&code, served.integration.secrets.delivery_api_key.expose()));
            all.push(code);
        }
    }
    // An order may have no type, and may have had none: a condition that calls a method of
    // nothing ends with an error.
    let ours = format!("order.getDeliveryType() and order.getDeliveryType().getCode() in {}", list(&own.or_gap()));
    let update = |fields: String| format!("changeSet.isUpdate() and ( {fields} ) and {ours}");
    let literal_key = || Some(own.integration.secrets.delivery_api_key.expose().to_owned());
    vec![
        TriggerForm {
            which: Which::Send,
            condition: format!("order.getStatus().getCode() in {statuses} and {ours}"),
            extended_condition: None,
            url: url("trigger"),
            parameters: usual.clone(),
            literal_key: literal_key(),
        },
        TriggerForm {
            which: Which::Update,
            condition: update(changed(FIELDS)),
            extended_condition: Some(update(changed(FIELDS.into_iter().chain(MORE_FIELDS)))),
            url: url("update"),
            parameters: usual,
            literal_key: literal_key(),
        },
        TriggerForm {
            which: Which::Cancel,
            condition: format!(
                "changeSet.hasChangedField(\"delivery_type\") and changeSet.getOldValue(\"delivery_type\") and \
                 changeSet.getOldValue(\"delivery_type\").getCode() in {}",
                list(&all)
            ),
            extended_condition: None,
            url: url("cancel"),
            parameters: cancel,
            literal_key: None,
        },
    ]
}
