//! `bridge trigger-help`: what to paste into RetailCRM's trigger forms.

use std::process::ExitCode;

use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::Integration;
use shared::store::Store;
use shared::trigger_forms;

use crate::args::TriggerHelp;
use crate::integration::find;
use crate::output::{Failure, Output, bold};

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
    let forms = trigger_forms::forms(integration, account, &config.public_url);
    forms
        .into_iter()
        .map(|form| {
            json!({
                "trigger": form.which.as_str(), "url": form.url, "parameters": form.parameters,
                "condition": form.condition,
            })
        })
        .collect()
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
