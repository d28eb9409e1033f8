//! A worker's sign of life in the database, and its eye on the others': the leases of one that
//! is certainly dead end at once.

use std::collections::HashMap;
use std::time::Duration;

use shared::crypto::random_number;
use shared::store::holders::SignOfLife;
use shared::store::{Dialect, Store};
use tokio_util::sync::CancellationToken;

/// How often the own lock and those of others are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Looks in a row that find a lock free: whoever only lost its connection has taken it again.
const LOOKS: u32 = 3;

/// Who was found without a lock, and how often in a row.
#[derive(Debug, Default)]
struct Missing(HashMap<String, u32>);

impl Missing {
    /// Those that are dead by now, given who is missing at this look.
    fn dead(&mut self, missing: Vec<String>) -> Vec<String> {
        self.0.retain(|owner, _| missing.contains(owner));
        let mut dead = Vec::new();
        for owner in missing {
            let looks = self.0.entry(owner.clone()).or_default();
            *looks += 1;
            if *looks >= LOOKS {
                dead.push(owner);
            }
        }
        dead
    }
}

/// Runs until `stop`. With SQLite there is nobody else.
pub async fn run(store: Store, owner: String, stop: CancellationToken) {
    if store.db.dialect() == Dialect::Sqlite {
        return;
    }
    let key = random_number();
    let (mut sign, mut missing) = (None::<SignOfLife>, Missing::default());
    // Whoever has just started comes after what it finds; whoever lost its connection may have
    // lost it with everybody.
    let mut first = true;
    loop {
        if let Some(held) = &mut sign
            && !held.is_there().await
        {
            sign = None;
        }
        if sign.is_none() {
            sign = match store.announce(&owner, key).await {
                Ok(new) => new,
                Err(error) => {
                    tracing::debug!(%error, "this worker's sign of life in the database is missing");
                    None
                }
            };
        }
        if let Some(sign) = &sign
            && (first || sign.is_settled())
        {
            look(&store, &owner, &mut missing).await;
        } else {
            missing = Missing::default();
        }
        first &= sign.is_some();
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    if let Some(sign) = sign {
        if let Err(error) = store.depart(&owner).await {
            tracing::debug!(%error, "this worker is still on the list of the living; others strike it off");
        }
        sign.end().await;
    }
}

async fn look(store: &Store, own: &str, missing: &mut Missing) {
    let found = match store.dead_holders().await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "nobody knows which workers live");
            return;
        }
    };
    for dead in missing.dead(found.into_iter().filter(|owner| owner != own).collect()) {
        match store.take_over(&dead).await {
            Ok(Some(freed)) => {
                tracing::warn!(worker = dead, orders = freed, "a worker has died; what it held is taken over");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "what a dead worker held could not be taken over yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_back_between_two_looks_is_not_dead() {
        let mut missing = Missing::default();
        let both = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(missing.dead(both()), Vec::<String>::new());
        assert_eq!(missing.dead(vec!["b".to_owned()]), Vec::<String>::new());
        assert_eq!(missing.dead(both()), ["b"]);
        assert_eq!(missing.dead(vec!["a".to_owned()]), Vec::<String>::new());
        assert_eq!(missing.dead(vec!["a".to_owned()]), ["a"]);
    }
}
