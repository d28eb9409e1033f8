//! One call's request: its path, query and form (protocols/retailcrm.md#keys).

use reqwest::header::CONTENT_TYPE;

use crate::retailcrm::{CrmUrl, Op, mask};

/// Longest answer about one thing.
pub(super) const ONE_CAP: usize = 1024 * 1024;
/// Longest page of a list.
const LIST_CAP: usize = 16 * 1024 * 1024;

/// A request before it is addressed.
pub(super) struct Call<'a> {
    pub(super) op: Op,
    /// What it is about, for the journal.
    pub(super) order: Option<String>,
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(String, String)>,
    /// `Some` makes it a POST.
    pub(super) form: Option<Vec<(&'static str, String)>>,
    pub(super) cap: usize,
}

impl<'a> Call<'a> {
    /// `path` follows `/api/v5/`.
    pub(super) fn get(op: Op, path: &[&'a str]) -> Self {
        let path = ["api", "v5"].iter().chain(path).copied().collect();
        Self { op, order: None, path, query: Vec::new(), form: None, cap: ONE_CAP }
    }

    pub(super) fn post(op: Op, path: &[&'a str]) -> Self {
        Self { form: Some(Vec::new()), ..Self::get(op, path) }
    }

    /// A method outside of the versions.
    pub(super) fn unversioned(op: Op, name: &'a str) -> Self {
        Self { path: vec!["api", name], ..Self::get(op, &[]) }
    }

    pub(super) fn about(mut self, order: String) -> Self {
        self.order = Some(order);
        self
    }

    pub(super) fn list(mut self) -> Self {
        self.cap = LIST_CAP;
        self
    }

    pub(super) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.form.get_or_insert_default().push((name, value.into()));
        self
    }

    /// The shop's code, when it is known (protocols/retailcrm.md#site).
    pub(super) fn site(self, site: &str) -> Self {
        if site.is_empty() { self } else { self.field("site", site) }
    }

    /// The request, and how the journal shows it.
    pub(super) fn addressed(&self, client: &reqwest::Client, account: &CrmUrl) -> (reqwest::RequestBuilder, String) {
        let mut url = account.method(&self.path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut shown = format!("{} {}", if self.form.is_some() { "POST" } else { "GET" }, url.path());
        if let Some(query) = url.query() {
            shown.push('?');
            shown.push_str(&mask::form(query));
        }
        let Some(form) = &self.form else { return (client.get(url), shown) };
        let body = ::url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        shown.push('\n');
        shown.push_str(&mask::form(&body));
        let request = client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        (request, shown)
    }
}
