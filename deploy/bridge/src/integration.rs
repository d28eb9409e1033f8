//! `bridge integration …` and `bridge sync`.

use std::io::Write as _;
use std::process::ExitCode;

use bridge_worker::callbacks::registration::WidgetState;
use bridge_worker::manage::edit::{Edit, Edited, NotEdited, good_crm_url, good_measoft_url, good_mode, good_prefix};
use bridge_worker::manage::{check, codes, edit, key, register};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::integration::{Mode, Settings};
use shared::domain::{Integration, IntegrationId, IntegrationState, PausedBy, Secret, symbolic_code};
use shared::measoft::push;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::integrations::NewIntegration;

use crate::args::integration::{Add, SettingArgs};
use crate::args::{self, IntegrationCommand, SyncArgs};
use crate::filters::{live_integration, one_of};
use crate::output::{Failure, Output, bold, green, red};
use crate::secrets;
use crate::stdout::say;

pub async fn run(
    command: IntegrationCommand,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        IntegrationCommand::Add(args) => add(*args, who, config, store, out).await,
        IntegrationCommand::List => list(config, store, out).await,
        IntegrationCommand::Show { id, show_key } => show(id, show_key, config, store, out).await,
        IntegrationCommand::Edit(args) => edit(*args, who, config, store, out).await,
        IntegrationCommand::Pause { id, why } => {
            let state = IntegrationState::Paused { by: PausedBy::Operator, reason: why };
            set_state(id, &state, "paused: its commands wait", who, store, out).await
        }
        IntegrationCommand::Resume { id } => {
            set_state(id, &IntegrationState::Active, "active: its commands are carried out", who, store, out).await
        }
        IntegrationCommand::RotateKey { id } => rotate(id, who, store, out).await,
        IntegrationCommand::Remove { id } => {
            let words = "removed: its triggers are refused, its ledger stays";
            set_state(id, &IntegrationState::Removed, words, who, store, out).await
        }
        IntegrationCommand::Register { id } => register(id, who, config, store, out).await,
        IntegrationCommand::Check { id, to, weight } => check(id, to.as_deref(), weight, config, store, out).await,
    }
}

impl From<NotEdited> for Failure {
    fn from(error: NotEdited) -> Self {
        match error {
            NotEdited::Refused { .. } | NotEdited::Setting(_) => Self::Usage(format!("--{error}")),
            NotEdited::Codes(text) => Self::Usage(text),
            NotEdited::Store(error) => error.into(),
        }
    }
}

/// Words for how the sum to collect is found.
const POLICIES: [&str; 2] = ["by_payment_type", "as_vendor"];

/// Settings by name, as they were given.
fn settings(given: &SettingArgs) -> Result<Vec<(String, String)>, Failure> {
    let usage = |text: String| Failure::Usage(text);
    let mut all = Vec::new();
    let mut set = |name: &str, value: String| all.push((name.to_owned(), value));
    for (name, option, codes) in [
        ("delivery_types", "--delivery-type", &given.delivery_types),
        ("live_delivery_types", "--live-delivery-type", &given.live_delivery_types),
    ] {
        let read = |code: &String| {
            symbolic_code::delivery_type(code).map_err(|bad| {
                usage(format!(
                    "{option}: «{code}» cannot be a delivery type: {bad}; give its symbolic code as RetailCRM \
                     lists it, one with each {option}"
                ))
            })
        };
        let codes: Vec<String> = codes.iter().map(read).collect::<Result<_, _>>()?;
        if !codes.is_empty() {
            set(name, json!(codes).to_string());
        }
    }
    match given.mode.as_deref() {
        Some(mode) if Mode::WORDS.contains(&mode) => set("mode", mode.to_owned()),
        Some(other) => return Err(one_of("--mode", other, &Mode::WORDS)),
        None => {}
    }
    if let Some(share) = given.live_share {
        set("live_share", share.to_string());
    }
    if let Some(code) = &given.payment_status {
        let tried = Settings::default().set("payment_status", code);
        tried.map_err(|bad| usage(format!("--payment-status: {bad}")))?;
        set("payment_status", code.clone());
    }
    for (name, on) in [("receive_statuses", given.receive_statuses), ("receive_payment", given.receive_payment)] {
        if let Some(on) = on {
            set(name, on.to_string());
        }
    }
    match given.cod_policy.as_deref() {
        Some(policy) if POLICIES.contains(&policy) => set("cod_policy", policy.to_owned()),
        Some(other) => return Err(one_of("--cod-policy", other, &POLICIES)),
        None => {}
    }
    for pair in &given.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| usage(format!("--set: «{pair}» is not KEY=VALUE")))?;
        set(key.trim(), value.to_owned());
    }
    Ok(all)
}

