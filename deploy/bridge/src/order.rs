//! `bridge order show`: what happened to one order.

use std::process::ExitCode;

use serde_json::{Value, json};
use shared::domain::{Delivery, IntegrationId};
use shared::store::Store;
use shared::store::journal::Kept;

use crate::args::OrderCommand;
use crate::output::{Failure, Output, bold, dim};

pub async fn run(command: OrderCommand, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let OrderCommand::Show { number, integration, verbose } = command;
    let (deliveries, timeline) = story(store, &number, integration).await?;
    if deliveries.is_empty() && timeline.is_empty() {
        return Err(Failure::sentence(format!("nothing is known of an order «{number}»: no trigger named it so far")));
    }
    out.answer(&document(&number, &deliveries, &timeline), || print(&number, &deliveries, &timeline, verbose));
    Ok(ExitCode::SUCCESS)
}

/// The ledger's rows of an order and its timeline.
///
/// # Errors
/// Of the store.
pub async fn story(
    store: &Store,
    number: &str,
    integration: Option<i64>,
) -> Result<(Vec<Delivery>, Vec<Kept>), Failure> {
    let integration = integration.map(IntegrationId);
    let deliveries = store.deliveries_by_number(number, integration).await?;
    let ordernos: Vec<String> = deliveries.iter().map(|d| d.orderno.as_str().to_owned()).collect();
    // RetailCRM's exchanges about one order are kept under its id.
    let mut timeline = store.timeline(number, &ordernos, integration).await?;
    for d in &deliveries {
        let mut names = vec![format!("id:{}", d.crm_order)];
        if d.number != number {
            names.push(d.number.clone());
        }
        for name in names {
            let more = store.timeline(&name, &[], Some(d.integration)).await?;
            timeline.extend(more.into_iter().filter(|m| !timeline.iter().any(|t| t.id == m.id)).collect::<Vec<_>>());
        }
    }
    timeline.sort_by_key(|kept| (kept.at, kept.id));
    Ok((deliveries, timeline))
}

fn document(number: &str, deliveries: &[Delivery], timeline: &[Kept]) -> Value {
    json!({
        "order": number,
        "deliveries": deliveries.iter().map(|d| json!({
            "integration": d.integration.0, "orderno": d.orderno.as_str(), "ordercode": d.ordercode,
            "state": d.state.as_str(), "status": d.status, "status_at": d.status_at.map(|at| at.to_string()),
            "crm_order_id": d.crm_order.0, "generation": d.generation,
            "price": d.price.map(|p| p.to_string()), "external_id": d.crm_written.external_id,
            "reject_reason": d.reject_reason, "requests": d.requests,
        })).collect::<Vec<_>>(),
        "timeline": timeline.iter().map(|k| json!({
            "at": k.at.to_string(), "what": k.what.as_str(), "text": k.text, "integration": k.integration.map(|i| i.0),
            "op": k.op, "outcome": k.outcome, "duration_ms": k.duration_ms, "http_status": k.http_status,
            "request": k.request, "response": k.response,
        })).collect::<Vec<_>>(),
    })
}

/// The story for people.
pub fn print(number: &str, deliveries: &[Delivery], timeline: &[Kept], verbose: bool) {
    println!("{}", bold(&format!("Order {number}")));
    for d in deliveries {
        println!(
            "  integration {}: {} at MeaSoft, state {}, status {}{}",
            d.integration,
            d.orderno,
            d.state.as_str(),
            d.status.as_deref().unwrap_or("-"),
            d.price.map_or_else(String::new, |p| format!(", {p} to collect"))
        );
    }
    for kept in timeline {
        let at = kept.at.strftime("%Y-%m-%d %H:%M:%S%.3f");
        let tail = match (kept.outcome.as_deref(), kept.duration_ms) {
            (Some(outcome), Some(ms)) => format!("  [{outcome}, {ms} ms]"),
            _ => String::new(),
        };
        println!("  {} {:<8} {}{}", dim(&at.to_string()), kept.what.as_str(), kept.text, dim(&tail));
        if verbose {
            for (arrow, body) in [("→", &kept.request), ("←", &kept.response)] {
                if let Some(body) = body.as_deref().filter(|b| !b.is_empty()) {
                    println!("      {arrow} {}", body.replace('\n', "\n        "));
                }
            }
        }
    }
}
