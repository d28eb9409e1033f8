//! Where every HTTP client of the product begins.

use crate::tls::Tls;

/// A client's builder, with the process' one TLS provider, that trusts the system's authorities and
/// those of the settings. It goes through the proxy that the environment names. Redirects are never followed: they
/// would carry credentials to another host and turn a POST into a GET.
#[allow(clippy::disallowed_methods)]
pub fn client(tls: &Tls) -> reqwest::ClientBuilder {
    // Refused only when it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let more = tls.authorities.iter().flat_map(|authorities| authorities.chain());
    let more = more.filter_map(|certificate| reqwest::Certificate::from_der(&certificate).ok());
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_certs_merge(more)
}
