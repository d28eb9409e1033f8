//! What three books say of one order, and what they do not agree on. Pure.

use shared::closed_set;
use shared::domain::delivery::{DeliveryState as S, Phase};
use shared::domain::{CrmOrderId, Delivery, Kopecks, OrderNumber, Settings};
use shared::measoft::StatusRow;
use shared::story::Wish;

use crate::order::lost_writes::is_live;
use crate::sync::reconcile::missed::Missed;

closed_set! {
    Book {
        RetailCrm => "retailcrm",
        Ledger => "ledger",
        MeaSoft => "measoft",
    }
}

closed_set! {
    /// What is wrong with a book.
    Disagreement {
        /// It does not have the order, and should.
        Missing => "missing",
        /// It has the order, and should not.
        Extra => "extra",
        /// Its status is another.
        Status => "status",
        /// Its sum to collect is another.
        Sum => "sum",
    }
}

/// What makes it good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// As if the trigger had come that was missed.
    Trigger(Missed),
    /// MeaSoft is asked for the statuses of everything that is open.
    Statuses,
}

impl Repair {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger(Missed::Send) => "send",
            Self::Trigger(Missed::Update) => "update",
            Self::Trigger(Missed::Cancel | Missed::Gone) => "cancel",
            Self::Statuses => "statuses",
        }
    }

    /// As the story tells it.
    pub const fn wish(self) -> Wish {
        match self {
            Self::Trigger(Missed::Send) => Wish::Send,
            Self::Trigger(Missed::Update) => Wish::Update,
            Self::Trigger(Missed::Cancel | Missed::Gone) => Wish::Cancel,
            Self::Statuses => Wish::Statuses,
        }
    }
}

/// An order as RetailCRM shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub id: CrmOrderId,
    pub number: OrderNumber,
    /// Of a delivery type of this integration.
    pub ours: bool,
    /// Code of its status.
    pub status: String,
    /// What is to be collected; `None`: it cannot be handed over as it is.
    pub collect: Option<Kopecks>,
}

/// One order in the three books.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry<'a> {
    pub order: Option<&'a Shown>,
    pub delivery: Option<&'a Delivery>,
    pub parcel: Option<&'a StatusRow>,
}

/// One thing that the books do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub what: Disagreement,
    /// The book that is wrong, or that says otherwise than the ledger.
    pub book: Book,
    pub order: Option<CrmOrderId>,
    pub number: String,
    pub orderno: Option<String>,
    /// Status or sum, as each book has it.
    pub says: [Option<String>; 3],
    pub repair: Option<Repair>,
}

/// What is wrong about one order.
pub fn disagreements(entry: &Entry<'_>, settings: &Settings) -> Vec<Found> {
    let mut found = Vec::new();
    match (entry.delivery, entry.parcel) {
        (None, None) => found.extend(not_sent(entry, settings)),
        (None, Some(parcel)) if is_live(parcel) => found.push(entry.wrong(Disagreement::Extra, Book::MeaSoft, None)),
        (None, Some(_)) => {}
        (Some(d), parcel) => {
            found.extend(place(entry, d, settings));
            if let Some(parcel) = parcel {
                found.extend(status(entry, d, parcel));
                found.extend(sums(entry, d, parcel, settings));
            }
        }
    }
    found
}

/// An order that should be with the courier. Without statuses that mean «send» nobody can tell it
/// from one that is not ready.
fn not_sent(entry: &Entry<'_>, settings: &Settings) -> Option<Found> {
    let order = entry.order.filter(|order| order.ours)?;
    let repair = match settings.send_statuses.contains(&order.status) {
        true => Some(Repair::Trigger(Missed::Send)),
        false if settings.send_statuses.is_empty() => None,
        false => return None,
    };
    Some(entry.wrong(Disagreement::Missing, Book::Ledger, repair))
}

/// Who has it that should not, and who has not that should.
fn place(entry: &Entry<'_>, d: &Delivery, settings: &Settings) -> Option<Found> {
    let open = matches!(d.state, S::Created | S::InWork);
    let left = entry.order.is_none_or(|order| !order.ours);
    let parcel_lives = entry.parcel.is_some_and(is_live);
    if open && entry.parcel.is_none() {
        return Some(entry.wrong(Disagreement::Missing, Book::MeaSoft, Some(Repair::Statuses)));
    }
    if left && parcel_lives {
        let missed = if entry.order.is_none() { Missed::Gone } else { Missed::Cancel };
        // What the courier works on is a person's.
        let repair = (d.state == S::Created && settings.allow_edit_cancel).then_some(Repair::Trigger(missed));
        return Some(entry.wrong(Disagreement::Extra, Book::MeaSoft, repair));
    }
    if d.state == S::Rejected && !left && entry.parcel.is_none() {
        return Some(entry.wrong(Disagreement::Missing, Book::MeaSoft, Some(Repair::Trigger(Missed::Update))));
    }
    None
}

