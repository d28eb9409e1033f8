//! A small country: towns, regions, streets, pick-up points and delivery modes, with one pair of towns of the same
//! name in different regions (protocols/measoft.md#lists).

/// A region, which the protocol calls `city`.
pub(crate) struct Region {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) country: &'static Country,
}

/// ISO 3166-1 in its three forms, and as the platform calls it.
pub(crate) struct Country {
    pub(crate) alpha2: &'static str,
    pub(crate) alpha3: &'static str,
    pub(crate) numeric: &'static str,
    pub(crate) name: &'static str,
}

pub(crate) const RUSSIA: Country = Country { alpha2: "RU", alpha3: "RUS", numeric: "643", name: "РОССИЯ" };
pub(crate) const KAZAKHSTAN: Country =
    Country { alpha2: "KZ", alpha3: "KAZ", numeric: "398", name: "КАЗАХСТАН" };

impl Country {
    /// Whether a condition names it; no condition names all.
    pub(crate) fn is_meant(&self, condition: &str) -> bool {
        condition.is_empty()
            || [self.alpha2, self.alpha3, self.numeric, self.name].iter().any(|known| same(known, condition))
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
pub(crate) const TOWNS: &[Town] = &[
    Town {
        code: "1",
        region: "77",
        name: "Москва город",
        short: "",
        kind: "",
        fias: "0c5b2444-70a0-4932-980c-b4dc0d3f02b5",
        kladr: "7700000000000",
        zip: "101000",
        lat: "55.7558",
        lon: "37.6173",
        zone: 1,
    },
    Town {
        code: "2",
        region: "78",
        name: "Санкт-Петербург город",
        short: "Санкт-Петербург",
        kind: "город",
        fias: "c2deb16a-0330-4f05-821f-1d09c93331e6",
        kladr: "7800000000000",
        zip: "190000",
        lat: "59.9386",
        lon: "30.3141",
        zone: 2,
    },
    Town {
        code: "540",
        region: "54",
        name: "Новосибирск город",
        short: "Новосибирск",
        kind: "город",
        fias: "8dea00e3-9aab-4d8e-887c-ef2aaa546456",
        kladr: "5400000100000",
        zip: "630000",
        lat: "55.0302",
        lon: "82.9204",
        zone: 4,
    },
    Town {
        code: "660",
        region: "66",
        name: "Екатеринбург город",
        short: "Екатеринбург",
        kind: "город",
        fias: "2763c110-cb8b-416a-9dac-ad28a55b4402",
        kladr: "6600000100000",
        zip: "620000",
        lat: "56.8380",
        lon: "60.5973",
        zone: 3,
    },
    Town {
        code: "160",
        region: "16",
        name: "Казань город",
        short: "Казань",
        kind: "город",
        fias: "93b3df57-4c89-44df-ac42-96f05e9cd3b9",
        kladr: "1600000100000",
        zip: "420000",
        lat: "55.7963",
        lon: "49.1088",
        zone: 3,
    },
    Town {
        code: "1312",
        region: "50",
        name: "Химки город",
        short: "Химки",
        kind: "город",
        fias: "11111111-2222-3333-4444-555555555555",
        kladr: "5000003600000",
        zip: "141400",
        lat: "55.8970",
        lon: "37.4297",
        zone: 2,
    },
    Town {
        code: "2401",
        region: "24",
        name: "Железногорск город",
        short: "Железногорск",
        kind: "город",
        fias: "24242424-2222-3333-4444-555555555555",
        kladr: "2400000400000",
        zip: "662970",
        lat: "56.2510",
        lon: "93.5320",
        zone: 4,
    },
    Town {
        code: "4601",
        region: "46",
        name: "Железногорск город",
        short: "Железногорск",
        kind: "город",
        fias: "46464646-2222-3333-4444-555555555555",
        kladr: "4600000300000",
        zip: "307170",
        lat: "52.3310",
        lon: "35.3710",
        zone: 3,
    },
    Town {
        code: "4611",
        region: "46",
        name: "Калиновка село",
        short: "",
        kind: "",
        fias: "",
        kladr: "",
        zip: "307130",
        lat: "",
        lon: "",
        zone: 4,
    },
    Town {
        code: "4612",
        region: "46",
        name: "Калиновка деревня",
        short: "",
        kind: "",
        fias: "",
        kladr: "",
        zip: "307131",
        lat: "",
        lon: "",
        zone: 4,
    },
    Town {
        code: "4201",
        region: "42",
        name: "Рудный поселок",
        short: "",
        kind: "",
        fias: "",
        kladr: "",
        zip: "652000",
        lat: "",
        lon: "",
        zone: 5,
    },
    Town {
        code: "39801",
        region: "398",
        name: "Рудный город",
        short: "",
        kind: "",
        fias: "",
        kladr: "",
        zip: "111500",
        lat: "",
        lon: "",
        zone: 6,
    },
];

/// (town code, name with type word, short name, type word)
pub(crate) const STREETS: &[(&str, &str, &str, &str)] = &[
    ("1", "Лесная ул.", "Лесная", "улица"),
    ("1", "Кутузовский пр-кт.", "Кутузовский", "проспект"),
    ("1", "Тверская ул.", "Тверская", "улица"),
    ("2", "Невский пр-кт.", "Невский", "проспект"),
    ("1312", "Мира ул.", "Мира", "улица"),
    ("1312", "Юбилейный пр-кт.", "Юбилейный", "проспект"),
];

pub(crate) const POINTS: &[Point] = &[
    Point {
        code: "318",
        client_code: "KHM-04",
        town: "1312",
        name: "ПВЗ Химки, Мира 3",
        address: "ул. Мира, д. 3",
        max_weight_kg: 15,
        cash: true,
        card: true,
        fitting: false,
        lat: "55.8970",
        lon: "37.4297",
    },
    Point {
        code: "101",
        client_code: "MSK-01",
        town: "1",
        name: "ПВЗ Москва, Лесная 5",
        address: "ул. Лесная, д. 5",
        max_weight_kg: 30,
        cash: true,
        card: true,
        fitting: true,
        lat: "55.7790",
        lon: "37.5880",
    },
    Point {
        code: "102",
        client_code: "MSK-02",
        town: "1",
        name: "Постамат Москва, Тверская 1",
        address: "ул. Тверская, д. 1",
        max_weight_kg: 5,
        cash: false,
        card: true,
        fitting: false,
        lat: "55.7570",
        lon: "37.6130",
    },
    Point {
        code: "201",
        client_code: "SPB-01",
        town: "2",
        name: "ПВЗ Санкт-Петербург, Невский 20",
        address: "Невский пр., д. 20",
        max_weight_kg: 20,
        cash: true,
        card: false,
        fitting: true,
        lat: "59.9358",
        lon: "30.3230",
    },
];

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
