//! Why commands give up: a closed catalogue of reasons with whose fault each is, a
//! sentence for people and the next step, in both languages. MeaSoft's own reasons are
//! explained beside its error codes.

use crate::domain::Fault;

/// Words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    pub text: &'static str,
    pub next_step: &'static str,
}

macro_rules! reasons {
    ($($name:ident = $label:literal, $fault:ident, $ru:literal, $ru_next:literal, $en:literal, $en_next:literal;)*) => {
        $(pub const $name: &str = $label;)*

        /// Every reason of ours: label, fault, Russian and English words.
        pub const OURS: &[(&str, Fault, Explanation, Explanation)] = &[
            $(($label, Fault::$fault,
               Explanation { text: $ru, next_step: $ru_next },
               Explanation { text: $en, next_step: $en_next }),)*
        ];
    };
}

reasons! {
    ORDER_NOT_FOUND = "order_not_found", Shop,
        "В RetailCRM нет заказа с таким номером, либо у API-ключа нет доступа к его магазину.",
        "Проверьте номер заказа и то, что API-ключ интеграции имеет доступ ко всем магазинам, затем повторите отправку.",
        "RetailCRM has no order with this number, or the API key may not see its shop.",
        "Check the order number and that the integration's API key has access to all shops, then send again.";
    AMBIGUOUS_NUMBER = "ambiguous_number", Shop,
        "В RetailCRM несколько заказов с этим номером; какой из них отправлять, определить нельзя.",
        "Измените номер одного из заказов и сохраните нужный ещё раз. Сообщение закроется, когда будут отправлены \
все названные в нём заказы; если остальные отправлять не нужно, закройте его.",
        "RetailCRM has several orders with this number; which one is meant cannot be told.",
        "Change the number of one of them and save the right one again. The letter closes once every order it names is \
sent; if the others are not to be, discard it.";
    ESCAPED_NUMBER = "escaped_number", Shop,
        "Триггер передал номер заказа с HTML-кодами (& как &amp;), а в RetailCRM есть и заказ с таким номером, и заказ с \
номером без кодов; какой из них отправлять, определить нельзя.",
        "Добавьте в триггере к номеру фильтр raw: {{ order.getNumber()|raw }} — и сохраните нужный заказ ещё раз.",
        "The trigger passed the order's number with HTML codes (& as &amp;), and RetailCRM has both an order with that number \
and one with the number without codes; which one is meant cannot be told.",
        "Add the filter raw to the number in the trigger, {{ order.getNumber()|raw }}, and save the right order again.";
    HANDED_OVER_ELSEWHERE = "handed_over_elsewhere", Shop,
        "Заказ уже передан курьерской службе другой интеграцией: в RetailCRM у него есть номер или статус чужой доставки. \
Второй раз он не отправлен.",
        "Найдите заказ в личном кабинете курьерской службы. Если он там, ведите его по-прежнему; если нет, выберите в заказе \
другой тип доставки, сохраните, верните прежний и отправьте заказ заново.",
        "The order was already handed over to the courier service by another integration: RetailCRM shows a delivery id or \
status that is not ours. It was not sent a second time.",
        "Look for the order in the courier's cabinet. If it is there, go on with it as before; if not, choose another delivery \
type in the order, save, choose the old one again and send it anew.";
    SUM_MISMATCH = "sum_mismatch", Shop,
        "Сумма позиций и доставки не сходится с суммой к оплате при вручении по оплатам заказа; сумма наугад не отправляется.",
        "Исправьте оплаты, скидки или стоимость доставки в заказе так, чтобы суммы сошлись, и сохраните его.",
        "Lines and delivery do not add up to what the order's payments leave to collect; no sum is guessed.",
        "Correct the order's payments, discounts or delivery cost so that they agree, and save it.";
    COD_MISMATCH = "cod_mismatch", Shop,
        "RetailCRM назвала при сохранении одну сумму наложенного платежа, а по оплатам заказа к оплате при вручении выходит другая.",
        "Проверьте оплаты заказа и «Способы оплаты» в настройках модуля, затем сохраните заказ ещё раз.",
        "RetailCRM named one sum of cash on delivery when the order was saved; by its payments it is another.",
        "Check the order's payments and the payment types in the module's settings, then save the order again.";
    PAYMENT_TYPE_UNCLEAR = "payment_type_unclear", Shop,
        "Непонятно, собирает ли курьер деньги по типу оплаты заказа: RetailCRM об этом ничего не говорит.",
        "Отметьте этот тип оплаты в настройках модуля («Доставка» → «Способы оплаты») или задайте соответствие: bridge integration edit ID --set paytype_map.КОД=CASH (CARD, OTHER или NO), затем сохраните заказ.",
        "It is not clear whether the courier collects by the order's payment type: RetailCRM says nothing about it.",
        "Tick the payment type in the module's settings (Delivery → Payment types) or map it with bridge integration edit ID --set paytype_map.CODE=CASH (CARD, OTHER or NO), then save the order.";
    PAYMENT_WITHOUT_AMOUNT = "payment_without_amount", Shop,
        "У оплаты заказа не указана сумма, и остальные оплаты не покрывают стоимость заказа; сумма наугад не отправляется.",
        "Укажите в заказе сумму этой оплаты и сохраните его.",
        "A payment of the order has no amount, and the others do not cover its total; no sum is guessed.",
        "Enter the amount of this payment in the order and save it.";
    UNCOVERED_REST = "uncovered_rest", Shop,
        "Оплаты заказа покрывают не всю его стоимость, а настройка интеграции запрещает отправлять такие заказы.",
        "Добавьте в заказ оплату на остаток и сохраните его.",
        "The order's payments do not cover its total, and the integration's setting forbids sending such orders.",
        "Add a payment for the rest to the order and save it.";
    WRONG_CURRENCY = "wrong_currency", Shop,
        "Заказ в другой валюте, чем принимает курьерская служба этой интеграции.",
        "Пересчитайте заказ в валюту курьерской службы или задайте валюту интеграции: bridge integration edit ID --set currency=КОД.",
        "The order is in another currency than this integration's courier takes.",
        "Convert the order into the courier's currency, or set the integration's with bridge integration edit ID --set currency=CODE.";
    NOTHING_TO_SEND = "nothing_to_send", Shop,
        "Все позиции заказа отменены и платить не за что: отправлять нечего.",
        "Если заказ отменён, смените тип доставки или отмените его; если нет — восстановите позиции и сохраните заказ.",
        "All positions of the order are cancelled and nothing is to be paid: there is nothing to send.",
        "If the order is cancelled, change its delivery type or cancel it; if not, restore its positions and save it.";
    PRICE_MISMATCH = "price_mismatch", Courier,
        "Заказ создан, но сумма в MeaSoft отличается от нашей.",
        "Сверьте сумму к оплате при вручении в личном кабинете курьерской службы и сообщите ей о расхождении.",
        "The order is placed, but MeaSoft's sum differs from ours.",
        "Compare the sum to collect in the courier's cabinet and tell the courier service about the difference.";
    NO_PAYMENT = "no_payment", Shop,
        "В заказе нет ни одной оплаты, а настройка интеграции запрещает отправлять такие заказы.",
        "Добавьте в заказ оплату и сохраните его.",
        "The order has no payment at all, and the integration's setting forbids sending such orders.",
        "Add a payment to the order and save it.";
    BAD_SUM = "bad_sum", Shop,
        "Сумма в заказе нечитаема или слишком велика.",
        "Проверьте цены, количества и оплаты заказа.",
        "A sum in the order is unreadable or too large.",
        "Check the order's prices, quantities and payments.";
    BAD_PHONE = "bad_phone", Shop,
        "field [receiver phone] has no valid phone number",
        "Укажите в заказе телефон получателя (10–15 цифр) и сохраните его.",
        "field [receiver phone] has no valid phone number",
        "Enter the receiver's phone (10–15 digits) in the order and save it.";
    NO_ADDRESS = "no_address", Shop,
        "В заказе нет адреса доставки и не выбран пункт выдачи.",
        "Заполните адрес или выберите пункт выдачи и сохраните заказ.",
        "The order has neither a delivery address nor a pick-up point.",
        "Fill in the address or choose a pick-up point, and save the order.";
    TOWN_UNCLEAR = "town_unclear", Shop,
        "Непонятно, какой город указан в адресе доставки.",
        "Укажите в адресе доставки регион, тип населённого пункта или индекс и сохраните заказ.",
        "It is not clear which town the delivery address means.",
        "Enter the region, the type of the town or the postal index in the delivery address and save the order.";
    NO_RECEIVER = "no_receiver", Shop,
        "В заказе не указан получатель.",
        "Укажите имя получателя или организацию и сохраните заказ.",
        "The order names no receiver.",
        "Enter the receiver's name or company and save the order.";
    UNREADABLE_ORDER = "unreadable_order", Crm,
        "RetailCRM прислала заказ, который нельзя прочитать.",
        "Откройте заказ, проверьте необычные значения и сохраните его; если не помогло, передайте запись журнала разработчику.",
        "RetailCRM sent an order that cannot be read.",
        "Open the order, look for unusual values and save it; if that does not help, hand the journal entry to the developers.";
    CONFLICT = "conflict", Shop,
        "В MeaSoft уже есть другой заказ с таким номером; он не тронут.",
        "Проверьте в личном кабинете, чей это заказ; задайте интеграции префикс номеров или измените номер заказа.",
        "MeaSoft already has a different order under this number; it was left alone.",
        "Look in the cabinet whose order it is; give the integration a number prefix or change the order's number.";
    TOO_LATE = "too_late", Shop,
        "Заказ уже в работе у курьерской службы, изменить или отменить его через API нельзя.",
        "Позвоните в курьерскую службу, если изменение всё ещё нужно.",
        "The courier is already working on the order; it can no longer be changed or cancelled through the API.",
        "Call the courier service if the change is still needed.";
    EDIT_CANCEL_OFF = "edit_cancel_off", Courier,
        "Изменение и отмена заказов для этой интеграции выключены.",
        "Попросите курьерскую службу включить «Разрешить отмену и изменение заказов» и разрешите их на странице интеграции («Изменение и отмена заказов»).",
        "Changing and cancelling orders is switched off for this integration.",
        "Ask the courier service to allow cancelling and changing orders, then allow it on the integration's page (tab Settings).";
    CHANGE_DROPPED = "change_dropped", Courier,
        "MeaSoft приняла изменение, но в заказе его нет: вероятно, заказ правили в программе курьерской службы.",
        "Сообщите изменение курьерской службе по телефону или сохраните заказ ещё раз позже.",
        "MeaSoft accepted the change but the order does not show it: it was probably edited in the courier's program.",
        "Tell the courier service by phone, or save the order again later.";
    CANCEL_DROPPED = "cancel_dropped", Courier,
        "MeaSoft приняла отмену, но заказ не отменён.",
        "Отмените заказ в личном кабинете или по телефону.",
        "MeaSoft accepted the cancellation but the order is not cancelled.",
        "Cancel it in the cabinet or by phone.";
    CRM_REFUSED = "crm_refused", Crm,
        "Заказ у курьера, но RetailCRM не приняла запись о нём.",
        "Проверьте права API-ключа и то, что модуль доставки подключён; затем повторите команду.",
        "The courier has the order, but RetailCRM did not accept the record of it.",
        "Check the API key's rights and that the delivery module is connected, then replay the command.";
    CRM_ACCESS = "crm_access", Shop,
        "RetailCRM не принимает API-ключ интеграции.",
        "Проверьте ключ и его права в RetailCRM и введите ключ на странице интеграции (вкладка «Настройки») или командой bridge integration edit.",
        "RetailCRM does not accept the integration's API key.",
        "Check the key and its rights in RetailCRM and enter it on the integration's page (tab Settings) or with bridge integration edit.";
    CRM_ERROR = "crm_error", Crm,
        "RetailCRM отказала в запросе.",
        "Посмотрите ответ в журнале заказа; после исправления повторите команду.",
        "RetailCRM refused the request.",
        "See the answer in the order's journal; replay the command once it is corrected.";
    CRM_SCOPE_MISSING = "crm_scope_missing", Shop,
        "API-ключу интеграции не хватает права в RetailCRM; остальная работа продолжается.",
        "Откройте API-ключ в RetailCRM (Настройки → Интеграция → Ключи доступа к API), отметьте право, названное в записи, и повторите команду.",
        "The integration's API key lacks a right in RetailCRM; all other work goes on.",
        "Open the API key in RetailCRM (Settings → Integration → API access keys), tick the right named in this record and replay the command.";
    STATUS_REFUSED = "status_refused", Crm,
        "RetailCRM не принимает статус доставки этого заказа.",
        "Проверьте, что модуль доставки подключён и заказ всё ещё относится к нему; затем повторите команду.",
        "RetailCRM does not take a delivery status of this order.",
        "Check that the delivery module is connected and the order still belongs to it, then replay the command.";
    STATUS_UNREADABLE = "status_unreadable", Courier,
        "MeaSoft прислала статус заказа, который нельзя прочитать; он отложен и не мешает остальным.",
        "Посмотрите заказ в личном кабинете курьерской службы и передайте ей запись журнала.",
        "MeaSoft sent a status of the order that cannot be read; it was set aside and holds nothing up.",
        "Look at the order in the courier's cabinet and hand the journal entry to the courier service.";
    STATUS_UNMAPPED = "status_unmapped", Shop,
        "MeaSoft прислала код статуса, которого нет ни в списке статусов, ни в настройках; RetailCRM о нём не сообщается, состояние заказов он не меняет.",
        "Узнайте у курьерской службы, что он значит, и задайте соответствие: bridge integration edit ID --set status_map.КОД=СТАТУС (пустое значение: не сообщать).",
        "MeaSoft sent a status code that neither the list of statuses nor the settings know; RetailCRM is not told of it, and no order's state changes by it.",
        "Ask the courier service what it means and map it with bridge integration edit ID --set status_map.CODE=STATUS (empty: not told).";
    COMMIT_NOT_EFFECTIVE = "commit_not_effective", Courier,
        "MeaSoft присылает те же статусы снова, хотя получение подтверждено.",
        "Проверьте, не опрашивает ли этот же личный кабинет и поток другая программа; задайте интеграции другой stream_id.",
        "MeaSoft sends the same statuses again although they were acknowledged.",
        "See whether another program polls the same cabinet and stream; give the integration another stream_id.";
    DELIVERY_VANISHED = "delivery_vanished", Courier,
        "MeaSoft больше не показывает заказ, который был у неё в работе.",
        "Выясните в курьерской службе, что с заказом.",
        "MeaSoft no longer shows an order that it was working on.",
        "Ask the courier service what became of the order.";
    PARCEL_UNKNOWN = "parcel_unknown", Bridge,
        "У MeaSoft есть заказ в работе, о котором модуль не знает: он создан перед самым отказом базы данных, а в RetailCRM такого заказа больше нет.",
        "Найдите заказ по номеру из записи в личном кабинете курьерской службы. Если его отменили или удалили в RetailCRM, отмените его и там.",
        "MeaSoft is working on an order that the module knows nothing of: it was made just before the database failed, and RetailCRM no longer has it.",
        "Find the order in the courier's cabinet by the number in this record. If it was cancelled or deleted in RetailCRM, cancel it there as well.";
    PAYMENT_NOT_COLLECTED = "payment_not_collected", Courier,
        "Заказ доставлен, в RetailCRM остаётся сумма к оплате, а MeaSoft не сообщает о полученных деньгах (ноль, возврат или сумма не видна).",
        "Сверьте обе суммы из записи с отчётом курьерской службы и исправьте платёж заказа в RetailCRM вручную.",
        "The order was delivered and RetailCRM still has a sum to pay, but MeaSoft reports no money collected (zero, a refund, or no sum at all).",
        "Compare both figures in this record with the courier's report and correct the order's payment in RetailCRM by hand.";
    PAYMENT_DIFFERS = "payment_differs", Courier,
        "Курьер получил не ту сумму или не тем способом, что остаётся к оплате в RetailCRM; платёж не отмечен оплаченным.",
        "Сверьте обе суммы из записи с отчётом курьерской службы и исправьте платёж заказа в RetailCRM вручную, либо включите «Получать тип и сумму оплаты».",
        "The courier collected another sum, or in another way, than RetailCRM has left to pay; no payment was marked as paid.",
        "Compare both figures in this record with the courier's report and correct the order's payment by hand, or switch on receiving the payment's type and sum.";
    PAYMENT_SEVERAL = "payment_several", Shop,
        "Курьер получил деньги, а в заказе осталось несколько неоплаченных платежей; какой из них оплачен, определить нельзя.",
        "Отметьте в RetailCRM, что оплачено, вручную: суммы названы в записи.",
        "The courier collected money, but the order has several payments left to pay; which of them was paid cannot be told.",
        "Mark what was paid in RetailCRM by hand: the sums are in this record.";
    PAYMENT_REFUSED = "payment_refused", Crm,
        "RetailCRM не приняла изменение платежа заказа после доставки.",
        "В записи сказано, что было сделано и что пытались сделать; исправьте платёж вручную или устраните причину и повторите команду.",
        "RetailCRM did not accept a change of the order's payment after delivery.",
        "This record says what was done and what was tried; correct the payment by hand, or mend the cause and replay the command.";
    PAYMENT_ONLINE = "payment_online", Shop,
        "Курьер принял деньги, а неоплаченный платёж заказа относится к модулю онлайн-оплаты; такие платежи не изменяются.",
        "Исправьте платёж заказа в RetailCRM вручную.",
        "The courier collected money, but the order's unpaid payment belongs to an online payment module; those are never changed.",
        "Correct the order's payment in RetailCRM by hand.";
    PAYMENT_UNEXPECTED = "payment_unexpected", Shop,
        "Курьер принял деньги, а неоплаченных платежей в заказе нет.",
        "Сверьте платежи заказа с отчётом курьерской службы.",
        "The courier collected money, but the order has nothing left to pay.",
        "Compare the order's payments with the courier's report.";
    PAYMENT_UNMAPPED = "payment_unmapped", Shop,
        "Для типа оплаты MeaSoft нет действующего типа оплаты RetailCRM.",
        "Задайте соответствие: bridge integration edit ID --set payment_type_map.CARD=код, затем повторите команду.",
        "There is no valid RetailCRM payment type for MeaSoft's.",
        "Map it with bridge integration edit ID --set payment_type_map.CARD=code, then replay the command.";
    PAYMENT_STATUS_UNKNOWN = "payment_status_unknown", Shop,
        "В RetailCRM нет статуса оплаты, заданного в настройке «Код статуса оплаты».",
        "Исправьте «Код статуса оплаты» на странице интеграции (вкладка «Настройки») и повторите команду.",
        "RetailCRM has no payment status with the payment status code of the settings.",
        "Correct the payment status code on the integration's page (tab Settings) and replay the command.";
    PAYMENT_CONFLICT = "payment_conflict", Shop,
        "Платежи заказа изменили, пока мы заменяли один из них; замена остановлена.",
        "Сверьте платежи заказа в RetailCRM с суммой и типом оплаты в записи и исправьте их вручную.",
        "The order's payments were changed while one of them was being replaced; the replacement was stopped.",
        "Compare the order's payments in RetailCRM with the sum and type in this record and correct them by hand.";
    PAYMENT_CORRECTED = "payment_corrected", Courier,
        "MeaSoft изменила итог доставки после того, как платёж заказа уже был проведён.",
        "Сверьте платёж заказа с отчётом курьерской службы.",
        "MeaSoft changed the delivery's outcome after the order's payment had been settled.",
        "Compare the order's payment with the courier's report.";
    RETURNS_UNCLEAR = "returns_unclear", Shop,
        "Заказ выкуплен частично, но не для всех строк понятно, какая это позиция заказа; остальные записаны.",
        "Исправьте названные позиции заказа вручную по отчёту курьерской службы; если позиции теперь верны, повторите команду.",
        "The order was taken in part, but some of the courier's lines cannot be matched to the order's; the others are written.",
        "Correct the named lines of the order by hand from the courier's report; once they are right, replay the command.";
    RETURNS_REFUSED = "returns_refused", Crm,
        "RetailCRM не приняла итог доставки по позициям заказа.",
        "Проверьте в настройках интеграции коды статусов позиций и повторите команду, либо исправьте позиции заказа вручную.",
        "RetailCRM did not take the delivery's result for the order's lines.",
        "Check the codes of the position statuses in the integration's settings and replay the command, or correct the lines by hand.";
    EXPIRED = "expired", Bridge,
        "Команду не удалось выполнить за отведённое время: внешняя система всё это время была недоступна.",
        "Выясните причину по журналу заказа и повторите команду.",
        "The command could not be carried out in time: the other side was not available all the while.",
        "Find the cause in the order's journal and replay the command.";
    UNDECODABLE = "undecodable", Bridge,
        "Сообщение очереди нельзя прочитать.",
        "Посмотрите исходные байты командой bridge dead show; скорее всего в очередь писала другая версия.",
        "A queue message cannot be read.",
        "Look at its bytes with bridge dead show; most likely another version wrote into the queue.";
    UNROUTABLE = "unroutable", Bridge,
        "Сообщение не нашло своей очереди.",
        "Проверьте топологию командой bridge doctor и повторите сообщение.",
        "A message found no queue.",
        "Check the topology with bridge doctor and replay the message.";
    POISON = "poison", Bridge,
        "Сообщение раз за разом обрывало обработчик.",
        "Передайте запись разработчику; после исправления повторите сообщение.",
        "A message broke its handler again and again.",
        "Hand the record to the developers; replay the message once it is mended.";
    UNKNOWN_INTEGRATION = "unknown_integration", Bridge,
        "Интеграция этой команды удалена.",
        "Отклоните запись или подключите интеграцию заново и повторите отправку из RetailCRM.",
        "The integration of this command was removed.",
        "Discard the record, or connect the integration again and send from RetailCRM once more.";
    INTERNAL = "internal", Bridge,
        "Внутренняя ошибка.",
        "Передайте запись журнала разработчику и повторите команду.",
        "An internal error.",
        "Hand the journal entry to the developers and replay the command.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_listed_once_and_explained_in_both_languages() {
        let mut seen = std::collections::BTreeSet::new();
        for (label, _, ru, en) in OURS {
            assert!(seen.insert(label), "{label} twice");
            assert!(ru.next_step.chars().any(|c| c.is_alphabetic() && !c.is_ascii()), "{label} in Russian");
            assert!(!ru.text.is_empty() && !en.text.is_empty() && !en.next_step.is_empty(), "{label}");
        }
    }
}
