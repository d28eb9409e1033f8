//! `calculate`: which tariffs there are for an address. Without side effects, and often
//! asked, so what was answered is kept for as long as the vendor's own module keeps it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Grams, IntegrationId, Kopecks, Language, Settings};
use shared::measoft::{self, CalcRequest, Package, PayType, PickupPoint};
use shared::retailcrm::wire::callbacks::{CalculateRequest, Tariff, TariffKind};

use crate::callbacks::tariff::{self, pickup_mode, takes, terminal, town};
use crate::callbacks::{Answered, CallbackContext, Refusal, Request, key_field, lists, result, texts};
use crate::vendor::ActiveIntegration;
use crate::vendor::towns::Resolved;

/// The vendor's own module keeps an answer this long (protocols/measoft.md#calculator).
const KEPT: Duration = Duration::from_secs(600);
const ENTRIES: usize = 2_000;
/// Points offered for one tariff; a manager chooses from a list.
const POINTS: usize = 500;

type Question = (IntegrationId, i64, CalcRequest);

/// Answers of late.
#[derive(Default)]
pub struct TariffCache(Mutex<HashMap<Question, (Vec<measoft::Tariff>, Timestamp)>>);

impl TariffCache {
    fn get(&self, question: &Question, now: Timestamp) -> Option<Vec<measoft::Tariff>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tariffs, at) = kept.get(question)?;
        (now.duration_since(*at).unsigned_abs() < KEPT).then(|| tariffs.clone())
    }

    fn put(&self, question: Question, tariffs: Vec<measoft::Tariff>, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ENTRIES {
            kept.retain(|_, (_, at)| now.duration_since(*at).unsigned_abs() < KEPT);
            if kept.len() >= ENTRIES {
                kept.clear();
            }
        }
        kept.insert(question, (tariffs, now));
    }
}

/// # Errors
/// What the manager has to fill in, or what MeaSoft says.
pub async fn calculate(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let asked = CalculateRequest::parse(&request.body.to_string()).map_err(|bad| texts::misread(language, &bad))?;
    let town = town(context, active, &asked).await?;
    let question = question(&asked, &town, &active.integration.settings);
    let weight = question.weight.unwrap_or(Grams(0));
    let (tariffs, points) = tokio::join!(
        ask(context, active, question),
        // Without its points a town is still delivered to by courier.
        async { lists::points_of(context, active, &town).await.unwrap_or_default() }
    );
    let points: Vec<PickupPoint> =
        points.into_iter().filter(|point| takes(point, weight, asked.cod.unwrap_or_default())).collect();
    Ok(result(offers(active, language, &tariffs?, &points)))
}

/// An empty parcel on the way that orders take: from the sender's town (as `neworder` names
/// it), one place unless there are more, paid as a sum to collect asks for.
pub fn parcel(settings: &Settings, town: &Resolved, collect: Kopecks) -> CalcRequest {
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    CalcRequest {
        sender_town: given(&settings.sender.town),
        town: town.name.clone(),
        regioncode: town.region_code.clone(),
        weight: Some(Grams(settings.default_weight_g)),
        places: Some(1),
        price: Some(collect).filter(|sum| *sum > Kopecks::ZERO),
        paytype: Some(if collect > Kopecks::ZERO { PayType::Cash } else { PayType::No }),
        ..CalcRequest::default()
    }
}

