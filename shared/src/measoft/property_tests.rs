//! Made-up answers in every shape the documentation and public clients know: what was put in is
//! read, what cannot be read is named, and nothing else suffers.

use bytes::Bytes;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::dice::Dice;
use crate::domain::status_code::StatusCode;
use crate::domain::{Grams, Kopecks, OrderNo};
use crate::measoft::envelope;
use crate::measoft::error::MeasoftError;
use crate::measoft::op::Op;
use crate::measoft::stream::reader::RowReader;
use crate::measoft::wire::calculator::{Tariff, read_tariffs};
use crate::measoft::wire::cancelorder::read_cancel_row;
use crate::measoft::wire::element::parse;
use crate::measoft::wire::lists::{read_pvzlist, read_townlist};
use crate::measoft::wire::neworder::read_create_rows;
use crate::measoft::wire::statusreq::{Card, CarriedBy, Planned, Status, StatusItem, StatusRow};

/// An element before it is written down.
struct Part {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    children: Vec<Part>,
    /// Of which the order of the children says something.
    is_list: bool,
}

impl Part {
    fn of(name: &'static str, text: &str) -> Self {
        Self { name, attributes: Vec::new(), text: text.to_owned(), children: Vec::new(), is_list: false }
    }

    fn list(name: &'static str, children: Vec<Part>) -> Self {
        Self { children, is_list: true, ..Self::of(name, "") }
    }

    /// What may stand at a place: nothing, an empty value, or the value. Answers what is to be read.
    fn child(&mut self, dice: &mut Dice, name: &'static str, value: &str) -> Option<String> {
        let shown = maybe(dice, value)?;
        self.children.push(Self::of(name, shown));
        (!shown.trim().is_empty()).then(|| shown.to_owned())
    }

    fn attribute(&mut self, dice: &mut Dice, name: &'static str, value: &str) -> Option<String> {
        let shown = maybe(dice, value)?;
        self.attributes.push((name, shown.to_owned()));
        (!shown.trim().is_empty()).then(|| shown.to_owned())
    }

    /// A list of so many, or none at all. Answers what is to be read of each.
    fn some<T>(&mut self, dice: &mut Dice, name: &'static str, mut make: impl FnMut(&mut Dice) -> (Self, T)) -> Vec<T> {
        if dice.one_in(3) {
            return Vec::new();
        }
        let (children, read) = (0..dice.below(4)).map(|_| make(dice)).unzip();
        self.children.push(Self::list(name, children));
        read
    }

    /// Attributes and children in any order, some among them that nobody knows, each text in one
    /// of its ways.
    fn write(mut self, dice: &mut Dice, into: &mut String) {
        if dice.one_in(9) {
            self.attributes.push(("unknown", "1 < 2".to_owned()));
        }
        if dice.one_in(9) {
            self.children.push(Part::of("unknown", "нечто"));
        }
        dice.shuffle(&mut self.attributes);
        if !self.is_list {
            dice.shuffle(&mut self.children);
        }
        into.push_str(&format!("<{}", self.name));
        for (name, value) in &self.attributes {
            let (quote, space) = (dice.pick(&['"', '\'']), dice.pick(&["", " ", "\n"]));
            into.push_str(&format!(" {name}{space}={quote}{}{quote}", quick_xml::escape::escape(value)));
        }
        if self.text.is_empty() && self.children.is_empty() && dice.below(2) == 0 {
            return into.push_str("/>");
        }
        let space = dice.pick(&["", "", "\n  "]);
        into.push_str(&format!(">{space}{}{space}", written(&self.text, dice)));
        for child in self.children {
            child.write(dice, into);
            into.push_str(dice.pick(&["", "\n", "<!-- </order> -->"]));
        }
        into.push_str(&format!("</{}>", self.name));
    }

    fn document(self, dice: &mut Dice) -> String {
        let mut text = dice.pick(&["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "\u{feff}"]).to_owned();
        self.write(dice, &mut text);
        text
    }
}

fn maybe<'a>(dice: &mut Dice, value: &'a str) -> Option<&'a str> {
    match dice.below(4) {
        0 => None,
        1 => Some(dice.pick(&["", "  "])),
        _ => Some(value),
    }
}

