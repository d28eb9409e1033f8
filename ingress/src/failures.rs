//! A limit on failed requests, one address at a time. Requests with a known key are never
//! held back: RetailCRM does not repeat, and a mass status change fires a thousand at once.

use std::net::IpAddr;
use std::time::Instant;

use shared::listen::network_of;

use crate::buckets::Buckets;

/// Failures an address may make at once, and is forgiven per second.
#[derive(Debug)]
pub struct FailureLimit(Buckets<IpAddr>);

impl Default for FailureLimit {
    fn default() -> Self {
        Self(Buckets::new(600.0, 20.0))
    }
}

impl FailureLimit {
    /// Counts a failed request. False when this address has failed too often.
    pub fn allow(&self, address: IpAddr) -> bool {
        self.allow_at(address, Instant::now())
    }

    fn allow_at(&self, address: IpAddr, now: Instant) -> bool {
        self.0.allow_at(network_of(address), now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_that_fails_too_often_is_held_back_until_time_passes() {
        let limit = FailureLimit::default();
        let now = Instant::now();
        let one = address("192.0.2.1");
        let allowed = (0..10_000).filter(|_| limit.allow_at(one, now)).count();
        assert_eq!(allowed, 600);
        assert!(limit.allow_at(address("192.0.2.2"), now), "others are not meant");
        assert!(limit.allow_at(one, now + Duration::from_millis(60)));
    }

    #[test]
    fn a_64_counts_as_one_address() {
        let limit = FailureLimit::default();
        let now = Instant::now();
        for n in 0..600 {
            assert!(limit.allow_at(address(&format!("2001:db8::{n:x}")), now));
        }
        assert!(!limit.allow_at(address("2001:db8::ffff"), now));
    }
}
