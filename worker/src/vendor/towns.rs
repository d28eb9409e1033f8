//! RetailCRM's city and region → MeaSoft's town. Towns of one name are told apart by country,
//! region, type word and postal index (protocols/measoft.md#lists); what was found once is kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::crypto::sha256_hex;
use shared::domain::IntegrationId;
use shared::measoft::Town;
use shared::retailcrm::address::{self, Place};
use shared::retailcrm::wire::order::Address;

/// A town of MeaSoft's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub code: String,
    /// What a request takes: the name with its type word, or the code of one of two that are
    /// called alike in one region.
    pub name: String,
    pub region_code: Option<String>,
    /// Where the list was asked for it, when that was by country.
    #[serde(default)]
    pub country: Option<String>,
}

/// Towns of which an address does not say which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// What tells them apart, for people: regions, or names with type words.
    pub shown: Vec<String>,
    towns: Vec<Resolved>,
    /// Of one region, and called alike to the type word.
    twins: bool,
}

/// What a look-up came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookup {
    Found(Resolved),
    /// The list has no such town.
    Nowhere,
    Several(Choices),
}

impl Lookup {
    /// Found where a country was asked for.
    pub(crate) fn listed_in(mut self, country: Option<&str>) -> Self {
        let towns = match &mut self {
            Self::Found(town) => std::slice::from_mut(town),
            Self::Several(choices) => &mut choices.towns[..],
            Self::Nowhere => &mut [],
        };
        towns.iter_mut().for_each(|town| town.country = country.map(str::to_owned));
        self
    }
}

/// What was looked up lately, in this process.
#[derive(Default)]
pub struct TownCache(Mutex<HashMap<(IntegrationId, String), (Lookup, Timestamp)>>);

impl TownCache {
    /// More than any shop delivers to.
    const ENTRIES: usize = 50_000;

    pub(crate) fn get(&self, key: &(IntegrationId, String), now: Timestamp) -> Option<Lookup> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, at) = kept.get(key)?;
        let believed = if matches!(found, Lookup::Found(_)) { KEPT } else { KEPT_NOTHING };
        (now.duration_since(*at).unsigned_abs() < believed).then(|| found.clone())
    }

    pub(crate) fn put(&self, key: (IntegrationId, String), found: Lookup, at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= Self::ENTRIES {
            kept.clear();
        }
        kept.insert(key, (found, at));
    }
}

/// Without case, ё and needless spaces.
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

/// A question to MeaSoft, and what its answer is kept under.
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) country: Option<String>,
    pub(crate) key: String,
}

pub(crate) fn question(address: &Address) -> Option<Question> {
    let place = address::place(address)?;
    let text = |value: &Option<String>| value.as_deref().map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned);
    let country = text(&address.country_iso).map(|iso| iso.to_uppercase());
    let region = bare_region(address.region.as_deref().unwrap_or(""));
    let city = bare(address.city.as_deref().unwrap_or(""));
    // A new first word whenever the choice changes: what was chosen wrongly is not kept.
    let about = format!(
        "by country|{}|{}|{}|{city}|{region}",
        country.as_deref().unwrap_or(""),
        bare(&place.name),
        place.kind.unwrap_or("")
    );
    Some(Question { name: place.name, country, key: format!("town:{}", &sha256_hex(about.as_bytes())[..32]) })
}

/// How a row's town is called, and its type word. The vendor's own rows often have both in
/// `name` alone, «Москва город».
fn place_of(town: &Town) -> Place {
    let said = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    let read = Place::read(&town.name);
    let kind = said(&town.typename).and_then(|word| address::kind(&word)).or(read.kind);
    Place { name: said(&town.shortname).unwrap_or(read.name), kind }
}

