//! Phones in free text, as people write them, and as MeaSoft takes them: at least one number
//! of 10–15 digits (protocols/measoft.md#error-texts). The one reading of phones there is.
//!
//! What numbers exist is known by `rlibphonenumber` (Google's metadata); how people of this
//! region write them is known here.

use std::fmt;
use std::str::FromStr as _;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, Region, get_national_significant_number_owned,
};
use serde::{Deserialize, Serialize};

/// Digits of a number with its country code that MeaSoft takes (protocols/measoft.md#error-texts).
const DIGITS: std::ops::RangeInclusive<usize> = 10..=15;
/// Digits nobody writes in one go unless they are a whole number.
const WHOLE: usize = 9;
/// Countries whose numbers are written here without a plus, and with an 8 in front out of
/// habit; with their codes and the digits of a subscriber's number.
const REGION: [(Region, &str, usize); 12] = [
    (Region::RU, "7", 10),
    (Region::KZ, "7", 10),
    (Region::BY, "375", 9),
    (Region::UZ, "998", 9),
    (Region::AM, "374", 8),
    (Region::AZ, "994", 9),
    (Region::GE, "995", 9),
    (Region::KG, "996", 9),
    (Region::TJ, "992", 9),
    (Region::UA, "380", 9),
    (Region::MD, "373", 8),
    (Region::TM, "993", 8),
];
/// Words that say what kind of phone it is and nothing a courier needs.
const LABELS: [&str; 21] = [
    "т",
    "тел",
    "телефон",
    "телефоны",
    "контактный",
    "номер",
    "моб",
    "мобильный",
    "сот",
    "сотовый",
    "дом",
    "домашний",
    "раб",
    "рабочий",
    "tel",
    "phone",
    "mob",
    "mobile",
    "cell",
    "№",
    "no",
];
const CONNECTORS: [&str; 7] = ["и", "или", "либо", "and", "or", "&", "также"];
/// What announces digits that are dialled after the answer.
const EXTENSIONS: [&str; 12] =
    ["доб", "добав", "добавочный", "доп", "вн", "внутр", "внутренний", "ext", "extension", "x", "х", "#"];

/// Whose way of writing is meant where a number has no country code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(Region);

impl Country {
    /// By its two letters («KZ»); Russia where nothing or nothing known is said.
    pub fn of(iso: Option<&str>) -> Self {
        let known = iso.and_then(|iso| Region::from_str(&iso.trim().to_ascii_uppercase()).ok());
        // The list also knows what is no country.
        Self(
            known
                .filter(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some())
                .unwrap_or(Region::RU),
        )
    }
}

impl Default for Country {
    fn default() -> Self {
        Self(Region::RU)
    }
}

/// One phone number in international form, `+` and 10–15 digits. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);

impl Phone {
    /// Every phone found in a free text, in order, without repeats.
    pub fn find_all(text: &str, country: Country) -> Vec<Self> {
        read(text, country).into_iter().map(|contact| contact.phone).collect()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone([hidden])")
    }
}

/// A phone and what was written beside it: «доб. 155», «звонить до 18», a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    pub phone: Phone,
    pub remark: Option<String>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact([hidden])")
    }
}

/// Every phone of a free text with what was written beside it, in order, each once. Digits
/// that make no number a network could have are no phone; digits of two things are never
/// put together, unless nothing but spaces and the signs inside numbers stands between.
pub fn read(text: &str, country: Country) -> Vec<Contact> {
    let mut found: Vec<Contact> = Vec::new();
    // What was written before there was a phone to keep it with.
    let mut early: Vec<String> = Vec::new();
    for segment in plain(text).split([',', ';', '/', '\n', '|']) {
        let mut before = Vec::new();
        // The phone of this segment that words belong to.
        let mut here: Option<usize> = None;
        for piece in pieces(segment, country) {
            match (piece, here) {
                (Piece::Number(phone), _) => {
                    let index = found.iter().position(|known| known.phone == phone).unwrap_or(found.len());
                    if index == found.len() {
                        found.push(Contact { phone, remark: None });
                    }
                    here = Some(index);
                    let words: Vec<String> = early.drain(..).chain(before.drain(..)).collect();
                    words.iter().for_each(|word| note(&mut found[index], word));
                }
                (Piece::Words(words), Some(index)) => note(&mut found[index], &words),
                (Piece::Words(words), None) => before.push(words),
            }
        }
        match found.last_mut() {
            Some(last) => before.iter().for_each(|words| note(last, words)),
            None => early.append(&mut before),
        }
    }
    found
}

