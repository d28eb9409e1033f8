//! The settings form: what it shows, what was entered, and what is wrong with it.

use std::collections::BTreeMap;

use shared::crypto::sha256_hex;
use shared::domain::integration::{CodPolicy, NoPayment, UncoveredRest};
use shared::domain::symbolic_code;
use shared::domain::{Integration, Language, Secret};
use shared::pasted;
use shared::retailcrm::{AllowedHosts, check};

/// Values as they stand in the form, by field name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entered(pub BTreeMap<String, String>);

/// Errors, by field name.
pub type Errors = BTreeMap<&'static str, &'static str>;

const fn pick(language: Language, ru: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

impl Entered {
    /// What is stored; secrets are never shown again.
    #[must_use]
    pub fn of(i: &Integration) -> Self {
        let s = &i.settings;
        let yes_no = |on: bool| if on { "yes" } else { "no" }.to_owned();
        let values = [
            ("title", i.title.clone()),
            ("crm_url", i.crm_url.clone()),
            ("extra", i.extra.clone()),
            ("login", i.login.clone()),
            ("payment_status", s.payment_status.clone().unwrap_or_default()),
            ("receive_statuses", yes_no(s.receive_statuses)),
            ("receive_payment", yes_no(s.receive_payment)),
            ("delivery_types", s.delivery_types.join(", ")),
            ("default_service", s.default_service.clone().unwrap_or_default()),
            ("default_weight_g", s.default_weight_g.to_string()),
            (
                "cod_policy",
                match s.cod_policy {
                    CodPolicy::ByPaymentType => "by_payment_type",
                    CodPolicy::AsVendor => "as_vendor",
                }
                .to_owned(),
            ),
            (
                "no_payment",
                match s.no_payment {
                    NoPayment::Collect => "collect",
                    NoPayment::Nothing => "nothing",
                    NoPayment::Refuse => "refuse",
                }
                .to_owned(),
            ),
            (
                "uncovered_rest",
                match s.uncovered_rest {
                    UncoveredRest::Collect => "collect",
                    UncoveredRest::Nothing => "nothing",
                    UncoveredRest::Refuse => "refuse",
                }
                .to_owned(),
            ),
            ("currency", s.currency.clone()),
            ("allow_edit_cancel", yes_no(s.allow_edit_cancel)),
            ("report_errors_to_crm", yes_no(s.report_errors_to_crm)),
            ("language", if s.language == Language::En { "en" } else { "ru" }.to_owned()),
        ];
        Self(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Tells whether these are the values that a form was filled with.
    #[must_use]
    pub fn mark(&self) -> String {
        let text: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        sha256_hex(text.join("\n").as_bytes())[..16].to_owned()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| pasted::trim(value))
    }

    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == value
    }

    /// The integration as the form wants it. A field that the form does not have keeps its
    /// value; so do empty secrets.
    ///
    /// # Errors
    /// What is wrong, by field, in words.
    pub fn apply(&self, old: &Integration, allowed: &AllowedHosts, language: Language) -> Result<Integration, Errors> {
        let mut new = old.clone();
        let mut errors = Errors::new();
        let needed = pick(language, "Заполните это поле", "Fill this field in");
        for (name, slot) in [("title", &mut new.title), ("extra", &mut new.extra), ("login", &mut new.login)] {
            match self.0.get(name).map(|value| pasted::trim(value)) {
                None => {}
                Some("") => {
                    errors.insert(name, needed);
                }
                Some(value) if value.chars().count() > 200 => {
                    errors.insert(name, pick(language, "Слишком длинное значение", "The value is too long"));
                }
                Some(value) => value.clone_into(slot),
            }
        }
        if self.0.contains_key("crm_url") {
            let text = self.get("crm_url");
            let text =
                if text.contains("://") || text.is_empty() { text.to_owned() } else { format!("https://{text}") };
            match check(&text, allowed) {
                _ if text.is_empty() => {
                    errors.insert("crm_url", needed);
                }
                Ok(url) => url.as_str().trim_end_matches('/').clone_into(&mut new.crm_url),
                Err(_) => {
                    let words = pick(
                        language,
                        "Это не адрес RetailCRM: ожидается, например, https://shop.retailcrm.ru",
                        "This is no RetailCRM address: one like https://shop.retailcrm.ru is expected",
                    );
                    errors.insert("crm_url", words);
                }
            }
        }
        if !self.get("crm_api_key").is_empty() {
            new.secrets.crm_api_key = Secret::new(pasted::compact(self.get("crm_api_key")));
        }
        if !self.get("password").is_empty() {
            new.secrets.password = Secret::new(self.get("password"));
        }
        let weight: Option<u32> = self.get("default_weight_g").parse().ok().filter(|g| (1..=1_000_000).contains(g));
        if self.0.contains_key("default_weight_g") && weight.is_none() {
            let words =
                pick(language, "Целое число граммов от 1 до 1 000 000", "A whole number of grams from 1 to 1,000,000");
            errors.insert("default_weight_g", words);
        }
        let types = self.get("delivery_types").split(',').filter(|code| !pasted::trim(code).is_empty());
        match types.map(symbolic_code::delivery_type).find_map(Result::err) {
            None => {}
            Some(symbolic_code::BadCode::Reserved) => {
                let words = pick(
                    language,
                    "Коды id, sum и key заняты параметрами триггеров",
                    "The codes id, sum and key are parameters of the triggers",
                );
                errors.insert("delivery_types", words);
            }
            Some(_) => {
                let words = pick(
                    language,
                    "Символьные коды через запятую, без пробелов внутри, кавычек и скобок: как в справочнике RetailCRM",
                    "Symbolic codes, comma separated, without spaces inside, quotes or brackets: as RetailCRM lists them",
                );
                errors.insert("delivery_types", words);
            }
        }
        for name in FIELDS {
            if let Some(value) = self.0.get(*name)
                && !errors.contains_key(name)
                && new.settings.set(name, pasted::trim(value)).is_err()
            {
                errors.insert(name, pick(language, "Недопустимое значение", "This value is not allowed"));
            }
        }
        if errors.is_empty() { Ok(new) } else { Err(errors) }
    }
}

/// Settings the page may change; they are named as `Settings::set` names them.
const FIELDS: &[&str] = &[
    "payment_status",
    "receive_statuses",
    "receive_payment",
    "delivery_types",
    "default_service",
    "default_weight_g",
    "cod_policy",
    "no_payment",
    "uncovered_rest",
    "currency",
    "allow_edit_cancel",
    "report_errors_to_crm",
    "language",
];

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use shared::domain::{IntegrationId, IntegrationState, Secrets, Settings};

    fn integration() -> Integration {
        let secret = |text: &str| Secret::new(text);
        Integration {
            id: IntegrationId(1),
            title: "Магазин".into(),
            crm_url: "https://shop.retailcrm.ru".into(),
            crm_proof: None,
            measoft_url: String::new(),
            extra: "8".into(),
            login: "shop".into(),
            prefix: String::new(),
            settings: Settings::default(),
            secrets: Secrets {
                crm_api_key: secret("old-key"),
                password: secret("old-pass"),
                delivery_api_key: secret("c"),
                client_id: secret("d"),
            },
            state: IntegrationState::Active,
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn entered(changes: &[(&str, &str)]) -> Entered {
        let mut entered = Entered::of(&integration());
        entered.0.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        entered
    }

    fn apply(changes: &[(&str, &str)]) -> Result<Integration, Errors> {
        entered(changes).apply(&integration(), &AllowedHosts::default(), Language::Ru)
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