/// The right one of the rows whose names begin as asked. Pure.
pub fn choose(address: &Address, rows: &[Town]) -> Lookup {
    let Some(asked) = address::place(address) else { return Lookup::Nowhere };
    let city = bare(address.city.as_deref().unwrap_or(""));
    let mut fitting: Vec<(&Town, Option<&str>)> = rows
        .iter()
        .map(|town| (town, place_of(town)))
        .filter(|(town, place)| bare(&place.name) == bare(&asked.name) || bare(&town.name) == city)
        .map(|(town, place)| (town, place.kind))
        .collect();
    if let Some(region) = address.region.as_deref().filter(|region| !region.trim().is_empty()) {
        let here: Vec<_> = fitting.iter().copied().filter(|(town, _)| same_region(region, town)).collect();
        if here.is_empty() {
            // A region that is spelt in a way we do not know must not hide the only town there
            // is; a village of another region is another place.
            let wanted = asked.kind.unwrap_or("город");
            fitting.retain(|(_, kind)| kind.is_none_or(|kind| kind == wanted));
        } else {
            fitting = here;
        }
    }
    // The type word decides between a town and the villages of its name.
    let wanted = asked.kind.unwrap_or("город");
    if fitting.iter().any(|(_, kind)| *kind == Some(wanted)) {
        fitting.retain(|(_, kind)| *kind == Some(wanted));
    }
    let mut codes = std::collections::HashSet::new();
    fitting.retain(|(town, _)| codes.insert(town.code.as_str()));
    let [first, others @ ..] = fitting.as_slice() else { return Lookup::Nowhere };
    let resolved = |town: &Town| Resolved {
        code: town.code.clone(),
        name: town.name.clone(),
        region_code: town.region_code.clone(),
        country: None,
    };
    if others.is_empty() {
        return Lookup::Found(resolved(first.0));
    }
    let region = |town: &Town| town.region_name.clone().or_else(|| town.region_code.clone());
    let distinct = |mut texts: Vec<String>| {
        texts.sort();
        texts.dedup();
        texts
    };
    let regions = distinct(fitting.iter().filter_map(|(town, _)| region(town)).collect());
    let names = distinct(fitting.iter().map(|(town, _)| town.name.clone()).collect());
    let twins = regions.len() <= 1 && names.len() == 1;
    let shown = if regions.len() > 1 { regions } else { names };
    let towns = fitting
        .iter()
        .map(|(town, _)| {
            let alike = |(other, _): &&(&Town, Option<&str>)| other.name == town.name && region(other) == region(town);
            let mut found = resolved(town);
            if fitting.iter().filter(alike).count() > 1 {
                found.name.clone_from(&found.code);
            }
            found
        })
        .collect();
    Lookup::Several(Choices { shown, towns, twins })
}

/// One of several by what MeaSoft lists under the address's postal index. Pure.
pub fn by_index(choices: &Choices, listed: &[Town]) -> Lookup {
    let mut here = choices.towns.iter().filter(|town| listed.iter().any(|row| row.code == town.code));
    match (here.next(), here.next()) {
        (Some(only), None) => Lookup::Found(only.clone()),
        // Nothing in an address tells twins apart but the index, which goes with the parcel:
        // MeaSoft's own order is by importance.
        _ if choices.twins => choices.towns.first().cloned().map_or(Lookup::Nowhere, Lookup::Found),
        _ => Lookup::Several(choices.clone()),
    }
}

