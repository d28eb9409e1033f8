use std::process::ExitCode;

use shared::bootstrap;
use shared::config::Role;
use shared::queue::open;

/// Why: ARCHITECTURE.md, «A release is optimised as a whole».
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bootstrap::run(Role::Worker, |ctx| async move {
        let queue = open::start(&ctx).await?;
        let done = bridge_worker::run(ctx, queue.clone()).await;
        queue.close().await;
        done
    })
}
