//! RetailCRM's city and region → MeaSoft's town. Two towns of one name are told apart by
//! their region (measoft-api.md §22.11); what was found once is kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::crypto::sha256_hex;
use shared::domain::{IntegrationId, Language};
use shared::measoft::{Limit, MeasoftError, NamePart, Town, TownQuery};
use shared::message::{GiveUp, Outcome, RetryWhy};
use shared::reason;
use shared::retailcrm::address;
use shared::retailcrm::wire::order::Address;

use crate::case::Case;
use crate::ports::{Shop, Tools};

/// How long a town once found is believed.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long «no such town» is believed; the courier's list may grow.
const KEPT_NOTHING: Duration = Duration::from_secs(3600);
/// Rows looked at; the list is sorted by importance.
const ROWS: u32 = 100;

/// A town of MeaSoft's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub code: String,
    /// With its type word: what a request takes.
    pub name: String,
    pub region_code: Option<String>,
}

/// What a look-up came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookup {
    Found(Resolved),
    /// The list has no such town.
    Nowhere,
    /// Several regions have one, and the order does not say which is meant.
    Several(Vec<String>),
}

/// What was looked up lately, in this process.
#[derive(Default)]
pub struct TownCache(Mutex<HashMap<(IntegrationId, String), (Lookup, Timestamp)>>);

impl TownCache {
    /// More than any shop delivers to.
    const ENTRIES: usize = 50_000;

    fn get(&self, key: &(IntegrationId, String), now: Timestamp) -> Option<Lookup> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, at) = kept.get(key)?;
        let believed = if matches!(found, Lookup::Found(_)) { KEPT } else { KEPT_NOTHING };
        (now.duration_since(*at).unsigned_abs() < believed).then(|| found.clone())
    }

    fn put(&self, key: (IntegrationId, String), found: Lookup, at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= Self::ENTRIES {
            kept.clear();
        }
        kept.insert(key, (found, at));
    }
}

/// Why a town could not be looked up.
#[derive(Debug)]
pub enum Failed {
    /// The gate is closed.
    Held(Outcome),
    Courier(MeasoftError),
}

