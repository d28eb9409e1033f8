//! Who may keep a connection open. When all places are taken, the connection that has been
//! silent longest gives its own up, first of all one of the address that holds most.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::locked::locked;

/// What has answered is left alone for so long: its sender may just be about to go on.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// When full, one in so many is asked back at once: a look at all of them is not free.
const ONE_IN: usize = 16;

/// A connection that is answering has no moment since when it is silent.
const BUSY: u64 = u64::MAX;

/// A limited number of connections to one port.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    /// Of one address; one that holds more gives up its own first.
    share: usize,
    started: Instant,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    of_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Seat {
    from: IpAddr,
    /// Milliseconds since the start, or [`BUSY`].
    silent_since: AtomicU64,
    /// Requests begun on it.
    served: AtomicU64,
    asked_back: CancellationToken,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    seat: Arc<Seat>,
    all: Places,
}

/// The addresses that belong to one customer of a network: an IPv6 customer owns a /64.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Places {
    /// `most` connections, half of them for one address.
    pub fn new(most: usize) -> Self {
        let most = most.max(2);
        Self(Arc::new(Inner {
            most,
            share: most / 2,
            started: Instant::now(),
            open: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// A place for a connection of `from`; waits while every place is busy. `None`: the
    /// address holds its share and answers are being made on all of it.
    pub async fn take(&self, from: IpAddr) -> Option<Place> {
        let from = network_of(from);
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let mut open = self.open();
                let held = open.of_address.get(&from).copied().unwrap_or_default();
                let full = open.seats.len() >= self.0.most;
                let asked = match (full, held >= self.0.share) {
                    (_, true) => open.ask_back(Some(from), self.now_ms(), 1),
                    (true, false) => open.ask_back(None, self.now_ms(), (self.0.most / ONE_IN).max(1)),
                    (false, false) => 0,
                };
                if held >= self.0.share && asked == 0 {
                    return None;
                }
                if !full {
                    return Some(self.seat(&mut open, from));
                }
                if asked > 0 {
                    tracing::warn!(
                        connections = self.0.most,
                        asked,
                        "all connections are taken: silent ones are closed"
                    );
                }
            }
            // A silent one comes of age without anybody telling.
            let _ = tokio::time::timeout(LEFT_ALONE / 4, freed).await;
        }
    }

    fn seat(&self, open: &mut Open, from: IpAddr) -> Place {
        let id = open.next;
        open.next += 1;
        let seat = Arc::new(Seat {
            from,
            silent_since: AtomicU64::new(self.now_ms()),
            served: AtomicU64::new(0),
            asked_back: CancellationToken::new(),
        });
        open.seats.insert(id, seat.clone());
        *open.of_address.entry(from).or_default() += 1;
        Place { id, seat, all: self.clone() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        locked(&self.0.open)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }
}

impl Open {
    /// Asks the `count` longest silent ones back: of `from`, or of the address that holds
    /// most. Says how many were asked, now or before.
    fn ask_back(&self, from: Option<IpAddr>, now_ms: u64, count: usize) -> usize {
        let from = from.or_else(|| self.of_address.iter().max_by_key(|(_, held)| **held).map(|(from, _)| *from));
        let mut silent: Vec<(u64, &Arc<Seat>)> = self
            .seats
            .values()
            .filter(|seat| Some(seat.from) == from)
            .filter_map(|seat| seat.silent_for(now_ms).map(|since| (since, seat)))
            .collect();
        silent.sort_unstable_by_key(|(since, _)| *since);
        silent.truncate(count);
        for (_, seat) in &silent {
            seat.asked_back.cancel();
        }
        silent.len()
    }
}

impl Seat {
    /// Since when it may be asked back.
    fn silent_for(&self, now_ms: u64) -> Option<u64> {
        let since = self.silent_since.load(Ordering::Acquire);
        let of_age = u64::try_from(LEFT_ALONE.as_millis()).unwrap_or(BUSY);
        (since != BUSY && (self.served.load(Ordering::Acquire) == 0 || now_ms.saturating_sub(since) >= of_age))
            .then_some(since)
    }
}

impl Place {
    /// A request has come.
    pub fn busy(&self) {
        self.seat.served.fetch_add(1, Ordering::AcqRel);
        self.seat.silent_since.store(BUSY, Ordering::Release);
    }

    /// It is answered.
    pub fn silent(&self) {
        self.seat.silent_since.store(self.all.now_ms(), Ordering::Release);
    }

    /// Nothing was ever asked on it.
    pub fn unused(&self) -> bool {
        self.seat.served.load(Ordering::Acquire) == 0
    }

    /// Returns when others need the place more.
    pub async fn asked_back(&self) {
        self.seat.asked_back.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.all.open();
        open.seats.remove(&self.id);
        if let Some(held) = open.of_address.get_mut(&self.seat.from) {
            *held -= 1;
            if *held == 0 {
                open.of_address.remove(&self.seat.from);
            }
        }
        drop(open);
        self.all.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_asked_back(place: &Place) -> bool {
        place.asked_back().now_or_never().is_some()
    }

    #[tokio::test]
    async fn an_address_that_holds_its_share_gives_up_its_own() {
        let places = Places::new(4);
        let (busy, idle) = (places.take(address(1)).await.expect("free"), places.take(address(1)).await.expect("free"));
        busy.busy();
        let other = places.take(address(2)).await.expect("free");
        let third = places.take(address(1)).await.expect("one of its own goes");
        assert!(is_asked_back(&idle) && !is_asked_back(&busy) && !is_asked_back(&other));
        third.busy();
        idle.busy();
        assert!(places.take(address(1)).await.is_none(), "all of its share is at work");
    }

    #[tokio::test]
    async fn when_all_is_taken_the_address_with_most_gives_way() {
        let places = Places::new(4);
        let mut many = Vec::new();
        for _ in 0..2 {
            many.push(places.take(address(1)).await.expect("free"));
        }
        let lone = [places.take(address(2)).await.expect("free"), places.take(address(3)).await.expect("free")];
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.take(address(4)).await }
        });
        while !many.iter().any(is_asked_back) {
            tokio::task::yield_now().await;
        }
        many.retain(|place| !is_asked_back(place));
        assert!(waiting.await.expect("no panic").is_some());
        assert!(!lone.iter().any(is_asked_back));
    }

    #[tokio::test]
    async fn one_that_answered_a_moment_ago_is_left_alone() {
        let places = Places::new(2);
        let place = places.take(address(1)).await.expect("free");
        place.busy();
        place.silent();
        let now = places.now_ms();
        assert_eq!(places.open().ask_back(None, now, 1), 0);
        assert_eq!(places.open().ask_back(None, now + 1_500, 1), 1);
    }

    #[test]
    fn a_network_is_one_address() {
        let of = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}
