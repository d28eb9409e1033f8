//! What somebody set right for one order, laid over what RetailCRM says of it. Pure.
//!
//! A correction holds as long as RetailCRM says what it said when it was made: then its own value
//! is right again, whichever it is.

use jiff::civil::{Date, Time};
use shared::domain::{CorrectedField as F, Phone};
use shared::retailcrm::address::{address_line, joined, town};
use shared::retailcrm::wire::order::{Address, Order};
use shared::store::corrections::Correction;

use crate::order::reading::country;
use crate::order::receiver::{instruction_of, person, phones};

/// Longer than anything MeaSoft takes in one field.
const LONGEST: usize = 500;

/// What RetailCRM says of a field: equal for two readings that say the same.
pub fn said(order: &Order, field: F) -> String {
    let d = &order.delivery;
    let text = match field {
        F::Phone => {
            let read: Vec<String> = phones(order).iter().map(|one| one.phone.as_str().to_owned()).collect();
            // What is no number is known by its letters.
            if read.is_empty() { joined(&[order.phone.as_deref()], "") } else { Some(read.join(", ")) }
        }
        F::Name => person(order),
        F::Town => joined(&[d.address.region.as_deref(), town(&d.address).as_deref()], ", "),
        F::Address => address_line(&d.address),
        F::Date => d.date.map(|date| date.to_string()),
        F::Window => window(d.time.from, d.time.to),
        F::Comment => instruction_of(order),
    };
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn window(from: Option<Time>, to: Option<Time>) -> Option<String> {
    let clock = |time: Option<Time>| time.map_or_else(String::new, |t| format!("{:02}:{:02}", t.hour(), t.minute()));
    (from.is_some() || to.is_some()).then(|| format!("{}-{}", clock(from), clock(to)))
}

/// Lays the corrections that hold over an order. Answers which of them RetailCRM has overtaken.
pub fn lay_over<'a>(order: &mut Order, corrections: &'a [Correction]) -> Vec<&'a Correction> {
    let (hold, over): (Vec<&Correction>, Vec<&Correction>) =
        corrections.iter().partition(|one| said(order, one.field) == one.values.before);
    for one in hold {
        lay(order, one.field, &one.values.after);
    }
    over
}

/// Puts a value that [`checked`] has let through in the place of RetailCRM's own.
pub fn lay(order: &mut Order, field: F, value: &str) {
    let text = Some(value.to_owned()).filter(|text| !text.is_empty());
    let d = &mut order.delivery;
    match field {
        F::Phone => {
            order.phone = text;
            order.additional_phone = None;
        }
        F::Name => {
            order.last_name = text;
            order.first_name = None;
            order.patronymic = None;
        }
        F::Town => {
            let (region, city) = match value.rsplit_once(',') {
                Some((region, city)) => (Some(region.trim().to_owned()), city.trim()),
                None => (d.address.region.take(), value),
            };
            let city = Some(city.to_owned());
            // The index is the other town's.
            d.address = Address { region, city, city_type: None, index: None, ..std::mem::take(&mut d.address) };
        }
        F::Address => {
            d.address.text = text;
            d.address.metro = None;
        }
        F::Date => d.date = value.parse().ok(),
        F::Window => (d.time.from, d.time.to) = hours(value).unwrap_or_default(),
        F::Comment => {
            order.customer_comment = text;
            d.address.notes = None;
            d.address.intercom_code = None;
            d.time.custom = None;
        }
    }
}

/// `10:00-18:00`, `10-18`, or one end of it.
fn hours(text: &str) -> Option<(Option<Time>, Option<Time>)> {
    let (from, to) = text.split_once(['-', '–'])?;
    let clock = |text: &str| {
        let text = text.trim();
        if text.is_empty() {
            return Some(None);
        }
        let (hour, minute) = text.split_once(':').unwrap_or((text, "0"));
        Time::new(hour.trim().parse().ok()?, minute.trim().parse().ok()?, 0, 0).ok().map(Some)
    };
    let (from, to) = (clock(from)?, clock(to)?);
    (from.is_some() || to.is_some()).then_some((from, to))
}