fn names(set: &[(String, String)], key: &str) -> bool {
    set.iter().any(|(name, _)| name == key)
}

/// A status stream that no other installation reads: whoever acknowledges a row takes it from
/// all who read the same one. Integrations of one cabinet share a stream.
fn own_stream(all: &[Integration], account: &str) -> u32 {
    let shared = all.iter().find(|i| i.courier_account() == account).map(|i| i.settings.stream_id);
    shared.unwrap_or_else(|| {
        let (first, last) = (Settings::STREAMS.start(), Settings::STREAMS.end());
        let drawn = u32::from_str_radix(&shared::crypto::random_hex::<4>(), 16).unwrap_or_default();
        first + drawn % (last - first + 1)
    })
}

async fn add(args: Add, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let set = self::settings(&args.settings)?;
    let mut settings = Settings::default();
    set.iter().try_for_each(|(key, value)| settings.set(key, value)).map_err(NotEdited::from)?;
    good_mode(&settings)?;
    let measoft_url = good_measoft_url(args.measoft_url.as_deref().unwrap_or(&config.measoft_url))?;
    if !names(&set, "follows_measoft_url") {
        settings.follows_measoft_url = args.measoft_url.is_none();
    }
    if !names(&set, "stream_id") {
        let account = [measoft_url.as_str(), &args.extra, &args.login].join("|");
        settings.stream_id = own_stream(&store.integrations().await?, &account);
    }
    good_prefix(&args.prefix)?;
    let given = secrets::read(&args.secrets, &mut std::io::stdin())?;
    let crm_url = good_crm_url(&args.crm_url, config)?;
    let crm_api_key = given.crm_key.unwrap_or_else(|| Secret::new(""));
    let warning = codes::verify(&settings, &Settings::default(), &crm_url, &crm_api_key, config).await;
    let warning = warning.map_err(Failure::Usage)?;
    let new = NewIntegration {
        title: args.title,
        crm_url,
        crm_api_key,
        measoft_url,
        extra: args.extra,
        login: args.login,
        password: given.password.unwrap_or_else(|| Secret::new("")),
        prefix: args.prefix,
        settings,
    };
    let made = store.add_integration_by(new, Some(who)).await?;
    let document = json!({
        "id": made.id.0,
        "code": made.code(&config.module_code),
        "deliveryApiKey": made.secrets.delivery_api_key.expose(),
        "clientId": made.secrets.client_id.expose(),
        "warning": &warning,
    });
    warn(warning.as_deref());
    out.answer(&document, || {
        say!("Integration {} «{}» is added ({}).", made.id, made.title, made.code(&config.module_code));
        say!("  deliveryApiKey  {}", made.secrets.delivery_api_key.expose());
        say!("  clientId        {}", made.secrets.client_id.expose());
        say!("Next: `bridge integration check {0}`, then `bridge trigger-help {0}`.", made.id);
    });
    Ok(ExitCode::SUCCESS)
}

