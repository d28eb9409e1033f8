use proptest::prelude::*;

use super::*;
use crate::domain::{Kopecks, OrderNo};
use crate::measoft::class::Class;

const LIMIT: u64 = 64 * 1024 * 1024;

/// Feeds a body in pieces of `step` bytes.
fn read(body: &[u8], step: usize) -> Result<Vec<Row>, MeasoftError> {
    let mut rows = RowReader::new(Op::StatusReq, LIMIT);
    for chunk in body.chunks(step.max(1)) {
        rows.push(&Bytes::copy_from_slice(chunk))?;
    }
    rows.finish()?;
    Ok(std::iter::from_fn(|| rows.pop()).collect())
}

/// `ok` or `poison` with the number of each row.
fn summary(body: &str) -> Vec<String> {
    let rows = read(body.as_bytes(), 7).expect("a complete answer");
    let name = |number: Option<&OrderNo>| number.map_or("?", OrderNo::as_str).to_owned();
    rows.iter()
        .map(|row| match row {
            Ok(row) => format!("ok {}", name(row.orderno.as_ref())),
            Err(poison) => format!("poison {}", name(poison.orderno.as_ref())),
        })
        .collect()
}

#[test]
fn rows_are_the_same_however_the_bytes_are_cut() {
    let body = "\u{feff}<?xml version='1.0'?><!-- <order/> --><statusreq count=\"2\" note='a>b'>\
        <order orderno=\"1\"><deliveredto><![CDATA[</order>]]></deliveredto><!-- </order> --></order>\
        <other><order orderno=\"x\"/></other><?pi </order>?>\
        <order orderno='2' note=\"/>\"/></statusreq>  ";
    let whole = read(body.as_bytes(), body.len()).expect("rows");
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].as_ref().expect("row").deliveredto.as_deref(), Some("</order>"));
    for step in 1..40 {
        assert_eq!(read(body.as_bytes(), step).expect("rows"), whole, "pieces of {step}");
    }
}

#[test]
fn a_row_that_is_here_whole_is_taken_at_once_and_read_the_same() {
    let body = "<statusreq count=\"4\"><order orderno=\"1\"><status>NEW</status><items/></order>\n\
        <order orderno=\"2\"><order>x</order><price>1</price></order><order orderno=\"3\"/>\
        <order orderno=\"4\"><deliveredto><!-- </order> -->Орлова</deliveredto></order><ordered/></statusreq>";
    let whole = read(body.as_bytes(), body.len()).expect("rows");
    assert_eq!(whole.len(), 4);
    assert_eq!(whole, read(body.as_bytes(), 1).expect("rows"));
    let mut rows = RowReader::new(Op::StatusReq, LIMIT);
    rows.push(&Bytes::from_static(b"<statusreq>")).expect("begins");
    assert_eq!(rows.whole_row(b"<order orderno=\"1\"><a/></order>tail"), Some(31));
    for unusual in [
        "<order orderno=\"1\"><a/></orde",
        "<order orderno=\"1\"/><order></order>",
        "<order><a><![CDATA[</order>]]></a></order>",
        "<order><?pi </order>?></order>",
        "<orders></order>",
        "text<order></order>",
        "<order a=\"</order>",
        "<order a=\"1\"><b </order>",
        "<order/></order>",
    ] {
        assert_eq!(rows.whole_row(unusual.as_bytes()), None, "{unusual}");
    }
}

#[test]
fn what_the_sender_sent_of_himself_is_read_over() {
    let rows = read(
        b"<statusreq><order orderno=\"1\"><sender><town>x</town><sender/></sender><price>5</price></order>\
        <order orderno=\"2\"><sender><a></sender></order><order orderno=\"3\"/></statusreq>",
        4096,
    )
    .expect("rows");
    assert_eq!(rows[0].as_ref().expect("row").price, Some(Kopecks(500)));
    assert_eq!(rows[1].as_ref().expect_err("poison").orderno, Some(OrderNo::known("2")));
    assert!(rows[2].is_ok());
}

