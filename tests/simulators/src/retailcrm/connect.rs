//! One click in the marketplace: RetailCRM asks the module for its rights, makes a key with them and
//! hands it over (protocols/retailcrm.md#connection).

use anyhow::Context as _;
use serde_json::json;

use super::triggers::Answer;
use super::{AccountId, RetailcrmSim};

impl RetailcrmSim {
    /// Presses «Подключить»: answers what the module says to the key, which is `key` and has the
    /// rights that the module asked for. `sign` makes the token of a key.
    ///
    /// # Errors
    /// When the module's configuration is not to be had, or no answer comes.
    pub async fn connect(
        &self,
        account: AccountId,
        config_url: &str,
        key: &str,
        sign: impl Fn(&str) -> String,
    ) -> anyhow::Result<Answer> {
        let config = self.fetch(config_url).await?;
        anyhow::ensure!(config.status == 200, "the configuration is answered {}", config.status);
        let config = config.json();
        let scopes = config["scopes"].as_array().context("no scopes")?;
        let scopes: Vec<&str> = scopes.iter().filter_map(|scope| scope.as_str()).collect();
        let to = config["registerUrl"].as_str().context("no registerUrl")?;
        self.add_key(account, key, None, &scopes);
        let register = json!({"token": sign(key), "apiKey": key, "systemUrl": self.url()}).to_string();
        self.post(to, &[("register", &register)]).await
    }
}
