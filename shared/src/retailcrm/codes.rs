//! The codes in an integration's settings, held against RetailCRM's own lists: a misspelt one
//! would be found out by the first order that needs it.

use std::fmt;

use crate::domain::{Language, Settings, status_list};
use crate::retailcrm::error::Class;
use crate::retailcrm::{Crm, CrmError};
use crate::suggest;

/// The codes an account has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    pub payment_types: Vec<String>,
    pub payment_statuses: Vec<String>,
    /// Of orders.
    pub statuses: Vec<String>,
    /// Of an order's positions; `None` where the account does not show them.
    pub product_statuses: Option<Vec<String>>,
}

/// A code that is on no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongCode {
    /// As `--set` names it.
    pub setting: String,
    pub code: String,
    /// What RetailCRM calls the list.
    list: &'static str,
    known: Vec<String>,
}

impl fmt::Display for WrongCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = suggest::did_you_mean(&self.code, self.known.iter().map(String::as_str));
        write!(f, "{}: RetailCRM has no {} «{}»{meant}", self.setting, self.list, self.code)?;
        write!(f, " (there are: {})", self.known.join(", "))
    }
}

impl WrongCode {
    /// For the shop's manager.
    pub fn text(&self, language: Language) -> String {
        if language == Language::En {
            return self.to_string();
        }
        let meant = suggest::nearest(&self.code, self.known.iter().map(String::as_str));
        let meant = meant.map(|meant| format!("; возможно, имелся в виду {meant}")).unwrap_or_default();
        let known = self.known.join(", ");
        format!("{}: в RetailCRM нет кода «{}»{meant} (есть: {known})", self.setting, self.code)
    }
}

impl Lists {
    pub async fn read(crm: &dyn Crm) -> Result<Self, CrmError> {
        Ok(Self {
            payment_types: crm.payment_types().await?.into_iter().map(|kind| kind.code).collect(),
            payment_statuses: crm.payment_statuses().await?.into_iter().map(|status| status.code).collect(),
            statuses: crm.statuses().await?.into_iter().map(|status| status.code).collect(),
            // Installations and keys without this reference exist.
            product_statuses: match crm.product_statuses().await {
                Ok(statuses) => Some(statuses.into_iter().map(|status| status.code).collect()),
                Err(error) if error.class() == Class::Park => None,
                Err(error) => return Err(error),
            },
        })
    }

    /// The codes that settings name and the account does not have.
    pub fn wrong(&self, settings: &Settings) -> Vec<WrongCode> {
        let named = named(settings).into_iter();
        let known = |list: List| match list {
            List::PaymentTypes => ("payment type", Some(&self.payment_types)),
            List::PaymentStatuses => ("payment status", Some(&self.payment_statuses)),
            List::Statuses => ("order status", Some(&self.statuses)),
            List::ProductStatuses => ("status of a position", self.product_statuses.as_ref()),
        };
        named
            .filter_map(|(setting, code, list)| {
                let (list, Some(known)) = known(list) else { return None };
                let wrong = || WrongCode { setting, code: code.to_owned(), list, known: known.clone() };
                (!known.iter().any(|known| known == code)).then(wrong)
            })
            .collect()
    }
}

#[derive(Clone, Copy)]
enum List {
    PaymentTypes,
    PaymentStatuses,
    Statuses,
    ProductStatuses,
}

/// Every code of RetailCRM's in settings.
fn named(settings: &Settings) -> Vec<(String, &str, List)> {
    let mut named: Vec<(String, &str, List)> = Vec::new();
    let mut add = |setting: String, code, list| named.push((setting, code, list));
    if let Some(code) = &settings.payment_status {
        add("payment_status".to_owned(), code, List::PaymentStatuses);
    }
    for (setting, code) in [
        ("returned_item_status", &settings.returned_item_status),
        ("delivered_item_status", &settings.delivered_item_status),
    ] {
        if let Some(code) = code {
            add(setting.to_owned(), code, List::ProductStatuses);
        }
    }
    for code in &settings.ended_payment_statuses {
        add("ended_payment_statuses".to_owned(), code, List::PaymentStatuses);
    }
    for (from, code) in settings.payment_type_map.iter().filter(|(_, code)| !code.is_empty()) {
        add(format!("payment_type_map.{from}"), code, List::PaymentTypes);
    }
    for code in settings.paytype_map.keys() {
        add(format!("paytype_map.{code}"), code, List::PaymentTypes);
    }
    for code in &settings.send_statuses {
        add("send_statuses".to_owned(), code, List::Statuses);
    }
    named
}

