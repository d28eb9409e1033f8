//! What people read of ingress, in both languages.

/// An enum whose variants bear their words: `NoId: "по-русски", "in English";`.
macro_rules! bilingual {
    ($(#[$about:meta])* $vis:vis enum $name:ident {
        $($(#[$why:meta])* $variant:ident: $ru:literal, $en:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($(#[$why])* $variant,)* }

        impl $name {
            $vis const fn text(self, language: shared::domain::Language) -> &'static str {
                match (language, self) {
                    $((shared::domain::Language::Ru, Self::$variant) => $ru,
                    (shared::domain::Language::En, Self::$variant) => $en,)*
                }
            }

            #[cfg(test)]
            $vis const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}
pub(crate) use bilingual;
