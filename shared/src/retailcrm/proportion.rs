//! What a JSON document comes to in memory. Rows of a byte each become a thousand times what
//! was read; such a document is refused before it is taken apart.

/// Memory for each byte read that is granted: honest answers need a tenth of it.
const FACTOR: usize = 64;
/// Small documents may be of any make.
const FREE: usize = 1024 * 1024;
/// An object's first node, a list, an element with its path: bytes.
const OBJECT: usize = 700;
const LIST: usize = 64;
const ELEMENT: usize = 160;

/// Whether a document stays in proportion to its length.
#[must_use]
pub(crate) fn is_in_proportion(body: &[u8]) -> bool {
    let (mut weight, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in body {
        if is_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_text = false,
                _ => {}
            }
            continue;
        }
        weight = weight.saturating_add(match byte {
            b'"' => {
                is_text = true;
                0
            }
            b'{' => OBJECT,
            b'[' => LIST,
            b',' => ELEMENT,
            _ => 0,
        });
    }
    weight <= body.len().saturating_mul(FACTOR).max(FREE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;

    #[test]
    fn honest_answers_of_any_length_are_in_proportion() {
        let order = samples::read("order-full.json").to_string();
        let many = format!("[{}]", vec![order; 200].join(","));
        assert!(many.len() > FREE / 2 && is_in_proportion(many.as_bytes()));
        let texts = format!("[\"{}\"]", "{[,\\\"".repeat(1_000_000));
        assert!(is_in_proportion(texts.as_bytes()), "what stands in a text is a text");
    }

    #[test]
    fn a_document_of_nothing_but_structure_is_not() {
        for piece in ["{},", "[],", "1,", "{\"\":0},"] {
            let body = format!("[{}1]", piece.repeat(500_000));
            assert!(!is_in_proportion(body.as_bytes()), "{piece}");
        }
    }
}
