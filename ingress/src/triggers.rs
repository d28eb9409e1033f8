//! The three triggers: their parameters, read from bytes once, and the command they stand
//! for (protocols/retailcrm.md#triggers).
//!
//! Everything here is a pure function of the request and the key table.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use shared::domain::{IntegrationId, Kopecks, OrderNumber};
use shared::message::{Candidate, Command, Envelope};
use shared::pasted;
use shared::story::Event;
use shared::telemetry::metrics::TriggerKind;

use crate::keys::{KeyLookup, Known};
use crate::reply::{Bad, Reply};
use crate::urlencoded::{pairs, text, unescape};

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerUrl {
    Send,
    Update,
    Cancel,
}

impl TriggerUrl {
    pub const fn kind(self) -> TriggerKind {
        match self {
            Self::Send => TriggerKind::Send,
            Self::Update => TriggerKind::Update,
            Self::Cancel => TriggerKind::Cancel,
        }
    }
}

/// One parameter. A value that is not readable text is kept as such: whether that matters
/// depends on its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param<'a> {
    name: Cow<'a, [u8]>,
    value: Option<Cow<'a, str>>,
}

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    UrlEncoded,
    Json,
}

impl Form {
    /// By `Content-Type`; a missing one means urlencoded. `None` = not supported.
    pub fn of(content_type: Option<&[u8]>) -> Option<Self> {
        let text = content_type.unwrap_or_default();
        let essence = text.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if essence.is_empty() || essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Some(Self::UrlEncoded);
        }
        let json = essence.eq_ignore_ascii_case(b"application/json")
            || essence.eq_ignore_ascii_case(b"text/json")
            || essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json");
        json.then_some(Self::Json)
    }
}

/// Adds the parameters of an urlencoded body or query.
pub fn read_urlencoded<'a>(raw: &'a [u8], into: &mut Vec<Param<'a>>) {
    for (name, value) in pairs(raw) {
        into.push(Param { name: unescape(name).unwrap_or(Cow::Borrowed(name)), value: unescape(value).and_then(text) });
    }
}

/// Adds the parameters of a flat JSON object. Numbers keep the form they were written in.
pub fn read_json(raw: &[u8], into: &mut Vec<Param<'_>>) -> Result<(), Bad> {
    struct Flat<'v, 'p>(&'v mut Vec<Param<'p>>);

    impl<'de> Visitor<'de> for Flat<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a flat object")
        }

        // Not read into a map: a name that is given twice must be seen twice.
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                let value = match value {
                    serde_json::Value::String(text) => Some(Cow::Owned(text)),
                    serde_json::Value::Number(number) => Some(Cow::Owned(number.to_string())),
                    serde_json::Value::Null => Some(Cow::Borrowed("")),
                    _ => None,
                };
                self.0.push(Param { name: Cow::Owned(name.into_bytes()), value });
            }
            Ok(())
        }
    }

    let mut json = serde_json::Deserializer::from_slice(raw);
    json.deserialize_map(Flat(into)).and_then(|()| json.end()).map_err(|_| Bad::Json)
}

/// A trigger as it was understood, before any key was looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct Trigger<'a> {
    pub number: OrderNumber,
    pub declared: Option<Kopecks>,
    /// What stood in `sum` and was left out.
    pub left_out: Option<LeftOut<'a>>,
    pub keys: Presented<'a>,
}

/// Why a `sum` counts as none. A declared value is a hint: it never makes a trigger fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut<'a> {
    /// No sum of money that is zero or more; empty when it was no text either.
    Unreadable(&'a str),
    /// Several that differ.
    Several,
}

/// The keys a trigger presents.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// Send and update: one, perhaps empty.
    One(&'a str),
    /// Cancel: delivery type code and key, in the order given. A pair that is not
    /// readable text can belong to nobody and has an empty key.
    Pairs(Vec<(Cow<'a, str>, &'a str)>),
}