/// Whether the new settings name codes that the old ones did not: those alone are looked at when
/// settings are changed, so that what is there already stands in no other change's way.
pub fn has_new(new: &Settings, old: &Settings) -> bool {
    let old: Vec<(String, String)> =
        named(old).into_iter().map(|(setting, code, _)| (setting, code.to_owned())).collect();
    named(new).into_iter().any(|(setting, code, _)| !old.contains(&(setting, code.to_owned())))
}

/// What is misspelt in the map of statuses, whose codes are those of our own module. A code of
/// the integration's own is registered with the module; one that is a slip away from ours is not
/// meant to be.
pub fn misspelt_statuses(settings: &Settings) -> Vec<String> {
    let ours: Vec<&str> = status_list::all().iter().map(|status| status.code).collect();
    let given = settings.status_map.iter().filter(|(_, code)| !code.is_empty() && !ours.contains(&code.as_str()));
    given
        .filter_map(|(from, code)| {
            let meant = suggest::slip(code, ours.iter().copied())?;
            Some(format!("status_map.{from}: the module has no status «{code}»; did you mean {meant}?"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::integration::PayKind;

    fn lists() -> Lists {
        let all = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();
        Lists {
            payment_types: all(&["cash", "bank-card"]),
            payment_statuses: all(&["paid", "not-paid", "fail"]),
            statuses: all(&["new", "send-to-delivery"]),
            product_statuses: Some(all(&["new", "returned"])),
        }
    }

    #[test]
    fn a_code_that_retailcrm_does_not_have_is_named_with_its_setting_and_what_was_meant() {
        let good = Settings {
            payment_status: Some("paid".into()),
            returned_item_status: Some("returned".into()),
            send_statuses: vec!["send-to-delivery".into()],
            payment_type_map: [("CARD".into(), "bank-card".into()), ("OTHER".into(), String::new())].into(),
            paytype_map: [("cash".into(), PayKind::Card)].into(),
            ..Settings::default()
        };
        assert_eq!(lists().wrong(&good), []);
        let bad = Settings {
            payment_status: Some("payed".into()),
            returned_item_status: Some("retuned".into()),
            ended_payment_statuses: vec!["failed".into()],
            send_statuses: vec!["new".into(), "send_to_delivery".into()],
            payment_type_map: [("CARD".into(), "bankcard".into())].into(),
            paytype_map: [("kash".into(), PayKind::Cash)].into(),
            ..Settings::default()
        };
        let said: Vec<String> = lists().wrong(&bad).iter().map(ToString::to_string).collect();
        for words in [
            "payment_status: RetailCRM has no payment status «payed»; did you mean paid?",
            "returned_item_status: RetailCRM has no status of a position «retuned»; did you mean returned?",
            "ended_payment_statuses: RetailCRM has no payment status «failed»; did you mean fail?",
            "payment_type_map.CARD: RetailCRM has no payment type «bankcard»; did you mean bank-card?",
            "paytype_map.kash: RetailCRM has no payment type «kash»; did you mean cash?",
            "send_statuses: RetailCRM has no order status «send_to_delivery»; did you mean send-to-delivery?",
        ] {
            assert!(said.iter().any(|said| said.starts_with(words)), "{words}: {said:#?}");
        }
        assert_eq!(said.len(), 6);
        let unseen = Lists { product_statuses: None, ..lists() };
        assert_eq!(unseen.wrong(&bad).len(), 5, "a list that is not shown denies nothing");
        let russian = lists().wrong(&bad)[0].text(Language::Ru);
        assert!(
            russian.starts_with("payment_status: в RetailCRM нет кода «payed»; возможно, имелся в виду paid"),
            "{russian}"
        );
    }

    #[test]
    fn only_what_is_new_is_asked_about() {
        let old = Settings { payment_status: Some("payed".into()), ..Settings::default() };
        let other = Settings { receive_payment: true, ..old.clone() };
        assert!(!has_new(&other, &old));
        assert!(has_new(&old, &Settings::default()));
        assert!(!has_new(&Settings::default(), &old), "what is taken away needs no list");
    }

    #[test]
    fn a_status_a_slip_away_from_ours_is_misspelt_and_one_of_the_integrations_own_is_not() {
        let map = |code: &str| Settings {
            status_map: [("SOMETHING".to_owned(), code.to_owned())].into(),
            ..Settings::default()
        };
        assert_eq!(misspelt_statuses(&map("INVENTORY")), [""; 0]);
        assert_eq!(misspelt_statuses(&map("own-status")), [""; 0]);
        assert_eq!(misspelt_statuses(&map("")), [""; 0]);
        let said = misspelt_statuses(&map("INVENTROY"));
        assert!(said.len() == 1 && said[0].contains("did you mean INVENTORY?"), "{said:?}");
    }
}
