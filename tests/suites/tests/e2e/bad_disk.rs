//! One process on a disk that is bad for a while: everything accepted is placed once the disk is
//! well again, without a restart.

use harness::{Collect, Disk, LONG, World, eventually};
use simulators::retailcrm::TriggerKind;

use crate::load::each_once;

/// While a disk is bad a trigger is refused, or accepted and placed later.
async fn goes_on_after(name: &str, disk: Disk) {
    let world = World::embedded(name).own_disk().start().await;
    let orders: Vec<_> = (0..12).map(|n| world.place(n % 2, n, Collect::Cash)).collect();
    let bad = world.bad_disk(disk);
    let says = |ready: bool| {
        let world = &world;
        async move {
            let answer = world.readiness("bridge").await?;
            if (answer.status == 200) == ready { Ok(()) } else { Err(answer.body) }
        }
    };
    // Larger than the room there is.
    eventually("nothing can be written", LONG, || async {
        for order in &orders[..6] {
            let _ = world.fire(TriggerKind::Send, order.shop, &order.number).await;
        }
        says(false).await
    })
    .await;
    drop(bad);
    eventually("it is ready again", LONG, || says(true)).await;
    for order in &orders {
        world.fires(TriggerKind::Send, order).await;
    }
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_was_read_only_is_written_to_again() {
    goes_on_after("disk-read-only", Disk::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_whose_writes_failed_is_written_to_again() {
    goes_on_after("disk-failing", Disk::Failing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_is_written_to_again() {
    goes_on_after("disk-full", Disk::Full).await;
}