fn note(contact: &mut Contact, words: &str) {
    match &mut contact.remark {
        None => contact.remark = Some(words.to_owned()),
        Some(remark) if remark.split(", ").any(|known| known == words) => {}
        Some(remark) => {
            remark.push_str(", ");
            remark.push_str(words);
        }
    }
}

/// Without e-mail addresses, with one kind of space and one kind of dash.
fn plain(text: &str) -> String {
    let even: String = text
        .chars()
        .filter(
            |c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'),
        )
        .map(|c| match c {
            '\n' | '\r' => '\n',
            c if c.is_whitespace() => ' ',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{ff0b}' => '+',
            c => c,
        })
        .collect();
    let lines =
        even.split('\n').map(|line| line.split(' ').filter(|word| !word.contains('@')).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

enum Piece {
    Number(Phone),
    /// Words worth keeping.
    Words(String),
}

/// A group of digits and where it stands; bytes.
struct Group {
    plus: bool,
    start: usize,
    /// Where its plus or bracket begins.
    from: usize,
    end: usize,
}

/// A segment cut into numbers and words.
fn pieces(segment: &str, country: Country) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut kept = 0;
    let keep =
        |from: usize, to: usize, pieces: &mut Vec<Piece>| pieces.extend(words(&segment[from..to]).map(Piece::Words));
    for run in runs(segment) {
        let mut at = 0;
        let mut fresh = true;
        while at < run.len() {
            let group = &run[at];
            let extension = (kept > 0 || !pieces.is_empty()) && is_announced(&segment[kept..group.from]);
            // Behind digits that mean something else a number is only what is one by itself.
            let taken = match extension {
                true => None,
                false => number(segment, &run[at..], country)
                    .filter(|(count, _)| fresh || group.plus || (*count == 1 && group.end - group.start >= WHOLE)),
            };
            match taken {
                Some((count, phone)) => {
                    keep(kept, group.from, &mut pieces);
                    kept = run[at + count - 1].end;
                    pieces.push(Piece::Number(phone));
                    at += count;
                    fresh = true;
                }
                None => {
                    at += 1;
                    fresh = false;
                }
            }
        }
    }
    keep(kept, segment.len(), &mut pieces);
    pieces
}

/// Groups of digits between which stands nothing but what stands inside a number.
fn runs(segment: &str) -> Vec<Vec<Group>> {
    let mut runs: Vec<Vec<Group>> = Vec::new();
    let mut open = false;
    let mut lead: Option<usize> = None;
    let mut plus = false;
    for (index, c) in segment.char_indices() {
        match c {
            '0'..='9' => {
                let joins =
                    open && lead.is_none() && runs.last().and_then(|run| run.last()).is_some_and(|g| g.end == index);
                if joins {
                    runs.last_mut().and_then(|run| run.last_mut()).expect("a group is open").end = index + 1;
                } else {
                    let group = Group { plus, start: index, from: lead.unwrap_or(index), end: index + 1 };
                    match (open, runs.last_mut()) {
                        (true, Some(run)) => run.push(group),
                        _ => runs.push(vec![group]),
                    }
                }
                (open, lead, plus) = (true, None, false);
            }
            '+' => {
                // A plus begins a number, whatever stands before it.
                lead = lead.or(Some(index));
                plus = true;
            }
            '(' => lead = lead.or(Some(index)),
            ' ' | '-' | '.' | ')' | '_' | '\u{b7}' => {}
            _ => (open, lead, plus) = (false, None, false),
        }
    }
    runs
}

/// The number that begins with the first of these groups, and how many of them it takes.
fn number(segment: &str, run: &[Group], country: Country) -> Option<(usize, Phone)> {
    let mut digits = String::new();
    let mut best: Option<(usize, Phone)> = None;
    let mut possible: Option<(usize, Phone)> = None;
    // «+8 (495)»: the plus is a habit, the 8 the long-distance one.
    let eight = &segment[run[0].start..run[0].end] == "8" && run.len() > 1;
    let plus = run[0].plus && !(eight && in_region(country.0));
    for (index, group) in run.iter().enumerate() {
        if index > 0 && group.plus {
            break;
        }
        digits.push_str(&segment[group.start..group.end]);
        if digits.len() > *DIGITS.end() + 3 {
            break;
        }
        if let Some(phone) = valid(plus, &digits, country) {
            best = Some((index + 1, phone));
            if index == 0 && digits.len() >= WHOLE {
                break;
            }
        } else if let Some(phone) = likely(plus, &digits, country) {
            possible = Some((index + 1, phone));
        }
    }
    best.or(possible)
}

fn in_region(region: Region) -> bool {
    REGION.iter().any(|(known, ..)| *known == region)
}

fn parsed(text: &str, region: Option<Region>) -> Option<PhoneNumber> {
    PHONE_NUMBER_UTIL.parse(text, region).ok()
}

fn shown(number: &PhoneNumber) -> Option<Phone> {
    let text = number.format_as(PhoneNumberFormat::E164).into_owned();
    let digits = text.strip_prefix('+')?;
    let fits = DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // What would be read as something else tomorrow is not sent today.
    let stays = parsed(&text, None).is_some_and(|again| again.format_as(PhoneNumberFormat::E164) == text);
    (fits && stays).then_some(Phone(text))
}

fn assigned(text: &str, region: Option<Region>) -> Option<Phone> {
    let number = parsed(text, region).filter(|number| number.is_valid() && is_whole(number))?;
    shown(&number)
}

/// In code 7 a number has ten digits and begins as some number there does; the longer ones
/// of the metadata are no subscribers'.
fn is_whole(number: &PhoneNumber) -> bool {
    let national = get_national_significant_number_owned(number);
    number.country_code != 7 || (national.len() == 10 && national.starts_with(['3', '4', '7', '8', '9']))
}

/// A number out of ranges that are in use.
fn valid(plus: bool, digits: &str, country: Country) -> Option<Phone> {
    let region = country.0;
    if plus {
        let habit = || in_region(region).then(|| assigned(digits, Some(region))).flatten();
        return assigned(&format!("+{digits}"), None).or_else(habit);
    }
    let eight = || {
        let rest = digits.strip_prefix('8').filter(|_| in_region(region))?;
        assigned(rest, Some(region))
    };
    let neighbour = || {
        REGION
            .iter()
            .any(|(_, code, _)| digits.starts_with(code))
            .then(|| assigned(&format!("+{digits}"), None))
            .flatten()
    };
    let russian = || assigned(digits, Some(Region::RU));
    let abroad = || assigned(&format!("+{}", digits.strip_prefix("00").or_else(|| digits.strip_prefix("810"))?), None);
    assigned(digits, Some(region)).or_else(eight).or_else(neighbour).or_else(russian).or_else(abroad)
}

/// A number of the right length out of a range the metadata does not know (yet): taken
/// when a country code or the digit for long distance says that it is meant as a whole one.
fn likely(plus: bool, digits: &str, country: Country) -> Option<Phone> {
    let number = match plus {
        true => parsed(&format!("+{digits}"), None)?,
        false => parsed(digits, Some(country.0))?,
    };
    let national = get_national_significant_number_owned(&number);
    let code = number.country_code.to_string();
    let usual = REGION.iter().find(|(_, known, _)| *known == code).map(|(.., length)| *length);
    let announced = plus
        || match usual {
            Some(_) => digits.len() > national.len() && digits.ends_with(&national),
            None => digits.strip_prefix('0') == Some(&national),
        };
    let fits = matches!(number.is_possible_with_reason(), Ok(NumberLengthType::IsPossible))
        && usual.is_none_or(|length| length == national.len())
        && is_whole(&number);
    (announced && fits).then(|| shown(&number)).flatten()
}

/// Whether the last word before says that an extension follows.
fn is_announced(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '.', ':', '-', '(', '№']).to_lowercase();
    let word = before.rsplit(|c: char| !c.is_alphabetic() && c != '#').next().unwrap_or("");
    EXTENSIONS.contains(&word) || before.ends_with('#')
}

/// What is worth telling of the text beside a number.
fn words(text: &str) -> Option<String> {
    let bare = |word: &str| word.trim_matches(['.', ':', '(', ')', '-', '=', '"', '«', '»', '+']).to_lowercase();
    let all: Vec<&str> = text.split_whitespace().collect();
    let is_idle = |word: &&str| {
        let word = bare(word);
        word.is_empty() || CONNECTORS.contains(&word.as_str())
    };
    let says = all.iter().any(|word| !is_idle(word) && !LABELS.contains(&bare(word).as_str()));
    if !says {
        return None;
    }
    let from = all.iter().position(|word| !is_idle(word))?;
    let to = all.iter().rposition(|word| !is_idle(word))?;
    let text = all[from..=to].join(" ");
    let text = text.trim_start_matches([':', '-', '.', ')', '=', ' ']).trim_end_matches([':', '-', '(', '=', ' ']);
    let whole =
        text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).filter(|inner| !inner.contains(['(', ')']));
    let text = whole.unwrap_or(text).trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
