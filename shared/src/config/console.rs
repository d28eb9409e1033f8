//! The console's own settings: where it listens, and who says who somebody is.

use std::net::SocketAddr;

use url::Url;

use crate::config::reader::Reader;
use crate::config::urls::is_safe_url;
use crate::domain::Secret;
use crate::networks::Networks;

/// The operator's pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Console {
    /// `None`: there are none.
    pub listen: Option<SocketAddr>,
    /// A proxy in front says who somebody is.
    pub sign_in: Option<SignIn>,
    /// A provider of OpenID Connect says it. With neither, only one-time addresses let in.
    pub oidc: Option<Oidc>,
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

/// A provider of OpenID Connect, and what it knows this console as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// As its tokens name it, letter by letter.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// The console's own address, as browsers know it; no slash at its end.
    pub public_url: String,
    /// Claim with the user's name.
    pub user_claim: String,
    /// Claim with the user's groups.
    pub groups_claim: String,
}

/// What must be set together.
const BY_PROXY: [&str; 3] = ["CONSOLE_USER_HEADER", "CONSOLE_GROUPS_HEADER", "CONSOLE_TRUSTED_PROXIES"];
const BY_PROVIDER: [&str; 4] =
    ["CONSOLE_OIDC_ISSUER", "CONSOLE_OIDC_CLIENT_ID", "CONSOLE_OIDC_CLIENT_SECRET", "CONSOLE_PUBLIC_URL"];

impl Console {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let listen = r.parsed("CONSOLE_LISTEN", None, "an address like 127.0.0.1:8081", |text| {
            text.parse::<SocketAddr>().ok().map(Some)
        });
        let (sign_in, oidc) = (SignIn::read(r), Oidc::read(r));
        if let Some(address) = listen.filter(|address| !address.ip().to_canonical().is_loopback())
            && sign_in.is_none()
            && oidc.is_none()
        {
            r.problems.push(format!(
                "CONSOLE_LISTEN: {address} can be reached from other machines, and nobody would have to sign in: set {} \
                 for OpenID Connect, or put a proxy that signs people in before it and set {}, or listen on 127.0.0.1",
                BY_PROVIDER.join(", "),
                BY_PROXY.join(", ")
            ));
        }
        Self { listen, sign_in, oidc }
    }
}

impl SignIn {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let [user, groups, proxies] = BY_PROXY;
        let [user, groups] = [user, groups].map(|name| r.parsed(name, None, "the name of a header", header));
        let proxies = r.checked(proxies, Networks::parse).map(|text| Networks::parse(&text).unwrap_or_default());
        let proxies = proxies.filter(|proxies| !proxies.is_empty());
        half(r, &BY_PROXY, &[user.is_some(), groups.is_some(), proxies.is_some()]);
        Some(Self { user: user?, groups: groups?, proxies: proxies? })
    }
}

impl Oidc {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let [issuer, client_id, client_secret, public_url] = BY_PROVIDER;
        let safe = "an https URL (plain http only for loopback addresses)";
        let is_issuer = |text: &str| is_safe_url(text) && !text.contains(['?', '#', '@']);
        let issuer = r.parsed(issuer, None, safe, |text| is_issuer(text).then(|| Some(text.to_owned())));
        let [client_id, client_secret] = [client_id, client_secret].map(|name| r.text(name));
        let public_url = r.parsed(public_url, None, &format!("{safe} without a path"), |text| own(text).map(Some));
        half(r, &BY_PROVIDER, &[issuer.is_some(), client_id.is_some(), client_secret.is_some(), public_url.is_some()]);
        let is_name = |text: &str| !text.chars().any(char::is_whitespace);
        let mut claim = |name: &str, default: &str| r.word(name, default, "the name of a claim", is_name);
        let user_claim = claim("CONSOLE_OIDC_USER_CLAIM", "preferred_username");
        let groups_claim = claim("CONSOLE_OIDC_GROUPS_CLAIM", "groups");
        Some(Self {
            issuer: issuer?,
            client_id: client_id?,
            client_secret: Secret::new(client_secret?),
            public_url: public_url?,
            user_claim,
            groups_claim,
        })
    }
}

