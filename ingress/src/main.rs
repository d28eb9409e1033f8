use std::process::ExitCode;

use shared::bootstrap;
use shared::config::Role;
use shared::queue::open;

/// A tenth of what a trigger costs here went into glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bootstrap::run(Role::Ingress, |ctx| async move {
        let queue = open::start(&ctx).await?;
        let done = bridge_ingress::run(ctx, queue.clone()).await;
        queue.close().await;
        done
    })
}
