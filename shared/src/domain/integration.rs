//! One integration: a RetailCRM account tied to a MeaSoft cabinet, with its maps and
//! switches.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::domain::symbolic_code::{self, BadCode};
use crate::domain::{Fault, IntegrationId, Secret};
use crate::{pasted, suggest};

/// How the sum to collect is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodPolicy {
    /// Unpaid payments whose type is cash on delivery.
    #[default]
    ByPaymentType,
    /// The vendor's documented behaviour: whatever is not prepaid.
    AsVendor,
}

/// What an order without any payment row means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoPayment {
    #[default]
    Collect,
    Nothing,
    Refuse,
}

/// What is done about the part of a total that no payment covers, although the order has
/// payments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncoveredRest {
    #[default]
    Collect,
    Refuse,
    Nothing,
}

/// How the receiver pays at the door (protocols/measoft.md#paytype).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PayKind {
    Cash,
    Card,
    No,
    Other,
}

/// Language of texts for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    Ru,
    En,
}

impl Language {
    /// Best match of an `Accept-Language` header; Russian unless English is asked for first.
    pub fn from_accept(header: Option<&str>) -> Self {
        let first = header.and_then(|h| h.split(',').next()).unwrap_or("").trim().to_ascii_lowercase();
        if first.starts_with("en") { Self::En } else { Self::Ru }
    }
}

/// Whether an integration acts, or only says what it would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Live,
    /// It takes the same triggers as another integration, decides, compares with what that one
    /// placed, and writes nothing but for the orders of the canary.
    Shadow,
}

impl Mode {
    pub const WORDS: [&str; 2] = ["live", "shadow"];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
        }
    }
}

/// The sender's data for MeaSoft; empty fields are left to the courier's own card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    pub company: Option<String>,
    pub person: Option<String>,
    pub phone: Option<String>,
    pub town: Option<String>,
    pub address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintForm {
    pub code: String,
    pub form: String,
    pub label: String,
}

