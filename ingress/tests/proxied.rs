//! Limits on failed requests behind a proxy: whose they are, and whom nobody can charge them to.

mod harness;

use harness::World;
use simulators::http;

/// More than an address may fail at once, and is forgiven meanwhile.
const MANY: usize = 20_000;

struct Client<'a> {
    world: &'a World,
    http: reqwest::Client,
}

impl Client<'_> {
    async fn status(&self, forwarded: &str, key: &str) -> u16 {
        let url = format!("http://{}/reintegrations/requests/trigger/retailcrm", self.world.address);
        let asked = self.http.post(url).header("X-Forwarded-For", forwarded).form(&[("id", "1"), ("key", key)]);
        asked.send().await.expect("an answer").status().as_u16()
    }

    /// A stranger who fails until held back; whether that came.
    async fn is_held_back(&self, forwarded: impl Fn(usize) -> String) -> bool {
        for n in 0..MANY {
            if self.status(&forwarded(n), "nobody").await == 429 {
                return true;
            }
        }
        false
    }
}

fn client(world: &World) -> Client<'_> {
    Client { world, http: http().build().expect("a client") }
}

#[tokio::test]
async fn two_clients_behind_one_trusted_proxy_are_told_apart() {
    for trusted in ["127.0.0.1", "10.0.0.0/8,127.0.0.0/8"] {
        let world = World::behind(trusted).await;
        let (_, key) = world.integration("one").await;
        let client = client(&world);
        assert!(client.is_held_back(|_| "192.0.2.1".to_owned()).await, "{trusted}");
        for other in ["192.0.2.2", "2001:db8::1", "192.0.2.1, 192.0.2.3"] {
            assert_eq!(client.status(other, "nobody").await, 403, "{other} has failed once");
        }
        assert_eq!(client.status("192.0.2.1", "nobody").await, 429, "the one is held back still");
        assert_eq!(client.status("192.0.2.1", &key).await, 200, "a known key never is");
    }
}

#[tokio::test]
async fn what_a_client_writes_itself_neither_hides_it_nor_burdens_another() {
    // Its own entries, before the one that the proxy adds.
    let world = World::behind("127.0.0.1").await;
    world.integration("one").await;
    let before = client(&world);
    assert!(before.is_held_back(|n| format!("198.51.100.{}, 192.0.2.1", n % 250)).await);
    assert_eq!(before.status("198.51.100.1", "nobody").await, 403, "who was named is not charged");

    // A header by an address that nobody trusts.
    for trusted in ["", "10.0.0.5"] {
        let world = World::behind(trusted).await;
        world.integration("one").await;
        let client = client(&world);
        assert!(client.is_held_back(|n| format!("198.51.{}.{}", n / 250, n % 250)).await, "«{trusted}»");
        assert_eq!(client.status("192.0.2.9", "nobody").await, 429, "all of it is the one who connects");
    }
}
