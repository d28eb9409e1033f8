//! What stands around every page.

use jiff::Timestamp;
use shared::domain::IntegrationId;
use shared::store::console::Role;

use crate::seen::moments;
use crate::texts::{Notice, Texts};
use crate::visit::{Stop, Visit};

pub struct Frame {
    pub t: &'static Texts,
    /// The section of the navigation that it belongs to.
    pub section: &'static str,
    pub person: String,
    pub role: &'static str,
    pub may_act: bool,
    pub is_owner: bool,
    /// Signed in here, not by a proxy.
    pub may_leave: bool,
    pub token: String,
    /// Where forms lead back to.
    pub here: String,
    pub other_language: String,
    pub notice: Option<(&'static str, bool)>,
    pub zone: String,
    pub at: String,
}

/// What a role is called.
pub fn role_words(role: Role, t: &Texts) -> &'static str {
    match role {
        Role::Viewer => t.role_viewer,
        Role::Operator => t.role_operator,
        Role::Owner => t.role_owner,
    }
}

impl Frame {
    pub fn of(visit: &Visit<'_>, section: &'static str) -> Self {
        Self::at(visit, section, &visit.path)
    }

    /// Around the answer to a form, whose own address shows nothing: links and forms lead to `path`.
    pub fn at(visit: &Visit<'_>, section: &'static str, path: &str) -> Self {
        let (t, person) = (visit.t(), &visit.visitor.person);
        let here = |set: &[(&str, &str)]| format!("{path}{}", visit.query.with(set).query());
        Self {
            t,
            section,
            person: person.name.clone(),
            role: role_words(person.role, t),
            may_act: person.role >= Role::Operator,
            is_owner: person.role >= Role::Owner,
            may_leave: visit.visitor.session.is_some(),
            token: visit.visitor.token(&visit.store().key),
            here: here(&[("lang", ""), ("done", "")]),
            other_language: here(&[("lang", t.other_code), ("done", "")]),
            notice: visit.query.text("done").and_then(|word| Notice::words(word, visit.language)),
            zone: moments::name(visit.zone()),
            at: visit.at(visit.now()),
        }
    }
}

/// An integration to choose from.
pub struct Choice {
    /// What the address says of it.
    pub value: String,
    pub words: String,
    pub is_chosen: bool,
}

impl Choice {
    pub fn of(value: String, words: String, visit: &Visit<'_>) -> Self {
        Self { is_chosen: visit.query.text("integration") == Some(&value), value, words }
    }
}

/// All integrations that are there.
pub async fn choices(visit: &Visit<'_>) -> Result<Vec<Choice>, Stop> {
    let of = |found: shared::domain::Integration| {
        let words = format!("{} · {}", found.id, found.title);
        Choice::of(found.id.to_string(), words, visit)
    };
    Ok(visit.store().integrations().await?.into_iter().map(of).collect())
}

/// What integrations of a page are called.
pub async fn titles(visit: &Visit<'_>, ids: Vec<IntegrationId>) -> Result<crate::seen::causes::Titles, Stop> {
    let mut titles = crate::seen::causes::Titles::new();
    for id in ids {
        if !titles.contains_key(&id)
            && let Some(found) = visit.store().integration(id).await?
        {
            titles.insert(id, found.title);
        }
    }
    Ok(titles)
}

/// How long ago, in words; a dash for never.
pub fn ago(at: Option<Timestamp>, visit: &Visit<'_>) -> String {
    at.map_or_else(
        || "—".to_owned(),
        |at| format!("{} {}", moments::age(at, visit.now(), visit.language), visit.t().ago),
    )
}