async fn edit(
    args: args::integration::Edit,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let given = secrets::read(&args.secrets, &mut std::io::stdin())?;
    let found = live_integration(args.id, store).await?;
    let given = Edit {
        title: args.title,
        crm_url: args.crm_url,
        extra: args.extra,
        login: args.login,
        measoft_url: args.measoft_url,
        prefix: args.prefix,
        crm_key: given.crm_key,
        password: given.password,
        set: settings(&args.settings)?,
    };
    let Edited { saved, warning } = edit::edit(config, store, &found, &given, None, who).await?;
    let mut document = document(&saved, false, config);
    document["warning"] = json!(warning);
    warn(warning.as_deref());
    out.answer(&document, || say!("Integration {} is changed.", saved.id));
    Ok(ExitCode::SUCCESS)
}

/// Says a warning to whoever looks; a program finds it in the document.
fn warn(warning: Option<&str>) {
    if let Some(warning) = warning {
        let _ = writeln!(std::io::stderr(), "bridge: {warning}");
    }
}

fn state_words(state: &IntegrationState) -> String {
    match state {
        IntegrationState::Paused { by, reason } => format!("paused by {}: {reason}", by.as_str()),
        other => other.as_str().to_owned(),
    }
}

/// Its state, and whether it only watches.
fn works_as(i: &Integration) -> String {
    let shadow = if i.settings.is_shadow() { ", shadow" } else { "" };
    format!("{}{shadow}", state_words(&i.state))
}

fn document(i: &Integration, show_key: bool, config: &Config) -> Value {
    let (by, reason) = match &i.state {
        IntegrationState::Paused { by, reason } => (Some(by.as_str()), Some(reason.as_str())),
        _ => (None, None),
    };
    let mut document = json!({
        "id": i.id.0, "code": i.code(&config.module_code), "title": i.title, "state": i.state.as_str(),
        "paused_by": by, "paused_reason": reason, "crm_url": i.crm_url, "measoft_url": i.measoft_url,
        "extra": i.extra, "login": i.login, "prefix": i.prefix, "created_at": i.created_at.to_string(),
        "settings": i.settings,
    });
    if show_key {
        document["deliveryApiKey"] = json!(i.secrets.delivery_api_key.expose());
    }
    document
}

async fn list(config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let all = store.integrations().await?;
    let documents: Vec<Value> = all.iter().map(|i| document(i, false, config)).collect();
    out.answer(&json!(documents), || {
        if all.is_empty() {
            say!("There is no integration yet; `bridge integration add` makes one.");
            return;
        }
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|i| {
                vec![
                    i.id.to_string(),
                    i.title.clone(),
                    works_as(i),
                    i.crm_url.clone(),
                    format!("{} / {}", i.extra, i.login),
                    i.settings.delivery_types.join(","),
                ]
            })
            .collect();
        out.table(&["ID", "TITLE", "STATE", "RETAILCRM", "MEASOFT", "DELIVERY TYPES"], &rows);
    });
    Ok(ExitCode::SUCCESS)
}

async fn show(id: i64, show_key: bool, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let i = live_integration(id, store).await?;
    let mut document = document(&i, show_key, config);
    let webhook = push::url(&config.public_url, &store.key, &i.courier_account());
    if show_key {
        document["measoftWebhook"] = json!(webhook);
    }
    out.answer(&document, || {
        say!("{} «{}», {}", bold(&i.code(&config.module_code)), i.title, works_as(&i));
        say!("  RetailCRM  {}", i.crm_url);
        let whose = if i.settings.follows_measoft_url { ", by MEASOFT_URL" } else { "" };
        say!("  MeaSoft    {}{whose} (courier {}, login {})", i.measoft_url, i.extra, i.login);
        if show_key {
            say!("  deliveryApiKey  {}", i.secrets.delivery_api_key.expose());
            say!("  MeaSoft's webhook  {webhook}");
        }
        if let Value::Object(settings) = &document["settings"] {
            for (key, value) in settings {
                say!("  {key} = {value}");
            }
        }
    });
    Ok(ExitCode::SUCCESS)
}

