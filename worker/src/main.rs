use std::process::ExitCode;

use shared::bootstrap;
use shared::config::Role;
use shared::queue::open;

/// See the same line in `ingress`.
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
