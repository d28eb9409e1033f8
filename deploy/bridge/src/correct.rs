//! `bridge order correct`: what RetailCRM says of one order, set right for MeaSoft.

use std::process::ExitCode;
use std::sync::Arc;

use bridge_worker::correct::{Corrigible, NotCorrected};
use jiff::tz::TimeZone;
use serde_json::json;
use shared::config::Config;
use shared::domain::{CorrectedField, OrderNumber};
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::corrections::Corrected;

use crate::args::OrderCorrect;
use crate::filters;
use crate::language::{language, of};
use crate::moments;
use crate::output::{Failure, Output};
use crate::stdout::say;

pub async fn run(
    args: OrderCorrect,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let number = OrderNumber::parse(&args.number).map_err(|bad| Failure::Usage(format!("NUMBER: {bad}")))?;
    let integration = filters::whose(args.integration, &number, store).await?;
    let order = Corrigible::find(&Arc::new(config.clone()), store, &integration, &number).await?;
    let seen = args.seen.unwrap_or(order.version);
    let given = given(args);
    match order.correct(store, &given, seen, who).await.map_err(failure)? {
        Corrected::Done(version) => {
            let fields: Vec<&str> = given.iter().map(|(field, _)| field.as_str()).collect();
            let document = json!({
                "order": number.as_str(), "integration": integration.id.0, "crm_order_id": order.id().0, "fields": fields,
                "version": version, "by": who.name,
            });
            out.answer(&document, || {
                let language = language();
                let names: Vec<&str> = given.iter().map(|(field, _)| field.words(language)).collect();
                let (head, after) = (of(language, "Исправлено для заказа", "Corrected for order"), names.join(", "));
                say!(
                    "{head} {number}: {after}. {}",
                    of(language, "MeaSoft получит изменение.", "MeaSoft is brought in line.")
                );
            });
            Ok(ExitCode::SUCCESS)
        }
        Corrected::Overtaken { who, at } => Err(overtaken(&who, at, &config.display_zone)),
    }
}

fn overtaken(who: &str, at: jiff::Timestamp, zone: &TimeZone) -> Failure {
    let at = moments::second(at, zone);
    Failure::sentence(format!(
        "{who} has corrected this order meanwhile ({at}): look at it with `bridge order show`, then correct again"
    ))
}

fn failure(error: NotCorrected) -> Failure {
    match error {
        NotCorrected::Refused { .. } => Failure::Usage(format!("--{error}")),
        other => Failure::Failed(other.into()),
    }
}

fn given(args: OrderCorrect) -> Vec<(CorrectedField, String)> {
    use CorrectedField as F;
    let OrderCorrect { phone, name, town, address, date, window, comment, .. } = args;
    let all = [
        (F::Phone, phone),
        (F::Name, name),
        (F::Town, town),
        (F::Address, address),
        (F::Date, date),
        (F::Window, window),
        (F::Comment, comment),
    ];
    all.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}
