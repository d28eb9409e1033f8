//! What is said of an order in the card, from what the ledger knows of it. Pure.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use shared::domain::{Delivery, DeliveryState as S, Kopecks, Language, StatusCode};
use shared::measoft::Planned;
use shared::message::RetryWhy;
use shared::store::waiting_orders::WaitingOrder;
use shared::store::waits::Stand;

use crate::bilingual::bilingual;
use crate::widget::seen::Seen;

bilingual! {
    pub(super) enum Word {
        Title: "Доставка MeaSoft", "MeaSoft delivery";
        PageTitle: "Доставка MeaSoft: ошибки", "MeaSoft delivery: failures";
        Failures: "Что не удалось", "What failed";
        NextStep: "Что делать", "What to do";
        Again: "Повторить", "Try again";
        Ask: "Спросить курьера", "Ask the courier";
        Story: "История", "Story";
        Close: "Закрыть", "Close";
        More: "Показать ещё", "Show more";
        Nothing: "Ошибок нет.", "Nothing failed.";
        Asked: "Запрос отправлен в курьерскую службу. Ответ появится здесь через несколько секунд.",
            "The courier service is asked. Its answer appears here in a few seconds.";
        AskedBefore: "Запрос уже отправлен, или данные изменились: посмотрите, что показано сейчас.",
            "Asked already, or changed meanwhile: look at what is shown now.";
        Error: "ошибка", "failed";
        Unknown: "не передавался", "never handed over";
        NotThere: "не передан", "not handed over";
        Uncertain: "проверяется, принят ли заказ", "whether it was accepted is being checked";
        Accepted: "принят", "accepted";
        OnItsWay: "в пути", "on its way";
        Delivered: "вручён", "delivered";
        Partly: "вручён частично", "delivered in part";
        NotDelivered: "не вручён", "not delivered";
        Returned: "возвращён", "returned";
        Lost: "утерян", "lost";
        Cancelled: "отменён", "cancelled";
        HandingOver: "передаётся", "being handed over";
        Updating: "обновляется", "being updated";
        Waits: "ждёт", "waits";
        Today: "сегодня", "today";
        Tomorrow: "завтра", "tomorrow";
        WaitsFor: "Ждёт", "Waits";
        NextTry: "следующая попытка", "next try";
        State: "Состояние", "State";
        Courier: "Курьер", "Courier";
        Planned: "Плановая дата", "Planned date";
        Number: "Номер в MeaSoft", "Number at MeaSoft";
        ToCollect: "К оплате при вручении", "To collect";
        Collected: "Оплачено при вручении", "Collected";
    }
}

/// Labels of what the widget draws.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Words {
    failures: &'static str,
    next_step: &'static str,
    again: &'static str,
    ask: &'static str,
    story: &'static str,
    close: &'static str,
    more: &'static str,
    nothing: &'static str,
}