fn question(asked: &CalculateRequest, town: &Resolved, settings: &Settings) -> CalcRequest {
    let packed: u32 = asked.packages.iter().filter_map(|p| p.weight).map(|w| w.0).sum();
    let packages: Vec<Package> = asked
        .packages
        .iter()
        .map(|p| Package {
            mass: p.weight.filter(|w| w.0 > 0),
            length: p.length.filter(|mm| mm.0 > 0),
            width: p.width.filter(|mm| mm.0 > 0),
            height: p.height.filter(|mm| mm.0 > 0),
            quantity: Some(1),
            ..Package::default()
        })
        .filter(|p| p.mass.is_some() || p.length.is_some() || p.width.is_some() || p.height.is_some())
        .collect();
    let empty = parcel(settings, town, asked.cod.unwrap_or_default());
    CalcRequest {
        zipcode: asked.delivery_address.index.clone(),
        pvz: asked.delivery_address.terminal.clone().filter(|code| !code.trim().is_empty()),
        weight: if packed > 0 { Some(Grams(packed)) } else { empty.weight },
        places: u32::try_from(packages.len()).ok().filter(|n| *n > 0).or(empty.places),
        packages,
        declared: asked.declared_value.filter(|sum| *sum >= Kopecks::ZERO),
        ..empty
    }
}

async fn ask(
    context: &CallbackContext,
    active: &ActiveIntegration,
    question: CalcRequest,
) -> Result<Vec<measoft::Tariff>, Refusal> {
    let language = active.integration.settings.language;
    let question = (active.id(), active.integration.version, question);
    if let Some(kept) = context.kept.get(&question, context.tools.clock.now()) {
        return Ok(kept);
    }
    match context.tools.ask(active, active.vendors.courier.calculate(&question.2)).await {
        Err(held) => Err(texts::held_back(language, &held)),
        Ok(Err(error)) => Err(texts::courier(context, active, None, &error).await),
        Ok(Ok(tariffs)) => {
            context.kept.put(question, tariffs.clone(), context.tools.clock.now());
            Ok(tariffs)
        }
    }
}

/// One courier tariff for each mode, and one to the pick-up points where there are any.
fn offers(
    active: &ActiveIntegration,
    language: Language,
    modes: &[measoft::Tariff],
    points: &[PickupPoint],
) -> Vec<Tariff> {
    let mut offers: Vec<Tariff> = modes
        .iter()
        .filter_map(|mode| {
            let code = mode.service.clone()?;
            Some(offer(active, mode, code, tariff::group(language, TariffKind::Courier), TariffKind::Courier))
        })
        .collect();
    if !points.is_empty()
        && let Some(mode) = pickup_mode(modes, active.integration.settings.default_service.as_deref())
        && let Some(code) = &mode.service
    {
        let kind = TariffKind::SelfDelivery;
        let mut pickup = offer(active, mode, format!("pvz-{code}"), tariff::group(language, kind), kind);
        pickup.name = tariff::pickup_name(language, &pickup.name);
        pickup.pickuppoint_list = points.iter().take(POINTS).map(terminal).collect();
        offers.push(pickup);
    }
    offers
}

