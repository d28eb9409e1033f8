//! Everything that is told of an order or an integration.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::{CorrectedField, Fault, IntegrationId, Kopecks};
use crate::message::{Needless, RetryWhy};
use crate::phrases::catalogue::phrases;
use crate::phrases::{Details, PaymentStep};
use crate::story::change::FieldChange;
use crate::story::terms::{Action, Fits, Person, Reason, Reported, Wish};

phrases! {
    /// One thing that happened. An entry of the journal has one or several.
    Event {
        // What came in.
        SendAsked => "принят триггер отправки", "send trigger accepted";
        UpdateAsked => "принят триггер изменения", "update trigger accepted";
        CancelAsked => "принят триггер отмены", "cancel trigger accepted";
        CommandTaken => "принята команда", "command accepted";
        Declared { sum: Kopecks } => "объявленная ценность {sum}", "declared value {sum}";
        Again { times: u32 } => "повтор № {times}", "replay {times}";
        StrangeKeys { number: u32, of_them: Vec<String> } =>
            "отмена: неизвестных ключей {number}, они пропущены ({of_them})",
            "cancel: {number} of the given keys are unknown and were ignored ({of_them})";
        SumLeftOut { sum: String } =>
            "параметр суммы «{sum}» не читается как объявленная ценность и пропущен",
            "sum «{sum}» is no declared value and was left out";
        SumUnreadable => "параметр суммы не читается как объявленная ценность и пропущен", "sum is no declared value and was left out";
        SumsDiffer =>
            "параметр суммы передан несколько раз с разными значениями и пропущен",
            "sum is given several times with different values and was left out";
        /// What RetailCRM's users were told, in the integration's language.
        CallbackAnswered { action: Action } => "{action}: ответ дан", "callback {action} answered";
        CallbackRefused { action: Action, said: String } =>
            "{action}: отказ, ответ {said}", "callback {action} refused: {said}";
        NoAnswer { why: Details } => "ответ MeaSoft не удалось разобрать: {why}", "MeaSoft's answer is no answer: {why}";

        // What an attempt came to.
        Placed => "создан в MeaSoft", "placed at MeaSoft";
        PlacedAs { orderno: String, collect: Kopecks } =>
            "создан в MeaSoft под номером {orderno}, к оплате при вручении {collect}",
            "placed at MeaSoft as {orderno}, {collect} to collect";
        Changed => "изменён в MeaSoft", "changed at MeaSoft";
        FieldsChanged { changes: Vec<FieldChange> } => "{changes}", "{changes}";
        Cancelled => "отменён в MeaSoft", "cancelled at MeaSoft";
        Withdrawn => "отозван до отправки", "withdrawn before anything was sent";
        CrmKnows => "передано в RetailCRM", "RetailCRM told";
        AlreadyDone { why: Needless } => "действий не требуется: {why}", "already done: {why}";
        Superseded { why: Needless } => "уже не нужно: {why}", "superseded: {why}";
        PutOff { until: Timestamp, why: RetryWhy } =>
            "следующая попытка {until}: {why}", "tried again at {until}: {why}";
        NotDone { why: RetryWhy } => "не сделано: {why}", "not done: {why}";
        GaveUp { reason: Reason, fault: Fault } => "не выполнено, {fault}: {reason}", "gave up, {fault}: {reason}";
        Figures { detail: Details } => "{detail}", "{detail}";

        // What was met on the way.
        NewNumber { orderno: String } =>
            "нужен снова после нашей отмены: новый номер {orderno}", "wanted again after our cancel: new number {orderno}";
        NumberTaken { taken: String, orderno: String } =>
            "номер {taken} в MeaSoft занят другим заказом: новый номер {orderno}",
            "MeaSoft has another order under {taken}: new number {orderno}";
        NotShownYet => "MeaSoft ещё не показывает заказ", "MeaSoft does not show the order yet";
        NoEnd => "обработка не завершилась", "no decision led to an end";
        CorrectionEnded { field: CorrectedField, who: String } =>
            "исправление ({field}, {who}) больше не действует: значение в RetailCRM изменилось",
            "the correction of the {field} by {who} is over: RetailCRM's has changed";
        CorrectionUsed { field: CorrectedField, who: String } =>
            "с исправлением ({field}, {who})", "with the {field} as corrected by {who}";
        AnswerLost { why: Details } => "ответ потерян: {why}", "the answer was lost: {why}";
        SaidToBeTaken => "MeaSoft сообщает, что номер занят", "MeaSoft says the number is taken";
        RefusedInUnknownWords { said: String } =>
            "отказ с неизвестной формулировкой: {said}", "refused in unknown words: {said}";
        WhichIsMeant =>
            "несколько заказов с этим номером, и какой из них имеется в виду, ещё не видно",
            "several orders bear the number, and which one is meant does not show yet";
        CrmNotTold =>
            "в RetailCRM не передано: у заказа теперь другой тип доставки",
            "RetailCRM is not told: the order has another delivery type now";
        CrmRefusedToHear { why: Details } => "передать в RetailCRM не удалось: {why}", "RetailCRM could not be told: {why}";
        CancelNotShown => "MeaSoft ещё не показывает отмену", "the cancellation does not show yet";
        TakenOverAnew =>
            "есть в MeaSoft, а в нашей базе потерян: взят на учёт",
            "MeaSoft has it, and the ledger had lost it: taken over";
        NumberKnownThere => "в MeaSoft есть заказ с этим номером", "MeaSoft has an order under this number";
        Found => "найден в MeaSoft под нашим номером: взят на учёт", "found at MeaSoft under our number: taken over";
        NotThere => "в MeaSoft его нет", "MeaSoft does not have it";
        /// `town_complaints` finds it by these words.
        NoTown { town: String } =>
            "в списке курьерской службы нет города «{town}»", "the courier's list has no town «{town}»";
        WouldPlace { orderno: String, collect: Kopecks } =>
            "тень: был бы создан в MeaSoft под номером {orderno}, к получению {collect}",
            "shadow: would be placed at MeaSoft as {orderno}, {collect} to collect";
        WouldChange { orderno: String, collect: Kopecks } =>
            "тень: заказ {orderno} был бы изменён в MeaSoft, к получению {collect}",
            "shadow: {orderno} would be changed at MeaSoft, {collect} to collect";
        WouldCancel { orderno: String } =>
            "тень: заказ {orderno} был бы отменён в MeaSoft", "shadow: {orderno} would be cancelled at MeaSoft";
        WouldRefuse { reason: Reason, fault: Fault } =>
            "тень: был бы отказ, {fault}: {reason}", "shadow: would give up, {fault}: {reason}";
        MovedIn =>
            "в MeaSoft заказ создала прежняя интеграция: взят на учёт",
            "the integration before us placed it at MeaSoft: taken over";
        LeaseLost =>
            "во время попытки заказ перешёл к другому процессу: тот сначала проверит MeaSoft",
            "the lease was lost during this attempt; the next holder looks at MeaSoft first";
        LeaseLostAndFound =>
            "во время попытки заказ перешёл к другому процессу: тот нашёл заказ таким, каким он создан",
            "the lease was lost during this attempt; the next holder found the order as it was placed";

        // What was asked of the vendors.
        Together { others: u32 } => "вместе с другими: {others}", "together with {others} more";

        // The way back.
        StatusesTaken { statuses: Vec<Reported> } => "{statuses}", "{statuses}";
        SeenAgain => "те же статусы, другие суммы или данные", "seen again with other figures";
        SumSeen { sum: Kopecks, paytype: String } => "сумма {sum} {paytype}", "sum {sum} {paytype}";
        UnreadableFields { names: Vec<String> } => "не удалось прочитать: {names}", "could not be read: {names}";
        NeverPlaced =>
            "MeaSoft сообщает о заказе, о создании которого не было известно: он проверяется",
            "MeaSoft reports on an order that was not known to be placed: it is looked up";
        StatusesTold { statuses: Vec<String> } => "в RetailCRM переданы статусы: {statuses}", "RetailCRM told: {statuses}";
        PaymentsMoved { steps: Vec<PaymentStep> } => "оплаты: {steps}", "payments: {steps}";
        PaymentsFit { why: Fits } => "оплаты не изменены: {why}", "payments left alone: {why}";
        PaymentsGaveUp { reason: Reason, fault: Fault } =>
            "оплаты не проведены, {fault}: {reason}", "payments: gave up, {fault}: {reason}";

        LinesWritten { changes: Vec<FieldChange> } =>
            "в позиции заказа записан итог доставки: {changes}", "the delivery's result written to the lines: {changes}";
        LinesFit => "позиции заказа соответствуют итогу доставки", "the lines are as the courier delivered them";
        LinesGaveUp { reason: Reason, fault: Fault } =>
            "итог доставки не записан в позиции заказа, {fault}: {reason}", "lines: gave up, {fault}: {reason}";

        UsersNotified { of_them: Vec<Reason> } =>
            "сотрудникам в RetailCRM сообщено: {of_them}", "RetailCRM's users notified of: {of_them}";
        UsersNotifiedOfEnd { of_them: Vec<Reason> } =>
            "сотрудникам в RetailCRM сообщено, что больше не повторяется: {of_them}",
            "RetailCRM's users notified that it is over: {of_them}";

        // What comparing both sides found.
        MissedSend =>
            "сверка нашла заказ к отправке, о котором не было триггера: отправляется",
            "the reconcile found an order to be sent that no trigger announced: sending it";
        MissedUpdate =>
            "сверка нашла изменение, о котором не было триггера: передаётся",
            "the reconcile found a change that no trigger announced: passing it on";
        MissedCancel =>
            "сверка нашла другой тип доставки, о котором не было триггера: отменяется",
            "the reconcile found another delivery type that no trigger announced: cancelling";
        OrderGone =>
            "сверка нашла, что заказа больше нет в RetailCRM: отменяется",
            "the reconcile found that the order is gone from RetailCRM: cancelling";
        MissedStatus =>
            "сверка нашла статус, который не пришёл с потоком",
            "the reconcile found a status that the stream had not brought";
        RepairAsked { day: Date, who: Person, wish: Wish } =>
            "сверка за {day}, {who}: {wish}", "the comparison of {day} by {who}: {wish}";

        // What people did.
        CourierAsked { who: Person } => "запрошены сведения у курьерской службы, {who}", "the courier was asked, by {who}";
        Dropped { who: Person, why: String } =>
            "запрос снят с исполнения, {who}: {why}", "the request is not carried out, by {who}: {why}";
        CauseAcknowledged { reason: Reason, who: Person } =>
            "причина «{reason}» принята в работу, {who}", "cause «{reason}» acknowledged by {who}";
        CauseSnoozed { reason: Reason, until: Timestamp, who: Person } =>
            "причина «{reason}» отложена до {until}, {who}", "cause «{reason}» snoozed until {until} by {who}";
        CauseAwake { reason: Reason, who: Person } =>
            "причина «{reason}» снова в работе, {who}", "cause «{reason}» taken up again by {who}";
        LetterReplayed { letter: i64, who: Person } =>
            "невыполненная команда № {letter} повторена, {who}", "dead letter {letter} replayed by {who}";
        LetterReplayedInTurn { letter: i64, replay: i64 } =>
            "невыполненная команда № {letter} повторена по очереди, повтор № {replay}",
            "dead letter {letter} replayed in its turn by replay {replay}";
        LetterDiscarded { letter: i64, why: String } =>
            "невыполненная команда № {letter} закрыта без повтора: {why}", "dead letter {letter} discarded: {why}";
        Corrected { who: Person, changes: Vec<FieldChange> } =>
            "исправлено, {who}: {changes}", "corrected by {who}: {changes}";
        SettingsChanged { changes: Vec<FieldChange> } =>
            "магазин изменил настройки на странице: {changes}", "settings changed on the page by the shop: {changes}";
        SwitchedOn => "RetailCRM: интеграция включена", "RetailCRM: the integration is active";
        SwitchedOff => "RetailCRM: интеграция выключена", "RetailCRM: the integration is paused";
        AccountMoved => "RetailCRM: у аккаунта новый адрес", "RetailCRM: the account has a new address";
        AddressChanged { from: String, to: String, who: Person } =>
            "адрес RetailCRM изменён с {from} на {to}, {who}", "the RetailCRM address changed from {from} to {to}, by {who}";
        AddressShared { other: IntegrationId, who: Person } =>
            "у интеграции {other} теперь указан этот адрес RetailCRM, {who}",
            "integration {other} names this RetailCRM address from now on, by {who}";
        SameAccount { other: IntegrationId } =>
            "интеграция {other} относится к тому же аккаунту RetailCRM: оба ключа видят оба модуля",
            "integration {other} is of the same RetailCRM account: both keys see both modules";
    }
}
