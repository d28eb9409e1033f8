//! What the real process answers to what it cannot accept. The
//! ingress crate has the long list; here each answer once, and that nothing comes of it.

use harness::World;

const FORM: &str = "application/x-www-form-urlencoded";
const SEND: &str = "/reintegrations/requests/trigger/retailcrm";
const UPDATE: &str = "/reintegrations/requests/update/retailcrm";
const CANCEL: &str = "/reintegrations/requests/cancel/retailcrm";

fn is_russian(text: &str) -> bool {
    text.chars().any(|c| ('а'..='я').contains(&c))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_both_languages_and_nothing_comes_of_it() {
    let world = World::embedded("bad-input").start().await;
    let key = &world.shops[0].key;
    let long = "я".repeat(256);
    let big = "x".repeat(70_000);
    let cases: Vec<(&str, &str, &str, String, u16)> = vec![
        ("POST", SEND, FORM, format!("key={key}"), 400),
        ("POST", SEND, FORM, format!("id=&key={key}"), 400),
        ("POST", SEND, FORM, format!("id=1&id=1&key={key}"), 400),
        ("POST", SEND, FORM, format!("id={long}&key={key}"), 400),
        ("POST", UPDATE, FORM, format!("id=%C7%E0&key={key}"), 400),
        ("POST", CANCEL, FORM, "id=1&sum=".to_owned(), 400),
        ("POST", SEND, "application/json", "[1]".to_owned(), 400),
        ("POST", SEND, FORM, "id=1&key=nobody".to_owned(), 403),
        ("POST", CANCEL, FORM, "id=1&incity=nobody".to_owned(), 403),
        ("POST", "/reintegrations/requests/delete/retailcrm", FORM, format!("id=1&key={key}"), 404),
        ("GET", SEND, FORM, String::new(), 405),
        ("POST", SEND, FORM, format!("id=1&key={key}&x={big}"), 413),
        ("POST", SEND, "multipart/form-data; boundary=x", format!("id=1&key={key}"), 415),
    ];
    for (method, path, content_type, body, status) in cases {
        let case = format!("{method} {path} {content_type} {}", body.chars().take(20).collect::<String>());
        for (language, russian) in [("ru-RU,ru;q=0.9", true), ("en-US,en;q=0.9", false), ("", true)] {
            let answer = world.send(method, path, content_type, body.clone().into_bytes(), language).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, &answer.body["success"]), (status, &false.into()), "{case}: {}", answer.body);
            assert!(answer.content_type.starts_with("application/json"), "{case}: {}", answer.content_type);
            let said = answer.body["errorMsg"].as_str().unwrap_or_default();
            assert!(!said.is_empty() && is_russian(said) == russian, "{case} in {language:?}: {said}");
        }
    }
    // With something accepted beside it, nothing is not just what has not been stored yet.
    let order = world.place(0, 1, harness::Collect::Cash);
    world.fires(simulators::retailcrm::TriggerKind::Send, &order).await;
    world.settled("the good one is placed").await;
    let intents = world.ledger.count("SELECT COUNT(*) AS n FROM intents").await.expect("read");
    assert_eq!(intents, 1, "only the good one was stored");
    world.finish().await;
}
