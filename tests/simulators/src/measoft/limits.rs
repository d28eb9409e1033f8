//! Counting against the vendor's fair-usage limits (protocols/measoft.md#limits).
//!
//! Every window slides: a count is the number of hits in the last `length`, and the highest count any window ever
//! held is remembered, so that a test can show after the fact that a limit was never crossed.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The limits in force. The numbers are the vendor's (protocols/measoft.md#limits).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// All requests of one address per minute.
    pub ip_per_minute: u64,
    /// All requests of one address per 20 minutes.
    pub ip_per_20_minutes: u64,
    /// All requests of one account per hour.
    pub account_per_hour: u64,
    /// Bytes sent to one address per 3 hours.
    pub bytes_per_3_hours: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ip_per_minute: 150, ip_per_20_minutes: 1500, account_per_hour: 3000, bytes_per_3_hours: 200_000_000 }
    }
}

/// What happens to a caller who is over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Only count.
    #[default]
    Off,
    /// Block the address and answer 429 with `Retry-After`.
    TooManyRequests,
    /// Block the address and answer an HTML page with this HTTP status.
    Html {
        /// HTTP status of the page.
        status: u16,
    },
}

/// The highest counts ever seen of any address and any account.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LimitReport {
    /// How many times shorter than in reality the windows are.
    pub time_scale: f64,
    /// The limits compared against.
    pub limits: Limits,
    /// Most requests of one address within any minute.
    pub highest_ip_per_minute: u64,
    /// Most requests of one address within any 20 minutes.
    pub highest_ip_per_20_minutes: u64,
    /// Most bytes sent to one address within any 3 hours.
    pub highest_bytes_per_3_hours: u64,
    /// Most requests of one account within any hour.
    pub highest_account_per_hour: u64,
    /// Look-ups by number that found an order, all accounts.
    pub lookups_known: u64,
    /// Look-ups by number that found nothing, all accounts.
    pub lookups_unknown: u64,
    /// Requests turned away because an address was blocked.
    pub turned_away: u64,
    /// Names of the limits that were crossed at least once; empty when the caller behaved.
    pub exceeded: Vec<String>,
}

struct Window {
    length: Duration,
    hits: VecDeque<(Instant, u64)>,
    sum: u64,
    highest: u64,
}

impl Window {
    fn new(length: Duration) -> Self {
        Self { length, hits: VecDeque::new(), sum: 0, highest: 0 }
    }

    fn add(&mut self, now: Instant, amount: u64) -> u64 {
        while let Some(&(at, old)) = self.hits.front() {
            if now.duration_since(at) < self.length {
                break;
            }
            self.sum -= old;
            self.hits.pop_front();
        }
        self.hits.push_back((now, amount));
        self.sum += amount;
        self.highest = self.highest.max(self.sum);
        self.sum
    }
}

struct IpWindows {
    minute: Window,
    twenty: Window,
    bytes: Window,
    blocked_until: Option<Instant>,
    turned_away: u64,
}

struct AccountWindows {
    hour: Window,
    known: u64,
    unknown: u64,
}

/// All windows of one simulator.
#[derive(Default)]
pub(crate) struct LimitTracker {
    time_scale: f64,
    ips: HashMap<IpAddr, IpWindows>,
    accounts: HashMap<String, AccountWindows>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

impl LimitTracker {
    /// `time_scale` N makes every window N times shorter.
    pub(crate) fn new(time_scale: f64) -> Self {
        let time_scale = if time_scale.is_finite() && time_scale > 0.0 { time_scale } else { 1.0 };
        Self { time_scale, ..Self::default() }
    }

    fn scaled(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).div_f64(self.time_scale)
    }

    fn ip(&mut self, ip: IpAddr) -> &mut IpWindows {
        let (minute, twenty, long) = (self.scaled(MINUTE), self.scaled(20 * MINUTE), self.scaled(3 * HOUR));
        self.ips.entry(ip).or_insert_with(|| IpWindows {
            minute: Window::new(minute),
            twenty: Window::new(twenty),
            bytes: Window::new(long),
            blocked_until: None,
            turned_away: 0,
        })
    }

    fn account(&mut self, account: &str) -> &mut AccountWindows {
        if !self.accounts.contains_key(account) {
            let hour = Window::new(self.scaled(HOUR));
            self.accounts.insert(account.to_owned(), AccountWindows { hour, known: 0, unknown: 0 });
        }
        self.accounts.get_mut(account).expect("inserted above")
    }

    /// Counts one request of an address. With enforcement on, returns how long the address stays blocked.
    pub(crate) fn request(&mut self, ip: IpAddr, now: Instant, limits: &Limits, enforced: bool) -> Option<Duration> {
        let block = self.scaled(3 * HOUR);
        let windows = self.ip(ip);
        let over_minute = windows.minute.add(now, 1) > limits.ip_per_minute;
        let over_twenty = windows.twenty.add(now, 1) > limits.ip_per_20_minutes;
        if !enforced {
            return None;
        }
        if windows.blocked_until.is_none_or(|until| until <= now) && (over_minute || over_twenty) {
            windows.blocked_until = Some(now + block);
        }
        Self::remaining(windows, now)
    }

