//! Where every HTTP client of the product begins.

/// A client's builder, with the process' one TLS provider. Redirects are never followed: they
/// would carry credentials to another host and turn a POST into a GET.
#[allow(clippy::disallowed_methods)]
pub fn client() -> reqwest::ClientBuilder {
    // Refused only when it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none())
}
