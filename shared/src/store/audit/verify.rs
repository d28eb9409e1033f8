//! Whether the chain of acts is as this installation left it.

use crate::args;
use crate::crypto::SecretKey;
use crate::store::Store;
use crate::store::audit::{Audited, COLUMNS, HEAD, Head, read};
use crate::store::db::Result;

/// Rows read at a time.
const BATCH: u32 = 1000;
/// Readings, while others add to the chain.
const TRIES: u32 = 5;
/// Flaws told at most; more of them say nothing new.
const TOLD: usize = 100;

/// What is not as it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Rows before this one are gone.
    Missing { before: i64 },
    /// The row says something else than when it was written.
    Changed { seq: i64 },
    /// The row does not follow the one before it: that was written anew, or put in.
    Unlinked { seq: i64 },
    /// The newest rows are gone: this one was the last.
    CutOff { last: i64 },
    /// Rows were added behind the newest that this installation wrote.
    Added { after: i64 },
    /// The newest hash is not signed with the key of this installation.
    Unsigned,
}

/// What a look at the whole chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub entries: i64,
    /// The newest row's number and hash.
    pub head: Option<(i64, String)>,
    /// At most a hundred, the oldest first.
    pub flaws: Vec<Flaw>,
    /// Whether a hash that was noted elsewhere is in the chain.
    pub has_noted: Option<bool>,
}

impl Store {
    /// Reads the whole chain. `noted`: a hash that was the newest once, kept where nobody who can
    /// write here reaches it.
    pub async fn verify_audit(&self, noted: Option<&str>) -> Result<Verified> {
        let mut before = self.kept_head().await?;
        let mut tries = 1;
        loop {
            let look = self.walk(noted).await?;
            let after = self.kept_head().await?;
            // While acts are added, the newest row and what is kept of it are of two moments.
            if before == after || tries == TRIES {
                return Ok(look.judged(after.as_deref(), &self.key));
            }
            before = after;
            tries += 1;
        }
    }

    async fn kept_head(&self) -> Result<Option<String>> {
        Ok(self.cursor(HEAD).await?.map(|(value, _)| value))
    }

    async fn walk(&self, noted: Option<&str>) -> Result<Look> {
        let mut look = Look { found: noted.map(|_| false), ..Look::default() };
        loop {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > $1 ORDER BY seq LIMIT {BATCH}");
            let rows: Vec<Audited> = self.db.read_all(sql, args![look.last], read).await?;
            if rows.is_empty() {
                return Ok(look);
            }
            rows.iter().for_each(|row| look.at(row, noted));
        }
    }
}

/// The walk along the chain.
#[derive(Debug, Default)]
struct Look {
    entries: i64,
    last: i64,
    /// Hash of the last row.
    prior: String,
    flaws: Vec<Flaw>,
    found: Option<bool>,
}

impl Look {
    fn flaw(&mut self, flaw: Flaw) {
        if self.flaws.len() < TOLD {
            self.flaws.push(flaw);
        }
    }

    fn at(&mut self, row: &Audited, noted: Option<&str>) {
        // Behind a gap nothing is known of the row before.
        if row.seq != self.last + 1 {
            self.flaw(Flaw::Missing { before: row.seq });
        } else if row.prior != self.prior {
            self.flaw(Flaw::Unlinked { seq: row.seq });
        }
        if row.hash != row.true_hash() {
            self.flaw(Flaw::Changed { seq: row.seq });
        }
        if noted == Some(row.hash.as_str()) {
            self.found = Some(true);
        }
        self.entries += 1;
        self.last = row.seq;
        self.prior.clone_from(&row.hash);
    }

    /// With what is kept of the newest row.
    fn judged(mut self, kept: Option<&str>, key: &SecretKey) -> Verified {
        match kept.map(Head::parse) {
            None if self.entries == 0 => {}
            Some(Some(head)) => {
                if !head.is_ours(key) {
                    self.flaw(Flaw::Unsigned);
                }
                if self.last < head.seq {
                    self.flaw(Flaw::CutOff { last: self.last });
                } else if self.last > head.seq {
                    self.flaw(Flaw::Added { after: head.seq });
                } else if self.prior != head.hash {
                    self.flaw(Flaw::Unlinked { seq: head.seq });
                }
            }
            None | Some(None) => self.flaw(Flaw::Unsigned),
        }
        let head = (self.entries > 0).then_some((self.last, self.prior));
        Verified { entries: self.entries, head, flaws: self.flaws, has_noted: self.found }
    }
}
