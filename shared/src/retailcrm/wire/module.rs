//! The integration module: how RetailCRM is told what we offer (protocols/retailcrm.md#module).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::debug::debug_by;
use crate::domain::Secret;
use crate::retailcrm::tolerant::{Fields, Misread, Node, deserialize_through_value, flag, integer, object, text};
use crate::retailcrm::wire::order::{PayerType, payer};

object! {
    /// One installation of the module in one account.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct IntegrationModule(m) {
        /// Instance code, `measoft-17`: also the path of the methods.
        pub code: String = m.need("code", text)?,
        /// Code of the module as a product.
        pub integration_code: String = m.lax("integrationCode", text).unwrap_or_default(),
        pub active: bool = m.get("active", flag)?.unwrap_or_default(),
        /// Frozen by the CRM for billing; read only.
        #[serde(skip)]
        pub freeze: bool = m.get("freeze", flag)?.unwrap_or_default(),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String> = m.lax("name", text),
        /// Address of an SVG.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub logo: Option<String> = m.lax("logo", text),
        /// What RetailCRM repeats in every call to us.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_secret")]
        pub client_id: Option<Secret> = m.lax("clientId", text).map(Secret::new),
        /// Prefix of all actions.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub base_url: Option<String> = m.lax("baseUrl", text),
        /// `activity`, `settings` → path.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub actions: BTreeMap<String, String> = paths(m),
        /// Our settings page.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub account_url: Option<String> = m.lax("accountUrl", text),
        /// ISO 3166 alpha-2; empty means everywhere.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub available_countries: Vec<String> = m.texts("availableCountries").unwrap_or_default(),
        pub integrations: Integrations = m.nested("integrations", Integrations::read)?.unwrap_or_default(),
    }

    /// The kinds of integration a module has.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Integrations(i) {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delivery: Option<DeliveryConfiguration> = i.nested("delivery", DeliveryConfiguration::read)?,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub embed_js: Option<EmbedJs> = i.nested("embedJs", EmbedJs::read).ok().flatten(),
    }

    /// `integrations.embedJs`: what RetailCRM shows of ours in its own pages
    /// (protocols/retailcrm.md#widget).
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    pub struct EmbedJs(e) {
        pub entrypoint: String = e.lax("entrypoint", text).unwrap_or_default(),
        pub stylesheet: String = e.lax("stylesheet", text).unwrap_or_default(),
        pub targets: Vec<String> = e.texts("targets").unwrap_or_default(),
        /// `worker`.
        pub runner: String = e.lax("runner", text).unwrap_or_default(),
        pub pages: Vec<EmbedPage> = e.all("pages", EmbedPage::read).unwrap_or_default(),
    }

    /// A page of ours with its place in RetailCRM's menu.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct EmbedPage(p) {
        pub code: String = p.code("code")?,
        pub menu: String = p.lax("menu", text).unwrap_or_default(),
        pub parent_menu_item_code: String = p.lax("parentMenuItemCode", text).unwrap_or_default(),
        pub menu_item_ordering: i64 = p.lax("menuItemOrdering", integer).unwrap_or_default(),
        /// `ru`, `en`, `es` → text. All three are wanted.
        pub menu_item_title: BTreeMap<String, String> =
            p.extra("menuItemTitle").unwrap_or_default().into_iter().filter_map(|(l, t)| Some((l, text(&t).ok()??))).collect(),
    }

    /// `integrations.delivery` (protocols/retailcrm.md#delivery-configuration). What we told the
    /// CRM ourselves is not worth failing over; what the manager set is.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct DeliveryConfiguration(d) {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub description: Option<String> = d.lax("description", text),
        /// `calculate`, `save`… → path. What is not listed is not called.
        pub actions: BTreeMap<String, String> = paths(d),
        pub payer_type: Vec<PayerType> = d.some("payerType", |node| node.scalar(payer)).unwrap_or_default(),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub plate_print_limit: Option<i64> = d.lax("platePrintLimit", integer),
        pub rate_delivery_cost: bool = d.lax("rateDeliveryCost", flag).unwrap_or(true),
        pub allow_packages: bool = d.lax("allowPackages", flag).unwrap_or_default(),
        pub cod_available: bool = d.lax("codAvailable", flag).unwrap_or_default(),
        pub self_shipment_available: bool = d.lax("selfShipmentAvailable", flag).unwrap_or_default(),
        pub allow_track_number: bool = d.lax("allowTrackNumber", flag).unwrap_or_default(),
        pub duplicate_order_product_supported: bool =
            d.lax("duplicateOrderProductSupported", flag).unwrap_or_default(),
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub available_countries: Vec<String> = d.texts("availableCountries").unwrap_or_default(),
        /// Checked by the CRM before it calls `save`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub required_fields: Vec<String> = d.texts("requiredFields").unwrap_or_default(),
        pub status_list: Vec<ModuleStatus> = d.all("statusList", ModuleStatus::read).unwrap_or_default(),
        pub plate_list: Vec<Plate> = d.all("plateList", Plate::read).unwrap_or_default(),
        pub delivery_data_field_list: Vec<DataField> =
            d.all("deliveryDataFieldList", DataField::read).unwrap_or_default(),
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub shipment_data_field_list: Vec<DataField> =
            d.all("shipmentDataFieldList", DataField::read).unwrap_or_default(),
        /// Sent at the first registration only: later the manager's choice is in it
        /// (protocols/retailcrm.md#settings).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub settings: Option<ModuleSettings> = d.nested("settings", ModuleSettings::read)?,
    }

    /// A status our deliveries can have.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct ModuleStatus(s) {
        pub code: String = s.code("code")?,
        pub name: String = s.lax("name", text).unwrap_or_default(),
        /// The manager may still edit the delivery.
        pub is_editable: bool = s.lax("isEditable", flag).unwrap_or_default(),
        /// The manager is notified.
        pub is_error: bool = s.lax("isError", flag).unwrap_or_default(),
        /// Registration is still going on.
        pub is_preprocessing: bool = s.lax("isPreprocessing", flag).unwrap_or_default(),
    }

    /// A printed form.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    pub struct Plate(p) {
        /// `order` or `shipment`.
        #[serde(rename = "type")]
        pub kind: String = p.lax("type", text).unwrap_or_else(|| "order".to_owned()),
        pub code: String = p.code("code")?,
        pub label: String = p.lax("label", text).unwrap_or_default(),
    }

    /// An extra field of the order's delivery block (protocols/retailcrm.md#data-fields).
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct DataField(f) {
        pub code: String = f.code("code")?,
        pub label: String = f.lax("label", text).unwrap_or_default(),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub hint: Option<String> = f.lax("hint", text),
        /// `text`, `choice`, `integer`, `checkbox`, `date`, `autocomplete`.
        #[serde(rename = "type")]
        pub kind: String = f.lax("type", text).unwrap_or_else(|| "text".to_owned()),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub multiple: Option<bool> = f.lax("multiple", flag),
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub choices: Vec<Choice> = f.each("choices", Choice::read)?,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub autocomplete_url: Option<String> = f.lax("autocompleteUrl", text),
        pub visible: bool = f.lax("visible", flag).unwrap_or(true),
        pub required: bool = f.lax("required", flag).unwrap_or_default(),
        /// Sent to `calculate`.
        pub affects_cost: bool = f.lax("affectsCost", flag).unwrap_or_default(),
        pub editable: bool = f.lax("editable", flag).unwrap_or(true),
    }

    /// What the shop's manager sets in RetailCRM (protocols/retailcrm.md#settings).
    #[derive(Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct ModuleSettings(s) {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub default_payer_type: Option<PayerType> = s.lax("defaultPayerType", payer),
        /// `auto` or `manual`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cost_calculate_by: Option<String> = s.lax("costCalculateBy", text),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub null_declared_value: Option<bool> = s.lax("nullDeclaredValue", flag),
        /// New orders are not synchronised by themselves.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub locked_by_default: Option<bool> = s.lax("lockedByDefault", flag),
        /// «Способы оплаты».
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub payment_types: Vec<ModulePaymentType> = s.all("paymentTypes", ModulePaymentType::read)?,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub shipment_points: Vec<ShipmentPoint> = s.all("shipmentPoints", ShipmentPoint::read).unwrap_or_default(),
        /// «Статусы».
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub statuses: Vec<StatusMapping> = s.each("statuses", StatusMapping::read)?,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub delivery_extra_data: BTreeMap<String, Value> = s.extra("deliveryExtraData").unwrap_or_default(),
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub shipment_extra_data: BTreeMap<String, Value> = s.extra("shipmentExtraData").unwrap_or_default(),
    }

    /// A payment type of the account within this delivery.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    pub struct ModulePaymentType(p) {
        pub code: String = p.code("code")?,
        /// Usable with this delivery.
        pub active: bool = p.get("active", flag)?.unwrap_or_default(),
        /// Counts as cash on delivery.
        pub cod: bool = p.get("cod", flag)?.unwrap_or_default(),
    }

    /// Which drop-off point serves a store.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct ShipmentPoint(p) {
        /// Code of the store.
        pub code: String = p.code("code")?,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shipment_point_id: Option<String> = p.lax("shipmentPointId", text),
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shipment_point_label: Option<String> = p.lax("shipmentPointLabel", text),
    }
}

