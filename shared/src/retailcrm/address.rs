//! RetailCRM's delivery address in MeaSoft's words. Pure.

use super::wire::order::Address;

/// The parts that say something, trimmed; `None` when none does.
pub fn joined(parts: &[Option<&str>], separator: &str) -> Option<String> {
    let text = parts.iter().flatten().map(|p| p.trim()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(separator);
    (!text.is_empty()).then_some(text)
}

/// What sort of place a town is, as MeaSoft writes it and as people do. The first eight are
/// also what we send; the others only tell rows of MeaSoft's list apart.
const KINDS: [(&str, &[&str]); 14] = [
    ("город", &["г", "гор", "город"]),
    ("поселок", &["п", "пос", "поселок"]),
    ("пгт", &["пгт", "п.г.т", "поселок городского типа"]),
    ("рабочий поселок", &["рп", "р.п", "раб.пос", "рабочий поселок"]),
    ("село", &["с", "село"]),
    ("деревня", &["д", "дер", "деревня"]),
    ("станица", &["ст-ца", "станица"]),
    ("хутор", &["х", "хутор"]),
    ("аул", &["аул"]),
    ("дачный поселок", &["дп", "д.п", "дачный поселок"]),
    ("станция", &["ст", "станция"]),
    ("слобода", &["сл", "слобода"]),
    ("микрорайон", &["мкр", "микрорайон"]),
    ("разъезд", &["рзд", "разъезд"]),
];
const SENT: usize = 8;
/// How else towns are written of which there is only one.
const SHORT: [(&str, &str); 10] = [
    ("спб", "Санкт-Петербург"),
    ("с-пб", "Санкт-Петербург"),
    ("с.-пб", "Санкт-Петербург"),
    ("питер", "Санкт-Петербург"),
    ("санкт петербург", "Санкт-Петербург"),
    ("с-петербург", "Санкт-Петербург"),
    ("с.-петербург", "Санкт-Петербург"),
    ("с.петербург", "Санкт-Петербург"),
    ("с. петербург", "Санкт-Петербург"),
    ("мск", "Москва"),
];
/// Towns that are regions of their own.
const FEDERAL: [&str; 3] = ["Москва", "Санкт-Петербург", "Севастополь"];

/// A town by name, and what sort of place it is where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Without its type word, spelt as given.
    pub name: String,
    /// A word of MeaSoft's.
    pub kind: Option<&'static str>,
}

impl Place {
    /// «Москва город», «г. Москва», «Москва г», «СПб».
    pub fn read(text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (name, kind) = split(&text);
        let short = SHORT.iter().find(|(short, _)| *short == folded(&name)).map(|(_, whole)| (*whole).to_owned());
        match short {
            Some(name) => Self { name, kind: kind.or(Some("город")) },
            None => Self { name, kind },
        }
    }
}

/// Comparable: without case, ё and outer dots.
fn folded(text: &str) -> String {
    text.trim().trim_end_matches('.').to_lowercase().replace('ё', "е")
}

/// MeaSoft's word for a type word.
pub fn kind(word: &str) -> Option<&'static str> {
    let word = folded(word);
    KINDS.iter().find(|(_, written)| written.contains(&word.as_str())).map(|(kind, _)| *kind)
}

/// The name less its type word, before it or behind it.
fn split(text: &str) -> (String, Option<&'static str>) {
    let strip = |c: char| matches!(c, ' ' | ',' | '(' | ')');
    // Behind: the longest first, «рабочий поселок» before «поселок».
    let mut spaces: Vec<usize> = text.match_indices([' ', ',']).map(|(at, _)| at).collect();
    for at in spaces.iter().copied() {
        let (name, word) = (text[..at].trim_matches(strip), text[at..].trim_matches(strip));
        if let (false, Some(kind)) = (name.is_empty(), kind(word)) {
            return (name.to_owned(), Some(kind));
        }
    }
    // Before: a dot may take the place of the space, «г.Москва».
    spaces.extend(text.match_indices('.').map(|(at, _)| at + 1));
    spaces.sort_unstable();
    for at in spaces.into_iter().rev() {
        let (word, name) = (text[..at].trim_matches(strip), text[at..].trim_matches(strip));
        // «С. Петербург» is no village, «п.г.т. Лесной» has dots inside.
        if let (false, Some(kind)) = (name.is_empty() || name.starts_with('.'), kind(word)) {
            let whole = folded(text);
            if !SHORT.iter().any(|(short, _)| *short == whole) {
                return (name.to_owned(), Some(kind));
            }
        }
    }
    (text.to_owned(), None)
}

/// The town an address names.
pub fn place(address: &Address) -> Option<Place> {
    let Some(city) = address.city.as_deref().map(str::trim).filter(|city| !city.is_empty()) else {
        let region = Place::read(address.region.as_deref().unwrap_or(""));
        let known = FEDERAL.iter().find(|name| folded(name) == folded(&region.name))?;
        let is_town = region.kind.is_none_or(|kind| kind == "город");
        return is_town.then(|| Place { name: (*known).to_owned(), kind: Some("город") });
    };
    let mut place = Place::read(city);
    if let Some(kind) = address.city_type.as_deref().and_then(kind) {
        place.kind = Some(kind);
    }
    Some(place)
}

