//! The contract of the store, kept by SQLite and by PostgreSQL alike: the same cases run
//! against both. The clock stands still unless a case moves it.

/// Each of these cases against either database.
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::bench::run(crate::bench::Bench::sqlite().await, super::$case).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if crate::bench::server_url().is_none() && crate::bench::variable("BRIDGE_TEST_UNIT_ONLY").is_some() {
                        return;
                    }
                    crate::bench::run(crate::bench::Bench::postgres().await, super::$case).await;
                }
            )*
        }
    };
}

mod asked;
mod audit;
mod bench;
mod budgets;
mod by_hand;
mod causes;
mod clock_ahead;
mod console;
mod copy;
mod corrections;
mod dead_letters;
mod deliveries;
mod hand_over;
mod integrations;
mod intents;
mod jobs;
mod journal;
mod leases;
mod line_returns;
mod migrations;
mod payment_moves;
mod pulse;
mod replays;
mod rotation;
#[path = "../sample/mod.rs"]
mod sample;
mod shadow_orders;
mod snapshot;
mod status_stream;
mod together;
mod waits;