/// Everything about an integration that is neither identity nor secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Symbolic codes of the delivery types handed to this cabinet. Empty = whatever
    /// RetailCRM ties to our instance code.
    pub delivery_types: Vec<String>,
    /// Cursor of the status stream, 100…10000 (protocols/measoft.md#changes).
    pub stream_id: u32,
    pub sender: Sender,
    /// MeaSoft is reached at the installation's `MEASOFT_URL`, whatever that is then: no address
    /// was given for this integration.
    pub follows_measoft_url: bool,
    /// MeaSoft's delivery mode when the order names none.
    pub default_service: Option<String>,
    /// Weight of a whole order that has none, grams.
    pub default_weight_g: u32,
    /// RetailCRM payment status set after delivery («Код статуса оплаты»).
    pub payment_status: Option<String>,
    pub receive_statuses: bool,
    pub receive_payment: bool,
    /// Status of an order's position that was refused whole; `None`: what was brought back is not
    /// written to the order's positions.
    pub returned_item_status: Option<String>,
    /// Status of a position that was taken, all or in part; `None`: it keeps its own.
    pub delivered_item_status: Option<String>,
    pub cod_policy: CodPolicy,
    pub no_payment: NoPayment,
    /// What no payment covers although the order has payments.
    pub uncovered_rest: UncoveredRest,
    /// Payment statuses of the shop's own that end a payment without money, beside the usual
    /// `fail` and `returned`.
    pub ended_payment_statuses: Vec<String>,
    /// ISO 4217 code of the courier's currency. An order in another one is refused.
    pub currency: String,
    /// RetailCRM payment type → how the receiver pays.
    pub paytype_map: BTreeMap<String, PayKind>,
    /// MeaSoft paytype → RetailCRM payment type.
    pub payment_type_map: BTreeMap<String, String>,
    /// MeaSoft status → code of our module's status list.
    pub status_map: BTreeMap<String, String>,
    /// Whether the courier lets us change and cancel (a paid option there).
    pub allow_edit_cancel: bool,
    /// Order statuses that mean «send», for the reconcile.
    pub send_statuses: Vec<String>,
    pub print_forms: Vec<PrintForm>,
    /// VAT percent sent for RetailCRM's `none`.
    pub vat_none: u8,
    /// Whether what gives up is shown on the order in RetailCRM.
    pub report_errors_to_crm: bool,
    /// Groups of RetailCRM's users who are notified of the first failure of a cause and of its end;
    /// none: nobody is.
    pub notify_groups: Vec<String>,
    pub language: Language,
    pub mode: Mode,
    /// In mode `shadow`: delivery types whose new orders go live all the same.
    pub live_delivery_types: Vec<String>,
    /// In mode `shadow`: percent of new orders that go live, by their numbers.
    pub live_share: u8,
    /// When it last went live after having been a shadow: what is older may be another's.
    pub moved_in_at: Option<Timestamp>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery_types: Vec::new(),
            stream_id: 417,
            sender: Sender::default(),
            follows_measoft_url: false,
            default_service: None,
            default_weight_g: 1000,
            payment_status: None,
            receive_statuses: true,
            receive_payment: false,
            returned_item_status: None,
            delivered_item_status: None,
            cod_policy: CodPolicy::default(),
            no_payment: NoPayment::default(),
            uncovered_rest: UncoveredRest::default(),
            ended_payment_statuses: Vec::new(),
            currency: "RUB".to_owned(),
            paytype_map: BTreeMap::new(),
            payment_type_map: BTreeMap::new(),
            status_map: BTreeMap::new(),
            allow_edit_cancel: true,
            send_statuses: Vec::new(),
            print_forms: vec![PrintForm {
                code: "courier".to_owned(),
                form: "1".to_owned(),
                label: "Курьерская служба".to_owned(),
            }],
            vat_none: 0,
            report_errors_to_crm: true,
            notify_groups: Vec::new(),
            language: Language::Ru,
            mode: Mode::default(),
            live_delivery_types: Vec::new(),
            live_share: 0,
            moved_in_at: None,
        }
    }
}

/// Why a `--set key=value` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    #[error("there is no setting «{0}»{meant}; `bridge integration show` lists them", meant = .1)]
    Unknown(String, String),
    #[error("«{value}» is no value for {key}: {why}")]
    Value { key: String, value: String, why: String },
}

impl Settings {
    /// Numbers a status stream may have (protocols/measoft.md#changes).
    pub const STREAMS: std::ops::RangeInclusive<u32> = 100..=10_000;

