//! One integration: both vendors' credentials and rights, and whether what is set up in
//! RetailCRM fits what is set up here.

mod courier;
mod crm;
pub mod facts;
mod in_use;
mod module;
mod payments;
mod references;
mod towns;
mod work;

use shared::domain::{Fault, IntegrationState, PausedBy};

use crate::doctor::finding::{Area, Finding, Findings, Level, tell};
use crate::doctor::integration::facts::Facts;

/// Findings of one integration, each bearing its id.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut say = Findings::of(Area::Integration);
    let id = facts.integration.id;
    pause(facts, &mut say);
    match &facts.vendors {
        Err(why) => tell!(say, Error: "{why}"
            => "correct it with `bridge integration edit {id} --crm-url …` or `--measoft-url …`; a CRM at a host of your \
                own must be named in CRM_ALLOWED_HOSTS"),
        Ok(answers) => {
            crm::judge(facts, &answers.crm, &mut say);
            courier::judge(facts, &answers.courier, &mut say);
        }
    }
    towns::judge(&facts.towns, &mut say);
    work::judge(facts, &mut say);
    say.all.into_iter().map(|finding| Finding { integration: Some(id.0), ..finding }).collect()
}

fn pause(facts: &Facts, say: &mut Findings) {
    let id = facts.integration.id;
    let IntegrationState::Paused { by, reason } = &facts.integration.state else { return };
    let (level, remedy) = match by {
        PausedBy::Operator => {
            (Level::Warning, format!("`bridge integration resume {id}` when its orders should go out again"))
        }
        PausedBy::Credentials(whose) => {
            let flags = if *whose == Fault::Crm { "--crm-key" } else { "--login, --password-stdin" };
            let edit = format!("correct the credentials with `bridge integration edit {id}` ({flags})");
            (Level::Error, format!("{edit}; it resumes by itself"))
        }
        PausedBy::Crm => (Level::Error, "switch the module on again in RetailCRM (Settings → Integration)".to_owned()),
    };
    say.add(level, format!("it is paused by {} and its orders wait: {reason}", by.as_str()), remedy);
}
