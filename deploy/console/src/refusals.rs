//! Why somebody is refused, and how many refusals of one address are noted in the audit: a stranger
//! must not fill it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use shared::listen::network_of;
use shared::locked::locked;
use shared::store::audit::Who;

/// Who is refused, as far as that is known, and why.
pub type Unwelcome = (Option<Who>, Refused);

/// Why somebody is refused; words of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Role,
    Origin,
    Token,
    NoGroup,
    Untrusted,
    UnknownLink,
    ExpiredLink,
    UsedLink,
    /// A sign-in that this browser did not begin.
    OtherBrowser,
    LateSignIn,
    UsedSignIn,
    /// The provider of sign-ins let them not in.
    ByProvider,
    /// The provider takes its code for none.
    Code,
    /// What the provider says is not to be believed.
    IdToken,
    /// The provider does not say who it is.
    NoName,
}

impl Refused {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Origin => "another site's form",
            Self::Token => "form token",
            Self::NoGroup => "no group",
            Self::Untrusted => "untrusted proxy",
            Self::UnknownLink => "unknown address",
            Self::ExpiredLink => "expired address",
            Self::UsedLink => "used address",
            Self::OtherBrowser => "another browser's sign-in",
            Self::LateSignIn => "late sign-in",
            Self::UsedSignIn => "used sign-in",
            Self::ByProvider => "the provider refused",
            Self::Code => "code refused",
            Self::IdToken => "ID token",
            Self::NoName => "no name",
        }
    }
}

/// Of one address, in one span.
const NOTED: u32 = 30;
const SPAN: Duration = Duration::from_secs(60);
/// Addresses remembered.
const ADDRESSES: usize = 1_000;

#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Refusals {
    /// Counts a refusal. False: this address has had so many that one more is only logged.
    pub fn is_noted(&self, from: IpAddr) -> bool {
        self.is_noted_at(from, Instant::now())
    }

    fn is_noted_at(&self, from: IpAddr, now: Instant) -> bool {
        let mut counted = locked(&self.0);
        let is_fresh = |began: Instant| now.saturating_duration_since(began) < SPAN;
        if counted.len() >= ADDRESSES {
            counted.retain(|_, (began, _)| is_fresh(*began));
            if counted.len() >= ADDRESSES && !counted.contains_key(&network_of(from)) {
                return false;
            }
        }
        let (began, number) = counted.entry(network_of(from)).or_insert((now, 0));
        if !is_fresh(*began) {
            (*began, *number) = (now, 0);
        }
        *number += 1;
        *number <= NOTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_fill_the_audit() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let one = "192.0.2.1".parse().expect("an address");
        assert_eq!((0..1000).filter(|_| refusals.is_noted_at(one, now)).count(), NOTED as usize);
        assert!(refusals.is_noted_at("192.0.2.2".parse().expect("an address"), now), "others are not meant");
        assert!(refusals.is_noted_at(one, now + SPAN), "a minute later it is news again");
        for n in 0..5_000u32 {
            refusals.is_noted_at(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), now);
        }
        assert!(locked(&refusals.0).len() <= ADDRESSES);
    }
}
