//! What PostgreSQL itself spends: its CPU, the bytes of its log, the transactions it keeps.

use std::time::Duration;

use harness::World;

use crate::measure::Seen;
use crate::report::{Report, Target};

/// The server's counters at one moment; the server is this run's alone.
#[derive(Debug, Clone, Copy)]
pub struct Database {
    cpu: Duration,
    wal: i64,
    /// Transactions that wrote: each takes a number of its own.
    writing: i64,
    transactions: i64,
}

impl Database {
    pub async fn seen(world: &World) -> anyhow::Result<Self> {
        let ask = async |sql: &str| world.ledger.count(sql).await;
        let backend = ask("SELECT pg_backend_pid()::bigint AS n").await?;
        Ok(Self {
            cpu: Seen(u32::try_from(backend)?).parent()?.family_cpu()?,
            wal: ask("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS n").await?,
            writing: ask("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS n").await?,
            transactions: ask("SELECT (SUM(xact_commit) + SUM(xact_rollback))::bigint AS n FROM pg_stat_database")
                .await?,
        })
    }

    /// What was spent since `before`, for each of `count` things.
    pub fn since(self, before: Self, count: usize) -> Spent {
        let each = |whole: i64| whole as f64 / count as f64;
        Spent {
            cpu_ms: self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0 / count as f64,
            wal: each(self.wal - before.wal),
            writing: each(self.writing - before.writing),
            transactions: each(self.transactions - before.transactions),
        }
    }
}

/// What one thing cost PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub cpu_ms: f64,
    /// Bytes.
    wal: f64,
    writing: f64,
    transactions: f64,
}

impl Spent {
    /// The middle one of each figure.
    pub fn median(rounds: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| crate::measure::median(rounds.iter().map(of).collect());
        Self {
            cpu_ms: middle(|spent| spent.cpu_ms),
            wal: middle(|spent| spent.wal),
            writing: middle(|spent| spent.writing),
            transactions: middle(|spent| spent.transactions),
        }
    }

    /// Rows of the table for a `thing` that a `part` does, whose worker took `worker_ms` for it.
    pub fn tell(self, report: &mut Report, part: &str, thing: &str, worker_ms: f64) {
        let mut row = |what: &str, value: f64, unit: &str| {
            report.figure(format!("{part}: {what} per {thing}"), value, unit, Target::None);
        };
        row("CPU of worker and PostgreSQL", worker_ms + self.cpu_ms, "ms");
        row("CPU of PostgreSQL", self.cpu_ms, "ms");
        row("WAL", self.wal, "B");
        row("writing commits", self.writing, "");
    }

    /// Transactions of any kind.
    pub fn transactions(self) -> f64 {
        self.transactions
    }
}

impl Seen {
    fn parent(self) -> anyhow::Result<Self> {
        Ok(Self(self.stat()?.parent))
    }

    /// CPU time of a process and of all it started, those that have ended as well.
    fn family_cpu(self) -> anyhow::Result<Duration> {
        let own = self.stat()?;
        let mut all = own.cpu + own.of_ended;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // One that ends meanwhile is in its parent's sum the next time.
            if let Some(stat) = id.and_then(|id| Seen(id).stat().ok())
                && stat.parent == self.0
            {
                all += stat.cpu + stat.of_ended;
            }
        }
        anyhow::ensure!(!all.is_zero(), "a server that has used no time");
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_counted_with_those_that_have_ended() {
        let own = Seen(std::process::id());
        let before = own.family_cpu().or_else(|_| own.cpu()).expect("this process is seen");
        let busy = std::process::Command::new("sh")
            .args(["-c", "n=0; while [ $n -lt 200000 ]; do n=$((n + 1)); done"])
            .status()
            .expect("a shell");
        assert!(busy.success());
        assert!(own.family_cpu().expect("seen") > before, "the shell's time counts");
    }
}
