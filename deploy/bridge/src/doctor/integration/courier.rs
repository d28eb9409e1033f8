//! MeaSoft's side: the login, and whether changes and cancellations are let through.

use shared::domain::Language;
use shared::explain::measoft::explain;
use shared::measoft::{Class, MeasoftError};
use shared::tls_trouble::TlsTrouble;

use crate::doctor::finding::{Findings, tell};
use crate::doctor::integration::facts::Facts;

pub fn judge(facts: &Facts, courier: &Result<String, MeasoftError>, say: &mut Findings) {
    let (i, id) = (&facts.integration, facts.integration.id);
    let (address, extra) = (&i.measoft_url, &i.extra);
    match courier {
        Ok(client) => tell!(say, Ok: "MeaSoft accepts the login of courier {extra} (client {client})"),
        Err(error) => {
            let remedy = match (error.class(), error) {
                (_, MeasoftError::NotSent { cause, .. }) if let Some(trouble) = TlsTrouble::told(cause) => {
                    trouble.remedy(&format!("--measoft-url of integration {id}"))
                }
                (_, MeasoftError::NotSent { .. }) => format!(
                    "check this machine's way out (DNS, firewall, proxy) and the address {address}; `bridge integration edit \
                     {id} --measoft-url URL` changes it"
                ),
                (Class::Config, MeasoftError::Refused { .. }) => format!(
                    "check --extra (the number in the cabinet's address), --login and --password-stdin and correct them with \
                     `bridge integration edit {id}`: they are those of the client's cabinet at this courier service"
                ),
                _ => explain(error.reason(), Language::En).next_step.to_owned(),
            };
            tell!(say, Error: "MeaSoft ({address}, courier {extra}): {error}" => "{remedy}");
        }
    }
    let ask = "ask the courier service to switch on «Разрешить отмену и изменение заказов» (its settings, Advanced)";
    match (i.settings.allow_edit_cancel, facts.letters.refused_by_setting, facts.letters.refused_by_courier) {
        (false, 0, _) => tell!(say, Ok: "changes and cancellations are off (allow_edit_cancel)"),
        (false, refused, _) => {
            tell!(say, Warning: "{refused} change(s) or cancellation(s) were refused because allow_edit_cancel is off"
                => "{ask}, then run `bridge integration edit {id} --set allow_edit_cancel=true`");
        }
        (true, _, 0) => {}
        (true, _, refused) => {
            tell!(say, Warning: "MeaSoft refused {refused} change(s) or cancellation(s) with a code of its own: its option may \
                    be off"
                => "{ask}; `bridge probe {id}` tries it out");
        }
    }
}
