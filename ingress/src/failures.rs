//! A limit on failed requests, one address at a time. Requests with a known key are never
//! held back: RetailCRM does not repeat, and a mass status change fires a thousand at once
//! (design §3 «Triggers»).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use shared::listen::network_of;

/// Failures an address may make at once.
const BURST: f64 = 600.0;
/// Failures it is forgiven per second.
const PER_SECOND: f64 = 20.0;
/// Addresses remembered.
const ADDRESSES: usize = 10_000;

/// A token bucket per remote address.
#[derive(Debug, Default)]
pub struct FailureLimit(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refilled(self, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST)
    }
}

impl FailureLimit {
    /// Counts a failed request. False when this address has failed too often.
    pub fn allow(&self, address: IpAddr) -> bool {
        self.allow_at(address, Instant::now())
    }

    fn allow_at(&self, address: IpAddr, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= ADDRESSES {
            buckets.retain(|_, bucket| bucket.refilled(now) < BURST);
            if buckets.len() >= ADDRESSES {
                // Many addresses at once: forgetting is kinder than growing.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(network_of(address)).or_insert(Bucket { left: BURST, at: now });
        let left = bucket.refilled(now);
        let allowed = left >= 1.0;
        *bucket = Bucket { left: if allowed { left - 1.0 } else { left }, at: now };
        allowed
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
    fn a_64_counts_as_one_address_and_memory_is_bounded() {
        let limit = FailureLimit::default();
        let now = Instant::now();
        for n in 0..600 {
            assert!(limit.allow_at(address(&format!("2001:db8::{n:x}")), now));
        }
        assert!(!limit.allow_at(address("2001:db8::ffff"), now));
        for n in 0..30_000u32 {
            limit.allow_at(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), now);
        }
        assert!(limit.0.lock().expect("not poisoned").len() <= ADDRESSES);
    }
}
