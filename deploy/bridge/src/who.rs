//! Who is acting: the name that was given, else the user of this machine.

use std::path::Path;

use shared::store::audit::Who;

use crate::output::Failure;

/// Characters of a name.
const LONGEST: usize = 64;

/// Who what is done is noted as.
pub fn acting(given: Option<&str>) -> Result<Who, Failure> {
    Ok(Who::at_machine(given.map(checked).transpose()?, user()))
}

/// A given name, trimmed.
fn checked(given: &str) -> Result<String, Failure> {
    let name = given.trim();
    match name.chars().count() {
        1..=LONGEST if !name.chars().any(char::is_control) => Ok(name.to_owned()),
        _ => Err(Failure::Usage(format!("--as: a name has 1 to {LONGEST} characters, on one line"))),
    }
}

/// The user that this process runs as, by name where the machine knows one.
fn user() -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match uid() {
        Some(uid) => name_of(uid, &passwd).unwrap_or_else(|| format!("uid {uid}")),
        None => "unknown user".to_owned(),
    }
}

/// A process owns its own folder of the kernel's.
#[cfg(unix)]
fn uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(Path::new("/proc/self")).ok().map(|found| found.uid())
}

#[cfg(not(unix))]
fn uid() -> Option<u32> {
    None
}

fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let uid = uid.to_string();
    let is_it = |line: &&str| line.split(':').nth(2) == Some(uid.as_str());
    passwd.lines().find(is_it)?.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_machine_names_him() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbridge:x:998:998::/:/bin/false\n";
        assert_eq!(name_of(998, passwd).as_deref(), Some("bridge"));
        assert_eq!(name_of(99, passwd), None);
        assert!(!user().is_empty());
    }

    #[test]
    fn a_name_is_one_line_that_says_something() {
        assert_eq!(checked(" Анна ").ok().as_deref(), Some("Анна"));
        for bad in ["", "  ", "two\nlines", &"x".repeat(65)] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
