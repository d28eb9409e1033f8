//! A small country: towns, regions, pick-up points and delivery modes, with one pair of towns of the same
//! name in different regions (protocols/measoft.md#lists).

use std::sync::LazyLock;

/// A region, which the protocol calls `city`.
pub(crate) struct Region {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) country: &'static Country,
}

/// ISO 3166-1 in its three forms, as the platform calls it, and its number there, by which the
/// vendor's own shop module names Russia; the other's is not known.
pub(crate) struct Country {
    pub(crate) id: &'static str,
    pub(crate) alpha2: &'static str,
    pub(crate) alpha3: &'static str,
    pub(crate) numeric: &'static str,
    pub(crate) name: &'static str,
}

pub(crate) const RUSSIA: Country =
    Country { id: "1", alpha2: "RU", alpha3: "RUS", numeric: "643", name: "РОССИЯ" };
pub(crate) const KAZAKHSTAN: Country =
    Country { id: "", alpha2: "KZ", alpha3: "KAZ", numeric: "398", name: "КАЗАХСТАН" };

impl Country {
    /// Whether a condition names it; no condition names all.
    pub(crate) fn is_meant(&self, condition: &str) -> bool {
        condition.is_empty()
            || [self.id, self.alpha2, self.alpha3, self.numeric, self.name].iter().any(|known| same(known, condition))
    }
}

pub(crate) struct Town {
    pub(crate) code: &'static str,
    pub(crate) region: &'static str,
    /// Name with its type word, as the platform writes it.
    pub(crate) name: &'static str,
    /// Empty, like `kind`, where the platform has both in `name` alone.
    pub(crate) short: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) fias: &'static str,
    pub(crate) kladr: &'static str,
    pub(crate) zip: &'static str,
    pub(crate) lat: &'static str,
    pub(crate) lon: &'static str,
    /// Days and zone of the calculator.
    pub(crate) zone: u32,
}

pub(crate) struct Point {
    pub(crate) code: &'static str,
    pub(crate) client_code: &'static str,
    pub(crate) town: &'static str,
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    pub(crate) max_weight_kg: u32,
    pub(crate) cash: bool,
    pub(crate) card: bool,
    pub(crate) fitting: bool,
    pub(crate) lat: &'static str,
    pub(crate) lon: &'static str,
}

/// A delivery mode («срочность»).
pub(crate) struct Service {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    /// Price of the first kilogram in the nearest zone, kopecks.
    pub(crate) base_kopecks: i64,
    /// Price of every further kilogram begun, kopecks.
    pub(crate) per_kg_kopecks: i64,
    pub(crate) days: u32,
}

pub(crate) const REGIONS: &[Region] = &[
    Region { code: "77", name: "Москва", country: &RUSSIA },
    Region { code: "50", name: "Московская область", country: &RUSSIA },
    Region { code: "78", name: "Санкт-Петербург", country: &RUSSIA },
    Region { code: "16", name: "Татарстан республика", country: &RUSSIA },
    Region { code: "24", name: "Красноярский край", country: &RUSSIA },
    Region { code: "46", name: "Курская область", country: &RUSSIA },
    Region { code: "54", name: "Новосибирская область", country: &RUSSIA },
    Region { code: "66", name: "Свердловская область", country: &RUSSIA },
    Region { code: "42", name: "Кемеровская область", country: &RUSSIA },
    Region { code: "398", name: "Костанайская область", country: &KAZAKHSTAN },
];

/// Sorted by importance, as the platform answers.
pub(crate) static TOWNS: LazyLock<Vec<Town>> = LazyLock::new(|| {
    let town = |[code, region, name, short, kind, fias, kladr, zip, lat, lon, zone]: [&'static str; 11]| {
        let zone = number(zone);
        Town { code, region, name, short, kind, fias, kladr, zip, lat, lon, zone }
    };
    rows(include_str!("../../reference/towns.csv")).map(town).collect()
});

pub(crate) static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
    let point = |[code, client_code, town, name, address, most, cash, card, fitting, lat, lon]: [&'static str; 11]| {
        let (cash, card, fitting) = (cash == "YES", card == "YES", fitting == "YES");
        let max_weight_kg = number(most);
        Point { code, client_code, town, name, address, max_weight_kg, cash, card, fitting, lat, lon }
    };
    rows(include_str!("../../reference/points.csv")).map(point).collect()
});

/// The rows of a table below the names of its columns.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let cells = |row: &'static str| row.split(';').collect::<Vec<_>>().try_into();
    table.lines().skip(1).map(move |row| cells(row).unwrap_or_else(|_| panic!("a row of another table: {row}")))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

pub(crate) const SERVICES: &[Service] = &[
    Service { code: "1", name: "Не срочно", base_kopecks: 30_000, per_kg_kopecks: 2_000, days: 1 },
    Service { code: "2", name: "Срочно", base_kopecks: 50_000, per_kg_kopecks: 4_050, days: 0 },
    Service { code: "3", name: "Доставка до ПВЗ", base_kopecks: 19_000, per_kg_kopecks: 1_000, days: 2 },
];

pub(crate) fn region(code: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.code == code)
}

impl Town {
    /// The name less its type word.
    pub(crate) fn called(&self) -> &'static str {
        match self.short {
            "" => self.name.rsplit_once(' ').map_or(self.name, |(name, _)| name),
            short => short,
        }
    }
}

/// Finds a town by its code, its full or its short name. Without a region the more important homonym wins, which is
/// why a caller has to send one.
pub(crate) fn town(text: &str, regioncode: &str) -> Option<&'static Town> {
    let text = text.trim();
    TOWNS.iter().find(|town| {
        let named = town.code == text || same(town.name, text) || same(town.called(), text);
        named && (regioncode.is_empty() || town.region == regioncode)
    })
}

/// Case-insensitive equality that also holds for Cyrillic.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Price in kopecks of a mode for a mass in grams to a zone: dearer with every kilogram begun and with the zone.
pub(crate) fn delivery_price(service: &Service, grams: i64, zone: u32) -> i64 {
    let further_kg = (grams.max(1) - 1) / 1000;
    let near = service.base_kopecks + service.per_kg_kopecks * further_kg;
    near + near / 4 * i64::from(zone.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homonyms_are_told_apart_by_the_region_only() {
        assert_eq!(town("Железногорск город", "46").map(|t| t.code), Some("4601"));
        assert_eq!(town("железногорск", "24").map(|t| t.code), Some("2401"));
        assert_eq!(town("Железногорск город", "").map(|t| t.code), Some("2401"));
        assert_eq!(town("1312", "").map(|t| t.short), Some("Химки"));
        assert!(town("Химки город", "77").is_none());
    }

    #[test]
    fn the_price_grows_with_the_mass_and_the_zone() {
        let mode = &SERVICES[0];
        assert_eq!(delivery_price(mode, 300, 1), 30_000);
        assert_eq!(delivery_price(mode, 1000, 1), 30_000);
        assert_eq!(delivery_price(mode, 1001, 1), 32_000);
        assert_eq!(delivery_price(mode, 1400, 2), 40_000);
    }
}