#[test]
fn a_poisoned_row_costs_nothing_but_itself() {
    for poison in [
        "<a>",
        "<a><b></a>",
        "</a>",
        "</a></b></c>",
        "<address>1 < 2</address>",
        "<address>1 <2</address>",
        "<a x=1/>",
        "<address></addres>",
    ] {
        let body = format!(
            "<statusreq><order orderno=\"1\"/><order orderno=\"2\">{poison}</order><order orderno=\"3\"/></statusreq>"
        );
        assert_eq!(summary(&body), ["ok 1", "poison 2", "ok 3"], "{poison}");
    }
}

#[test]
fn a_side_field_that_cannot_be_read_withholds_neither_status_nor_sum_nor_payment_type() {
    for (side, noted) in [
        ("<items><item code=\"1\" extcode=\"a\" quantity=\"half\"/></items>", "item quantity"),
        ("<items><item code=\"1\" extcode=\"a\" quantity=\"0.5\"/></items>", "item quantity"),
        ("<items><item retprice=\"—\"/></items>", "item retprice"),
        ("<items><item returns=\"1,5\"/></items>", "returns of an item"),
        ("<statushistory><status createtimegmt=\"02.09.2026\">NEW</status></statushistory>", "createtimegmt"),
    ] {
        let body = format!(
            "<statusreq><order orderno=\"1\"><status createtimegmt=\"2026-09-02 12:41:12\">COMPLETE</status>\
             <paytype>CARD</paytype><price>540.50</price>{side}</order></statusreq>"
        );
        let rows = read(body.as_bytes(), 7).expect("a complete answer");
        let row = rows[0].as_ref().expect("the row is read");
        let status = row.status.as_ref().expect("a status");
        assert_eq!((status.code.as_str(), status.createtime_gmt.is_some()), ("COMPLETE", true), "{side}");
        assert_eq!((row.paytype.as_deref(), row.price), (Some("CARD"), Some(Kopecks(54_050))), "{side}");
        assert_eq!(row.unreadable, [noted], "{side}");
    }
    // Of a sum and of a moment that cannot be read the rest counts all the same.
    let body = "<statusreq><order orderno=\"1\"><status createtimegmt=\"02.09.2026 12:41\">COMPLETE</status>\
                <price>много</price><paytype>CASH</paytype></order></statusreq>";
    let rows = read(body.as_bytes(), 7).expect("a complete answer");
    let row = rows[0].as_ref().expect("the row is read");
    let status = row.status.as_ref().expect("a status");
    assert_eq!((status.code.as_str(), status.createtime_gmt, row.price), ("COMPLETE", None, None));
    assert_eq!(row.unreadable, ["createtimegmt", "price"]);
    assert!(row.items.is_empty() && row.shows_lines());
}

#[test]
fn a_row_without_any_number_and_one_that_is_too_long_are_poisoned() {
    let long = format!("<order orderno=\"2\"><a>{}</a></order>", "я".repeat(MAX_ROW));
    let body = format!("<statusreq><order/>{long}<order orderno=\"3\"/></statusreq>");
    let rows = read(body.as_bytes(), 8192).expect("rows");
    assert_eq!(rows[0].as_ref().expect_err("poison").why, "the row has no number at all");
    assert_eq!(rows[1].as_ref().expect_err("poison").orderno, Some(OrderNo::known("2")));
    assert!(rows[2].is_ok());
}

#[test]
fn an_answer_that_breaks_off_is_never_complete() {
    let body = "<statusreq count=\"2\"><order orderno=\"1\"><price>1</price></order><order orderno=\"2\"/></statusreq>";
    for end in 1..body.len() {
        let error = read(&body.as_bytes()[..end], 16).expect_err("cut");
        assert_eq!(error.class(), Class::Transient, "cut at {end}: {error}");
    }
}