impl Words {
    pub(super) const fn of(language: Language) -> Self {
        Self {
            failures: Word::Failures.text(language),
            next_step: Word::NextStep.text(language),
            again: Word::Again.text(language),
            ask: Word::Ask.text(language),
            story: Word::Story.text(language),
            close: Word::Close.text(language),
            more: Word::More.text(language),
            nothing: Word::Nothing.text(language),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    Bad,
    Wait,
    Good,
    Plain,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Button {
    #[serde(rename = "button")]
    pub(super) text: String,
    pub(super) tone: Tone,
    /// Seconds until it is worth looking again.
    pub(super) look: Option<u32>,
}

/// The button: the worst there is to say; without words there is none.
pub(super) fn button(seen: &Seen, today: Date, language: Language) -> Button {
    if seen.is_of_another {
        return Button { text: String::new(), tone: Tone::Plain, look: None };
    }
    let say = |word: Word| word.text(language);
    let (said, tone, look) = match (&seen.letters[..], &seen.waiting, &seen.delivery) {
        ([], Some(waiting), delivery) => {
            let cause = cause(seen, waiting).map(|why| why.words(language));
            let text = cause.map_or_else(
                || {
                    say(if delivery.as_ref().is_some_and(|d| d.state.is_placed()) {
                        Word::Updating
                    } else {
                        Word::HandingOver
                    })
                    .to_owned()
                },
                |cause| format!("{}: {cause}", say(Word::Waits)),
            );
            (text, Tone::Wait, Some(if cause.is_some() { 15 } else { 3 }))
        }
        ([], None, None) => (say(Word::Unknown).to_owned(), Tone::Plain, None),
        ([], None, Some(d)) => {
            let comes = matches!(d.state, S::Created | S::InWork)
                .then(|| seen.details.planned.as_ref().and_then(|planned| soon(planned, today, language)))
                .flatten();
            let text = comes.map_or_else(|| say(stands(d)).to_owned(), |comes| format!("{}, {comes}", say(stands(d))));
            let tone = match d.state {
                S::Delivered => Tone::Good,
                S::Sending | S::Unknown => Tone::Wait,
                _ => Tone::Plain,
            };
            (text, tone, d.state.needs_lookup().then_some(5))
        }
        (letters, waiting, _) => {
            (format!("{} ({})", say(Word::Error), letters.len()), Tone::Bad, waiting.as_ref().map(|_| 5))
        }
    };
    Button { text: format!("{}: {said}", say(Word::Title)), tone, look }
}

/// What a wait is for; `None` for one that is over in a moment.
fn cause(seen: &Seen, waiting: &WaitingOrder) -> Option<RetryWhy> {
    match waiting.stand {
        Stand::InHand => None,
        _ if seen.is_paused => Some(RetryWhy::Paused),
        Stand::Due => None,
        Stand::Later => waiting.why,
    }
}

const fn stands(d: &Delivery) -> Word {
    match d.state {
        S::Planned | S::Rejected => Word::NotThere,
        S::Sending | S::Unknown => Word::Uncertain,
        S::Created => Word::Accepted,
        S::InWork => Word::OnItsWay,
        S::Delivered => Word::Delivered,
        S::Partly => Word::Partly,
        S::NotDelivered => Word::NotDelivered,
        S::Returned => Word::Returned,
        S::Lost => Word::Lost,
        S::Cancelled => Word::Cancelled,
    }
}

/// «завтра 10–18»; `None` for a day that is past or cannot be read.
fn soon(planned: &Planned, today: Date, language: Language) -> Option<String> {
    let day = planned.day().filter(|day| *day >= today)?;
    let day = match (day == today, today.tomorrow().ok() == Some(day), language) {
        (true, ..) => Word::Today.text(language).to_owned(),
        (_, true, _) => Word::Tomorrow.text(language).to_owned(),
        (.., Language::Ru) => day.strftime("%d.%m").to_string(),
        (.., Language::En) => day.strftime("%-d %b").to_string(),
    };
    let hour = |time: &Option<String>| time.as_deref().map(|time| time.strip_suffix(":00").unwrap_or(time).to_owned());
    Some(match (hour(&planned.from), hour(&planned.to)) {
        (Some(from), Some(to)) => format!("{day} {from}–{to}"),
        _ => day,
    })
}

/// Label and value of what is known.
pub(super) fn facts(seen: &Seen, zone: &TimeZone, language: Language) -> Vec<(&'static str, String)> {
    let waits = seen.waiting.as_ref().and_then(|waiting| {
        let why = cause(seen, waiting)?;
        let tried = waiting.stand == Stand::Later && !seen.is_paused;
        let at = waiting.due.to_zoned_datetime(zone.clone()).strftime("%d.%m.%Y %H:%M");
        let next = if tried { format!("; {} {at}", Word::NextTry.text(language)) } else { String::new() };
        Some((Word::WaitsFor.text(language), format!("{}{next}", why.words(language))))
    });
    let known = seen.delivery.iter().flat_map(|d| of_delivery(seen, d, language));
    waits.into_iter().chain(known).collect()
}

fn of_delivery(seen: &Seen, d: &Delivery, language: Language) -> Vec<(&'static str, String)> {
    let reported = d.status.as_deref().filter(|_| d.state.is_placed()).map(StatusCode::parse);
    let state = match reported.filter(StatusCode::is_known) {
        Some(status) if language == Language::Ru => status.name_ru().to_owned(),
        Some(status) => status.name_en().to_owned(),
        None => stands(d).text(language).to_owned(),
    };
    let money = if matches!(d.state, S::Delivered | S::Partly) { Word::Collected } else { Word::ToCollect };
    let all = [
        (Word::State, Some(state)),
        (Word::Courier, seen.courier.clone()),
        (Word::Planned, seen.details.planned.as_ref().map(|planned| planned.words(language))),
        (money, d.price.map(|price| sum(price, &seen.currency, language))),
        (Word::Number, d.state.is_placed().then(|| d.orderno.as_str().to_owned())),
    ];
    all.into_iter().filter_map(|(word, value)| Some((word.text(language), value?))).collect()
}

/// «3 790,00 ₽», `RUB 3,790.00`.
fn sum(price: Kopecks, currency: &str, language: Language) -> String {
    let text = price.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, "00"));
    let (group, point) = match language {
        Language::Ru => ("\u{a0}", ','),
        Language::En => (",", '.'),
    };
    let digits = whole.as_bytes().rchunks(3).rev().map(|digits| String::from_utf8_lossy(digits).into_owned());
    let number = format!("{}{point}{part}", digits.collect::<Vec<_>>().join(group));
    match (language, currency) {
        (Language::Ru, "RUB") => format!("{number}\u{a0}₽"),
        (Language::Ru, currency) => format!("{number}\u{a0}{currency}"),
        (Language::En, currency) => format!("{currency}\u{a0}{number}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::domain::{CrmOrderId, Fault, IntegrationId, OrderNo};
    use shared::measoft::Details;
    use shared::store::dead_letters::{DeadLetter, DeadState};
    use shared::store::waiting_orders::RequestKey;

    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 9, 1);

    fn nothing() -> Seen {
        Seen {
            delivery: None,
            letters: Vec::new(),
            waiting: None,
            is_paused: false,
            is_of_another: false,
            details: Details::default(),
            courier: None,
            currency: "RUB".to_owned(),
        }
    }

    fn delivery(state: S) -> Delivery {
        let at = Timestamp::UNIX_EPOCH;
        Delivery {
            id: shared::domain::DeliveryId(1),
            integration: IntegrationId(1),
            crm_order: CrmOrderId(7),
            number: "7A".to_owned(),
            site: "main".to_owned(),
            delivery_type: "incity".to_owned(),
            orderno: OrderNo::known("7A"),
            ordercode: None,
            generation: 1,
            state,
            status: None,
            status_at: None,
            status_seen_at: None,
            cancelled_by_us: false,
            sent_hash: None,
            sending_hash: None,
            sending: None,
            sent_at: None,
            price: Some(Kopecks(379_000)),
            item_codes: Default::default(),
            saved_request: None,
            crm_written: Default::default(),
            reject_reason: None,
            requests: 1,
            fence: 1,
            prior_fence: 0,
            created_at: at,
        }
    }

    fn waits(stand: Stand, why: Option<RetryWhy>) -> Option<WaitingOrder> {
        let at = Timestamp::UNIX_EPOCH;
        Some(WaitingOrder {
            key: RequestKey { by_id: true, row: 1 },
            integration: IntegrationId(1),
            number: "7A".to_owned(),
            order: Some(CrmOrderId(7)),
            requested: 1,
            stand,
            why,
            tried: false,
            since: at,
            due: at,
        })
    }

    fn letter() -> DeadLetter {
        DeadLetter {
            id: 3,
            integration: Some(IntegrationId(1)),
            delivery: None,
            order: Some(CrmOrderId(7)),
            number: Some("7A".to_owned()),
            kind: "SendOrder".to_owned(),
            reason: "bad_phone".to_owned(),
            fault: Fault::Shop,
            detail: shared::phrases::Details::default(),
            state: DeadState::Open,
            attempts: 1,
            tries: 1,
            command: None,
            raw: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            closed_why: None,
        }
    }

    fn comes(date: &str, from: Option<&str>, to: Option<&str>) -> Details {
        let text = |t: Option<&str>| t.map(str::to_owned);
        let mut details = Details::default();
        details.planned = Some(Planned { date: date.to_owned(), from: text(from), to: text(to) });
        details
    }

    #[test]
    fn the_button_says_the_worst_there_is_in_both_languages() {
        let going = |details| Seen { delivery: Some(delivery(S::InWork)), details, ..nothing() };
        let table = [
            (nothing(), "не передавался", "never handed over", Tone::Plain),
            (Seen { letters: vec![letter()], ..nothing() }, "ошибка (1)", "failed (1)", Tone::Bad),
            (
                Seen {
                    letters: vec![letter(), letter()],
                    waiting: waits(Stand::Due, None),
                    ..going(Details::default())
                },
                "ошибка (2)",
                "failed (2)",
                Tone::Bad,
            ),
            (going(Details::default()), "в пути", "on its way", Tone::Plain),
            (
                going(comes("2026-09-02", Some("10:00"), Some("18:00"))),
                "в пути, завтра 10–18",
                "on its way, tomorrow 10–18",
                Tone::Plain,
            ),
            (
                going(comes("2026-09-01", Some("10:30"), Some("18:00"))),
                "в пути, сегодня 10:30–18",
                "on its way, today 10:30–18",
                Tone::Plain,
            ),
            (going(comes("2026-09-12", None, Some("18:00"))), "в пути, 12.09", "on its way, 12 Sep", Tone::Plain),
            (going(comes("2026-08-31", None, None)), "в пути", "on its way", Tone::Plain),
            (
                Seen { delivery: Some(delivery(S::Delivered)), ..going(comes("2026-09-01", None, None)) },
                "вручён",
                "delivered",
                Tone::Good,
            ),
            (
                Seen { waiting: waits(Stand::Later, Some(RetryWhy::CourierUnavailable)), ..nothing() },
                "ждёт: курьерская служба не отвечает",
                "waits: the courier service does not answer",
                Tone::Wait,
            ),
            (
                Seen { waiting: waits(Stand::Due, None), is_paused: true, ..nothing() },
                "ждёт: интеграция приостановлена",
                "waits: the integration is paused",
                Tone::Wait,
            ),
            (Seen { waiting: waits(Stand::InHand, None), ..nothing() }, "передаётся", "being handed over", Tone::Wait),
            (
                Seen { waiting: waits(Stand::Later, None), ..going(Details::default()) },
                "обновляется",
                "being updated",
                Tone::Wait,
            ),
            (
                Seen { delivery: Some(delivery(S::Unknown)), ..nothing() },
                "проверяется, принят ли заказ",
                "whether it was accepted is being checked",
                Tone::Wait,
            ),
        ];
        for (seen, ru, en, tone) in table {
            for (language, title, said) in
                [(Language::Ru, "Доставка MeaSoft", ru), (Language::En, "MeaSoft delivery", en)]
            {
                let button = button(&seen, TODAY, language);
                assert_eq!((button.text, button.tone), (format!("{title}: {said}"), tone));
            }
        }
    }

    #[test]
    fn what_moves_by_itself_is_looked_at_again_and_nothing_else() {
        let look = |seen: &Seen| button(seen, TODAY, Language::Ru).look;
        assert_eq!(look(&nothing()), None);
        assert_eq!(look(&Seen { letters: vec![letter()], ..nothing() }), None, "somebody has to act");
        assert_eq!(look(&Seen { delivery: Some(delivery(S::InWork)), ..nothing() }), None);
        assert_eq!(look(&Seen { delivery: Some(delivery(S::Sending)), ..nothing() }), Some(5));
        assert_eq!(look(&Seen { waiting: waits(Stand::Due, None), ..nothing() }), Some(3));
        assert_eq!(look(&Seen { waiting: waits(Stand::Later, Some(RetryWhy::Budget)), ..nothing() }), Some(15));
    }

    #[test]
    fn the_sum_is_to_be_collected_until_it_was() {
        let shown = |state, language| {
            let seen = Seen { delivery: Some(delivery(state)), courier: Some("Петров".to_owned()), ..nothing() };
            facts(&seen, &TimeZone::UTC, language)
        };
        assert!(shown(S::InWork, Language::Ru).contains(&("К оплате при вручении", "3\u{a0}790,00\u{a0}₽".to_owned())));
        assert!(shown(S::Delivered, Language::En).contains(&("Collected", "RUB\u{a0}3,790.00".to_owned())));
        assert!(shown(S::InWork, Language::Ru).contains(&("Курьер", "Петров".to_owned())));
        assert!(facts(&nothing(), &TimeZone::UTC, Language::Ru).is_empty());
        let held = Seen { waiting: waits(Stand::Later, Some(RetryWhy::CourierUnavailable)), ..nothing() };
        let wait = "курьерская служба не отвечает; следующая попытка 01.01.1970 03:00".to_owned();
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        assert_eq!(facts(&held, &zone, Language::Ru), [("Ждёт", wait)]);
        assert_eq!(sum(Kopecks(123_456_789), "KZT", Language::Ru), "1\u{a0}234\u{a0}567,89\u{a0}KZT");
    }

    #[test]
    fn every_word_exists_in_both_languages() {
        for word in Word::ALL {
            assert!(!word.text(Language::Ru).is_ascii() && word.text(Language::En).is_ascii(), "{word:?}");
        }
    }
}
