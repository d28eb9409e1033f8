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
    Awake => "awake", true, "Причина снова показывается.", "The cause is told again.";
    Over => "over", false, "Открытых неудач этой причины уже нет.", "Nothing of this cause is open any more.";
    Discarded => "discarded", true, "Закрыто без повтора.", "Discarded.";
    NotOpen => "not-open", false, "Эта неудача уже закрыта.", "This failure is closed already.";
    Replayed => "replayed", true, "Команда отправлена повторно.", "The command is being tried again.";
    NoCommand => "no-command", false, "В этой записи нет команды для повтора; её можно закрыть.", "It holds no command to try again; it can be discarded.";
    Hurried => "hurried", true, "Попытка назначена на сейчас.", "Made due at once.";
    NothingWaits => "nothing-waits", false, "Здесь уже ничего не отложено.", "Nothing of it is put off any more.";
    Dropped => "dropped", true, "Запрос снят с исполнения.", "The request is not carried out.";
    Gone => "gone", false, "Этот запрос уже исполнен или изменился: посмотрите ещё раз.", "This request was carried out or is another by now: look again.";
    InHand => "in-hand", false, "Заказ сейчас в работе: повторите позже.", "A worker has the order: try again later.";
    Uncertain => "uncertain", false, "Неизвестно, есть ли заказ в MeaSoft: сначала это выяснит проверка, снять запрос нельзя.", "Whether MeaSoft has the order is not known: a look there comes first, the request cannot be dropped.";
    Ended => "ended", true, "Сеанс завершён.", "The session is ended.";
    TooMany => "too-many", false, "Сейчас выполняется слишком много таких задач: повторите через минуту.", "Too much of this kind runs now: try again in a minute.";
    Planned => "planned", true, "Повтор запланирован. Ничего ещё не отправлено: проверьте и запустите.", "The replay is planned. Nothing is sent yet: look at it, then start it.";
    NothingToReplay => "nothing-to-replay", false, "Повторять нечего: открытых неудач нет, или их очередь уже идёт в другом повторе.", "Nothing is to be tried again: none is open, or their turn comes in another replay.";
    ReplayStarted => "replay-started", true, "Повтор запущен.", "The replay is started.";
    ReplayStopped => "replay-stopped", true, "Повтор остановлен: неудачи, до которых очередь не дошла, остались открыты.", "The replay is stopped: failures whose turn has not come stay open.";
    Paced => "paced", true, "Темп изменён.", "The pace is changed.";
    ReplayIs => "replay-is", false, "В этом состоянии повтора так сделать нельзя: посмотрите, что с ним сейчас.", "That cannot be done with the replay as it is: look at it anew.";
    Corrected => "corrected", true, "Исправлено: MeaSoft получит изменение.", "Corrected: MeaSoft is brought in line.";
    NothingGiven => "nothing-given", false, "Ничего не указано: заполните хотя бы одно поле.", "Nothing is given: fill in at least one field.";
    NothingDiffers => "nothing-differs", false, "В заказе уже так и есть.", "The order says so already.";
    Edited => "edited", true, "Сохранено.", "Saved.";
    EditedUnverified => "edited-unverified", true, "Сохранено, но RetailCRM не ответила: коды не проверены. Проверьте позже.", "Saved, but RetailCRM did not answer: the codes are unverified. Check it later.";
    KeyIsAnother => "key-is-another", false, "Ключ уже сменили: новый ключ не создан.", "The key was replaced already: no new one is made.";
    NotCompared => "not-compared", false, "Результата сверки уже нет: сверьте ещё раз.", "What came of the comparison is gone: compare again.";
    NotActive => "not-active", false, "Интеграция приостановлена или удалена.", "The integration is paused or removed.";
    NothingToRepair => "nothing-to-repair", false, "Исправлять автоматически нечего.", "Nothing can be made good by itself.";
    Repaired => "repaired", true, "Исправление запрошено: через несколько минут сверьте ещё раз.", "What makes it good is asked for: compare again in a few minutes.";
    ReasonMissing => "reason-missing", false, "Укажите причину: она останется в журнале действий.", "Give a reason: it is kept in the audit.";
}