/// Names and values count without what is unseen at their ends: people paste them into
/// RetailCRM's forms with line ends, no-break spaces and zero-width characters. Whatever
/// else arrives travels untouched, HTML escapes too: the worker looks for both spellings.
pub fn understand<'a>(url: TriggerUrl, params: &'a [Param<'a>]) -> Result<Trigger<'a>, Bad> {
    let (mut id, mut key) = (None, None);
    let mut sums = Sums::default();
    let mut given_twice = false;
    let mut pairs = Vec::new();
    for param in params {
        let value = param.value.as_deref().map(pasted::trim);
        match (trimmed(&param.name), url) {
            (b"id", _) => {
                let before = id.replace(value);
                given_twice |= before.is_some();
            }
            (b"sum", _) => sums.add(value),
            (name, TriggerUrl::Cancel) => {
                pairs.push((String::from_utf8_lossy(name), value.unwrap_or_default()));
            }
            (b"key", _) => {
                let value = value.unwrap_or_default();
                if key.replace(value).is_some_and(|before| before != value) {
                    return Err(Bad::KeyTwice);
                }
            }
            _ => {}
        }
    }
    if given_twice {
        return Err(Bad::IdTwice);
    }
    let number = number(id.ok_or(Bad::NoId)?.ok_or(Bad::IdUnreadable)?)?;
    let keys = match url {
        TriggerUrl::Cancel if pairs.is_empty() => return Err(Bad::NoPairs),
        TriggerUrl::Cancel => Presented::Pairs(pairs),
        TriggerUrl::Send | TriggerUrl::Update => Presented::One(key.unwrap_or_default()),
    };
    let (declared, left_out) = sums.said();
    Ok(Trigger { number, declared, left_out, keys })
}

/// A name that is no text stays as it is: it can be none of ours.
fn trimmed(name: &[u8]) -> &[u8] {
    std::str::from_utf8(name).map_or(name, |name| pasted::trim(name).as_bytes())
}

fn number(text: &str) -> Result<OrderNumber, Bad> {
    use shared::domain::ids::BadOrderNumber;
    let number = OrderNumber::parse(text).map_err(|bad| match bad {
        BadOrderNumber::Empty => Bad::EmptyId,
        BadOrderNumber::TooLong => Bad::IdTooLong,
    })?;
    // No CRM writes them, and PostgreSQL keeps no NUL in a text.
    if number.as_str().chars().any(char::is_control) {
        return Err(Bad::IdUnreadable);
    }
    Ok(number)
}

/// Every `sum` of a trigger. Usually one; several are fine as long as they say one thing.
#[derive(Default)]
struct Sums<'a> {
    read: Option<Kopecks>,
    left_out: Option<LeftOut<'a>>,
}

impl<'a> Sums<'a> {
    /// `value`: trimmed; `None` when it was no readable text.
    fn add(&mut self, value: Option<&'a str>) {
        let read = match value {
            Some("") => return,
            Some(text) => Kopecks::parse(&pasted::compact(text)).ok().filter(|sum| sum.0 >= 0),
            None => None,
        };
        match (read, self.read) {
            (Some(now), Some(before)) if now != before => self.left_out = Some(LeftOut::Several),
            (Some(now), _) => self.read = Some(now),
            (None, _) => {
                self.left_out.get_or_insert(LeftOut::Unreadable(value.unwrap_or_default()));
            }
        }
    }

    fn said(self) -> (Option<Kopecks>, Option<LeftOut<'a>>) {
        let one = self.left_out != Some(LeftOut::Several);
        (self.read.filter(|_| one), self.left_out)
    }
}

/// What a trigger's keys came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The key's; of a cancel the first candidate's.
    pub integration: IntegrationId,
    pub candidates: Vec<Candidate>,
    /// Names of pairs whose key nobody knows, beside known ones.
    pub strangers: Vec<String>,
}

/// Looks the keys up.
///
/// # Errors
/// The [`Reply`] to give: 403, 503 while no key was ever read, 400 for keys of several
/// accounts.
pub fn authenticate(presented: &Presented<'_>, find: impl Fn(&str) -> KeyLookup) -> Result<Authenticated, Reply> {
    match presented {
        Presented::One(key) => match find(key) {
            KeyLookup::Known(known) => {
                Ok(Authenticated { integration: known.integration, candidates: vec![], strangers: vec![] })
            }
            KeyLookup::Unknown => Err(Reply::Forbidden),
            KeyLookup::NotLoaded => Err(Reply::Unavailable),
        },
        Presented::Pairs(pairs) => {
            let mut known: Option<Known> = None;
            let (mut candidates, mut strangers) = (Vec::new(), Vec::new());
            for (name, key) in pairs {
                match find(key) {
                    KeyLookup::Known(found) => {
                        let candidate =
                            Candidate { delivery_type: name.as_ref().to_owned(), integration: found.integration };
                        if !candidates.contains(&candidate) {
                            candidates.push(candidate);
                        }
                        match &known {
                            Some(first) if !first.access.may_be_one_with(&found.access) => {
                                return Err(Reply::Bad(Bad::SeveralAccounts));
                            }
                            Some(_) => {}
                            None => known = Some(found),
                        }
                    }
                    KeyLookup::Unknown => strangers.push(name.as_ref().to_owned()),
                    KeyLookup::NotLoaded => return Err(Reply::Unavailable),
                }
            }
            let integration = known.ok_or(Reply::Forbidden)?.integration;
            Ok(Authenticated { integration, candidates, strangers })
        }
    }
}

