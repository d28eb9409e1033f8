//! Sliding windows of requests.

use std::time::Duration;

use jiff::Timestamp;
use shared::args;
use shared::store::Dialect;
use shared::store::budgets::{SHARED_BY, SLICES, Taken, Window};

use crate::bench::Bench;

pub(crate) fn window(scope: &str, limit: u32, seconds: u64) -> Window {
    Window::new(scope.to_owned(), limit, Duration::from_secs(seconds) / SLICES)
}

/// Requests that count in a window now.
pub(crate) async fn used(bench: &Bench, window: &Window) -> i64 {
    let length = i64::try_from(window.slice.as_millis()).expect("short");
    let now = bench.now().as_millisecond().div_euclid(length);
    let sql = "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) AS used FROM budget_slices WHERE scope = $1 AND slice \
               BETWEEN $2 AND $3";
    let row = bench.store.db.fetch_one(sql, args![&window.scope, now - i64::from(SLICES) - 1, now]).await;
    row.expect("read").expect("a row").int("used").expect("a number")
}

async fn take_of(bench: &Bench, windows: &[Window], block: u32, leave_some: bool) -> Result<u32, Timestamp> {
    bench.store.take_budget(windows, block, leave_some).await.expect("asked").map(|taken| taken.count)
}

/// Requests taken in the `length` before each take, at most.
fn most_in_any_window(taken: &[(Timestamp, u32)], length: Duration) -> u32 {
    let inside = |until: Timestamp| {
        let from = until.as_millisecond() - i64::try_from(length.as_millis()).expect("short");
        taken.iter().filter(|(at, _)| at.as_millisecond() > from && *at <= until).map(|(_, n)| n).sum()
    };
    taken.iter().map(|(at, _)| inside(*at)).max().unwrap_or(0)
}

/// Two takers that want all they can get, for an hour of the clock.
async fn a_budget_is_never_exceeded_in_any_window(bench: &Bench) {
    let windows = [window("minute", 30, 60), window("quarter", 200, 900)];
    let neighbour = bench.neighbour().await;
    let mut taken: Vec<(Timestamp, u32)> = Vec::new();
    let end = bench.after(3600);
    // Steps that divide nothing evenly; the same in every run.
    let mut noise = 7_u64;
    while bench.now() < end {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let block = 1 + u32::try_from((noise >> 33) % 9).expect("small");
        let (a, b) = tokio::join!(
            bench.store.take_budget(&windows, block, false),
            neighbour.take_budget(&windows, block, false)
        );
        for answer in [a, b] {
            match answer.expect("asked") {
                Ok(Taken { count: n, at }) => {
                    assert!(n >= 1 && n <= block);
                    taken.push((at, n));
                }
                Err(free_at) => assert!(free_at > bench.now(), "a refusal names a later moment"),
            }
        }
        bench.clock().advance(Duration::from_millis(2_000 + (noise >> 40) % 26_000));
    }
    assert!(most_in_any_window(&taken, Duration::from_secs(60)) <= 30);
    assert!(most_in_any_window(&taken, Duration::from_secs(900)) <= 200);
    // The price of counting by slices is a sixth: twelve of them are looked at.
    let total: u32 = taken.iter().map(|(_, n)| n).sum();
    assert!(total >= 200 * 4 * 8 / 10, "the budget is used too: {total} of 800");
    if bench.store.db.dialect() == Dialect::Sqlite {
        neighbour.db.close().await;
    }
}

async fn a_used_up_budget_says_when_it_is_free_again(bench: &Bench) {
    let minute = [window("minute", 10, 60)];
    let take = async |block: u32, leave_some: bool| take_of(bench, &minute, block, leave_some).await;
    assert_eq!(take(4, false).await, Ok(4));
    bench.pass(12);
    assert_eq!(take(100, false).await, Ok(6), "as many as there are");
    assert_eq!(used(bench, &minute[0]).await, 10);
    let free_at = take(1, false).await.expect_err("used up");
    assert!(free_at > bench.after(30) && free_at <= bench.after(60), "{free_at}");
    let pause = free_at.as_millisecond() - bench.now().as_millisecond();
    bench.clock().advance(Duration::from_millis(u64::try_from(pause).expect("later") - 1));
    assert!(take(1, false).await.is_err(), "not a moment earlier");
    bench.clock().advance(Duration::from_millis(1));
    assert_eq!(take(100, false).await, Ok(4), "what the first slice held");
}

