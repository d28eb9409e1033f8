//! The integration module: how RetailCRM is told what we offer (retailcrm-api.md E).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::Secret;
use crate::retailcrm::tolerant::{Fields, Misread, Node, deserialize_through_value, flag, integer, text};
use crate::retailcrm::wire::order::{PayerType, payer};

/// One installation of the module in one account.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationModule {
    /// Instance code, `measoft-17`: also the path of the methods.
    pub code: String,
    /// Code of the module as a product.
    pub integration_code: String,
    pub active: bool,
    /// Frozen by the CRM for billing; read only.
    #[serde(skip)]
    pub freeze: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of an SVG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<String>,
    /// What RetailCRM repeats in every call to us.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_secret")]
    pub client_id: Option<Secret>,
    /// Prefix of all actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// `activity`, `settings` → path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<String, String>,
    /// Our settings page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_url: Option<String>,
    /// ISO 3166 alpha-2; empty means everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_countries: Vec<String>,
    pub integrations: Integrations,
}

/// The kinds of integration a module has; ours has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Integrations {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryConfiguration>,
}

/// `integrations.delivery` (retailcrm-api.md E.3).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `calculate`, `save`… → path. What is not listed is not called.
    pub actions: BTreeMap<String, String>,
    #[serde(serialize_with = "write_payers")]
    pub payer_type: Vec<PayerType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plate_print_limit: Option<i64>,
    pub rate_delivery_cost: bool,
    pub allow_packages: bool,
    pub cod_available: bool,
    pub self_shipment_available: bool,
    pub allow_track_number: bool,
    pub duplicate_order_product_supported: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_countries: Vec<String>,
    /// Checked by the CRM before it calls `save`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_fields: Vec<String>,
    pub status_list: Vec<ModuleStatus>,
    pub plate_list: Vec<Plate>,
    pub delivery_data_field_list: Vec<DataField>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shipment_data_field_list: Vec<DataField>,
    /// Sent at the first registration only: later the manager's choice is in it
    /// (retailcrm-api.md E.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ModuleSettings>,
}

/// A status our deliveries can have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    pub code: String,
    pub name: String,
    /// The manager may still edit the delivery.
    pub is_editable: bool,
    /// The manager is notified.
    pub is_error: bool,
    /// Registration is still going on.
    pub is_preprocessing: bool,
}

/// A printed form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plate {
    /// `order` or `shipment`.
    #[serde(rename = "type")]
    pub kind: String,
    pub code: String,
    pub label: String,
}

/// An extra field of the order's delivery block (retailcrm-api.md E.5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataField {
    pub code: String,
    pub label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// `text`, `choice`, `integer`, `checkbox`, `date`, `autocomplete`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autocomplete_url: Option<String>,
    pub visible: bool,
    pub required: bool,
    /// Sent to `calculate`.
    pub affects_cost: bool,
    pub editable: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

/// What the shop's manager sets in RetailCRM (retailcrm-api.md E.6).
#[derive(Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleSettings {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_payer")]
    pub default_payer_type: Option<PayerType>,
    /// `auto` or `manual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_calculate_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_declared_value: Option<bool>,
    /// New orders are not synchronised by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by_default: Option<bool>,
    /// «Способы оплаты».
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payment_types: Vec<ModulePaymentType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shipment_points: Vec<ShipmentPoint>,
    /// «Статусы».
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusMapping>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub delivery_extra_data: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shipment_extra_data: BTreeMap<String, Value>,
}

/// A payment type of the account within this delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModulePaymentType {
    pub code: String,
    /// Usable with this delivery.
    pub active: bool,
    /// Counts as cash on delivery.
    pub cod: bool,
}

/// Which drop-off point serves a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentPoint {
    /// Code of the store.
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_point_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_point_label: Option<String>,
}

/// Which order status the CRM sets when one of our statuses arrives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusMapping {
    /// Ours.
    pub tracking_status_code: String,
    /// The CRM's; empty leaves the order's status alone.
    pub code: String,
}

/// What the CRM answers to a module's edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Id and code of the delivery type the CRM tied to this instance; not necessarily the
    /// one the manager made.
    pub delivery_type: Option<(Option<i64>, String)>,
}

fn write_secret<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

