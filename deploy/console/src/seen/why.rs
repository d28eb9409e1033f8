//! Why a thing waits: who paused, what workers leave alone, what was noted when it was put off.

use std::collections::BTreeMap;

use bridge_worker::vendor::held;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::{Fault, Integration, IntegrationId, IntegrationState, Language, PausedBy};
use shared::message::RetryWhy;
use shared::store::breakers::Held;
use shared::store::replays::WaitingReplay;
use shared::store::waiting_orders::WaitingOrder;
use shared::store::waits::{Stand, WaitingMessages, Waits, Work};
use shared::store::{self, Store};
use shared::telemetry::metrics::{BreakerState, BreakerTarget};

use crate::seen::moments;
use crate::seen::words::of;

/// What is said where the operator gave no reason.
const NO_REASON: &str = "paused by the operator";
/// What waits: letters that are replayed, each in its turn.
const LETTERS: &str = "letters";

/// The cause of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Paused {
        by: PausedBy,
        reason: String,
    },
    /// An address or account is left alone.
    Held(Held),
    /// As it was noted when it was put off.
    PutOff(RetryWhy),
    /// Somebody works on it.
    InHand,
    /// Tried before; why is not known.
    Again,
    /// A dead letter, to be tried again in its turn.
    Replay,
    /// Its moment comes.
    Later,
    /// Its moment has come, and nobody has taken it.
    Turn,
}

/// Things of one integration that wait for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// A word of [`Work`], `messages` or `letters`.
    pub what: &'static str,
    /// Of messages: their command.
    pub kind: Option<&'static str>,
    pub integration: Option<IntegrationId>,
    pub why: Why,
    pub number: i64,
    pub since: Timestamp,
    /// `None`: when somebody resumes, or comes.
    pub next: Option<Timestamp>,
}

/// Everything that waits, and what is held back.
pub struct Look {
    pub integrations: BTreeMap<IntegrationId, Integration>,
    pub rows: Vec<Row>,
    pub held: Vec<Held>,
    /// There are more messages than were read.
    pub more: bool,
}

impl Look {
    /// Reads it all; nothing is changed.
    pub async fn at(store: &Store) -> store::Result<Self> {
        let all = store.integrations().await?;
        let integrations: BTreeMap<IntegrationId, Integration> = all.into_iter().map(|i| (i.id, i)).collect();
        let held = store.breakers().await?;
        let mut rows = Vec::new();
        for waits in store.what_waits().await? {
            add(&mut rows, of_ledger(&waits, integrations.get(&waits.integration), &held));
        }
        let (messages, more) = store.waiting_messages().await?;
        for message in &messages {
            add(&mut rows, of_messages(message));
        }
        for letter in store.waiting_replays().await? {
            add(&mut rows, of_replay(&letter));
        }
        // Whoever has waited longest comes first; what is under way is no trouble.
        rows.sort_by_key(|row| (matches!(row.why, Why::InHand), row.since));
        Ok(Self { integrations, rows, held, more })
    }

    /// An integration by its number and its name.
    pub fn named(&self, id: IntegrationId) -> String {
        self.integrations.get(&id).map_or_else(|| id.to_string(), |found| format!("{id} «{}»", found.title))
    }

    /// What an integration waits for at the vendors.
    pub fn held_of(&self, id: IntegrationId) -> Vec<Held> {
        self.integrations.get(&id).map_or_else(Vec::new, |found| held::of(self.held.clone(), found))
    }
}

/// What waits alike is one row.
fn add(rows: &mut Vec<Row>, row: Row) {
    let alike = |other: &&mut Row| {
        (other.what, other.kind, other.integration, &other.why) == (row.what, row.kind, row.integration, &row.why)
    };
    match rows.iter_mut().find(alike) {
        Some(other) => {
            other.number += row.number;
            other.since = other.since.min(row.since);
            other.next = [other.next, row.next].into_iter().flatten().min();
        }
        None => rows.push(row),
    }
}

