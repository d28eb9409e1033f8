//! Where settings come from: the environment, or a map in tests. `X` may come from a file
//! named by `X_FILE`.

use std::collections::BTreeMap;
use std::path::Path;

/// A set of named texts.
#[derive(Debug, Clone, Default)]
pub struct Source(BTreeMap<String, String>);

impl Source {
    /// The process's environment, read once.
    pub fn environment() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The names that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.trim().is_empty()).map(|(name, _)| name.as_str())
    }

    /// The variable that a value of this name comes from: itself or the one of its file.
    pub fn variable(&self, name: &str) -> Option<String> {
        [name.to_owned(), format!("{name}_FILE")].into_iter().find(|name| self.names().any(|set| set == name))
    }

    /// Overrides one name; used by commands whose flags stand for a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.remove(&format!("{name}_FILE"));
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of a name, from itself or from its file; empty counts as not set.
    ///
    /// # Errors
    /// A sentence that names the variable, when its file cannot be read or both are set.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        let plain = self.0.get(name).filter(|v| !v.trim().is_empty());
        let file = self.0.get(&format!("{name}_FILE")).filter(|v| !v.trim().is_empty());
        match (plain, file) {
            (Some(_), Some(_)) => Err(format!("{name}: both {name} and {name}_FILE are set; keep one of them")),
            (Some(value), None) => Ok(Some(value.trim().to_owned())),
            (None, Some(path)) => match std::fs::read_to_string(Path::new(path)) {
                Ok(text) if text.trim().is_empty() => Err(format!("{name}_FILE: the file {path} is empty")),
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(error) => Err(format!("{name}_FILE: the file {path} cannot be read ({error})")),
            },
            (None, None) => Ok(None),
        }
    }
}
