//! Stand-ins for both vendors that speak their protocols over real sockets. Their wire code
//! is their own: a mistake shared with the product would go unseen.

mod control;
pub mod faults;
pub mod measoft;
pub mod predecessor;
pub mod retailcrm;
mod socket;

/// A client's builder for loopback: no proxy is asked.
pub fn http() -> reqwest::ClientBuilder {
    // Refused only when it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