    /// Sets one setting from text. Maps and groups are addressed with a dot
    /// (`payment_type_map.CARD=bank-card`, `sender.phone=…`); an empty value clears what
    /// may be empty; lists are comma separated or JSON.
    ///
    /// # Errors
    /// [`BadSetting`], naming the key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BadSetting> {
        use serde_json::Value as Json;
        let mut all = serde_json::to_value(&*self).expect("settings serialise");
        let names = names(&all);
        let unknown =
            || BadSetting::Unknown(key.to_owned(), suggest::did_you_mean(key, names.iter().map(String::as_str)));
        let (head, rest) = key.split_once('.').map_or((key, None), |(h, r)| (h, Some(r)));
        let slot = all.get_mut(head).ok_or_else(unknown)?;
        match (rest, slot) {
            (Some(rest), Json::Object(map)) => {
                if head == "sender" && !map.contains_key(rest) {
                    return Err(unknown());
                }
                match value {
                    "" if head == "sender" => map.insert(rest.to_owned(), Json::Null),
                    "" => map.remove(rest),
                    _ => map.insert(rest.to_owned(), Json::String(value.to_owned())),
                };
            }
            (None, slot) => *slot = Self::from_text(slot, value),
            (Some(_), _) => return Err(unknown()),
        }
        let read: Self = serde_json::from_value(all).map_err(|error| BadSetting::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            why: error.to_string(),
        })?;
        let bad = |why: String| BadSetting::Value { key: key.to_owned(), value: value.to_owned(), why };
        if !Self::STREAMS.contains(&read.stream_id) {
            return Err(bad("a stream id lies between 100 and 10000".to_owned()));
        }
        if read.live_share > 100 {
            return Err(bad("a share lies between 0 and 100 percent".to_owned()));
        }
        let mut read = read.with_codes_of(head).map_err(|why| bad(why.to_string()))?;
        read.currency = read.currency.trim().to_ascii_uppercase();
        if read.currency.len() != 3 || !read.currency.chars().all(|c| c.is_ascii_uppercase()) {
            return Err(bad("a currency is a code of three letters (RUB, KZT, BYN)".to_owned()));
        }
        *self = read;
        Ok(())
    }

    /// Trims RetailCRM's symbolic codes of the setting `head`, and of no other: what an older
    /// release stored must not stand in the way of a change elsewhere.
    fn with_codes_of(mut self, head: &str) -> Result<Self, BadCode> {
        type Read = fn(&str) -> Result<String, BadCode>;
        let all = |codes: &[String], read: Read| codes.iter().map(|code| read(code)).collect::<Result<Vec<_>, _>>();
        match head {
            "delivery_types" => self.delivery_types = all(&self.delivery_types, symbolic_code::delivery_type)?,
            "live_delivery_types" => {
                self.live_delivery_types = all(&self.live_delivery_types, symbolic_code::delivery_type)?;
            }
            "ended_payment_statuses" => {
                self.ended_payment_statuses = all(&self.ended_payment_statuses, symbolic_code::parse)?;
            }
            "notify_groups" => self.notify_groups = all(&self.notify_groups, symbolic_code::parse)?,
            "send_statuses" => self.send_statuses = all(&self.send_statuses, symbolic_code::parse)?,
            "payment_status" | "returned_item_status" | "delivered_item_status" => {
                let slot = match head {
                    "payment_status" => &mut self.payment_status,
                    "returned_item_status" => &mut self.returned_item_status,
                    _ => &mut self.delivered_item_status,
                };
                let given = slot.take().filter(|code| !pasted::trim(code).is_empty());
                *slot = given.as_deref().map(symbolic_code::parse).transpose()?;
            }
            "payment_type_map" => {
                for code in self.payment_type_map.values_mut().filter(|code| !code.is_empty()) {
                    *code = symbolic_code::parse(code)?;
                }
            }
            _ => {}
        }
        Ok(self)
    }

    /// A text as the JSON that the present value's type suggests.
    fn from_text(present: &serde_json::Value, value: &str) -> serde_json::Value {
        use serde_json::Value as Json;
        match present {
            Json::Bool(_) => match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Json::Bool(true),
                "false" | "0" | "no" | "off" => Json::Bool(false),
                _ => Json::String(value.to_owned()),
            },
            Json::Number(_) => value.parse::<u64>().map_or_else(|_| Json::String(value.to_owned()), Json::from),
            Json::Array(_) if value.trim_start().starts_with('[') => {
                serde_json::from_str(value).unwrap_or_else(|_| Json::String(value.to_owned()))
            }
            Json::Array(_) => Json::Array(
                value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(|v| Json::String(v.to_owned())).collect(),
            ),
            Json::Object(_) => serde_json::from_str(value).unwrap_or_else(|_| Json::String(value.to_owned())),
            _ if value.is_empty() => Json::Null,
            _ => Json::String(value.to_owned()),
        }
    }

    /// Whether a payment in this status has ended without money
    /// (protocols/retailcrm.md#payment-codes).
    pub fn ends_payment(&self, status: &str) -> bool {
        matches!(status, "fail" | "returned") || self.ended_payment_statuses.iter().any(|code| code == status)
    }

    /// Whether a sum in this currency is one of the courier's. «RUR» is the rouble's old code.
    pub fn is_currency(&self, code: &str) -> bool {
        let modern = |code: &str| match code.trim().to_ascii_uppercase() {
            old if old == "RUR" => "RUB".to_owned(),
            code => code,
        };
        modern(code) == modern(&self.currency)
    }

    pub const fn is_shadow(&self) -> bool {
        matches!(self.mode, Mode::Shadow)
    }

    /// Whether a new order goes live while the integration is a shadow: by its delivery type, or by
    /// its number, which falls into one percent of a hundred and stays there.
    pub fn is_canary(&self, number: &str, delivery_type: Option<&str>) -> bool {
        let of_type = delivery_type.is_some_and(|code| self.live_delivery_types.iter().any(|live| live == code));
        let digest = sha256(number.as_bytes());
        let place = u16::from_be_bytes([digest[0], digest[1]]);
        of_type || u32::from(place) * 100 < u32::from(self.live_share) * 65_536
    }

    /// How the receiver pays for a payment of this RetailCRM type.
    pub fn pay_kind(&self, crm_type: &str) -> PayKind {
        self.paytype_map.get(crm_type).copied().unwrap_or(if crm_type == "bank-card" {
            PayKind::Card
        } else {
            PayKind::Cash
        })
    }
}

