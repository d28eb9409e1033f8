//! How a correction of an order is told: of people's data that it was changed, unless somebody asks.

use serde_json::{Value, json};
use shared::domain::{CorrectedField, Language};
use shared::store::corrections::Correction;

use crate::seen::words::of;

/// Values that may be shown: of people's data only on request.
fn shown(one: &Correction, unmask: bool) -> Option<(&str, &str)> {
    (unmask || !one.field.is_personal()).then_some((one.values.before.as_str(), one.values.after.as_str()))
}

/// A correction, for programs.
pub fn document(one: &Correction, unmask: bool) -> Value {
    let (before, after) = shown(one, unmask).unzip();
    json!({
        "crm_order_id": one.order.0, "field": one.field.as_str(), "before": before, "after": after, "by": one.who,
        "version": one.version, "made_at": one.made_at.to_string(),
    })
}

/// `исправлено: телефон (изменён), Анна`.
pub fn words(one: &Correction, unmask: bool, language: Language) -> String {
    let head = of(language, "исправлено:", "corrected:");
    let what = match shown(one, unmask) {
        Some((before, after)) => format!("«{before}» → «{after}»"),
        None => of(language, "изменён", "changed").to_owned(),
    };
    format!(
        "{head} {} {what}, {} ({} {})",
        one.field.words(language),
        one.who,
        of(language, "версия", "version"),
        one.version
    )
}

/// What a value of a field looks like.
pub const fn form(field: CorrectedField, language: Language) -> &'static str {
    match field {
        CorrectedField::Phone => of(language, "номер телефона", "a phone number"),
        CorrectedField::Town => of(language, "город последним: область, город", "the town last: region, town"),
        CorrectedField::Date => "2026-12-01",
        CorrectedField::Window => "10:00-18:00",
        CorrectedField::Name | CorrectedField::Address | CorrectedField::Comment => {
            of(language, "до 500 знаков", "up to 500 characters")
        }
    }
}
