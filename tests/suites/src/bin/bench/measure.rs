//! Clocks and counters: percentiles, and what the system says of a process.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Says on stderr what is being done.
pub fn say(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "-- {what}");
}

/// Times of one kind of thing.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this share of the samples does not exceed; zero without samples.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// The middle one of a few figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Waits until the machine has done next to nothing for a while, so that what one measurement
/// leaves behind is not counted in the next; not forever, for others may use it too.
pub async fn rested() -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(200);
    const IDLE: f64 = 0.85;
    let begun = Instant::now();
    let mut before = ticks()?;
    while begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(LOOK).await;
        let now = ticks()?;
        let (idle, all) = (now.0 - before.0, now.1 - before.1);
        if idle as f64 >= IDLE * all as f64 {
            break;
        }
        before = now;
    }
    Ok(())
}

/// Idle ticks of all processors, and all their ticks, since the machine was started.
fn ticks() -> anyhow::Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an unknown shape of stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user.
    let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let idle = fields.get(3).context("no idle time in stat")? + fields.get(4).copied().unwrap_or_default();
    Ok((idle, fields.iter().sum()))
}

/// What the system says of a process: its parent, its CPU time, that of its children which ended.
pub struct Stat {
    pub parent: u32,
    pub cpu: Duration,
    pub of_ended: Duration,
}

/// A process seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct Seen(pub u32);

impl Seen {
    /// CPU time it has used so far, in user and kernel mode.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        Ok(self.stat()?.cpu)
    }

    pub fn stat(self) -> anyhow::Result<Stat> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).context("no such process")?;
        // The second field is the program's name in parentheses and may hold anything.
        let rest = text.rsplit_once(')').context("an unknown shape of stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|word| word.parse::<u64>().ok()).context("no such field in stat");
        // USER_HZ is 100 on every Linux that Rust runs on.
        let time = |first: usize| anyhow::Ok(Duration::from_millis((field(first)? + field(first + 1)?) * 10));
        Ok(Stat { parent: u32::try_from(field(1)?)?, cpu: time(11)?, of_ended: time(13)? })
    }

    fn kib(self, name: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).context("no such process")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no memory in status")?;
        Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
    }

    pub fn rss_mib(self) -> anyhow::Result<f64> {
        Ok(self.kib("VmRSS")? as f64 / 1024.0)
    }

    pub fn peak_rss_mib(self) -> anyhow::Result<f64> {
        Ok(self.kib("VmHWM")? as f64 / 1024.0)
    }

    /// Begins a new peak.
    pub fn forget_peak(self) -> anyhow::Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    /// Holds it still, or lets it go on.
    pub fn hold(self, still: bool) -> anyhow::Result<()> {
        let name = if still { "STOP" } else { "CONT" };
        let done = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0)]).status()?;
        anyhow::ensure!(done.success(), "kill -{name} failed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_sample() {
        let mut samples = Samples::default();
        assert_eq!(samples.quantile(0.5), Duration::ZERO);
        (1..=100).rev().for_each(|ms| samples.add(Duration::from_millis(ms)));
        assert_eq!(samples.quantile(0.5), Duration::from_millis(50));
        assert_eq!(samples.quantile(0.99), Duration::from_millis(99));
        assert_eq!(samples.quantile(1.0), Duration::from_millis(100));
    }

    #[test]
    fn a_process_is_seen() {
        let own = Seen(std::process::id());
        assert!(own.rss_mib().unwrap() > 0.1);
        assert!(own.peak_rss_mib().unwrap() >= own.rss_mib().unwrap() * 0.9);
        own.cpu().unwrap();
    }

    #[test]
    fn the_processors_are_seen_working() {
        let (idle, all) = ticks().unwrap();
        assert!(0 < idle && idle < all);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {}
        let (idle_after, all_after) = ticks().unwrap();
        assert!(idle_after - idle < all_after - all, "one was busy");
    }
}
