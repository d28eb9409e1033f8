//! The samples of the reference: answers parse to what they say, and the requests we write
//! contain what the samples contain.

use bytes::Bytes;
use jiff::civil::date;
use url::Url;

use crate::domain::{Grams, Kopecks, Language, Millimetres, OrderNo, StatusCode};
use crate::measoft::account::Account;
use crate::measoft::class::Class;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::op::Op;
use crate::measoft::stream::reader::RowReader;
use crate::measoft::wire::calculator::{self, CalcRequest};
use crate::measoft::wire::element::{self, Element};
use crate::measoft::wire::lists::{self, Limit, PickupFilter, TownQuery};
use crate::measoft::wire::neworder::{
    self, AdvPrice, CreateRow, DeliverySet, Fee, Item, ItemKind, NewOrder, Package, PayType, Receiver, Sender,
};
use crate::measoft::wire::statusreq::{self, Done, StatusRow};
use crate::measoft::wire::{cancelorder, probe, waybill};
use crate::measoft::{envelope, mask};

fn sample(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/measoft/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn answer(op: Op, name: &str) -> Element<'static> {
    envelope::open(op, &sample(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refusal(op: Op, name: &str) -> MeasoftError {
    envelope::open(op, &sample(name)).expect_err(name)
}

fn account() -> Account {
    Account {
        url: Url::parse("https://home.courierexe.ru/api/").expect("url"),
        extra: "8".into(),
        login: "shop-demo".into(),
        password: "secret-demo".into(),
    }
}

fn contains(request: &str, name: &str) {
    let sample = element::parse(&sample(name)).expect(name);
    let ours = element::parse(request.as_bytes()).expect("our own request");
    if let Err(why) = ours.must_contain(&sample) {
        panic!("{name}: {why}\nin {request}");
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn no(text: &str) -> OrderNo {
    OrderNo::known(text)
}

// --- answers ---------------------------------------------------------------------------

fn rows(op: Op, name: &str) -> Vec<CreateRow> {
    neworder::read_create_rows(&answer(op, name))
}

fn row(orderno: &str, code: i64) -> CreateRow {
    CreateRow { orderno: no(orderno), barcode: None, code, text_ru: None, text_en: None, orderprice: None }
}

#[test]
fn neworder_answers_are_read() {
    assert_eq!(
        rows(Op::NewOrder, "neworder-ok.response.xml"),
        [CreateRow {
            barcode: some("RC-2026-000101"),
            text_en: some("Success"),
            orderprice: Some(Kopecks::ZERO),
            ..row("RC-2026-000101", 0)
        }]
    );
    assert_eq!(
        rows(Op::NewOrder, "neworder-batch-mixed.response.xml"),
        [
            CreateRow {
                barcode: some("RC2026000102"),
                text_ru: some("Успешно"),
                text_en: some("Success"),
                orderprice: Some(Kopecks(534_000)),
                ..row("RC-2026-000102", 0)
            },
            CreateRow {
                text_ru: some("Не найден город получателя"),
                text_en: some("receiver town not found"),
                ..row("RC-2026-000103", 5)
            },
            CreateRow {
                barcode: some("RC-2026-000104"),
                text_ru: some("Заказ с таким номером уже существует"),
                text_en: some("Order number already exists in the database."),
                ..row("RC-2026-000104", 17)
            },
        ]
    );
    for (name, code, class, reason) in [
        ("neworder-duplicate-number.response.xml", 17, Class::AlreadyExists, "duplicate_number"),
        ("neworder-duplicate-barcode.response.xml", 67, Class::AlreadyExists, "duplicate_barcode"),
        ("neworder-validation-error.response.xml", 8, Class::Permanent, "phone_missing"),
    ] {
        let rows = rows(Op::NewOrder, name);
        let verdict = rows[0].verdict(Op::NewOrder).expect("a refusal");
        assert_eq!((rows.len(), rows[0].code, verdict.class, verdict.reason), (1, code, class, reason), "{name}");
        assert!(rows[0].text(Language::Ru).is_some() && rows[0].text(Language::En).is_some(), "{name}");
    }
}

#[test]
fn editorder_answers_are_read() {
    assert_eq!(
        rows(Op::EditOrder, "editorder-ok.response.xml"),
        [CreateRow {
            barcode: some("RC2026000102"),
            text_en: some("Success"),
            orderprice: Some(Kopecks(509_000)),
            ..row("RC-2026-000102", 0)
        }]
    );
    let refused = &rows(Op::EditOrder, "editorder-not-found.response.xml")[0];
    assert_eq!(refused.verdict(Op::EditOrder).map(|verdict| verdict.class), Some(Class::NotFound));
}

#[test]
fn cancelorder_answers_are_read() {
    for name in ["cancelorder-ok.response.xml", "cancelorder-mixed.response.xml"] {
        let root = answer(Op::CancelOrder, name);
        let row = cancelorder::read_cancel_row(&root, &no("RC-2026-000101"), None).expect("row");
        assert!(row.is_ok() && row.verdict().is_none(), "{name}");
        assert_eq!(row.ordercode.as_deref(), Some("3401771"), "{name}");
    }
    let root = answer(Op::CancelOrder, "cancelorder-mixed.response.xml");
    let row = cancelorder::read_cancel_row(&root, &no("RC-2026-999999"), None).expect("row");
    assert_eq!(row.verdict().map(|verdict| verdict.class), Some(Class::NotFound));
    assert_eq!(row.text(Language::Ru), Some("Заказ не найден"));
    assert_eq!(cancelorder::read_cancel_row(&root, &no("RC-2026-000777"), None), None);
}

#[test]
fn a_cancel_answer_that_speaks_on_its_root_is_understood() {
    let read = |body: &str| {
        envelope::open(Op::CancelOrder, body.as_bytes())
            .map(|root| cancelorder::read_cancel_row(&root, &no("1"), Some("77")).map(|row| row.code))
    };
    assert_eq!(read("<cancelorder error=\"0\"/>"), Ok(Some(0)));
    assert_eq!(read("<cancelorder/>"), Ok(None), "silence is no success");
    assert_eq!(read("<cancelorder><order ordercode=\"77\" error=\"0\"/></cancelorder>"), Ok(Some(0)));
    assert_eq!(read("<cancelorder error=\"52\"/>").expect_err("refused").class(), Class::NotFound);
}

#[test]
fn common_errors_are_told_apart() {
    for op in [Op::NewOrder, Op::StatusReq, Op::Client] {
        let error = refusal(op, "common-error-auth.response.xml");
        assert_eq!((error.class(), error.reason()), (Class::Config, "auth_failed"), "{op}");
        let error = refusal(op, "common-error-malformed-xml.response.xml");
        assert!(matches!(error, MeasoftError::MalformedXml { .. }), "{op}");
        let error = refusal(op, "common-error-not-xml.response.html");
        assert!(matches!(error, MeasoftError::BadFormat { html: true, .. }), "{op}");
        assert!(error.looks_blocked());
    }
    let error = refusal(Op::StatusReq, "common-error-root-attribute.response.xml");
    assert!(matches!(&error, MeasoftError::Refused { code: Some(25), text, .. } if text == "Ошибка авторизации"));
    assert_eq!(error.class(), Class::Config);
}

#[test]
fn client_and_commit_answers_are_read() {
    assert_eq!(probe::read_client(&answer(Op::Client, "client.response.xml")).as_deref(), Some("2417"));
    answer(Op::CommitLastStatus, "commitlaststatus-ok.response.xml");
    assert_eq!(refusal(Op::CommitLastStatus, "commitlaststatus-error.response.xml").class(), Class::Config);
}

/// Read both ways: in one piece and as a stream.
fn statuses(name: &str) -> Vec<StatusRow> {
    let body = sample(name);
    let root = envelope::open(Op::StatusReq, &body).expect(name);
    let whole: Vec<StatusRow> =
        root.children("order").map(|order| statusreq::read_status_row(order).expect(name)).collect();
    let mut reader = RowReader::new(Op::StatusReq, 1 << 20);
    for chunk in body.chunks(100) {
        reader.push(&Bytes::copy_from_slice(chunk)).expect(name);
    }
    reader.finish().expect(name);
    let streamed: Vec<StatusRow> = std::iter::from_fn(|| reader.pop()).map(|row| row.expect(name)).collect();
    assert_eq!(streamed, whole, "{name}");
    whole
}

fn moment(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().expect("moment"))
}

#[test]
fn a_complete_status_is_read() {
    let rows = statuses("statusreq-complete.response.xml");
    let [row] = rows.as_slice() else { panic!("one row") };
    assert_eq!(row.orderno, Some(no("RC-2026-000104")));
    assert_eq!(row.ordercode.as_deref(), Some("3401774"));
    let status = row.status.as_ref().expect("status");
    assert_eq!(status.code, StatusCode::Complete);
    assert_eq!(status.createtime_gmt, moment("2026-09-02T12:41:12Z"));
    let codes: Vec<&str> = row.history.iter().map(|status| status.code.as_str()).collect();
    assert_eq!(codes, ["NEW", "ACCEPTED", "DELIVERY", "COMPLETE"]);
    assert_eq!(row.paytype.as_deref(), Some("NO"));
    assert_eq!(row.price, Some(Kopecks::ZERO));
    assert_eq!(row.receiver_phones, ["+7 (926) 000-11-22", "+79260001122"]);
    assert_eq!(row.deliveredto.as_deref(), Some("Орлова"));
    assert_eq!((row.delivereddate.as_deref(), row.deliveredtime.as_deref()), (Some("2026-09-02"), Some("15:40")));
    assert_eq!(row.items.len(), 2);
    assert_eq!((row.items[1].extcode.as_ref(), row.items[1].retprice), (None, Kopecks(-150_000)));
    assert_eq!(row.items[0].code.as_deref(), Some("9000520"));
}

#[test]
fn a_partial_delivery_says_what_was_bought() {
    let rows = statuses("statusreq-partially.response.xml");
    let row = &rows[0];
    assert!(row.status.as_ref().expect("status").code.is_delivered());
    assert_eq!(row.price, Some(Kopecks(484_000)));
    let bought: Vec<(Option<&str>, u32)> =
        row.items.iter().map(|item| (item.extcode.as_deref(), item.bought())).collect();
    assert_eq!(bought, [(Some("line-5501"), 1), (Some("line-5502"), 0), (None, 1)]);
}

#[test]
fn sparse_and_unfamiliar_statuses_are_read() {
    let rows = statuses("statusreq-awaiting-sync.response.xml");
    assert_eq!(rows[0].status.as_ref().expect("status").code, StatusCode::AwaitingSync);
    assert!(rows[0].status.as_ref().expect("status").code.is_editable());
    assert_eq!(rows[0].paytype.as_deref(), Some("CASH"));
    assert_eq!(rows[0].deliveredto, None);

    let rows = statuses("statusreq-only-last-batch.response.xml");
    let codes: Vec<String> = rows.iter().map(|row| row.status.as_ref().expect("status").code.to_string()).collect();
    assert_eq!(codes, ["ACCEPTED", "CANCELED", "SOMETHING_NEW"]);
    assert_eq!(rows[1].deliveredto.as_deref(), Some("Отменено заказчиком"));
    assert_eq!(rows[2].paytype.as_deref(), Some("OPTION"));

    assert_eq!(statuses("statusreq-nothing.response.xml"), []);
}

#[test]
fn a_webhooks_order_reads_like_a_row() {
    let root = element::parse(&sample("webhook-push.request.xml")).expect("document");
    let row = statusreq::read_status_row(&root).expect("row");
    assert_eq!(row.orderno, Some(no("RC-2026-000101")));
    assert_eq!(row.history.len(), 2);
}

#[test]
fn calculator_answers_are_read() {
    let tariffs = calculator::read_tariffs(&answer(Op::Calculator, "calculator-ok.response.xml"));
    let [slow, fast] = tariffs.as_slice() else { panic!("two modes") };
    assert_eq!((slow.service.as_deref(), slow.service_name.as_deref()), (Some("1"), Some("Не срочно")));
    assert_eq!((slow.price, slow.min_days, slow.max_days), (Kopecks(32_000), Some(1), Some(2)));
    assert_eq!((fast.price, fast.min_days, fast.max_days), (Kopecks(54_050), Some(0), None));
    assert_eq!(refusal(Op::Calculator, "calculator-error.response.xml").reason(), "town_not_found");
}

#[test]
fn reference_lists_are_read() {
    let services = lists::read_services(&answer(Op::Services, "services.response.xml"));
    assert_eq!(services.len(), 3);
    assert_eq!((services[2].code.as_str(), services[2].name.as_str()), ("3", "Доставка до ПВЗ"));

    let points = lists::read_pvzlist(&answer(Op::PvzList, "pvzlist.response.xml"));
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].code.as_str(), points[0].maxweight), ("318", Some(Grams(15_000))));
    assert_eq!((points[0].acceptcash, points[0].latitude.as_deref()), (Some(true), Some("55.8970")));

    let towns = lists::read_townlist(&answer(Op::TownList, "townlist.response.xml"));
    assert_eq!(towns.len(), 1);
    assert_eq!((towns[0].code.as_str(), towns[0].name.as_str()), ("1312", "Химки город"));
    assert_eq!(towns[0].region_code.as_deref(), Some("50"));
}

#[test]
fn waybill_answers_are_read() {
    let pdf = waybill::read_waybill(&answer(Op::Waybill, "waybill.response.xml")).expect("pdf");
    assert!(pdf.starts_with(b"%PDF-1.4") && pdf.ends_with(b"%%EOF\n"));
    let error = refusal(Op::Waybill, "waybill-error.response.xml");
    assert_eq!((error.class(), error.reason()), (Class::NotFound, "order_not_found"));
    for no_pdf in
        ["<waybill/>", "<waybill><content>SGVsbG8=</content></waybill>", "<waybill><content>%</content></waybill>"]
    {
        let root = envelope::open(Op::Waybill, no_pdf.as_bytes()).expect("document");
        assert_eq!(waybill::read_waybill(&root), None, "{no_pdf}");
    }
}

#[test]
fn every_sample_answer_is_masked_and_survives_being_cut() {
    let folder = format!("{}/fixtures/measoft", env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("samples") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        if !(name.contains(".response.") || name.contains(".request.")) {
            continue;
        }
        seen += 1;
        let body = sample(&name);
        let masked = mask::body(&body, &["shop-demo", "secret-demo"]);
        for secret in
            ["shop-demo", "secret-demo", "Смирнова", "Орлова", "79161234567", "Петров Сергей", "Невский", "anna@"]
        {
            assert!(!masked.contains(secret), "{name}: {secret} in {masked}");
        }
        for op in Op::ALL {
            // Whatever the operation, a document that ends early is never a success.
            for end in (0..body.len().saturating_sub(2)).step_by(37) {
                let cut = &body[..end];
                if let Ok(root) = envelope::open(op, cut) {
                    panic!("{name} cut at {end} passed for {} of {op}", root.name);
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} samples");
}

#[test]
fn a_lost_end_is_a_lost_answer() {
    let body = sample("neworder-ok.response.xml");
    let error = envelope::open(Op::NewOrder, &body[..body.len() - 14]).expect_err("cut");
    assert_eq!(error.class(), Class::UnknownOutcome);
    assert!(
        matches!(error, MeasoftError::NoAnswer { how: Break::Cut, .. } | MeasoftError::BadFormat { .. }),
        "{error:?}"
    );
}

// --- requests --------------------------------------------------------------------------

fn anna() -> Receiver {
    Receiver {
        person: some("Смирнова Анна Петровна"),
        phone: some("+79161234567"),
        town: some("Москва город"),
        address: some("ул. Лесная, д. 5, кв. 12"),
        ..Receiver::default()
    }
}

fn vera() -> Receiver {
    Receiver {
        person: some("Орлова Вера"),
        phone: some("+79260001122"),
        town: some("Москва город"),
        address: some("Кутузовский пр., д. 10, кв. 3"),
        date: some("2026-09-02"),
        ..Receiver::default()
    }
}

fn minimal() -> NewOrder {
    NewOrder::new(no("RC-2026-000101"), anna(), PayType::Cash)
}

fn prepaid() -> NewOrder {
    NewOrder {
        weight: Some(Grams(300)),
        places: Some(1),
        service: some("1"),
        declared: Some(Kopecks(150_000)),
        items: vec![Item {
            mass: Some(Grams(300)),
            vat: Some(22),
            ..Item::goods("line-5520", "Шарф", 1, Kopecks(150_000))
        }],
        ..NewOrder::new(no("RC-2026-000104"), vera(), PayType::No)
    }
}

fn boots() -> Item {
    Item {
        mass: Some(Grams(1100)),
        inshprice: Some(Kopecks(449_000)),
        vat: Some(22),
        barcode: some("4600000000017"),
        text_article: some("BOOT-39"),
        length: Some(Millimetres(350)),
        width: Some(Millimetres(250)),
        height: Some(Millimetres(130)),
        government_code: some("0104600\u{1d}00000001721aBcDeFgHiJkLm"),
        ..Item::goods("line-5501", "Ботинки, р. 39", 1, Kopecks(449_000))
    }
}

fn laces(quantity: u32) -> Item {
    Item {
        mass: Some(Grams(100)),
        vat: Some(22),
        text_article: some("LACE-120"),
        ..Item::goods("line-5502", "Шнурки 120 см", quantity, Kopecks(25_000))
    }
}

fn packages() -> Vec<Package> {
    let mm = |mm| Some(Millimetres(mm));
    vec![
        Package {
            code: some("P1"),
            strbarcode: some("RC202600010201"),
            mass: Some(Grams(1200)),
            length: mm(360),
            width: mm(260),
            height: mm(140),
            quantity: Some(1),
            message: some("хрупкое"),
            name: some("Коробка"),
        },
        Package {
            code: some("P2"),
            strbarcode: some("RC202600010202"),
            mass: Some(Grams(200)),
            length: mm(100),
            width: mm(100),
            height: mm(50),
            quantity: Some(1),
            message: None,
            name: some("Пакет"),
        },
    ]
}

fn full() -> NewOrder {
    NewOrder {
        barcode: some("RC2026000102"),
        sender: Some(Sender {
            company: some("ООО Ромашка"),
            person: some("Иванов Пётр"),
            phone: some("+74951112233"),
            town: some("Москва город"),
            address: some("Складской проезд, д. 1, стр. 3"),
            date: some("2026-09-01"),
            time_min: some("10:00"),
            time_max: some("14:00"),
        }),
        return_goods: Some(false),
        weight: Some(Grams(1400)),
        places: Some(2),
        service: some("1"),
        kind: some("1"),
        delivery_price: Some(Fee { sum: Kopecks(35_000), vat: 22 }),
        declared: Some(Kopecks(499_000)),
        receiver_pays: Some(false),
        enclosure: some("Обувь, аксессуары"),
        instruction: some("Позвонить за час & не звонить в домофон"),
        department: some("Интернет-магазин"),
        pickup: Some(false),
        accept_partially: Some(true),
        items: vec![boots(), laces(2)],
        packages: packages(),
        delivery_set: Some(DeliverySet {
            above_price: Kopecks(35_000),
            return_price: Kopecks(50_000),
            vat: Some(22),
            below: vec![(Kopecks(100_000), Kopecks(45_000)), (Kopecks(300_000), Kopecks(40_000))],
        }),
        adv_prices: vec![AdvPrice { code: "7".into(), value: "true".into() }],
        ..NewOrder::new(
            no("RC-2026-000102"),
            Receiver {
                company: some("Физ. лицо"),
                person: some("Смирнова Анна Петровна"),
                phone: some("+79161234567, anna@example.org"),
                zipcode: some("190000"),
                town: some("Санкт-Петербург город"),
                regioncode: some("78"),
                country: some("RU"),
                address: some("Невский пр., д. 20 \"А\", кв. 7, домофон 7"),
                date: some("2026-09-03"),
                time_min: some("12:00"),
                time_max: some("18:00"),
                ..Receiver::default()
            },
            PayType::Card,
        )
    }
}

fn edited() -> NewOrder {
    let plain = |item: Item, code: &str| Item {
        code: some(code),
        inshprice: None,
        barcode: None,
        text_article: None,
        length: None,
        width: None,
        height: None,
        government_code: None,
        ..item
    };
    NewOrder {
        sender: None,
        items: vec![plain(boots(), "9000501"), plain(laces(1), "9000502")],
        instruction: some("Позвонить за час"),
        packages: packages().into_iter().map(|package| Package { name: None, ..package }).collect(),
        receiver: Receiver {
            phone: some("+79161234567"),
            country: None,
            address: some("Невский пр., д. 22, кв. 1"),
            date: some("2026-09-04"),
            time_min: some("10:00"),
            time_max: some("15:00"),
            ..full().receiver
        },
        ..full()
    }
}

#[test]
fn neworder_requests_contain_what_the_samples_contain() {
    let account = account();
    contains(&neworder::write_neworder(&account, &[minimal()]), "neworder-minimal.request.xml");
    contains(&neworder::write_neworder(&account, &[full()]), "neworder-full.request.xml");
    contains(&neworder::write_neworder(&account, &[prepaid()]), "neworder-prepaid.request.xml");
    let pickup = NewOrder {
        receiver: Receiver {
            person: some("Кузнецов Олег"),
            phone: some("+79037654321"),
            town: some("Химки город"),
            regioncode: some("50"),
            address: some("ПВЗ, ул. Мира, 3"),
            pvz: some("318"),
            ..Receiver::default()
        },
        weight: Some(Grams(600)),
        places: Some(1),
        service: some("3"),
        items: vec![Item {
            mass: Some(Grams(600)),
            vat: Some(22),
            ..Item::goods("line-5510", "Книга-альбом", 1, Kopecks(129_000))
        }],
        ..NewOrder::new(no("RC-2026-000103"), Receiver::default(), PayType::Cash)
    };
    contains(&neworder::write_neworder(&account, &[pickup]), "neworder-pickup-point.request.xml");
    let partly = NewOrder {
        orderno: no("RC-2026-000105"),
        paytype: PayType::Cash,
        items: vec![
            Item { extcode: "line-5521".into(), ..prepaid().items.remove(0) },
            Item { kind: ItemKind::Prepayment, ..Item::goods("prepay", "Предоплата", 1, Kopecks(-50_000)) },
        ],
        ..prepaid()
    };
    contains(&neworder::write_neworder(&account, &[partly]), "neworder-partly-prepaid.request.xml");
    contains(&neworder::write_editorder(&account, &edited()), "editorder.request.xml");
}

#[test]
fn an_edit_never_carries_a_barcode_and_a_creation_never_a_line_code() {
    let account = account();
    assert!(!neworder::write_editorder(&account, &edited()).contains("<barcode>"));
    assert!(!neworder::write_neworder(&account, &[edited()]).contains("<item code="));
}

#[test]
fn the_other_requests_contain_what_the_samples_contain() {
    let account = account();
    let number = no("RC-2026-000102");
    contains(&probe::write_client(&account), "client.request.xml");
    contains(&statusreq::write_by_orderno(&account, &number), "statusreq-by-orderno.request.xml");
    let (from, to) = (date(2026, 8, 25), date(2026, 8, 31));
    let request = statusreq::write_by_created(&account, from, to, Done::OnlyDelivery);
    contains(&request, "statusreq-by-period.request.xml");
    assert!(!statusreq::write_by_created(&account, from, to, Done::All).contains("<done>"));
    contains(&statusreq::write_only_last(&account, 417), "statusreq-only-last.request.xml");
    contains(&statusreq::write_commit(&account, 417), "commitlaststatus.request.xml");
    let request = cancelorder::write_cancelorder(&account, &no("RC-2026-000101"), None);
    assert!(request.ends_with("<order orderno=\"RC-2026-000101\" ordercode=\"\"/></cancelorder>"), "{request}");
    let orders = [no("RC-2026-000101"), number];
    contains(&waybill::write_waybill(&account, &orders, "1"), "waybill.request.xml");
    contains(&lists::write_services(&account), "services.request.xml");
    assert!(!lists::write_services(&account).contains("secret-demo"), "only `extra` is needed");
    let filter = PickupFilter {
        town: some("Химки город"),
        regioncode: some("50"),
        limit: Some(Limit { from: 0, count: 100 }),
        ..PickupFilter::default()
    };
    let text = lists::write_pvzlist(&account, &filter);
    assert!(text.contains("<town regioncode=\"50\">Химки город</town><limit><limitfrom>0</limitfrom>"), "{text}");
    let query =
        TownQuery::Name { starts: "Хим".into(), country: some("RU"), limit: Some(Limit { from: 0, count: 10 }) };
    contains(&lists::write_townlist(&query), "townlist.request.xml");
    let text = lists::write_townlist(&TownQuery::Zipcode("141400".into()));
    assert!(text.contains("<codesearch><zipcode>141400</zipcode></codesearch>"), "{text}");
    let parcel = CalcRequest {
        town: "Химки город".into(),
        weight: Some(Grams(1400)),
        packages: packages(),
        ..CalcRequest::default()
    };
    let request = CalcRequest { town_from: some("Москва город"), ..parcel.clone() };
    contains(&calculator::write_calculator(&account, &request), "calculator-calc-attributes.request.xml");
    let request = CalcRequest {
        regioncode: some("50"),
        address: some("ул. Мира, 3"),
        places: Some(2),
        price: Some(Kopecks(499_000)),
        declared: Some(Kopecks(499_000)),
        packages: packages().into_iter().map(|package| Package { name: None, ..package }).collect(),
        ..parcel
    };
    contains(&calculator::write_calculator(&account, &request), "calculator-order.request.xml");
    let from = CalcRequest { sender_town: some("Тверь город"), ..request };
    let text = calculator::write_calculator(&account, &from);
    assert!(text.contains("<order><sender><town>Тверь город</town></sender><receiver>"), "{text}");
}

const AUTH: &str = r#"<auth extra="8" login="shop-demo" pass="secret-demo"/>"#;

#[test]
fn golden_minimal_order() {
    assert_eq!(
        neworder::write_neworder(&account(), &[minimal()]),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><neworder newfolder=\"NO\">{AUTH}<order orderno=\"RC-2026-000101\">\
             <receiver><person>Смирнова Анна Петровна</person><phone>+79161234567</phone><town>Москва город</town>\
             <address>ул. Лесная, д. 5, кв. 12</address></receiver><paytype>CASH</paytype></order></neworder>"
        )
    );
}

#[test]
fn golden_full_order() {
    assert_eq!(
        neworder::write_neworder(&account(), &[full()]),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><neworder newfolder=\"NO\">{AUTH}<order orderno=\"RC-2026-000102\">\
             <barcode>RC2026000102</barcode><sender><company>ООО Ромашка</company><person>Иванов Пётр</person>\
             <phone>+74951112233</phone><town>Москва город</town><address>Складской проезд, д. 1, стр. 3</address>\
             <date>2026-09-01</date><time_min>10:00</time_min><time_max>14:00</time_max></sender>\
             <receiver><company>Физ. лицо</company><person>Смирнова Анна Петровна</person>\
             <phone>+79161234567, anna@example.org</phone><zipcode>190000</zipcode>\
             <town regioncode=\"78\" country=\"RU\">Санкт-Петербург город</town>\
             <address>Невский пр., д. 20 &quot;А&quot;, кв. 7, домофон 7</address><date>2026-09-03</date>\
             <time_min>12:00</time_min><time_max>18:00</time_max></receiver><return>NO</return><weight>1.4</weight>\
             <quantity>2</quantity><paytype>CARD</paytype><service>1</service><type>1</type>\
             <deliveryprice VATrate=\"22\">350.00</deliveryprice><inshprice>4990.00</inshprice>\
             <receiverpays>NO</receiverpays><enclosure>Обувь, аксессуары</enclosure>\
             <instruction>Позвонить за час &amp; не звонить в домофон</instruction><department>Интернет-магазин</department>\
             <pickup>NO</pickup><acceptpartially>YES</acceptpartially><items>\
             <item extcode=\"line-5501\" quantity=\"1\" mass=\"1.1\" retprice=\"4490.00\" inshprice=\"4490.00\" VATrate=\"22\" \
             barcode=\"4600000000017\" textArticle=\"BOOT-39\" length=\"35\" width=\"25\" height=\"13\" type=\"1\" \
             governmentCode=\"010460000000001721aBcDeFgHiJkLm\">Ботинки, р. 39</item>\
             <item extcode=\"line-5502\" quantity=\"2\" mass=\"0.1\" retprice=\"250.00\" VATrate=\"22\" \
             textArticle=\"LACE-120\" type=\"1\">Шнурки 120 см</item></items><packages>\
             <package code=\"P1\" strbarcode=\"RC202600010201\" mass=\"1.2\" length=\"36\" width=\"26\" height=\"14\" \
             quantity=\"1\" message=\"хрупкое\">Коробка</package>\
             <package code=\"P2\" strbarcode=\"RC202600010202\" mass=\"0.2\" length=\"10\" width=\"10\" height=\"5\" \
             quantity=\"1\">Пакет</package></packages>\
             <deliveryset above_price=\"350.00\" return_price=\"500.00\" VATrate=\"22\">\
             <below below_sum=\"1000.00\" price=\"450.00\"/><below below_sum=\"3000.00\" price=\"400.00\"/></deliveryset>\
             <advprices><advprice><code>7</code><value>true</value></advprice></advprices></order></neworder>"
        )
    );
}

#[test]
fn golden_prepaid_order() {
    assert_eq!(
        neworder::write_neworder(&account(), &[prepaid()]),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><neworder newfolder=\"NO\">{AUTH}<order orderno=\"RC-2026-000104\">\
             <receiver><person>Орлова Вера</person><phone>+79260001122</phone><town>Москва город</town>\
             <address>Кутузовский пр., д. 10, кв. 3</address><date>2026-09-02</date></receiver><weight>0.3</weight>\
             <quantity>1</quantity><paytype>NO</paytype><service>1</service><inshprice>1500.00</inshprice><items>\
             <item extcode=\"line-5520\" quantity=\"1\" mass=\"0.3\" retprice=\"1500.00\" VATrate=\"22\" type=\"1\">Шарф</item>\
             </items></order></neworder>"
        )
    );
}

#[test]
fn golden_edit() {
    let order = NewOrder {
        barcode: some("B1"),
        items: vec![
            Item {
                code: some("9000501"), vat: Some(22), ..Item::goods("line-1", "Ботинки", 1, Kopecks(449_000))
            },
            Item { vat: Some(22), ..Item::goods("line-2", "Шнурки", 2, Kopecks(25_000)) },
        ],
        ..minimal()
    };
    assert_eq!(
        neworder::write_editorder(&account(), &order),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><editorder>{AUTH}<order orderno=\"RC-2026-000101\">\
             <receiver><person>Смирнова Анна Петровна</person><phone>+79161234567</phone><town>Москва город</town>\
             <address>ул. Лесная, д. 5, кв. 12</address></receiver><paytype>CASH</paytype><items>\
             <item code=\"9000501\" extcode=\"line-1\" quantity=\"1\" retprice=\"4490.00\" VATrate=\"22\" type=\"1\">Ботинки</item>\
             <item extcode=\"line-2\" quantity=\"2\" retprice=\"250.00\" VATrate=\"22\" type=\"1\">Шнурки</item>\
             </items></order></editorder>"
        )
    );
}

