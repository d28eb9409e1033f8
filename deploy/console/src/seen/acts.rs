//! What somebody did, in words.

use std::fmt;

use serde_json::{Map, Value};
use shared::domain::Language;
use shared::explain;
use shared::store::audit::{Act, Audited, Flaw, Via};

use crate::seen::words::{self, of};

/// The names and values of a change.
pub fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// With the user of the machine, where a name was given beside it.
pub fn who(one: &Audited, language: Language) -> String {
    match (Via::parse(&one.via), &one.os_user) {
        (Some(Via::Named | Via::Console), Some(user)) if one.who != *user => format!("{} ({user})", one.who),
        (Some(Via::Manager), _) => {
            let id = one.integration.map_or_else(String::new, |id| format!(" {id}"));
            format!("{}{id}", of(language, "менеджер магазина, интеграция", "the shop's manager, integration"))
        }
        _ => one.who.clone(),
    }
}

/// What an act is called.
pub const fn act_name(act: Act, language: Language) -> &'static str {
    match act {
        Act::Added => of(language, "добавлено", "added"),
        Act::Edited => of(language, "изменено", "edited"),
        Act::KeyRotated => of(language, "новый ключ триггеров", "made a new trigger key of"),
        Act::Paused => of(language, "приостановлено", "paused"),
        Act::Resumed => of(language, "возобновлено", "resumed"),
        Act::Removed => of(language, "удалено", "removed"),
        Act::Registered => of(language, "зарегистрировано в RetailCRM", "registered in RetailCRM"),
        Act::Replayed => of(language, "повторено", "replayed"),
        Act::ReplayPlanned => of(language, "запланировано", "planned"),
        Act::ReplayStarted => of(language, "запущено", "started"),
        Act::ReplayStopped => of(language, "остановлено", "stopped"),
        Act::ReplayPaced => of(language, "изменён темп", "changed the pace of"),
        Act::Discarded => of(language, "закрыто без повтора", "discarded"),
        Act::Repaired => of(language, "исправление расхождений", "made good"),
        Act::Corrected => of(language, "исправлено", "corrected"),
        Act::Acknowledged => of(language, "принято в работу", "acknowledged"),
        Act::Snoozed => of(language, "отложено", "snoozed"),
        Act::Woken => of(language, "снова показывается", "took up again"),
        Act::Resealed => of(language, "перешифровано новым ключом", "sealed everything anew,"),
        Act::Hurried => of(language, "попытка назначена на сейчас", "made due at once"),
        Act::Asked => of(language, "запрошено у курьерской службы", "asked the courier service about"),
        Act::Dropped => of(language, "снято с исполнения", "dropped"),
        Act::Invited => of(language, "выдан одноразовый адрес", "made a one-time address for"),
        Act::SignedIn => of(language, "вход", "signed in to the"),
        Act::SignedOut => of(language, "выход", "ended the session of"),
        Act::Refused => of(language, "отказано", "was refused"),
        Act::Moved => of(language, "перенесено в другую базу", "moved to another database the"),
        Act::Restored => of(language, "восстановлено из копии", "restored from a backup the"),
    }
}

/// What was done; the object follows.
pub fn act_words(one: &Audited, language: Language) -> String {
    match (Act::parse(&one.act), language) {
        (Some(act), Language::Ru) => format!("{}:", act_name(act, language)),
        (Some(act), Language::En) => act_name(act, language).to_owned(),
        // Of a later release.
        (None, _) => one.act.clone(),
    }
}

/// What an act was done to. It is kept in English and with codes; a reason is told in its words.
pub fn object_words(object: &str, language: Language) -> String {
    const WORDS: [(&str, &str); 14] = [
        ("dead letter ", "неудача "),
        ("integration ", "интеграция "),
        ("cause ", "причина "),
        ("waiting orders", "ждущие заказы"),
        ("waiting order ", "ждущий заказ "),
        ("waiting statuses", "статусы из MeaSoft"),
        ("waiting tracking", "статусы для RetailCRM"),
        ("waiting payments", "оплаты для RetailCRM"),
        ("waiting returns", "возвраты по позициям для RetailCRM"),
        ("console user ", "пользователь консоли "),
        ("ledger", "учёт"),
        ("replay ", "повтор "),
        ("order ", "заказ "),
        ("orders of ", "заказы за "),
    ];
    let reason = object.strip_prefix("cause ").or_else(|| object.split(['(', ',', ')']).nth(1)).unwrap_or_default();
    let mut text = object.to_owned();
    if explain::all_reasons().any(|known| known == reason) {
        let told = words::reason(reason, language).text.trim_end_matches('.');
        text = text.replacen(reason, &format!("«{told}»"), 1);
    }
    if language == Language::En {
        return text;
    }
    let found = WORDS.iter().find_map(|(en, ru)| Some(format!("{ru}{}", text.strip_prefix(en)?)));
    let text = found.unwrap_or_else(|| match text.strip_prefix("console") {
        Some(rest) => format!("консоль{rest}"),
        None => text,
    });
    text.replace(", order ", ", заказ ").replace(" of integration ", ", интеграция ")
}

