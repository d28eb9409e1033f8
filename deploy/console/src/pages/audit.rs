//! «Действия»: who did what, and whether that record is whole.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::store::audit::{Act, AuditFilter, Audited};

use crate::pages::frame::{Choice, Frame, choices};
use crate::seen::acts;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

/// Rows of a page, and of a file.
const PAGE: u32 = 100;
const FILE: u32 = 10_000;

#[derive(Template)]
#[template(path = "audit.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    /// Word, words, chosen.
    acts: Vec<(&'static str, &'static str, bool)>,
    rows: Vec<Row>,
    chain: Option<Chain>,
    verify_at: String,
    csv_at: String,
    older_at: Option<String>,
    newest_at: Option<String>,
}

/// What a look at the whole chain came to.
struct Chain {
    entries: i64,
    flaws: Vec<String>,
}

struct Row {
    seq: i64,
    at: String,
    who: String,
    act: String,
    object: String,
    /// Name, before, after.
    changes: Vec<acts::Change>,
}

impl Row {
    fn of(one: &Audited, visit: &Visit<'_>) -> Self {
        Self {
            seq: one.seq,
            at: visit.at(one.at),
            who: acts::who(one, visit.language),
            act: acts::act_words(one, visit.language),
            object: acts::object_words(&one.object, visit.language),
            changes: acts::changes(one),
        }
    }
}

async fn asked(visit: &Visit<'_>, limit: u32) -> Result<Vec<Audited>, Stop> {
    let filter = AuditFilter {
        integration: visit.only().await?,
        act: visit.word("act", Act::parse)?,
        since: None,
        before: visit.query.number("before"),
        limit,
    };
    Ok(visit.store().audit(&filter).await?)
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let mut found = asked(visit, PAGE + 1).await?;
    let more = found.len() > PAGE as usize;
    found.truncate(PAGE as usize);
    let chain = match visit.query.text("verify") {
        None => None,
        Some(_) => {
            let verified = visit.store().verify_audit(None).await?;
            let flaws = verified.flaws.iter().map(|flaw| acts::flaw_words(*flaw, visit.language));
            Some(Chain { entries: verified.entries, flaws: flaws.collect() })
        }
    };
    let at = |set: &[(&str, &str)]| format!("/audit{}", visit.query.with(set).query());
    let last = found.last().map(|one| one.seq.to_string()).filter(|_| more);
    let chosen = visit.query.text("act").and_then(Act::parse);
    let view = View {
        f: Frame::of(visit, "audit"),
        choices: choices(visit).await?,
        acts: Act::ALL.map(|act| (act.as_str(), acts::act_name(act, visit.language), chosen == Some(act))).to_vec(),
        rows: found.iter().map(|one| Row::of(one, visit)).collect(),
        chain,
        verify_at: at(&[("verify", "1"), ("before", "")]),
        csv_at: format!("/audit.csv{}", visit.query.with(&[("before", ""), ("verify", "")]).query()),
        older_at: last.map(|seq| at(&[("before", &seq), ("verify", "")])),
        newest_at: visit.query.text("before").map(|_| at(&[("before", ""), ("verify", "")])),
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, found) = (visit.t(), asked(visit, FILE).await?);
    let line = |one: &Audited| {
        let row = Row::of(one, visit);
        let changes: Vec<String> = row.changes.iter().map(ToString::to_string).collect();
        vec![row.seq.to_string(), row.at, row.who, row.act, row.object, changes.join("; ")]
    };
    let heading = ["№", t.when, t.who, t.act, t.object, t.changed];
    Ok(csv::file("audit", &heading, &found.iter().map(line).collect::<Vec<_>>()))
}
