//! What people are told about each reason of a refusal or failure, in both languages.

use crate::domain::Language;
use crate::reason::Explanation;

/// A refusal that no table of the vendor's explains.
pub const UNKNOWN_CODE: &str = "unknown_code";

/// What to tell people about a reason of `classify` or of `MeasoftError::reason`. A reason from
/// elsewhere gets the words of [`UNKNOWN_CODE`].
pub fn explain(reason: &str, lang: Language) -> Explanation {
    let found = REASONS.iter().find(|entry| entry.0 == reason);
    let (_, ru, en) = found.or_else(|| REASONS.iter().find(|entry| entry.0 == UNKNOWN_CODE)).unwrap_or(&REASONS[0]);
    let (text, next_step) = match lang {
        Language::Ru => *ru,
        Language::En => *en,
    };
    Explanation { text, next_step }
}

/// Every reason that `classify` and `MeasoftError::reason` can give.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    REASONS.iter().map(|entry| entry.0)
}

type Words = (&'static str, &'static str);

/// Reason, (text, next step) in Russian, the same in English.
pub(crate) const REASONS: &[(&str, Words, Words)] = &[
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
