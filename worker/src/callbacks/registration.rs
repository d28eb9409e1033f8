//! Tells RetailCRM what the module offers (protocols/retailcrm.md#module).

use shared::config::Config;
use shared::domain::{Integration, Language, crm_account, status_list};
use shared::retailcrm::wire::module::{
    DataField, DeliveryConfiguration, EmbedJs, EmbedPage, IntegrationModule, Integrations, ModulePaymentType,
    ModuleSettings, ModuleStatus, Plate,
};
use shared::retailcrm::wire::order::PayerType;
use shared::retailcrm::{Crm, CrmError};
use shared::store::{self, Store};
use shared::widget;

use crate::callbacks::texts::pick;
use crate::callbacks::{KEY_FIELD, print};
use crate::order::delivery_fields;
use crate::vendor::ActiveIntegration;

/// Delivery callbacks we answer; what is not listed is not called.
pub const ACTIONS: [&str; 7] = ["calculate", "save", "get", "delete", "print", "tariffList", "shipmentPointList"];

/// What a registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Instance code, `measoft-17`.
    pub code: String,
    /// RetailCRM did not know the module before; only then our default settings are sent.
    pub first_time: bool,
    /// The delivery type RetailCRM tied to the module by itself, if any.
    pub delivery_type: Option<String>,
    pub widget: WidgetState,
}

/// What became of the order card's widget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WidgetState {
    Registered,
    /// There is none to offer.
    Without,
    /// RetailCRM takes the module only without it, and says this.
    Refused(String),
}

impl WidgetState {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Without => "without",
            Self::Refused(_) => "refused",
        }
    }
}

/// Registers the module of an integration, or brings its registration up to date. Where it is not
/// the `first` in its RetailCRM account, its name there is told apart by the integration's title.
/// With the order card's widget where its folder holds one, and RetailCRM lets the module have it.
///
/// # Errors
/// What RetailCRM says. Safe to repeat.
pub async fn register(active: &ActiveIntegration, first: bool, config: &Config) -> Result<Registered, CrmError> {
    let (public_url, module_code) = (&config.public_url, &config.module_code);
    let crm = &active.vendors.crm;
    let code = active.integration.code(module_code);
    let first_time = match crm.module(&code).await {
        Ok(_) => false,
        Err(CrmError::NotFound { .. }) => true,
        Err(error) => return Err(error),
    };
    let settings = if first_time { Some(first_settings(crm.as_ref(), &active.integration).await) } else { None };
    let mut module = module(&active.integration, public_url, module_code, settings);
    module.name = Some(name(&active.integration, first));
    let has_widget = config.widget_dir.as_deref().is_some_and(widget::is_built);
    module.integrations.embed_js = has_widget.then(|| embed_js(&active.integration, first, public_url));
    let (info, widget) = match crm.edit_module(&module).await {
        Err(why @ (CrmError::Refused { .. } | CrmError::AccessDenied { .. })) if has_widget => {
            module.integrations.embed_js = None;
            (crm.edit_module(&module).await?, WidgetState::Refused(why.to_string()))
        }
        done => (done?, if has_widget { WidgetState::Registered } else { WidgetState::Without }),
    };
    Ok(Registered { code, first_time, delivery_type: info.delivery_type.map(|(_, code)| code), widget })
}

/// Whether RetailCRM lets the module have a widget: asked by registering it with one. Answers whether
/// it then shows when the module is read, or in which words it is refused.
///
/// # Errors
/// What else RetailCRM says; [`CrmError::NotFound`] where the module is not registered.
pub async fn may_have_widget(
    active: &ActiveIntegration,
    first: bool,
    config: &Config,
) -> Result<Result<bool, String>, CrmError> {
    let crm = &active.vendors.crm;
    let mut module = module(&active.integration, &config.public_url, &config.module_code, None);
    crm.module(&module.code).await?;
    module.name = Some(name(&active.integration, first));
    module.integrations.embed_js = Some(embed_js(&active.integration, first, &config.public_url));
    match crm.edit_module(&module).await {
        Err(why @ (CrmError::Refused { .. } | CrmError::AccessDenied { .. })) => return Ok(Err(why.to_string())),
        done => done?,
    };
    Ok(Ok(crm.module(&module.code).await?.integrations.embed_js.is_some()))
}

