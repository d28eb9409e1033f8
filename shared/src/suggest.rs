//! «Did you mean»: the nearest of the words there are, when it is near enough to be meant.

/// How many letters may differ, be missing, too many or exchanged.
const NEAR: usize = 2;

/// Upper and lower case are one; «-» and «_» are one.
fn plain(word: &str) -> String {
    word.trim().to_lowercase().replace('-', "_")
}

/// How many slips of the hand lie between, when they are few. Of a word of three letters, two
/// leave nothing.
fn slips(one: &str, other: &str) -> Option<usize> {
    let far = strsim::osa_distance(one, other);
    (far <= NEAR && far * 2 < one.chars().count().max(other.chars().count())).then_some(far)
}

fn least<'a>(
    given: &str,
    words: impl IntoIterator<Item = &'a str>,
    rank: impl Fn(&str, &str) -> Option<usize>,
) -> Option<&'a str> {
    let given = plain(given);
    let near = words.into_iter().filter_map(|word| Some((rank(&given, &plain(word))?, word)));
    near.min_by_key(|(far, _)| *far).map(|(_, word)| word)
}

/// The nearest word that is no more than two slips of the hand away.
pub fn slip<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    least(given, words, slips)
}

/// The nearest word by slips of the hand, or one of which this is the beginning or that is the
/// beginning of this.
pub fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    least(given, words, |given, word| {
        slips(given, word).or_else(|| {
            let (short, long) = if given.len() < word.len() { (given, word) } else { (word, given) };
            (short.len() >= 3 && long.starts_with(short)).then_some(NEAR + long.len() - short.len())
        })
    })
}

/// The end of a sentence about an unknown word: «; did you mean bad_phone?», or nothing.
pub fn did_you_mean<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, words).map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_word_and_a_stranger_finds_none() {
        let words = ["bad_phone", "sum_mismatch", "town_unclear", "crm", "shop"];
        for (given, meant) in [
            ("bad_fone", Some("bad_phone")),
            ("bad-phone", Some("bad_phone")),
            ("Bad_Phone", Some("bad_phone")),
            ("sum_mismacth", Some("sum_mismatch")),
            ("town", Some("town_unclear")),
            ("shp", Some("shop")),
            ("cmr", Some("crm")),
            ("weather", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, words), meant, "{given}");
        }
        assert_eq!(did_you_mean("bad_fone", words), "; did you mean bad_phone?");
        assert_eq!(did_you_mean("weather", words), "");
    }
}
