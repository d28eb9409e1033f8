//! What of a thing was changed: by name, and with its values where they are nobody's personal data.

use serde::{Deserialize, Serialize};

use crate::domain::CorrectedField;
use crate::hidden::Known;
use crate::phrases::catalogue::phrases;
use crate::phrases::value::one;
use crate::phrases::{Reader, Value};

phrases! {
    /// What can be changed, as people call it.
    Field {
        Sum => "сумма к оплате при вручении", "sum to collect";
        PayType => "вид оплаты", "payment";
        Line { id: String } => "позиция {id}", "line {id}";
        Corrected { field: CorrectedField } => "{field}", "{field}";

        Title => "название интеграции", "name of the integration";
        CrmUrl => "домен RetailCRM", "RetailCRM domain";
        ApiKey => "ключ RetailCRM", "RetailCRM key";
        Extra => "код курьерской службы", "code of the courier service";
        Login => "логин MeaSoft", "MeaSoft login";
        Password => "пароль MeaSoft", "MeaSoft password";
        PaymentStatus => "код статуса оплаты", "payment status code";
        ReceiveStatuses => "получать статусы доставки", "receive delivery statuses";
        ReturnedItemStatus => "статус позиции, от которой отказались", "status of a refused position";
        DeliveredItemStatus => "статус вручённой позиции", "status of a position that was taken";
        ReceivePayment => "получать тип и сумму оплаты", "receive payment type and sum";
        ReportErrors => "показывать ошибки в заказе", "show errors on the order";
        NotifyGroups => "кого оповещать в RetailCRM", "whom to notify in RetailCRM";
        Language => "язык сообщений", "language of messages";
        DeliveryTypes => "типы доставки", "delivery types";
        DefaultService => "режим доставки по умолчанию", "default delivery mode";
        DefaultWeight => "вес по умолчанию", "default weight";
        CodPolicy => "наложенный платёж в триггерах", "cash on delivery in triggers";
        NoPayment => "заказ без оплат", "order without payments";
        UncoveredRest => "остаток, не покрытый оплатами", "rest that no payment covers";
        Currency => "валюта", "currency";
        AllowEditCancel => "изменение и отмена заказов", "changing and cancelling orders";
    }
}

impl Field {
    /// A setting by its name in `Settings::set` and in the form; `None`: there is none of that name.
    pub fn setting(name: &str) -> Option<Self> {
        Some(match name {
            "title" => Self::Title,
            "crm_url" => Self::CrmUrl,
            "crm_api_key" => Self::ApiKey,
            "extra" => Self::Extra,
            "login" => Self::Login,
            "password" => Self::Password,
            "payment_status" => Self::PaymentStatus,
            "receive_statuses" => Self::ReceiveStatuses,
            "returned_item_status" => Self::ReturnedItemStatus,
            "delivered_item_status" => Self::DeliveredItemStatus,
            "receive_payment" => Self::ReceivePayment,
            "report_errors_to_crm" => Self::ReportErrors,
            "notify_groups" => Self::NotifyGroups,
            "language" => Self::Language,
            "delivery_types" => Self::DeliveryTypes,
            "default_service" => Self::DefaultService,
            "default_weight_g" => Self::DefaultWeight,
            "cod_policy" => Self::CodPolicy,
            "no_payment" => Self::NoPayment,
            "uncovered_rest" => Self::UncoveredRest,
            "currency" => Self::Currency,
            "allow_edit_cancel" => Self::AllowEditCancel,
            _ => return None,
        })
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: Field,
    /// What it was and what it is now; an empty text: nothing. `None`: that is nobody's business.
    pub values: Option<(String, String)>,
}

impl FieldChange {
    pub const fn hidden(field: Field) -> Self {
        Self { field, values: None }
    }

    pub fn shown(field: Field, before: impl Into<String>, after: impl Into<String>) -> Self {
        Self { field, values: Some((before.into(), after.into())) }
    }

    /// A value of this field as people call it.
    fn value(&self, value: &str, reader: &Reader) -> String {
        let (ru, en) = match (&self.field, value) {
            (_, "") => ("—", "—"),
            (_, "true" | "yes") => ("да", "yes"),
            (_, "false" | "no") => ("нет", "no"),
            (Field::PayType, "CASH") => ("наличными", "cash"),
            (Field::PayType, "CARD") => ("картой", "card"),
            (Field::PayType, "NO") => ("без оплаты", "nothing"),
            (Field::PayType, "OTHER") => ("иначе", "another way"),
            (Field::Language, "ru") => ("русский", "Russian"),
            (Field::Language, "en") => ("английский", "English"),
            (Field::CodPolicy, "by_payment_type") => ("по типу оплаты", "by payment type"),
            (Field::CodPolicy, "as_vendor") => ("всё неоплаченное", "whatever is not paid"),
            (Field::NoPayment | Field::UncoveredRest, "collect") => ("получить", "collect"),
            (Field::NoPayment | Field::UncoveredRest, "nothing") => ("не получать", "nothing"),
            (Field::NoPayment | Field::UncoveredRest, "refuse") => ("не отправлять", "refuse"),
            (_, value) => (value, value),
        };
        reader.of(ru, en).to_owned()
    }
}

impl Value for FieldChange {
    fn words(&self, reader: &Reader) -> String {
        let field = self.field.words(reader);
        match &self.values {
            Some((before, after)) => format!("{field}: {} → {}", self.value(before, reader), self.value(after, reader)),
            None => format!("{field}: {}", reader.of("изменено", "changed")),
        }
    }

    fn hide(&mut self, known: &Known) {
        self.field.hide(known);
        if let Some((before, after)) = &mut self.values {
            before.hide(known);
            after.hide(known);
        }
    }

    fn some() -> Vec<Self> {
        let both = |field: Field| [Self::hidden(field.clone()), Self::shown(field, one::<String>(), "")];
        let fields = CorrectedField::some().into_iter().map(|field| Field::Corrected { field });
        let values = ["true", "no"].map(|value| Self::shown(Field::ReceivePayment, value, ""));
        let kinds = ["CASH", "CARD", "NO", "OTHER"].map(|value| Self::shown(Field::PayType, value, ""));
        Field::some().into_iter().chain(fields).flat_map(both).chain(values).chain(kinds).collect()
    }
}
