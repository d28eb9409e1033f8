use std::process::ExitCode;

use shared::bootstrap;
use shared::config::Role;
use shared::queue::open;

fn main() -> ExitCode {
    bootstrap::run(Role::Ingress, |ctx| async move {
        let queue = open::start(&ctx).await?;
        let done = bridge_ingress::run(ctx, queue.clone()).await;
        queue.close().await;
        done
    })
}