/// Whether no other integration of its RetailCRM account is older.
pub async fn is_first(store: &Store, integration: &Integration) -> store::Result<bool> {
    let account = crm_account::address(&integration.crm_url);
    let all = store.integrations().await?;
    Ok(all.iter().all(|i| i.id.0 >= integration.id.0 || crm_account::address(&i.crm_url) != account))
}

/// The order card's widget, and its page of failures in the menu of orders.
fn embed_js(integration: &Integration, first: bool, public_url: &str) -> EmbedJs {
    let at = |file: &str| format!("{}{}/{file}", public_url.trim_end_matches('/'), widget::ENTRYPOINT);
    let which = match integration.title.trim() {
        title if !first && !title.is_empty() => format!(" — {title}"),
        _ => String::new(),
    };
    let title =
        [("ru", "Доставка MeaSoft: ошибки"), ("en", "MeaSoft delivery: failures"), ("es", "Entrega MeaSoft: errores")];
    EmbedJs {
        entrypoint: at(widget::SCRIPT),
        stylesheet: at(widget::STYLESHEET),
        targets: widget::TARGETS.map(str::to_owned).to_vec(),
        runner: "worker".to_owned(),
        pages: vec![EmbedPage {
            code: widget::PAGE.to_owned(),
            menu: "activity_main_menu".to_owned(),
            parent_menu_item_code: "orders".to_owned(),
            menu_item_ordering: 100,
            menu_item_title: title.map(|(language, text)| (language.to_owned(), format!("{text}{which}"))).into(),
        }],
    }
}

/// The whole configuration. Without `settings` the manager's choice stays.
pub fn module(
    integration: &Integration,
    public_url: &str,
    module_code: &str,
    settings: Option<ModuleSettings>,
) -> IntegrationModule {
    let base = public_url.trim_end_matches('/');
    IntegrationModule {
        code: integration.code(module_code),
        integration_code: module_code.to_owned(),
        active: true,
        freeze: false,
        name: Some(name(integration, true)),
        logo: Some(format!("{base}/retailcrm/logo.svg")),
        client_id: Some(integration.secrets.client_id.clone()),
        base_url: Some(base.to_owned()),
        actions: ["activity", "settings"].map(|name| (name.to_owned(), format!("/retailcrm/{name}"))).into(),
        account_url: Some(format!("{base}/retailcrm/account")),
        available_countries: Vec::new(),
        integrations: Integrations { delivery: Some(delivery(integration, settings)), embed_js: None },
    }
}

/// What managers know the module by.
fn name(integration: &Integration, first: bool) -> String {
    const PRODUCT: &str = "Курьерская служба 2008";
    match integration.title.trim() {
        "" => PRODUCT.to_owned(),
        _ if first => PRODUCT.to_owned(),
        title => format!("{PRODUCT} — {title}"),
    }
}

fn delivery(integration: &Integration, settings: Option<ModuleSettings>) -> DeliveryConfiguration {
    let language = integration.settings.language;
    let forms = &integration.settings.print_forms;
    let description =
        pick(language, "Передача заказов в курьерскую службу", "Hands orders over to the courier service");
    DeliveryConfiguration {
        description: Some(description.to_owned()),
        actions: ACTIONS.map(|action| (action.to_owned(), format!("/retailcrm/callback/{action}"))).into(),
        payer_type: vec![PayerType::Receiver, PayerType::Sender],
        plate_print_limit: i64::try_from(print::LIMIT).ok(),
        rate_delivery_cost: true,
        allow_packages: true,
        cod_available: true,
        self_shipment_available: true,
        allow_track_number: true,
        duplicate_order_product_supported: true,
        available_countries: Vec::new(),
        // MeaSoft needs them in every order (protocols/measoft.md#neworder).
        required_fields: ["firstName", "phone"].map(str::to_owned).to_vec(),
        status_list: statuses(integration),
        plate_list: forms
            .iter()
            .map(|form| Plate { kind: "order".to_owned(), code: form.code.clone(), label: form.label.clone() })
            .collect(),
        delivery_data_field_list: std::iter::once(key_field(language))
            .chain(delivery_fields::declared(language))
            .collect(),
        shipment_data_field_list: Vec::new(),
        settings,
    }
}