async fn work_that_can_wait_leaves_some_of_the_budget(bench: &Bench) {
    let minute = [window("minute", 10, 60), window("other", 1000, 60)];
    assert_eq!(take_of(bench, &minute, 100, true).await, Ok(8));
    assert!(take_of(bench, &minute, 1, true).await.is_err());
    assert_eq!(take_of(bench, &minute, 100, false).await, Ok(2));
    assert_eq!(used(bench, &minute[1]).await, 10, "all windows count alike");
    let elsewhere = [window("account", 5, 60)];
    assert_eq!(take_of(bench, &elsewhere, 9, false).await, Ok(5), "scopes are apart");
}

async fn who_floods_a_shared_window_leaves_the_others_their_share(bench: &Bench) {
    let of =
        |who: &str| [Window { share: Some(format!("share_minute:s{SHARED_BY}{who}")), ..window("minute:s", 100, 60) }];
    // Alone it may have everything.
    assert_eq!(take_of(bench, &of("flood"), 30, false).await, Ok(30));
    assert_eq!(take_of(bench, &of("small"), 1, false).await, Ok(1));
    assert_eq!(take_of(bench, &of("flood"), 500, false).await, Ok(49), "all but the last fifth");
    assert!(take_of(bench, &of("flood"), 1, false).await.is_err(), "it has had more than its share");
    assert_eq!(take_of(bench, &of("small"), 3, false).await, Ok(3), "which is kept for who had less");
    assert_eq!(take_of(bench, &of("third"), 3, false).await, Ok(3), "and for who comes anew");
    assert_eq!(take_of(bench, &of("third"), 500, false).await, Ok(14), "as much as there is");
    assert!(take_of(bench, &of("small"), 1, false).await.is_err(), "the limit is the limit");
    assert_eq!(used(bench, &window("minute:s", 100, 60)).await, 100);
    bench.pass(120);
    assert_eq!(take_of(bench, &of("flood"), 500, false).await, Ok(100), "alone again");
}

async fn the_fullest_window_of_many_accounts_is_told(bench: &Bench) {
    let of = |account: &str| window(&format!("account_hour:{account}"), 100, 3600);
    let any = window("account_hour", 100, 3600);
    let none = window("minute", 100, 60);
    let most = async || bench.store.budget_used_most(&[&none, &any]).await.expect("asked");
    assert_eq!(most().await, [0, 0], "nobody has used anything");
    for (account, n) in [("8:a", 3), ("12:b", 7), ("12:b", 4), ("9:c", 5)] {
        assert_eq!(take_of(bench, &[of(account)], n, false).await, Ok(n));
        bench.pass(400);
    }
    bench.store.take_budget(&[window("account_hourly", 100, 3600)], 99, false).await.expect("asked").expect("free");
    assert_eq!(most().await, [0, 11]);
    bench.pass(3200);
    assert_eq!(most().await, [0, 5], "the rest has left its window");
}

async fn a_refused_take_uses_nothing(bench: &Bench) {
    let tight = window("tight", 1, 60);
    let wide = window("wide", 100, 60);
    let both = [tight.clone(), wide.clone()];
    assert_eq!(take_of(bench, &both, 5, false).await, Ok(1));
    for _ in 0..5 {
        assert!(take_of(bench, &both, 5, false).await.is_err());
    }
    assert_eq!(used(bench, &wide).await, 1);
    let told = async |window: &Window| bench.store.budget_used(window).await.expect("read");
    let other = window("other", 1, 60);
    assert_eq!((told(&tight).await, told(&wide).await, told(&other).await), (1, 1, 0));
    bench.pass(120);
    assert_eq!(told(&wide).await, 0, "what is over counts no more");
}

contract![
    a_budget_is_never_exceeded_in_any_window,
    a_used_up_budget_says_when_it_is_free_again,
    work_that_can_wait_leaves_some_of_the_budget,
    who_floods_a_shared_window_leaves_the_others_their_share,
    the_fullest_window_of_many_accounts_is_told,
    a_refused_take_uses_nothing,
];
