//! Whom connections with TLS trust beside the system's authorities, and what they show of us: files
//! that the settings name.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What the settings name; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Trusted beside those of the system: by broker, database and both vendors' clients.
    pub authorities: Option<Authorities>,
    /// What broker and database are shown when they ask.
    pub identity: Option<Identity>,
}

/// Certificates of authorities.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    pub file: PathBuf,
    /// As the file had it when it was read.
    pub pem: String,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.file).finish()
    }
}

/// A certificate with its chain, and its key. The files are read for each connection: certificates
/// are renewed while a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// One certificate of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as X.509 writes names.
    pub subject: String,
    pub until: Timestamp,
}

impl Authorities {
    /// # Errors
    /// A sentence that says what is wrong with the file.
    pub fn read(file: &str) -> Result<Self, String> {
        let file = PathBuf::from(file);
        let pem = text(&file)?;
        for certificate in chain(&file, &pem)? {
            RootCertStore::empty().add(certificate).map_err(|_| damaged(&file))?;
        }
        Ok(Self { file, pem })
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        chain(&self.file, &self.pem).unwrap_or_default()
    }
}

impl Identity {
    /// # Errors
    /// A sentence that says what is wrong with the certificate, naming its setting.
    pub fn check(&self) -> Result<(), String> {
        let of = |name: &'static str| move |problem: String| format!("{name}: {problem}");
        let chain =
            text(&self.certificate).and_then(|pem| chain(&self.certificate, &pem)).map_err(of("TLS_CERT_FILE"))?;
        let key = text(&self.key).and_then(|pem| key(&self.key, &pem)).map_err(of("TLS_KEY_FILE"))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|_| {
            let (key, certificate) = (self.key.display(), self.certificate.display());
            format!("TLS_KEY_FILE: the key in {key} is not that of the certificate in {certificate}")
        })?;
        Ok(())
    }

    /// The certificate and the key as the files have them now.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn read(&self) -> Result<(String, String), String> {
        self.check()?;
        Ok((text(&self.certificate)?, text(&self.key)?))
    }
}

/// The certificates that a file holds now.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let read = |der: CertificateDer<'_>| {
        let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|_| damaged(file))?;
        let until = Timestamp::from_second(read.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX);
        Ok(Certificate { subject: read.subject().to_string(), until })
    };
    chain(file, &text(file)?)?.into_iter().map(read).collect()
}

fn text(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("the file {} cannot be read ({error})", file.display()))
}

fn damaged(file: &Path) -> String {
    format!("the file {} holds a certificate that cannot be understood", file.display())
}

fn chain(file: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|_| damaged(file))?;
    if found.is_empty() {
        let file = file.display();
        return Err(format!("the file {file} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(found)
}

fn key(file: &Path, pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    let file = file.display();
    if pem.contains("ENCRYPTED") {
        return Err(format!(
            "the key in {file} has a passphrase, which nobody could enter: keep it without one (`openssl pkey`), for the \
             bridge's user alone"
        ));
    }
    let found = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    found.map_err(|_| format!("the file {file} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"))
}
