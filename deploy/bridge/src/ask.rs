//! `bridge order ask`: what MeaSoft has of one order now.

use std::process::ExitCode;
use std::sync::Arc;

use bridge_worker::inquire::{Said, inquire};
use serde_json::json;
use shared::config::Config;
use shared::domain::{Language, OrderNumber};
use shared::store::Store;

use crate::args::OrderAsk;
use crate::filters;
use crate::language::{language, of};
use crate::output::{Failure, Output};
use crate::stdout::say;

pub async fn run(args: OrderAsk, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let number = OrderNumber::parse(&args.number).map_err(|bad| Failure::Usage(format!("NUMBER: {bad}")))?;
    let integration = filters::whose(args.integration, &number, store).await?;
    let said = inquire(&Arc::new(config.clone()), store, &integration, number.as_str()).await?;
    if said.is_empty() {
        return Err(Failure::sentence(format!("the ledger has no order «{number}»: MeaSoft cannot be asked about it")));
    }
    let document = said.iter().map(|one| {
        let row = one.row.as_ref();
        json!({
            "orderno": one.delivery.orderno.as_str(), "is_there": row.is_some(), "status": status(one),
            "sum": row.and_then(|row| row.price).map(|sum| sum.to_string()),
            "paytype": row.and_then(|row| row.paytype.clone()), "is_news": one.is_news(),
        })
    });
    let document = json!({
        "order": number.as_str(), "integration": integration.id.0, "said": document.collect::<Vec<_>>(),
    });
    out.answer(&document, || said.iter().map(|one| line(one, language())).for_each(|line| say!("{line}")));
    Ok(ExitCode::SUCCESS)
}

fn status(one: &Said) -> Option<&str> {
    Some(one.row.as_ref()?.status.as_ref()?.code.as_str())
}

fn line(one: &Said, language: Language) -> String {
    let orderno = &one.delivery.orderno;
    let Some(row) = &one.row else {
        return format!("{orderno}: {}", of(language, "в MeaSoft такого заказа нет", "MeaSoft has no such order"));
    };
    let sum = row.price.map_or_else(|| "-".to_owned(), |sum| sum.to_string());
    let (status, paytype) = (status(one).unwrap_or("-"), row.paytype.as_deref().unwrap_or("-"));
    let words = of(language, "; статус новый, он запрошен", "; the status is news, and asked for");
    let news = if one.is_news() { words } else { "" };
    format!("{orderno}: {status}, {} {sum} {paytype}{news}", of(language, "к оплате при вручении", "to collect"))
}
