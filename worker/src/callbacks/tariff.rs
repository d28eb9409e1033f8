//! What a tariff is called, which mode it stands for, and which town it is for.

use rust_decimal::Decimal;
use shared::domain::{Grams, Kopecks, Language};
use shared::measoft::{self, PickupPoint};
use shared::phrases::Value as _;
use shared::retailcrm::address;
use shared::retailcrm::wire::callbacks::{CalculateRequest, Coordinates, TariffKind, Terminal};

use crate::callbacks::{CallbackContext, Refusal, texts};
use crate::order::town::{self, Failed};
use crate::vendor::ActiveIntegration;
use crate::vendor::towns::{Lookup, Resolved};

/// The word under which a tariff is listed.
pub const fn group(language: Language, kind: TariffKind) -> &'static str {
    match (language, kind) {
        (Language::Ru, TariffKind::Courier) => "Курьер",
        (Language::Ru, TariffKind::SelfDelivery) => "Самовывоз",
        (Language::En, TariffKind::Courier) => "Courier",
        (Language::En, TariffKind::SelfDelivery) => "Pick-up",
    }
}

/// Whether a mode's name says that it goes to pick-up points.
pub fn names_pickup(name: &str) -> bool {
    let name = name.to_lowercase();
    ["пвз", "пункт", "самовывоз", "постамат", "pick-up", "pickup"].iter().any(|word| name.contains(word))
}

/// The name of the tariff to pick-up points.
pub fn pickup_name(language: Language, mode: &str) -> String {
    if names_pickup(mode) {
        return mode.to_owned();
    }
    match language {
        Language::Ru => format!("{mode}, до пункта выдачи"),
        Language::En => format!("{mode}, to a pick-up point"),
    }
}

/// The address's town at MeaSoft.
pub(crate) async fn town(
    context: &CallbackContext,
    active: &ActiveIntegration,
    asked: &CalculateRequest,
) -> Result<Resolved, Refusal> {
    resolved(context, active, &asked.delivery_address).await
}

/// The town of an address, in words when there is none.
pub async fn resolved(
    context: &CallbackContext,
    active: &ActiveIntegration,
    address: &shared::retailcrm::wire::order::Address,
) -> Result<Resolved, Refusal> {
    let language = active.integration.settings.language;
    let city = address::town(address).unwrap_or_default();
    match town::resolve(&context.tools, active, address).await {
        Err(Failed::Held(outcome)) => Err(texts::held_back(language, &outcome)),
        Err(Failed::Courier(error)) => Err(texts::courier(context, active, None, &error).await),
        Ok(None) => Err(texts::no_city(language)),
        Ok(Some(Lookup::Nowhere)) => Err(texts::unknown_town(language, &city)),
        Ok(Some(Lookup::Several(choices))) => Err(Refusal::new(
            shared::reason::TOWN_UNCLEAR,
            town::several(&city, &choices).words(&texts::reader(language)),
        )),
        Ok(Some(Lookup::Found(town))) => Ok(town),
    }
}

/// Whether a point can take this order. What it does not say is not held against it.
pub(crate) fn takes(point: &PickupPoint, weight: Grams, cod: Kopecks) -> bool {
    let carries = point.maxweight.is_none_or(|most| most.0 == 0 || weight <= most);
    let collects = cod.is_zero() || point.acceptcash != Some(false) || point.acceptcard != Some(false);
    carries && collects
}

/// The mode parcels go to pick-up points by: the one that says so, else the integration's
/// own, else the cheapest.
pub fn pickup_mode<'a>(modes: &'a [measoft::Tariff], default: Option<&str>) -> Option<&'a measoft::Tariff> {
    let says_so = |mode: &&measoft::Tariff| mode.service_name.as_deref().is_some_and(names_pickup);
    let own = |mode: &&measoft::Tariff| default.is_some() && mode.service.as_deref() == default;
    modes.iter().find(says_so).or_else(|| modes.iter().find(own)).or_else(|| modes.iter().min_by_key(|m| m.price))
}

/// A pick-up point as RetailCRM shows it.
pub fn terminal(point: &PickupPoint) -> Terminal {
    let degree = |text: Option<&String>| text.and_then(|text| text.trim().replace(',', ".").parse::<Decimal>().ok());
    let described: Vec<&str> = [&point.traveldescription, &point.comment]
        .into_iter()
        .flatten()
        .map(|t| t.trim())
        .filter(|t| !t.is_empty())
        .collect();
    Terminal {
        code: point.code.clone(),
        name: point.name.clone().unwrap_or_else(|| point.code.clone()),
        address: point.address.clone(),
        schedule: point.worktime.clone(),
        phone: point.phone.clone(),
        description: (!described.is_empty()).then(|| described.join("; ")),
        cost: None,
        coordinates: degree(point.latitude.as_ref())
            .zip(degree(point.longitude.as_ref()))
            .map(|(latitude, longitude)| Coordinates { latitude, longitude }),
    }
}
