//! How long the neighbours of a tenant in trouble wait: from a trigger to the parcel at MeaSoft.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use harness::World;

use super::schedule::{Fault, Kind, Vendor};
use super::traffic::Traffic;

/// Between two orders of a neighbour.
const EVERY: Duration = Duration::from_millis(400);
/// When one is no longer waited for.
const LIMIT: Duration = Duration::from_secs(60);
/// A worker looks for what is due each second: faster is chance.
const FLOOR: Duration = Duration::from_secs(1);
/// Orders of each shop that tell how long it takes while all is well.
const ALONE: usize = 6;

/// Sorted times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits(Vec<Duration>);

impl Waits {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that so many in a hundred do not exceed.
    pub fn quantile(&self, share: usize) -> Duration {
        let place = (self.0.len() * share).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// How many orders.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// What neighbours of somebody in trouble may wait: the 95th of a hundred at most twice as
    /// long as when all is well, and a second more.
    pub fn limit(&self) -> Duration {
        self.quantile(95).max(FLOOR) * 2 + Duration::from_secs(1)
    }
}

/// The shop whose account at MeaSoft a fault is about.
pub fn troubled(world: &World, fault: &Fault) -> usize {
    fault.which % world.shops.len()
}

/// The shops that a fault of a tenant must not touch. None for other faults.
pub fn neighbours(world: &World, fault: &Fault) -> Vec<usize> {
    let ill = troubled(world, fault);
    let all = 0..world.shops.len();
    match fault.kind {
        Kind::Hanging(Vendor::Measoft) | Kind::YearsPause => all.filter(|shop| *shop != ill).collect(),
        Kind::Hanging(Vendor::Crm) => all.filter(|s| world.shops[*s].account != world.shops[ill].account).collect(),
        _ => Vec::new(),
    }
}

/// What is usual, of all shops at once.
///
/// # Errors
/// When an order does not arrive.
pub async fn usual(traffic: &Traffic, shops: usize) -> Result<Waits, String> {
    let of_one = |shop| async move {
        let mut times = Vec::new();
        for _ in 0..ALONE {
            times.push(traffic.placed(shop, LIMIT).await?);
        }
        Ok::<_, String>(times)
    };
    let times = futures_util::future::try_join_all((0..shops).map(of_one)).await?;
    Ok(Waits::of(times.concat()))
}

/// Orders of these shops in turn until it is over.
///
/// # Errors
/// When an order does not arrive.
pub async fn of(traffic: &Traffic, shops: &[usize], over: &CancellationToken) -> Result<Waits, String> {
    let mut times = Vec::new();
    let mut turn = shops.iter().copied().cycle();
    while !over.is_cancelled() {
        let Some(shop) = turn.next() else { break };
        times.push(traffic.placed(shop, LIMIT).await?);
        tokio::select! {
            () = over.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    Ok(Waits::of(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_may_wait_twice_as_long_and_a_second() {
        let waits = |ms: &[u64]| Waits::of(ms.iter().copied().map(Duration::from_millis).collect());
        let usual = waits(&[900, 300, 2_000]);
        assert_eq!((usual.quantile(50), usual.quantile(95)), (Duration::from_millis(900), Duration::from_secs(2)));
        assert_eq!(usual.limit(), Duration::from_secs(5));
        assert_eq!(waits(&[50]).limit(), Duration::from_secs(3), "chance does not count");
    }
}
