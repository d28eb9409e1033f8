//! What an error code means, whose fault it is, and what to do about it.
//!
//! Two of the vendor's tables share the same numbers (measoft-api.md §15), so a code is
//! read together with the operation; a few answers carry only a text.

use crate::domain::{Fault, Language};
use crate::measoft::class::{Class, Verdict};
use crate::measoft::op::Op;
use crate::reason::Explanation;

/// Reason of a code that no table knows.
pub const UNKNOWN_CODE: &str = "unknown_code";

/// Which of the vendor's two tables is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Orders,
    General,
}

const fn family(op: Op) -> Family {
    match op {
        Op::NewOrder | Op::EditOrder | Op::CancelOrder => Family::Orders,
        _ => Family::General,
    }
}

use Class::{AlreadyExists, Bug, Config, NotFound, Permanent, Transient};
use Family::{General, Orders};
use Fault::{Bridge, Courier, Shop};

/// §15.1 and §15.2, one line per code.
const TABLE: &[(Family, i64, &str, Class, Fault)] = &[
    (Orders, 1, "auth_failed", Config, Shop),
    (Orders, 2, "empty_request", Bug, Bridge),
    (Orders, 3, "bad_price", Permanent, Shop),
    (Orders, 4, "bad_weight", Permanent, Shop),
    (Orders, 5, "town_not_found", Permanent, Shop),
    (Orders, 6, "sender_town_not_found", Permanent, Shop),
    (Orders, 7, "address_missing", Permanent, Shop),
    (Orders, 8, "phone_missing", Permanent, Shop),
    (Orders, 9, "person_missing", Permanent, Shop),
    (Orders, 10, "company_missing", Permanent, Shop),
    (Orders, 11, "bad_declared_value", Permanent, Shop),
    (Orders, 12, "article_not_found", Permanent, Shop),
    (Orders, 13, "sender_company_missing", Permanent, Shop),
    (Orders, 14, "sender_person_missing", Permanent, Shop),
    (Orders, 15, "sender_phone_missing", Permanent, Shop),
    (Orders, 16, "sender_address_missing", Permanent, Shop),
    (Orders, 17, "duplicate_number", AlreadyExists, Shop),
    (Orders, 18, "delivery_on_holiday", Permanent, Shop),
    (Orders, 52, "order_not_found", NotFound, Shop),
    (Orders, 67, "duplicate_barcode", AlreadyExists, Shop),
    (General, 1, "bad_xml", Bug, Bridge),
    (General, 2, "mobile_app_only", Bug, Bridge),
    (General, 3, "mobile_app_only", Bug, Bridge),
    (General, 4, "mobile_app_only", Bug, Bridge),
    (General, 5, "mobile_app_only", Bug, Bridge),
    (General, 6, "mobile_app_only", Bug, Bridge),
    (General, 7, "mobile_app_only", Bug, Bridge),
    (General, 8, "mobile_app_only", Bug, Bridge),
    (General, 9, "mobile_app_only", Bug, Bridge),
    (General, 10, "mobile_app_only", Bug, Bridge),
    (General, 11, "orders_not_found", NotFound, Shop),
    (General, 12, "mobile_app_only", Bug, Bridge),
    (General, 13, "courier_database_error", Transient, Courier),
    (General, 14, "unknown_operation", Bug, Bridge),
    (General, 15, "no_tariff", Permanent, Courier),
    (General, 18, "sender_town_missing", Permanent, Shop),
    (General, 19, "town_missing", Permanent, Shop),
    (General, 20, "bad_weight", Permanent, Shop),
    (General, 21, "sender_town_not_found", Permanent, Shop),
    (General, 22, "town_not_found", Permanent, Shop),
    (General, 23, "weight_missing", Permanent, Shop),
    (General, 24, "login_missing", Config, Shop),
    (General, 25, "auth_failed", Config, Shop),
    (General, 26, "registration_only", Permanent, Courier),
    (General, 27, "registration_only", Permanent, Courier),
    (General, 28, "address_missing", Permanent, Shop),
    (General, 29, "no_longer_supported", Bug, Bridge),
    (General, 30, "telephony_only", Permanent, Courier),
    (General, 31, "telephony_only", Permanent, Courier),
    (General, 32, "telephony_only", Permanent, Courier),
    (General, 33, "courier_offline", Transient, Courier),
    (General, 34, "bad_number", Permanent, Shop),
    (General, 35, "bad_number", Permanent, Shop),
    (General, 36, "no_tariff", Permanent, Courier),
    (General, 37, "no_tariff", Permanent, Courier),
    (General, 38, "no_tariff", Permanent, Courier),
    (General, 39, "no_tariff", Permanent, Courier),
    // Not in the general table; printing answers with it.
    (General, 52, "order_not_found", NotFound, Shop),
];

