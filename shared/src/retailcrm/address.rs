//! RetailCRM's delivery address in MeaSoft's words. Pure.

use super::wire::order::Address;

/// The parts that say something, trimmed; `None` when none does.
#[must_use]
pub fn joined(parts: &[Option<&str>], separator: &str) -> Option<String> {
    let text = parts.iter().flatten().map(|p| p.trim()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(separator);
    (!text.is_empty()).then_some(text)
}

/// «Химки город»: the name with its type word (measoft-api.md §16.5).
#[must_use]
pub fn town(address: &Address) -> Option<String> {
    let city = match address.city.as_deref().map(str::trim).filter(|c| !c.is_empty()) {
        Some(city) => city,
        None => {
            let region = address.region.as_deref().map(str::trim).unwrap_or("");
            let name = region.trim_end_matches(" г.").trim_end_matches(" г").trim_start_matches("г. ");
            let federal = ["Москва", "Санкт-Петербург", "Севастополь"];
            return federal.contains(&name).then(|| format!("{name} город"));
        }
    };
    let word = match address.city_type.as_deref().map(|t| t.trim().trim_end_matches('.').to_lowercase()).as_deref() {
        Some("г" | "город") => "город",
        Some("п" | "пос" | "поселок" | "посёлок") => "поселок",
        Some("пгт") => "пгт",
        Some("рп" | "р.п") => "рабочий поселок",
        Some("с" | "село") => "село",
        Some("д" | "дер" | "деревня") => "деревня",
        Some("ст-ца" | "станица") => "станица",
        Some("х" | "хутор") => "хутор",
        _ => return Some(city.to_owned()),
    };
    // Only a word of its own: «Белгород» still lacks its «город».
    let has_it = city.to_lowercase().strip_suffix(word).is_some_and(|rest| rest.ends_with(' '));
    if has_it { Some(city.to_owned()) } else { Some(format!("{city} {word}")) }
}

/// The address below the town as one line. RetailCRM's `house` is the строение, `building`
/// the house number (retailcrm-api.md B.6).
#[must_use]
pub fn address_line(a: &Address) -> Option<String> {
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