#[test]
fn debug_hides_people() {
    let text = format!("{:?} {:?} {:?}", full(), full().receiver, full().sender);
    let row = &statuses("statusreq-complete.response.xml")[0];
    let text = format!("{text} {row:?}");
    for secret in ["Смирнова", "9161234567", "Невский", "Иванов", "Позвонить", "Орлова", "Кутузовский"]
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn an_order_keeps_its_stored_form() {
    let json = serde_json::to_string(&full()).expect("json");
    assert_eq!(serde_json::from_str::<NewOrder>(&json).expect("order"), full());
    let old = r#"{"orderno":"1","receiver":{"person":"А"},"paytype":"CASH"}"#;
    let order: NewOrder = serde_json::from_str(old).expect("a form with fewer fields");
    assert_eq!(order.paytype, PayType::Cash);
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    /// What a text becomes on its way: illegal characters gone, ends trimmed.
    fn travelled(text: &str) -> String {
        let legal =
            |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        text.trim().chars().filter(legal).collect::<String>().trim().to_owned()
    }

    proptest! {
        #[test]
        fn survives_writing_and_reading(text in any::<String>(), odd in "[<>&\"'\\]\\r\\n\\t\\x00-\\x1f я]{0,12}") {
            let text = format!("{text}{odd}");
            let order = NewOrder {
                instruction: Some(text.clone()),
                items: vec![Item { text_article: Some(text.clone()), ..Item::goods("1", text.clone(), 1, Kopecks(1)) }],
                ..NewOrder::new(no("1"), Receiver { person: Some(text.clone()), ..anna() }, PayType::Cash)
            };
            let request = neworder::write_neworder(&account(), &[order]);
            let root = element::parse(request.as_bytes()).expect("our own request");
            let order = root.child("order").expect("order");
            let expected = travelled(&text);
            let expected = Some(expected.as_str()).filter(|text| !text.is_empty());
            prop_assert_eq!(order.child_text("instruction"), expected);
            prop_assert_eq!(order.child("receiver").and_then(|receiver| receiver.child_text("person")), expected);
            let item = order.child("items").and_then(|items| items.child("item")).expect("item");
            prop_assert_eq!(item.text(), expected);
            prop_assert_eq!(item.attribute("textArticle"), expected);
        }
    }
}
