//! A virtual host of a story's own, with a user of its own: what happens to either concerns
//! nobody else on the broker.

use url::Url;

use super::services::{broker_url, rabbitmqctl};

/// A right that the user has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Right {
    Configure,
    Write,
    Read,
}

/// Removed with this value.
pub struct Vhost {
    name: String,
    user: String,
    password: String,
}

impl Vhost {
    pub(crate) async fn create() -> Self {
        let name = format!("faults-{}", uuid::Uuid::new_v4().simple());
        let vhost = Self { user: name.clone(), password: uuid::Uuid::new_v4().simple().to_string(), name };
        rabbitmqctl(&["add_user", &vhost.user, &vhost.password]).await;
        // `bridge doctor` asks the management API as the user of AMQP_URL.
        rabbitmqctl(&["set_user_tags", &vhost.user, "monitoring"]).await;
        vhost.make().await;
        vhost
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn url_for(&self, user: Option<(&str, &str)>) -> String {
        let mut url = Url::parse(&broker_url()).expect("a URL");
        if let Some((user, password)) = user {
            let _ = url.set_username(user);
            let _ = url.set_password(Some(password));
        }
        url.set_path(&self.name);
        url.to_string()
    }

    /// For the product.
    pub(crate) fn url(&self) -> String {
        self.url_for(Some((&self.user, &self.password)))
    }

    /// For the harness, who keeps its rights.
    pub(crate) fn own_url(&self) -> String {
        self.url_for(None)
    }

    /// Makes it anew, without queues.
    pub async fn make(&self) {
        rabbitmqctl(&["add_vhost", &self.name]).await;
        rabbitmqctl(&["set_permissions", "-p", &self.name, "guest", ".*", ".*", ".*"]).await;
        self.allow().await;
    }

    /// Deletes it with all it holds; whoever is connected to it is thrown out.
    pub async fn delete(&self) {
        rabbitmqctl(&["delete_vhost", &self.name]).await;
    }

    /// The product's user has all rights.
    pub async fn allow(&self) {
        rabbitmqctl(&["set_permissions", "-p", &self.name, &self.user, ".*", ".*", ".*"]).await;
    }

    /// It loses one, or with `None` all of them. Whoever is connected is thrown out: the broker
    /// remembers what it has allowed on a channel for up to a minute.
    pub async fn forbid(&self, right: Option<Right>) {
        match right {
            None => rabbitmqctl(&["clear_permissions", "-p", &self.name, &self.user]).await,
            Some(right) => {
                let [configure, write, read] =
                    [Right::Configure, Right::Write, Right::Read].map(|one| if one == right { "^$" } else { ".*" });
                rabbitmqctl(&["set_permissions", "-p", &self.name, &self.user, configure, write, read]).await
            }
        };
        self.throw_out().await;
    }

    /// Ends every connection to it.
    pub async fn throw_out(&self) {
        rabbitmqctl(&["close_all_connections", "--vhost", &self.name, "the rights have changed"]).await;
    }

    /// A policy on the queues whose names fit the pattern, or none any more.
    pub async fn policy(&self, pattern: &str, definition: Option<&str>) {
        match definition {
            Some(definition) => {
                let all = ["set_policy", "-p", &self.name, "--apply-to", "queues", "spoilt", pattern, definition];
                rabbitmqctl(&all).await
            }
            None => rabbitmqctl(&["clear_policy", "-p", &self.name, "spoilt"]).await,
        };
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let Ok(program) = std::env::var("TEST_RABBITMQCTL") else { return };
        for arguments in [["delete_vhost", &self.name], ["delete_user", &self.user]] {
            let _ = std::process::Command::new(&program)
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}