texts! {
    product: "Интеграция RetailCRM и MeaSoft", "Bridge of RetailCRM and MeaSoft";
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
    people: "Пользователи", "People";
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
    left_alone: "Обращения приостановлены", "Left alone";
    left_alone_hint: "Адреса и учётные записи, к которым мы временно не обращаемся после отказов.", "Addresses and accounts that rest after failures.";
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
    wake: "Снова показывать", "Take up again";
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
    state_resolved: "решена", "resolved";
    closed_too: "и закрытые", "closed ones too";
    nothing_found: "Ничего не найдено.", "Nothing was found.";
    older: "Раньше", "Older";
    further: "Дальше", "Further";
    to_newest: "К началу", "To the beginning";
    detail: "Подробности из записи", "Details of the record";
    nothing_waits: "Ожидающих запросов нет.", "Nothing waits.";
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
    to_collect: "К оплате при вручении", "To collect";
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
    replays: "Повторы", "Replays";
    replay_of: "Повтор", "Replay";
    replays_hint: "Повтор многих неудач планируется на странице", "Trying many failures again is planned on the page";
    no_replays: "Повторов ещё не было.", "There was no replay yet.";
    plan_replay: "Запланировать повтор", "Plan a replay";
    all_failures: "все открытые неудачи", "all open failures";
    how_far: "Как идёт", "How far it is";
    failures_meant: "неудач:", "failures:";
    a_minute: "в минуту", "a minute:";
    queued: "В очереди", "Queued";
    in_hand: "В работе", "In hand";
    succeeded: "Удалось", "Done";
    failed_again: "Снова не удалось", "Failed again";
    skipped: "Пропущено: закрыты раньше", "Skipped: closed before";
    replay_waits: "Ждут (пауза или отказы на той стороне)", "Wait (paused, or left alone after failures)";
    start: "Запустить", "Start";
    stop: "Остановить", "Stop";
    pace: "Изменить темп", "Change the pace";
    what_it_does: "Что будет сделано", "What it does";
    and_more: "и ещё", "and more:";
    about_requests: "Примерно запросов:", "About so many requests:";
    to_go: "осталось", "to go:";
    planned_by: "Кем запланирован:", "Planned by";
    started: "запущен", "started";
    errand_runs: "Выполняется.", "It runs.";
    errand_failed: "Не получилось.", "It failed.";
    errand_done: "Готово.", "Done.";
    look_again: "Посмотреть снова", "Look again";
    asked_by: "Кем запрошено:", "Asked for by";
    not_asked: "Ещё не запрашивали, или это было давно.", "Nobody has asked for it lately.";
    preview: "Что будет сделано сейчас", "What would be done now";
    preview_again: "Рассчитать", "Find out";
    preview_hint: "Ничего не записывается и не отправляется: заказ читается в RetailCRM и MeaSoft.", "Nothing is written or sent: the order is read from RetailCRM and MeaSoft.";
    would_differ: "Что изменится в MeaSoft", "What would become different at MeaSoft";
    has_now: "Сейчас", "Now";
    would_have: "Станет", "Would be";
    requests_that_leave: "Запросы, которые уйдут", "Requests that would leave";
    ask_measoft: "Спросить MeaSoft", "Ask MeaSoft";
    planned_for: "Плановая дата", "Planned for";
    is_news: "Статус новый: он запрошен и появится здесь в течение минуты.", "The status is news: it is asked for and comes here within a minute.";
    not_there: "В MeaSoft такого заказа нет.", "MeaSoft has no such order.";
    in_crm: "Открыть в RetailCRM", "Open in RetailCRM";
    in_cabinet: "Кабинет MeaSoft", "MeaSoft cabinet";
    correct: "Исправить", "Correct";
    correct_hint: "Заполните только то, что неверно. Исправление действует, пока в RetailCRM не изменят это поле; суммы так не меняют.", "Fill in only what is wrong. A correction holds until the field changes in RetailCRM; sums are not corrected here.";
    make_empty: "очистить", "make it empty";
    corrections: "Исправления", "Corrections";
    overtaken: "Пока вы вносили исправление, заказ уже изменён:", "While you were writing, this order was corrected by";
    overtaken_next: "Проверьте, что получилось, и отправьте ещё раз, если это всё ещё нужно.", "Look at what came of it, and send again if that is still wanted.";
    bad_value: "Недопустимое значение поля:", "This value cannot be used:";
    crm_silent: "RetailCRM не ответила: ничего не изменено, повторите позже.", "RetailCRM did not answer: nothing is changed, try again later.";
    crm_has_none: "В RetailCRM нет такого заказа этой интеграции.", "RetailCRM has no such order of this integration.";
    several_orders: "Этот номер у нескольких заказов: какой исправить, неизвестно.", "Several orders bear this number: which one is meant is not known.";
    compare: "Сверка", "Compare";
    compare_hint: "Заказы одного дня в RetailCRM, у нас и в MeaSoft. Чтение идёт в пределах лимитов и может занять несколько минут; результат хранится полчаса.", "Orders of one day in RetailCRM, in our ledger and at MeaSoft. Reading keeps to the limits and may take minutes; what comes of it is kept for half an hour.";
    one_day: "День", "Day";
    compare_now: "Сверить", "Compare";
    not_compared: "Сверки за этот день ещё не было.", "This day was not compared yet.";
    ledger: "У нас", "Ledger";
    unlisted: "В настройках нет типов доставки: заказы, которых нет у нас, в RetailCRM не ищем.", "No delivery types are set: what we lack is not looked for in RetailCRM.";
    unasked: "Не проверено в MeaSoft:", "Not asked about at MeaSoft:";
    books_agree: "Расхождений нет.", "The books agree.";
    makes_good: "Как исправить", "Repair";
    make_good: "Исправить", "Make good";
    make_good_hint: "Как пропущенный триггер. Остальное решает человек.", "As the missed trigger would have. The rest is a person's matter.";
    shadow: "Тень", "Shadow";
    shadow_hint: "Что сделала бы эта интеграция с заказами последних семи дней, рядом с тем, что создала в MeaSoft прежняя. В режиме тени ничего не записывается.", "What this integration would have done with the orders of the last seven days, beside what the one before it placed at MeaSoft. In this mode nothing is written.";
    goes_live: "работает вживую", "live";
    in_shadow: "режим тени", "in mode shadow";
    owner_acts: "Подключение к RetailCRM и MeaSoft", "At RetailCRM and MeaSoft";
    edit: "Изменить настройки", "Change settings";
    check: "Проверить доступ", "Check access";
    is_wrong: "плохо", "bad";
    register: "Зарегистрировать модуль", "Register the module";
    register_hint: "RetailCRM узнает, что умеет модуль доставки. Повторять безопасно.", "RetailCRM is told what the delivery module offers. It is safe to repeat.";
    registered_first: "Модуль зарегистрирован:", "The module is registered:";
    registered_again: "Регистрация обновлена:", "The registration is up to date:";
    delivery_type: "тип доставки", "delivery type";
    rotate_key: "Новый ключ триггеров", "New trigger key";
    rotate_hint: "Триггеры со старым ключом сразу перестанут приниматься.", "Triggers with the old key are refused at once.";
    new_key: "Новый ключ", "The new key";
    new_key_once: "Он показан один раз: скопируйте его сейчас.", "It is shown once: copy it now.";
    new_key_next: "Вставьте его в триггеры RetailCRM; готовые значения печатает команда", "Put it into RetailCRM's triggers; this command prints the values:";
    title: "Название", "Title";
    courier_code: "Код курьерской службы", "Courier's code";
    login: "Логин в кабинете MeaSoft", "Login at MeaSoft";
    prefix_hint: "Для заказов, которые будут переданы с этого момента.", "For orders that are placed from now on.";
    secrets: "Ключи и пароли", "Keys and passwords";
    secrets_hint: "Их не показывают. Пустое поле оставляет прежнее значение.", "They are never shown. An empty field keeps what is there.";
    crm_key: "Новый ключ API RetailCRM", "New RetailCRM API key";
    password: "Новый пароль кабинета MeaSoft", "New password at MeaSoft";
    set_lines: "Что изменить, по одной настройке на строке", "What to change, one setting a line";
    set_hint: "Имена как в таблице ниже; через точку, если внутри несколько значений:", "Names as in the table below; with a dot where there are several values within:";
    save: "Сохранить", "Save";
    settings_now: "Как сейчас", "As it is";
    not_a_setting: "Не сохранено: строка не похожа на «имя=значение»", "Not saved: a line is not NAME=VALUE";
    not_saved: "Не сохранено", "Not saved";
    changed_meanwhile: "Не сохранено: интеграцию в это время изменил кто-то ещё. Откройте страницу заново.", "Not saved: somebody else changed the integration meanwhile. Open the page anew.";
    replay_due: "Будет повторено", "To be tried again";
    address_crm: "Адрес RetailCRM", "RetailCRM";
    address_measoft: "Адрес MeaSoft", "MeaSoft";
    cabinet: "Код курьерской службы и логин", "Courier's code and login";
    prefix: "Префикс номеров", "Prefix of numbers";
    module: "Модуль в RetailCRM", "Module in RetailCRM";
    added: "Добавлена", "Added";
    settings: "Настройки", "Settings";
    settings_hint: "Меняет их менеджер в RetailCRM, владелец здесь или команда", "They are changed by the manager in RetailCRM, by an owner here, or by the command";
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
    people_hint: "Кто вошёл сам или по одноразовому адресу. Такой адрес делает команда", "Who signed in, or came by a one-time address. To make one:";
    no_people: "Никто не вошёл.", "Nobody is in.";
    enter: "Войти", "Sign in";
    enter_text: "Адрес одноразовый: он сработает, когда вы нажмёте «Войти».", "The address is good once: when you press «Sign in».";
    not_signed_in: "Нужно войти", "Please sign in";
    not_signed_in_text: "Одноразовый адрес для входа печатает команда на этой машине; он действует пять минут, сеанс восемь часов:", "A command on this machine prints a one-time address; it is good for five minutes, a session for eight hours:";
    link_unknown: "Такого адреса для входа нет. Попросите новый:", "There is no such address. Ask for a new one:";
    link_expired: "Время этого адреса вышло: он действует пять минут. Попросите новый:", "This address is over: it is good for five minutes. Ask for a new one:";
    link_used: "Этот адрес уже использован. Если не вами, скажите владельцу установки. Новый:", "This address was used already. If that was not you, tell the installation's owner. A new one:";
    sign_in: "Войти под учётной записью компании", "Sign in with your company's account";
    signed_in: "Вы вошли", "You are signed in";
    sign_in_other: "Этот вход начат не здесь: в другом браузере, по другому адресу консоли, или позже начат ещё один. Войдите заново.", "This sign-in was not begun here: it is of another browser or another address of the console, or a later one took its place. Sign in anew.";
    sign_in_late: "Вход не завершён за десять минут. Войдите заново.", "The sign-in was not ended within ten minutes. Sign in anew.";
    sign_in_used: "Этот вход уже использован. Войдите заново.", "This sign-in was used already. Sign in anew.";
    sign_in_denied: "Служба входа компании вас не впустила. Почему, скажет её администратор.", "Your company's sign-in service did not let you in. Its administrator can tell why.";
    sign_in_code: "Служба входа компании не узнала свой код: он уже использован или устарел. Войдите заново; если не поможет, решает её администратор.", "Your company's sign-in service does not take its own code: it was used already, or is too old. Sign in anew; if that does not help, its administrator has to act.";
    sign_in_token: "Ответ службы входа компании не прошёл проверку: верить ему нельзя. Войдите заново; если не поможет, решает администратор интеграции: в журнале процесса сказано, что именно не так.", "What your company's sign-in service said is not to be believed. Sign in anew; if that does not help, the bridge's administrator has to act: the process' log says what is wrong.";
    sign_in_nameless: "Служба входа компании не сообщила, как вас зовут. Решает её администратор; в каком поле нужно имя, говорит настройка", "Your company's sign-in service does not tell your name. Its administrator has to act; the claim that is wanted is this setting:";
    sign_in_no_group: "Служба входа компании вас знает, но доступа к консоли у вас нет. Её администратор даёт его одной из групп:", "Your company's sign-in service knows you, but you may not use the console. Its administrator lets you by one of these groups:";
    no_provider: "Служба входа компании не отвечает или отвечает не так, как должна. Повторите через минуту; если не поможет, решает её администратор. Подробности в журнале процесса.", "Your company's sign-in service does not answer, or not as it should. Try again in a minute; if that does not help, its administrator has to act. The process' log says more.";
    not_its_client: "Служба входа компании не узнаёт консоль. Решает администратор интеграции: неверна одна из настроек", "Your company's sign-in service does not know this console. The bridge's administrator has to act: one of these settings is wrong:";
    forbidden: "Недостаточно прав", "Not allowed";
    forbidden_text: "Это действие вам не разрешено, или форма устарела: вернитесь на страницу и повторите. Отказ записан.", "You may not do this, or the form is too old: go back to the page and try again. The refusal is noted.";
    not_found: "Такой страницы нет", "There is no such page";
    not_found_text: "Проверьте адрес или начните со страницы «Сейчас».", "Check the address, or begin with the page «Now».";
    bad_form: "Форма не читается", "The form cannot be read";
    bad_form_text: "Вернитесь на страницу и повторите.", "Go back to the page and try again.";
    bad_filter: "Такого отбора нет", "There is no such filter";
    bad_filter_text: "В адресе названо то, чего нельзя выбрать на странице. Выберите интеграцию, день или причину на ней.", "The address names what cannot be chosen on the page. Choose the integration, the day or the cause there.";
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
