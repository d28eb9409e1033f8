//! The operator's console, as the browser of somebody who was let in uses it.

use std::time::Duration;

use super::eventually::{LONG, eventually};
use super::world::World;

/// Somebody's session.
pub struct Console<'a> {
    world: &'a World,
    http: reqwest::Client,
    origin: String,
    cookie: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Where it leads on to.
    pub location: String,
    /// The page.
    pub body: String,
}

impl World {
    /// Lets somebody in by a one-time address of the operator's command.
    ///
    /// # Panics
    /// When they are not let in.
    pub async fn console(&self, role: &str, name: &str) -> Console<'_> {
        let opened =
            self.run_with(&["console", "open", "--role", role, "--as", name, "--json"], None, &[]).await.json();
        let url = opened["url"].as_str().expect("an address");
        let (origin, link) = url.split_once("/enter/").expect("a one-time address");
        let http = simulators::http().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(30));
        let http = http.build().expect("a client");
        let mut console = Console { world: self, http, origin: origin.to_owned(), cookie: String::new() };
        let entered = console.form("/enter", &[("link", link)]).send().await.expect("an answer");
        let cookie = entered.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        cookie.split(';').next().unwrap_or_default().clone_into(&mut console.cookie);
        assert!(entered.status().as_u16() == 303 && !console.cookie.is_empty(), "{role} {name} is not let in");
        console
    }
}

impl Console<'_> {
    /// As a browser sends a form of this site.
    fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.origin)).header("origin", &self.origin);
        request.header("cookie", &self.cookie).form(fields)
    }

    async fn sent(&self, path: &str, request: reqwest::RequestBuilder) -> Page {
        let answer = request.header("accept-language", "ru").send().await.expect("the console answers");
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let location = location.to_owned();
        let body = answer.text().await.expect("a page is text");
        self.world.hears(format!("the console's {path}"), &body);
        Page { status, location, body }
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Page {
        self.sent(path, self.http.get(format!("{}{path}", self.origin)).header("cookie", &self.cookie)).await
    }

    /// Opens a page that must be there, and answers its text.
    ///
    /// # Panics
    /// When it is not.
    pub async fn page(&self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        page.body
    }

    /// Sends a form that a page shows, and answers where that leads.
    ///
    /// # Panics
    /// When it is not taken.
    pub async fn act(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.page("/").await;
        let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let token = ("token", token.expect("a form on the page"));
        let fields: Vec<(&str, &str)> = std::iter::once(token).chain(fields.iter().copied()).collect();
        let done = self.sent(path, self.form(path, &fields)).await;
        assert_eq!(done.status, 303, "{path}: {}", done.body);
        done.location
    }

    /// A page that tells how an errand is, once it is over.
    pub async fn ended(&self, path: &str) -> String {
        eventually(&format!("{path} tells what came of it"), LONG, || async {
            let page = self.page(path).await;
            if page.contains("Выполняется.") { Err(page) } else { Ok(page) }
        })
        .await
    }
}
