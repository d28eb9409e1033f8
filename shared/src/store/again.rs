//! A transaction that gave way to another (PostgreSQL's 40P01 and 40001) is done again at once:
//! nothing of it happened, and the other is through.

use crate::store::error::Result;

/// How often in all. Two that meet again and again would go on so for ever.
const TRIES: u32 = 4;

/// Runs a whole transaction, and again while it has to give way.
pub async fn at_once<T, F>(mut transaction: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..TRIES {
        match transaction().await {
            Err(error) if error.is_contention() => tracing::debug!(%error, "done again"),
            done => return done,
        }
    }
    transaction().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[tokio::test]
    async fn what_gave_way_is_done_again_and_what_was_refused_is_not() {
        let (mut runs, mut refused, mut always) = (0, 0, 0);
        let gave_way = || StoreError::Contended(sqlx::Error::BeginFailed);
        let done = at_once(|| {
            runs += 1;
            std::future::ready(if runs < 3 { Err(gave_way()) } else { Ok(runs) })
        });
        assert_eq!(done.await.expect("the third time"), 3);
        let done = at_once(|| {
            refused += 1;
            std::future::ready(Err::<(), _>(StoreError::Config("no".to_owned())))
        });
        assert!(done.await.is_err());
        let done = at_once(|| {
            always += 1;
            std::future::ready(Err::<(), _>(gave_way()))
        });
        assert!(done.await.is_err_and(|error| error.is_contention()));
        assert_eq!((refused, always), (1, TRIES));
    }
}
