//! What is said beside a reason: figures, names of things, the vendors' own words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{CrmOrderId, Kopecks, RetryWhy};
use crate::hidden::Known;
use crate::phrases::catalogue::phrases;
use crate::phrases::payment::{Payment, PaymentStep, Sum, Unsettled};
use crate::phrases::reader::Reader;
use crate::phrases::value::Value;

phrases! {
    /// One thing that is said beside a reason.
    Detail {
        /// Words of somebody else, as they are: a vendor's, an earlier release's.
        Said { text: String } => "{text}", "{text}";

        Balance { total: Kopecks, paid: Kopecks, online: Kopecks, rest: Kopecks, collect: Kopecks } =>
            "итого {total} − оплачено {paid} − к оплате онлайн {online} = {rest}, к оплате при вручении {collect}",
            "total {total} - paid {paid} - to be paid online {online} = {rest}, to collect {collect}";
        CrmSays { collect: Kopecks } => "по данным RetailCRM: {collect}", "RetailCRM says {collect}";
        PaymentType { kind: String } => "тип оплаты «{kind}»", "payment type «{kind}»";
        Goods { goods: Kopecks, delivery: Kopecks, sum: Kopecks, total: Kopecks } =>
            "товары {goods} + доставка {delivery} = {sum}, итого {total}",
            "goods {goods} + delivery {delivery} = {sum}, total {total}";
        LinesAsk { lines: Kopecks, collect: Kopecks } =>
            "по позициям и доставке {lines}, к оплате при вручении {collect}",
            "lines and delivery ask for {lines}, to collect {collect}";
        Prices { ours: Kopecks, theirs: Kopecks } =>
            "у нас {ours}, в MeaSoft {theirs}", "ours {ours}, MeaSoft's {theirs}";
        NotShown { wanted: Kopecks, shown: Kopecks } =>
            "ожидалась сумма {wanted}, MeaSoft показывает {shown}", "sum wanted {wanted}, shown {shown}";
        NoSumShown { wanted: Kopecks } => "ожидалась сумма {wanted}, сумма не показана", "sum wanted {wanted}, none is shown";
        TooLarge => "слишком большая", "too large";
        Position { id: i64 } => "позиция {id}", "position {id}";
        DeclaredValue => "объявленная ценность", "declared value";
        Currency { theirs: String, ours: String } => "{theirs}, а не {ours}", "{theirs}, not {ours}";

        Number { orderno: String } => "номер {orderno}", "number {orderno}";
        CrmId { id: CrmOrderId } => "заказ с внутренним номером {id} в RetailCRM", "RetailCRM id {id}";
        /// Read back by `named_orders`.
        CrmIds { ids: Vec<CrmOrderId> } => "внутренние номера заказов в RetailCRM: {ids}", "RetailCRM ids {ids}";
        Status { status: String } => "статус {status}", "status {status}";
        NoStatus => "без статуса", "no status";
        StatusFirstSeen { status: String, number: String } =>
            "{status}, впервые в заказе {number}", "{status}, first seen on order {number}";
        StatusNow { status: String } => "сейчас {status}", "now {status}";
        Statuses { statuses: Vec<String> } => "статусы {statuses}", "statuses {statuses}";
        PaymentUnread => "не удалось прочитать запись об оплате", "the journal of the payment cannot be read";
        OrderGone => "заказа больше нет в RetailCRM", "the order is gone from RetailCRM";
        MaybeLeft =>
            "то, что потеряла база данных, может остаться в MeaSoft",
            "what the database lost of it may be at MeaSoft still";
        ForeignDelivery { id: String } => "чужая доставка {id}", "another delivery id {id}";
        ForeignStatus { status: String } => "чужой статус {status}", "another delivery's status {status}";
        SeveralTowns { town: String, choices: Vec<String> } =>
            "Городов «{town}» несколько ({choices}): укажите в адресе доставки регион, тип населённого пункта или индекс",
            "There are several towns «{town}» ({choices}): enter the region, the type of the town or the postal index in the \
             delivery address";
        Waited { why: RetryWhy } => "{why}", "{why}";
        Unread { at: String } => "не удалось прочитать поле {at}", "{at} cannot be read";

        Collected { sum: Kopecks, paytype: String } => "получено {sum} {paytype}", "{sum} {paytype} collected";
        LeftToPay { left: Vec<Sum> } => "осталось оплатить: {left}", "left to pay: {left}";
        MeasoftShows { sum: Kopecks, paytype: String } => "MeaSoft показывает {sum} {paytype}", "MeaSoft shows {sum} {paytype}";
        MeasoftShowsNoSum => "MeaSoft не показывает суммы", "MeaSoft shows no sum";
        PaidInAll { entered: Kopecks, paid: Kopecks, total: Kopecks } =>
            "этим способом при вручении внесено {entered}, всего оплачено {paid} из {total}",
            "{entered} of that kind entered as paid at the door, {paid} of {total} paid in all";
        PaytypeUnmapped { paytype: String, sum: Kopecks } =>
            "вид оплаты MeaSoft «{paytype}», сумма {sum}", "MeaSoft's paytype «{paytype}», sum {sum}";
        PaytypeUnusable { paytype: String, kind: String, sum: Kopecks } =>
            "«{paytype}» означает «{kind}», а его использовать нельзя; сумма {sum}",
            "«{paytype}» stands for «{kind}», which cannot be used; sum {sum}";
        PaymentStatus { status: String } => "статус оплаты «{status}»", "payment status «{status}»";

        StepsDone { steps: Vec<PaymentStep> } => "сделано: {steps}", "done: {steps}";
        StepsTried { steps: Vec<PaymentStep> } => "не удалось: {steps}", "tried: {steps}";
        StepsMeant { steps: Vec<PaymentStep> } => "намечено: {steps}", "meant: {steps}";
        PaymentIsNew { payment: Payment } => "появилась {payment}", "{payment} is new";
        PaymentGone { payment: Payment } => "{payment} исчезла", "{payment} is gone";
        PaymentRemoved { payment: Payment } => "{payment} тем временем удалена", "{payment} was removed meanwhile";
        PaymentChanged { id: i64, now: Sum, was: Sum } =>
            "оплата {id}: сейчас {now}, было {was}", "payment {id} is {now} now, was {was}";
        PaymentIs { id: i64, now: Sum } => "оплата {id}: сейчас {now}", "payment {id} is {now} now";
        OursTakenBack { payment: Payment } => "наша {payment} удалена", "our {payment} was taken back";
        OursBeside { payment: Payment } => "наша {payment} не удалена и осталась вместе с ней", "our {payment} stands beside it";
        OlderLeft { payment: Payment } =>
            "от прежнего расчёта осталась {payment}", "of older facts {payment} is left";
        NotPutBack { payment: Payment } =>
            "{payment} удалена, и внести её снова не удалось", "{payment} was removed and could not be entered again";
        PutBack { sums: Vec<Sum> } => "удалено и внесено снова: {sums}", "removed and entered again: {sums}";
        MeasoftSaysNow { sum: Kopecks, paytype: String } =>
            "теперь MeaSoft показывает {sum} {paytype}", "MeaSoft says {sum} {paytype} now";
        MeasoftSaysNoSumNow => "теперь MeaSoft не показывает суммы", "MeaSoft says no sum now";
        LeftAsItIs { why: Unsettled } => "оплата не изменена: {why}", "the payment was left as it is: {why}";

        LineNotThere { line: String, returned: u32 } =>
            "строки «{line}» нет среди позиций заказа, не взято {returned}",
            "line «{line}» is none of the order's, {returned} refused";
        LinesUnnamed { returned: u32 } =>
            "MeaSoft не показывает, в каких позициях не взято {returned}",
            "MeaSoft does not show in which lines {returned} were refused";
        LineQuantity { id: i64, shipped: u32, quantity: String } =>
            "позиция {id}: у курьера {shipped}, в заказе {quantity}",
            "line {id}: the courier had {shipped}, the order says {quantity}";
        LineChanged { id: i64, now: String, was: String } =>
            "позиция {id}: сейчас {now}, было записано {was}", "line {id} is {now} now, {was} was written";

        NoConnection => "нет соединения с MeaSoft", "no connection to MeaSoft";
        NoAnswer => "нет полного ответа MeaSoft", "no complete answer of MeaSoft";
        HttpStatus { status: u16 } => "ответ с кодом HTTP {status}", "an answer with HTTP status {status}";
        WrongFormat => "ответ в неверном формате", "an answer in a wrong format";
        RefusedWithCode { number: i64 } => "отказ с кодом {number}", "refused with code {number}";
        RefusedWithoutWords => "отказ без объяснений", "refused without a word";
        Denied { text: String } => "RetailCRM не разрешает: {text}", "RetailCRM denies it: {text}";
        /// A right of the API key, as RetailCRM names it.
        ScopeMissing { scope: String } => "API-ключу нужно право {scope}", "the API key needs the right {scope}";
        KeyUnknown => "RetailCRM не принимает API-ключ", "RetailCRM does not know the API key";
        AccountGone => "по этому адресу нет аккаунта RetailCRM", "there is no RetailCRM account at this address";
        CrmFoundNothing { text: String } => "RetailCRM ничего не нашла: {text}", "RetailCRM found nothing: {text}";
        CrmRefused { text: String } => "отказ RetailCRM: {text}", "RetailCRM refused: {text}";
        RateLimited => "RetailCRM ограничивает частоту запросов", "RetailCRM limits the rate of requests";
        CrmUnavailable => "RetailCRM не отвечает", "RetailCRM does not answer";

        StreamName { name: String } => "поток {name}", "stream {name}";
        HandedOut { lane: String, times: i64 } =>
            "очередь {lane}, выдано раз: {times}", "the {lane} lane, handed out {times} times";
    }
}

