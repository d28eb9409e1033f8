//! Secrets on their way into a command: by standard input or a file, so that neither the list
//! of processes nor the shell's history keeps them.

use std::io::Read;
use std::path::Path;

use shared::domain::Secret;
use shared::pasted;

use crate::output::Failure;

/// Where the two secrets of an integration are to come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    pub crm_key: Option<&'a str>,
    pub crm_key_file: Option<&'a Path>,
    pub crm_key_stdin: bool,
    pub password: Option<&'a str>,
    pub password_stdin: bool,
}

#[derive(Debug, Default)]
pub struct Given {
    pub crm_key: Option<Secret>,
    pub password: Option<Secret>,
}

impl Asked<'_> {
    /// Reads them. Both from standard input are two lines, the API key first.
    ///
    /// # Errors
    /// One sentence that names what is missing, never a secret.
    pub fn read(self, input: &mut impl Read) -> Result<Given, Failure> {
        let mut given = Given { crm_key: self.crm_key.map(crm_key), password: self.password.map(Secret::new) };
        if let Some(path) = self.crm_key_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("--crm-key-file: {} cannot be read: {error}", path.display()))
            })?;
            given.crm_key = Some(crm_key(&text));
        }
        if self.crm_key_stdin || self.password_stdin {
            let mut text = String::new();
            input.read_to_string(&mut text).map_err(anyhow::Error::from)?;
            let (first, rest) = match (self.crm_key_stdin, self.password_stdin) {
                (true, true) => text.split_once('\n').unwrap_or((&text, "")),
                (true, false) => (text.as_str(), ""),
                _ => ("", text.as_str()),
            };
            if self.crm_key_stdin {
                given.crm_key = Some(crm_key(first));
            }
            if self.password_stdin {
                given.password = Some(Secret::new(rest.trim_end_matches(['\r', '\n'])));
            }
        }
        let empty = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.expose().is_empty());
        if (self.crm_key_stdin || self.crm_key_file.is_some()) && empty(&given.crm_key) {
            return Err(Failure::Usage("no API key came by --crm-key-stdin or --crm-key-file".to_owned()));
        }
        if self.password_stdin && empty(&given.password) {
            return Err(Failure::Usage(if self.crm_key_stdin {
                "no password came on standard input: the API key is its first line, the password its second".to_owned()
            } else {
                "no password came on standard input".to_owned()
            }));
        }
        Ok(given)
    }
}

fn crm_key(text: &str) -> Secret {
    Secret::new(pasted::compact(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(asked: Asked<'_>, input: &str) -> Result<(Option<String>, Option<String>), String> {
        let shown = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        match asked.read(&mut input.as_bytes()) {
            Ok(given) => Ok((shown(given.crm_key), shown(given.password))),
            Err(Failure::Usage(text)) => Err(text),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn both_secrets_come_from_one_standard_input_and_a_password_keeps_its_spaces() {
        let both = Asked { crm_key_stdin: true, password_stdin: true, ..Asked::default() };
        assert_eq!(
            read(both, "key-1\r\n pass word \r\n"),
            Ok((Some("key-1".to_owned()), Some(" pass word ".to_owned())))
        );
        assert!(read(both, "key-1\n").expect_err("no password").contains("second"));
        assert!(read(both, "").expect_err("nothing").contains("API key"));
        let key = Asked { crm_key_stdin: true, ..Asked::default() };
        assert_eq!(read(key, "key-1\n"), Ok((Some("key-1".to_owned()), None)));
        let password = Asked { password_stdin: true, crm_key: Some("key-2"), ..Asked::default() };
        assert_eq!(read(password, "word\n"), Ok((Some("key-2".to_owned()), Some("word".to_owned()))));
    }

    #[test]
    fn an_api_key_comes_from_a_file() {
        let file = std::env::temp_dir().join(format!("bridge-key-{}", uuid::Uuid::new_v4()));
        let asked = Asked { crm_key_file: Some(&file), ..Asked::default() };
        assert!(read(asked, "").expect_err("no file").contains("cannot be read"));
        std::fs::write(&file, "key-3\n").expect("written");
        assert_eq!(read(asked, ""), Ok((Some("key-3".to_owned()), None)));
        std::fs::write(&file, "\n").expect("written");
        assert!(read(asked, "").is_err());
        std::fs::remove_file(&file).expect("removed");
    }
}
