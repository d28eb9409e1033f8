//! What stands in a sentence.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::{CorrectedField, CrmOrderId, Fault, IntegrationId, Kopecks, Language, RetryWhy};
use crate::hidden::Known;
use crate::phrases::reader::Reader;

/// Something that is kept as it is and read in words.
pub trait Value: Sized {
    fn words(&self, reader: &Reader) -> String;

    /// Without what is known of people: only texts that others chose can hold any.
    fn hide(&mut self, _: &Known) {}

    /// One of each kind, for who looks at how all of them read; never none.
    fn some() -> Vec<Self>;
}

/// The first of them.
pub(crate) fn one<T: Value>() -> T {
    T::some().swap_remove(0)
}

impl Value for String {
    fn words(&self, _: &Reader) -> String {
        self.clone()
    }

    fn hide(&mut self, known: &Known) {
        *self = known.hide(self);
    }

    fn some() -> Vec<Self> {
        // Of neither language.
        vec!["4711".to_owned()]
    }
}

macro_rules! shown_alike {
    ($($kind:ty => $one:expr),* $(,)?) => {
        $(impl Value for $kind {
            fn words(&self, _: &Reader) -> String {
                self.to_string()
            }

            fn some() -> Vec<Self> {
                vec![$one]
            }
        })*
    };
}

shown_alike! {
    i64 => 7,
    u16 => 7,
    u32 => 7,
    Kopecks => Kopecks(379_000),
    IntegrationId => IntegrationId(7),
    CrmOrderId => CrmOrderId(7),
}

impl Value for Timestamp {
    fn words(&self, reader: &Reader) -> String {
        let at = self.to_zoned_datetime(reader.zone.clone());
        at.strftime(reader.of("%d.%m.%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")).to_string()
    }

    fn some() -> Vec<Self> {
        vec![Self::UNIX_EPOCH]
    }
}

impl Value for Date {
    fn words(&self, reader: &Reader) -> String {
        self.strftime(reader.of("%d.%m.%Y", "%Y-%m-%d")).to_string()
    }

    fn some() -> Vec<Self> {
        vec![Self::constant(2026, 12, 1)]
    }
}

/// One after another.
impl<T: Value> Value for Vec<T> {
    fn words(&self, reader: &Reader) -> String {
        match &self[..] {
            [] => reader.of("ничего", "nothing").to_owned(),
            all => all.iter().map(|one| one.words(reader)).collect::<Vec<_>>().join(", "),
        }
    }

    fn hide(&mut self, known: &Known) {
        self.iter_mut().for_each(|one| one.hide(known));
    }

    fn some() -> Vec<Self> {
        vec![T::some()]
    }
}

/// Who has to act, for people.
pub const fn who_acts(fault: Fault, language: Language) -> &'static str {
    let (ru, en) = match fault {
        Fault::Shop => ("исправляет магазин", "the shop mends it"),
        Fault::Courier => ("решает курьерская служба", "the courier service's matter"),
        Fault::Crm => ("вопрос к RetailCRM", "RetailCRM's matter"),
        Fault::Bridge => ("решает администратор интеграции", "the operator's matter"),
    };
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

impl Value for Fault {
    fn words(&self, reader: &Reader) -> String {
        who_acts(*self, reader.language).to_owned()
    }

    fn some() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

impl Value for CorrectedField {
    fn words(&self, reader: &Reader) -> String {
        Self::words(*self, reader.language).to_owned()
    }

    fn some() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

impl Value for RetryWhy {
    fn words(&self, reader: &Reader) -> String {
        Self::words(*self, reader.language).to_owned()
    }

    fn some() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}
