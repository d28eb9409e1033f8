//! Secrets on their way into a command: by standard input or a file, so that neither the list
//! of processes nor the shell's history keeps them.

use std::io::Read;

use shared::domain::Secret;
use shared::pasted;

use crate::args::integration::SecretArgs;
use crate::output::Failure;

#[derive(Debug, Default)]
pub struct Given {
    pub crm_key: Option<Secret>,
    pub password: Option<Secret>,
}

/// Reads them. Both from standard input are two lines, the API key first.
///
/// # Errors
/// One sentence that names what is missing, never a secret.
pub fn read(asked: &SecretArgs, input: &mut impl Read) -> Result<Given, Failure> {
    let key = asked.crm_key.as_ref().map(|key| crm_key(key.expose()));
    let mut given = Given { crm_key: key, password: asked.password.clone() };
    if let Some(path) = &asked.crm_key_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--crm-key-file: {} cannot be read: {error}", path.display())))?;
        given.crm_key = Some(crm_key(&text));
    }
    if asked.crm_key_stdin || asked.password_stdin {
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(anyhow::Error::from)?;
        let (first, rest) = match (asked.crm_key_stdin, asked.password_stdin) {
            (true, true) => text.split_once('\n').unwrap_or((&text, "")),
            (true, false) => (text.as_str(), ""),
            _ => ("", text.as_str()),
        };
        if asked.crm_key_stdin {
            given.crm_key = Some(crm_key(first));
        }
        if asked.password_stdin {
            given.password = Some(Secret::new(rest.trim_end_matches(['\r', '\n'])));
        }
    }
    let empty = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.expose().is_empty());
    if (asked.crm_key_stdin || asked.crm_key_file.is_some()) && empty(&given.crm_key) {
        return Err(Failure::Usage("no API key came by --crm-key-stdin or --crm-key-file".to_owned()));
    }
    if asked.password_stdin && empty(&given.password) {
        return Err(Failure::Usage(if asked.crm_key_stdin {
            "no password came on standard input: the API key is its first line, the password its second".to_owned()
        } else {
            "no password came on standard input".to_owned()
        }));
    }
    Ok(given)
}

fn crm_key(text: &str) -> Secret {
    Secret::new(pasted::compact(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(asked: &SecretArgs, input: &str) -> Result<(Option<String>, Option<String>), String> {
        let shown = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        match read(asked, &mut input.as_bytes()) {
            Ok(given) => Ok((shown(given.crm_key), shown(given.password))),
            Err(Failure::Usage(text)) => Err(text),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn both_secrets_come_from_one_standard_input_and_a_password_keeps_its_spaces() {
        let both = SecretArgs { crm_key_stdin: true, password_stdin: true, ..SecretArgs::default() };
        assert_eq!(
            given(&both, "key-1\r\n pass word \r\n"),
            Ok((Some("key-1".to_owned()), Some(" pass word ".to_owned())))
        );
        assert!(given(&both, "key-1\n").expect_err("no password").contains("second"));
        assert!(given(&both, "").expect_err("nothing").contains("API key"));
        let key = SecretArgs { crm_key_stdin: true, ..SecretArgs::default() };
        assert_eq!(given(&key, "key-1\n"), Ok((Some("key-1".to_owned()), None)));
        let password =
            SecretArgs { password_stdin: true, crm_key: Some(Secret::new("key-2")), ..SecretArgs::default() };
        assert_eq!(given(&password, "word\n"), Ok((Some("key-2".to_owned()), Some("word".to_owned()))));
    }

    #[test]
    fn both_commands_read_the_same_words_and_show_no_secret() {
        use clap::Parser as _;
        let words = "--crm-key planted-key --password planted-word --delivery-type a --delivery-type b --set x=y";
        let add = format!("bridge integration add --title t --crm-url u --extra 8 --login l {words}");
        let edit = format!("bridge integration edit 1 {words}");
        for line in [add, edit] {
            let read = crate::args::Cli::try_parse_from(line.split(' ')).expect("a command");
            let shown = format!("{read:?}");
            assert!(!shown.contains("planted"), "{shown}");
            assert!(shown.contains(r#"delivery_types: ["a", "b"]"#) && shown.contains(r#"set: ["x=y"]"#), "{shown}");
        }
        let bare = "bridge integration add --title t --crm-url u --extra 8 --login l --crm-key k";
        let missing = crate::args::Cli::try_parse_from(bare.split(' ')).expect_err("no password");
        assert!(missing.to_string().contains("--password"), "{missing}");
        let twice = format!("{bare} --crm-key-stdin --password p");
        assert!(crate::args::Cli::try_parse_from(twice.split(' ')).is_err());
    }

    #[test]
    fn an_api_key_comes_from_a_file() {
        let file = std::env::temp_dir().join(format!("bridge-key-{}", uuid::Uuid::new_v4()));
        let asked = SecretArgs { crm_key_file: Some(file.clone()), ..SecretArgs::default() };
        assert!(given(&asked, "").expect_err("no file").contains("cannot be read"));
        std::fs::write(&file, "key-3\n").expect("written");
        assert_eq!(given(&asked, ""), Ok((Some("key-3".to_owned()), None)));
        std::fs::write(&file, "\n").expect("written");
        assert!(given(&asked, "").is_err());
        std::fs::remove_file(&file).expect("removed");
    }
}
