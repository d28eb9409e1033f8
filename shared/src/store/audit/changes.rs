//! What an integration's change is about: names with the value before and after. Secrets are said
//! to be others, never shown, and so is who the sender is. Pure.

use serde_json::{Map, Value, json};

use crate::domain::{Integration, IntegrationState, Secret};

/// Stands for a secret.
const SECRET: &str = "(secret)";
const ANOTHER_SECRET: &str = "(another secret)";
/// Stands for what says who somebody is.
const HIDDEN: &str = "(hidden)";
const CHANGED: &str = "(hidden, changed)";

/// Parts of the sender that are about a person.
const PERSONAL: [&str; 3] = ["settings.sender.person", "settings.sender.phone", "settings.sender.address"];

/// What differs: its names with the values before, and after.
pub fn changes(before: &Integration, after: &Integration) -> (Map<String, Value>, Map<String, Value>) {
    let (mut was, mut is) = (Map::new(), Map::new());
    let (old, new) = (plain(before), plain(after));
    for name in old.keys().chain(new.keys()) {
        let of = |all: &Map<String, Value>| all.get(name).cloned().unwrap_or(Value::Null);
        let (old, new) = (of(&old), of(&new));
        if old == new {
            continue;
        }
        let hidden = PERSONAL.contains(&name.as_str());
        was.insert(name.clone(), if hidden { json!(HIDDEN) } else { old });
        is.insert(name.clone(), if hidden { json!(CHANGED) } else { new });
    }
    for ((name, old), (_, new)) in secrets(before).into_iter().zip(secrets(after)) {
        if old != new {
            was.insert(name.to_owned(), json!(SECRET));
            is.insert(name.to_owned(), json!(ANOTHER_SECRET));
        }
    }
    (was, is)
}

/// What a new integration was given, beside what it has by itself.
pub fn of_new(new: &Integration) -> Map<String, Value> {
    let before = Integration { created_at: new.created_at, id: new.id, ..Integration::default() };
    let (_, mut given) = changes(&before, new);
    for value in given.values_mut() {
        match value.as_str() {
            Some(ANOTHER_SECRET) => *value = json!(SECRET),
            Some(CHANGED) => *value = json!(HIDDEN),
            _ => {}
        }
    }
    given
}

fn secrets(of: &Integration) -> [(&'static str, &Secret); 4] {
    let secrets = &of.secrets;
    [
        ("crm_api_key", &secrets.crm_api_key),
        ("password", &secrets.password),
        ("deliveryApiKey", &secrets.delivery_api_key),
        ("clientId", &secrets.client_id),
    ]
}

/// Everything but the secrets, the sender's parts by their own names.
fn plain(of: &Integration) -> Map<String, Value> {
    let (by, reason) = match &of.state {
        IntegrationState::Paused { by, reason } => (json!(by.as_str()), json!(reason)),
        _ => (Value::Null, Value::Null),
    };
    let mut all = Map::from_iter([
        ("title".to_owned(), json!(of.title)),
        ("crm_url".to_owned(), json!(of.crm_url)),
        ("measoft_url".to_owned(), json!(of.measoft_url)),
        ("extra".to_owned(), json!(of.extra)),
        ("login".to_owned(), json!(of.login)),
        ("prefix".to_owned(), json!(of.prefix)),
        ("state".to_owned(), json!(of.state.as_str())),
        ("paused_by".to_owned(), by),
        ("paused_reason".to_owned(), reason),
    ]);
    let settings = serde_json::to_value(&of.settings).unwrap_or_default();
    for (name, value) in settings.as_object().into_iter().flatten() {
        match value.as_object().filter(|_| name == "sender") {
            Some(sender) => all.extend(sender.iter().map(|(part, v)| (format!("settings.{name}.{part}"), v.clone()))),
            None => {
                all.insert(format!("settings.{name}"), value.clone());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PausedBy;

    #[test]
    fn a_change_names_what_differs_with_both_values_and_shows_no_secret_and_no_person() {
        let before = Integration { title: "Город".to_owned(), ..Integration::default() };
        let mut after = before.clone();
        "Область".clone_into(&mut after.title);
        after.settings.receive_payment = true;
        after.settings.sender.phone = Some("+79161234567".to_owned());
        after.settings.sender.town = Some("Москва город".to_owned());
        after.secrets.password = Secret::new("hunter2".to_owned());
        after.state = IntegrationState::Paused { by: PausedBy::Operator, reason: "a move".to_owned() };
        let (was, is) = changes(&before, &after);
        let told = |name: &str| (was[name].clone(), is[name].clone());
        assert_eq!(told("title"), (json!("Город"), json!("Область")));
        assert_eq!(told("settings.receive_payment"), (json!(false), json!(true)));
        assert_eq!(told("settings.sender.town"), (Value::Null, json!("Москва город")));
        assert_eq!(told("settings.sender.phone"), (json!("(hidden)"), json!("(hidden, changed)")));
        assert_eq!(told("password"), (json!("(secret)"), json!("(another secret)")));
        assert_eq!(told("paused_reason"), (Value::Null, json!("a move")));
        assert!(was.keys().eq(is.keys()) && was.len() == 8, "{is:?}");
        let text = format!("{was:?}{is:?}");
        assert!(!text.contains("hunter2") && !text.contains("7916"), "{text}");
        assert_eq!(changes(&after, &after), (Map::new(), Map::new()));
    }

    #[test]
    fn a_new_one_is_told_with_what_it_was_given() {
        let mut new = Integration { title: "Город".to_owned(), ..Integration::default() };
        new.secrets.crm_api_key = Secret::new("key".to_owned());
        assert_eq!(
            of_new(&new),
            Map::from_iter([("crm_api_key".to_owned(), json!("(secret)")), ("title".to_owned(), json!("Город")),])
        );
    }
}
