//! Phones as MeaSoft takes them: free text with at least one number of 10–15 digits
//! (measoft-api.md §15.3, §16.5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One phone number in international form, `+` and 10–15 digits. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);

impl Phone {
    /// Every phone found in a free text («8 (916) 000-11-22, доб. 5; +7 495 …»),
    /// in order, without repeats. Russian `8XXXXXXXXXX` and bare ten digits become `+7…`.
    #[must_use]
    pub fn find_all(text: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        // A plus begins a number, whatever stands before it.
        for part in text.replace('+', ",+").split([',', ';', '/', '\n', '|']) {
            let main = part.split("доб").next().unwrap_or(part);
            let main = main.split("ext").next().unwrap_or(main);
            if main.contains('@') {
                continue;
            }
            let plus = main.trim_start().starts_with('+');
            let digits: String = main.chars().filter(char::is_ascii_digit).collect();
            let normal = match (digits.len(), plus) {
                (10, false) => format!("+7{digits}"),
                (11, false) if digits.starts_with('8') => format!("+7{}", &digits[1..]),
                (10..=15, _) => format!("+{digits}"),
                _ => continue,
            };
            let phone = Self(normal);
            if !found.contains(&phone) {
                found.push(phone);
            }
        }
        found
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        Phone::find_all(text).iter().map(|p| p.as_str().to_owned()).collect()
    }

    #[test]
    fn normalises_the_usual_ways_to_write_a_phone() {
        assert_eq!(found("+7 (916) 000-11-22"), ["+79160001122"]);
        assert_eq!(found("8 495 000 11 22"), ["+74950001122"]);
        assert_eq!(found("9160001122 доб. 15"), ["+79160001122"]);
        assert_eq!(found("+998 90 123 45 67"), ["+998901234567"]);
        assert_eq!(found("+79160001122 +7 495 000 11 22"), ["+79160001122", "+74950001122"]);
        assert_eq!(found("89160001122; +7 916 000 11 22, 84950001122"), ["+79160001122", "+74950001122"]);
    }

    #[test]
    fn what_is_no_phone_is_left_out() {
        for text in ["", "нет", "12345", "anna@example.org", "1234567890123456"] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert!(!format!("{:?}", Phone::find_all("+79160001122")).contains("916"));
    }
}
