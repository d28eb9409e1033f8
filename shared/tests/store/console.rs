//! Who is let into the console: each address once, each session until its end.

use shared::store::audit::{AuditFilter, Who};
use shared::store::console::{LINK_LASTS, NoEntry, Person, Role, SESSION_LASTS};

use crate::bench::Bench;

fn person(name: &str, role: Role) -> Person {
    Person { name: name.to_owned(), os_user: Some("root".to_owned()), role }
}

async fn link(bench: &Bench, name: &str, role: Role) -> String {
    let who = Who::at_machine(None, "root".to_owned());
    let token = bench.store.make_console_link(&person(name, role), &who).await.expect("made");
    token.expose().to_owned()
}

async fn acts(bench: &Bench) -> Vec<String> {
    let all = AuditFilter { limit: 50, ..AuditFilter::default() };
    let found = bench.store.audit(&all).await.expect("listed");
    found.into_iter().map(|one| format!("{} {} {}", one.who, one.act, one.object)).collect()
}

async fn an_address_lets_one_in_even_when_two_use_it_at_once(bench: &Bench) {
    let token = link(bench, "Анна", Role::Operator).await;
    let neighbour = bench.neighbour().await;
    let (one, other) = tokio::join!(bench.store.enter_console(&token, None), neighbour.enter_console(&token, None));
    let (one, other) = (one.expect("asked"), other.expect("asked"));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    let (entered, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(refused, Err(NoEntry::Used(person("Анна", Role::Operator))));
    let (token, session) = entered.expect("in");
    let found = bench.store.console_session(token.expose()).await.expect("asked").expect("in");
    assert_eq!((&found, found.person.role), (&session, Role::Operator));
    assert_eq!(bench.store.console_session(&session.hash).await.expect("asked"), None, "its name opens nothing");
    assert_eq!(bench.store.enter_console("guess", None).await.expect("asked"), Err(NoEntry::Unknown));
    assert_eq!(acts(bench).await, ["Анна signed_in console", "root invited console user Анна"]);
    assert!(bench.store.verify_audit(None).await.expect("read").flaws.is_empty());
}

async fn an_address_and_a_session_end_by_themselves(bench: &Bench) {
    let late = link(bench, "Анна", Role::Viewer).await;
    bench.clock().advance(LINK_LASTS);
    let refused = bench.store.enter_console(&late, None).await.expect("asked");
    assert_eq!(refused, Err(NoEntry::Expired(person("Анна", Role::Viewer))));
    let token = link(bench, "Анна", Role::Viewer).await;
    let (token, _) = bench.store.enter_console(&token, None).await.expect("asked").expect("in");
    let is_in = async || bench.store.console_session(token.expose()).await.expect("asked").is_some();
    bench.clock().advance(SESSION_LASTS - std::time::Duration::from_millis(1));
    assert!(is_in().await);
    bench.pass(1);
    assert!(!is_in().await && bench.store.console_sessions().await.expect("listed").is_empty());
    // What is long over is forgotten with the next one.
    bench.pass(48 * 3600);
    link(bench, "Boris", Role::Viewer).await;
    assert_eq!(bench.store.enter_console(&late, None).await.expect("asked"), Err(NoEntry::Unknown));
}

async fn a_new_session_takes_the_place_of_the_one_that_was_held(bench: &Bench) {
    let enter = async |name: &str, held: Option<&str>| {
        let token = link(bench, name, Role::Owner).await;
        bench.store.enter_console(&token, held).await.expect("asked").expect("in")
    };
    let (planted, _) = enter("Eve", None).await;
    let (own, session) = enter("Анна", Some(planted.expose())).await;
    assert_ne!(planted.expose(), own.expose());
    assert!(bench.store.console_session(planted.expose()).await.expect("asked").is_none());
    let who = session.person.who();
    assert!(bench.store.end_console_session(&session.hash, &who).await.expect("asked"));
    assert!(!bench.store.end_console_session(&session.hash, &who).await.expect("asked"), "there is none any more");
    assert!(bench.store.console_session(own.expose()).await.expect("asked").is_none());
    assert_eq!(acts(bench).await[0], "Анна signed_out console user Анна");
}

contract![
    an_address_lets_one_in_even_when_two_use_it_at_once,
    an_address_and_a_session_end_by_themselves,
    a_new_session_takes_the_place_of_the_one_that_was_held,
];
