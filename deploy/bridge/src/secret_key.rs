//! `bridge secret-key rotate`: what is stored is sealed with the key in use.

use std::process::ExitCode;

use bridge_worker::order::saved_request::SavedRequest;
use serde_json::json;
use shared::store::Store;
use shared::store::audit::{Act, NewAudit, Who};

use crate::output::{Failure, Output, Progress};
use crate::stdout::say;

pub async fn rotate(who: &Who, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let progress = Progress::new(out);
    let done = store
        .reseal(
            |text, integration, order| SavedRequest::resealed(text, integration, order, &store.key),
            |rows| progress.say(&format!("{rows} rows sealed")),
        )
        .await;
    progress.clear();
    let done = done?;
    if done.integrations + done.deliveries > 0 {
        let mut entry = NewAudit::new(who, Act::Resealed, None, "secret key");
        entry.after.insert("integrations".to_owned(), json!(done.integrations));
        entry.after.insert("deliveries".to_owned(), json!(done.deliveries));
        store.note_act(&entry).await?;
    }
    let document = json!({ "integrations": done.integrations, "deliveries": done.deliveries, "unknown": done.unknown });
    out.answer(&document, || {
        say!(
            "Everything is sealed with BRIDGE_SECRET_KEY; changed now: {} integrations, {} deliveries.",
            done.integrations,
            done.deliveries
        );
        if done.unknown == 0 {
            say!("BRIDGE_SECRET_KEY_OTHER can go: take it out of the settings and restart the roles.");
        } else {
            say!(
                "Keep BRIDGE_SECRET_KEY_OTHER until the {} orders whose outcome at MeaSoft is unknown are settled; \
                 then run this again.",
                done.unknown
            );
        }
    });
    Ok(ExitCode::SUCCESS)
}
