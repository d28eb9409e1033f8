//! Lists RetailCRM asks for, from the courier's references, kept for a day.

use std::time::Duration;

use jiff::ToSpan as _;
use shared::measoft::{PickupFilter, PickupPoint, Service};
use shared::retailcrm::wire::callbacks::{ShipmentPointQuery, Tariff, TariffKind, Terminal};
use shared::retailcrm::wire::order::Address;

use crate::callbacks::tariff::{group, names_pickup, pickup_name, resolved, terminal};
use crate::callbacks::{Answered, CallbackContext, Refusal, Request, result, texts};
use crate::vendor::ActiveIntegration;
use crate::vendor::towns::Resolved;

/// How long a list is served from what is kept (protocols/measoft.md#lists).
const KEPT: Duration = Duration::from_secs(23 * 3600);
/// Name under which the modes are kept.
const SERVICES: &str = "services";

/// `tariffList`: the courier's modes, for the default tariff of a delivery type.
pub async fn tariffs(context: &CallbackContext, request: &Request) -> Answered {
    let language = request.language();
    let modes = services(context, &request.active).await?;
    let listed = |code: String, name: String, kind: TariffKind| Tariff {
        code,
        group: None,
        name,
        kind,
        description: Some(group(language, kind).to_owned()),
        cost: None,
        min_term: None,
        max_term: None,
        extra_data: Default::default(),
        extra_data_available: None,
        pickuppoint_list: Vec::new(),
    };
    let mut list: Vec<Tariff> =
        modes.iter().map(|mode| listed(mode.code.clone(), mode.name.clone(), TariffKind::Courier)).collect();
    let default = request.active.integration.settings.default_service.as_deref();
    let pickup = modes
        .iter()
        .find(|mode| names_pickup(&mode.name))
        .or_else(|| modes.iter().find(|mode| Some(mode.code.as_str()) == default));
    if let Some(mode) = pickup {
        list.push(listed(format!("pvz-{}", mode.code), pickup_name(language, &mode.name), TariffKind::SelfDelivery));
    }
    Ok(result(list))
}

/// `shipmentPointList`: points of a town where the shop may hand parcels in.
///
/// # Errors
/// What the manager has to fill in, or what MeaSoft says.
pub async fn points(context: &CallbackContext, request: &Request) -> Answered {
    let pairs: Vec<(String, String)> = request
        .body
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let query = ShipmentPointQuery::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let address = Address { city: query.city, region: query.region, country_iso: query.country, ..Address::default() };
    let town = match resolved(context, &request.active, &address).await {
        Ok(town) => town,
        // Asked without a town, or for one the courier does not know: there are none.
        Err(refusal) if ["no_city", "unknown_town"].contains(&refusal.label) => return Ok(result(Vec::<()>::new())),
        Err(refusal) => return Err(refusal),
    };
    let points = points_of(context, &request.active, &town).await?;
    let wanted = |point: &&PickupPoint| query.code.as_ref().is_none_or(|code| *code == point.code);
    // How to get there is said to receivers, not to the shop's driver.
    let dropoff = |point: &PickupPoint| Terminal { description: None, ..terminal(point) };
    Ok(result(points.iter().filter(wanted).map(dropoff).collect::<Vec<_>>()))
}

/// A kept list, or a fresh one; when MeaSoft fails, an older one is better than none.
async fn kept<T, F>(
    context: &CallbackContext,
    active: &ActiveIntegration,
    name: &str,
    fresh: F,
) -> Result<Vec<T>, Refusal>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
    F: AsyncFnOnce() -> Result<Vec<T>, Refusal>,
{
    let now = context.tools.clock.now();
    let found = context.tools.store.reference(active.id(), name).await.ok().flatten();
    let old = match found {
        Some((text, at)) => {
            let list = serde_json::from_str::<Vec<T>>(&text).ok();
            match list {
                Some(list) if now.duration_since(at).unsigned_abs() < KEPT => return Ok(list),
                list => list,
            }
        }
        None => None,
    };
    match fresh().await {
        Ok(list) => {
            let text = serde_json::to_string(&list).expect("lists serialise");
            if let Err(error) = context.tools.store.keep_reference(active.id(), name, &text).await {
                tracing::debug!(%error, "a list could not be kept");
            }
            Ok(list)
        }
        Err(refusal) => old.ok_or(refusal),
    }
}

/// The courier's modes.
pub async fn services(context: &CallbackContext, active: &ActiveIntegration) -> Result<Vec<Service>, Refusal> {
    let language = active.integration.settings.language;
    kept(context, active, SERVICES, async || match context.tools.ask(active, active.vendors.courier.services()).await {
        Err(held) => Err(texts::held_back(language, &held)),
        Ok(Err(error)) => Err(texts::courier(context, active, None, &error).await),
        Ok(Ok(list)) => Ok(list),
    })
    .await
}

/// What `pvzlist` is asked for the points of a town (protocols/measoft.md#lists).
fn points_in(town: &Resolved) -> PickupFilter {
    PickupFilter {
        town: Some(town.name.clone()),
        regioncode: town.region_code.clone(),
        country: town.country.clone(),
        ..PickupFilter::default()
    }
}

/// The pick-up points of a town.
pub async fn points_of(
    context: &CallbackContext,
    active: &ActiveIntegration,
    town: &Resolved,
) -> Result<Vec<PickupPoint>, Refusal> {
    let language = active.integration.settings.language;
    let filter = points_in(town);
    kept(context, active, &format!("pvz:{}", town.code), async || {
        match context.tools.ask(active, active.vendors.courier.pickup_points(&filter)).await {
            Err(held) => Err(texts::held_back(language, &held)),
            Ok(Err(error)) => Err(texts::courier(context, active, None, &error).await),
            Ok(Ok(list)) => Ok(list),
        }
    })
    .await
}

/// The name of one of our tariffs, if the modes are kept; nobody is asked.
pub async fn kept_name(context: &CallbackContext, active: &ActiveIntegration, tariff: &str) -> Option<String> {
    let (text, at) = context.tools.store.reference(active.id(), SERVICES).await.ok()??;
    if at + 720.hours() < context.tools.clock.now() {
        return None;
    }
    let modes: Vec<Service> = serde_json::from_str(&text).ok()?;
    let code = tariff.strip_prefix("pvz-").unwrap_or(tariff);
    let name = modes.into_iter().find(|mode| mode.code == code)?.name;
    let pickup = crate::order::saved_request::is_pickup_tariff(tariff);
    Some(if pickup { pickup_name(active.integration.settings.language, &name) } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_asked_for_in_the_region_and_country_of_their_town() {
        let town = Resolved {
            code: "39801".into(),
            name: "Рудный город".into(),
            region_code: Some("398".into()),
            country: Some("KZ".into()),
        };
        let filter = points_in(&town);
        assert_eq!(filter.town.as_deref(), Some("Рудный город"));
        assert_eq!((filter.regioncode.as_deref(), filter.country.as_deref()), (Some("398"), Some("KZ")));
    }
}