fn offer(active: &ActiveIntegration, mode: &measoft::Tariff, code: String, group: &str, kind: TariffKind) -> Tariff {
    Tariff {
        group: Some(group.to_owned()),
        name: mode.service_name.clone().unwrap_or_else(|| code.clone()),
        kind,
        description: None,
        cost: Some(mode.price),
        min_term: mode.min_days,
        max_term: mode.max_days.or(mode.min_days),
        extra_data: key_field(active),
        extra_data_available: None,
        pickuppoint_list: Vec::new(),
        code,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::order::request::tests::{World, plain};

    fn mode(code: &str, name: &str, price: i64) -> measoft::Tariff {
        measoft::Tariff {
            service: Some(code.into()),
            service_name: Some(name.into()),
            price: Kopecks(price),
            min_days: Some(1),
            max_days: None,
        }
    }

    #[test]
    fn the_way_that_is_asked_for_is_the_one_orders_take() {
        let sample = include_str!("../../../shared/fixtures/retailcrm/callback-calculate-request.json");
        let sample: serde_json::Value = serde_json::from_str(sample).expect("JSON");
        let ask = |cod: i64| {
            let mut body = sample["calculate"].clone();
            body["cod"] = cod.into();
            body["packages"] = serde_json::json!([]);
            let asked = CalculateRequest::parse(&body.to_string()).expect("readable");
            let mut settings = Settings::default();
            settings.set("sender.town", "Тверь город").expect("a setting");
            let town =
                Resolved { code: "2".into(), name: "Химки город".into(), region_code: None, country: None };
            question(&asked, &town, &settings)
        };
        let (paid, unpaid) = (ask(0), ask(500));
        assert_eq!((paid.sender_town.as_deref(), paid.places), (Some("Тверь город"), Some(1)));
        assert_eq!((paid.price, paid.paytype), (None, Some(PayType::No)));
        assert_eq!((unpaid.price, unpaid.paytype), (Some(Kopecks::roubles(500)), Some(PayType::Cash)));
    }

    /// The same order, as it is sent and as its price is asked for.
    #[test]
    fn a_price_is_asked_for_the_parcel_that_is_sent() {
        let two = json!([
            {"packageId": "1", "weight": 1500, "length": 300, "width": 200, "height": 100},
            {"packageId": "2", "weight": 700}
        ]);
        let bare = |order: World, side: &str| order.with(side, json!(0));
        let plain = || {
            let order = plain().set("sender.town", "Тверь город").set("default_weight_g", "450");
            ["/weight", "/length", "/width", "/height"].into_iter().fold(order, bare)
        };
        let paid = json!({"1": {"id": 1, "status": "paid", "type": "cash", "amount": 3150}});
        let table = [
            ("in two places, to be collected", plain(), two, 3150),
            ("in no place that is known, to be collected", plain(), json!([]), 3150),
            ("paid", plain().with("/payments", paid), json!([]), 0),
        ];
        for (what, world, packages, cod) in table {
            let world = world.with("/delivery/data/packages", packages.clone());
            let sent = world.convert().unwrap_or_else(|why| panic!("{what}: {why:?}")).order;
            let body = json!({
                "deliveryAddress": world.order["delivery"]["address"], "packages": packages, "cod": cod, "declaredValue": 0,
            });
            let asked = CalculateRequest::parse(&body.to_string()).expect("readable");
            let town =
                Resolved { code: "1".into(), name: "Москва город".into(), region_code: None, country: None };
            let asked = question(&asked, &town, &world.settings);
            assert_eq!(asked.sender_town, sent.sender.and_then(|sender| sender.town), "{what}");
            assert_eq!(asked.sender_town.as_deref(), Some("Тверь город"), "{what}");
            assert_eq!((asked.paytype, asked.places), (Some(sent.paytype), sent.places), "{what}");
            assert_eq!(asked.weight, sent.weight, "{what}");
            let sizes = |packages: &[Package]| -> Vec<_> {
                packages.iter().map(|p| (p.mass, p.length, p.width, p.height, p.quantity)).collect()
            };
            assert_eq!(sizes(&asked.packages), sizes(&sent.packages), "{what}");
            let collected = sent
                .items
                .iter()
                .fold(Kopecks::ZERO, |sum, line| sum + Kopecks(line.retprice.0 * i64::from(line.quantity)));
            let collected = collected + sent.delivery_price.map_or(Kopecks::ZERO, |fee| fee.sum);
            assert_eq!(asked.price.unwrap_or_default(), if cod > 0 { collected } else { Kopecks::ZERO }, "{what}");
        }
    }

    #[test]
    fn the_mode_that_names_pick_up_points_goes_to_them() {
        let modes = [mode("1", "Не срочно", 300), mode("3", "Доставка до ПВЗ", 500)];
        assert_eq!(pickup_mode(&modes, Some("1")).and_then(|m| m.service.as_deref()), Some("3"));
        assert_eq!(pickup_mode(&modes[..1], None).and_then(|m| m.service.as_deref()), Some("1"));
        let plain = [mode("1", "Не срочно", 300), mode("2", "Срочно", 200)];
        assert_eq!(pickup_mode(&plain, Some("1")).and_then(|m| m.service.as_deref()), Some("1"));
        assert_eq!(pickup_mode(&plain, None).and_then(|m| m.service.as_deref()), Some("2"));
        assert!(pickup_mode(&[], None).is_none());
    }
}