    /// Counts one request of an account, and blocks the address it came from when it is one too many.
    pub(crate) fn account_request(
        &mut self,
        account: &str,
        ip: IpAddr,
        now: Instant,
        limits: &Limits,
        enforced: bool,
    ) -> Option<Duration> {
        let over = self.account(account).hour.add(now, 1) > limits.account_per_hour;
        if !(enforced && over) {
            return None;
        }
        let block = self.scaled(3 * HOUR);
        let windows = self.ip(ip);
        windows.blocked_until.get_or_insert(now + block);
        Self::remaining(windows, now)
    }

    /// Counts bytes sent to an address.
    pub(crate) fn bytes(&mut self, ip: IpAddr, now: Instant, amount: u64) {
        self.ip(ip).bytes.add(now, amount);
    }

    /// Counts a look-up by number.
    pub(crate) fn lookup(&mut self, account: &str, known: bool) {
        let windows = self.account(account);
        if known {
            windows.known += 1;
        } else {
            windows.unknown += 1;
        }
    }

    fn remaining(windows: &mut IpWindows, now: Instant) -> Option<Duration> {
        match windows.blocked_until {
            Some(until) if until > now => {
                windows.turned_away += 1;
                Some(until - now)
            }
            _ => None,
        }
    }

    pub(crate) fn report(&self, limits: &Limits) -> LimitReport {
        let mut report = LimitReport { time_scale: self.time_scale, limits: *limits, ..LimitReport::default() };
        for windows in self.ips.values() {
            report.highest_ip_per_minute = report.highest_ip_per_minute.max(windows.minute.highest);
            report.highest_ip_per_20_minutes = report.highest_ip_per_20_minutes.max(windows.twenty.highest);
            report.highest_bytes_per_3_hours = report.highest_bytes_per_3_hours.max(windows.bytes.highest);
            report.turned_away += windows.turned_away;
        }
        for windows in self.accounts.values() {
            report.highest_account_per_hour = report.highest_account_per_hour.max(windows.hour.highest);
            report.lookups_known += windows.known;
            report.lookups_unknown += windows.unknown;
        }
        let exceeded = [
            ("ip_per_minute", report.highest_ip_per_minute > limits.ip_per_minute),
            ("ip_per_20_minutes", report.highest_ip_per_20_minutes > limits.ip_per_20_minutes),
            ("bytes_per_3_hours", report.highest_bytes_per_3_hours > limits.bytes_per_3_hours),
            ("account_per_hour", report.highest_account_per_hour > limits.account_per_hour),
            ("unknown_lookups", report.lookups_unknown > report.lookups_known),
        ];
        report.exceeded = exceeded.into_iter().filter(|(_, over)| *over).map(|(name, _)| name.to_owned()).collect();
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_highest_count_of_a_sliding_window_survives_the_quiet_time_after_it() {
        let mut tracker = LimitTracker::new(1.0);
        let start = Instant::now();
        let limits = Limits { ip_per_minute: 2, ..Limits::default() };
        for second in [0, 30, 59, 61, 200] {
            tracker.request(IP, start + Duration::from_secs(second), &limits, false);
        }
        let report = tracker.report(&limits);
        assert_eq!(report.highest_ip_per_minute, 3);
        assert_eq!(report.highest_ip_per_20_minutes, 5);
        assert_eq!(report.exceeded, ["ip_per_minute"]);
    }

    #[test]
    fn a_time_scale_shortens_the_windows() {
        let mut tracker = LimitTracker::new(60.0);
        let start = Instant::now();
        let limits = Limits::default();
        tracker.request(IP, start, &limits, false);
        tracker.request(IP, start + Duration::from_millis(1001), &limits, false);
        tracker.account_request("8:a", IP, start, &limits, false);
        tracker.account_request("8:a", IP, start + Duration::from_secs(59), &limits, false);
        let report = tracker.report(&limits);
        assert_eq!(report.highest_ip_per_minute, 1);
        assert_eq!(report.highest_ip_per_20_minutes, 2);
        assert_eq!(report.highest_account_per_hour, 2);
    }

    #[test]
    fn an_enforced_limit_blocks_the_address_for_three_scaled_hours() {
        let mut tracker = LimitTracker::new(3600.0);
        let start = Instant::now();
        let limits = Limits { ip_per_20_minutes: 1, ..Limits::default() };
        assert!(tracker.request(IP, start, &limits, true).is_none());
        let left = tracker.request(IP, start, &limits, true).expect("the second request is one too many");
        assert_eq!(left, Duration::from_secs(3));
        assert!(tracker.request(IP, start + Duration::from_secs(2), &limits, true).is_some());
        assert!(tracker.request(IP, start + Duration::from_secs(4), &limits, true).is_none());
        assert_eq!(tracker.report(&limits).turned_away, 2);
    }

    #[test]
    fn more_unknown_than_known_lookups_are_reported() {
        let mut tracker = LimitTracker::new(1.0);
        tracker.lookup("8:a", true);
        assert!(tracker.report(&Limits::default()).exceeded.is_empty());
        tracker.lookup("8:a", false);
        tracker.lookup("8:a", false);
        let report = tracker.report(&Limits::default());
        assert_eq!((report.lookups_known, report.lookups_unknown), (1, 2));
        assert_eq!(report.exceeded, ["unknown_lookups"]);
    }
}