/// How long a town once found is believed.
pub(crate) const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long «no such town» is believed; the courier's list may grow.
const KEPT_NOTHING: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use shared::measoft::TownQuery;

    use crate::order::town::resolve;

    use super::*;
    use crate::testing::{Lists, World};

    fn town(code: &str, name: &str, region: (&str, &str)) -> Town {
        let (short, kind) = name.rsplit_once(' ').expect("a type word");
        Town {
            code: code.into(),
            name: name.into(),
            region_code: Some(region.0.into()),
            region_name: Some(region.1.into()),
            shortname: Some(short.into()),
            typename: Some(kind.into()),
        }
    }

    /// As the vendor's own list has it: the type word in the name alone.
    fn whole(code: &str, name: &str, region: (&str, &str)) -> Town {
        Town { shortname: None, typename: None, ..town(code, name, region) }
    }

    fn shown(found: &Lookup) -> Vec<&str> {
        match found {
            Lookup::Several(choices) => choices.shown.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
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
        assert_eq!(shown(&found), ["Красноярский край", "Курская область"]);
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
        let name = |region| question(&address("Железногорск", Some("г."), Some(region))).expect("a town").key;
        assert_eq!(name("Курская обл."), name("Курская область"));
        assert_ne!(name("Курская обл."), name("Красноярский край"));
        assert!(question(&Address::default()).is_none());
    }

    #[test]
    fn a_row_with_its_type_word_in_the_name_alone_is_found_by_the_bare_name() {
        let rows = [
            whole("1", "Москва город", ("77", "Москва")),
            whole("2", "Москва деревня", ("69", "Тверская область")),
            whole("3", "Московский город", ("77", "Москва")),
        ];
        for city in
            ["Москва", "г Москва", "г. Москва", "Москва г", "Москва г.", "Москва город", "город Москва", "МОСКВА"]
        {
            assert_eq!(code(&choose(&address(city, None, None), &rows)), "1", "{city}");
            assert_eq!(code(&choose(&address(city, Some("г."), Some("г Москва")), &rows)), "1", "{city}");
        }
        for region in ["г Москва", "Москва г", "г. Москва", "Москва"] {
            let only = Address { region: Some(region.into()), ..Address::default() };
            assert_eq!(code(&choose(&only, &rows)), "1", "{region}");
        }
        assert_eq!(code(&choose(&address("д. Москва", None, None), &rows)), "2");
        assert_eq!(code(&choose(&address("Москва", None, Some("Тверская обл.")), &rows)), "2");
        let capital = [whole("2", "Санкт-Петербург город", ("78", "Санкт-Петербург"))];
        for city in ["СПб", "С-Пб", "Санкт Петербург", "г. Санкт-Петербург"] {
            assert_eq!(code(&choose(&address(city, None, None), &capital)), "2", "{city}");
        }
    }

    fn twins() -> Vec<Town> {
        vec![
            whole("11", "Калиновка село", ("46", "Курская область")),
            whole("12", "Калиновка деревня", ("46", "Курская область")),
            whole("13", "Калиновка деревня", ("46", "Курская область")),
        ]
    }

    #[test]
    fn of_a_village_and_a_hamlet_of_one_name_none_is_taken_without_a_type_word() {
        let rows = &twins()[..2];
        let unclear = choose(&address("Калиновка", None, Some("Курская область")), rows);
        assert_eq!(shown(&unclear), ["Калиновка деревня", "Калиновка село"]);
        assert_eq!(shown(&choose(&address("Калиновка", None, None), rows)), ["Калиновка деревня", "Калиновка село"]);
        assert_eq!(code(&choose(&address("Калиновка", Some("д."), Some("Курская область")), rows)), "12");
        assert_eq!(code(&choose(&address("с. Калиновка", None, None), rows)), "11");
    }

    #[test]
    fn the_postal_index_decides_between_towns_of_one_name() {
        let Lookup::Several(any) = choose(&address("Калиновка", None, None), &twins()) else {
            panic!("unclear")
        };
        assert_eq!(code(&by_index(&any, &twins()[..1])), "11");
        assert_eq!(by_index(&any, &[]), Lookup::Several(any.clone()));
        let hamlets = choose(&address("д. Калиновка", None, None), &twins());
        let Lookup::Several(hamlets) = hamlets else { panic!("{hamlets:?}") };
        let Lookup::Found(second) = by_index(&hamlets, &twins()[2..]) else { panic!("decided") };
        // Its name alone would mean the other one.
        assert_eq!((second.code.as_str(), second.name.as_str()), ("13", "13"));
        // An index the list does not know goes with the parcel; the more important one is named.
        assert_eq!(code(&by_index(&hamlets, &[])), "12");
        let Lookup::Several(regions) = choose(&address("Железногорск", None, None), &homonyms()) else {
            panic!()
        };
        assert_eq!(code(&by_index(&regions, &homonyms()[1..2])), "4601");
    }

    #[test]
    fn a_village_of_another_region_is_not_the_town_that_was_meant() {
        let rows = [whole("9", "Рудный поселок", ("42", "Кемеровская область"))];
        let abroad = |kind| address("Рудный", kind, Some("Костанайская область"));
        assert_eq!(choose(&abroad(Some("г.")), &rows), Lookup::Nowhere);
        assert_eq!(choose(&abroad(None), &rows), Lookup::Nowhere);
        assert_eq!(code(&choose(&address("Рудный", Some("п."), Some("Кемеровская обл")), &rows)), "9");
        // A town is not taken for the village that the region does have.
        let both =
            [town("1", "Москва город", ("77", "Москва")), town("2", "Москва деревня", ("69", "Тверская область"))];
        assert_eq!(code(&choose(&address("Москва", None, Some("Тверская обл.")), &both)), "2");
    }

    #[test]
    fn a_town_is_asked_for_in_its_country() {
        let abroad = Address { country_iso: Some("kz".into()), ..address("г. Рудный", None, None) };
        let asked = question(&abroad).expect("a town");
        assert_eq!((asked.name.as_str(), asked.country.as_deref()), ("Рудный", Some("KZ")));
        assert_ne!(asked.key, question(&address("г. Рудный", None, None)).expect("a town").key);
    }

    fn asked_of(lists: &Lists) -> Vec<String> {
        let said = |query: &TownQuery| match query {
            TownQuery::Name { starts, country, .. } => format!("{starts} in {}", country.as_deref().unwrap_or("-")),
            TownQuery::Zipcode(index) => format!("index {index}"),
        };
        lists.asked.lock().expect("lock").drain(..).map(|query| said(&query)).collect()
    }

    fn in_country(iso: &str, address: Address) -> Address {
        Address { country_iso: Some(iso.into()), ..address }
    }

    #[tokio::test]
    async fn a_list_without_countries_is_asked_again_without_one_for_home_alone() {
        let world = World::new().await;
        let (active, lists) = Lists::over(&world.first(), |query| match query {
            TownQuery::Name { country: None, .. } => vec![whole("1", "Москва город", ("77", "Москва"))],
            _ => Vec::new(),
        });
        let at_home = in_country("RU", address("Москва", None, None));
        for again in [false, true] {
            let found = resolve(&world.tools, &active, &at_home).await.expect("asked").expect("named");
            let Lookup::Found(town) = &found else { panic!("{found:?}") };
            assert_eq!((town.code.as_str(), town.country.as_deref()), ("1", None), "the list has no countries");
            assert_eq!(asked_of(&lists), if again { vec![] } else { vec!["Москва in RU", "Москва in -"] });
        }
        let abroad = in_country("KZ", address("Москва", None, None));
        assert_eq!(resolve(&world.tools, &active, &abroad).await.expect("asked"), Some(Lookup::Nowhere));
        assert_eq!(asked_of(&lists), ["Москва in KZ"], "no namesake at home");
    }

    #[tokio::test]
    async fn which_of_several_towns_is_meant_is_asked_by_the_postal_index() {
        let world = World::new().await;
        let (active, lists) = Lists::over(&world.first(), |query| match query {
            TownQuery::Name { .. } => twins()[..2].to_vec(),
            TownQuery::Zipcode(index) if index == "307131" => twins()[1..2].to_vec(),
            TownQuery::Zipcode(index) if index == "307130" => twins()[..1].to_vec(),
            _ => Vec::new(),
        });
        let under = |index: &str| Address {
            index: Some(index.into()),
            ..in_country("RU", address("Калиновка", None, Some("Курская область")))
        };
        let mut found = Vec::new();
        for index in ["307131", "307130", "307131", "KZ-1"] {
            found.push(resolve(&world.tools, &active, &under(index)).await.expect("asked").expect("named"));
        }
        assert_eq!((code(&found[0]), code(&found[1]), code(&found[2])), ("12", "11", "12"));
        assert!(matches!(found[3], Lookup::Several(_)), "what is no index is asked for by none");
        let Lookup::Found(town) = &found[0] else { panic!("decided") };
        assert_eq!(town.country.as_deref(), Some("RU"));
        assert_eq!(asked_of(&lists), ["Калиновка in RU", "index 307131", "index 307130"]);
    }
}
