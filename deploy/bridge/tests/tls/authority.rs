//! A private authority and what it signs, made by OpenSSL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Authority(pub(crate) PathBuf);

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).output().expect("openssl (Debian: openssl) is installed");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let made = Self(std::env::temp_dir().join(format!("bridge-tls-{}", uuid::Uuid::new_v4().simple())));
        std::fs::create_dir(&made.0).expect("made");
        std::fs::set_permissions(&made.0, std::fs::Permissions::from_mode(0o755)).expect("for servers too");
        let (certificate, key, name) = (made.path("ca.pem"), made.path("ca.key"), format!("/CN={name}"));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(
            &[&["req", "-x509", "-days", "90", "-subj", &name, "-keyout", &key, "-out", &certificate], &curve[..]]
                .concat(),
        );
        made
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate for a user's name and for `localhost`, and its key.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let file = |end: &str| self.path(&format!("{name}.{end}"));
        let (certificate, key, request, more) = (file("pem"), file("key"), file("csr"), file("ext"));
        std::fs::write(&more, "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
            .expect("written");
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let subject = format!("/CN={name}");
        openssl(&[&["req", "-subj", &subject, "-keyout", &key, "-out", &request], &curve[..]].concat());
        let (ca, ca_key) = (self.ca(), self.path("ca.key"));
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "60",
            "-extfile",
            &more,
            "-out",
            &certificate,
        ]);
        (certificate, key)
    }
}