fn written(text: &str, dice: &mut Dice) -> String {
    let second = text.char_indices().nth(1).map_or(0, |(at, _)| at);
    match dice.below(4) {
        1 if !text.contains("]]>") => format!("<![CDATA[{text}]]>"),
        2 => text.chars().map(|letter| format!("&#{};", u32::from(letter))).collect(),
        3 if second > 0 && !text.contains("]]>") => {
            format!("{}<![CDATA[{}]]>", quick_xml::escape::escape(&text[..second]), &text[second..])
        }
        _ => quick_xml::escape::escape(text).into_owned(),
    }
}

const TEXTS: [&str; 7] =
    ["Орлова", "R&D <1>", "ООО \"Ромашка\" 'и' Ко", "кв. 5; этаж ]]> 2", "0", "a  b", "как есть: &amp;"];
const SUMS: [(&str, i64); 6] =
    [("0.00", 0), ("1290", 129_000), ("1290.5", 129_050), ("0.07", 7), ("-100.00", -10_000), ("12840.00", 1_284_000)];
const MOMENTS: [&str; 3] = ["2026-08-31 15:02:11", "2026-12-31 23:59:59", "2020-02-29 00:00:00"];
const CODES: [&str; 5] = ["NEW", "COMPLETE", "COURIERDELIVERED", "AWAITING_SYNC", "SOMETHING_NEW"];

/// Values that are good, missing, empty, or cannot be read; the last are noted.
#[derive(Default)]
struct Doubts(Vec<String>);

impl Doubts {
    /// `Err`: it stands there and cannot be read.
    fn put<T: Copy>(
        &mut self,
        dice: &mut Dice,
        (good, means): (&str, T),
        (field, bad): (&str, &str),
        put: impl FnOnce(&str),
    ) -> Result<Option<T>, ()> {
        let is_bad = dice.one_in(6);
        let Some(shown) = maybe(dice, if is_bad { bad } else { good }) else { return Ok(None) };
        put(shown);
        match (shown.trim().is_empty(), is_bad) {
            (true, _) => Ok(None),
            (false, false) => Ok(Some(means)),
            (false, true) => {
                if !self.0.iter().any(|known| known == field) {
                    self.0.push(field.to_owned());
                }
                Err(())
            }
        }
    }
}

fn a_status(dice: &mut Dice, doubts: &mut Doubts) -> (Part, Option<Status>) {
    if dice.one_in(8) {
        return (Part::of("status", ""), None);
    }
    let code = dice.pick(&CODES);
    let mut part = Part::of("status", code);
    let moment = dice.pick(&MOMENTS);
    let means = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", moment).expect("a moment");
    let bad = dice.pick(&["вчера", "31.08.2026 15:02", "2026-02-30 10:00:00"]);
    let attributes = &mut part.attributes;
    let at = doubts.put(dice, (moment, means), ("createtimegmt", bad), |text| {
        attributes.push(("createtimegmt", text.to_owned()));
    });
    if attributes.is_empty() && dice.one_in(3) {
        attributes.push(("createtimegmt", "0000-00-00 00:00:00".to_owned()));
    }
    for (name, value) in [("title", "Новый"), ("eventtime", "31.08.2026"), ("message", "R&D")] {
        part.attribute(dice, name, value);
    }
    let createtime_gmt = at.ok().flatten().map(|at| TimeZone::UTC.to_timestamp(at).expect("a moment"));
    (part, Some(Status { code: StatusCode::parse(code), createtime_gmt }))
}

fn an_item(dice: &mut Dice, doubts: &mut Doubts) -> (Part, StatusItem) {
    let mut part = Part::of("item", dice.pick(&TEXTS));
    let code = part.attribute(dice, "code", "9000520");
    let extcode = part.attribute(dice, "extcode", "line-5520");
    part.attribute(dice, "mass", "н/д");
    let attributes = &mut part.attributes;
    let count = dice.pick(&[("1", 1_u32), ("3", 3), ("2.000", 2)]);
    let bad = dice.pick(&["0.5", "-1", "две"]);
    let quantity =
        doubts.put(dice, count, ("item quantity", bad), |text| attributes.push(("quantity", text.to_owned())));
    let sum = dice.pick(&SUMS);
    let retprice =
        doubts.put(dice, sum, ("item retprice", "—"), |text| attributes.push(("retprice", text.to_owned())));
    let returns = doubts
        .put(dice, ("1", 1), ("returns of an item", "н/д"), |text| attributes.push(("returns", text.to_owned())));
    let item = StatusItem {
        code,
        extcode,
        quantity: quantity.map_or(1, Option::unwrap_or_default),
        retprice: Kopecks(retprice.ok().flatten().unwrap_or(0)),
        returns: returns.ok().flatten().unwrap_or(0),
    };
    (part, item)
}

