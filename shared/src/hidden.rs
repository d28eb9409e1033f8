//! Hides what is known of an order in words that somebody else chose: a vendor's refusal may
//! quote a name, a street, a password.

/// What stands in the place of each.
const HIDDEN: char = '…';
/// Shorter than this says nothing of anybody, and would tear other words apart.
const SHORTEST: usize = 3;

/// What is to be hidden.
#[derive(Clone, Default)]
pub struct Known(Vec<Vec<char>>);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({})", self.0.len())
    }
}

/// One character for each: places stay comparable.
fn lower(text: &str) -> Vec<char> {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

impl Known {
    /// A value as it is.
    pub fn add(&mut self, value: &str) {
        let value = lower(value.trim());
        if value.len() >= SHORTEST && !self.0.contains(&value) {
            self.0.push(value);
        }
    }

    /// A value, and each of its words that is long enough to be told by.
    pub fn add_words(&mut self, value: &str) {
        self.add(value);
        for word in value.split(|c: char| !c.is_alphanumeric()) {
            if word.chars().count() > SHORTEST {
                self.add(word);
            }
        }
    }

    /// The text without any of it, in whatever case it is written. A word of it inside a longer
    /// word is left: «Роза» does not hide in «прозаично».
    pub fn hide(&self, text: &str) -> String {
        let (shown, small) = (text.chars().collect::<Vec<_>>(), lower(text));
        let mut known: Vec<&Vec<char>> = self.0.iter().collect();
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        while at < shown.len() {
            let edge = |place: usize| small.get(place).is_none_or(|c| !c.is_alphanumeric());
            let begins = at == 0 || edge(at - 1) || !small[at].is_alphanumeric();
            let here = known.iter().find(|value| {
                begins && small[at..].starts_with(value) && (edge(at + value.len()) || edge(at + value.len() - 1))
            });
            match here {
                Some(value) => {
                    out.push(HIDDEN);
                    at += value.len();
                }
                None => {
                    out.push(shown[at]);
                    at += 1;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_hidden_in_any_case_and_nothing_else_is() {
        let mut known = Known::default();
        known.add_words("Петрова Роза");
        known.add_words("ул. Льва Толстого");
        known.add("p@ss(word)");
        known.add("5");
        for (text, hidden) in [
            ("Получатель ПЕТРОВА РОЗА не найден", "Получатель … не найден"),
            ("нет улицы «Толстого» в городе", "нет улицы «…» в городе"),
            ("прозаично; розавый", "прозаично; розавый"),
            ("login shop pass=p@ss(word): 5", "login shop pass=…: 5"),
            ("", ""),
        ] {
            assert_eq!(known.hide(text), hidden);
        }
        assert!(!format!("{known:?}").contains("петрова"));
        assert_eq!(Known::default().hide("как есть"), "как есть");
    }
}