/// What MeaSoft says of where it is.
fn status(entry: &Entry<'_>, d: &Delivery, parcel: &StatusRow) -> Option<Found> {
    // What is on its way there says nothing yet.
    if d.state.needs_lookup() {
        return None;
    }
    let theirs = parcel.status.as_ref().map_or("NEW", |status| status.code.as_str());
    // Codes that nobody knows are kept in the story alone.
    if Phase::of(theirs) == Phase::Unclear {
        return None;
    }
    let ours = d.status.as_deref().unwrap_or("NEW");
    (theirs != ours).then(|| Found {
        says: [None, Some(ours.to_owned()), Some(theirs.to_owned())],
        ..entry.wrong(Disagreement::Status, Book::MeaSoft, Some(Repair::Statuses))
    })
}

/// What is to be collected. What was delivered is collected already, maybe for a part only.
fn sums(entry: &Entry<'_>, d: &Delivery, parcel: &StatusRow, settings: &Settings) -> Vec<Found> {
    if !matches!(d.state, S::Created | S::InWork) {
        return Vec::new();
    }
    let shown = entry.order.filter(|order| order.ours).and_then(|order| order.collect);
    let words = |sum: Option<Kopecks>| sum.map(|sum| sum.to_string());
    let says = [words(shown), words(d.price), words(parcel.price)];
    let differ = |a: Option<Kopecks>, b: Option<Kopecks>| a.zip(b).is_some_and(|(a, b)| a != b);
    let mut found = Vec::new();
    if differ(shown, d.price) {
        let may = d.state == S::Created && settings.allow_edit_cancel;
        let repair = may.then_some(Repair::Trigger(Missed::Update));
        found.push(Found { says: says.clone(), ..entry.wrong(Disagreement::Sum, Book::RetailCrm, repair) });
    }
    if differ(parcel.price, d.price) {
        found.push(Found { says, ..entry.wrong(Disagreement::Sum, Book::MeaSoft, None) });
    }
    found
}

