//! What a failed TLS handshake means for whoever runs the bridge. The libraries for the broker,
//! the database and HTTP wrap one TLS library's error each in its own way, and keep its words:
//! those are what is read here (rustls 0.23, `CertificateError`).

use std::fmt;

/// Why no encrypted connection comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// Signed by an authority that this machine does not know: a private CA, or itself.
    UnknownIssuer,
    WrongName,
    Expired,
    NotValidYet,
    /// Another fault of the certificate.
    Certificate,
    /// It asks for a certificate of ours, and none was shown, or one that it does not accept.
    Ours,
    /// Whoever answers there speaks no TLS.
    NotTls,
}

/// Alerts by which a server says that it is our certificate that it minds (RFC 8446, 6.2).
const ABOUT_OURS: [&str; 8] = [
    "CertificateRequired",
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "UnknownCA",
    "AccessDenied",
];

impl TlsTrouble {
    const ALL: [Self; 7] = [
        Self::UnknownIssuer,
        Self::WrongName,
        Self::Expired,
        Self::NotValidYet,
        Self::Certificate,
        Self::Ours,
        Self::NotTls,
    ];

    /// From an error and what lies below it.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| Self::in_words(&error.to_string()))
    }

    /// From its own words.
    pub fn told(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.as_str() == words)
    }

    /// From an error's words.
    pub fn in_words(words: &str) -> Option<Self> {
        let has = |part: &str| words.contains(part);
        Some(match () {
            () if has("UnknownIssuer") || has("CaUsedAsEndEntity") => Self::UnknownIssuer,
            () if has("certificate not valid for name") || has("NotValidForName") => Self::WrongName,
            () if has("certificate not valid yet") || has("NotValidYet") => Self::NotValidYet,
            () if has("certificate expired") || has("certificate: Expired") => Self::Expired,
            () if has("invalid peer certificate") => Self::Certificate,
            () if ABOUT_OURS.iter().any(|alert| has(&format!("fatal alert: {alert}"))) => Self::Ours,
            () if has("InvalidContentType") || has("server does not support TLS") => Self::NotTls,
            () => return None,
        })
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "its certificate is signed by an authority that this machine does not trust",
            Self::WrongName => "its certificate is for another host name",
            Self::Expired => "its certificate has expired",
            Self::NotValidYet => "its certificate is not valid yet",
            Self::Certificate => "its certificate cannot be accepted",
            Self::Ours => "it wants a certificate of ours, and was shown none that it accepts",
            Self::NotTls => "it does not speak TLS there",
        }
    }

    /// What to do about it, for whoever is meant by the setting or address `url`.
    pub fn remedy(self, url: &str) -> String {
        match self {
            Self::UnknownIssuer => {
                "name a file with the authority's certificate in TLS_CA_FILE, or add it to those the system trusts \
                 (`update-ca-certificates`)"
                    .to_owned()
            }
            Self::WrongName => format!(
                "write a host name into {url} that the certificate has, or have one made for the name that is there"
            ),
            Self::Expired => {
                "have the certificate renewed where it is served, and look at this machine's clock".to_owned()
            }
            Self::NotValidYet => "look at this machine's clock and at the server's".to_owned(),
            Self::Certificate => {
                "have a certificate made anew where it is served: its words say what is wrong".to_owned()
            }
            Self::Ours => {
                "name a certificate that its authority has signed in TLS_CERT_FILE, and its key in TLS_KEY_FILE"
                    .to_owned()
            }
            Self::NotTls => format!(
                "look at the port of {url}: brokers and databases serve TLS on one of its own, or have it switched on"
            ),
        }
    }
}

impl fmt::Display for TlsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error's words, behind what they mean where that is known.
pub fn explained(words: &str) -> String {
    match TlsTrouble::in_words(words) {
        Some(trouble) => format!("{trouble} ({words})"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_certificate_is_named_as_what_it_is() {
        for (words, trouble) in [
            ("invalid peer certificate: UnknownIssuer", TlsTrouble::UnknownIssuer),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", TlsTrouble::UnknownIssuer),
            (
                "invalid peer certificate: certificate not valid for name \"localhost\"; certificate is only valid for \
                 DnsName(\"mq\")",
                TlsTrouble::WrongName,
            ),
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX)", TlsTrouble::Expired),
            ("invalid peer certificate: certificate not valid yet: verification", TlsTrouble::NotValidYet),
            ("invalid peer certificate: BadSignature", TlsTrouble::Certificate),
            ("received corrupt message of type InvalidContentType", TlsTrouble::NotTls),
            ("received fatal alert: CertificateRequired", TlsTrouble::Ours),
            ("received fatal alert: UnknownCA", TlsTrouble::Ours),
        ] {
            assert_eq!(TlsTrouble::in_words(words), Some(trouble), "{words}");
            assert!(explained(words).ends_with(&format!("({words})")));
        }
        assert_eq!(TlsTrouble::in_words("Connection refused (os error 111)"), None);
        assert_eq!(explained("Connection refused"), "Connection refused");
        for trouble in TlsTrouble::ALL {
            assert_eq!(TlsTrouble::told(&trouble.to_string()), Some(trouble));
            assert!(trouble.remedy("AMQP_URL").len() > 20);
        }
    }
}