/// A value as it may be laid over an order.
///
/// # Errors
/// Why it may not, in words that do not repeat it.
pub fn checked(order: &Order, field: F, value: &str) -> Result<String, &'static str> {
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if value.chars().count() > LONGEST {
        return Err("it is longer than 500 characters");
    }
    match field {
        F::Phone if Phone::find_all(&value, country(order)).is_empty() => Err("there is no phone number in it"),
        F::Name | F::Town | F::Address if value.is_empty() => Err("it must not be empty"),
        F::Town if value.rsplit(',').next().is_some_and(|city| city.trim().is_empty()) => {
            Err("no town stands last in it")
        }
        F::Date if !value.is_empty() => {
            value.parse::<Date>().map(|date| date.to_string()).map_err(|_| "it is no date like 2026-12-01")
        }
        F::Window if !value.is_empty() => {
            let (from, to) = hours(&value).ok_or("it is no time like 10:00-18:00")?;
            Ok(window(from, to).unwrap_or_default())
        }
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::domain::CrmOrderId;
    use shared::retailcrm::wire::order::read_single;
    use shared::store::corrections::Values;

    use super::*;

    fn order() -> Order {
        read_single(&serde_json::json!({
            "id": 1, "number": "A-1", "totalSumm": 100, "lastName": "Петров", "firstName": "Иван", "phone": "8 916 123-45-67",
            "customerComment": "не звонить", "delivery": {"date": "2026-12-01", "time": {"from": "10:00", "to": "18:00"},
                "address": {"region": "Московская область", "city": "Химки", "index": "141400", "street": "Мира",
                    "building": "5", "notes": "во двор", "intercomCode": "7"}},
        }))
        .expect("an order")
    }

    const FIELDS: [(F, &str, &str); 7] = [
        (F::Phone, "+79161234567", "+79037654321"),
        (F::Name, "Петров Иван", "Сидорова Анна"),
        (F::Town, "Московская область, Химки", "Тверская область, Тверь"),
        (F::Address, "Мира, д. 5", "Ленина, 7, кв. 1"),
        (F::Date, "2026-12-01", "2026-12-03"),
        (F::Window, "10:00-18:00", "12:00-15:30"),
        (F::Comment, "не звонить; во двор; домофон 7", "звонить за час"),
    ];

    fn correction(field: F, before: &str, after: &str) -> Correction {
        Correction {
            order: CrmOrderId(1),
            field,
            values: Values { before: before.to_owned(), after: after.to_owned() },
            who: "Анна".to_owned(),
            version: 1,
            made_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_field_is_said_as_retailcrm_has_it_and_set_right_alone() {
        for (field, before, after) in FIELDS {
            let mut made = order();
            assert_eq!(said(&made, field), before);
            assert_eq!(lay_over(&mut made, &[correction(field, before, after)]), Vec::<&Correction>::new());
            assert_eq!(said(&made, field), after);
            for (other, was, _) in FIELDS.into_iter().filter(|(other, ..)| *other != field) {
                assert_eq!(said(&made, other), was, "{field:?} changes {other:?}");
            }
        }
        let mut made = order();
        lay(&mut made, F::Town, "Долгопрудный");
        assert_eq!(said(&made, F::Town), "Московская область, Долгопрудный", "a town alone is of the same region");
        assert_eq!(made.delivery.address.index, None, "the index is the other town's");
    }

    #[test]
    fn what_retailcrm_says_otherwise_since_is_right() {
        for (field, _, after) in FIELDS {
            let mut made = order();
            let old = [correction(field, "как было раньше", after)];
            assert_eq!(lay_over(&mut made, &old), [&old[0]]);
            assert_eq!(made, order());
        }
    }

    #[test]
    fn a_value_is_checked_before_it_is_kept() {
        let order = order();
        for (field, given, kept) in [
            (F::Phone, " 8 903 765-43-21  доб. 5 ", Ok("8 903 765-43-21 доб. 5")),
            (F::Phone, "завтра", Err("there is no phone number in it")),
            (F::Name, " ", Err("it must not be empty")),
            (F::Town, "Тверь,", Err("no town stands last in it")),
            (F::Date, "2026-12-03", Ok("2026-12-03")),
            (F::Date, "03.12.2026", Err("it is no date like 2026-12-01")),
            (F::Date, "", Ok("")),
            (F::Window, "9-18", Ok("09:00-18:00")),
            (F::Window, "10:00 – 15:30", Ok("10:00-15:30")),
            (F::Window, "-18", Ok("-18:00")),
            (F::Window, "днём", Err("it is no time like 10:00-18:00")),
            (F::Window, "25-26", Err("it is no time like 10:00-18:00")),
            (F::Comment, "", Ok("")),
        ] {
            assert_eq!(checked(&order, field, given), kept.map(str::to_owned), "{field:?} «{given}»");
        }
        assert!(checked(&order, F::Comment, &"я".repeat(501)).is_err());
    }
}
