//! `bridge trigger-help`: what to paste into RetailCRM's trigger forms.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use bridge_worker::vendor::Connect as _;
use bridge_worker::vendor::connect::Clients;
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::{Integration, crm_account};
use shared::retailcrm::DeliveryType;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;
use shared::trigger_forms::{self, Served, Tied};

use crate::args::TriggerHelp;
use crate::filters::{live_integration, one_of};
use crate::output::{Failure, Output, bold};
use crate::stdout::say;

/// Exit code 1 when the forms have gaps: pasted as they are, they would never fire.
pub async fn run(args: &TriggerHelp, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let russian = match args.lang.as_str() {
        "ru" => true,
        "en" => false,
        other => return Err(one_of("--lang", other, &["ru", "en"])),
    };
    let integration = live_integration(args.id, store).await?;
    // A cancel names every pair of the account: the type that was left is not told.
    let account = crm_account::siblings(&integration, store.integrations().await?);
    let (tied, problem) = match trigger_forms::must_ask(&account) {
        false => (Vec::new(), None),
        true => match ask(&integration, config, store).await {
            Ok(tied) => (tied, None),
            Err(problem) => (Vec::new(), Some(problem)),
        },
    };
    let served = Served::all(&account, &config.module_code, &tied);
    let forms: Vec<Value> = trigger_forms::forms(integration.id, &served, &config.public_url)
        .into_iter()
        .map(|form| {
            json!({
                "trigger": form.which.as_str(), "url": form.url, "parameters": form.parameters,
                "condition": form.condition, "extended_condition": form.extended_condition,
                "literal_key": form.literal_key,
            })
        })
        .collect();
    out.answer(&json!(forms), || {
        print(&forms, russian);
        if integration.settings.is_shadow() {
            say!("{}", second_action(russian));
        }
    });
    let gaps = trigger_forms::without_types(&served);
    if gaps.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let _ = writeln!(std::io::stderr(), "bridge: {}", gap_words(&gaps, config, problem.as_deref(), russian));
    Ok(ExitCode::FAILURE)
}

/// RetailCRM's delivery types that are tied to a module.
async fn ask(integration: &Integration, config: &Config, store: &Store) -> Result<Vec<Tied>, String> {
    let journal = Journal::start(store.clone());
    let clients = Clients::new(config, store.clone(), journal.clone(), Arc::new(Metrics::new()));
    let vendors = clients.map_err(|error| error.to_string())?.connect(integration)?;
    let all = vendors.crm.delivery_types().await;
    journal.flush().await;
    let all: Vec<DeliveryType> = all.map_err(|error| error.to_string())?;
    Ok(all.into_iter().filter_map(|kind| Some((kind.code, kind.integration_code?))).collect())
}

fn gap_words(gaps: &[&Integration], config: &Config, problem: Option<&str>, russian: bool) -> String {
    let named: Vec<String> =
        gaps.iter().map(|i| format!("{} «{}» ({})", i.id, i.title, i.code(&config.module_code))).collect();
    let (named, id) = (named.join(", "), gaps[0].id);
    match (russian, problem) {
        (true, None) => format!(
            "в формах остались пропуски «…», и такие условия никогда не выполнятся: ни один тип доставки RetailCRM не \
             относится к интеграции {named}; в RetailCRM откройте тип доставки, выберите её в списке «Интегрировать с», \
             сохраните и повторите эту команду, или укажите код: `bridge integration edit {id} --delivery-type КОД`"
        ),
        (true, Some(problem)) => format!(
            "в формах остались пропуски «…», и такие условия никогда не выполнятся: типы доставки интеграции {named} не \
             указаны, а узнать их у RetailCRM не удалось ({problem}); повторите команду позже или укажите код: `bridge \
             integration edit {id} --delivery-type КОД`"
        ),
        (false, None) => format!(
            "the forms have gaps «…», and such conditions are never true: no delivery type of RetailCRM belongs to \
             integration {named}; in RetailCRM open the delivery type, choose it in the list «Интегрировать с», save and \
             run this command again, or name the code with `bridge integration edit {id} --delivery-type CODE`"
        ),
        (false, Some(problem)) => format!(
            "the forms have gaps «…», and such conditions are never true: integration {named} names no delivery type, and \
             RetailCRM could not be asked ({problem}); run this command again later, or name the code with `bridge \
             integration edit {id} --delivery-type CODE`"
        ),
    }
}

/// What is otherwise beside the integration before.
const fn second_action(russian: bool) -> &'static str {
    match russian {
        true => {
            "Режим тени: триггеры прежней интеграции остаются как есть, в каждый добавляется вторым действием HTTP-запрос с \
             этими адресом и параметрами. Вместо значения key укажите буквальный ключ: в заказах стоит ключ прежней интеграции."
        }
        false => {
            "Mode shadow: the triggers of the integration before stay as they are, and each gets a second action, an HTTP \
             request with this address and these parameters. As the value of key write the literal key: orders bear the other's."
        }
    }
}

fn print(forms: &[Value], russian: bool) {
    let word = |ru: &'static str, en: &'static str| if russian { ru } else { en };
    for form in forms {
        let text = |field: &str| form[field].as_str();
        let name = match text("trigger") {
            Some("send") => word("Отправка заказа в MeaSoft", "Send the order to MeaSoft"),
            Some("update") => word("Передача изменений заказа в MeaSoft", "Pass the order's changes to MeaSoft"),
            _ => word("Отмена заказа в MeaSoft", "Cancel the order at MeaSoft"),
        };
        say!("{}", bold(name));
        say!("  {}: {}", word("Событие", "Event"), word("Изменение заказа", "Order changed"));
        say!("  {}: {}", word("Условие (Редактор)", "Condition (editor)"), text("condition").unwrap_or(""));
        if let Some(extended) = text("extended_condition") {
            let label = word(
                "или расширенное условие, которое выполняется и при изменении адреса, комментариев, стоимости доставки, \
                 тарифа и пункта выдачи (имена этих двух полей не подтверждены)",
                "or the extended condition, also true when address, comments, delivery cost, tariff or pick-up point change (the \
                 names of these two fields are unproven)",
            );
            say!("  {label}: {extended}");
        }
        say!("  {}: {}", word("Действие", "Action"), word("Выполнить HTTP-запрос", "HTTP request"));
        say!("  {}: {}", word("Адрес", "Address"), text("url").unwrap_or(""));
        say!("  {}: POST", word("HTTP метод", "HTTP method"));
        say!(
            "  {}: {}",
            word("Передавать параметры", "Pass parameters"),
            word("В теле запроса (urlencode)", "in the request body (urlencode)")
        );
        say!("  {}:", word("Параметры", "Parameters"));
        for pair in form["parameters"].as_array().into_iter().flatten() {
            say!("    {:<12} {}", pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or(""));
        }
        if let Some(key) = text("literal_key") {
            let label = word(
                "или, если тариф в заказах не выбирают (без тарифа заказ не знает ключа), вместо значения key",
                "or, where nobody chooses a tariff (without one an order does not know the key), as the value of key",
            );
            say!("    {label}: {key}");
        }
        say!();
    }
}