/// A value that differs: its name, as it was, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// `title: "Город" → "Область"`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(was), Some(is)) => write!(f, "{}: {was} → {is}", self.name),
            (None, Some(is)) => write!(f, "{}: {is}", self.name),
            (was, None) => write!(f, "{}: {} →", self.name, was.as_deref().unwrap_or("null")),
        }
    }
}

/// What was changed, by name.
pub fn changes(one: &Audited) -> Vec<Change> {
    let (before, after) = (object(&one.before), object(&one.after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let text = |all: &Map<String, Value>, name: &String| all.get(name).map(ToString::to_string);
    let change = |name: &String| Change { name: name.clone(), before: text(&before, name), after: text(&after, name) };
    names.into_iter().map(change).collect()
}

/// The act where it shows.
pub const fn place(flaw: Flaw) -> Option<i64> {
    match flaw {
        Flaw::Missing { before: seq }
        | Flaw::Changed { seq }
        | Flaw::Unlinked { seq }
        | Flaw::CutOff { last: seq }
        | Flaw::Added { after: seq } => Some(seq),
        Flaw::Unsigned => None,
    }
}

/// What is wrong with the chain.
pub fn flaw_words(flaw: Flaw, language: Language) -> String {
    match (flaw, language) {
        (Flaw::Missing { before }, Language::Ru) => format!("перед действием {before} записи удалены"),
        (Flaw::Missing { before }, Language::En) => format!("acts before {before} were taken out"),
        (Flaw::Changed { seq }, Language::Ru) => format!("действие {seq} изменено после записи"),
        (Flaw::Changed { seq }, Language::En) => format!("act {seq} was changed after it was noted"),
        (Flaw::Unlinked { seq }, Language::Ru) => format!("действие {seq} не продолжает цепочку: её переписали"),
        (Flaw::Unlinked { seq }, Language::En) => {
            format!("act {seq} does not follow the one before it: that was rewritten")
        }
        (Flaw::CutOff { last }, Language::Ru) => format!("записи после действия {last} удалены"),
        (Flaw::CutOff { last }, Language::En) => format!("acts after {last} were taken out"),
        (Flaw::Added { after }, Language::Ru) => format!("записи после действия {after} добавлены не этой программой"),
        (Flaw::Added { after }, Language::En) => format!("acts after {after} were added by something else"),
        (Flaw::Unsigned, Language::Ru) => "последний хеш не подписан ключом этой установки".to_owned(),
        (Flaw::Unsigned, Language::En) => "the newest hash is not signed with this installation's key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_and_flaw_is_said_in_both_languages() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        for act in Act::ALL {
            let one = Audited {
                seq: 1,
                at: jiff::Timestamp::UNIX_EPOCH,
                who: "Anna".to_owned(),
                via: Via::Named.as_str().to_owned(),
                os_user: Some("root".to_owned()),
                act: act.as_str().to_owned(),
                integration: Some(1),
                object: "integration 1".to_owned(),
                before: r#"{"title":"A","gone":1}"#.to_owned(),
                after: r#"{"title":"B","why":"x"}"#.to_owned(),
                prior: String::new(),
                hash: String::new(),
            };
            let (ru, en) = (act_words(&one, Language::Ru), act_words(&one, Language::En));
            assert!(cyrillic(&ru) && !cyrillic(&en), "{ru} / {en}");
            assert_eq!(who(&one, Language::En), "Anna (root)");
            let told: Vec<String> = changes(&one).iter().map(ToString::to_string).collect();
            assert_eq!(told, ["gone: 1 →", "title: \"A\" → \"B\"", "why: \"x\""]);
        }
        for (object, ru) in [
            ("dead letter 7 (no_receiver, order 12A)", "неудача 7 («В заказе не указан получатель», заказ 12A)"),
            ("cause no_receiver", "причина «В заказе не указан получатель»"),
            ("cause of_another_release", "причина of_another_release"),
            ("waiting order 12A", "ждущий заказ 12A"),
            ("console", "консоль"),
            ("replay 3", "повтор 3"),
            ("order 12A (id 77)", "заказ 12A (id 77)"),
            ("orders of 2026-08-31 of integration 2", "заказы за 2026-08-31, интеграция 2"),
        ] {
            assert_eq!(object_words(object, Language::Ru), ru);
        }
        assert_eq!(object_words("cause no_receiver", Language::En), "cause «The order names no receiver»");
        for flaw in [
            Flaw::Missing { before: 3 },
            Flaw::Changed { seq: 3 },
            Flaw::Unlinked { seq: 3 },
            Flaw::CutOff { last: 3 },
            Flaw::Added { after: 3 },
            Flaw::Unsigned,
        ] {
            let (ru, en) = (flaw_words(flaw, Language::Ru), flaw_words(flaw, Language::En));
            assert!(cyrillic(&ru) && !cyrillic(&en), "{ru} / {en}");
            assert!(place(flaw).is_none_or(|seq| seq == 3));
        }
    }
}
