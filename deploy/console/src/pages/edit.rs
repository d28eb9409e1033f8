//! An integration's settings, changed by an owner.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::manage::edit::{self, Edit, Edited, NotEdited};
use shared::domain::{Integration, Secret};
use shared::pasted;
use shared::store::StoreError;

use crate::html;
use crate::pages::frame::Frame;
use crate::pages::integrations::{Setting, settings};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

#[derive(Template)]
#[template(path = "edit.html")]
struct View {
    f: Frame,
    id: i64,
    title: String,
    fields: Vec<Field>,
    /// Names the values that the form was first filled with.
    seen: String,
    set: String,
    settings: Vec<Setting>,
    /// Why nothing was stored: words, and details in English.
    refused: Option<(String, String)>,
}

struct Field {
    code: &'static str,
    name: &'static str,
    value: String,
    hint: &'static str,
}

/// The fields that may be changed, as they are.
fn fields(of: &Integration, visit: &Visit<'_>) -> Vec<Field> {
    let t = visit.t();
    [
        ("title", t.title, &of.title, ""),
        ("crm-url", t.address_crm, &of.crm_url, ""),
        ("measoft-url", t.address_measoft, &of.measoft_url, ""),
        ("extra", t.courier_code, &of.extra, ""),
        ("login", t.login, &of.login, ""),
        ("prefix", t.prefix, &of.prefix, t.prefix_hint),
    ]
    .map(|(code, name, value, hint)| Field { code, name, value: value.clone(), hint })
    .into()
}

pub async fn form(visit: &Visit<'_>) -> Result<Response, Stop> {
    let found = visit.live_integration().await?;
    let (fields, seen) = (fields(&found, visit), edit::mark(&found));
    Ok(shown(visit, found, (fields, seen, String::new()), None))
}

fn shown(
    visit: &Visit<'_>,
    of: Integration,
    (fields, seen, set): (Vec<Field>, String, String),
    refused: Option<(String, String)>,
) -> Response {
    let status = if refused.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let settings = settings(&of.settings);
    let f = Frame::of(visit, "integrations");
    let view = View { f, id: of.id.0, title: of.title, fields, seen, set, settings, refused };
    html::page(status, &view)
}

/// Settings one a line, as the command's `--set` takes them.
fn lines(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').ok_or_else(|| line.to_owned())?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    lines.map(pair).collect()
}

pub async fn edit(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (found, form, t) = (visit.live_integration().await?, &visit.form, visit.t());
    let seen = form.text("seen").ok_or(Stop::BadForm)?.to_owned();
    let mut fields = fields(&found, visit);
    // What a form does not name stays; a prefix alone may be empty.
    let mut change = |code: &str| {
        let field = fields.iter_mut().find(|field| field.code == code)?;
        let given = if code == "prefix" { form.raw(code).map(str::trim) } else { form.text(code) };
        let given = given?.to_owned();
        let was = std::mem::replace(&mut field.value, given.clone());
        (given != was).then_some(given)
    };
    let [title, crm_url, measoft_url, extra, login, prefix] =
        ["title", "crm-url", "measoft-url", "extra", "login", "prefix"].map(&mut change);
    let text = form.text("set").unwrap_or_default().to_owned();
    let set = match lines(&text) {
        Ok(set) => set,
        Err(line) => return Ok(shown(visit, found, (fields, seen, text), Some((t.not_a_setting.to_owned(), line)))),
    };
    let crm_key = form.text("crm-key").map(|text| Secret::new(pasted::compact(text)));
    // Spaces may belong to a password.
    let password = form.raw("password").filter(|text| !text.is_empty()).map(Secret::new);
    let given = Edit { title, crm_url, extra, login, measoft_url, prefix, crm_key, password, set };
    let (config, store) = (&visit.console.0.config, visit.store());
    let refused = match edit::edit(config, store, &found, &given, Some(&seen), &visit.who()).await {
        Ok(Edited { warning: Some(_), .. }) => return Ok(to_page(&found, Notice::EditedUnverified)),
        Ok(_) => return Ok(to_page(&found, Notice::Edited)),
        Err(NotEdited::Store(StoreError::Config(why))) => (t.not_saved.to_owned(), why),
        Err(NotEdited::Store(StoreError::ChangedMeanwhile)) => (t.changed_meanwhile.to_owned(), String::new()),
        Err(NotEdited::Store(error)) => return Err(error.into()),
        Err(NotEdited::Refused { field, why }) => {
            let name = fields.iter().find(|known| known.code == field).map_or(field, |known| known.name);
            (format!("{}: {name}", t.not_saved), why)
        }
        Err(other) => (t.not_saved.to_owned(), other.to_string()),
    };
    Ok(shown(visit, found, (fields, seen, text), Some(refused)))
}

/// To the page of the integration, with what came of it.
fn to_page(of: &Integration, notice: Notice) -> Response {
    html::see(&format!("/integrations/{}?done={}", of.id, notice.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_one_a_line_and_a_line_that_is_none_is_named() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let read = lines("vat_none = 20\n\n  payment_type_map.CARD=bank-card \r\nsender.phone=\n");
        let all = [pair("vat_none", "20"), pair("payment_type_map.CARD", "bank-card"), pair("sender.phone", "")];
        assert_eq!(read, Ok(all.to_vec()));
        assert_eq!(lines("vat_none: 20"), Err("vat_none: 20".to_owned()));
    }
}
