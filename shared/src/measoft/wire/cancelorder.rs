//! `cancelorder` (protocols/measoft.md#cancelorder). Rows by the wiki; a bare `error` on the root,
//! which two third-party clients expect, counts as the answer for a single order.

use serde::{Deserialize, Serialize};

use crate::domain::{Language, OrderNo};
use crate::measoft::account::Account;
use crate::measoft::class::Verdict;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document};
use crate::measoft::wire::element::Element;
use crate::measoft::wire::value::error_code;
use crate::measoft::{codes, mask};

/// The answer for one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRow {
    pub orderno: OrderNo,
    pub ordercode: Option<String>,
    /// 0 is success.
    pub code: i64,
    pub text_ru: Option<String>,
    pub text_en: Option<String>,
}

impl CancelRow {
    pub const fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// What a refusal means; `None` for success.
    pub fn verdict(&self) -> Option<Verdict> {
        let text = codes::search_text(self.text_ru.as_deref(), self.text_en.as_deref());
        (!self.is_ok()).then(|| codes::classify(Op::CancelOrder, Some(self.code), &text))
    }

    /// The vendor's own words in the wanted language, else in the other one.
    pub fn text(&self, lang: Language) -> Option<&str> {
        codes::pick_text(lang, self.text_ru.as_deref(), self.text_en.as_deref())
    }
}

pub fn write_cancelorder(account: &Account, orderno: &OrderNo, ordercode: Option<&str>) -> String {
    let mut document = Document::new(Op::CancelOrder, &[], Auth::Full(account));
    document.empty("order", &[("orderno", orderno.as_str()), ("ordercode", ordercode.unwrap_or_default())]);
    document.finish()
}

/// The row of `orderno`, found by its number or, when the server leaves that out, by
/// `ordercode`.
pub(crate) fn read_cancel_row(root: &Element, orderno: &OrderNo, ordercode: Option<&str>) -> Option<CancelRow> {
    let row = root
        .children("order")
        .find(|row| row.attribute("orderno") == Some(orderno.as_str()))
        .or_else(|| {
            ordercode.and_then(|code| root.children("order").find(|row| row.attribute("ordercode") == Some(code)))
        })
        // A root that only says `error="0"` is a success for the one order asked about.
        .or_else(|| (!root.has_children()).then_some(root))?;
    Some(CancelRow {
        orderno: orderno.clone(),
        ordercode: row.owned_attribute("ordercode").or_else(|| ordercode.map(str::to_owned)),
        code: error_code(row)?,
        text_ru: row.attribute("errormsgru").map(mask::scrub),
        text_en: row.attribute("errormsg").or_else(|| row.text()).map(mask::scrub),
    })
}