async fn set_state(
    id: i64,
    state: &IntegrationState,
    words: &str,
    who: &Who,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let found = live_integration(id, store).await?;
    store.set_integration_state_by(who, found.id, state).await?;
    out.answer(&json!({ "id": id, "state": state.as_str() }), || say!("Integration {id} is {words}."));
    Ok(ExitCode::SUCCESS)
}

async fn rotate(id: i64, who: &Who, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let id = live_integration(id, store).await?.id;
    let fresh = key::rotate(store, id, None, who).await.map_err(anyhow::Error::from)?;
    let key = fresh.expose();
    out.answer(&json!({ "id": id.0, "deliveryApiKey": key }), || {
        say!("deliveryApiKey  {key}");
        say!("Triggers with the old key are refused from now on: put the new one into RetailCRM's forms.");
    });
    Ok(ExitCode::SUCCESS)
}

async fn register(id: i64, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let integration = live_integration(id, store).await?;
    let account_url = format!("{}/retailcrm/account", config.public_url);
    let done = register::register(config, store, &integration, who).await?;
    let document = json!({
        "id": id, "code": done.code, "firstTime": done.first_time, "deliveryType": done.delivery_type,
        "accountUrl": account_url, "widget": done.widget.as_str(),
    });
    out.answer(&document, || {
        let word = if done.first_time { "registered" } else { "brought up to date" };
        say!("The module {} is {word} in RetailCRM.", bold(&done.code));
        say!("  settings page  {account_url}");
        match &done.widget {
            WidgetState::Registered => say!("  order card     has a button of ours"),
            WidgetState::Without => say!("  order card     without a button: WIDGET_DIR names no built widget"),
            WidgetState::Refused(why) => say!("  order card     without a button, since {why}"),
        }
        if let Some(code) = &done.delivery_type {
            say!("  delivery type  {code}");
        }
        say!("Next: tie a delivery type to «Курьерская служба 2008» in RetailCRM, then `bridge trigger-help {id}`.");
    });
    Ok(ExitCode::SUCCESS)
}

async fn check(
    id: i64,
    to: Option<&str>,
    weight: u32,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let integration = live_integration(id, store).await?;
    let findings = check::check(config, store, &integration, to.map(|town| (town, weight))).await?;
    let good = findings.iter().all(|(_, found)| found.is_ok());
    let words = |found: &Result<String, String>| found.clone().unwrap_or_else(|bad| bad);
    let rows = findings
        .iter()
        .map(|(what, found)| json!({ "what": what.as_str(), "ok": found.is_ok(), "text": words(found) }));
    out.answer(&json!({ "id": id, "ok": good, "findings": rows.collect::<Vec<_>>() }), || {
        for (what, found) in &findings {
            let mark = if found.is_ok() { green("ok  ") } else { red("bad ") };
            say!("{mark} {}: {}", what.as_str(), words(found));
        }
    });
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks for a status sync of one integration, or of all that are active.
pub async fn sync(args: &SyncArgs, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let wanted = match args.id {
        Some(id) => vec![live_integration(id, store).await?],
        None => store.integrations().await?.into_iter().filter(Integration::is_active).collect(),
    };
    let ids: Vec<IntegrationId> = wanted.iter().map(|i| i.id).collect();
    store.ask_for_sync(&ids).await?;
    let numbers: Vec<i64> = ids.iter().map(|id| id.0).collect();
    out.answer(&json!({ "asked": numbers }), || say!("Asked for a status sync of {} integration(s).", ids.len()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_installation_gets_a_stream_of_its_own() {
        let drawn: std::collections::BTreeSet<u32> = (0..20).map(|_| own_stream(&[], "https://a|8|shop")).collect();
        assert!(drawn.len() > 10, "{drawn:?}");
        assert!(drawn.iter().all(|stream| Settings::STREAMS.contains(stream)), "{drawn:?}");
        let given =
            SettingArgs { set: vec!["title=x".to_owned(), "stream_id = 417".to_owned()], ..SettingArgs::default() };
        assert!(names(&settings(&given).expect("pairs"), "stream_id"), "a given one stays");
    }
}
