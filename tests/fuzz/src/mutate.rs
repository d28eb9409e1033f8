//! Seeded changes of inputs.

use serde_json::Value;

/// Longest input made.
const LONGEST: usize = 32 * 1024;
/// What readers trip over, wherever it stands.
const PIECES: [&[u8]; 28] = [
    b"<",
    b">",
    b"/>",
    b"</",
    b"&",
    b"&amp;",
    b"&#x0;",
    b"&#1114112;",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<!DOCTYPE a [",
    b"<?xml version=\"1.0\" encoding=\"windows-1251\"?>",
    b"error=\"17\"",
    b"\xff\xfe",
    b"\xd0",
    b"\x00",
    b"%",
    b"%D0",
    b"-9223372036854775808",
    b"1e400",
    b"0.005",
    b"\"",
    b"null",
    b"[]",
    b"{}",
    b"\\ud800",
];

/// Values of other kinds than expected, in JSON.
const VALUES: [&str; 16] = [
    "null",
    "true",
    "\"\"",
    "\" \"",
    "[]",
    "{}",
    "0",
    "-1",
    "0.005",
    "1e400",
    "123456789012345678901234567890.5",
    "\"1 234,50\"",
    "\"2026-13-45 99:99:99\"",
    "\"-0\"",
    "[[[[]]]]",
    "{\"0\":null}",
];

/// Makes inputs of inputs; the same seed makes the same ones.
pub struct Mutator(u64);

impl Mutator {
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Another input, from one or two of these.
    pub fn next(&mut self, from: &[Vec<u8>]) -> Vec<u8> {
        let mut input = from[self.below(from.len())].clone();
        // Broken JSON is refused as a whole; what reads the values sees whole documents only.
        if self.below(4) != 0
            && let Ok(mut document) = serde_json::from_slice::<Value>(&input)
        {
            for _ in 0..=self.below(4) {
                self.change_value(&mut document);
            }
            return serde_json::to_vec(&document).unwrap_or(input);
        }
        for _ in 0..=self.below(6) {
            self.change(&mut input, from);
        }
        input.truncate(LONGEST);
        input
    }

    /// Changes one value somewhere in a document.
    fn change_value(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && self.below(8) != 0 => {
                let name = fields.keys().nth(self.below(fields.len())).cloned().unwrap_or_default();
                match self.below(12) {
                    0 => drop(fields.remove(&name)),
                    1 => {
                        let other = fields.values().nth(self.below(fields.len())).cloned();
                        fields.insert(name, other.unwrap_or_default());
                    }
                    _ => {
                        if let Some(inner) = fields.get_mut(&name) {
                            self.change_value(inner);
                        }
                    }
                }
            }
            Value::Array(list) if !list.is_empty() && self.below(8) != 0 => {
                let at = self.below(list.len());
                match self.below(12) {
                    0 => drop(list.remove(at)),
                    1 => list.push(list[at].clone()),
                    _ => self.change_value(&mut list[at]),
                }
            }
            _ => {
                let made = VALUES[self.below(VALUES.len())];
                *value = match self.below(4) {
                    // As some versions write it: a text instead of the value, or a list around it.
                    0 => Value::String(value.to_string()),
                    1 => Value::Array(vec![value.take()]),
                    _ => serde_json::from_str(made).unwrap_or_default(),
                };
            }
        }
    }

    fn change(&mut self, input: &mut Vec<u8>, from: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(24)).min(input.len());
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = u8::try_from(self.below(256)).unwrap_or(0),
            2 if at < end => drop(input.drain(at..end)),
            // Doubled, as a list element or a parameter may be.
            3 if at < end => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            4 => input.truncate(at),
            // A number that is another number.
            5 => {
                if let Some(digit) = input.iter().skip(at).position(u8::is_ascii_digit) {
                    input[at + digit] = b"0123456789-.e"[self.below(13)];
                }
            }
            // The rest of another input.
            6 => {
                let other = &from[self.below(from.len())];
                let tail = &other[self.below(other.len() + 1)..];
                input.truncate(at);
                input.extend_from_slice(tail);
            }
            // Deep or long.
            7 if at < end => {
                let piece = input[at..end].to_vec();
                let times = 1 << self.below(8);
                input.splice(at..at, piece.repeat(times));
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(at..at, piece.iter().copied());
            }
        }
    }

    /// Below `limit`, which may be zero; splitmix64.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (limit.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_inputs_and_another_makes_others() {
        let from = [b"id=1&key=2".to_vec(), b"<a b=\"1\"/>".to_vec()];
        let of = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..200).map(|_| mutator.next(&from)).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).iter().filter(|input| !from.contains(input)).count() > 190);
    }
}