/// «Химки город»: the name with its type word (protocols/measoft.md#phones).
pub fn town(address: &Address) -> Option<String> {
    let place = place(address)?;
    let sent = KINDS[..SENT].iter().map(|(kind, _)| *kind).find(|kind| Some(*kind) == place.kind);
    match (sent, address.city.as_deref().map(str::trim).filter(|city| !city.is_empty())) {
        (Some(kind), _) => Some(format!("{} {kind}", place.name)),
        // What we have no word for goes as it was written.
        (None, Some(city)) if place.kind.is_some() => Some(city.to_owned()),
        (None, _) => Some(place.name),
    }
}

/// [`street_line`] and the metro station, which couriers on foot go by.
pub fn address_line(a: &Address) -> Option<String> {
    let line = street_line(a)?;
    let Some(metro) = a.metro.as_deref().map(str::trim).filter(|metro| !metro.is_empty()) else { return Some(line) };
    let bare = folded(metro);
    let station = bare.trim_start_matches("метро").trim_start_matches("м.").trim();
    if station.is_empty() || folded(&line).contains(station) {
        return Some(line);
    }
    let word = if bare.starts_with("м.") || bare.starts_with("метро") { "" } else { "м. " };
    Some(format!("{line}, {word}{}", metro.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The address below the town as one line. RetailCRM's `house` is the строение, `building`
/// the house number (protocols/retailcrm.md#delivery).
pub fn street_line(a: &Address) -> Option<String> {
    if let Some(text) = a.text.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        return Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let street = joined(&[a.street_type.as_deref(), a.street.as_deref()], " ");
    let part = |word: &str, value: &Option<String>| {
        value.as_deref().map(str::trim).filter(|v| !v.is_empty()).map(|v| format!("{word} {v}"))
    };
    let parts = [
        street,
        part("д.", &a.building),
        part("корп.", &a.housing),
        part("стр.", &a.house),
        part("под.", &a.block),
        part("эт.", &a.floor),
        part("кв.", &a.flat),
    ];
    joined(&parts.iter().map(Option::as_deref).collect::<Vec<_>>(), ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_town_is_read_however_its_type_word_is_written() {
        let rows = [
            ("Москва город", "Москва", Some("город")),
            ("г Москва", "Москва", Some("город")),
            ("г. Москва", "Москва", Some("город")),
            ("г.Москва", "Москва", Some("город")),
            ("город Москва", "Москва", Some("город")),
            ("Москва г", "Москва", Some("город")),
            ("Москва г.", "Москва", Some("город")),
            ("Москва, г.", "Москва", Some("город")),
            ("Москва (город)", "Москва", Some("город")),
            ("Г. МОСКВА", "МОСКВА", Some("город")),
            ("Мск", "Москва", Some("город")),
            ("СПб", "Санкт-Петербург", Some("город")),
            ("г. СПб", "Санкт-Петербург", Some("город")),
            ("С-Пб", "Санкт-Петербург", Some("город")),
            ("С.-Петербург", "Санкт-Петербург", Some("город")),
            ("С. Петербург", "Санкт-Петербург", Some("город")),
            ("Санкт Петербург", "Санкт-Петербург", Some("город")),
            ("Санкт-Петербург", "Санкт-Петербург", None),
            ("пос. Лесной", "Лесной", Some("поселок")),
            ("посёлок Лесной", "Лесной", Some("поселок")),
            ("Лесной посёлок", "Лесной", Some("поселок")),
            ("п.г.т. Лесной", "Лесной", Some("пгт")),
            ("р.п. Лесной", "Лесной", Some("рабочий поселок")),
            ("Лесной рабочий поселок", "Лесной", Some("рабочий поселок")),
            ("с. Петровское", "Петровское", Some("село")),
            ("с Петровское", "Петровское", Some("село")),
            ("д.Ивановка", "Ивановка", Some("деревня")),
            ("ст-ца Каневская", "Каневская", Some("станица")),
            ("Белгород", "Белгород", None),
            ("Нижний Новгород", "Нижний Новгород", None),
            ("Гусь-Хрустальный", "Гусь-Хрустальный", None),
            ("Набережные Челны", "Набережные Челны", None),
            ("Посёлок", "Посёлок", None),
            ("", "", None),
        ];
        for (text, name, kind) in rows {
            assert_eq!(Place::read(text), Place { name: name.to_owned(), kind }, "{text}");
        }
    }

    #[test]
    fn the_metro_station_is_in_the_address_once() {
        let address = |text: &str, metro: &str| Address {
            text: Some(text.to_owned()),
            metro: Some(metro.to_owned()),
            ..Address::default()
        };
        let rows = [
            ("ул. Мира, д. 1", "Парк культуры", "ул. Мира, д. 1, м. Парк культуры"),
            ("ул. Мира, д. 1", "м. Парк культуры", "ул. Мира, д. 1, м. Парк культуры"),
            ("ул. Мира, д. 1", "метро Парк культуры", "ул. Мира, д. 1, метро Парк культуры"),
            ("ул. Мира, д. 1, м. Парк Культуры", "Парк культуры", "ул. Мира, д. 1, м. Парк Культуры"),
            ("ул. Мира, д. 1", " ", "ул. Мира, д. 1"),
        ];
        for (text, metro, line) in rows {
            assert_eq!(address_line(&address(text, metro)).as_deref(), Some(line), "{text} {metro}");
        }
        // A station is no address.
        let nowhere = Address { metro: Some("Парк культуры".to_owned()), ..Address::default() };
        assert_eq!(address_line(&nowhere), None);
    }
}