fn of_ledger(waits: &Waits, integration: Option<&Integration>, held: &[Held]) -> Row {
    let why = why(waits, integration, held);
    let next = match &why {
        Why::Held(held) => Some(held.until.max(waits.due)),
        Why::PutOff(_) | Why::Again | Why::Later => Some(waits.due),
        Why::Paused { .. } | Why::InHand | Why::Replay | Why::Turn => None,
    };
    Row {
        what: waits.work.as_str(),
        kind: None,
        integration: Some(waits.integration),
        why,
        number: waits.number,
        since: waits.since,
        next,
    }
}

/// The cause of a wait. Pure.
fn why(waits: &Waits, integration: Option<&Integration>, held: &[Held]) -> Why {
    if waits.stand == Stand::InHand {
        return Why::InHand;
    }
    if let Some(IntegrationState::Paused { by, reason }) = integration.map(|i| &i.state) {
        return Why::Paused { by: *by, reason: reason.clone() };
    }
    let needs = |target: BreakerTarget| match waits.work {
        Work::Orders => true,
        Work::Tracking | Work::Payments | Work::Returns => target == BreakerTarget::Retailcrm,
        // Those are with us already.
        Work::Statuses => false,
    };
    let of_it = integration.map_or_else(Vec::new, |found| held::of(held.to_vec(), found));
    let breaker = of_it.into_iter().filter(|held| needs(held.target)).max_by_key(|held| held.until);
    let later = waits.stand == Stand::Later;
    match (waits.why.filter(|_| later), breaker) {
        // A breaker that is closed again lets nobody wait.
        (None | Some(RetryWhy::BreakerOpen | RetryWhy::CourierUnavailable | RetryWhy::CrmUnavailable), Some(held)) => {
            Why::Held(held)
        }
        (Some(noted), _) => Why::PutOff(noted),
        (None, None) if later && waits.tried => Why::Again,
        (None, None) if later => Why::Later,
        (None, None) => Why::Turn,
    }
}

/// One order that waits.
pub fn of_order(order: &WaitingOrder, integration: Option<&Integration>, held: &[Held]) -> Row {
    let waits = Waits {
        work: Work::Orders,
        integration: order.integration,
        stand: order.stand,
        why: order.why,
        tried: order.tried,
        number: 1,
        since: order.since,
        due: order.due,
    };
    of_ledger(&waits, integration, held)
}

fn of_messages(messages: &WaitingMessages) -> Row {
    let (why, next) = match messages.stand {
        Stand::InHand => (Why::InHand, None),
        Stand::Later => (Why::Later, Some(messages.due)),
        Stand::Due => (Why::Turn, None),
    };
    Row {
        what: "messages",
        kind: messages.kind.map(shared::message::Kind::as_str),
        integration: messages.integration,
        why,
        number: messages.number,
        since: messages.since,
        next,
    }
}

fn of_replay(letter: &WaitingReplay) -> Row {
    Row {
        what: LETTERS,
        kind: None,
        integration: letter.integration,
        why: Why::Replay,
        number: 1,
        since: letter.since,
        next: Some(letter.due),
    }
}

impl Row {
    /// What a row is about, for people.
    pub fn words(&self, language: Language) -> String {
        let words = match Work::parse(self.what) {
            Some(Work::Orders) => of(language, "заказы", "orders"),
            Some(Work::Statuses) => of(language, "статусы из MeaSoft", "statuses of MeaSoft"),
            Some(Work::Tracking) => of(language, "статусы для RetailCRM", "statuses for RetailCRM"),
            Some(Work::Payments) => of(language, "оплаты для RetailCRM", "payments for RetailCRM"),
            Some(Work::Returns) => of(language, "возвраты по позициям для RetailCRM", "results of lines for RetailCRM"),
            None if self.what == LETTERS => of(language, "недоставленные команды", "dead letters"),
            None => of(language, "сообщения", "messages"),
        };
        self.kind.map_or_else(|| words.to_owned(), |kind| format!("{words} {kind}"))
    }
}

impl Why {
    /// Whether a person may make it due at once.
    pub const fn may_be_hurried(&self) -> bool {
        matches!(self, Self::PutOff(_) | Self::Again | Self::Later | Self::Held(_))
    }