fn write_payer<S: Serializer>(payer: &Option<PayerType>, serializer: S) -> Result<S::Ok, S::Error> {
    payer.map(PayerType::as_str).serialize(serializer)
}

fn write_payers<S: Serializer>(payers: &[PayerType], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(payers.iter().map(|payer| payer.as_str()))
}

impl ModuleInfo {
    /// Reads the answer of an edit; `info` may be an empty list.
    #[must_use]
    pub fn read(answer: &Value) -> Self {
        let kind = &answer["info"]["deliveryType"];
        let code = text(&kind["code"]).ok().flatten();
        Self { delivery_type: code.map(|code| (integer(&kind["id"]).ok().flatten(), code)) }
    }
}

impl IntegrationModule {
    pub(crate) fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let m = node.fields()?;
        let integrations = m.object("integrations")?;
        let delivery = match &integrations {
            Some(integrations) => integrations.object("delivery")?,
            None => None,
        };
        Ok(Self {
            code: m.need("code", text)?,
            integration_code: m.lax("integrationCode", text).unwrap_or_default(),
            active: m.get("active", flag)?.unwrap_or_default(),
            freeze: m.get("freeze", flag)?.unwrap_or_default(),
            name: m.lax("name", text),
            logo: m.lax("logo", text),
            client_id: m.lax("clientId", text).map(Secret::new),
            base_url: m.lax("baseUrl", text),
            actions: paths(&m),
            account_url: m.lax("accountUrl", text),
            available_countries: m.texts("availableCountries").unwrap_or_default(),
            integrations: Integrations { delivery: delivery.map(|d| DeliveryConfiguration::read(&d)).transpose()? },
        })
    }

    /// The manager's settings, when the CRM gave them.
    #[must_use]
    pub fn settings(&self) -> Option<&ModuleSettings> {
        self.integrations.delivery.as_ref()?.settings.as_ref()
    }

    /// Switched on and paid for.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        self.active && !self.freeze
    }
}

fn paths(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let actions = fields.extra("actions").unwrap_or_default();
    actions.into_iter().filter_map(|(name, path)| Some((name, text(&path).ok()??))).collect()
}

impl DeliveryConfiguration {
    fn read(d: &Fields<'_>) -> Result<Self, Misread> {
        // What we told the CRM ourselves is not worth failing over; what the manager set is.
        Ok(Self {
            description: d.lax("description", text),
            actions: paths(d),
            payer_type: d
                .all("payerType", |node| node.scalar(payer))
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .collect(),
            plate_print_limit: d.lax("platePrintLimit", integer),
            rate_delivery_cost: d.lax("rateDeliveryCost", flag).unwrap_or(true),
            allow_packages: d.lax("allowPackages", flag).unwrap_or_default(),
            cod_available: d.lax("codAvailable", flag).unwrap_or_default(),
            self_shipment_available: d.lax("selfShipmentAvailable", flag).unwrap_or_default(),
            allow_track_number: d.lax("allowTrackNumber", flag).unwrap_or_default(),
            duplicate_order_product_supported: d.lax("duplicateOrderProductSupported", flag).unwrap_or_default(),
            available_countries: d.texts("availableCountries").unwrap_or_default(),
            required_fields: d.texts("requiredFields").unwrap_or_default(),
            status_list: d.all("statusList", ModuleStatus::read).unwrap_or_default(),
            plate_list: d.all("plateList", Plate::read).unwrap_or_default(),
            delivery_data_field_list: d.all("deliveryDataFieldList", DataField::read).unwrap_or_default(),
            shipment_data_field_list: d.all("shipmentDataFieldList", DataField::read).unwrap_or_default(),
            settings: d.object("settings")?.map(|settings| ModuleSettings::read(&settings)).transpose()?,
        })
    }
}

/// The code of an element, in it or its key when the collection is a map.
fn code(node: &Node<'_>, name: &str) -> Result<String, Misread> {
    let fields = node.fields()?;
    fields.get(name, text)?.or_else(|| node.key.map(str::to_owned)).ok_or_else(|| fields.missing(name))
}

impl ModuleStatus {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node, "code")?,
            name: s.lax("name", text).unwrap_or_default(),
            is_editable: s.lax("isEditable", flag).unwrap_or_default(),
            is_error: s.lax("isError", flag).unwrap_or_default(),
            is_preprocessing: s.lax("isPreprocessing", flag).unwrap_or_default(),
        })
    }
}