/// Classifies a refusal. `code` is `None` when the answer had only a text; `text` is
/// whatever words came with it, in any language.
#[must_use]
pub fn classify(op: Op, code: Option<i64>, text: &str) -> Verdict {
    let text = text.to_lowercase();
    // These three are matched by number alone: their texts have changed before (§7.5).
    if !matches!(code, Some(17 | 52 | 67))
        && let Some(verdict) = by_text(code, &text)
    {
        return verdict;
    }
    let Some(code) = code else { return unknown() };
    // §15.1: on `client` every refusal is about the credentials.
    if op == Op::Client && code == 1 {
        return look_up(Orders, 1).unwrap_or_else(unknown);
    }
    let verdict = match family(op) {
        // Above the numbers that both tables use, the general one still tells something.
        Orders => look_up(Orders, code).or_else(|| (code >= 20).then(|| look_up(General, code)).flatten()),
        General => look_up(General, code),
    };
    let verdict = verdict.unwrap_or_else(unknown);
    // A write that failed half-way inside MeaSoft may still have happened.
    match verdict.class {
        Transient if op.is_write() => Verdict { class: Class::UnknownOutcome, ..verdict },
        _ => verdict,
    }
}

fn look_up(family: Family, code: i64) -> Option<Verdict> {
    TABLE
        .iter()
        .find(|(table, number, ..)| *table == family && *number == code)
        .map(|&(_, _, reason, class, fault)| Verdict { reason, class, fault })
}

/// §15.3: refusals that only a text tells apart.
fn by_text(code: Option<i64>, lowercase: &str) -> Option<Verdict> {
    const AUTH: [&str; 4] =
        ["authorization error", "authorisation error", "ошибка авторизации", "authorization failed"];
    if AUTH.iter().any(|words| lowercase.contains(words)) {
        return Some(Verdict { reason: "auth_failed", class: Config, fault: Shop });
    }
    if let Some(rest) = lowercase.split("field [").nth(1) {
        let field = rest.split(']').next().unwrap_or(rest);
        let reason = if field.contains("phone") { "bad_phone" } else { "bad_field" };
        return Some(Verdict { reason, class: Permanent, fault: Shop });
    }
    // The words of XML parsers («… expected»): without a code, or with that for bad XML. Any
    // other refusal may hold them.
    const PARSER: [&str; 7] = [
        "expected",
        "tag mismatch",
        "entityref",
        "premature end of data",
        "extra content at the end",
        "not proper utf-8",
        "invalid char value",
    ];
    if matches!(code, None | Some(1)) && PARSER.iter().any(|words| lowercase.contains(words)) {
        return Some(Verdict { reason: "bad_xml", class: Bug, fault: Bridge });
    }
    None
}

const fn unknown() -> Verdict {
    Verdict { reason: UNKNOWN_CODE, class: Permanent, fault: Courier }
}

/// The words in the wanted language, else the other ones.
pub(crate) fn pick_text<'a>(lang: Language, ru: Option<&'a str>, en: Option<&'a str>) -> Option<&'a str> {
    match lang {
        Language::Ru => ru.or(en),
        Language::En => en.or(ru),
    }
}

