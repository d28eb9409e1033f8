//! RabbitMQ of which somebody takes something away: queues, rights, the virtual host, messages.

use std::time::Duration;

use harness::World;

use super::inject::of_program;
use super::schedule::{Policy, Program};
use super::traffic::Traffic;

/// Looks for a moment in which nothing is on its way.
const LOOKS: usize = 100;

/// Only an empty queue is deleted: messages that go with it would be destroyed, not lost.
pub async fn delete_queue(world: &World, traffic: &Traffic, queue: &str) {
    let _shut = traffic.gate.write().await;
    for _ in 0..LOOKS {
        // Spilled triggers are on their way back into the queue.
        let spilled = world.ledger.waiting().await.map_or(1, |(_, jobs)| jobs);
        if spilled == 0 && world.delete_empty_queue(queue).await.unwrap_or(false) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Deletes the virtual host; with `at_rest` while no accepted trigger is in it, as above.
pub async fn delete_vhost(world: &World, traffic: &Traffic, at_rest: bool) {
    if !at_rest {
        return world.vhost().delete().await;
    }
    let _shut = traffic.gate.write().await;
    for _ in 0..LOOKS {
        let spilled = world.ledger.waiting().await.map_or(1, |(_, jobs)| jobs);
        if spilled == 0 && world.is_at_rest().await.unwrap_or(false) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.vhost().delete().await;
}

/// What the policy says. Long enough for who is there, far too short for who is away.
fn definition(policy: Policy) -> String {
    let value = match policy {
        Policy::MessageTtl => 300,
        Policy::MaxLength => 5,
        Policy::MaxLengthBytes => 4_000,
        // Ingress looks after its queues every five seconds.
        Policy::Expires => 20_000,
    };
    format!("{{\"{}\":{value}}}", policy.argument())
}

/// Sets the policy on the lane of orders and ends all workers.
pub async fn begin_policy(world: &World, policy: Policy) {
    let pattern = format!("^{}\\.interactive", world.queue_prefix());
    for worker in of_program(world, Program::Worker) {
        world.kill(&worker);
    }
    world.vhost().policy(&pattern, Some(&definition(policy))).await;
}

/// Starts the workers and takes the policy away.
pub async fn end_policy(world: &World) {
    for worker in of_program(world, Program::Worker) {
        world.launch(&worker);
    }
    world.vhost().policy("", None).await;
}