/// Shows the shop the key of its triggers.
fn key_field(language: Language) -> DataField {
    let label = pick(language, "API ключ службы доставки", "Delivery service API key");
    let hint = pick(language, "Значение для параметра key в триггерах", "Value of the triggers' parameter key");
    DataField {
        code: KEY_FIELD.to_owned(),
        label: label.to_owned(),
        hint: Some(hint.to_owned()),
        kind: "text".to_owned(),
        visible: true,
        ..DataField::default()
    }
}

/// Every status tracking may name, those of the integration's own map too.
fn statuses(integration: &Integration) -> Vec<ModuleStatus> {
    let language = integration.settings.language;
    let mut list: Vec<ModuleStatus> = status_list::all()
        .into_iter()
        .map(|status| ModuleStatus {
            code: status.code.to_owned(),
            name: status.name(language).to_owned(),
            // What failed has to be corrected, and saving it again is how that is done.
            is_editable: status.is_editable || status.is_error,
            is_error: status.is_error,
            is_preprocessing: status.is_preprocessing,
        })
        .collect();
    for code in integration.settings.status_map.values().filter(|code| !code.is_empty()) {
        if !list.iter().any(|status| status.code == *code) {
            list.push(ModuleStatus { code: code.clone(), name: code.clone(), ..ModuleStatus::default() });
        }
    }
    list
}

/// What a new registration begins with: every active payment type usable, those collected
/// at the door as the delivery types have it, orders sent by triggers.
async fn first_settings(crm: &dyn Crm, integration: &Integration) -> ModuleSettings {
    let types = crm.payment_types().await.unwrap_or_default();
    let cod = |code: &str| matches!(code, "cash" | "bank-card");
    ModuleSettings {
        default_payer_type: Some(PayerType::Sender),
        cost_calculate_by: Some("auto".to_owned()),
        null_declared_value: Some(false),
        locked_by_default: Some(true),
        payment_types: types
            .into_iter()
            .filter(|kind| kind.active)
            .map(|kind| ModulePaymentType {
                active: true,
                cod: cod(&kind.code) && !kind.integration_module,
                code: kind.code,
            })
            .collect(),
        delivery_extra_data: [(
            KEY_FIELD.to_owned(),
            serde_json::Value::String(integration.secrets.delivery_api_key.expose().to_owned()),
        )]
        .into(),
        ..ModuleSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whether_a_module_may_have_a_widget_is_asked_by_registering_it_with_one() {
        let world = crate::testing::World::new().await;
        let active = world.first();
        let code = active.integration.code(&world.tools.module_code);
        let asked = async || may_have_widget(&active, true, &world.ctx.config).await;
        assert_eq!(asked().await, Ok(Ok(true)));
        let module = world.crm.module(world.account, &code).expect("there");
        assert!(module["integrations"]["embedJs"]["entrypoint"].is_string(), "{module}");
        world.crm.configure(|options| options.embed_js = false);
        let refused = asked().await.expect("answered").expect_err("refused");
        assert!(refused.contains("Access denied"), "{refused}");
    }

    #[test]
    fn modules_of_one_account_are_told_apart_by_their_titles() {
        let shop = |title: &str| Integration { title: title.to_owned(), ..crate::testing::integration() };
        assert_eq!(name(&shop("Область"), false), "Курьерская служба 2008 — Область");
        assert_eq!(name(&shop("Область"), true), "Курьерская служба 2008");
        assert_eq!(name(&shop(" "), false), "Курьерская служба 2008");
    }
}
