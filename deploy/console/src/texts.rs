//! The pages' words in both languages.

use shared::domain::Language;

macro_rules! texts {
    ($($name:ident: $ru:literal, $en:literal;)*) => {
        /// The words of one language.
        #[derive(Debug)]
        pub struct Texts {
            pub code: &'static str,
            pub other_code: &'static str,
            $(pub $name: &'static str,)*
        }

        static RU: Texts = Texts { code: "ru", other_code: "en", $($name: $ru,)* };
        static EN: Texts = Texts { code: "en", other_code: "ru", $($name: $en,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$(($ru, $en),)*];
    };
}

macro_rules! notices {
    ($($name:ident => $word:literal, $good:literal, $ru:literal, $en:literal;)*) => {
        /// What came of what somebody did.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Notice { $($name),* }

        impl Notice {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// Its words, and whether it was what they wanted.
            pub fn words(word: &str, language: Language) -> Option<(&'static str, bool)> {
                match (word, language) {
                    $(($word, Language::Ru) => Some(($ru, $good)), ($word, Language::En) => Some(($en, $good)),)*
                    _ => None,
                }
            }
        }
    };
}

notices! {
    Paused => "paused", true, "Интеграция приостановлена: её команды ждут.", "The integration is paused: its commands wait.";
    Resumed => "resumed", true, "Интеграция снова работает.", "The integration is active again.";
    Asked => "asked", true, "Статусы запрошены: ответ будет в течение минуты.", "A status sync is asked for: it comes within a minute.";
    Acknowledged => "acknowledged", true, "Причина принята в работу.", "The cause is acknowledged.";
    Snoozed => "snoozed", true, "Причина отложена.", "The cause is snoozed.";
    Awake => "awake", true, "Причина снова на виду.", "The cause is told again.";
    Over => "over", false, "Открытых неудач этой причины уже нет.", "Nothing of this cause is open any more.";
    Discarded => "discarded", true, "Закрыто без повтора.", "Discarded.";
    NotOpen => "not-open", false, "Эта неудача уже закрыта.", "This failure is closed already.";
    Replayed => "replayed", true, "Команда отправлена повторно.", "The command is being tried again.";
    NoCommand => "no-command", false, "В этой записи нет команды для повтора; её можно закрыть.", "It holds no command to try again; it can be discarded.";
    Hurried => "hurried", true, "Назначено немедленно.", "Made due at once.";
    NothingWaits => "nothing-waits", false, "Здесь уже ничего не отложено.", "Nothing of it is put off any more.";
    Dropped => "dropped", true, "Запрос снят с исполнения.", "The request is not carried out.";
    Gone => "gone", false, "Этот запрос уже исполнен или изменился: посмотрите ещё раз.", "This request was carried out or is another by now: look again.";
    InHand => "in-hand", false, "Заказ сейчас в работе: повторите позже.", "A worker has the order: try again later.";
    Uncertain => "uncertain", false, "Неизвестно, есть ли заказ в MeaSoft: сначала это выяснит проверка, снять запрос нельзя.", "Whether MeaSoft has the order is not known: a look there comes first, the request cannot be dropped.";
    Ended => "ended", true, "Сеанс завершён.", "The session is ended.";
    ReasonMissing => "reason-missing", false, "Укажите причину: она останется в журнале действий.", "Give a reason: it is kept in the audit.";
}

texts! {
    product: "Мост RetailCRM и MeaSoft", "Bridge of RetailCRM and MeaSoft";
    skip: "К содержанию", "Skip to the content";
    sections: "Разделы", "Sections";
    other_language: "English", "Русский";
    leave: "Выйти", "Sign out";
    now: "Сейчас", "Now";
    causes: "Причины", "Causes";
    letters: "Неудачи", "Failures";
    waiting: "Ожидание", "Waiting";
    integrations: "Интеграции", "Integrations";
    budget: "Лимиты", "Limits";
    audit: "Действия", "Audit";
    people: "Люди", "People";
    find_order: "Номер заказа", "Order number";
    find: "Найти", "Find";
    times: "Время", "Times";
    at_moment: "по состоянию на", "as of";
    download: "Скачать таблицей (CSV)", "Download as CSV";
    all_well: "Всё в порядке.", "All is well.";
    need_attention: "Требуют внимания:", "Need attention:";
    out_of: "из", "of";
    no_integrations: "Интеграций ещё нет: их добавляет команда", "There is no integration yet; this command adds one:";
    integration: "Интеграция", "Integration";
    state: "Состояние", "State";
    active: "работает", "active";
    removed: "удалена", "removed";
    failures: "Неудачи", "Failures";
    waits: "Ждёт", "Waiting";
    last_sync: "Статусы", "Status sync";
    last_order: "Заказ передан", "Order placed";
    ago: "назад", "ago";
    share: "Лимит MeaSoft", "MeaSoft's limit";
    day: "24 часа", "24 hours";
    day_orders: "Заказы по часам за сутки:", "Orders of the last day by hour:";
    day_failures: "неудачи:", "failures:";
    level_ok: "в порядке", "well";
    level_warning: "внимание", "look";
    level_error: "неудачи", "act";
    pause: "Приостановить", "Pause";
    pause_hint: "Триггеры принимаются, команды ждут.", "Triggers are accepted, commands wait.";
    resume: "Возобновить", "Resume";
    sync: "Запросить статусы", "Sync statuses";
    reason_why: "Причина", "Reason";
    of_none: "Неудачи без интеграции", "Failures of no integration";
    left_alone: "Не беспокоим", "Left alone";
    left_alone_hint: "Адреса и учётные записи, которые отдыхают после отказов.", "Addresses and accounts that rest after failures.";
    filter: "Показать", "Show";
    all: "все", "all";
    who_acts: "Кто решает", "Who acts";
    snoozed_too: "и отложенные", "snoozed ones too";
    no_causes: "Открытых причин нет.", "No causes are open.";
    hidden: "Отложено:", "Snoozed:";
    show_hidden: "показать", "show";
    orders: "Заказы", "Orders";
    times_in_all: "случаев:", "times:";
    first_seen: "Впервые", "First seen";
    last_seen: "последний раз", "last";
    next_step: "Что делать", "What to do";
    acknowledged_by: "В работе у", "Acknowledged by";
    snoozed_until: "Отложена до", "Snoozed until";
    by: "кем:", "by";
    acknowledge: "Принять в работу", "Acknowledge";
    snooze: "Отложить", "Snooze";
    snooze_for: "На сколько", "For how long";
    hour_1: "1 час", "1 hour";
    hours_4: "4 часа", "4 hours";
    day_1: "1 день", "1 day";
    days_7: "7 дней", "7 days";
    wake: "Вернуть на вид", "Take up again";
    discard: "Закрыть без повтора", "Discard";
    discard_hint: "Команды не будут повторены.", "The commands are not tried again.";
    discard_cause_hint: "Закроются неудачи, которые есть на этой странице:", "Closes the failures that this page knows of:";
    no_integration: "без интеграции", "of no integration";
    order: "Заказ", "Order";
    command: "Команда", "Command";
    code_of_reason: "Код причины", "Code of the reason";
    since: "С", "Since";
    attempts: "попыток:", "tries:";
    replay: "Повторить", "Try again";
    state_open: "открыта", "open";
    state_replayed: "повторена", "replayed";
    state_discarded: "закрыта без повтора", "discarded";
    state_resolved: "разрешилась", "resolved";
    closed_too: "и закрытые", "closed ones too";
    nothing_found: "Ничего не найдено.", "Nothing was found.";
    older: "Раньше", "Older";
    further: "Дальше", "Further";
    to_newest: "К началу", "To the beginning";
    detail: "Подробности из записи", "Details of the record";
    nothing_waits: "Ничего не ждёт.", "Nothing waits.";
    how_many: "Сколько", "How many";
    what: "Что", "What";
    why: "Почему", "Why";
    next_try: "Следующая попытка", "Next try";
    more_messages: "Сообщений в таблице больше, чем прочитано.", "The job table holds more messages than were read.";
    paused_ones: "Приостановлены", "Paused";
    hurry: "Попробовать сейчас", "Try now";
    drop: "Снять с исполнения", "Drop";
    drop_hint: "Запрос не будет исполнен; заказ в RetailCRM и MeaSoft останется как есть.", "The request is not carried out; the order stays as it is in RetailCRM and MeaSoft.";
    waiting_orders: "Заказы, которые ждут", "Orders that wait";
    unknown_order: "О заказе с таким номером ничего не известно: ни один триггер его не называл.", "Nothing is known of an order with this number: no trigger named it so far.";
    found_at: "Номер известен нескольким интеграциям:", "Several integrations know this number:";
    crm_id: "Номер в RetailCRM (внутренний)", "RetailCRM's id";
    orderno: "Номер в MeaSoft", "Number at MeaSoft";
    status: "Статус", "Status";
    to_collect: "К получению", "To collect";
    open_failures: "Открытые неудачи", "Open failures";
    is_waiting: "Ждёт", "Waiting";
    story: "Что происходило", "What happened";
    newest_first: "Новое сверху.", "The newest first.";
    story_cut: "Показаны последние записи:", "The newest entries are shown:";
    by_number_alone: "По номеру, без привязки к заказу", "Said by the number alone";
    past: "Завершено", "Over";
    request: "Запрос", "Request";
    response: "Ответ", "Answer";
    record: "Запись журнала", "The journal's own words";
    masked: "Личные данные скрыты, секретов здесь нет.", "Personal data is masked, secrets are not kept.";
    replay_due: "Будет повторено", "To be tried again";
    address_crm: "Адрес RetailCRM", "RetailCRM";
    address_measoft: "Адрес MeaSoft", "MeaSoft";
    cabinet: "Код курьерской службы и логин", "Courier's code and login";
    prefix: "Префикс номеров", "Prefix of numbers";
    module: "Модуль в RetailCRM", "Module in RetailCRM";
    added: "Добавлена", "Added";
    settings: "Настройки", "Settings";
    settings_hint: "Меняет их менеджер в RetailCRM или команда", "They are changed by the manager in RetailCRM or by the command";
    setting: "Настройка", "Setting";
    value: "Значение", "Value";
    usual: "по умолчанию", "as usual";
    connection: "Подключение", "Connection";
    no_requests: "Запросов не было.", "Nothing was asked.";
    last_24h: "За последние сутки.", "Of the last 24 hours.";
    account: "Учётная запись", "Account";
    requests: "Запросов", "Requests";
    failed: "неудачных", "failed";
    operation: "Операция", "Operation";
    windows: "Лимиты сейчас", "Limits now";
    act: "Действие", "Act";
    who: "Кто", "Who";
    when: "Когда", "When";
    object: "Что", "What";
    changed: "Что изменилось", "What changed";
    nobody_changed: "Никто ничего не менял.", "Nobody has changed anything.";
    audit_hint: "Записи связаны в цепочку; цела ли она, проверяет", "The records form a chain; whether it is whole, this tells:";
    check_chain: "Проверить цепочку", "Verify the chain";
    chain_whole: "Все записи на месте, как были сделаны:", "All records are there as they were made:";
    chain_broken: "Цепочка нарушена:", "The chain is broken:";
    role_viewer: "наблюдатель", "viewer";
    role_operator: "оператор", "operator";
    role_owner: "владелец", "owner";
    until: "До", "Until";
    end_session: "Завершить сеанс", "End the session";
    this_session: "это вы", "you";
    people_hint: "Кого впустили одноразовые адреса. Впустить ещё кого-нибудь:", "Whom one-time addresses let in. To let somebody in:";
    no_people: "По одноразовым адресам никто не вошёл.", "Nobody is in by a one-time address.";
    enter: "Войти", "Sign in";
    enter_text: "Адрес одноразовый: он сработает, когда вы нажмёте «Войти».", "The address is good once: when you press «Sign in».";
    not_signed_in: "Нужно войти", "Please sign in";
    not_signed_in_text: "Одноразовый адрес для входа печатает команда на этой машине; он действует пять минут, сеанс восемь часов:", "A command on this machine prints a one-time address; it is good for five minutes, a session for eight hours:";
    link_unknown: "Такого адреса для входа нет. Попросите новый:", "There is no such address. Ask for a new one:";
    link_expired: "Время этого адреса вышло: он действует пять минут. Попросите новый:", "This address is over: it is good for five minutes. Ask for a new one:";
    link_used: "Этот адрес уже использован. Если не вами, скажите владельцу установки. Новый:", "This address was used already. If that was not you, tell the installation's owner. A new one:";
    forbidden: "Недостаточно прав", "Not allowed";
    forbidden_text: "Это действие вам не разрешено, или форма устарела: вернитесь на страницу и повторите. Отказ записан.", "You may not do this, or the form is too old: go back to the page and try again. The refusal is noted.";
    not_found: "Такой страницы нет", "There is no such page";
    not_found_text: "Проверьте адрес или начните со страницы «Сейчас».", "Check the address, or begin with the page «Now».";
    bad_form: "Форма не читается", "The form cannot be read";
    bad_form_text: "Вернитесь на страницу и повторите.", "Go back to the page and try again.";
    unavailable: "Временно недоступно", "Temporarily unavailable";
    unavailable_text: "База данных не отвечает. Повторите через минуту; что с ней, говорит команда", "The database does not answer. Try again in a minute; what is wrong says";
}

impl Texts {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Ru => &RU,
            Language::En => &EN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_untranslated() {
        for (ru, en) in ALL {
            assert!(!ru.is_empty() && !en.is_empty() && ru != en, "{ru}");
            let cyrillic = en.chars().any(|c| ('а'..='я').contains(&c));
            assert!(!cyrillic || *en == "Русский", "{en}");
        }
    }

    #[test]
    fn what_came_of_it_is_said_in_both_languages() {
        let (ru, good) = Notice::words(Notice::Paused.as_str(), Language::Ru).expect("a notice");
        let (en, _) = Notice::words("paused", Language::En).expect("a notice");
        assert!(good && ru != en);
        assert_eq!(Notice::words("<script>", Language::Ru), None);
    }
}