// The extra data hold the delivery's key.
debug_by! { ModuleSettings: locked_by_default, payment_types, statuses; }
deserialize_through_value!(IntegrationModule);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
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

impl IntegrationModule {
    /// The manager's settings, when the CRM gave them.
    pub fn settings(&self) -> Option<&ModuleSettings> {
        self.integrations.delivery.as_ref()?.settings.as_ref()
    }

    /// Switched on and paid for.
    pub const fn is_working(&self) -> bool {
        self.active && !self.freeze
    }
}

impl ModuleSettings {
    /// Whether payments of this type are cash on delivery; `None` when the settings do not
    /// know the type.
    pub fn is_cod(&self, payment_type: &str) -> Option<bool> {
        self.payment_types.iter().find(|known| known.code == payment_type).map(|known| known.cod)
    }
}

impl ModuleInfo {
    /// Reads the answer of an edit; `info` may be an empty list.
    pub fn read(answer: &Value) -> Self {
        let kind = &answer["info"]["deliveryType"];
        let code = text(&kind["code"]).ok().flatten();
        Self { delivery_type: code.map(|code| (integer(&kind["id"]).ok().flatten(), code)) }
    }
}

impl Choice {
    /// `{value, label}`, or value → label in a map (protocols/retailcrm.md#data-fields).
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        if let (Some(key), false) = (node.key, node.value.is_object()) {
            return Ok(Self { value: key.to_owned(), label: node.scalar(text)?.unwrap_or_default() });
        }
        node.read(|c| Ok(Self { value: c.code("value")?, label: c.lax("label", text).unwrap_or_default() }))
    }
}

impl StatusMapping {
    /// An object, or our code → the CRM's in a map.
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        if let (Some(key), false) = (node.key, node.value.is_object()) {
            return Ok(Self { tracking_status_code: key.to_owned(), code: node.scalar(text)?.unwrap_or_default() });
        }
        node.read(|s| {
            let tracking_status_code = s.code("trackingStatusCode")?;
            Ok(Self { tracking_status_code, code: s.get("code", text)?.unwrap_or_default() })
        })
    }
}

fn paths(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let actions = fields.extra("actions").unwrap_or_default();
    actions.into_iter().filter_map(|(name, path)| Some((name, text(&path).ok()??))).collect()
}

fn write_secret<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

#[cfg(test)]
mod tests;
