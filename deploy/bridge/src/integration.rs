//! `bridge integration …` and `bridge sync`.

use std::process::ExitCode;
use std::sync::Arc;

use bridge_worker::callbacks::registration;
use bridge_worker::vendor::connect::Clients;
use bridge_worker::vendor::{ActiveIntegration, Connect as _, Vendors};
use serde_json::{Value, json};
use shared::config::{Config, is_safe_measoft_url};
use shared::domain::integration::{CodPolicy, Settings};
use shared::domain::{Grams, Integration, IntegrationId, IntegrationState, PausedBy, Secret};
use shared::domain::{crm_account, symbolic_code};
use shared::measoft::{CalcRequest, Courier, Tariff, push};
use shared::retailcrm::codes::Lists;
use shared::retailcrm::{AllowedHosts, Credentials, Crm, check as check_crm_url};
use shared::store::Store;
use shared::store::audit::{Act, NewAudit, Who};
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use crate::args::integration::{Add, Edit, SettingArgs};
use crate::args::{IntegrationCommand, SyncArgs};
use crate::filters::{live_integration, one_of};
use crate::output::{Failure, Output, bold, green, red};
use crate::stdout::say;
use crate::{codes, secrets};

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

fn good_crm_url(url: &str, config: &Config) -> Result<String, Failure> {
    let allowed = AllowedHosts::parse(&config.crm_allowed_hosts)
        .map_err(|bad| Failure::Usage(format!("CRM_ALLOWED_HOSTS: {bad}")))?;
    let good = check_crm_url(url, &allowed).map_err(|bad| Failure::Usage(format!("--crm-url: {bad}")))?;
    Ok(good.as_str().trim_end_matches('/').to_owned())
}

fn good_measoft_url(url: &str) -> Result<String, Failure> {
    if is_safe_measoft_url(url) {
        Ok(url.to_owned())
    } else {
        Err(Failure::Usage("--measoft-url: must be an https address (plain http only for this machine)".to_owned()))
    }
}

fn apply(changes: &SettingArgs, settings: &mut Settings) -> Result<(), Failure> {
    let usage = |text: String| Failure::Usage(text);
    if !changes.delivery_types.is_empty() {
        let read = |code: &String| {
            symbolic_code::delivery_type(code).map_err(|bad| {
                usage(format!(
                    "--delivery-type: «{code}» cannot be a delivery type: {bad}; give its symbolic code as RetailCRM \
                     lists it, one with each --delivery-type"
                ))
            })
        };
        settings.delivery_types = changes.delivery_types.iter().map(read).collect::<Result<_, _>>()?;
    }
    if let Some(code) = &changes.payment_status {
        settings.set("payment_status", code).map_err(|bad| usage(format!("--payment-status: {bad}")))?;
    }
    if let Some(on) = changes.receive_statuses {
        settings.receive_statuses = on;
    }
    if let Some(on) = changes.receive_payment {
        settings.receive_payment = on;
    }
    match changes.cod_policy.as_deref() {
        None => {}
        Some("by_payment_type") => settings.cod_policy = CodPolicy::ByPaymentType,
        Some("as_vendor") => settings.cod_policy = CodPolicy::AsVendor,
        Some(other) => return Err(one_of("--cod-policy", other, &["by_payment_type", "as_vendor"])),
    }
    for pair in &changes.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| usage(format!("--set: «{pair}» is not KEY=VALUE")))?;
        settings.set(key.trim(), value).map_err(|bad| usage(format!("--set: {bad}")))?;
    }
    Ok(())
}

fn names(set: &[String], key: &str) -> bool {
    set.iter().any(|pair| pair.split_once('=').is_some_and(|(name, _)| name.trim() == key))
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
    let mut settings = Settings::default();
    apply(&args.settings, &mut settings)?;
    let measoft_url = good_measoft_url(args.measoft_url.as_deref().unwrap_or(&config.measoft_url))?;
    if !names(&args.settings.set, "follows_measoft_url") {
        settings.follows_measoft_url = args.measoft_url.is_none();
    }
    if !names(&args.settings.set, "stream_id") {
        let account = [measoft_url.as_str(), &args.extra, &args.login].join("|");
        settings.stream_id = own_stream(&store.integrations().await?, &account);
    }
    if !args.prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') || args.prefix.len() > 10 {
        return Err(Failure::Usage("--prefix: at most 10 Latin letters, digits and «-»".to_owned()));
    }
    let given = secrets::read(&args.secrets, &mut std::io::stdin())?;
    let crm_url = good_crm_url(&args.crm_url, config)?;
    let crm_api_key = given.crm_key.unwrap_or_else(|| Secret::new(""));
    let warning = codes::verify(&settings, &Settings::default(), &crm_url, &crm_api_key, config).await?;
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
    codes::warn(warning.as_deref());
    out.answer(&document, || {
        say!("Integration {} «{}» is added ({}).", made.id, made.title, made.code(&config.module_code));
        say!("  deliveryApiKey  {}", made.secrets.delivery_api_key.expose());
        say!("  clientId        {}", made.secrets.client_id.expose());
        say!("Next: `bridge integration check {0}`, then `bridge trigger-help {0}`.", made.id);
    });
    Ok(ExitCode::SUCCESS)
}