/// All that is said beside a reason; perhaps nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(Vec<Detail>);

impl Details {
    pub const NONE: Self = Self(Vec::new());

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// And this as well.
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.extend(more.into().0);
        self
    }

    /// As they are kept: in values, and in words beside them. Whoever knows the words alone may
    /// have written others since; then those count.
    pub fn kept(words: &str, values: Option<&str>) -> Self {
        let read = values.and_then(|text| serde_json::from_str::<Self>(text).ok());
        read.filter(|read| read.to_string() == words).unwrap_or_else(|| words.into())
    }

    pub fn values(&self) -> String {
        serde_json::to_string(self).expect("details serialise")
    }
}

/// In plain English, as they are kept beside the values.
impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(&Reader::plain()))
    }
}

impl Value for Details {
    fn words(&self, reader: &Reader) -> String {
        self.0.iter().map(|one| one.words(reader)).collect::<Vec<_>>().join("; ")
    }

    fn hide(&mut self, known: &Known) {
        self.0.hide(known);
    }

    fn some() -> Vec<Self> {
        vec![Self(Detail::some())]
    }
}

impl From<Detail> for Details {
    fn from(one: Detail) -> Self {
        Self(vec![one])
    }
}

impl<const N: usize> From<[Detail; N]> for Details {
    fn from(all: [Detail; N]) -> Self {
        Self(all.into())
    }
}

impl From<Vec<Detail>> for Details {
    fn from(all: Vec<Detail>) -> Self {
        Self(all)
    }
}

impl From<&str> for Details {
    fn from(words: &str) -> Self {
        if words.trim().is_empty() { Self::NONE } else { Detail::Said { text: words.to_owned() }.into() }
    }
}

impl From<String> for Details {
    fn from(words: String) -> Self {
        words.as_str().into()
    }
}
