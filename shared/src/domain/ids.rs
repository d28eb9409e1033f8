//! Identifiers as types, so that a number is never taken for an id
//! (protocols/retailcrm.md#order: number ≠ id ≠ externalId).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// One RetailCRM account tied to one MeaSoft cabinet.
    IntegrationId
);
numeric_id!(
    /// RetailCRM's internal order id: stable, unique in the account.
    CrmOrderId
);
numeric_id!(
    /// A row of our ledger.
    DeliveryId
);

/// RetailCRM's order *number*: free text shown to people, may be edited and may repeat
/// between shops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(String);

/// Why a text is no order number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOrderNumber {
    #[error("the order number is empty")]
    Empty,
    #[error("the order number is longer than {} characters", OrderNumber::MAX_CHARS)]
    TooLong,
}

impl OrderNumber {
    /// Longest number accepted, in characters.
    pub const MAX_CHARS: usize = 255;

    /// # Errors
    /// [`BadOrderNumber`] when empty after trimming or too long.
    pub fn parse(text: &str) -> Result<Self, BadOrderNumber> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadOrderNumber::Empty);
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(BadOrderNumber::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The number without the HTML codes that Twig's automatic escaping puts in, PHP's
    /// `htmlspecialchars` and what others make of it; `None` when there are none.
    pub fn unescaped(&self) -> Option<Self> {
        const CODES: [(&str, char); 7] = [
            ("&amp;", '&'),
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&#039;", '\''),
            ("&#39;", '\''),
            ("&apos;", '\''),
        ];
        let (mut plain, mut rest) = (String::with_capacity(self.0.len()), self.0.as_str());
        // Once over: what was escaped twice is another number.
        while let Some(at) = rest.find('&') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let (code, meant) = CODES.into_iter().find(|(code, _)| rest.starts_with(code)).unwrap_or(("&", '&'));
            plain.push(meant);
            rest = &rest[code.len()..];
        }
        plain.push_str(rest);
        (plain != self.0).then(|| Self::parse(&plain).ok()).flatten()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number we give an order at MeaSoft: the idempotency key there
/// (protocols/measoft.md#duplicates). Deterministic, stored before the first send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNo(String);

impl OrderNo {
    /// Longest number that MeaSoft is asked to keep (protocols/measoft.md#neworder, lengths).
    pub const MAX_CHARS: usize = 30;

    /// `<prefix><number>` when that is made of `[A-Za-z0-9-]{1,30}`, else
    /// `<prefix>R<CRM order id>`; generations after the first get `-2`, `-3`…
    pub fn derive(prefix: &str, number: &OrderNumber, id: CrmOrderId, generation: u32) -> Self {
        let suffix = if generation > 1 { format!("-{generation}") } else { String::new() };
        let plain = format!("{prefix}{}{suffix}", number.as_str());
        let fits = plain.len() <= Self::MAX_CHARS && plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Self(plain) } else { Self(format!("{prefix}R{id}{suffix}")) }
    }

    /// A number read back from the ledger or from MeaSoft.
    pub fn known(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orderno(prefix: &str, number: &str, generation: u32) -> String {
        let number = OrderNumber::parse(number).expect("a number");
        OrderNo::derive(prefix, &number, CrmOrderId(4817), generation).as_str().to_owned()
    }

    #[test]
    fn a_number_is_read_without_the_codes_of_html() {
        let plain = |text: &str| OrderNumber::parse(text).expect("a number").unescaped().map(|n| n.0);
        assert_eq!(
            plain("A&amp;B &lt;1&gt; &quot;x&quot; &#039; &#39; &apos;").as_deref(),
            Some("A&B <1> \"x\" ' ' '")
        );
        assert_eq!(plain("A&amp;amp;B").as_deref(), Some("A&amp;B"), "once");
        for same in ["1234A", "A&B", "&", "&copy;", "A &am p;"] {
            assert_eq!(plain(same), None, "{same}");
        }
        assert_eq!(plain("&#039;").as_deref(), Some("'"));
    }

    #[test]
    fn plain_numbers_keep_their_look() {
        assert_eq!(orderno("", "1234A", 1), "1234A");
        assert_eq!(orderno("MS-", "1234A", 1), "MS-1234A");
        assert_eq!(orderno("MS-", "1234A", 2), "MS-1234A-2");
    }

    #[test]
    fn numbers_that_measoft_might_not_keep_are_replaced_by_the_id() {
        for number in ["№ 12", "12/34", "12#3", "12 34", "заказ", &"9".repeat(31)] {
            assert_eq!(orderno("S-", number, 1), "S-R4817", "{number}");
        }
        assert_eq!(orderno("", &"9".repeat(29), 2), "R4817-2", "the suffix counts");
    }

    #[test]
    fn numbers_are_trimmed_and_bounded() {
        assert_eq!(OrderNumber::parse("  "), Err(BadOrderNumber::Empty));
        assert_eq!(OrderNumber::parse(&"я".repeat(256)), Err(BadOrderNumber::TooLong));
        assert_eq!(OrderNumber::parse(&"я".repeat(255)).expect("fits").as_str().chars().count(), 255);
    }
}
