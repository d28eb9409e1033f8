//! Text that a person pasted: what came along unseen is no part of it.

use std::borrow::Cow;

/// White space of every kind (line ends, no-break spaces), and characters that show nothing:
/// Unicode's default ignorable ones, such as zero-width spaces, marks of direction, soft
/// hyphens and a byte order mark. Variation selectors and tags change how their neighbour
/// looks and are left alone.
pub const fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
        )
}

/// Without what is unseen at its ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_unseen)
}

/// Without anything unseen: for keys and codes, which have none inside.
pub fn compact(text: &str) -> Cow<'_, str> {
    if text.contains(is_unseen) { text.chars().filter(|c| !is_unseen(*c)).collect() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unseen_at_the_ends_goes_and_what_is_inside_stays() {
        for unseen in [
            " ", "\n", "\r\n", "\t", "\u{a0}", "\u{202f}", "\u{2028}", "\u{3000}", "\u{85}", "\u{feff}", "\u{200b}",
            "\u{200d}", "\u{200e}", "\u{202c}", "\u{2060}", "\u{2069}", "\u{ad}", "\u{180e}", "\u{3164}",
        ] {
            let pasted = format!("{unseen}12{unseen}{unseen}34{unseen} ");
            assert_eq!(trim(&pasted), format!("12{unseen}{unseen}34"), "{unseen:?}");
            assert_eq!(compact(&pasted), "1234", "{unseen:?}");
        }
        assert_eq!(trim("№ 1️⃣"), "№ 1️⃣", "a selector belongs to its character");
        assert!(matches!(compact("dk-1"), Cow::Borrowed("dk-1")));
        assert_eq!(trim("\u{feff}\u{200b} \r\n"), "");
    }
}
