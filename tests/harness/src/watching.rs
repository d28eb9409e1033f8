//! What an installation says of itself, asked as monitoring and an operator ask.

use std::time::Duration;

use serde_json::Value;

use super::world::World;

/// Longer than `/ready` gives its looks.
const READY: Duration = Duration::from_secs(6);

/// The answer of `/ready`.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// 200 or 503.
    pub status: u16,
    /// The names of the checks that are not well.
    pub failing: Vec<String>,
    /// The whole answer.
    pub body: String,
}

impl World {
    /// What `/ready` of a process answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn readiness(&self, name: &str) -> Result<Readiness, String> {
        let url = format!("http://{}/ready", self.ops(name));
        let asked = async {
            let answer = self.http.get(url).send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
        };
        let (status, body) = match tokio::time::timeout(READY, asked).await {
            Ok(answer) => answer.map_err(|error| format!("/ready of {name}: {}", error.without_url()))?,
            Err(_) => return Err(format!("/ready of {name} hangs for {READY:?}")),
        };
        let document: Value = serde_json::from_str(&body).unwrap_or_default();
        let checks = document["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let failing = checks.iter().filter(|check| check["ok"] == false);
        let failing = failing.filter_map(|check| check["name"].as_str()).map(str::to_owned).collect();
        Ok(Readiness { status, failing, body })
    }

    /// What `bridge doctor` finds that is not well, by the settings and the clock of a process.
    ///
    /// # Errors
    /// When it does not come to an end in time, or says something else.
    pub async fn doctor_of(&self, name: &str, limit: Duration) -> Result<Vec<String>, String> {
        let mut more = self.of_roles.clone();
        if let Ok(url) = std::env::var("TEST_RABBITMQ_MANAGEMENT") {
            more.push(("AMQP_MANAGEMENT_URL".to_owned(), url));
        }
        let clock = self.folder.join(format!("{name}.clock")).display().to_string();
        more.push(("TEST_CLOCK_OFFSET_FILE".to_owned(), clock));
        let asked = self.run_with(&["doctor", "--json"], None, &more);
        let said = tokio::time::timeout(limit, asked).await.map_err(|_| format!("doctor hangs for {limit:?}"))?;
        let found: Vec<Value> = serde_json::from_str(&said.stdout)
            .map_err(|_| format!("doctor says no findings: {}{}", said.stdout, said.stderr))?;
        let bad = found.iter().filter(|finding| finding["level"] != "ok");
        Ok(bad.filter_map(|finding| finding["what"].as_str()).map(str::to_owned).collect())
    }

    /// What the breakers of a worker hold, as its metrics say: lines of `bridge_breaker_held`.
    pub async fn held(&self, name: &str) -> Vec<String> {
        let url = format!("http://{}/metrics", self.ops(name));
        let Ok(answer) = self.http.get(url).timeout(READY).send().await else { return Vec::new() };
        let text = answer.text().await.unwrap_or_default();
        text.lines().filter(|line| line.starts_with("bridge_breaker_held{")).map(str::to_owned).collect()
    }
}
