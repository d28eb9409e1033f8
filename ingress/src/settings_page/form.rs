//! The settings form: what it shows, what was entered, and what is wrong with it.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::crypto::sha256_hex;
use shared::domain::symbolic_code::{self, BadCode};
use shared::domain::{Integration, Secret};
use shared::pasted;
use shared::retailcrm::{AllowedHosts, check};

use crate::bilingual::bilingual;

/// Settings the page may change; they are named as `Settings::set` names them.
const SETTINGS: [&str; 16] = [
    "payment_status",
    "receive_statuses",
    "receive_payment",
    "returned_item_status",
    "delivered_item_status",
    "delivery_types",
    "default_service",
    "default_weight_g",
    "cod_policy",
    "no_payment",
    "uncovered_rest",
    "currency",
    "allow_edit_cancel",
    "report_errors_to_crm",
    "notify_groups",
    "language",
];
/// Longest text of a field, characters.
const LONGEST: usize = 200;

bilingual! {
    /// What is wrong with a field.
    pub enum Wrong {
        Needed: "Заполните это поле", "Fill this field in";
        TooLong: "Слишком длинное значение", "The value is too long";
        CrmUrl: "Это не адрес RetailCRM: ожидается, например, https://shop.retailcrm.ru",
            "This is no RetailCRM address: one like https://shop.retailcrm.ru is expected";
        Weight: "Целое число граммов от 1 до 1 000 000", "A whole number of grams from 1 to 1,000,000";
        ReservedCode: "Коды id, sum и key заняты параметрами триггеров",
            "The codes id, sum and key are parameters of the triggers";
        Codes: "Символьные коды через запятую, без пробелов внутри, кавычек и скобок: как в справочнике RetailCRM",
            "Symbolic codes, comma separated, without spaces inside, quotes or brackets: as RetailCRM lists them";
        NotAllowed: "Недопустимое значение", "This value is not allowed";
    }
}

/// What is wrong, by field name.
pub type Errors = BTreeMap<&'static str, Wrong>;

/// Values as they stand in the form, by field name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entered(pub BTreeMap<String, String>);

impl Entered {
    /// What is stored; secrets are never shown again.
    pub fn of(i: &Integration) -> Self {
        let own = [("title", &i.title), ("crm_url", &i.crm_url), ("extra", &i.extra), ("login", &i.login)];
        let own = own.map(|(name, value)| (name.to_owned(), value.clone()));
        let settings = serde_json::to_value(&i.settings).unwrap_or_default();
        let settings = SETTINGS.map(|name| (name.to_owned(), shown(&settings[name])));
        Self(own.into_iter().chain(settings).collect())
    }

    /// Tells whether these are the values that a form was filled with.
    pub fn mark(&self) -> String {
        let text: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        sha256_hex(text.join("\n").as_bytes())[..16].to_owned()
    }

    /// What a field of the form holds; `None` when the form has no such field.
    fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| pasted::trim(value))
    }

    pub fn get(&self, name: &str) -> &str {
        self.given(name).unwrap_or("")
    }

    /// The integration as the form wants it. A field that the form does not have keeps its
    /// value; so do empty secrets.
    pub fn apply(&self, old: &Integration, allowed: &AllowedHosts) -> Result<Integration, Errors> {
        let mut new = old.clone();
        let mut errors = Errors::new();
        for (name, slot) in [
            ("title", &mut new.title),
            ("crm_url", &mut new.crm_url),
            ("extra", &mut new.extra),
            ("login", &mut new.login),
        ] {
            let Some(text) = self.given(name) else { continue };
            match if name == "crm_url" { crm_url(text, allowed) } else { short(text) } {
                Ok(read) => *slot = read,
                Err(wrong) => {
                    errors.insert(name, wrong);
                }
            }
        }
        if !self.get("crm_api_key").is_empty() {
            new.secrets.crm_api_key = Secret::new(pasted::compact(self.get("crm_api_key")));
        }
        if !self.get("password").is_empty() {
            new.secrets.password = Secret::new(self.get("password"));
        }
        for name in SETTINGS {
            let Some(text) = self.given(name) else { continue };
            let looked_at = match name {
                "default_weight_g" => weight(text),
                "delivery_types" => delivery_types(text),
                _ => Ok(()),
            };
            let set = looked_at.and_then(|()| new.settings.set(name, text).map_err(|_| Wrong::NotAllowed));
            if let Err(wrong) = set {
                errors.insert(name, wrong);
            }
        }
        if errors.is_empty() { Ok(new) } else { Err(errors) }
    }
}

