//! What a command is asked to leave out, checked before it is believed: a misspelt word matches
//! nothing, and «nothing» would be read as «all is well».

use std::collections::BTreeSet;

use shared::domain::{Fault, Integration, IntegrationId, IntegrationState, OrderNumber};
use shared::store::Store;
use shared::store::dead_letters::DeadFilter;
use shared::{explain, suggest};

use crate::args::{self, Letters};
use crate::output::Failure;

/// Integrations named in a sentence; of more, the list command tells.
const NAMED: usize = 10;

/// A word that must be one of few.
pub fn one_of(option: &str, given: &str, words: &[&str]) -> Failure {
    let meant = suggest::did_you_mean(given, words.iter().copied());
    Failure::Usage(format!("{option}: «{given}» is none of {}{meant}", words.join(", ")))
}

pub fn fault(given: &str) -> Result<Fault, Failure> {
    let words: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    Fault::parse(given).ok_or_else(|| one_of("--fault", given, &words))
}

/// A reason of the catalogue, or one that a letter of another release bears.
pub async fn reason(given: &str, store: &Store) -> Result<String, Failure> {
    let mut known: BTreeSet<String> = explain::all_reasons().map(str::to_owned).collect();
    known.extend(store.reasons_of_dead_letters().await?);
    if known.contains(given) {
        return Ok(given.to_owned());
    }
    let meant = suggest::did_you_mean(given, known.iter().map(String::as_str));
    Err(Failure::Usage(format!("--reason: there is no reason «{given}»{meant}")))
}

/// An integration that is or was there: letters of a removed one stay.
pub async fn integration(given: Option<i64>, store: &Store) -> Result<Option<IntegrationId>, Failure> {
    let Some(id) = given else { return Ok(None) };
    match store.integration(IntegrationId(id)).await? {
        Some(found) => Ok(Some(found.id)),
        None => Err(no_integration(id, store).await),
    }
}

/// An integration to work with.
pub async fn live_integration(id: i64, store: &Store) -> Result<Integration, Failure> {
    match store.integration(IntegrationId(id)).await? {
        Some(found) if found.state != IntegrationState::Removed => Ok(found),
        Some(removed) => Err(Failure::Usage(format!("integration {id} «{}» was removed", removed.title))),
        None => Err(no_integration(id, store).await),
    }
}

/// The sentence about a number that no integration has.
pub async fn no_integration(id: i64, store: &Store) -> Failure {
    let there = match store.integrations().await {
        Ok(there) => there,
        Err(error) => return error.into(),
    };
    let words = match &there[..] {
        [] => "there is none yet, `bridge integration add` makes one".to_owned(),
        few if few.len() <= NAMED => {
            let names: Vec<String> = few.iter().map(|i| format!("{} «{}»", i.id, i.title)).collect();
            format!("there are {}", names.join(", "))
        }
        many => format!("there are {}, `bridge integration list` shows them", many.len()),
    };
    Failure::Usage(format!("there is no integration {id}; {words}"))
}

/// The integration that is named; else the one that knows the number, else the only one.
pub async fn whose(named: Option<i64>, number: &OrderNumber, store: &Store) -> Result<Integration, Failure> {
    if let Some(id) = named {
        return live_integration(id, store).await;
    }
    let mut knowing: Vec<i64> =
        store.deliveries_by_number(number.as_str(), None).await?.iter().map(|d| d.integration.0).collect();
    knowing.dedup();
    let all = store.integrations().await?;
    let mut fitting: Vec<Integration> =
        all.iter().filter(|i| knowing.is_empty() || knowing.contains(&i.id.0)).cloned().collect();
    match (fitting.len(), all.is_empty()) {
        (1, _) => Ok(fitting.remove(0)),
        (_, true) => Err(Failure::Usage("there is no integration yet, `bridge integration add` makes one".to_owned())),
        _ => {
            let names: Vec<String> = fitting.iter().map(|i| format!("{} «{}»", i.id, i.title)).collect();
            Err(Failure::Usage(format!("say of which integration with --integration: {}", names.join(", "))))
        }
    }
}

/// Which letters are meant.
pub async fn letters(all: bool, which: Letters, store: &Store) -> Result<DeadFilter, Failure> {
    let now = store.clock.now();
    let of = which.fault.as_deref().map(fault).transpose()?;
    let named = match which.reason {
        Some(given) => Some(reason(&given, store).await?),
        None => None,
    };
    let since = which.since.map(|text| args::since(&text, now)).transpose().map_err(Failure::Usage)?;
    let integration = integration(which.integration, store).await?;
    Ok(DeadFilter { all, integration, fault: of, reason: named, since, ..DeadFilter::default() })
}