/// Notes what is missing beside what is set.
fn half(r: &mut Reader<'_>, names: &[&str], is_set: &[bool]) {
    let named = |wanted: bool| {
        let of = names.iter().zip(is_set).filter(|(_, is)| **is == wanted).map(|(name, _)| *name);
        of.collect::<Vec<_>>().join(" and ")
    };
    if is_set.contains(&true) && is_set.contains(&false) {
        r.problems.push(format!("{}: {} must be set as well", named(true), named(false)));
    }
}

/// `https://console.example`.
fn own(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|_| is_safe_url(text))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !text.contains('@');
    bare.then(|| url.as_str().trim_end_matches('/').to_owned())
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

    const PROVIDER: [(&str, &str); 4] = [
        ("CONSOLE_OIDC_ISSUER", "https://id.example/realms/shop"),
        ("CONSOLE_OIDC_CLIENT_ID", "console"),
        ("CONSOLE_OIDC_CLIENT_SECRET", "planted-client-secret"),
        ("CONSOLE_PUBLIC_URL", "https://console.example/"),
    ];

    #[test]
    fn an_address_that_others_reach_needs_a_sign_in() {
        for public in ["0.0.0.0:8081", "10.1.2.3:8081", "[::]:8081", "[::ffff:10.1.2.3]:8081"] {
            let refused = read(&[("CONSOLE_LISTEN", public)]).expect_err("nobody would have to sign in");
            assert!(refused.starts_with("CONSOLE_LISTEN: ") && refused.contains("CONSOLE_USER_HEADER"), "{refused}");
            let with: Vec<(&str, &str)> = PROXY.into_iter().chain([("CONSOLE_LISTEN", public)]).collect();
            assert_eq!(read(&with).expect("signed in by a proxy").sign_in.expect("set").user, "x-remote-user");
            let with: Vec<(&str, &str)> = PROVIDER.into_iter().chain([("CONSOLE_LISTEN", public)]).collect();
            let oidc = read(&with).expect("signed in by a provider").oidc.expect("set");
            assert_eq!((oidc.public_url.as_str(), oidc.groups_claim.as_str()), ("https://console.example", "groups"));
            assert!(!format!("{oidc:?}").contains("planted"));
        }
        for own in ["127.0.0.1:8081", "[::1]:8081"] {
            assert!(read(&[("CONSOLE_LISTEN", own)]).expect("only this machine").listen.is_some());
        }
        assert_eq!(read(&[]).expect("off"), super::Console::default());
    }

    #[test]
    fn half_a_sign_in_names_what_is_missing() {
        for all in [&PROXY[..], &PROVIDER[..]] {
            for (left_out, _) in all {
                let some: Vec<(&str, &str)> = all.iter().copied().filter(|(name, _)| name != left_out).collect();
                let refused = read(&some).expect_err("half of it");
                assert!(refused.contains(&format!(": {left_out} must be set as well")), "{refused}");
            }
        }
        assert!(read(&[("CONSOLE_USER_HEADER", "X Remote")]).is_err());
        assert!(read(&[("CONSOLE_TRUSTED_PROXIES", "proxy")]).is_err());
    }

    #[test]
    fn who_signs_people_in_is_not_asked_where_others_listen() {
        for (name, value) in [
            ("CONSOLE_OIDC_ISSUER", "http://id.example"),
            ("CONSOLE_OIDC_ISSUER", "https://id.example/?realm=shop"),
            ("CONSOLE_OIDC_ISSUER", "id.example"),
            ("CONSOLE_PUBLIC_URL", "http://console.example"),
            ("CONSOLE_PUBLIC_URL", "https://console.example/console"),
            ("CONSOLE_OIDC_USER_CLAIM", "user name"),
        ] {
            let with: Vec<(&str, &str)> =
                PROVIDER.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
            let refused = read(&with).expect_err(value);
            assert!(refused.contains(&format!("{name}: «{value}» is not ")), "{refused}");
        }
        let own: Vec<(&str, &str)> = PROVIDER
            .into_iter()
            .map(|(name, value)| (name, if value.starts_with("https") { "http://127.0.0.1:3000" } else { value }))
            .collect();
        assert_eq!(read(&own).expect("on this machine").oidc.expect("set").issuer, "http://127.0.0.1:3000");
    }
}