/// A setting as it stands in the form.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(codes) => codes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn short(text: &str) -> Result<String, Wrong> {
    match text.chars().count() {
        0 => Err(Wrong::Needed),
        length if length > LONGEST => Err(Wrong::TooLong),
        _ => Ok(text.to_owned()),
    }
}

fn crm_url(text: &str, allowed: &AllowedHosts) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::Needed);
    }
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = check(&text, allowed).map_err(|_| Wrong::CrmUrl)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn weight(text: &str) -> Result<(), Wrong> {
    let grams = text.parse::<u32>().ok().filter(|grams| (1..=1_000_000).contains(grams));
    grams.map(drop).ok_or(Wrong::Weight)
}

fn delivery_types(text: &str) -> Result<(), Wrong> {
    let codes = text.split(',').filter(|code| !pasted::trim(code).is_empty());
    match codes.map(symbolic_code::delivery_type).find_map(Result::err) {
        None => Ok(()),
        Some(BadCode::Reserved) => Err(Wrong::ReservedCode),
        Some(_) => Err(Wrong::Codes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::domain::integration::CodPolicy;
    use shared::domain::{Language, Secrets};

    fn integration() -> Integration {
        Integration {
            title: "Магазин".into(),
            crm_url: "https://shop.retailcrm.ru".into(),
            extra: "8".into(),
            login: "shop".into(),
            secrets: Secrets {
                crm_api_key: Secret::new("old-key"),
                password: Secret::new("old-pass"),
                ..Secrets::default()
            },
            ..Integration::default()
        }
    }

    fn entered(changes: &[(&str, &str)]) -> Entered {
        let mut entered = Entered::of(&integration());
        entered.0.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        entered
    }

    fn apply(changes: &[(&str, &str)]) -> Result<Integration, Errors> {
        entered(changes).apply(&integration(), &AllowedHosts::default())
    }

    #[test]
    fn an_untouched_form_changes_nothing() {
        assert_eq!(apply(&[]).expect("good"), integration());
    }

    #[test]
    fn what_was_entered_is_taken_over_and_empty_secrets_are_kept() {
        let new = apply(&[
            ("title", " Новый "),
            ("crm_url", "other.retailcrm.ru"),
            ("crm_api_key", "\u{feff}new-\u{200b}key\r\n"),
            ("password", ""),
            ("payment_status", "paid\u{a0}"),
            ("receive_payment", "yes"),
            ("delivery_types", "\u{200b}incity,\u{a0}outcity,\r\n"),
            ("cod_policy", "as_vendor"),
            ("language", "en"),
        ])
        .expect("good");
        assert_eq!((new.title.as_str(), new.crm_url.as_str()), ("Новый", "https://other.retailcrm.ru"));
        assert_eq!((new.secrets.crm_api_key.expose(), new.secrets.password.expose()), ("new-key", "old-pass"));
        assert_eq!(new.settings.payment_status.as_deref(), Some("paid"));
        assert!(new.settings.receive_payment);
        assert_eq!(new.settings.delivery_types, ["incity", "outcity"]);
        assert_eq!((new.settings.cod_policy, new.settings.language), (CodPolicy::AsVendor, Language::En));
    }

    #[test]
    fn every_mistake_stands_beside_its_field() {
        for (name, value) in [
            ("title", ""),
            ("crm_url", "https://evil.example"),
            ("crm_url", "http://169.254.169.254"),
            ("crm_url", ""),
            ("extra", " "),
            ("default_weight_g", "-1"),
            ("default_weight_g", "много"),
            ("delivery_types", "incity,key"),
            ("delivery_types", "incity,a\"b"),
            ("delivery_types", "a\\b"),
            ("delivery_types", "in city"),
            ("delivery_types", "…"),
            ("payment_status", "\"paid\""),
            ("cod_policy", "guess"),
            ("uncovered_rest", "guess"),
            ("currency", "рубли"),
            ("language", "de"),
        ] {
            let errors = apply(&[(name, value)]).expect_err(name);
            assert_eq!(errors.keys().copied().collect::<Vec<_>>(), [name], "{value}");
        }
    }

    #[test]
    fn the_form_shows_no_secret() {
        let shown = format!("{:?}", Entered::of(&integration()).0);
        assert!(!shown.contains("old-key") && !shown.contains("old-pass"), "{shown}");
    }
}
