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
    /// Whoever answers there speaks no TLS.
    NotTls,
}

impl TlsTrouble {
    /// From an error's words.
    pub fn in_words(words: &str) -> Option<Self> {
        let has = |part: &str| words.contains(part);
        Some(match () {
            () if has("UnknownIssuer") || has("CaUsedAsEndEntity") => Self::UnknownIssuer,
            () if has("certificate not valid for name") || has("NotValidForName") => Self::WrongName,
            () if has("certificate not valid yet") || has("NotValidYet") => Self::NotValidYet,
            () if has("certificate expired") || has("certificate: Expired") => Self::Expired,
            () if has("invalid peer certificate") => Self::Certificate,
            () if has("InvalidContentType") || has("server does not support TLS") => Self::NotTls,
            () => return None,
        })
    }

    /// What to do about it, for whoever is meant by the setting `url`.
    pub fn remedy(self, url: &str) -> String {
        let trust = if url == "DATABASE_URL" {
            "name the authority's certificate in DATABASE_URL (`sslmode=verify-full&sslrootcert=/path/ca.pem`)"
        } else {
            "add the authority's certificate to those the system trusts (`update-ca-certificates`), or name a file with \
             it in the environment variable SSL_CERT_FILE"
        };
        match self {
            Self::UnknownIssuer => trust.to_owned(),
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
            Self::NotTls => format!(
                "look at the port of {url}: brokers and databases serve TLS on one of its own, or have it switched on"
            ),
        }
    }
}

impl fmt::Display for TlsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "its certificate is signed by an authority that this machine does not trust",
            Self::WrongName => "its certificate is for another host name",
            Self::Expired => "its certificate has expired",
            Self::NotValidYet => "its certificate is not valid yet",
            Self::Certificate => "its certificate cannot be accepted",
            Self::NotTls => "it does not speak TLS there",
        })
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
        ] {
            assert_eq!(TlsTrouble::in_words(words), Some(trouble), "{words}");
            assert!(explained(words).ends_with(&format!("({words})")));
        }
        assert_eq!(TlsTrouble::in_words("Connection refused (os error 111)"), None);
        assert_eq!(explained("Connection refused"), "Connection refused");
        let remedies = [TlsTrouble::UnknownIssuer.remedy("AMQP_URL"), TlsTrouble::UnknownIssuer.remedy("DATABASE_URL")];
        assert!(remedies[0].contains("SSL_CERT_FILE") && remedies[1].contains("sslrootcert"));
    }
}
