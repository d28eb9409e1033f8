//! What a preview comes to, in words.

use bridge_worker::preview::{Decision, Field, Preview};
use shared::domain::Language;
use shared::measoft::Op;

use crate::seen::words::of;

/// A word for what an order comes to: what was held back says more than that it did not leave.
pub fn word<'a>(decision: &'a Decision, found: &Preview) -> &'a str {
    let names = |orderno: &str| decision.orderno.as_deref() == Some(orderno);
    let held = found.to_measoft.iter().find(|held| held.about.iter().any(|orderno| names(orderno.as_str())));
    match held.map(|held| held.op) {
        Some(Op::NewOrder) => "create",
        Some(Op::EditOrder) => "edit",
        Some(Op::CancelOrder) => "cancel",
        _ => &decision.outcome,
    }
}

pub fn words(word: &str, language: Language) -> &str {
    match word {
        "create" => of(language, "будет создан в MeaSoft", "would be placed at MeaSoft"),
        "edit" => of(language, "будет изменён в MeaSoft", "would be changed at MeaSoft"),
        "cancel" => of(language, "будет отменён в MeaSoft", "would be cancelled at MeaSoft"),
        "done" => of(language, "будет сообщено RetailCRM", "RetailCRM would be told"),
        "already_done" => of(language, "ничего делать не нужно", "nothing is to be done"),
        "superseded" => of(language, "ничего не будет сделано", "nothing would be done"),
        "retry_later" => of(language, "пришлось бы ждать", "it would have to wait"),
        "give_up" => of(language, "не может быть передан", "it cannot be handed over"),
        other => other,
    }
}

/// What would become different, by name.
pub fn field(field: &Field, language: Language) -> String {
    match field {
        Field::Sum => of(language, "сумма к оплате при вручении", "sum to collect").to_owned(),
        Field::PayType => of(language, "вид оплаты", "payment").to_owned(),
        Field::Line(code) => format!("{} {code}", of(language, "позиция", "line")),
    }
}

/// What MeaSoft's own view of the order says, where nothing of it would become different.
pub fn unchanged(found: &Preview, language: Language) -> Option<&'static str> {
    if found.at_measoft.is_empty() {
        return Some(of(language, "В MeaSoft такого заказа нет.", "MeaSoft has no such order."));
    }
    let same = "В том, что показывает MeaSoft, ничего не изменится.";
    found.differences.is_empty().then(|| of(language, same, "Nothing that MeaSoft shows would become different."))
}

/// A body with a line for each element.
pub fn in_lines(body: &str) -> String {
    body.replace("><", ">\n<")
}
