//! The console's own settings: where it listens, and who says who somebody is.

use std::net::SocketAddr;

use crate::config::reader::Reader;
use crate::networks::Networks;

/// The operator's pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Console {
    /// `None`: there are none.
    pub listen: Option<SocketAddr>,
    /// A proxy in front says who somebody is; else only one-time addresses let in.
    pub sign_in: Option<SignIn>,
}

/// How a proxy says who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Header with the user's name, in small letters.
    pub user: String,
    /// Header with the user's groups.
    pub groups: String,
    /// Whose headers are believed.
    pub proxies: Networks,
}

/// What must be set together.
const TOGETHER: [&str; 3] = ["CONSOLE_USER_HEADER", "CONSOLE_GROUPS_HEADER", "CONSOLE_TRUSTED_PROXIES"];

impl Console {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let listen = r.parsed("CONSOLE_LISTEN", None, "an address like 127.0.0.1:8081", |text| {
            text.parse::<SocketAddr>().ok().map(Some)
        });
        let [user, groups, _] = TOGETHER;
        let [user, groups] = [user, groups].map(|name| r.parsed(name, None, "the name of a header", header));
        let proxies = r.checked(TOGETHER[2], Networks::parse).map(|text| Networks::parse(&text).unwrap_or_default());
        let sign_in = match (user, groups, proxies.filter(|proxies| !proxies.is_empty())) {
            (Some(user), Some(groups), Some(proxies)) => Some(SignIn { user, groups, proxies }),
            (None, None, None) => None,
            (user, groups, proxies) => {
                let is_set = [user.is_some(), groups.is_some(), proxies.is_some()];
                let named = |wanted: bool| {
                    let of = TOGETHER.iter().zip(is_set).filter(|(_, is)| *is == wanted).map(|(name, _)| *name);
                    of.collect::<Vec<_>>().join(" and ")
                };
                r.problems.push(format!("{}: {} must be set as well", named(true), named(false)));
                None
            }
        };
        if let Some(address) = listen.filter(|address| !address.ip().to_canonical().is_loopback())
            && sign_in.is_none()
        {
            r.problems.push(format!(
                "CONSOLE_LISTEN: {address} can be reached from other machines, and nobody would have to sign in: put a proxy \
                 that signs people in before it and set {}, or listen on 127.0.0.1",
                TOGETHER.join(", ")
            ));
        }
        Self { listen, sign_in }
    }
}

fn header(text: &str) -> Option<Option<String>> {
    let fine = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fine.then(|| Some(text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Role, Source};

    fn read(pairs: &[(&str, &str)]) -> Result<super::Console, String> {
        let read = Config::read(Role::Bridge, &Source::from_pairs(pairs.iter().copied()));
        read.map(|config| config.console).map_err(|bad| bad.to_string())
    }

    const PROXY: [(&str, &str); 3] = [
        ("CONSOLE_USER_HEADER", "X-Remote-User"),
        ("CONSOLE_GROUPS_HEADER", "X-Remote-Groups"),
        ("CONSOLE_TRUSTED_PROXIES", "10.0.0.5"),
    ];

    #[test]
    fn an_address_that_others_reach_needs_a_sign_in() {
        for public in ["0.0.0.0:8081", "10.1.2.3:8081", "[::]:8081", "[::ffff:10.1.2.3]:8081"] {
            let refused = read(&[("CONSOLE_LISTEN", public)]).expect_err("nobody would have to sign in");
            assert!(refused.starts_with("CONSOLE_LISTEN: ") && refused.contains("CONSOLE_USER_HEADER"), "{refused}");
            let with: Vec<(&str, &str)> = PROXY.into_iter().chain([("CONSOLE_LISTEN", public)]).collect();
            assert_eq!(read(&with).expect("signed in by a proxy").sign_in.expect("set").user, "x-remote-user");
        }
        for own in ["127.0.0.1:8081", "[::1]:8081"] {
            assert!(read(&[("CONSOLE_LISTEN", own)]).expect("only this machine").listen.is_some());
        }
        assert_eq!(read(&[]).expect("off"), super::Console::default());
    }

    #[test]
    fn half_a_sign_in_names_what_is_missing() {
        for (left_out, _) in PROXY {
            let some: Vec<(&str, &str)> = PROXY.into_iter().filter(|(name, _)| *name != left_out).collect();
            let refused = read(&some).expect_err("half of it");
            assert!(refused.contains(&format!(": {left_out} must be set as well")), "{refused}");
        }
        assert!(read(&[("CONSOLE_USER_HEADER", "X Remote")]).is_err());
        assert!(read(&[("CONSOLE_TRUSTED_PROXIES", "proxy")]).is_err());
    }
}