/// A name without its type word, its ё and its case.
fn bare(name: &str) -> String {
    name.trim().to_lowercase().replace('ё', "е").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A region's name without the words that only say what sort of region it is.
fn bare_region(name: &str) -> String {
    const SORTS: [&str; 14] = [
        "область",
        "обл",
        "край",
        "республика",
        "респ",
        "автономный",
        "автономная",
        "округ",
        "ао",
        "аобл",
        "г",
        "город",
        "(якутия)",
        "-",
    ];
    let text = bare(name).replace('.', " ").replace('—', "-");
    text.split_whitespace().filter(|word| !SORTS.contains(word)).collect::<Vec<_>>().join(" ")
}

fn same_region(asked: &str, town: &Town) -> bool {
    let asked = bare_region(asked);
    let name = bare_region(town.region_name.as_deref().unwrap_or(""));
    if asked.is_empty() || name.is_empty() {
        return false;
    }
    asked == name || name.starts_with(&format!("{asked} ")) || asked.starts_with(&format!("{name} "))
}

/// Moscow and Saint Petersburg are regions of their own, and are written as either.
fn city_of(address: &Address) -> Option<String> {
    address::town(address)
}

/// What is asked for, and what it is kept under.
fn question(address: &Address) -> Option<(String, String)> {
    let whole = city_of(address)?;
    let short = match address.city.as_deref().map(str::trim).filter(|city| !city.is_empty()) {
        Some(city) => city.to_owned(),
        None => whole.trim_end_matches(" город").to_owned(),
    };
    let region = bare_region(address.region.as_deref().unwrap_or(""));
    let text = format!("{}|{}|{region}", bare(&whole), bare(&short));
    Some((short, format!("town:{}", &sha256_hex(text.as_bytes())[..32])))
}

/// The right one of the rows whose names begin as asked. Pure.
#[must_use]
pub fn choose(address: &Address, rows: &[Town]) -> Lookup {
    let Some(whole) = city_of(address) else { return Lookup::Nowhere };
    let city = address.city.as_deref().unwrap_or("");
    let (whole, city) = (bare(&whole), bare(city));
    let named = |town: &&Town| {
        let full = bare(&town.name);
        let short = town.shortname.as_deref().map(bare);
        full == whole || full == city || short.as_deref() == Some(city.as_str()) || short.as_deref() == Some(&whole)
    };
    let mut fitting: Vec<&Town> = rows.iter().filter(named).collect();
    // The type word decides between a town and the villages of its name.
    if fitting.iter().any(|town| bare(&town.name) == whole) {
        fitting.retain(|town| bare(&town.name) == whole);
    } else if fitting.iter().any(|town| town.typename.as_deref().map(bare).as_deref() == Some("город")) {
        fitting.retain(|town| town.typename.as_deref().map(bare).as_deref() == Some("город"));
    }
    if let Some(region) = address.region.as_deref().filter(|region| !region.trim().is_empty()) {
        let here: Vec<&Town> = fitting.iter().copied().filter(|town| same_region(region, town)).collect();
        // A region that is spelt in a way we do not know must not hide the only town there is.
        if !here.is_empty() {
            fitting = here;
        }
    }
    let Some(first) = fitting.first() else { return Lookup::Nowhere };
    let mut regions: Vec<String> =
        fitting.iter().filter_map(|town| town.region_name.clone().or_else(|| town.region_code.clone())).collect();
    regions.sort();
    regions.dedup();
    if regions.len() > 1 {
        return Lookup::Several(regions);
    }
    Lookup::Found(Resolved {
        code: first.code.clone(),
        name: first.name.clone(),
        region_code: first.region_code.clone(),
    })
}

/// The town of an address; `None` when the address names none.
///
/// # Errors
/// [`Failed`] when MeaSoft could not be asked.
pub async fn resolve(tools: &Tools, shop: &Shop, address: &Address) -> Result<Option<Lookup>, Failed> {
    let Some((short, name)) = question(address) else { return Ok(None) };
    let now = tools.clock.now();
    let key = (shop.id(), name);
    if let Some(found) = tools.towns.get(&key, now) {
        return Ok(Some(found));
    }
    if let Ok(Some((text, at))) = tools.store.reference(key.0, &key.1).await
        && now.duration_since(at).unsigned_abs() < KEPT
        && let Ok(found) = serde_json::from_str::<Lookup>(&text)
        && matches!(found, Lookup::Found(_))
    {
        tools.towns.put(key, found.clone(), at);
        return Ok(Some(found));
    }
    let query = TownQuery::Name {
        part: NamePart::Starts,
        text: short,
        region: None,
        country: None,
        limit: Some(Limit { from: 0, count: ROWS }),
    };
    let rows = match tools.ask(shop, shop.vendors.courier.towns(&query)).await {
        Err(held) => return Err(Failed::Held(held)),
        Ok(Err(error)) => return Err(Failed::Courier(error)),
        Ok(Ok(rows)) => rows,
    };
    let found = choose(address, &rows);
    if let Lookup::Found(_) = &found {
        let text = serde_json::to_string(&found).expect("a town serialises");
        if let Err(error) = tools.store.keep_reference(key.0, &key.1, &text).await {
            tracing::debug!(%error, "a town could not be kept");
        }
    }
    tools.towns.put(key, found.clone(), now);
    Ok(Some(found))
}

/// «в справочнике несколько городов…», for people.
#[must_use]
pub fn several(language: Language, city: &str, regions: &[String]) -> String {
    let regions = regions.join(", ");
    match language {
        Language::Ru => format!("Городов «{city}» несколько ({regions}): укажите в адресе доставки регион"),
        Language::En => {
            format!("There are several towns «{city}» ({regions}): enter the region in the delivery address")
        }
    }
}

/// Puts the town into an order about to be sent. The case is closed when it must not go.
/// A town the list does not have goes as it was written: MeaSoft itself has the last word.
pub async fn place(tools: &Tools, shop: &Shop, case: &mut Case) {
    let Some(address) = case.order.as_ref().map(|order| order.delivery.address.clone()) else { return };
    let found = match resolve(tools, shop, &address).await {
        Ok(found) => found,
        Err(Failed::Held(outcome)) => return case.close(outcome),
        Err(Failed::Courier(error)) => {
            tracing::debug!(error = error.outcome(), "a town could not be looked up");
            return case.retry(RetryWhy::CourierUnavailable, None);
        }
    };
    match found {
        Some(Lookup::Found(town)) => {
            if let Some(Ok(desired)) = &mut case.desired {
                desired.order.receiver.town = Some(town.name);
                desired.order.receiver.regioncode = town.region_code;
            }
        }
        Some(Lookup::Several(regions)) => {
            let city = address.city.as_deref().unwrap_or("");
            let detail = several(shop.integration.settings.language, city, &regions);
            let fault = reason::give_up(reason::TOWN_UNCLEAR, "").fault;
            case.give_up(GiveUp { reason: reason::TOWN_UNCLEAR, fault, detail });
        }
        Some(Lookup::Nowhere) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn town(code: &str, name: &str, region: (&str, &str)) -> Town {
        let (short, kind) = name.rsplit_once(' ').expect("a type word");
        Town {
            code: code.into(),
            name: name.into(),
            region_code: Some(region.0.into()),
            region_name: Some(region.1.into()),
            fiascode: None,
            kladrcode: None,
            shortname: Some(short.into()),
            typename: Some(kind.into()),
            latitude: None,
            longitude: None,
        }
    }

    fn address(city: &str, kind: Option<&str>, region: Option<&str>) -> Address {
        Address {
            city: Some(city.into()),
            city_type: kind.map(Into::into),
            region: region.map(Into::into),
            ..Address::default()
        }
    }

    fn homonyms() -> Vec<Town> {
        vec![
            town("2401", "Железногорск город", ("24", "Красноярский край")),
            town("4601", "Железногорск город", ("46", "Курская область")),
            town("9", "Железногорск-Илимский город", ("38", "Иркутская область")),
        ]
    }

    fn code(found: &Lookup) -> &str {
        match found {
            Lookup::Found(town) => &town.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_region_tells_homonyms_apart_however_it_is_written() {
        for region in ["Курская область", "Курская обл.", "курская обл", "Курская"]
        {
            let found = choose(&address("Железногорск", Some("г."), Some(region)), &homonyms());
            assert_eq!(code(&found), "4601", "{region}");
        }
        let found = choose(&address("железногорск", None, Some("Красноярский край")), &homonyms());
        assert_eq!(code(&found), "2401");
    }

    #[test]
    fn without_a_region_nothing_is_guessed() {
        let found = choose(&address("Железногорск", Some("г."), None), &homonyms());
        assert_eq!(found, Lookup::Several(vec!["Красноярский край".into(), "Курская область".into()]));
    }

    #[test]
    fn a_town_is_preferred_to_villages_of_its_name() {
        let rows = [
            town("1", "Москва город", ("77", "Москва")),
            town("2", "Москва деревня", ("69", "Тверская область")),
            town("3", "Москва деревня", ("60", "Псковская область")),
        ];
        assert_eq!(code(&choose(&address("Москва", None, None), &rows)), "1");
        assert_eq!(code(&choose(&address("Москва", Some("д."), Some("Тверская обл.")), &rows)), "2");
        let only_region = Address { region: Some("Москва".into()), ..Address::default() };
        assert_eq!(code(&choose(&only_region, &rows)), "1");
    }

    #[test]
    fn an_oddly_spelt_region_does_not_hide_the_only_town() {
        let rows = [town("160", "Казань город", ("16", "Татарстан республика"))];
        for region in ["Республика Татарстан", "Татарстан Респ", "RU-TA"] {
            assert_eq!(code(&choose(&address("Казань", Some("г"), Some(region)), &rows)), "160", "{region}");
        }
    }

    #[test]
    fn yo_and_unknown_names() {
        let rows = [town("7", "Королёв город", ("50", "Московская область"))];
        assert_eq!(code(&choose(&address("Королев", Some("г."), None), &rows)), "7");
        assert_eq!(choose(&address("Нигде", None, None), &rows), Lookup::Nowhere);
        assert_eq!(choose(&Address::default(), &rows), Lookup::Nowhere);
    }

    #[test]
    fn one_question_is_kept_under_one_name_per_region() {
        let name = |region| question(&address("Железногорск", Some("г."), Some(region))).expect("a town").1;
        assert_eq!(name("Курская обл."), name("Курская область"));
        assert_ne!(name("Курская обл."), name("Красноярский край"));
        assert!(question(&Address::default()).is_none());
    }
}
