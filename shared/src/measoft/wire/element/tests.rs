use proptest::prelude::*;

use super::*;

#[test]
fn cdata_entities_and_empty_elements_are_read() {
    let root = parse(
        "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><a x=' 1 &amp; 2 '><b><![CDATA[<Я>]]> &lt;&#1071;&nbsp;</b><c/></a>\n"
            .as_bytes(),
    )
    .expect("readable");
    assert_eq!(root.attribute("x"), Some("1 & 2"));
    assert_eq!(root.child_text("b"), Some("<Я> <Я&nbsp;"));
    assert_eq!(root.child_text("c"), None);
    assert_eq!(root.child("B"), None, "names are case-sensitive");
}

#[test]
fn windows_1251_is_decoded_by_the_declaration() {
    let mut body = b"<?xml version=\"1.0\" encoding=\"Windows-1251\"?><a>".to_vec();
    body.extend_from_slice(&[0xcc, 0xee, 0xf1, 0xea, 0xe2, 0xe0, 0x20, 0xb9, 0xb8]);
    body.extend_from_slice(b"</a>");
    assert_eq!(parse(&body).expect("readable").text(), Some("Москва №ё"));
}

#[test]
fn what_is_no_document_is_refused_with_the_reason() {
    let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
    for (body, why) in [
        ("", Unreadable::Empty),
        (" \n", Unreadable::Empty),
        ("<?xml version=\"1.0\"?>", Unreadable::Empty),
        ("ok", Unreadable::NotXml),
        ("{\"a\":1}", Unreadable::NotXml),
        ("<!DOCTYPE html><html></html>", Unreadable::Html),
        ("<HTML><body>", Unreadable::Html),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", Unreadable::Dtd),
        ("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", Unreadable::Dtd),
        ("<a><b></a>", Unreadable::Broken),
        ("<a><b>", Unreadable::Broken),
        ("<a/><b/>", Unreadable::Broken),
        ("<a x=1/>", Unreadable::Broken),
        ("<a></a>tail", Unreadable::Broken),
        (&deep, Unreadable::TooComplex),
    ] {
        assert_eq!(parse(body.as_bytes()), Err(why), "{body}");
    }
    let fits = format!("{}{}", "<a>".repeat(64), "</a>".repeat(64));
    assert!(parse(fits.as_bytes()).is_ok());
}

#[test]
fn one_bad_byte_does_not_cost_the_whole_answer() {
    assert_eq!(parse(b"<a><b>1\xff2</b><c>3</c></a>").expect("readable").child_text("c"), Some("3"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_reader(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&body);
    }

    #[test]
    fn arbitrary_markup_never_panics_the_reader(body in "[<>/&;#xa=\"' !\\-\\[\\]?CDATA]{0,200}") {
        let _ = parse(body.as_bytes());
    }
}
