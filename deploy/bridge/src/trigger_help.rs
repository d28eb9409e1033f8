//! `bridge trigger-help`: what to paste into RetailCRM's trigger forms.

use std::process::ExitCode;

use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::Integration;
use shared::store::Store;

use crate::args::TriggerHelp;
use crate::integration::find;
use crate::output::{Failure, Output, bold};

/// The fields whose change fires the update trigger: the vendor's documented list, and the
/// address, which that list forgets.
const FIELDS: &[&str] = &[
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

pub async fn run(args: &TriggerHelp, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let russian = match args.lang.as_str() {
        "ru" => true,
        "en" => false,
        other => return Err(Failure::Usage(format!("--lang: «{other}» is neither ru nor en"))),
    };
    let integration = find(args.id, store).await?;
    // A cancel names every pair of the account: the type that was left is not told.
    let account: Vec<Integration> =
        store.integrations().await?.into_iter().filter(|i| i.crm_url == integration.crm_url).collect();
    let forms = forms(&integration, &account, config);
    out.answer(&json!(forms), || print(&forms, russian));
    Ok(ExitCode::SUCCESS)
}

fn forms(integration: &Integration, account: &[Integration], config: &Config) -> Vec<Value> {
    let list =
        |codes: &[String]| format!("[{}]", codes.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(","));
    let own = match integration.settings.delivery_types.as_slice() {
        [] => "[\"…\"]".to_owned(),
        types => list(types),
    };
    let statuses = match integration.settings.send_statuses.as_slice() {
        [] => "[\"SentMeaSoft\"]".to_owned(),
        statuses => list(statuses),
    };
    let url = |what: &str| format!("{}/reintegrations/requests/{what}/retailcrm", config.public_url);
    let usual = json!([
        ["id", "{{ order.getNumber() }}"],
        ["sum", "{{ order.getIntegrationDeliveryData().getDeclaredSum() }}"],
        ["key", "{{ order.getIntegrationDeliveryData().getExtraData().deliveryApiKey }}"],
    ]);
    let mut cancel = vec![
        json!(["id", "{{ order.getNumber() }}"]),
        json!(["sum", "{{ order.getIntegrationDeliveryData().getDeclaredSum() }}"]),
    ];
    let mut all_types = Vec::new();
    for i in account {
        for code in &i.settings.delivery_types {
            cancel.push(json!([code, i.secrets.delivery_api_key.expose()]));
            all_types.push(code.clone());
        }
    }
    let changed: Vec<String> = FIELDS.iter().map(|f| format!("changeSet.hasChangedField(\"{f}\")")).collect();
    vec![
        json!({
            "trigger": "send", "url": url("trigger"), "parameters": usual,
            "condition": format!("order.getStatus().getCode() in {statuses} and order.getDeliveryType().getCode() in {own}"),
        }),
        json!({
            "trigger": "update", "url": url("update"), "parameters": usual,
            "condition": format!("changeSet.isUpdate() and ( {} ) and order.getDeliveryType().getCode() in {own}", changed.join(" or ")),
        }),
        json!({
            "trigger": "cancel", "url": url("cancel"), "parameters": cancel,
            "condition": format!(
                "changeSet.hasChangedField(\"delivery_type\") and changeSet.getOldValue(\"delivery_type\").getCode() in {}",
                if all_types.is_empty() { own } else { list(&all_types) }
            ),
        }),
    ]
}

fn print(forms: &[Value], russian: bool) {
    let word = |ru: &'static str, en: &'static str| if russian { ru } else { en };
    for form in forms {
        let name = match form["trigger"].as_str() {
            Some("send") => word("Отправка заказа в MeaSoft", "Send the order to MeaSoft"),
            Some("update") => word("Передача изменений заказа в MeaSoft", "Pass the order's changes to MeaSoft"),
            _ => word("Отмена заказа в MeaSoft", "Cancel the order at MeaSoft"),
        };
        println!("{}", bold(name));
        println!("  {}: {}", word("Событие", "Event"), word("Изменение заказа", "Order changed"));
        println!(
            "  {}: {}",
            word("Условие (Редактор)", "Condition (editor)"),
            form["condition"].as_str().unwrap_or("")
        );
        println!("  {}: {}", word("Действие", "Action"), word("Выполнить HTTP-запрос", "HTTP request"));
        println!("  {}: {}", word("Адрес", "Address"), form["url"].as_str().unwrap_or(""));
        println!("  {}: POST", word("HTTP метод", "HTTP method"));
        println!(
            "  {}: {}",
            word("Передавать параметры", "Pass parameters"),
            word("В теле запроса (urlencode)", "in the request body (urlencode)")
        );
        println!("  {}:", word("Параметры", "Parameters"));
        for pair in form["parameters"].as_array().into_iter().flatten() {
            println!("    {:<12} {}", pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or(""));
        }
        println!();
    }
}