/// Whether any parameter is a key somebody has: such a sender made a mistake, but is no
/// stranger. A handful is looked at, so that a large body buys no work.
pub fn shows_known_key(params: &[Param<'_>], find: impl Fn(&str) -> KeyLookup) -> bool {
    params
        .iter()
        .take(20)
        .filter_map(|param| param.value.as_deref())
        .any(|value| matches!(find(value), KeyLookup::Known(_)))
}

/// The envelope to publish.
pub fn envelope(
    url: TriggerUrl,
    trigger: Trigger<'_>,
    authenticated: Authenticated,
    received_at: jiff::Timestamp,
    traceparent: Option<&str>,
) -> Envelope {
    let Trigger { number, declared, .. } = trigger;
    let command = match url {
        TriggerUrl::Send => Command::SendOrder { number, declared },
        TriggerUrl::Update => Command::UpdateOrder { number, declared },
        TriggerUrl::Cancel => Command::CancelOrder { number, declared, candidates: authenticated.candidates },
    };
    let mut envelope = Envelope::new(command, Some(authenticated.integration), received_at);
    envelope.traceparent = Some(match traceparent.filter(|text| is_traceparent(text)) {
        Some(given) => given.to_owned(),
        // The command's id is random enough to be a trace's, and easy to search for.
        None => {
            let id = envelope.id.as_simple().to_string();
            format!("00-{id}-{}-01", &id[16..])
        }
    });
    envelope
}

/// W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, ids not zero.
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    parts.next().is_none()
        && version == Some("00")
        && trace.is_some_and(|id| hex(id, 32) && id.bytes().any(|b| b != b'0'))
        && span.is_some_and(|id| hex(id, 16) && id.bytes().any(|b| b != b'0'))
        && flags.is_some_and(|flags| hex(flags, 2))
}

/// What the journal keeps of names nobody knows.
pub fn strangers_told(strangers: &[String]) -> Event {
    let of_them = strangers.iter().filter(|name| may_be_shown(name)).take(10).cloned().collect();
    Event::StrangeKeys { number: u32::try_from(strangers.len()).unwrap_or(u32::MAX), of_them }
}

/// What the journal keeps of a `sum` that was left out.
pub fn left_out_told(left_out: LeftOut<'_>) -> Event {
    match left_out {
        LeftOut::Unreadable(text) if may_be_shown(text.trim_start_matches('-')) => {
            Event::SumLeftOut { sum: text.to_owned() }
        }
        LeftOut::Unreadable(_) => Event::SumUnreadable,
        LeftOut::Several => Event::SumsDiffer,
    }
}