impl Plate {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        Ok(Self {
            kind: p.lax("type", text).unwrap_or_else(|| "order".to_owned()),
            code: code(node, "code")?,
            label: p.lax("label", text).unwrap_or_default(),
        })
    }
}

impl DataField {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let f = node.fields()?;
        Ok(Self {
            code: code(node, "code")?,
            label: f.lax("label", text).unwrap_or_default(),
            hint: f.lax("hint", text),
            kind: f.lax("type", text).unwrap_or_else(|| "text".to_owned()),
            multiple: f.lax("multiple", flag),
            choices: f.all("choices", Choice::read)?,
            autocomplete_url: f.lax("autocompleteUrl", text),
            visible: f.lax("visible", flag).unwrap_or(true),
            required: f.lax("required", flag).unwrap_or_default(),
            affects_cost: f.lax("affectsCost", flag).unwrap_or_default(),
            editable: f.lax("editable", flag).unwrap_or(true),
        })
    }
}

impl Choice {
    /// `{value, label}`, or value → label in a map (retailcrm-api.md E.5).
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        if let (Some(key), false) = (node.key, node.value.is_object()) {
            return Ok(Self { value: key.to_owned(), label: node.scalar(text)?.unwrap_or_default() });
        }
        let value = code(node, "value")?;
        Ok(Self { value, label: node.fields()?.lax("label", text).unwrap_or_default() })
    }
}

impl ModuleSettings {
    pub(crate) fn read(s: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            default_payer_type: s.lax("defaultPayerType", payer),
            cost_calculate_by: s.lax("costCalculateBy", text),
            null_declared_value: s.lax("nullDeclaredValue", flag),
            locked_by_default: s.lax("lockedByDefault", flag),
            payment_types: s.all("paymentTypes", ModulePaymentType::read)?,
            shipment_points: s.all("shipmentPoints", ShipmentPoint::read).unwrap_or_default(),
            statuses: s.all("statuses", StatusMapping::read)?,
            delivery_extra_data: s.extra("deliveryExtraData").unwrap_or_default(),
            shipment_extra_data: s.extra("shipmentExtraData").unwrap_or_default(),
        })
    }

    /// Whether payments of this type are cash on delivery; `None` when the settings do not
    /// know the type.
    #[must_use]
    pub fn is_cod(&self, payment_type: &str) -> Option<bool> {
        self.payment_types.iter().find(|known| known.code == payment_type).map(|known| known.cod)
    }
}

impl ModulePaymentType {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        Ok(Self {
            code: code(node, "code")?,
            active: p.get("active", flag)?.unwrap_or_default(),
            cod: p.get("cod", flag)?.unwrap_or_default(),
        })
    }
}

impl ShipmentPoint {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        Ok(Self {
            code: code(node, "code")?,
            shipment_point_id: p.lax("shipmentPointId", text),
            shipment_point_label: p.lax("shipmentPointLabel", text),
        })
    }
}

impl StatusMapping {
    /// An object, or our code → the CRM's in a map.
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        if let (Some(key), false) = (node.key, node.value.is_object()) {
            return Ok(Self { tracking_status_code: key.to_owned(), code: node.scalar(text)?.unwrap_or_default() });
        }
        let tracking_status_code = code(node, "trackingStatusCode")?;
        Ok(Self { tracking_status_code, code: node.fields()?.get("code", text)?.unwrap_or_default() })
    }
}

/// The extra data hold the delivery's key.
impl fmt::Debug for ModuleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleSettings")
            .field("locked_by_default", &self.locked_by_default)
            .field("payment_types", &self.payment_types)
            .field("statuses", &self.statuses)
            .finish_non_exhaustive()
    }
}