async fn edit(args: Edit, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let crm_url = args.crm_url.as_deref().map(|url| good_crm_url(url, config)).transpose()?;
    let measoft_url = args.measoft_url.as_deref().map(good_measoft_url).transpose()?;
    let given = secrets::read(&args.secrets, &mut std::io::stdin())?;
    let found = live_integration(args.id, store).await?;
    let mut trial = found.settings.clone();
    apply(&args.settings, &mut trial)?;
    let (url, key) = (crm_url.as_deref().unwrap_or(&found.crm_url), given.crm_key.as_ref());
    let key = key.unwrap_or(&found.secrets.crm_api_key);
    let warning = codes::verify(&trial, &found.settings, url, key, config).await?;
    let saved = store
        .change_integration_by(found.id, Some((who, Act::Edited)), |changed| -> Result<(), Failure> {
            apply(&args.settings, &mut changed.settings)?;
            for (slot, given) in [
                (&mut changed.title, &args.title),
                (&mut changed.extra, &args.extra),
                (&mut changed.login, &args.login),
                (&mut changed.prefix, &args.prefix),
                (&mut changed.crm_url, &crm_url),
                (&mut changed.measoft_url, &measoft_url),
            ] {
                if let Some(given) = given {
                    slot.clone_from(given);
                }
            }
            if measoft_url.is_some() && !names(&args.settings.set, "follows_measoft_url") {
                changed.settings.follows_measoft_url = false;
            }
            if let Some(key) = &given.crm_key {
                changed.secrets.crm_api_key.clone_from(key);
            }
            if let Some(password) = &given.password {
                changed.secrets.password.clone_from(password);
            }
            Ok(())
        })
        .await?;
    let mut document = document(&saved, false, config);
    document["warning"] = json!(warning);
    codes::warn(warning.as_deref());
    out.answer(&document, || say!("Integration {} is changed.", saved.id));
    Ok(ExitCode::SUCCESS)
}

fn state_words(state: &IntegrationState) -> String {
    match state {
        IntegrationState::Paused { by, reason } => format!("paused by {}: {reason}", by.as_str()),
        other => other.as_str().to_owned(),
    }
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
                    state_words(&i.state),
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
        say!("{} «{}», {}", bold(&i.code(&config.module_code)), i.title, state_words(&i.state));
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
    let fresh = Secret::new(format!("dk-{}", shared::crypto::random_hex::<16>()));
    let rotated = |i: &mut Integration| -> Result<(), Failure> {
        i.secrets.delivery_api_key.clone_from(&fresh);
        Ok(())
    };
    store.change_integration_by(id, Some((who, Act::KeyRotated)), rotated).await?;
    let key = fresh.expose();
    out.answer(&json!({ "id": id.0, "deliveryApiKey": key }), || {
        say!("deliveryApiKey  {key}");
        say!("Triggers with the old key are refused from now on: put the new one into RetailCRM's forms.");
    });
    Ok(ExitCode::SUCCESS)
}

/// Both vendors of an integration, and the journal of what they are asked.
fn vendors(integration: &Integration, config: &Config, store: &Store) -> Result<(Vendors, Journal), Failure> {
    let journal = Journal::start(store.clone());
    let clients = Clients::new(config, store.clone(), journal.clone(), Arc::new(Metrics::new()))?;
    Ok((clients.connect(integration).map_err(Failure::sentence)?, journal))
}

