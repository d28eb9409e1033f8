//! A list of addresses and networks: who is trusted to speak for others.

use std::net::{IpAddr, SocketAddr};

/// Addresses, each with how many bits of it count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

/// A list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{0}» is neither an address like 10.0.0.5 nor a network like 10.0.0.0/8")]
pub struct BadNetwork(String);

impl Networks {
    /// `10.0.0.5, 192.168.0.0/16, fd00::/8`.
    ///
    /// # Errors
    /// [`BadNetwork`], naming the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, BadNetwork> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let in_it = |(network, bits): &(IpAddr, u8)| {
            network.is_ipv4() == address.is_ipv4() && bits_of(*network, *bits) == bits_of(address, *bits)
        };
        self.0.iter().any(in_it)
    }

    /// Whom a request is from that `peer` has brought. Whoever is one of these is believed whom they
    /// have it from: that is the last entry of `X-Forwarded-For`, whose values `told` are in their
    /// order. What stands before is believed of nobody, since anybody may have written it.
    pub fn sender<'a>(&self, peer: IpAddr, told: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut from = peer;
        for entry in told.flat_map(|value| value.split(',')).rev() {
            let Some(before) = Some(from).filter(|from| self.contains(*from)).and_then(|_| entry_of(entry)) else {
                break;
            };
            from = before;
        }
        from
    }
}

/// An address, with a port or without.
fn entry_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn one(part: &str) -> Result<(IpAddr, u8), BadNetwork> {
    let bad = || BadNetwork(part.to_owned());
    let (address, bits) = part.split_once('/').map_or((part, None), |(address, bits)| (address, Some(bits)));
    let address = address.parse::<IpAddr>().map_err(|_| bad())?.to_canonical();
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| bad()))?;
    if bits > most { Err(bad()) } else { Ok((address, bits)) }
}

/// The bits that count.
fn bits_of(address: IpAddr, bits: u8) -> u128 {
    let (whole, length) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    whole.checked_shr(length - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_network_and_in_no_other() {
        let all = Networks::parse("10.0.0.5, 192.168.0.0/16,fd00::/8, ::1").expect("a list");
        for (address, inside) in [
            ("10.0.0.5", true),
            ("::ffff:10.0.0.5", true),
            ("10.0.0.6", false),
            ("192.168.7.9", true),
            ("192.169.0.1", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::1", true),
        ] {
            assert_eq!(all.contains(address.parse().expect("an address")), inside, "{address}");
        }
        assert!(Networks::parse("0.0.0.0/0").expect("all").contains("8.8.8.8".parse().expect("an address")));
        assert!(!Networks::parse("0.0.0.0/0").expect("all").contains("fd00::1".parse().expect("an address")));
        assert!(Networks::parse(" ").expect("nothing").is_empty());
        for bad in ["10.0.0", "10.0.0.0/33", "10.0.0.0/x", "proxy.example", "fd00::/129"] {
            assert!(Networks::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sender_is_the_last_one_whom_a_trusted_proxy_names() {
        let trusted = Networks::parse("10.0.0.0/8, 2001:db8::/32").expect("a list");
        for (peer, told, from) in [
            ("10.0.0.5", &["192.0.2.1"][..], "192.0.2.1"),
            ("::ffff:10.0.0.5", &["192.0.2.1"], "192.0.2.1"),
            ("2001:db8::5", &["2001:db9::1"], "2001:db9::1"),
            // What the sender wrote stands before what the proxy did.
            ("10.0.0.5", &["198.51.100.7, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.5", &["198.51.100.7", "192.0.2.1"], "192.0.2.1"),
            ("10.0.0.5", &["198.51.100.7, 10.1.1.1"], "198.51.100.7"),
            ("10.0.0.5", &["198.51.100.7, 192.0.2.1, 10.1.1.1 ,2001:db8::9"], "192.0.2.1"),
            ("10.0.0.5", &["10.0.0.7"], "10.0.0.7"),
            ("10.0.0.5", &["192.0.2.1:4711"], "192.0.2.1"),
            ("10.0.0.5", &["[2001:db9::1]:4711"], "2001:db9::1"),
            ("10.0.0.5", &["[2001:db9::1]"], "2001:db9::1"),
            ("10.0.0.5", &["::ffff:192.0.2.1"], "192.0.2.1"),
            // Nothing that can be read: it is the proxy's.
            ("10.0.0.5", &[], "10.0.0.5"),
            ("10.0.0.5", &[""], "10.0.0.5"),
            ("10.0.0.5", &["192.0.2.1, unknown"], "10.0.0.5"),
            // Whom nobody trusts speaks for himself.
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("192.0.2.1", &["10.0.0.5"], "192.0.2.1"),
        ] {
            let found = trusted.sender(peer.parse().expect("an address"), told.iter().copied());
            assert_eq!(found, from.parse::<IpAddr>().expect("an address"), "{peer} {told:?}");
        }
        assert_eq!(
            Networks::default().sender(IpAddr::from([127, 0, 0, 1]), ["192.0.2.1"].into_iter()).to_string(),
            "127.0.0.1"
        );
    }
}
