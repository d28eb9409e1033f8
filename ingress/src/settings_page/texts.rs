//! The page's words in both languages.

use shared::domain::Language;

macro_rules! texts {
    (fields { $($field:ident: $field_ru:literal, $field_en:literal;)* } $($name:ident: $ru:literal, $en:literal;)*) => {
        /// The words of one language.
        #[derive(Debug)]
        pub struct Texts {
            pub code: &'static str,
            pub other_code: &'static str,
            $(pub $field: &'static str,)*
            $(pub $name: &'static str,)*
        }

        static RU: Texts = Texts { code: "ru", other_code: "en", $($field: $field_ru,)* $($name: $ru,)* };
        static EN: Texts = Texts { code: "en", other_code: "ru", $($field: $field_en,)* $($name: $en,)* };

        impl Texts {
            /// Names and labels of the fields of the settings, in the form's order.
            pub fn fields(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$(($field_ru, $field_en),)* $(($ru, $en),)*];
    };
}

texts! {
    fields {
        title: "Название интеграции", "Name of the integration";
        crm_url: "Домен RetailCRM", "RetailCRM domain";
        crm_api_key: "API-ключ RetailCRM", "RetailCRM API key";
        extra: "Код курьерской службы", "Code of the courier service";
        login: "Логин в личном кабинете MeaSoft", "Login in the MeaSoft cabinet";
        password: "Пароль в личном кабинете MeaSoft", "Password in the MeaSoft cabinet";
        payment_status: "Код статуса оплаты", "Payment status code";
        receive_statuses: "Получать статусы доставки", "Receive delivery statuses";
        receive_payment: "Получать тип и сумму оплаты", "Receive payment type and sum";
        returned_item_status: "Статус позиции, от которой отказались", "Status of a refused position";
        delivered_item_status: "Статус вручённой позиции", "Status of a position that was taken";
        report_errors_to_crm: "Показывать ошибки в заказе", "Show errors on the order";
        notify_groups: "Кого оповещать об ошибках в RetailCRM", "Whom to notify of failures in RetailCRM";
        language: "Язык сообщений", "Language of messages";
        delivery_types: "Типы доставки", "Delivery types";
        default_service: "Режим доставки по умолчанию", "Default delivery mode";
        default_weight_g: "Вес по умолчанию, г", "Default weight, g";
        cod_policy: "Наложенный платёж в триггерах", "Cash on delivery in triggers";
        no_payment: "Заказ без оплат", "Order without payments";
        uncovered_rest: "Остаток, не покрытый оплатами", "Rest that no payment covers";
        currency: "Валюта", "Currency";
        allow_edit_cancel: "Изменение и отмена заказов", "Changing and cancelling orders";
    }
    product: "Курьерская служба 2008 (MeaSoft)", "Courier service 2008 (MeaSoft)";
    tab_settings: "Настройки", "Settings";
    tab_debug: "Отладка", "Debugging";
    tab_triggers: "Триггеры", "Triggers";
    tabs: "Разделы", "Sections";
    skip: "К содержанию", "Skip to the content";
    other_language: "English", "Русский";
    saved: "Настройки сохранены.", "The settings are saved.";
    changed_meanwhile: "Настройки не сохранены: пока страница была открыта, их изменили. Проверьте значения и сохраните ещё раз. Сейчас записано", "The settings are not saved: they were changed while the page was open. Check the values and save again. What is stored now";
    not_proved: "Настройки не сохранены: адрес и ключ RetailCRM принимаются только вместе и только если ключ там действует", "The settings are not saved: RetailCRM's address and key are taken over only together, and only if the key works there";
    cabinet_of_another: "Настройки не сохранены: этот кабинет MeaSoft уже подключён другой интеграцией, и пароль к нему другой", "The settings are not saved: another integration uses this MeaSoft cabinet, with another password";
    replayed: "Команда отправлена повторно. Результат появится здесь через несколько секунд.", "The command is being tried again. Its result appears here in a few seconds.";
    not_replayed: "Повторить не удалось: запись уже закрыта.", "It could not be tried again: the record is closed already.";
    has_errors: "Настройки не сохранены: исправьте отмеченные поля.", "The settings are not saved: correct the marked fields.";
    connection: "Подключение", "Connection";
    keep_secret: "Оставьте пустым, чтобы не менять.", "Leave empty to keep it.";
    secret_entered: "Введённое запомнено до сохранения; если вы ничего не вводили, значение не изменится.", "What you entered is kept until you save; if you entered nothing, the value stays.";
    exchange: "Обмен с RetailCRM", "Exchange with RetailCRM";
    payment_status_hint: "Символьный код статуса оплаты RetailCRM, который ставится после доставки. Пусто: не менять.", "Symbolic code of the RetailCRM payment status set after delivery. Empty: leave it alone.";
    returned_item_status_hint: "Символьный код статуса товара в заказе. Если он задан, после частичного выкупа в позиции заказа записывается, что взято и от чего отказались. Пусто: позиции не менять.", "Symbolic code of a product status. Once it is set, an order taken in part has written to its positions what was taken and what was refused. Empty: positions are left alone.";
    delivered_item_status_hint: "Символьный код статуса товара в заказе. Пусто: статус взятых позиций не менять.", "Symbolic code of a product status. Empty: positions that were taken keep theirs.";
    notify_groups_hint: "Символьные коды групп пользователей через запятую. Им придёт уведомление, когда впервые возникнет ошибка новой причины и когда она прекратится. Пусто: никого.", "Symbolic codes of user groups, comma separated. They are notified when a failure of a new cause comes up for the first time and when it is over. Empty: nobody.";
    receive: "Получать", "Receive";
    not_receive: "Не получать", "Do not receive";
    orders: "Передача заказов", "Handing orders over";
    delivery_types_hint: "Символьные коды через запятую. Пусто: все типы, интегрированные с этим модулем.", "Symbolic codes, comma separated. Empty: all types tied to this module.";
    default_service_hint: "Код режима MeaSoft для заказов без выбранного тарифа.", "MeaSoft's code of the mode for orders without a tariff.";
    cod_by_type: "По типам оплаты (рекомендуется)", "By payment type (recommended)";
    cod_as_vendor: "Всегда вся неоплаченная сумма", "Always the whole unpaid sum";
    no_payment_collect: "Получить всю сумму наличными", "Collect the whole sum in cash";
    no_payment_nothing: "Ничего не получать", "Collect nothing";
    no_payment_refuse: "Не передавать", "Do not hand it over";
    currency_hint: "Валюта курьерской службы, три буквы; заказ в другой валюте не передаётся", "The courier's currency, three letters; an order in another one is not handed over";
    allowed: "Разрешены курьерской службой", "Allowed by the courier service";
    not_allowed: "Не разрешены", "Not allowed";
    yes: "Да", "Yes";
    no: "Нет", "No";
    save: "Сохранить", "Save";
    check_title: "Проверка соединения", "Connection check";
    check_hint: "Проверяется то, что стоит в форме сейчас, ещё до сохранения: ключ RetailCRM, вход в MeaSoft и, если указан город, тарифы.", "What the form holds now is checked, before it is saved: the RetailCRM key, the MeaSoft login and, with a town, the tariffs.";
    check_unsaved: "Проверены ещё не сохранённые значения: нажмите «Сохранить», чтобы они начали действовать.", "Values that are not saved yet were checked: press Save to put them to use.";
    check_town: "Город для проверки тарифов", "Town for a sample tariff";
    check_weight: "Вес, г", "Weight, g";
    check: "Проверить соединение", "Check the connection";
    check_failed: "Проверка не ответила вовремя, повторите через минуту.", "The check did not answer in time, try again in a minute.";
    good: "Хорошо", "Good";
    bad: "Плохо", "Bad";
    crm_key: "Ключ RetailCRM", "RetailCRM key";
    crm_rights: "Права ключа", "The key's rights";
    crm_codes: "Коды справочников RetailCRM", "Codes of RetailCRM's references";
    courier_login: "Вход в MeaSoft", "MeaSoft login";
    tariffs: "Тарифы", "Tariffs";
    state: "Состояние", "State";
    state_active: "Работает", "Working";
    shadow: "Режим тени: интеграция принимает триггеры, решает и сверяет с тем, что создала прежняя, но сама ничего не записывает. Триггерам нужен второй HTTP-запрос с буквальным ключом этой интеграции. Включает и выключает режим администратор интеграции.", "Mode shadow: the integration takes triggers, decides, and compares with what the one before placed, but writes nothing itself. Triggers need a second HTTP request with this integration's literal key. Its operator switches the mode on and off.";
    state_paused: "Приостановлена", "Paused";
    search: "Номер заказа", "Order number";
    find: "Найти", "Find";
    show_all: "Показать всё", "Show everything";
    failures: "Что не удалось", "What failed";
    no_failures: "Неудач нет.", "Nothing failed.";
    next_step: "Что делать", "What to do";
    replay: "Повторить", "Try again";
    kind_send: "Отправка", "Sending";
    kind_update: "Изменение", "Change";
    kind_cancel: "Отмена", "Cancellation";
    kind_statuses: "Статусы", "Statuses";
    kind_payments: "Оплата", "Payment";
    kind_returns: "Возвраты", "Returns";
    kind_other: "Обмен", "Exchange";
    happened: "Раз", "Times";
    order: "Заказ", "Order";
    exchanges: "Запросы и решения", "Requests and decisions";
    nothing_found: "Ничего не найдено.", "Nothing found.";
    request: "Запрос", "Request";
    response: "Ответ", "Answer";
    masked: "Телефоны, имена, адреса и ключи скрыты. Время московское.", "Phones, names, addresses and keys are hidden. Moscow time.";
    newest: "Показаны последние 100 записей.", "The newest 100 entries are shown.";
    triggers_intro: "Создайте в RetailCRM три триггера (Настройки → Триггеры, событие «Изменение заказа») и скопируйте в них эти значения. Переносы строк не допускаются.", "Create three triggers in RetailCRM (Settings → Triggers, event «order changed») and copy these values into them. Line breaks are not allowed.";
    no_delivery_types: "Пока в условии стоит «…», триггер никогда не сработает: подставьте вместо «…» символьный код типа доставки. Чтобы коды появились здесь сами, выберите модуль в типе доставки («Интегрировать с») или укажите коды на вкладке «Настройки».", "While a condition holds «…» its trigger never fires: put the delivery type's symbolic code in the place of «…». To have the codes here, choose the module in the delivery type, or enter the codes on the tab Settings.";
    of_integrations: "Интеграции без типов доставки", "Integrations without delivery types";
    extended_condition: "Расширенное условие", "Extended condition";
    extended_hint: "На выбор вместо условия выше: выполняется и при изменении адреса, комментариев, стоимости доставки, тарифа и пункта выдачи. Имена полей тарифа и пункта выдачи не подтверждены: проверьте их на пробном заказе.", "To choose in the place of the condition above: also true when address, comments, delivery cost, tariff or pick-up point change. The field names of tariff and pick-up point are unproven: try them on a test order.";
    literal_key: "Если тариф в заказах не выбирают, заказ не знает ключа: тогда укажите как значение key сам ключ", "Where nobody chooses a tariff an order does not know the key: then give the key itself as the value of key";
    trigger_send: "Отправка заказа в MeaSoft", "Send the order to MeaSoft";
    trigger_update: "Передача изменений заказа в MeaSoft", "Pass the order's changes to MeaSoft";
    trigger_cancel: "Отмена заказа в MeaSoft", "Cancel the order at MeaSoft";
    condition: "Условие (Редактор)", "Condition (editor)";
    action: "Действие", "Action";
    http_request: "Выполнить HTTP-запрос", "HTTP request";
    address: "Адрес", "Address";
    method: "HTTP метод", "HTTP method";
    pass: "Передавать параметры", "Pass parameters";
    in_body: "В теле запроса (urlencode)", "In the request body (urlencode)";
    parameter: "Параметр", "Parameter";
    value: "Значение", "Value";
    api_key: "API ключ службы доставки", "Delivery service API key";
    forbidden: "Нет доступа", "No access";
    forbidden_text: "Откройте эту страницу из RetailCRM: Настройки → Интеграция → модуль курьерской службы. Сеанс длится 30 минут.", "Open this page from RetailCRM: Settings → Integration → the courier service's module. A session lasts 30 minutes.";
    unavailable: "Временно недоступно", "Temporarily unavailable";
    unavailable_text: "База данных не отвечает. Повторите через минуту.", "The database does not answer. Try again in a minute.";
    not_found: "Такой страницы нет", "There is no such page";
}

impl Texts {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Ru => &RU,
            Language::En => &EN,
        }
    }

    /// What a command was to do.
    pub fn kind(&self, kind: &str) -> &'static str {
        match kind {
            "SendOrder" => self.kind_send,
            "UpdateOrder" => self.kind_update,
            "CancelOrder" => self.kind_cancel,
            "SyncStatuses" => self.kind_statuses,
            "SyncPayments" => self.kind_payments,
            "SyncReturns" => self.kind_returns,
            _ => self.kind_other,
        }
    }

    /// The name of something the connection check looked at.
    pub fn checked(&self, what: &str) -> &'static str {
        match what {
            "crm_key" => self.crm_key,
            "crm_rights" => self.crm_rights,
            "crm_codes" => self.crm_codes,
            "courier_login" => self.courier_login,
            _ => self.tariffs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_untranslated() {
        for (ru, en) in ALL {
            assert!(!ru.is_empty() && !en.is_empty());
            assert!(ru != en, "{ru}");
            let cyrillic = en.chars().any(|c| ('а'..='я').contains(&c));
            assert!(!cyrillic || *en == "Русский", "{en}");
        }
    }
}