async fn register(id: i64, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let integration = live_integration(id, store).await?;
    let (vendors, journal) = vendors(&integration, config, store)?;
    let account_url = format!("{}/retailcrm/account", config.public_url);
    let account = crm_account::address(&integration.crm_url);
    let first = store.integrations().await?.iter().all(|i| i.id.0 >= id || crm_account::address(&i.crm_url) != account);
    let shop = ActiveIntegration::new(integration, vendors);
    let done = registration::register(&shop, first, &config.public_url, &config.module_code).await;
    journal.flush().await;
    let done = done.map_err(|error| Failure::sentence(format!("RetailCRM does not register the module: {error}")))?;
    let mut entry = NewAudit::of_integration(who, Act::Registered, shop.id());
    entry.after.insert("code".to_owned(), json!(done.code));
    store.note_act(&entry).await?;
    let document = json!({
        "id": id, "code": done.code, "firstTime": done.first_time, "deliveryType": done.delivery_type,
        "accountUrl": account_url,
    });
    out.answer(&document, || {
        let word = if done.first_time { "registered" } else { "brought up to date" };
        say!("The module {} is {word} in RetailCRM.", bold(&done.code));
        say!("  settings page  {account_url}");
        if let Some(code) = &done.delivery_type {
            say!("  delivery type  {code}");
        }
        say!("Next: tie a delivery type to «Курьерская служба 2008» in RetailCRM, then `bridge trigger-help {id}`.");
    });
    Ok(ExitCode::SUCCESS)
}

/// What a check looked at, and what it found, good or bad.
type Finding = (&'static str, Result<String, String>);

async fn check(
    id: i64,
    to: Option<&str>,
    weight: u32,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let integration = live_integration(id, store).await?;
    let (vendors, journal) = vendors(&integration, config, store)?;
    let mut findings = check_crm(vendors.crm.as_ref(), &integration.settings).await;
    let login = vendors.courier.probe().await;
    let login = login.map(|code| format!("accepted, client {code}")).map_err(|error| error.to_string());
    findings.push(("MeaSoft login", login));
    if let Some(town) = to {
        findings.push(("MeaSoft tariffs", tariffs(vendors.courier.as_ref(), &integration, town, weight).await));
    }
    journal.flush().await;
    let good = findings.iter().all(|(_, found)| found.is_ok());
    let words = |found: &Result<String, String>| found.clone().unwrap_or_else(|bad| bad);
    let rows = findings.iter().map(|(what, found)| json!({ "what": what, "ok": found.is_ok(), "text": words(found) }));
    out.answer(&json!({ "id": id, "ok": good, "findings": rows.collect::<Vec<_>>() }), || {
        for (what, found) in &findings {
            let mark = if found.is_ok() { green("ok  ") } else { red("bad ") };
            say!("{mark} {what}: {}", words(found));
        }
    });
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check_crm(crm: &dyn Crm, settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    match crm.credentials().await {
        Ok(credentials) => {
            findings.push(("RetailCRM API key", Ok("accepted".to_owned())));
            let missing = credentials.missing_scopes();
            findings.push((
                "RetailCRM rights",
                match &missing[..] {
                    [] => Ok("everything the bridge needs".to_owned()),
                    _ => Err(format!("missing: {} (of {})", missing.join(", "), Credentials::NEEDED_SCOPES.len())),
                },
            ));
        }
        Err(error) => findings.push(("RetailCRM API key", Err(error.to_string()))),
    }
    if shared::retailcrm::codes::has_new(settings, &Settings::default()) {
        let wrong = Lists::read(crm).await.map(|lists| lists.wrong(settings).iter().map(ToString::to_string).collect());
        findings.push((
            "RetailCRM codes",
            match wrong.map(|wrong: Vec<String>| wrong.join("; ")) {
                Ok(wrong) if wrong.is_empty() => Ok("every code of the settings is there".to_owned()),
                Ok(wrong) => Err(wrong),
                Err(error) => Err(format!("unverified: {error}")),
            },
        ));
    }
    findings
}

async fn tariffs(courier: &dyn Courier, from: &Integration, town: &str, weight: u32) -> Result<String, String> {
    let request = CalcRequest {
        sender_town: from.settings.sender.town.clone(),
        town: town.to_owned(),
        weight: Some(Grams(weight)),
        places: Some(1),
        ..Default::default()
    };
    let tariffs = courier.calculate(&request).await.map_err(|error| error.to_string())?;
    if tariffs.is_empty() {
        return Err("none for this town".to_owned());
    }
    let name = |t: &Tariff| t.service_name.clone().or_else(|| t.service.clone()).unwrap_or_else(|| "?".to_owned());
    Ok(tariffs.iter().map(|t| format!("{} {}", name(t), t.price)).collect::<Vec<_>>().join("; "))
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
        assert!(names(&["title=x".to_owned(), "stream_id = 417".to_owned()], "stream_id"), "a given one stays");
    }
}