/// What stands in a parameter may be anything, even a key or a phone in the wrong place: only
/// what looks like a code or a small number is repeated.
fn may_be_shown(text: &str) -> bool {
    (1..=24).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.,".contains(&b))
        && text.bytes().filter(u8::is_ascii_digit).count() <= 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::domain::Secret;
    use shared::domain::crm_account::Access;
    use shared::phrases::Reader;
    use shared::story;

    fn params(text: &str) -> Vec<Param<'_>> {
        let mut params = Vec::new();
        read_urlencoded(text.as_bytes(), &mut params);
        params
    }

    fn send(text: &str) -> Result<(String, Option<Kopecks>, String), Bad> {
        let params = params(text);
        let trigger = understand(TriggerUrl::Send, &params)?;
        let Presented::One(key) = trigger.keys else { panic!("one key") };
        Ok((trigger.number.as_str().to_owned(), trigger.declared, key.to_owned()))
    }

    #[test]
    fn numbers_of_every_kind_are_read() {
        for (body, number) in [
            ("id=1234A&key=k", "1234A"),
            ("id=%D0%97%D0%B0%D0%BA%D0%B0%D0%B7+%231%2F2&key=k", "Заказ #1/2"),
            ("key=k&id=12%2034", "12 34"),
            ("id=+12+&key=k", "12"),
            ("id=Заказ&key=k", "Заказ"),
            ("a&&=x&id=7&key=k", "7"),
            ("id=a=b&key=k", "a=b"),
        ] {
            assert_eq!(send(body).map(|t| t.0), Ok(number.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_cause() {
        let long = format!("id={}", "я".repeat(256));
        for (body, bad) in [
            ("", Bad::NoId),
            ("key=k", Bad::NoId),
            ("ID=7", Bad::NoId),
            ("id", Bad::EmptyId),
            ("id=&key=k", Bad::EmptyId),
            ("id=+%20", Bad::EmptyId),
            ("id=1&id=1", Bad::IdTwice),
            ("id=1&i%64=1", Bad::IdTwice),
            ("id=%FF", Bad::IdUnreadable),
            ("id=%D0", Bad::IdUnreadable),
            ("id=%C7%E0%EA%E0%E7", Bad::IdUnreadable),
            ("id=%ED%A0%80", Bad::IdUnreadable),
            ("id=%zz", Bad::IdUnreadable),
            ("id=1%2", Bad::IdUnreadable),
            ("id=1%00", Bad::IdUnreadable),
            (long.as_str(), Bad::IdTooLong),
        ] {
            assert_eq!(send(body), Err(bad), "{body}");
        }
        assert!(send(&format!("id={}", "я".repeat(255))).is_ok(), "characters are counted, not bytes");
    }

    #[test]
    fn sums_may_be_absent_empty_and_written_in_several_ways() {
        for (sum, kopecks) in [
            ("", None),
            ("sum=", None),
            ("sum=+", None),
            ("sum=3790", Some(379_000)),
            ("sum=3790.5", Some(379_050)),
            ("sum=3+790,50", Some(379_050)),
            ("sum=0", Some(0)),
            ("sum=5&sum=5.00", Some(500)),
            ("sum=5&sum=", Some(500)),
        ] {
            assert_eq!(send(&format!("id=1&{sum}")).map(|t| t.1), Ok(kopecks.map(Kopecks)), "{sum}");
        }
    }

    #[test]
    fn a_sum_that_says_nothing_counts_as_none_and_is_told_but_never_refuses_a_trigger() {
        let said = |body: &str| {
            let params = params(body);
            let trigger = understand(TriggerUrl::Send, &params).expect("a sum never refuses a trigger");
            (trigger.declared, trigger.left_out.map(|out| story::words(&[left_out_told(out)], &Reader::plain())))
        };
        for (sum, told) in [
            ("null", "«null»"),
            ("None", "«None»"),
            ("undefined", "«undefined»"),
            ("NaN", "«NaN»"),
            ("-5", "«-5»"),
            ("-0.01", "«-0.01»"),
            ("-5,00", "«-5,00»"),
            ("1.2.3", "«1.2.3»"),
            ("1e30", "«1e30»"),
            ("12%D1%80", "sum is no"),
            ("%FF", "sum is no"),
            ("%zz", "sum is no"),
            ("%2B7+916+000-11-22", "sum is no"),
            ("%7B%7B+order.sum+%7D%7D", "sum is no"),
        ] {
            let (declared, text) = said(&format!("id=1&sum={sum}&key=k"));
            let text = text.unwrap_or_default();
            assert_eq!(declared, None, "{sum}");
            assert!(text.contains(told) && text.ends_with("was left out"), "{sum}: {text}");
            assert!(!text.contains("916"), "{text}");
        }
        assert_eq!(
            said("id=1&sum=5&sum=null"),
            (Some(Kopecks(500)), Some("sum «null» is no declared value and was left out".to_owned()))
        );
        let (declared, text) = said("id=1&sum=5&sum=6&sum=5");
        assert_eq!(declared, None);
        assert!(text.expect("told").contains("different"));
        for sum in ["", "+", "%0D%0A", "%E2%80%8B", "0", "-0"] {
            assert_eq!(said(&format!("id=1&sum={sum}")).1, None, "«{sum}» is nothing unusual");
        }
        let json = |text: &'static str| {
            let mut params = Vec::new();
            read_json(text.as_bytes(), &mut params).expect("an object");
            let trigger = understand(TriggerUrl::Update, &params).expect("understood");
            (trigger.declared, trigger.left_out.is_some())
        };
        assert_eq!(json(r#"{"id":1,"sum":null}"#), (None, false));
        assert_eq!(json(r#"{"id":1,"sum":-5}"#), (None, true));
        assert_eq!(json(r#"{"id":1,"sum":false}"#), (None, true));
        assert_eq!(json(r#"{"id":1,"sum":{"amount":5}}"#), (None, true));
    }

    #[test]
    fn what_was_pasted_unseen_around_names_and_values_is_no_part_of_them() {
        for unseen in ["%0A", "%0D%0A", "+", "%09", "%C2%A0", "%E2%80%8B", "%EF%BB%BF", "%E2%80%8E", "%C2%AD"] {
            let around = |text: &str| format!("{unseen}{text}{unseen}");
            let body = format!(
                "{}={}&{}={}&{}={}",
                around("id"),
                around("12+34A"),
                around("sum"),
                around("3+790,5"),
                around("key"),
                around("dk-1")
            );
            let read = send(&body).unwrap_or_else(|bad| panic!("{unseen}: {bad:?}"));
            assert_eq!(read, ("12 34A".to_owned(), Some(Kopecks(379_050)), "dk-1".to_owned()), "{unseen}");
            let body = format!("id=1&{}={}", around("incity"), around("A"));
            assert_eq!(cancel(&body).expect("accepted").1, [("incity".to_owned(), 1)], "{unseen}");
        }
        // Trimmed, two are one; without anything else there is nothing.
        assert_eq!(send("id=1&key=a&key%0A=a%0A").map(|t| t.2), Ok("a".to_owned()));
        assert_eq!(send("id=1&%EF%BB%BFid=1"), Err(Bad::IdTwice));
        assert_eq!(send("id=%E2%80%8B%0A"), Err(Bad::EmptyId));
        let mut params = Vec::new();
        read_json("{\"\u{feff}id\":\"7\\n\",\"key \":\"\u{200b}k\"}".as_bytes(), &mut params).expect("an object");
        let trigger = understand(TriggerUrl::Send, &params).expect("understood");
        assert_eq!((trigger.number.as_str(), trigger.keys), ("7", Presented::One("k")));
    }

    #[test]
    fn what_arrives_escaped_for_html_travels_as_it_came() {
        for (body, number) in [
            ("id=A%26amp%3BB&key=k", "A&amp;B"),
            ("id=A%26B&key=k", "A&B"),
            ("id=%26lt%3B1%26gt%3B&key=k", "&lt;1&gt;"),
            ("id=%26quot%3B%26%23039%3B&key=k", "&quot;&#039;"),
            ("id=%26amp%3Bamp%3B&key=k", "&amp;amp;"),
            ("id=%26nbsp%3B1&key=k", "&nbsp;1"),
        ] {
            assert_eq!(send(body).map(|t| t.0), Ok(number.to_owned()), "{body}");
        }
    }

    #[test]
    fn extra_fields_are_ignored_even_unreadable_ones() {
        assert!(send("id=1&key=k&comment=%FF&x[]=1&%zz=1").is_ok());
        assert_eq!(send("id=1&key=a&key=a").map(|t| t.2), Ok("a".to_owned()));
        assert_eq!(send("id=1&key=a&key=b"), Err(Bad::KeyTwice));
    }

    #[test]
    fn json_keeps_the_form_of_numbers_and_sees_a_name_twice() {
        let read = |text: &'static str| {
            let mut params = Vec::new();
            read_json(text.as_bytes(), &mut params)?;
            let trigger = understand(TriggerUrl::Send, &params)?;
            Ok((trigger.number.as_str().to_owned(), trigger.declared))
        };
        assert_eq!(read(r#"{"id":1234,"sum":3790.10,"key":"k"}"#), Ok(("1234".to_owned(), Some(Kopecks(379_010)))));
        assert_eq!(read(r#"{"id":"12345678901234567890123","sum":null}"#).map(|t| t.1), Ok(None));
        assert_eq!(read(r#"{"id":12345678901234567890123}"#).map(|t| t.0), Ok("12345678901234567890123".to_owned()));
        assert_eq!(read(r#"{"id":"1","extra":{"a":[1]}}"#).map(|t| t.0), Ok("1".to_owned()));
        assert_eq!(read(r#"{"id":"1","id":"1"}"#), Err(Bad::IdTwice));
        assert_eq!(read(r#"{"id":["1"]}"#), Err(Bad::IdUnreadable));
        assert_eq!(read(r#"{"id":true}"#), Err(Bad::IdUnreadable));
        assert_eq!(read(r#"{"id":null}"#), Err(Bad::EmptyId));
        for text in ["[]", "1", "{", r#"{"id":1} x"#, "\"a\"", r#"{"id":"\ud800"}"#] {
            assert_eq!(read(text), Err(Bad::Json), "{text}");
        }
        assert_eq!(read_json(b"{\"id\":\"\xff\"}", &mut Vec::new()), Err(Bad::Json));
    }

    #[test]
    fn the_content_type_decides_and_a_missing_one_is_a_form() {
        let of = |text: &str| Form::of(Some(text.as_bytes()));
        assert_eq!(Form::of(None), Some(Form::UrlEncoded));
        assert_eq!(of("application/x-www-form-urlencoded; charset=UTF-8"), Some(Form::UrlEncoded));
        assert_eq!(of("Application/JSON;charset=utf-8"), Some(Form::Json));
        assert_eq!(of("application/vnd.x+json"), Some(Form::Json));
        assert_eq!(of("multipart/form-data; boundary=x"), None);
        assert_eq!(of("text/plain"), None);
    }

    fn find(key: &str) -> KeyLookup {
        let known = |id, account: &str| {
            KeyLookup::Known(Known {
                integration: IntegrationId(id),
                access: std::sync::Arc::new(Access::new(account, &Secret::new("key"), None)),
            })
        };
        match key {
            "A" => known(1, "one.retailcrm.ru"),
            "B" => known(2, "one.retailcrm.ru"),
            "C" => known(3, "two.retailcrm.ru"),
            "later" => KeyLookup::NotLoaded,
            _ => KeyLookup::Unknown,
        }
    }

    type Cancelled = (i64, Vec<(String, i64)>, Vec<String>);

    fn cancel(body: &str) -> Result<Cancelled, Reply> {
        let params = params(body);
        let trigger = understand(TriggerUrl::Cancel, &params).map_err(Reply::Bad)?;
        let found = authenticate(&trigger.keys, find)?;
        let candidates = found.candidates.into_iter().map(|c| (c.delivery_type, c.integration.0)).collect();
        Ok((found.integration.0, candidates, found.strangers))
    }

    #[test]
    fn a_cancel_lists_every_known_pair_and_ignores_the_unknown_beside_them() {
        let pairs = |list: &[(&str, i64)]| list.iter().map(|(t, i)| ((*t).to_owned(), *i)).collect::<Vec<_>>();
        let both = cancel("id=1&sum=2&outcity=B&incity=A").expect("accepted");
        assert_eq!(both, (2, pairs(&[("outcity", 2), ("incity", 1)]), vec![]));
        let one = cancel("id=1&incity=A&outcity=&old=zzz").expect("accepted");
        assert_eq!(one, (1, pairs(&[("incity", 1)]), vec!["outcity".to_owned(), "old".to_owned()]));
        let shared = cancel("id=1&incity=A&outcity=A&incity=A").expect("accepted");
        assert_eq!(shared.1, pairs(&[("incity", 1), ("outcity", 1)]));
    }

    #[test]
    fn a_cancel_without_usable_pairs_says_what_is_missing() {
        assert_eq!(cancel("id=1&sum=2"), Err(Reply::Bad(Bad::NoPairs)));
        assert_eq!(cancel("id=1&incity=zzz&outcity="), Err(Reply::Forbidden));
        assert_eq!(cancel("id=1&incity=%FF"), Err(Reply::Forbidden));
        assert_eq!(cancel("id=1&incity=A&outcity=C"), Err(Reply::Bad(Bad::SeveralAccounts)));
        assert_eq!(cancel("id=1&incity=later"), Err(Reply::Unavailable));
    }

    #[test]
    fn only_valid_trace_contexts_are_copied() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        let make = |header| {
            let params = params("id=1&key=A");
            let trigger = understand(TriggerUrl::Send, &params).expect("understood");
            let found = authenticate(&trigger.keys, find).expect("known");
            envelope(TriggerUrl::Send, trigger, found, jiff::Timestamp::UNIX_EPOCH, header)
        };
        assert_eq!(make(Some(good)).traceparent.as_deref(), Some(good));
        let made = make(Some("nonsense"));
        assert!(is_traceparent(made.traceparent.as_deref().expect("made")));
        assert_eq!(made.integration, Some(IntegrationId(1)));
    }

    #[test]
    fn the_journal_repeats_no_name_that_could_be_a_key() {
        let strangers = ["incity", "dk-0123456789abcdef0123456789abcdef", "имя", "79160001122"].map(str::to_owned);
        let text = story::words(&[strangers_told(&strangers)], &Reader::plain());
        assert!(text.contains("4 of") && text.contains("(incity)"), "{text}");
    }
}