fn a_receiver(dice: &mut Dice) -> (Part, Vec<String>, Option<Planned>, Card) {
    let mut part = Part::of("receiver", "");
    let mut phones: Vec<String> = part.child(dice, "phone", "+7 (916) 123-45-67").into_iter().collect();
    let mut contacts = Part::list("contacts", Vec::new());
    for phone in ["+79161234567", "+79260001122", "+7 (916) 123-45-67"] {
        phones.extend(contacts.child(dice, "phone", phone));
    }
    part.children.push(contacts);
    let mut seen: Vec<String> = Vec::new();
    phones.retain(|phone| {
        let is_new = !seen.contains(phone);
        seen.push(phone.clone());
        is_new
    });
    let day = dice.pick(&["2026-09-02", "0000-00-00"]);
    let date = part.child(dice, "date", day).filter(|day| day != "0000-00-00");
    let (from, to) = (part.child(dice, "time_min", "12:00"), part.child(dice, "time_max", "18:00"));
    // Namesakes of the row's own fields, a level below them.
    let town = part.child(dice, "town", "Москва город");
    for (name, value) in [("price", "много"), ("status", "COMPLETE")] {
        part.child(dice, name, value);
    }
    (part, phones, date.map(|date| Planned { date, from, to }), Card { town, ..Card::default() })
}

fn a_row(dice: &mut Dice, number: &str) -> (Part, StatusRow) {
    let mut part = Part::of("order", "");
    let mut doubts = Doubts::default();
    part.attributes.push(("orderno", number.to_owned()));
    let ordercode = part.attribute(dice, "ordercode", "0003401771");
    let mut row = StatusRow { orderno: Some(OrderNo::known(number)), ordercode, ..StatusRow::default() };
    if !dice.one_in(6) {
        let (status, read) = a_status(dice, &mut doubts);
        part.children.push(status);
        row.status = read;
    }
    let history = part.some(dice, "statushistory", |dice| a_status(dice, &mut doubts));
    row.history = history.into_iter().flatten().collect();
    let (sum, kopecks) = dice.pick(&SUMS);
    let bad = dice.pick(&["много", "12,3,4", "1e"]);
    let children = &mut part.children;
    let price =
        doubts.put(dice, (sum, Kopecks(kopecks)), ("price", bad), |text| children.push(Part::of("price", text)));
    row.price = price.ok().flatten();
    row.paytype = part.child(dice, "paytype", "CASH");
    let taker = dice.pick(&TEXTS);
    row.deliveredto = part.child(dice, "deliveredto", taker);
    let day = dice.pick(&["2026-09-02", "0000-00-00"]);
    row.delivereddate = part.child(dice, "delivereddate", day).filter(|day| day != "0000-00-00");
    row.deliveredtime = part.child(dice, "deliveredtime", "15:40");
    if dice.below(2) > 0 {
        let mut courier = Part::of("courier", "");
        let (code, name) = (courier.child(dice, "code", "31"), courier.child(dice, "name", "Петров Сергей"));
        part.children.push(courier);
        row.courier = name.map(|name| CarriedBy { code, name });
    }
    if dice.below(3) > 0 {
        let (receiver, phones, planned, card) = a_receiver(dice);
        part.children.push(receiver);
        (row.receiver_phones, row.planned, row.card) = (phones, planned, card);
    }
    row.items = part.some(dice, "items", |dice| an_item(dice, &mut doubts));
    row.unreadable = doubts.0;
    (part, row)
}