/// The settings that can be set; of the groups, what is in them.
fn names(all: &serde_json::Value) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in all.as_object().into_iter().flatten() {
        names.push(name.clone());
        names.extend(value.as_object().into_iter().flatten().map(|(part, _)| format!("{name}.{part}")));
    }
    names
}

/// Whether commands of an integration are carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IntegrationState {
    #[default]
    Active,
    /// Commands wait; they do not die.
    Paused { by: PausedBy, reason: String },
    /// Taken out of service; its ledger stays.
    Removed,
}

/// Who paused an integration: it decides who resumes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedBy {
    Operator,
    /// The vendor refused the credentials; a good probe resumes.
    Credentials(Fault),
    /// Switched off or frozen in RetailCRM; the activity callback resumes.
    Crm,
}

impl PausedBy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Credentials(Fault::Crm) => "crm_credentials",
            Self::Credentials(_) => "courier_credentials",
            Self::Crm => "crm",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "operator" => Self::Operator,
            "crm_credentials" => Self::Credentials(Fault::Crm),
            "courier_credentials" => Self::Credentials(Fault::Courier),
            "crm" => Self::Crm,
            _ => return None,
        })
    }
}

impl IntegrationState {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused { .. } => "paused",
            Self::Removed => "removed",
        }
    }
}

/// The secrets of an integration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    pub crm_api_key: Secret,
    pub password: Secret,
    /// What triggers send as `key`.
    pub delivery_api_key: Secret,
    /// What RetailCRM sends with every callback.
    pub client_id: Secret,
}

#[derive(Clone, Default, PartialEq)]
pub struct Integration {
    pub id: IntegrationId,
    pub title: String,
    pub crm_url: String,
    /// What shows of which RetailCRM account it is (see [`super::crm_account`]).
    pub crm_proof: Option<String>,
    pub measoft_url: String,
    pub extra: String,
    pub login: String,
    pub prefix: String,
    pub settings: Settings,
    pub secrets: Secrets,
    pub state: IntegrationState,
    /// Raised by every change: caches compare it.
    pub version: i64,
    pub created_at: Timestamp,
}

impl Integration {
    /// `measoft-<id>`: the instance code in RetailCRM.
    pub fn code(&self, module_code: &str) -> String {
        format!("{module_code}-{}", self.id)
    }

    pub fn is_active(&self) -> bool {
        self.state == IntegrationState::Active
    }

    /// One budget and one status stream belong to one MeaSoft account.
    pub fn courier_account(&self) -> String {
        format!("{}|{}|{}", self.measoft_url, self.extra, self.login)
    }
}

impl fmt::Debug for Integration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Integration")
            .field("id", &self.id)
            .field("title", &self.title)
            .field("state", &self.state)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