    /// A word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Paused { .. } => "paused",
            Self::Held(_) => "breaker_open",
            Self::PutOff(why) => why.as_str(),
            Self::InHand => "in_hand",
            Self::Again => "again",
            Self::Replay => "replay",
            Self::Later => "later",
            Self::Turn => "turn",
        }
    }

    pub fn words(&self, language: Language, zone: &TimeZone) -> String {
        let fixed = |ru, en| of(language, ru, en).to_owned();
        match self {
            Self::Paused { by, reason } => paused(*by, reason, language),
            Self::Held(one) => held_words(one, language, zone),
            Self::PutOff(why) => why.words(language).to_owned(),
            Self::InHand => fixed("в работе", "being worked on"),
            Self::Again => fixed("повторная попытка", "to be tried again"),
            Self::Replay => fixed("повтор в свою очередь", "to be replayed in its turn"),
            Self::Later => fixed("время ещё не пришло", "its time has not come"),
            Self::Turn => {
                fixed("ждёт своей очереди: ни один процесс ещё не взял", "its turn has come: no worker has taken it")
            }
        }
    }
}

/// Who paused an integration, and why.
pub fn paused(by: PausedBy, reason: &str, language: Language) -> String {
    let words = match by {
        PausedBy::Operator => of(language, "приостановлена администратором", "paused by the operator"),
        PausedBy::Credentials(Fault::Crm) => of(
            language,
            "приостановлена: RetailCRM не принимает API-ключ",
            "paused: RetailCRM does not accept the API key",
        ),
        PausedBy::Credentials(_) => of(
            language,
            "приостановлена: курьерская служба не принимает логин и пароль",
            "paused: the courier service does not accept login and password",
        ),
        PausedBy::Crm => of(language, "выключена в RetailCRM", "switched off in RetailCRM"),
    };
    match by {
        PausedBy::Operator if !reason.is_empty() && reason != NO_REASON => format!("{words}: {reason}"),
        _ => words.to_owned(),
    }
}

/// What is left alone, for programs.
pub fn held_document(held: &Held) -> Value {
    json!({
        "target": held.target.as_str(), "name": held.name, "trying": held.state == BreakerState::HalfOpen,
        "until": held.until.to_string(), "why": held.why,
    })
}

/// What is left alone, by the account's name, and until when.
pub fn held_words(held: &Held, language: Language, zone: &TimeZone) -> String {
    let whose = match held.target {
        BreakerTarget::Measoft => of(language, "адрес MeaSoft", "MeaSoft's address"),
        BreakerTarget::Account => of(language, "учётная запись MeaSoft", "MeaSoft's account"),
        BreakerTarget::Retailcrm => of(language, "RetailCRM", "RetailCRM's account"),
    };
    let until = moments::second(held.until, zone);
    let rests = of(language, "отдыхает после отказов до", "is left alone after failures until");
    // The vendors' errors are told in English alone.
    let why = match language {
        Language::En if !held.why.is_empty() => format!(" ({})", held.why),
        _ => String::new(),
    };
    format!("{whose} {} {rests} {until}{why}", account(&held.name, language))
}

