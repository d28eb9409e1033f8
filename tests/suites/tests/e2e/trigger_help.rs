//! What `bridge trigger-help` prints, pasted into RetailCRM: conditions and values are worked out
//! by Symfony's ExpressionLanguage and Twig, the bodies go to the running installation.

use harness::php::Answered;
use harness::{Cli, Collect, Placed, World};
use serde_json::{Value, json};
use simulators::retailcrm::WATCHED;

use crate::machinery::{self, Pasted, accepted, changed, effects, moved};

/// The printed form of this name.
fn form(help: &Value, which: &str) -> Value {
    let found = help.as_array().expect("forms").iter().find(|form| form["trigger"] == which);
    found.unwrap_or_else(|| panic!("no {which}")).clone()
}

fn condition(form: &Value) -> String {
    form["condition"].as_str().expect("a condition").to_owned()
}

/// The quoted texts of a condition.
fn quoted(condition: &str) -> Vec<&str> {
    condition.split('"').skip(1).step_by(2).collect()
}

/// The document of a command that failed all the same.
fn document(said: &Cli) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said.stdout))
}

fn parameters(form: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    form["parameters"].as_array().expect("parameters").iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// What comes of a printed form when an order is saved; nothing when its condition does not hold.
fn saved(world: &World, order: &Placed, form: &Value, changes: Value) -> Option<Answered> {
    let url = form["url"].as_str().expect("an address").to_owned();
    let pasted = Pasted { condition: condition(form), url, parameters: parameters(form) };
    machinery::saved(world, order, &pasted, changes, ("guzzle", "form"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trigger_help_prints_works_when_it_is_pasted() {
    let world = World::embedded("trigger-help").unregistered().start().await;
    world.register(0).await;
    let shop = &world.shops[0];
    let id = shop.integration.to_string();
    let help = world.bridge_in_public(&["trigger-help", &id, "--json"]).await.json();
    let (send, update, cancel) = (form(&help, "send"), form(&help, "update"), form(&help, "cancel"));

    // The conditions are the guide's, with this shop's codes.
    assert_eq!(quoted(&condition(&send)), ["SentMeaSoft", "incity"]);
    let watched: Vec<&str> = WATCHED.into_iter().chain(["incity"]).collect();
    assert_eq!(quoted(&condition(&update)), watched);
    assert_eq!(quoted(&condition(&cancel)), ["delivery_type", "delivery_type", "delivery_type", "incity", "outcity"]);
    let extended = update["extended_condition"].as_str().expect("an extended condition");
    assert!(extended.contains(r#"("delivery_address.street")"#) && extended.contains(r#"("phone")"#), "{extended}");
    assert_eq!((&send["literal_key"], &cancel["literal_key"]), (&json!(shop.key), &Value::Null));

    // What people read has the same, each on one line, in both languages.
    for (language, name) in [("ru", "Отправка заказа в MeaSoft"), ("en", "Send the order to MeaSoft")] {
        let shown = world.bridge_in_public(&["trigger-help", &id, "--lang", language]).await;
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
        assert!(shown.stdout.contains(name), "{}", shown.stdout);
        for form in [&send, &update, &cancel] {
            let values = form["parameters"].as_array().expect("parameters").iter().map(|pair| pair[1].clone());
            let more = ["url", "condition", "extended_condition", "literal_key"].map(|field| form[field].clone());
            for value in values.chain(more).filter(|value| !value.is_null()) {
                let value = value.as_str().expect("a text");
                assert!(shown.stdout.lines().any(|line| line.ends_with(value)), "{value}: {}", shown.stdout);
            }
        }
    }
    assert_eq!(world.bridge(&["trigger-help", &id, "--lang", "de"]).await.code, 2);

    // Pasted and fired, they do what they say.
    let order = world.place(0, 1, Collect::Cash);
    machinery::tariff_is_chosen(&world, &order).await;
    accepted(saved(&world, &order, &send, changed("status", json!("new"), json!("SentMeaSoft"))));
    world.settled("the send is served").await;
    assert_eq!(effects(&world, &order), (1, 0, false));
    assert!(world.crm.edit(shop.account, order.id, |draft| draft.set_phone("+7 (916) 555-00-79")));
    accepted(saved(&world, &order, &update, changed("phone", json!("1"), json!("2"))));
    world.settled("the update is served").await;
    assert_eq!(effects(&world, &order), (1, 1, false));
    let moved = moved("incity", "russian-post");
    assert!(saved(&world, &order, &cancel, changed("phone", json!("1"), json!("2"))).is_none());
    assert!(world.crm.edit(shop.account, order.id, |draft| draft.set_delivery_type("russian-post")));
    assert!(saved(&world, &order, &send, moved.clone()).is_none(), "it is no order of ours any more");
    accepted(saved(&world, &order, &cancel, moved));
    world.settled("the cancel is served").await;
    assert!(effects(&world, &order).2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_an_integration_that_names_no_types_is_cancelled_when_it_moves_too() {
    let world = World::embedded("trigger-help-unnamed").start().await;
    let (first, second) = (world.shops[0].integration.to_string(), world.shops[1].integration.to_string());
    world.bridge(&["integration", "edit", &second, "--set", "delivery_types="]).await;

    // RetailCRM knows which types are tied to the module.
    for id in [&first, &second] {
        let said = world.bridge_in_public(&["trigger-help", id, "--json"]).await;
        assert_eq!(said.stderr, "");
        let cancel = form(&said.json(), "cancel");
        // Its own type, and the one the module brought when it was registered.
        assert_eq!(quoted(&condition(&cancel))[3..], ["incity", &world.shops[1].module, "outcity"]);
        let pairs = parameters(&cancel);
        assert!(pairs.contains(&("incity".to_owned(), world.shops[0].key.clone())));
        assert!(pairs.contains(&("outcity".to_owned(), world.shops[1].key.clone())));
    }
    let theirs = world.bridge_in_public(&["trigger-help", &second, "--json"]).await.json();
    let ours = world.bridge_in_public(&["trigger-help", &first, "--json"]).await.json();
    // Nobody chose a tariff, so the order does not know the key: the form carries it.
    let order = world.place(1, 1, Collect::Cash);
    let mut send = form(&theirs, "send");
    send["parameters"][2][1] = send["literal_key"].clone();
    accepted(saved(&world, &order, &send, changed("status", json!("new"), json!("SentMeaSoft"))));
    world.settled("the send is served").await;
    assert_eq!(effects(&world, &order), (1, 0, false));
    let account = world.shops[1].account;
    assert!(world.crm.edit(account, order.id, |draft| draft.set_delivery_type("russian-post")));
    let moved = moved("outcity", "russian-post");
    // One cancel trigger serves the account: the first integration's form is the one pasted.
    accepted(saved(&world, &order, &form(&ours, "cancel"), moved));
    world.settled("the cancel is served").await;
    assert!(effects(&world, &order).2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_help_says_which_integration_has_no_types_and_fails() {
    let world = World::embedded("trigger-help-gaps").unregistered().start().await;
    let (first, second) = (world.shops[0].integration.to_string(), world.shops[1].integration.to_string());
    world.bridge(&["integration", "edit", &second, "--set", "delivery_types="]).await;
    let account = world.shops[1].account;
    world.crm.add_delivery_type(account, "outcity", None, &["cash"]);

    for (id, language, words) in [
        (&first, "ru", "никогда не выполнятся"),
        (&second, "ru", "Интегрировать с"),
        (&second, "en", "no delivery type of RetailCRM belongs to integration 2"),
    ] {
        let said = world.bridge_in_public(&["trigger-help", id, "--json", "--lang", language]).await;
        assert_eq!(said.code, 1);
        assert!(said.stderr.contains(words) && said.stderr.contains("Магазин outcity"), "{}", said.stderr);
        let help = document(&said);
        let cancel = form(&help, "cancel");
        let pairs = parameters(&cancel);
        assert!(pairs.contains(&("incity".to_owned(), world.shops[0].key.clone())), "{cancel}");
        assert!(pairs.contains(&("…".to_owned(), world.shops[1].key.clone())), "{cancel}");
        let send = condition(&form(&help, "send"));
        assert_eq!(send.contains("[\"…\"]"), id == &second, "{send}");
    }

    // A RetailCRM that cannot be asked is named as the cause.
    world.bridge(&["integration", "edit", &second, "--crm-key", "revoked"]).await;
    let said = world.bridge_in_public(&["trigger-help", &second, "--lang", "en"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("RetailCRM could not be asked"), "{}", said.stderr);

    // Named, it is well again.
    world.bridge(&["integration", "edit", &second, "--delivery-type", " outcity\u{a0}\n"]).await;
    let said = world.bridge_in_public(&["trigger-help", &second, "--json"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(quoted(&condition(&form(&said.json(), "send"))), ["SentMeaSoft", "outcity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_type_that_would_break_a_condition_is_refused_with_its_cause() {
    let world = World::embedded("trigger-help-codes").start().await;
    let id = world.shops[0].integration.to_string();
    for (code, why) in
        [("a\"b", "no «\"»"), ("a\\b", "no «\\»"), ("in city", "no spaces"), ("…", "no «…»"), ("key", "parameter")]
    {
        for arguments in
            [["--delivery-type", code].map(str::to_owned), ["--set".to_owned(), format!("delivery_types={code}")]]
        {
            let said = world.bridge(&["integration", "edit", &id, &arguments[0], &arguments[1]]).await;
            assert_eq!(said.code, 2, "{arguments:?}");
            assert!(said.stderr.contains(why), "{arguments:?}: {}", said.stderr);
        }
    }
    let shown = world.bridge(&["integration", "show", &id, "--json"]).await.json();
    assert_eq!(shown["settings"]["delivery_types"], json!(["incity"]), "nothing was stored");
}
