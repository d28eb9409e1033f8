//! `bridge order preview`: what would be done for an order now. Nothing is written.

use std::process::ExitCode;
use std::sync::Arc;

use bridge_console::seen::corrected;
use bridge_console::seen::previewed::{self, in_lines, word, words};
use bridge_worker::preview::{Decision, Difference, Field, Preview, preview};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::{Integration, Language, OrderNumber};
use shared::explain;
use shared::phrases::{Reader, Value as _};
use shared::store::Store;
use shared::store::intents::RequestKind;
use shared::story;

use crate::args::{OrderPreview, Trigger};
use crate::filters;
use crate::language::{language, of, who_acts};
use crate::output::{Failure, Output, bold, dim, green, red};
use crate::stdout::say;

pub async fn run(args: OrderPreview, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let number = OrderNumber::parse(&args.number).map_err(|bad| Failure::Usage(format!("NUMBER: {bad}")))?;
    let integration = filters::whose(args.integration, &number, store).await?;
    let asked = args.trigger.map(|trigger| match trigger {
        Trigger::Send => RequestKind::Send,
        Trigger::Update => RequestKind::Update,
    });
    let found = preview(&Arc::new(config.clone()), store, &integration, &number, asked).await?;
    let language = language();
    let reader = Reader::new(language, config.display_zone.clone());
    let document = document(&found, &integration, &number, args.unmask, language);
    out.answer(&document, || {
        lines(&found, &integration, &number, args.unmask, &reader).iter().for_each(|line| say!("{line}"));
    });
    Ok(if found.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const fn asked(found: &Preview) -> Option<&'static str> {
    match found.asked {
        None => None,
        Some(RequestKind::Send) => Some("send"),
        Some(RequestKind::Update) => Some("update"),
        Some(RequestKind::Cancel) => Some("cancel"),
    }
}

const fn field(field: &Field) -> (&'static str, Option<&String>) {
    match field {
        Field::Sum => ("sum", None),
        Field::PayType => ("paytype", None),
        Field::Line(code) => ("line", Some(code)),
    }
}

fn document(
    found: &Preview,
    integration: &Integration,
    number: &OrderNumber,
    unmask: bool,
    language: Language,
) -> Value {
    let decision = |one: &Decision| {
        json!({
            "crm_order_id": one.order.map(|id| id.0), "orderno": one.orderno, "decision": word(one, found),
            "words": words(word(one, found), language), "text": story::words(&one.story, &Reader::plain()),
        })
    };
    let requests = found.to_measoft.iter().map(|held| {
        let body = if unmask { held.plain() } else { held.masked.as_str() };
        json!({
            "vendor": "measoft", "op": held.op.as_str(),
            "ordernos": held.about.iter().map(|orderno| orderno.as_str()).collect::<Vec<_>>(), "body": body,
        })
    });
    let failures = found.failures.iter().map(|dead| {
        let words = explain::reason(&dead.reason, language);
        json!({
            "reason": dead.reason, "fault": dead.fault.as_str(), "text": words.text, "next_step": words.next_step,
            "detail": dead.detail.to_string(),
        })
    });
    let difference = |one: &Difference| {
        let (name, line) = field(&one.field);
        json!({
            "orderno": one.orderno, "field": name, "line": line, "has": one.has, "would_have": one.would_have,
        })
    };
    json!({
        "order": number.as_str(), "integration": integration.id.0, "trigger": asked(found),
        "decisions": found.decisions.iter().map(decision).collect::<Vec<_>>(),
        "requests": requests.collect::<Vec<_>>(),
        "retailcrm": found.to_crm.iter().map(|held| json!({ "op": held.op.as_str(), "request": held.masked }))
            .collect::<Vec<_>>(),
        "corrections": found.corrections.iter().map(|one| corrected::document(one, unmask)).collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
        "at_measoft": found.at_measoft.iter().map(|row| json!({
            "orderno": row.orderno.as_ref().map(|orderno| orderno.as_str()), "ordercode": row.ordercode,
            "status": row.status.as_ref().map(|status| status.code.to_string()),
            "sum": row.price.map(|sum| sum.to_string()), "paytype": row.paytype,
        })).collect::<Vec<_>>(),
        "differences": found.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn lines(
    found: &Preview,
    integration: &Integration,
    number: &OrderNumber,
    unmask: bool,
    reader: &Reader,
) -> Vec<String> {
    let language = reader.language;
    let nothing = of(language, "ничего не записано и не отправлено", "nothing is written or sent");
    let (order, at) = (of(language, "Заказ", "Order"), of(language, "интеграция", "integration"));
    let head = format!("{order} {number}, {at} {} «{}»: {nothing}", integration.id, integration.title);
    let mut lines = vec![bold(&head)];
    for one in &found.decisions {
        let word = word(one, found);
        let mark = if word == "give_up" { red("✗") } else { green("→") };
        let names = [one.order.map(|id| format!("RetailCRM id {id}")), one.orderno.clone()];
        let whose = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(format!("{mark} {whose}: {}", words(word, language)));
        // What was held back says it all; that it did not leave is no news.
        if !["create", "edit", "cancel", "give_up"].contains(&word) {
            lines.push(dim(&format!("    {}", story::words(&one.story, reader))));
        }
    }
    for dead in &found.failures {
        let words = explain::reason(&dead.reason, language);
        let detail = Some(dead.detail.words(reader)).filter(|said| !said.is_empty());
        let detail = detail.map_or_else(String::new, |said| format!(" ({said})"));
        lines.push(format!("    {}, {}: {}{detail}", dead.reason, who_acts(dead.fault, language), words.text));
        lines.push(format!("    {} {}", dim("→"), words.next_step));
    }
    lines.extend(found.corrections.iter().map(|one| format!("    {}", corrected::words(one, unmask, language))));
    lines.extend(differences(found, language));
    for held in &found.to_measoft {
        lines.push(bold(&format!("{} {}", of(language, "Запрос в MeaSoft:", "Request to MeaSoft:"), held.op)));
        let body = if unmask { held.plain() } else { held.masked.as_str() };
        // A line for each element.
        lines.extend(in_lines(body).lines().map(|line| format!("    {line}")));
    }
    for held in &found.to_crm {
        lines.push(bold(&format!(
            "{} {}",
            of(language, "Запрос в RetailCRM:", "Request to RetailCRM:"),
            held.op.as_str()
        )));
        lines.extend(held.masked.lines().map(|line| format!("    {line}")));
    }
    lines
}

/// What would become different at MeaSoft.
fn differences(found: &Preview, language: Language) -> Vec<String> {
    let mut lines = Vec::new();
    match previewed::unchanged(found, language) {
        Some(words) => lines.push(words.to_owned()),
        None => lines.push(bold(of(language, "Что изменится в MeaSoft", "What would become different at MeaSoft"))),
    }
    for one in &found.differences {
        let name = previewed::field(&one.field, language);
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        lines.push(format!("    {} {name}: {} → {}", one.orderno, shown(&one.has), shown(&one.would_have)));
    }
    lines
}