/// An account's name as `held::named` makes it, in the reader's language.
pub fn account(name: &str, language: Language) -> String {
    match language {
        Language::Ru => name.replace(" courier ", ", служба ").replace(" login ", ", логин "),
        Language::En => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).expect("a moment")
    }

    fn waits(work: Work, stand: Stand, why: Option<RetryWhy>) -> Waits {
        Waits {
            work,
            integration: IntegrationId(1),
            stand,
            why,
            tried: why.is_some(),
            number: 3,
            since: at(1),
            due: at(9),
        }
    }

    fn shop(state: IntegrationState) -> Integration {
        Integration {
            id: IntegrationId(1),
            title: "Город".to_owned(),
            crm_url: "https://shop.example".to_owned(),
            measoft_url: "https://courier.example/api/".to_owned(),
            extra: "8".to_owned(),
            login: "shop".to_owned(),
            state,
            ..Integration::default()
        }
    }

    fn held(target: BreakerTarget, name: &str) -> Held {
        let (name, why) = (name.to_owned(), "no answer".to_owned());
        Held { target, name, state: BreakerState::Open, until: at(20), why }
    }

    #[test]
    fn what_holds_a_thing_up_is_named_by_what_would_let_it_go() {
        let account = held(BreakerTarget::Account, "https://courier.example:443 courier 8 login shop");
        let crm = held(BreakerTarget::Retailcrm, "https://shop.example");
        let stranger = held(BreakerTarget::Account, "https://courier.example:443 courier 9 login other");
        let active = shop(IntegrationState::Active);
        let both = [account.clone(), crm.clone(), stranger];
        let noted = |why| waits(Work::Orders, Stand::Later, Some(why));
        let cases = [
            (waits(Work::Orders, Stand::InHand, None), &both[..], Why::InHand),
            (waits(Work::Orders, Stand::Due, None), &both[..1], Why::Held(account.clone())),
            (waits(Work::Orders, Stand::Due, None), &both[2..], Why::Turn),
            (waits(Work::Tracking, Stand::Due, None), &both[..1], Why::Turn),
            (waits(Work::Tracking, Stand::Due, None), &both[1..], Why::Held(crm)),
            (waits(Work::Statuses, Stand::Due, None), &both[..], Why::Turn),
            (noted(RetryWhy::BreakerOpen), &both[..1], Why::Held(account)),
            (noted(RetryWhy::BreakerOpen), &[], Why::PutOff(RetryWhy::BreakerOpen)),
            (noted(RetryWhy::Budget), &both[..1], Why::PutOff(RetryWhy::Budget)),
            // Put off for a reason that is over.
            (waits(Work::Orders, Stand::Due, Some(RetryWhy::Budget)), &[], Why::Turn),
            (waits(Work::Orders, Stand::Later, None), &[], Why::Later),
            (Waits { tried: true, ..waits(Work::Payments, Stand::Later, None) }, &[], Why::Again),
        ];
        for (waits, held, expected) in cases {
            assert_eq!(why(&waits, Some(&active), held), expected, "{waits:?}");
        }
        let by_hand = IntegrationState::Paused { by: PausedBy::Operator, reason: "a move".to_owned() };
        let paused = why(&waits(Work::Orders, Stand::Due, None), Some(&shop(by_hand)), &both);
        assert_eq!(paused.words(Language::En, &TimeZone::UTC), "paused by the operator: a move");
        assert_eq!(paused.code(), "paused");
    }

    #[test]
    fn what_waits_alike_is_counted_together_and_the_oldest_and_next_are_kept() {
        let mut rows = Vec::new();
        let first = waits(Work::Orders, Stand::Later, Some(RetryWhy::CrmLag));
        add(&mut rows, of_ledger(&first, None, &[]));
        add(&mut rows, of_ledger(&Waits { since: at(0), due: at(5), number: 2, ..first.clone() }, None, &[]));
        add(&mut rows, of_ledger(&Waits { integration: IntegrationId(2), ..first }, None, &[]));
        let told: Vec<_> = rows.iter().map(|row| (row.number, row.since, row.next)).collect();
        assert_eq!(told, [(5, at(0), Some(at(5))), (3, at(1), Some(at(9)))]);
    }

    #[test]
    fn every_cause_is_said_in_both_languages() {
        let all = [
            Why::Paused { by: PausedBy::Crm, reason: "off".to_owned() },
            Why::Paused { by: PausedBy::Operator, reason: NO_REASON.to_owned() },
            Why::Paused { by: PausedBy::Credentials(Fault::Crm), reason: "401".to_owned() },
            Why::Paused { by: PausedBy::Credentials(Fault::Courier), reason: "code 1".to_owned() },
            Why::Held(held(BreakerTarget::Measoft, "https://courier.example:443")),
            Why::PutOff(RetryWhy::Budget),
            Why::InHand,
            Why::Again,
            Why::Replay,
            Why::Later,
            Why::Turn,
        ];
        let mut codes = std::collections::BTreeSet::new();
        for why in &all {
            let (ru, en) = (why.words(Language::Ru, &TimeZone::UTC), why.words(Language::En, &TimeZone::UTC));
            let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
            assert!(cyrillic(&ru) && !cyrillic(&en), "{ru} / {en}");
            codes.insert(why.code());
        }
        assert_eq!(codes.len(), all.len() - 3);
    }
}
