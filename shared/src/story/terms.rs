//! Values of the story that have words of their own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::closed_set;
use crate::domain::StatusCode;
use crate::explain;
use crate::hidden::Known;
use crate::message::Needless;
use crate::phrases::catalogue::phrases;
use crate::phrases::value::one;
use crate::phrases::{Reader, Value};
use crate::reason::BAD_PHONE;

/// The label of a reason to give up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(pub String);

impl From<&str> for Reason {
    fn from(label: &str) -> Self {
        Self(label.to_owned())
    }
}

impl Value for Reason {
    fn words(&self, reader: &Reader) -> String {
        explain::translated(&self.0, reader.language).text.trim_end_matches('.').to_owned()
    }

    fn some() -> Vec<Self> {
        std::iter::once(BAD_PHONE).chain(explain::all_reasons()).map(Self::from).collect()
    }
}

impl Value for Needless {
    fn words(&self, reader: &Reader) -> String {
        explain::needless(*self, reader.language).to_owned()
    }

    fn some() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

phrases! {
    /// What is asked for in the place of a trigger.
    Wish {
        Send => "отправить заказ", "send";
        Update => "передать изменение", "update";
        Cancel => "отменить заказ", "cancel";
        Statuses => "запросить статусы", "statuses";
    }
}

phrases! {
    /// Why an order's payments are left alone.
    Fits {
        NotReceived => "оплаты не принимаются", "payments are not received";
        NotClosed => "доставка не закрыта", "the delivery is not closed";
        AnotherType => "у заказа теперь другой тип доставки", "the order has another delivery type now";
        NothingCollected =>
            "ничего не получено, и получать было нечего", "nothing was collected and nothing was to be";
        RefundSeen =>
            "возврат проверен сотрудником, и к оплате ничего не осталось",
            "a person has looked at the refund, and nothing is left to pay";
        HasStatus => "у оплаты уже нужный статус", "the payment has its status already";
        AsMeasoftSays => "оплата совпадает с данными MeaSoft", "the payment is as MeaSoft says";
        NothingLeft => "к оплате ничего не осталось", "nothing is left to pay";
        EnteredBefore => "уже внесено как оплаченное при вручении", "it is entered as paid at the door already";
    }
}

impl Fits {
    /// In plain English, as it is kept beside the payment.
    pub fn plain(&self) -> String {
        self.words(&Reader::plain())
    }
}

closed_set! {
    /// Why RetailCRM is not told of a status. The words are those that are kept with it.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    Silence {
        SwitchedOff => "switched off",
        CancelledByUs => "cancelled by us",
        ToldBefore => "told when it was placed",
        MappedToNothing => "mapped to nothing",
        UnknownCode => "unknown code",
        CameLate => "came after a newer one",
    }
}

impl Value for Silence {
    fn words(&self, reader: &Reader) -> String {
        let ru = match self {
            Self::SwitchedOff => "выключено",
            Self::CancelledByUs => "отменено нами",
            Self::ToldBefore => "передано при создании",
            Self::MappedToNothing => "по настройке не передаётся",
            Self::UnknownCode => "код неизвестен",
            Self::CameLate => "пришёл после более нового",
        };
        reader.of(ru, self.as_str()).to_owned()
    }

    fn some() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

/// A status that MeaSoft reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why RetailCRM does not hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Silence>,
}

impl Value for Reported {
    fn words(&self, reader: &Reader) -> String {
        let name = StatusCode::parse(&self.status);
        // MeaSoft's statuses have no English names.
        let known = name.is_known().then(|| reader.of(name.name_ru(), "")).filter(|name| !name.is_empty());
        let mut text = known.map_or_else(|| self.status.clone(), |name| format!("«{name}» ({})", self.status));
        if let Some(at) = self.at {
            text.push_str(&format!(", {}", at.words(reader)));
        }
        if let Some(silent) = self.silent {
            let not_told = reader.of("в RetailCRM не передаётся", "not passed on");
            text.push_str(&format!(" ({not_told}: {})", silent.words(reader)));
        }
        text
    }

    fn hide(&mut self, known: &Known) {
        self.status.hide(known);
    }

    fn some() -> Vec<Self> {
        let silent = Silence::some().into_iter().map(Some).chain([None]);
        let one = |silent| Self { status: one(), at: Some(one()), silent };
        silent.map(one).chain([Self { status: "4711".to_owned(), at: None, silent: None }]).collect()
    }
}

phrases! {
    /// What RetailCRM asks of the delivery module.
    Action {
        Activity => "переключение модуля", "activity";
        Settings => "обновление настроек", "settings";
        Get => "состояние доставки", "get";
        Check => "проверка подключения", "check";
        Prove => "проверка доступа", "prove";
        PaymentCode => "проверка кода оплаты", "code";
        DeliveryTypes => "типы доставки", "deliveryTypes";
        Calculate => "расчёт стоимости", "calculate";
        Save => "сохранение доставки", "save";
        Delete => "отмена доставки", "delete";
        Print => "печать", "print";
        TariffList => "список тарифов", "tariffList";
        ShipmentPointList => "список пунктов", "shipmentPointList";
        Other => "обращение RetailCRM", "of another kind";
    }
}

impl Action {
    /// By its name in the address.
    pub fn named(name: &str) -> Self {
        let of_it = |action: &Self| action.words(&Reader::plain()) == name;
        Self::some().into_iter().find(of_it).unwrap_or(Self::Other)
    }
}

phrases! {
    /// Who did something.
    Person {
        Named { name: String } => "{name}", "{name}";
        Manager => "менеджер магазина", "the shop's manager";
        Crm => "RetailCRM", "RetailCRM";
    }
}