/// The order in which they are found is nobody's business.
fn sorted(mut row: StatusRow) -> StatusRow {
    row.unreadable.sort();
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_made_up_stream_is_read_row_by_row(throws in Dice::throws(), piece in 1_usize..90) {
        let mut dice = Dice::of(throws);
        let (mut parts, mut rows) = (Vec::new(), Vec::new());
        for n in 0..1 + dice.below(4) {
            let (part, row) = a_row(&mut dice, ["A-1", "RC-2026-000102", "77", "Я 5/6"][n]);
            parts.push(part);
            rows.push(row);
        }
        let mut root = Part::list("statusreq", parts);
        root.attributes.push(("count", rows.len().to_string()));
        let text = root.document(&mut dice);
        let mut reader = RowReader::new(Op::StatusReq, 1 << 20);
        for chunk in text.as_bytes().chunks(piece) {
            reader.push(&Bytes::copy_from_slice(chunk)).expect("an answer");
        }
        reader.finish().expect("a whole answer");
        let read: Vec<_> = std::iter::from_fn(|| reader.pop()).map(|row| row.map(sorted)).collect();
        let wanted: Vec<_> = rows.into_iter().map(|row| Ok(sorted(row))).collect();
        prop_assert_eq!(read, wanted, "{}", text);
    }

    #[test]
    fn a_refusal_is_told_in_each_of_its_shapes_whole_or_streamed(throws in Dice::throws(), piece in 1_usize..50) {
        let mut dice = Dice::of(throws);
        let (digits, code) = dice.pick(&[("25", 25), ("52", 52), ("1", 1), ("-7", -7)]);
        let on_root = dice.below(2) == 0;
        let root = dice.pick(if on_root { &["statusreq"][..] } else { &["request", "statusreq"][..] });
        let mut error = Part::of(if on_root { root } else { "error" }, "");
        error.attributes.push(("error", digits.to_owned()));
        let en = error.attribute(&mut dice, "errormsg", "no such order");
        let ru = error.attribute(&mut dice, "errormsgru", "Нет <такого> & всё");
        let own = maybe(&mut dice, "words of its own").map(str::trim).filter(|words| !words.is_empty());
        error.text = own.unwrap_or_default().to_owned();
        let words = ru.or(en).or(own.map(str::to_owned)).unwrap_or_default();
        let document = if on_root { error } else { Part::list(root, vec![error]) };
        let document = document.document(&mut dice);
        let told = envelope::open(Op::StatusReq, document.as_bytes());
        let mut reader = RowReader::new(Op::StatusReq, 1 << 20);
        let streamed = document
            .as_bytes()
            .chunks(piece)
            .try_for_each(|chunk| reader.push(&Bytes::copy_from_slice(chunk)))
            .and_then(|()| reader.finish());
        for told in [told.map(drop), streamed] {
            let Err(MeasoftError::Refused { code: read, text, .. }) = told else {
                return Err(TestCaseError::fail(format!("{told:?}: {document}")));
            };
            prop_assert_eq!((read, text.as_str()), (Some(code), words.as_str()), "{}", document);
        }
    }

    #[test]
    fn rows_of_writes_are_read_whatever_stands_beside_them(throws in Dice::throws()) {
        let mut dice = Dice::of(throws);
        let mut root = Part::list("neworder", Vec::new());
        let mut wanted = Vec::new();
        for number in ["A-1", "A-2", "A-3"] {
            let mut part = Part::of("createorder", "");
            part.attributes.push(("orderno", number.to_owned()));
            let code = dice.pick(&[("0", 0), ("17", 17), ("8", 8), ("0017", 17)]);
            part.attributes.push(("error", code.0.to_owned()));
            let en = part.attribute(&mut dice, "errormsg", "Success");
            let ru = part.attribute(&mut dice, "errormsgru", "Успешно");
            for (name, value) in [("barcode", "RC2026000102"), ("orderprice", "5340")] {
                part.attribute(&mut dice, name, value);
            }
            root.children.push(part);
            wanted.push((number.to_owned(), code.1, ru, en));
        }
        let text = root.document(&mut dice);
        let read: Vec<_> = read_create_rows(&parse(text.as_bytes()).expect("a document"))
            .into_iter()
            .map(|row| (row.orderno.as_str().to_owned(), row.code, row.text_ru, row.text_en))
            .collect();
        prop_assert_eq!(read, wanted, "{}", text);
    }

    #[test]
    fn a_cancel_is_known_by_its_row_or_by_a_root_that_stands_for_it(throws in Dice::throws()) {
        let mut dice = Dice::of(throws);
        let code = dice.pick(&[("0", 0), ("52", 52)]);
        let number = OrderNo::known("A-1");
        let mut row = Part::of("order", "");
        let (by_number, on_root) = (dice.below(2) == 0, dice.one_in(3));
        let mut root = Part::list("cancelorder", Vec::new());
        if on_root {
            root.attributes.push(("error", code.0.to_owned()));
        } else {
            let (name, value) = if by_number { ("orderno", "A-1") } else { ("ordercode", "3401771") };
            row.attributes.push((name, value.to_owned()));
            row.attributes.push(("error", code.0.to_owned()));
            let mut other = Part::of("order", "");
            other.attributes.extend([("orderno", "A-2".to_owned()), ("error", "1".to_owned())]);
            root.children = vec![other, row];
            dice.shuffle(&mut root.children);
        }
        let text = if on_root { format!("<cancelorder error='{}'/>", code.0) } else { root.document(&mut dice) };
        let read = read_cancel_row(&parse(text.as_bytes()).expect("a document"), &number, Some("3401771"));
        prop_assert_eq!(read.map(|row| row.code), Some(code.1), "{}", text);
    }

    #[test]
    fn tariffs_points_and_towns_are_read_from_attributes_or_elements(throws in Dice::throws()) {
        let mut dice = Dice::of(throws);
        let (sum, kopecks) = dice.pick(&SUMS);
        let mut calc = Part::of("calc", "");
        let (as_attribute, as_element) = (dice.below(2) == 0, dice.below(2) == 0);
        if as_attribute {
            calc.attributes.push(("price", sum.to_owned()));
        }
        if as_element {
            calc.children.push(Part::of("price", sum));
        }
        let (min, max) = (calc.child(&mut dice, "mindeliverydays", "1"), calc.child(&mut dice, "maxdeliverydays", "2"));
        let service = calc.child(&mut dice, "service", "2");
        calc.child(&mut dice, "zone", "Подмосковье");
        let text = Part::list("calculator", vec![calc]).document(&mut dice);
        let days = |given: Option<String>| given.and_then(|days| days.parse().ok());
        let wanted: Vec<Tariff> = (as_attribute || as_element)
            .then(|| Tariff {
                service,
                price: Kopecks(kopecks),
                min_days: days(min),
                max_days: days(max),
                ..Tariff::default()
            })
            .into_iter()
            .collect();
        prop_assert_eq!(read_tariffs(&parse(text.as_bytes()).expect("a document")), wanted, "{}", text);

        let mut pvz = Part::of("pvz", "");
        let code = pvz.child(&mut dice, "code", "318");
        let name = pvz.child(&mut dice, "name", TEXTS[1]);
        let (weight, grams) = dice.pick(&[("15", Some(15_000)), ("0.5", Some(500)), ("н/д", None)]);
        let weight = pvz.child(&mut dice, "maxweight", weight).and(grams);
        let (cash, takes) = dice.pick(&[("YES", Some(true)), ("NO", Some(false)), ("да", None)]);
        let cash = pvz.child(&mut dice, "acceptcash", cash).and(takes);
        let text = Part::list("pvzlist", vec![pvz]).document(&mut dice);
        let points: Vec<_> = read_pvzlist(&parse(text.as_bytes()).expect("a document"))
            .into_iter()
            .map(|point| (Some(point.code), point.name, point.maxweight, point.acceptcash))
            .collect();
        let wanted: Vec<_> =
            code.map(|code| (Some(code), name, weight.map(Grams), cash)).into_iter().collect();
        prop_assert_eq!(points, wanted, "{}", text);

        let mut town = Part::of("town", "");
        let (code, name) = (town.child(&mut dice, "code", "1312"), town.child(&mut dice, "name", "Химки город"));
        let mut city = Part::of("city", "");
        let region = (city.child(&mut dice, "code", "50"), city.child(&mut dice, "name", "Московская область"));
        town.children.push(city);
        let text = Part::list("townlist", vec![town]).document(&mut dice);
        let towns: Vec<_> = read_townlist(&parse(text.as_bytes()).expect("a document"))
            .into_iter()
            .map(|town| (town.code, town.name, (town.region_code, town.region_name)))
            .collect();
        let wanted: Vec<_> = code.zip(name).map(|(code, name)| (code, name, region)).into_iter().collect();
        prop_assert_eq!(towns, wanted, "{}", text);
    }
}