#[test]
fn answers_that_are_errors_are_told_apart_like_small_ones() {
    for (body, reason) in [
        ("<request><error error=\"1\" errormsg=\"authorization error\"/></request>", "auth_failed"),
        ("<statusreq error=\"25\" errormsg=\"authorization error\"/>", "auth_failed"),
        ("<statusreq error=\"13\">MySQL is gone</statusreq>", "courier_database_error"),
        ("<statusreq><error error=\"13\"/></statusreq>", "courier_database_error"),
        ("<request><error>'&lt;/orderno&gt;' expected</error></request>", "bad_xml"),
        ("<neworder/>", "bad_format"),
        ("<request></request>", "bad_format"),
        ("<!DOCTYPE html><html lang=\"ru\"><body>", "bad_format"),
        ("<html><body></body></html>", "bad_format"),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><statusreq>&b;</statusreq>", "bad_format"),
        ("Service busy", "bad_format"),
        ("", "bad_format"),
    ] {
        let error = read(body.as_bytes(), 5).expect_err("an error");
        assert_eq!(error.reason(), reason, "{body}: {error}");
        let whole = envelope::open(Op::StatusReq, body.as_bytes()).expect_err("an error");
        assert_eq!(whole.class(), error.class(), "{body}");
    }
}

#[test]
fn an_html_page_shows_its_beginning() {
    let error = read(b"<!DOCTYPE html><html><title>Maintenance</title></html>", 64).expect_err("page");
    assert!(matches!(error, MeasoftError::BadFormat { html: true, excerpt, .. } if excerpt.contains("Maintenance")));
}

#[test]
fn nothing_changed_is_an_empty_answer() {
    assert_eq!(read(b"<statusreq count=\"0\"/>", 3), Ok(Vec::new()));
    assert_eq!(read(b"<statusreq count=\"0\"></statusreq>", 3), Ok(Vec::new()));
}

#[test]
fn windows_1251_is_read_in_a_stream_too() {
    let mut body =
        b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><statusreq><order orderno=\"1\"><deliveredto>".to_vec();
    body.extend_from_slice(&[0xce, 0xf0, 0xeb, 0xee, 0xe2, 0xe0]);
    body.extend_from_slice(b"</deliveredto></order></statusreq>");
    let rows = read(&body, 10).expect("rows");
    assert_eq!(rows[0].as_ref().expect("row").deliveredto.as_deref(), Some("Орлова"));
}

#[test]
fn an_endless_answer_is_given_up() {
    let mut rows = RowReader::new(Op::StatusReq, 1000);
    rows.push(&Bytes::from_static(b"<statusreq>")).expect("fits");
    let error = rows.push(&Bytes::from_static(&[b' '; 1000])).expect_err("too large");
    assert_eq!(error, MeasoftError::TooLarge { op: Op::StatusReq, limit: 1000 });
}

#[test]
fn a_long_answer_is_read_in_bounded_memory() {
    let mut rows = RowReader::new(Op::StatusReq, LIMIT);
    rows.push(&Bytes::from_static(b"<statusreq>")).expect("begins");
    for number in 0..20_000 {
        let row = format!("<order orderno=\"{number}\"><price>10.50</price></order>\n");
        rows.push(&Bytes::copy_from_slice(row.as_bytes())).expect("a row");
        assert!(rows.pop().expect("ready").is_ok());
        assert!(rows.piece.capacity() < 4096 && rows.head.len() < 100);
    }
    rows.push(&Bytes::from_static(b"</statusreq>")).expect("ends");
    assert_eq!(rows.finish(), Ok(()));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_stream(body in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..20) {
        let _ = read(&body, step);
    }

    #[test]
    fn arbitrary_rows_end_where_the_lexer_says(rows in "(<order( a=[\"'][^\"']{0,3}[\"'])?/?>|</order ?>|<order>|<a>|</a>|<a b=\"|<|>|\"|'|/|=|<!-- -->|<!\\[CDATA\\[|\\]\\]>|<\\?x|x|\n){0,25}") {
        let body = format!("<statusreq><order>{rows}</order></statusreq>");
        prop_assert_eq!(read(body.as_bytes(), body.len()), read(body.as_bytes(), 1));
    }

    #[test]
    fn arbitrary_markup_never_panics_the_stream(body in "(<statusreq>)?([<>/&;a=\"' !?-]|<order |</order>|<!\\[CDATA\\[|\\]\\]>|<a>|</a>){0,40}", step in 1_usize..20) {
        let _ = read(body.as_bytes(), step);
    }
}
