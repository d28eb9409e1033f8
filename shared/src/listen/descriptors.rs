//! File descriptors: a connection that somebody leaves open must never cost the one that
//! the database, the broker or a call to a vendor needs.

/// What the process's own work keeps for itself, whatever connects: the database, the
/// broker, calls to both vendors, log and secret files.
const OWN_LEAST: u64 = 128;
const OWN_MOST: u64 = 1_024;
/// Connections to the port of monitoring.
const OPS_LEAST: u64 = 8;
const OPS_MOST: u64 = 64;
/// Connections to the port of triggers and callbacks.
const PUBLIC_LEAST: u64 = 16;
const PUBLIC_MOST: u64 = 10_000;

/// How the descriptors of a process are shared out, counted in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The soft limit of the process.
    pub limit: u64,
    /// Connections that may be open to `OPS_LISTEN`.
    pub ops: usize,
    /// Connections that may be open to `INGRESS_LISTEN`.
    pub public: usize,
}

impl Descriptors {
    /// What a soft limit of `limit` descriptors is worth.
    pub fn of(limit: u64) -> Self {
        let own = (limit / 4).clamp(OWN_LEAST, OWN_MOST);
        let ops = (limit / 16).clamp(OPS_LEAST, OPS_MOST);
        let public = limit.saturating_sub(own + ops).clamp(PUBLIC_LEAST, PUBLIC_MOST);
        let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self { limit, ops: small(ops), public: small(public) }
    }

    /// The shares under the limit that this process has now.
    pub fn now() -> Self {
        // Where limits are not kept, a common one is assumed.
        Self::of(rlimit::Resource::NOFILE.get_soft().unwrap_or(1_024))
    }
}

/// Raises the soft limit to the hard one: shells and service managers start programs with
/// 1,024 though far more are allowed. Says when that is still few.
pub fn raise_limit() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) if limit < 1_024 => {
            let Descriptors { public, .. } = Descriptors::of(limit);
            tracing::warn!(
                limit,
                connections = public,
                "few file descriptors: raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile)"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors could not be raised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_process_itself() {
        for limit in [200, 256, 1_024, 4_096, 65_536, 1_048_576, u64::MAX] {
            let shares = Descriptors::of(limit);
            assert!((shares.ops + shares.public) as u64 + OWN_LEAST <= limit, "{shares:?}");
        }
        assert_eq!(Descriptors::of(1_024), Descriptors { limit: 1_024, ops: 64, public: 704 });
        assert_eq!(Descriptors::of(65_536).public, 10_000);
    }
}
