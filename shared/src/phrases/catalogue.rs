//! Sentences of a kind, each written once.

/// Makes an enum of sentences: each with its code, its named values, and its words in Russian and
/// English, in which all of the values stand.
macro_rules! phrases {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$note:meta])* $variant:ident $({ $($field:ident: $kind:ty),* $(,)? })? => $ru:literal, $en:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "code", rename_all = "snake_case")]
        pub enum $name { $($(#[$note])* $variant $({ $($field: $kind),* })?),* }

        impl $crate::phrases::Value for $name {
            #[allow(clippy::useless_format, reason = "a sentence without values is one too")]
            fn words(&self, reader: &$crate::phrases::Reader) -> String {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $($(let $field = $crate::phrases::Value::words($field, reader);)*)?
                        match reader.language {
                            $crate::domain::Language::Ru => format!($ru),
                            $crate::domain::Language::En => format!($en),
                        }
                    })*
                }
            }

            fn hide(&mut self, known: &$crate::hidden::Known) {
                match self {
                    $(Self::$variant $({ $($field),* })? => { $($($crate::phrases::Value::hide($field, known);)*)? })*
                }
                // Sentences without values have nothing to hide.
                let _ = known;
            }

            fn some() -> Vec<Self> {
                vec![$(Self::$variant $({ $($field: $crate::phrases::value::one(),)* })?),*]
            }
        }
    };
}
pub(crate) use phrases;