impl Entry<'_> {
    fn wrong(&self, what: Disagreement, book: Book, repair: Option<Repair>) -> Found {
        let orderno = self.delivery.map(|d| d.orderno.to_string());
        let orderno = orderno.or_else(|| self.parcel?.orderno.as_ref().map(ToString::to_string));
        let number = self.order.map(|order| order.number.as_str().to_owned());
        let number = number.or_else(|| self.delivery.map(|d| d.number.clone()));
        let parcel_says = self.parcel.map(|row| row.status.as_ref().map_or("NEW", |s| s.code.as_str()).to_owned());
        Found {
            what,
            book,
            order: self.order.map(|order| order.id).or_else(|| self.delivery.map(|d| d.crm_order)),
            number: number.unwrap_or_default(),
            orderno,
            says: [
                self.order.map(|order| order.status.clone()),
                self.delivery.map(|d| d.state.as_str().to_owned()),
                parcel_says,
            ],
            repair,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{delivery, status_row};

    fn settings() -> Settings {
        Settings { send_statuses: vec!["send".to_owned()], ..Settings::default() }
    }

    fn order(ours: bool, status: &str, roubles: i64) -> Shown {
        Shown {
            id: CrmOrderId(4817),
            number: OrderNumber::parse("A-1").expect("a number"),
            ours,
            status: status.to_owned(),
            collect: Some(Kopecks::roubles(roubles)),
        }
    }

    fn ledger(state: S) -> Delivery {
        Delivery { price: Some(Kopecks::roubles(1000)), ..delivery(state) }
    }

    fn told(entry: Entry<'_>) -> Vec<(&'static str, &'static str, Option<&'static str>)> {
        let found = disagreements(&entry, &settings());
        found.iter().map(|one| (one.what.as_str(), one.book.as_str(), one.repair.map(Repair::as_str))).collect()
    }

    #[test]
    fn books_that_agree_say_nothing() {
        let (order, parcel) = (order(true, "sent", 1000), status_row("A-1", "NEW", 0));
        let created = ledger(S::Created);
        let entry = Entry { order: Some(&order), delivery: Some(&created), parcel: Some(&parcel) };
        assert_eq!(told(entry), []);
        let draft = self::order(true, "new", 1000);
        assert_eq!(told(Entry { order: Some(&draft), ..Entry::default() }), [], "it is not to be sent yet");
        let elsewhere = self::order(false, "send", 1000);
        assert_eq!(told(Entry { order: Some(&elsewhere), ..Entry::default() }), []);
        let ended = status_row("B-7", "COMPLETE", 0);
        assert_eq!(told(Entry { parcel: Some(&ended), ..Entry::default() }), [], "somebody else's, and over");
        let delivered = Delivery { status: Some("COMPLETE".to_owned()), ..ledger(S::Delivered) };
        let part = StatusRow { price: Some(Kopecks::roubles(400)), ..ended };
        let entry = Entry { order: Some(&order), delivery: Some(&delivered), parcel: Some(&part) };
        assert_eq!(told(entry), [], "a part was bought");
    }

    #[test]
    fn what_is_missing_or_too_much_is_named_with_what_makes_it_good() {
        let to_be_sent = order(true, "send", 1000);
        assert_eq!(told(Entry { order: Some(&to_be_sent), ..Entry::default() }), [("missing", "ledger", Some("send"))]);
        let unknown = disagreements(&Entry { order: Some(&to_be_sent), ..Entry::default() }, &Settings::default());
        assert_eq!(unknown[0].repair, None, "which status means «send» is not known");
        let parcel = status_row("A-1", "NEW", 0);
        assert_eq!(told(Entry { parcel: Some(&parcel), ..Entry::default() }), [("extra", "measoft", None)]);
        let (created, in_work) = (ledger(S::Created), ledger(S::InWork));
        let here = order(true, "sent", 1000);
        let entry = Entry { order: Some(&here), delivery: Some(&created), parcel: None };
        assert_eq!(told(entry), [("missing", "measoft", Some("statuses"))]);
        let entry = Entry { order: None, delivery: Some(&created), parcel: Some(&parcel) };
        assert_eq!(told(entry), [("extra", "measoft", Some("cancel"))], "it is gone from RetailCRM");
        let left = order(false, "sent", 1000);
        let entry = Entry { order: Some(&left), delivery: Some(&created), parcel: Some(&parcel) };
        assert_eq!(told(entry), [("extra", "measoft", Some("cancel"))]);
        let entry = Entry { order: Some(&left), delivery: Some(&in_work), parcel: Some(&parcel) };
        assert_eq!(told(entry), [("extra", "measoft", None)], "the courier works on it");
        let rejected = ledger(S::Rejected);
        let entry = Entry { order: Some(&here), delivery: Some(&rejected), parcel: None };
        assert_eq!(told(entry), [("missing", "measoft", Some("update"))]);
    }

    #[test]
    fn another_status_and_another_sum_are_shown_as_each_book_has_them() {
        let (order, created) = (order(true, "sent", 1200), ledger(S::Created));
        let parcel = StatusRow { price: Some(Kopecks::roubles(900)), ..status_row("A-1", "DELIVERY", 0) };
        let entry = Entry { order: Some(&order), delivery: Some(&created), parcel: Some(&parcel) };
        assert_eq!(
            told(entry),
            [("status", "measoft", Some("statuses")), ("sum", "retailcrm", Some("update")), ("sum", "measoft", None)]
        );
        let found = disagreements(&entry, &settings());
        let text = |words: &str| Some(words.to_owned());
        assert_eq!(found[0].says, [None, text("NEW"), text("DELIVERY")]);
        assert_eq!(found[1].says, [text("1200.00"), text("1000.00"), text("900.00")]);
        let unknown = Delivery { price: None, status: Some("DELIVERY".to_owned()), ..ledger(S::Created) };
        let entry = Entry { order: Some(&order), delivery: Some(&unknown), parcel: Some(&parcel) };
        assert_eq!(told(entry), [], "a sum that nobody knows is not held against anybody");
        let odd = StatusRow { price: None, ..status_row("A-1", "НЕЧТО", 0) };
        let same = self::order(true, "sent", 1000);
        let entry = Entry { order: Some(&same), delivery: Some(&created), parcel: Some(&odd) };
        assert_eq!(told(entry), [], "a code that nobody knows");
        let on_its_way = ledger(S::Unknown);
        let entry = Entry { order: Some(&order), delivery: Some(&on_its_way), parcel: Some(&parcel) };
        assert_eq!(told(entry), [], "its answer is still being looked for");
    }
}