/// Both texts, for [`classify`].
pub(crate) fn search_text(ru: Option<&str>, en: Option<&str>) -> String {
    format!("{}\n{}", ru.unwrap_or_default(), en.unwrap_or_default())
}

/// What to tell people about a reason of [`classify`] or of `MeasoftError::reason`. A reason from
/// elsewhere gets the words of [`UNKNOWN_CODE`].
#[must_use]
pub fn explain(reason: &str, lang: Language) -> Explanation {
    let found = REASONS.iter().find(|entry| entry.0 == reason);
    let (_, ru, en) = found.or_else(|| REASONS.iter().find(|entry| entry.0 == UNKNOWN_CODE)).unwrap_or(&REASONS[0]);
    let (text, next_step) = match lang {
        Language::Ru => *ru,
        Language::En => *en,
    };
    Explanation { text, next_step }
}

/// Every reason that [`classify`] and `MeasoftError::reason` can give.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    REASONS.iter().map(|entry| entry.0)
}

type Words = (&'static str, &'static str);

/// Reason, (text, next step) in Russian, the same in English.
const REASONS: &[(&str, Words, Words)] = &[
    (
        UNKNOWN_CODE,
        (
            "Служба доставки ответила неизвестной ошибкой",
            "Прочтите текст ошибки; если он непонятен, покажите его службе доставки",
        ),
        (
            "The courier service refused with an error that is not in its documentation",
            "Read the text of the error; if it is unclear, show it to the courier service",
        ),
    ),
    (
        "auth_failed",
        ("MeaSoft не принял логин или пароль", "Проверьте код службы, логин и пароль в настройках интеграции"),
        (
            "MeaSoft did not accept the login or the password",
            "Check the service code, login and password in the settings of the integration",
        ),
    ),
    (
        "login_missing",
        ("В запросе нет логина MeaSoft", "Заполните логин в настройках интеграции"),
        ("The request carried no MeaSoft login", "Fill in the login in the settings of the integration"),
    ),
    (
        "empty_request",
        ("MeaSoft получил пустой запрос", "Сообщите разработчикам: это ошибка программы"),
        ("MeaSoft received an empty request", "Tell the developers: this is a fault of the program"),
    ),
    (
        "bad_xml",
        ("MeaSoft не смог разобрать запрос", "Сообщите разработчикам: это ошибка программы"),
        ("MeaSoft could not parse the request", "Tell the developers: this is a fault of the program"),
    ),
    (
        "unknown_operation",
        (
            "MeaSoft не знает такой операции",
            "Проверьте адрес API в настройках интеграции; если он верен, сообщите разработчикам",
        ),
        (
            "MeaSoft does not know this operation",
            "Check the API address in the settings; if it is right, tell the developers",
        ),
    ),
    (
        "no_longer_supported",
        ("MeaSoft больше не поддерживает эту операцию", "Сообщите разработчикам"),
        ("MeaSoft no longer supports this operation", "Tell the developers"),
    ),
    (
        "mobile_app_only",
        (
            "MeaSoft ответил ошибкой, которая относится к мобильному приложению курьера",
            "Сообщите разработчикам: запрос был понят неверно",
        ),
        (
            "MeaSoft answered with an error that belongs to the courier's mobile app",
            "Tell the developers: the request was misunderstood",
        ),
    ),
    (
        "registration_only",
        ("MeaSoft ответил ошибкой регистрации клиента", "Покажите текст ошибки службе доставки"),
        ("MeaSoft answered with an error about registering clients", "Show the text to the courier service"),
    ),
    (
        "telephony_only",
        ("MeaSoft ответил ошибкой телефонии", "Покажите текст ошибки службе доставки"),
        ("MeaSoft answered with an error about telephony", "Show the text to the courier service"),
    ),
    (
        "bad_price",
        ("Неверная сумма заказа", "Проверьте цены товаров, скидки и оплаты в заказе"),
        ("The sum of the order is wrong", "Check prices, discounts and payments of the order"),
    ),
    (
        "bad_weight",
        ("Неверный вес заказа", "Укажите вес заказа или товаров"),
        ("The weight of the order is wrong", "Give the weight of the order or of the goods"),
    ),
    (
        "weight_missing",
        ("Не указан вес", "Укажите вес заказа или вес по умолчанию в настройках"),
        ("The weight is missing", "Give the weight of the order, or a default weight in the settings"),
    ),
    (
        "town_not_found",
        ("MeaSoft не нашёл город получателя", "Выберите город из подсказки или укажите регион: названия повторяются"),
        (
            "MeaSoft did not find the receiver's town",
            "Choose the town from the suggestions, or give the region: names repeat",
        ),
    ),
    (
        "town_missing",
        ("Не указан город получателя", "Заполните город в адресе доставки"),
        ("The receiver's town is missing", "Fill in the town of the delivery address"),
    ),
    (
        "sender_town_not_found",
        ("MeaSoft не нашёл город отправителя", "Исправьте город отправителя в настройках интеграции"),
        ("MeaSoft did not find the sender's town", "Correct the sender's town in the settings of the integration"),
    ),
    (
        "sender_town_missing",
        ("Не указан город отправителя", "Заполните город отправителя в настройках интеграции"),
        ("The sender's town is missing", "Fill in the sender's town in the settings of the integration"),
    ),
    (
        "address_missing",
        ("Не указан адрес получателя", "Заполните адрес доставки или пункт выдачи"),
        ("The receiver's address is missing", "Fill in the delivery address or the pick-up point"),
    ),
    (
        "phone_missing",
        ("Не указан телефон получателя", "Заполните телефон в заказе"),
        ("The receiver's phone is missing", "Fill in the phone of the order"),
    ),
    (
        "bad_phone",
        ("MeaSoft не принял телефон", "Исправьте телефон: нужен номер из 10–15 цифр, лучше +7XXXXXXXXXX"),
        ("MeaSoft did not accept the phone", "Correct the phone: a number of 10 to 15 digits, best +7XXXXXXXXXX"),
    ),
    (
        "bad_field",
        ("MeaSoft не принял одно из полей заказа", "Исправьте поле, названное в тексте ошибки"),
        ("MeaSoft did not accept a field of the order", "Correct the field named in the text of the error"),
    ),
    (
        "person_missing",
        ("Не указано контактное лицо получателя", "Заполните имя получателя в заказе"),
        ("The receiver's name is missing", "Fill in the receiver's name"),
    ),
    (
        "company_missing",
        ("Не указана компания получателя", "Заполните название организации получателя"),
        ("The receiver's company is missing", "Fill in the name of the receiver's company"),
    ),
    (
        "bad_declared_value",
        (
            "Неверная объявленная ценность",
            "Проверьте объявленную ценность; возможно, страхование не входит в договор со службой доставки",
        ),
        (
            "The declared value is wrong",
            "Check the declared value; insurance may not be part of the contract with the courier service",
        ),
    ),
    (
        "article_not_found",
        ("Артикула нет на складе службы доставки", "Уберите складской артикул: для обычных товаров он не нужен"),
        (
            "The article is not in the courier's warehouse",
            "Leave the warehouse article out: ordinary goods do not need it",
        ),
    ),
    (
        "sender_company_missing",
        ("Не указана компания отправителя", "Заполните отправителя в настройках интеграции"),
        ("The sender's company is missing", "Fill in the sender in the settings of the integration"),
    ),
    (
        "sender_person_missing",
        ("Не указано контактное лицо отправителя", "Заполните отправителя в настройках интеграции"),
        ("The sender's contact is missing", "Fill in the sender in the settings of the integration"),
    ),
    (
        "sender_phone_missing",
        ("Не указан телефон отправителя", "Заполните отправителя в настройках интеграции"),
        ("The sender's phone is missing", "Fill in the sender in the settings of the integration"),
    ),
    (
        "sender_address_missing",
        ("Не указан адрес отправителя", "Заполните отправителя в настройках интеграции"),
        ("The sender's address is missing", "Fill in the sender in the settings of the integration"),
    ),
    (
        "duplicate_number",
        (
            "Заказ с таким номером в этом году уже есть в MeaSoft",
            "Сравните заказы в личном кабинете; разным магазинам одного кабинета задайте разные префиксы",
        ),
        (
            "MeaSoft already has an order with this number this year",
            "Compare the orders in the cabinet; give shops that share a cabinet different prefixes",
        ),
    ),
    (
        "duplicate_barcode",
        ("Заказ с таким штрихкодом уже есть в MeaSoft", "Найдите заказ с этим штрихкодом в личном кабинете и сравните"),
        (
            "MeaSoft already has an order with this barcode",
            "Find the order with this barcode in the cabinet and compare",
        ),
    ),
    (
        "delivery_on_holiday",
        ("В этот день служба доставки не работает", "Выберите другую дату доставки"),
        ("The courier service does not work on that day", "Choose another delivery date"),
    ),
    (
        "order_not_found",
        ("MeaSoft не нашёл заказ", "Проверьте номер: возможно, заказ не отправляли или его создал другой кабинет"),
        ("MeaSoft did not find the order", "Check the number: the order may not have been sent, or by another cabinet"),
    ),
    (
        "orders_not_found",
        ("Подходящих заказов в MeaSoft нет", "Ничего делать не нужно"),
        ("MeaSoft has no such orders", "Nothing to do"),
    ),
    (
        "no_tariff",
        (
            "У службы доставки нет тарифа для этой доставки",
            "Проверьте города и режим доставки; о тарифах спросите службу доставки",
        ),
        (
            "The courier service has no tariff for this delivery",
            "Check the towns and the delivery mode; ask the courier service about tariffs",
        ),
    ),
    (
        "bad_number",
        ("MeaSoft не принял номер", "Проверьте номер заказа"),
        ("MeaSoft did not accept the number", "Check the number of the order"),
    ),
    (
        "courier_database_error",
        ("Сбой базы данных MeaSoft", "Запрос повторится сам"),
        ("The database of MeaSoft failed", "The request is repeated automatically"),
    ),
    (
        "courier_offline",
        ("MeaSoft не может связаться с сервером службы доставки", "Запрос повторится сам"),
        ("MeaSoft cannot reach the courier service's server", "The request is repeated automatically"),
    ),
    (
        "not_connected",
        (
            "Не удалось соединиться с MeaSoft",
            "Запрос повторится сам; если это длится долго, проверьте сеть и адрес API",
        ),
        (
            "MeaSoft could not be reached",
            "The request is repeated automatically; if this lasts, check the network and the API address",
        ),
    ),
    (
        "no_answer",
        ("MeaSoft не ответил вовремя", "Исход проверяется сам; повторно отправлять заказ не нужно"),
        ("MeaSoft did not answer in time", "The outcome is checked automatically; do not send the order again"),
    ),
    (
        "server_error",
        ("MeaSoft временно не работает", "Запрос повторится сам"),
        ("MeaSoft is out of order for the moment", "The request is repeated automatically"),
    ),
    (
        "blocked",
        (
            "MeaSoft не пускает запросы с этого адреса",
            "Подождите до трёх часов; если повторится, уменьшите число запросов или напишите в поддержку MeaSoft",
        ),
        (
            "MeaSoft refuses requests from this address",
            "Wait up to three hours; if it happens again, send fewer requests or write to MeaSoft's support",
        ),
    ),
    (
        "bad_format",
        (
            "Служба доставки прислала ответ в неверном формате",
            "Посмотрите начало ответа в журнале; если это страница входа или заглушка, напишите в поддержку MeaSoft",
        ),
        (
            "The courier service sent an answer in a wrong format",
            "Look at the start of the answer in the journal; if it is a login or maintenance page, write to MeaSoft",
        ),
    ),
    (
        "answer_too_large",
        ("Ответ MeaSoft слишком велик", "Сузьте запрос; если нельзя, сообщите разработчикам"),
        ("The answer of MeaSoft is too large", "Narrow the request; if that is impossible, tell the developers"),
    ),
    (
        "wrong_address",
        ("По этому адресу нет API MeaSoft", "Проверьте адрес API в настройках интеграции"),
        ("There is no MeaSoft API at this address", "Check the API address in the settings of the integration"),
    ),
    (
        "unsafe_address",
        ("Адрес API не защищён: пароль ушёл бы открытым текстом", "Укажите адрес, который начинается с https://"),
        (
            "The API address is not protected: the password would travel in clear text",
            "Give an address that begins with https://",
        ),
    ),
    (
        "request_refused",
        ("MeaSoft отверг запрос целиком", "Сообщите разработчикам: это ошибка программы"),
        ("MeaSoft rejected the request as a whole", "Tell the developers: this is a fault of the program"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measoft::class::UNREADABLE_CODE;
    use std::collections::HashSet;

    const ORDER_OPS: [Op; 3] = [Op::NewOrder, Op::EditOrder, Op::CancelOrder];

    /// measoft-api.md §15.1, written out a second time from the page.
    #[test]
    fn every_code_of_the_order_table_is_classified() {
        let expected: &[(i64, &str, Class, Fault)] = &[
            (1, "auth_failed", Config, Shop),
            (2, "empty_request", Bug, Bridge),
            (3, "bad_price", Permanent, Shop),
            (4, "bad_weight", Permanent, Shop),
            (5, "town_not_found", Permanent, Shop),
            (6, "sender_town_not_found", Permanent, Shop),
            (7, "address_missing", Permanent, Shop),
            (8, "phone_missing", Permanent, Shop),
            (9, "person_missing", Permanent, Shop),
            (10, "company_missing", Permanent, Shop),
            (11, "bad_declared_value", Permanent, Shop),
            (12, "article_not_found", Permanent, Shop),
            (13, "sender_company_missing", Permanent, Shop),
            (14, "sender_person_missing", Permanent, Shop),
            (15, "sender_phone_missing", Permanent, Shop),
            (16, "sender_address_missing", Permanent, Shop),
            (17, "duplicate_number", AlreadyExists, Shop),
            (18, "delivery_on_holiday", Permanent, Shop),
            (52, "order_not_found", NotFound, Shop),
            (67, "duplicate_barcode", AlreadyExists, Shop),
            (19, UNKNOWN_CODE, Permanent, Courier),
            (999, UNKNOWN_CODE, Permanent, Courier),
            (UNREADABLE_CODE, UNKNOWN_CODE, Permanent, Courier),
        ];
        for op in ORDER_OPS {
            for &(code, reason, class, fault) in expected {
                assert_eq!(classify(op, Some(code), ""), Verdict { reason, class, fault }, "{op} {code}");
            }
        }
    }

    /// measoft-api.md §15.2.
    #[test]
    fn every_code_of_the_general_table_is_classified() {
        let app = ("mobile_app_only", Bug, Bridge);
        let expected = [
            (1, ("bad_xml", Bug, Bridge)),
            (2, app),
            (3, app),
            (4, app),
            (5, app),
            (6, app),
            (7, app),
            (8, app),
            (9, app),
            (10, app),
            (11, ("orders_not_found", NotFound, Shop)),
            (12, app),
            (13, ("courier_database_error", Transient, Courier)),
            (14, ("unknown_operation", Bug, Bridge)),
            (15, ("no_tariff", Permanent, Courier)),
            (16, (UNKNOWN_CODE, Permanent, Courier)),
            (17, (UNKNOWN_CODE, Permanent, Courier)),
            (18, ("sender_town_missing", Permanent, Shop)),
            (19, ("town_missing", Permanent, Shop)),
            (20, ("bad_weight", Permanent, Shop)),
            (21, ("sender_town_not_found", Permanent, Shop)),
            (22, ("town_not_found", Permanent, Shop)),
            (23, ("weight_missing", Permanent, Shop)),
            (24, ("login_missing", Config, Shop)),
            (25, ("auth_failed", Config, Shop)),
            (26, ("registration_only", Permanent, Courier)),
            (27, ("registration_only", Permanent, Courier)),
            (28, ("address_missing", Permanent, Shop)),
            (29, ("no_longer_supported", Bug, Bridge)),
            (30, ("telephony_only", Permanent, Courier)),
            (31, ("telephony_only", Permanent, Courier)),
            (32, ("telephony_only", Permanent, Courier)),
            (33, ("courier_offline", Transient, Courier)),
            (34, ("bad_number", Permanent, Shop)),
            (35, ("bad_number", Permanent, Shop)),
            (36, ("no_tariff", Permanent, Courier)),
            (37, ("no_tariff", Permanent, Courier)),
            (38, ("no_tariff", Permanent, Courier)),
            (39, ("no_tariff", Permanent, Courier)),
            (40, (UNKNOWN_CODE, Permanent, Courier)),
            (52, ("order_not_found", NotFound, Shop)),
        ];
        for op in [Op::StatusReq, Op::CommitLastStatus, Op::Calculator, Op::PvzList, Op::Waybill] {
            for (code, (reason, class, fault)) in expected {
                assert_eq!(classify(op, Some(code), ""), Verdict { reason, class, fault }, "{op} {code}");
            }
        }
    }

    /// measoft-api.md §15.3 and the note on code 1 in §24.
    #[test]
    fn texts_decide_where_codes_do_not() {
        for (op, code, text, reason) in [
            (Op::NewOrder, None, "field [receiver phone] has no valid phone number", "bad_phone"),
            (Op::NewOrder, Some(99), "Field [receiver date] is in the past", "bad_field"),
            (Op::StatusReq, Some(1), "Authorization Error", "auth_failed"),
            (Op::StatusReq, Some(1), "Ошибка авторизации", "auth_failed"),
            (Op::NewOrder, Some(1), "'</order>' expected", "bad_xml"),
            (Op::StatusReq, None, "Opening and ending tag mismatch: orderno", "bad_xml"),
            (Op::Client, Some(1), "", "auth_failed"),
            (Op::NewOrder, Some(17), "field [orderno] expected to be unique", "duplicate_number"),
            (Op::NewOrder, None, "", UNKNOWN_CODE),
            (Op::NewOrder, Some(99), "a delivery date is expected", UNKNOWN_CODE),
        ] {
            assert_eq!(classify(op, code, text).reason, reason, "{op} {code:?} {text}");
        }
    }

    #[test]
    fn a_write_that_failed_inside_measoft_has_an_unknown_outcome() {
        assert_eq!(classify(Op::NewOrder, Some(33), "").class, Class::UnknownOutcome);
        assert_eq!(classify(Op::StatusReq, Some(33), "").class, Transient);
        assert_eq!(classify(Op::NewOrder, Some(25), "").class, Config);
    }

    #[test]
    fn every_reason_is_explained_once_in_both_languages() {
        let mut seen = HashSet::new();
        for (reason, ru, en) in REASONS {
            assert!(seen.insert(reason), "{reason} twice");
            assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
            assert!(!ru.0.is_ascii() && !ru.1.is_ascii(), "{reason} in Russian");
            assert!(en.0.is_ascii() && en.1.is_ascii() && !en.0.is_empty() && !en.1.is_empty(), "{reason} in English");
        }
        for (_, _, reason, ..) in TABLE {
            assert!(seen.contains(reason), "{reason} has no words");
        }
        assert_eq!(explain("bad_phone", Language::En).text, "MeaSoft did not accept the phone");
        assert_eq!(explain("never heard of", Language::Ru), explain(UNKNOWN_CODE, Language::Ru));
    }
}