deserialize_through_value!(IntegrationModule);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(module: &Value) -> IntegrationModule {
        IntegrationModule::read(&Node::root("module", module)).expect("readable")
    }

    #[test]
    fn the_sample_survives_reading_and_writing_field_by_field() {
        let sample = samples::read("module-edit-request.json")["integrationModule"].clone();
        let written = serde_json::to_value(read(&sample)).expect("JSON");
        assert_eq!(samples::without_nothings(&written), samples::without_nothings(&sample));
    }

    #[test]
    fn what_the_manager_set_is_read() {
        let module = read(&samples::read("module-get-response.json")["integrationModule"]);
        assert_eq!(module.code, "measoft-17");
        assert!(module.is_working());
        let settings = module.settings().expect("settings");
        assert_eq!(settings.is_cod("cash"), Some(true));
        assert_eq!(settings.is_cod("2"), Some(false));
        assert_eq!(settings.is_cod("other"), None);
        assert_eq!(settings.locked_by_default, Some(true));
        assert_eq!(settings.default_payer_type, Some(PayerType::Sender));
        assert_eq!(
            settings.statuses[1],
            StatusMapping { tracking_status_code: "COMPLETE".into(), code: "complete".into() }
        );
        assert_eq!(settings.delivery_extra_data["deliveryApiKey"], json!("dk-7f3c9a52e1b04d6f8a90c1e2"));
        let delivery = module.integrations.delivery.as_ref().expect("delivery");
        assert_eq!(delivery.actions["tariffList"], "/retailcrm/callback/tariffs");
        assert!(delivery.status_list[0].is_preprocessing && delivery.status_list[5].is_error);
    }

    #[test]
    fn settings_come_as_lists_or_as_maps() {
        let settings = json!({
            "paymentTypes": {"cash": {"active": 1, "cod": "1"}, "2": {"code": "2", "active": true}},
            "statuses": {"COMPLETE": "complete", "NEW": {"code": "new"}, "x": {"trackingStatusCode": "LOST", "code": null}},
            "deliveryExtraData": [],
        });
        let node = Node::root("settings", &settings);
        let settings = ModuleSettings::read(&node.fields().expect("object")).expect("readable");
        assert_eq!(settings.is_cod("cash"), Some(true));
        assert_eq!(settings.is_cod("2"), Some(false));
        let pairs: Vec<(&str, &str)> =
            settings.statuses.iter().map(|s| (s.tracking_status_code.as_str(), s.code.as_str())).collect();
        assert_eq!(pairs, [("COMPLETE", "complete"), ("NEW", "new"), ("LOST", "")]);
    }

    #[test]
    fn choices_come_as_a_list_or_as_a_map() {
        let field = json!({"code": "packing", "type": "choice", "choices": {"box": "Короб", "none": {"label": "Без"}}});
        let field = DataField::read(&Node::root("field", &field)).expect("readable");
        assert_eq!(field.choices[0], Choice { value: "box".into(), label: "Короб".into() });
        assert_eq!(field.choices[1], Choice { value: "none".into(), label: "Без".into() });
    }

    #[test]
    fn the_answer_to_an_edit_may_name_a_delivery_type() {
        let info = ModuleInfo::read(&samples::read("module-edit-response.json"));
        assert_eq!(info.delivery_type, Some((Some(34), "measoft-17".into())));
        assert_eq!(ModuleInfo::read(&json!({"success": true, "info": []})), ModuleInfo::default());
    }

    #[test]
    fn debug_shows_neither_the_client_id_nor_the_delivery_key() {
        let debug = format!("{:?}", read(&samples::read("module-get-response.json")["integrationModule"]));
        assert!(!debug.contains("c1f0a6de") && !debug.contains("dk-7f"), "{debug}");
    }

    #[test]
    fn settings_are_left_out_of_a_later_registration() {
        let mut module = read(&samples::read("module-get-response.json")["integrationModule"]);
        module.integrations.delivery.as_mut().expect("delivery").settings = None;
        let written = serde_json::to_value(module).expect("JSON");
        assert!(written["integrations"]["delivery"].get("settings").is_none());
        assert!(written.get("freeze").is_none());
    }

    proptest! {
        #[test]
        fn no_field_makes_the_module_reader_panic(value in samples::any_json(), at in 0usize..400) {
            let mut module = samples::read("module-get-response.json")["integrationModule"].clone();
            let pointers = samples::pointers(&module);
            *module.pointer_mut(&pointers[at % pointers.len()]).expect("exists") = value.clone();
            let _ = IntegrationModule::read(&Node::root("module", &module));
            let _ = ModuleInfo::read(&value);
        }
    }
}
