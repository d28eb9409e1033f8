//! The settings of TLS: files, which are read at once so that a bad one is told at the start.

use crate::config::reader::Reader;
use crate::tls::{Authorities, Identity, Tls};

pub(super) fn read(r: &mut Reader<'_>) -> Tls {
    let authorities = r.checked("TLS_CA_FILE", Authorities::read).and_then(|file| Authorities::read(&file).ok());
    let identity = match (r.text("TLS_CERT_FILE"), r.text("TLS_KEY_FILE")) {
        (Some(certificate), Some(key)) => {
            let identity = Identity { certificate: certificate.into(), key: key.into() };
            r.problems.extend(identity.check().err());
            Some(identity)
        }
        (None, None) => None,
        (Some(_), None) => {
            r.problems.push("TLS_CERT_FILE: TLS_KEY_FILE must be set as well".to_owned());
            None
        }
        (None, Some(_)) => {
            r.problems.push("TLS_KEY_FILE: TLS_CERT_FILE must be set as well".to_owned());
            None
        }
    };
    Tls { authorities, identity }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use crate::config::{Config, Database, Role, Source};

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("bridge-tls-{}", uuid::Uuid::new_v4().simple()));
            std::fs::create_dir_all(&path).expect("made");
            Self(path)
        }

        fn path(&self, name: &str) -> String {
            self.0.join(name).display().to_string()
        }

        fn write(&self, name: &str, text: &str) -> String {
            std::fs::write(self.path(name), text).expect("written");
            self.path(name)
        }

        /// A certificate that signs itself, and its key.
        fn certificate(&self, name: &str) -> (String, String) {
            let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
                .args([
                    "-subj",
                    &format!("/CN={}", name.split(' ').next().unwrap_or(name)),
                    "-keyout",
                    &key,
                    "-out",
                    &certificate,
                ])
                .output();
            let made = made.expect("openssl (Debian: openssl) is installed");
            assert!(made.status.success(), "{made:?}");
            (certificate, key)
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let read = Config::read(Role::Bridge, &Source::from_pairs(pairs.iter().copied()));
        read.map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_file_that_is_of_no_use_is_told_at_once_with_its_setting() {
        let folder = Folder::new();
        let ((own, key), (other, _)) = (folder.certificate("own"), folder.certificate("other"));
        let locked = folder.path("locked.key");
        let lock = ["ec", "-in", &key, "-aes128", "-passout", "pass:planted", "-out", &locked];
        assert!(Command::new("openssl").args(lock).output().expect("openssl").status.success());
        let (missing, empty) = (folder.path("missing"), folder.write("empty", "no certificate"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = folder.write("broken", broken);
        let ca = |file: &str| vec![("TLS_CA_FILE", file.to_owned())];
        let identity = |certificate: &str, key: &str| {
            vec![("TLS_CERT_FILE", certificate.to_owned()), ("TLS_KEY_FILE", key.to_owned())]
        };
        for (settings, names, words) in [
            (ca(&missing), "TLS_CA_FILE", "cannot be read (No such file"),
            (ca(&folder.path("")), "TLS_CA_FILE", "cannot be read (Is a directory"),
            (ca(&empty), "TLS_CA_FILE", "holds no certificate"),
            (ca(&key), "TLS_CA_FILE", "holds no certificate"),
            (ca(&broken), "TLS_CA_FILE", "cannot be understood"),
            (identity(&missing, &key), "TLS_CERT_FILE", "cannot be read"),
            (identity(&own, &missing), "TLS_KEY_FILE", "cannot be read"),
            (identity(&own, &own), "TLS_KEY_FILE", "holds no private key"),
            (identity(&own, &locked), "TLS_KEY_FILE", "passphrase"),
            (identity(&other, &key), "TLS_KEY_FILE", "is not that of the certificate"),
            (identity(&own, ""), "TLS_CERT_FILE", "TLS_KEY_FILE must be set as well"),
            (identity("", &key), "TLS_KEY_FILE", "TLS_CERT_FILE must be set as well"),
        ] {
            let pairs: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let refused = read(&pairs).expect_err("of no use");
            assert!(refused.starts_with(&format!("{names}: ")) && refused.contains(words), "{settings:?}: {refused}");
        }
        let good = [("TLS_CA_FILE", own.as_str()), ("TLS_CERT_FILE", &own), ("TLS_KEY_FILE", &key)];
        let tls = read(&good).expect("good").tls;
        assert_eq!(tls.authorities.as_ref().expect("read").chain().len(), 1);
        assert!(!format!("{tls:?}").contains("BEGIN"));
        assert_eq!(crate::tls::certificates(own.as_ref()).expect("read")[0].subject, "CN=own");
        assert_eq!(Config::unknown_variables(Role::Bridge, &Source::from_pairs(good)), []);
    }

    #[test]
    fn a_database_url_gets_the_files_that_it_does_not_name_itself() {
        let folder = Folder::new();
        let (own, key) = folder.certificate("an own +&");
        let with = |url: &str| {
            let settings = [
                ("DATABASE_URL", url),
                ("BRIDGE_SECRET_KEY", ""),
                ("TLS_CA_FILE", own.as_str()),
                ("TLS_CERT_FILE", own.as_str()),
                ("TLS_KEY_FILE", key.as_str()),
            ];
            let Database::Postgres(url) = read(&settings).expect("good").database else { unreachable!("PostgreSQL") };
            let url = url::Url::parse(url.expose()).expect("still a URL");
            let pairs = url.query_pairs().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>()
        };
        let (ca, certificate, secret) =
            (format!("sslrootcert={own}"), format!("sslcert={own}"), format!("sslkey={key}"));
        assert_eq!(with("postgres://u:p@h/x"), [ca.as_str(), &certificate, &secret]);
        assert_eq!(
            with("postgres://h/x?sslmode=verify-full&ssl-ca=/its"),
            ["sslmode=verify-full", "ssl-ca=/its", &certificate, &secret]
        );
        assert_eq!(with("postgres://h/x?sslcert=/a&sslkey=/b"), ["sslcert=/a", "sslkey=/b", &ca]);
    }
}
