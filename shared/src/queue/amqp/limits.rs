//! How long each step of a conversation with the broker may take.

use std::time::Duration;

pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) const DECLARE_LIMIT: Duration = Duration::from_secs(5);

pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(5);

pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(2);
