//! `bridge shadow`: what an integration found that is a shadow of another one.

use std::process::ExitCode;

use bridge_console::seen::shadow::{counts, is_told, verdict, why};
use bridge_worker::manage::edit::{Edit, edit};
use serde_json::{Map, Value, json};
use shared::config::Config;
use shared::domain::Language;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::shadow_orders::{ShadowOrder, Side, Verdict};

use crate::args::shadow::Report;
use crate::args::{self, ShadowCommand};
use crate::filters::{self, live_integration};
use crate::language::{language, of};
use crate::output::{Failure, Output, bold, cell};
use crate::stdout::say;

pub async fn run(
    command: ShadowCommand,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        ShadowCommand::Report(args) => report(args, store, out).await,
        ShadowCommand::Back { id } => back(id, who, config, store, out).await,
    }
}

async fn report(args: Report, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let integration = filters::integration(args.integration, store).await?;
    let since = args::since(&args.since, store.clock.now()).map_err(Failure::Usage)?;
    let rows = store.shadow_orders_since(integration, since).await?;
    let told: Vec<&ShadowOrder> = rows.iter().filter(|row| args.all || is_told(row)).collect();
    if args.csv {
        csv(&told).iter().for_each(|line| say!("{line}"));
    } else {
        let counted: Map<String, Value> =
            counts(&rows).into_iter().map(|(verdict, n)| (verdict.as_str().to_owned(), json!(n))).collect();
        let live = rows.iter().filter(|row| row.side == Side::Live).count();
        let document = json!({
            "since": since.to_string(), "counts": counted, "live": live,
            "orders": told.iter().map(|row| document(row)).collect::<Vec<_>>(),
        });
        out.answer(&document, || lines(&rows, &told, live, out).iter().for_each(|line| say!("{line}")));
    }
    Ok(if rows.iter().any(is_told) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn document(row: &ShadowOrder) -> Value {
    let differences: Vec<Value> = row
        .content
        .differences
        .iter()
        .map(|one| json!({ "field": one.field, "ours": one.ours, "theirs": one.theirs }))
        .collect();
    json!({
        "integration": row.integration.0, "order": row.number, "crm_order_id": row.order.map(|id| id.0),
        "orderno": row.orderno, "side": row.side.as_str(), "verdict": row.verdict.as_str(),
        "differences": differences, "reason": row.content.refusal.as_ref().map(|why| why.reason.as_str()),
        "text": why(row, Language::En), "status": row.content.status, "decided_at": row.decided_at.to_string(),
        "asked_at": row.asked_at.map(|at| at.to_string()), "asks": row.asks, "is_asked_again": row.due_at.is_some(),
    })
}

const COLUMNS: [&str; 9] =
    ["integration", "order", "orderno", "side", "verdict", "fields", "text", "measoft_status", "decided_at"];

fn csv(rows: &[&ShadowOrder]) -> Vec<String> {
    let line = |row: &&ShadowOrder| {
        let fields: Vec<&str> = row.content.differences.iter().map(|one| one.field.as_str()).collect();
        let cells = [
            row.integration.to_string(),
            row.number.clone(),
            row.orderno.clone().unwrap_or_default(),
            row.side.as_str().to_owned(),
            row.verdict.as_str().to_owned(),
            fields.join(" "),
            why(row, language()),
            row.content.status.clone().unwrap_or_default(),
            row.decided_at.to_string(),
        ];
        cells.map(cell).join(",")
    };
    std::iter::once(COLUMNS.join(",")).chain(rows.iter().map(line)).collect()
}

fn lines(rows: &[ShadowOrder], told: &[&ShadowOrder], live: usize, out: &Output) -> Vec<String> {
    let language = language();
    if rows.is_empty() {
        let words = "Теневых заказов нет: режим включает `bridge integration edit ID --mode shadow`.";
        let en = "No shadow orders: `bridge integration edit ID --mode shadow` switches the mode on.";
        return vec![of(language, words, en).to_owned()];
    }
    let counted: Vec<String> = counts(rows)
        .into_iter()
        .filter(|(of, n)| *n > 0 && *of != Verdict::Nothing)
        .map(|(of, n)| format!("{}: {n}", verdict(of, language)))
        .chain((live > 0).then(|| format!("{}: {live}", of(language, "работает вживую", "live"))))
        .collect();
    let mut lines = vec![bold(&counted.join(", "))];
    if told.is_empty() {
        return lines;
    }
    let header = match language {
        Language::Ru => ["ИНТЕГРАЦИЯ", "ЗАКАЗ", "ИТОГ", "В MEASOFT", "ПОЧЕМУ"],
        Language::En => ["INTEGRATION", "ORDER", "VERDICT", "AT MEASOFT", "WHY"],
    };
    let row = |row: &&ShadowOrder| {
        let status = row.content.status.clone().unwrap_or_else(|| "-".to_owned());
        let said = verdict(row.verdict, language).to_owned();
        vec![row.integration.to_string(), row.number.clone(), said, status, why(row, language)]
    };
    lines.extend(out.rows(&header, &told.iter().map(row).collect::<Vec<_>>()));
    lines
}

async fn back(id: i64, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let found = live_integration(id, store).await?;
    if !found.settings.is_shadow() {
        let words = format!("integration {id} is live: `bridge integration edit {id} --mode shadow` makes it a shadow");
        return Err(Failure::sentence(words));
    }
    let none = [("live_share", "0"), ("live_delivery_types", "[]")];
    let given = Edit { set: none.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), ..Edit::default() };
    edit(config, store, &found, &given, None, who).await?;
    let document = json!({ "id": id, "live_share": 0, "live_delivery_types": [] });
    out.answer(&document, || {
        say!("No new order of integration {id} goes live; those that are live are followed to their end.");
    });
    Ok(ExitCode::SUCCESS)
}
