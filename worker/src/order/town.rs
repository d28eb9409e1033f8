//! The town of an order in MeaSoft's list: looked up, or asked about.

use shared::measoft::{Limit, MeasoftError, Town, TownQuery};
use shared::message::{Outcome, RetryWhy};
use shared::phrases::Detail;
use shared::reason;
use shared::retailcrm::address;
use shared::retailcrm::wire::order::Address;
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::towns::{Choices, KEPT, Lookup, by_index, choose, question};

/// Rows looked at; the list is sorted by importance.
const ROWS: u32 = 100;

/// Whose towns may be listed without a country.
const HOME: &str = "RU";

/// Why a town could not be looked up.
#[derive(Debug)]
pub enum Failed {
    /// The gate is closed.
    Held(Outcome),
    Courier(MeasoftError),
}

/// The town of an address; `None` when the address names none.
pub async fn resolve(tools: &Tools, active: &ActiveIntegration, address: &Address) -> Result<Option<Lookup>, Failed> {
    let Some(asked) = question(address) else { return Ok(None) };
    let found = kept(tools, active, &asked.key, async || {
        let mut country = asked.country.clone();
        let mut rows = ask(tools, active, &by_name(&asked.name, country.clone())).await?;
        // Lists without countries are of the courier's own.
        if rows.is_empty() && country.as_deref() == Some(HOME) {
            country = None;
            rows = ask(tools, active, &by_name(&asked.name, None)).await?;
        }
        Ok(choose(address, &rows).listed_in(country.as_deref()))
    })
    .await?;
    let (Lookup::Several(choices), Some(index)) = (&found, index(address)) else { return Ok(Some(found)) };
    let key = format!("{}:{index}", asked.key);
    let decided = kept(tools, active, &key, async || {
        Ok(by_index(choices, &ask(tools, active, &TownQuery::Zipcode(index.to_owned())).await?))
    });
    decided.await.map(Some)
}

fn index(address: &Address) -> Option<&str> {
    let index = address.index.as_deref()?.trim();
    (index.len() >= 4 && index.len() <= 10 && index.bytes().all(|b| b.is_ascii_digit())).then_some(index)
}

fn by_name(name: &str, country: Option<String>) -> TownQuery {
    TownQuery::Name { starts: name.to_owned(), country, limit: Some(Limit { from: 0, count: ROWS }) }
}

async fn ask(tools: &Tools, active: &ActiveIntegration, query: &TownQuery) -> Result<Vec<Town>, Failed> {
    match tools.ask(active, active.vendors.courier.towns(query)).await {
        Err(held) => Err(Failed::Held(held)),
        Ok(Err(error)) => Err(Failed::Courier(error)),
        Ok(Ok(rows)) => Ok(rows),
    }
}

/// What was found before under a name, else what is found now.
async fn kept(
    tools: &Tools,
    active: &ActiveIntegration,
    name: &str,
    find: impl AsyncFnOnce() -> Result<Lookup, Failed>,
) -> Result<Lookup, Failed> {
    let now = tools.clock.now();
    let key = (active.id(), name.to_owned());
    if let Some(found) = tools.towns.get(&key, now) {
        return Ok(found);
    }
    if let Ok(Some((text, at))) = tools.store.reference(key.0, &key.1).await
        && now.duration_since(at).unsigned_abs() < KEPT
        && let Ok(found) = serde_json::from_str::<Lookup>(&text)
        && matches!(found, Lookup::Found(_))
    {
        tools.towns.put(key, found.clone(), at);
        return Ok(found);
    }
    let found = find().await?;
    if let Lookup::Found(_) = &found {
        let text = serde_json::to_string(&found).expect("a town serialises");
        if let Err(error) = tools.store.keep_reference(key.0, &key.1, &text).await {
            tracing::debug!(%error, "a town could not be kept");
        }
    }
    tools.towns.put(key, found.clone(), now);
    Ok(found)
}

/// «несколько городов…», for people.
pub fn several(city: &str, choices: &Choices) -> Detail {
    Detail::SeveralTowns { town: city.to_owned(), choices: choices.shown.clone() }
}

/// Puts the town into an order about to be sent; `Err` when it must not go.
/// A town the list does not have goes as it was written: MeaSoft itself has the last word.
pub async fn fill_in(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    let Some(address) = attempt.order.as_ref().map(|order| order.delivery.address.clone()) else { return Ok(()) };
    let found = resolve(tools, active, &address).await.map_err(|failed| match failed {
        Failed::Held(outcome) => outcome,
        Failed::Courier(error) => {
            tracing::debug!(error = error.outcome(), "a town could not be looked up");
            Outcome::retry(RetryWhy::CourierUnavailable)
        }
    })?;
    match found {
        Some(Lookup::Found(town)) => {
            if let Some(Ok(desired)) = &mut attempt.desired {
                desired.order.receiver.town = Some(town.name);
                desired.order.receiver.regioncode = town.region_code;
            }
        }
        Some(Lookup::Several(choices)) => {
            let city = address.city.as_deref().unwrap_or("");
            return Err(Outcome::GiveUp(reason::give_up(reason::TOWN_UNCLEAR, several(city, &choices))));
        }
        Some(Lookup::Nowhere) => {
            let town = address::town(&address).unwrap_or_default();
            attempt.notes.push(Told::NoTown { town });
        }
        None => {}
    }
    Ok(())
}
