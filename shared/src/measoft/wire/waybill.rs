//! `waybill`: printing forms as PDF (protocols/measoft.md#waybill).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::OrderNo;
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document};
use crate::measoft::wire::element::Element;

/// What every PDF begins with.
pub(crate) const PDF_START: &[u8] = b"%PDF";

/// `form` is the courier service's code of a printing form.
pub fn write_waybill(account: &Account, orders: &[OrderNo], form: &str) -> String {
    let mut document = Document::new(Op::Waybill, &[], Auth::Full(account));
    document.open("orders", &[]);
    for orderno in orders {
        document.empty("order", &[("orderno", orderno.as_str())]);
    }
    document.close("orders");
    document.leaf("form", form);
    document.finish()
}

/// The PDF out of `content`; `None` when there is none.
pub(crate) fn read_waybill(root: &Element) -> Option<Vec<u8>> {
    decode_pdf(root.child_text("content").or_else(|| root.text())?)
}

fn decode_pdf(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(compact).ok().filter(|bytes| bytes.starts_with(PDF_START))
}
