//! Who may what: every address, tried by everybody, over a socket; and how people come in.

mod world;

use std::time::Duration;

use bridge_console::routes::{Needs, ROUTES, Route};
use shared::clock::Clock;
use shared::store::console::{LINK_LASTS, Person, Role, SESSION_LASTS, Vouched};
use world::World;

/// An address of a route, about things that are there.
fn address(route: &Route) -> String {
    let mut path = route.path.to_owned();
    let parts = if route.path.starts_with("/orders") { ["1", "1007A"] } else { ["1", "1"] };
    for part in parts {
        path = path.replacen("{}", part, 1);
    }
    path
}

const FIELDS: [(&str, &str); 10] = [
    ("reason", "bad_phone"),
    ("integration", "1"),
    ("hours", "1"),
    ("seen_until", "1"),
    ("why", "because"),
    ("work", "orders"),
    ("order", "0.1"),
    ("requested", "1"),
    ("seen", "1"),
    ("per_minute", "60"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_what_the_table_says_by_every_method_and_nothing_else() {
    let world = World::new().await;
    let tried = try_all(&world, async |role| world.session("Anna", role).await).await;
    assert_eq!(tried, 4 * 7 * ROUTES.len());
}

/// Signed in by a provider, who is away by now: nobody asks it again.
#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_the_same_with_the_session_of_a_provider() {
    let issuer = "http://127.0.0.1:9";
    let env = [
        ("CONSOLE_OIDC_ISSUER", issuer),
        ("CONSOLE_OIDC_CLIENT_ID", "console"),
        ("CONSOLE_OIDC_CLIENT_SECRET", "planted-client-secret"),
        ("CONSOLE_PUBLIC_URL", "http://127.0.0.1:1"),
    ];
    let world = World::with(&env, Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"))).await;
    let session = async |role| {
        let person = Person { name: "Anna".to_owned(), os_user: None, role };
        let by = Vouched { issuer, subject: "u1" };
        let token = world.store().sign_in_console(person, by, None).await.expect("in");
        format!("bridge_console_{}={}", world.address.port(), token.expose())
    };
    assert_eq!(try_all(&world, session).await, 4 * 7 * ROUTES.len());
}

/// Tries everything as everybody; how much that was.
async fn try_all(world: &World, session: impl AsyncFn(Role) -> String) -> usize {
    world.filled("Город", "Область").await;
    let mut tried = 0;
    for role in [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Owner)] {
        for route in ROUTES {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                // A session of its own: some acts end it.
                let cookie = match role {
                    Some(role) => Some(session(role).await),
                    None => None,
                };
                let token = match &cookie {
                    Some(cookie) if method == "POST" => world.token(cookie).await,
                    _ => String::new(),
                };
                let request = if method == "POST" {
                    let fields: Vec<_> =
                        FIELDS.into_iter().chain([("token", token.as_str()), ("session", "x")]).collect();
                    world.form(&address(route), cookie.as_deref(), &fields)
                } else {
                    world.request(method, &address(route), cookie.as_deref())
                };
                let got = world.send(request).await;
                let of_path = || ROUTES.iter().filter(|other| other.path == route.path);
                let asked = if method == "HEAD" { "GET" } else { method };
                let expected: &[u16] = match of_path().find(|other| other.method == asked) {
                    None => &[405],
                    // A one-time address that is none.
                    Some(found) if found.path == "/enter" => &[403],
                    // Nobody has begun to sign in, and there is no provider to do it at.
                    Some(found) if found.path.starts_with("/sign-in") => &[401, 403, 502],
                    Some(found) if found.needs == Needs::Nobody => &[200],
                    Some(found) => match (role, found.needs) {
                        (None, _) => &[401],
                        (Some(role), Needs::Role(needed)) if role < needed => &[403],
                        _ if asked == "GET" => &[200, 303],
                        // It was filled with something else.
                        _ if found.path == "/integrations/{}/edit" => &[422],
                        _ => &[303],
                    },
                };
                assert!(expected.contains(&got.status), "{role:?} {method} {}: {}", route.path, got.status);
                assert!(got.header("content-security-policy").starts_with("default-src 'none'"), "{}", route.path);
                assert!(!got.body.contains("planted"), "{}: a secret is shown", route.path);
                tried += 1;
            }
        }
    }
    tried
}

/// What acts changed, and who was refused.
async fn last(world: &World) -> (String, String, String) {
    let newest = world.audit().await.remove(0);
    (newest.who, newest.act, newest.after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_its_token_or_of_another_site_does_nothing_and_is_noted() {
    let world = World::new().await;
    let (city, _) = world.filled("Город", "Область").await;
    let cookie = world.session("Anna", Role::Operator).await;
    let other = world.session("Boris", Role::Operator).await;
    let (token, of_another) = (world.token(&cookie).await, world.token(&other).await);
    let path = format!("/integrations/{}/pause", city.id);
    for wrong in ["", "0000", of_another.as_str()] {
        let refused = world.post(&path, Some(&cookie), &[("token", wrong), ("why", "x")]).await;
        assert_eq!(refused.status, 403);
        assert_eq!(last(&world).await, ("Anna".to_owned(), "refused".to_owned(), r#"{"why":"form token"}"#.to_owned()));
    }
    let fields = [("token", token.as_str()), ("why", "x")];
    for origin in [None, Some("null"), Some("https://evil.example"), Some("http://127.0.0.1:1")] {
        let mut request = world.request("POST", &path, Some(&cookie)).form(&fields);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        assert_eq!(world.send(request).await.status, 403, "{origin:?}");
        let why = r#"{"why":"another site's form"}"#;
        assert_eq!(last(&world).await, ("Anna".to_owned(), "refused".to_owned(), why.to_owned()));
    }
    // A role that is too low is refused before anything else is looked at.
    let viewer = world.session("Vera", Role::Viewer).await;
    assert_eq!(world.act(&path, &viewer, &[("why", "x")]).await.status, 403);
    assert_eq!(last(&world).await.2, r#"{"why":"role"}"#);
    assert!(world.store().integration(city.id).await.expect("read").expect("there").is_active(), "nothing was done");
    let json = world.request("POST", &path, Some(&cookie)).header("origin", format!("http://{}", world.address));
    assert_eq!(world.send(json.header("content-type", "application/json").body("{}")).await.status, 403);

    assert_eq!(world.act(&path, &cookie, &[("why", "переезд")]).await.status, 303);
    let (who, act, after) = last(&world).await;
    assert_eq!((who.as_str(), act.as_str()), ("Anna", "paused"));
    assert!(after.contains("переезд"), "{after}");
    assert!(world.store().verify_audit(None).await.expect("read").flaws.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_address_is_good_once_and_for_five_minutes() {
    let world = World::new().await;
    let link = world.link("Anna", Role::Viewer).await;
    // Whoever only looks uses nothing up.
    let page = world.get(&format!("/enter/{}", link.expose()), None).await;
    assert!(page.status == 200 && page.body.contains("Войти"), "{page:?}");
    let entered = world.post("/enter", None, &[("link", link.expose())]).await;
    assert_eq!(entered.status, 303);
    let cookie = entered.header("set-cookie");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"] {
        assert!(cookie.contains(word), "{word}: {cookie}");
    }
    assert!(!cookie.contains(link.expose()), "the session's token is another");
    assert_eq!(last(&world).await, ("Anna".to_owned(), "signed_in".to_owned(), r#"{"role":"viewer"}"#.to_owned()));

    let again = world.post("/enter", None, &[("link", link.expose())]).await;
    assert!(again.status == 403 && again.body.contains("уже использован") && again.header("set-cookie").is_empty());
    assert_eq!(last(&world).await, ("Anna".to_owned(), "refused".to_owned(), r#"{"why":"used address"}"#.to_owned()));

    let late = world.link("Boris", Role::Owner).await;
    world.ctx.clock.advance(LINK_LASTS);
    let refused = world.post("/enter", None, &[("link", late.expose())]).await;
    assert!(refused.status == 403 && refused.body.contains("Время этого адреса вышло"), "{refused:?}");
    assert_eq!(last(&world).await.0, "Boris");
    assert_eq!(last(&world).await.2, r#"{"why":"expired address"}"#);

    let unknown = world.post("/enter", None, &[("link", "0000")]).await;
    assert_eq!((unknown.status, last(&world).await.2), (403, r#"{"why":"unknown address"}"#.to_owned()));
    let fresh = world.link("Anna", Role::Viewer).await;
    let foreign = world.request("POST", "/enter", None).header("origin", "https://evil.example");
    assert_eq!(world.send(foreign.form(&[("link", fresh.expose())])).await.status, 403);
    assert_eq!(world.post("/enter", None, &[("link", fresh.expose())]).await.status, 303, "and it was not used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_new_at_sign_in_and_ends_after_eight_hours_or_when_somebody_ends_it() {
    let world = World::new().await;
    // Planted by somebody else: their session, and one that never was.
    let planted = world.session("Eve", Role::Viewer).await;
    let name = planted.split('=').next().expect("a name").to_owned();
    for held in [planted.clone(), format!("{name}=0123456789abcdef")] {
        let link = world.link("Anna", Role::Operator).await;
        let entered = world.post("/enter", Some(&held), &[("link", link.expose())]).await;
        let cookie = entered.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        assert!(cookie != held && cookie.len() > name.len() + 60, "{cookie}");
        assert_eq!(world.get("/", Some(&held)).await.status, 401, "what was held before opens nothing any more");
        assert_eq!(world.get("/", Some(&cookie)).await.status, 200);
    }
    let cookie = world.session("Anna", Role::Viewer).await;
    let left = world.act("/leave", &cookie, &[]).await;
    assert!(left.status == 303 && left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    assert_eq!(world.get("/", Some(&cookie)).await.status, 401);
    assert_eq!(last(&world).await.1, "signed_out");

    let (boris, owner) = (world.session("Boris", Role::Viewer).await, world.session("Olga", Role::Owner).await);
    let people = world.get("/people", Some(&owner)).await.body;
    assert!(people.contains("Boris") && people.contains("Olga"));
    let sessions = world.store().console_sessions().await.expect("listed");
    let of_boris = sessions.iter().find(|session| session.person.name == "Boris").expect("there").hash.clone();
    assert_eq!(world.act("/people/end", &owner, &[("session", &of_boris), ("back", "/people")]).await.status, 303);
    assert_eq!(world.get("/", Some(&boris)).await.status, 401);
    assert_eq!(world.get("/", Some(&format!("{name}={of_boris}"))).await.status, 401, "a session's name opens nothing");

    world.ctx.clock.advance(SESSION_LASTS - Duration::from_secs(1));
    assert_eq!(world.get("/", Some(&owner)).await.status, 200);
    world.ctx.clock.advance(Duration::from_secs(1));
    assert_eq!(world.get("/", Some(&owner)).await.status, 401);
}

fn by_proxy(proxies: &str) -> Vec<(&'static str, String)> {
    vec![
        ("CONSOLE_USER_HEADER", "X-Remote-User".to_owned()),
        ("CONSOLE_GROUPS_HEADER", "X-Remote-Groups".to_owned()),
        ("CONSOLE_TRUSTED_PROXIES", proxies.to_owned()),
    ]
}

async fn behind(proxies: &str) -> World {
    let env = by_proxy(proxies);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    World::with(&env, Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_who_somebody_is_and_what_they_may() {
    let world = behind("127.0.0.0/8").await;
    let (city, _) = world.filled("Город", "Область").await;
    let path = format!("/integrations/{}/sync", city.id);
    let as_user = |request: reqwest::RequestBuilder, user: &str, groups: &str| {
        request.header("x-remote-user", user).header("x-remote-groups", groups)
    };
    for (groups, page, people, act) in [
        ("staff,bridge-viewer", 200, 403, 403),
        ("bridge-operator", 200, 403, 303),
        ("bridge-viewer,bridge-owner", 200, 200, 303),
        ("staff", 403, 403, 403),
        ("", 403, 403, 403),
    ] {
        for (path, expected) in [("/", page), ("/people", people)] {
            let got = world.send(as_user(world.request("GET", path, None), "anna", groups)).await;
            assert_eq!(got.status, expected, "{groups} {path}");
        }
        let page = world.send(as_user(world.request("GET", "/audit", None), "anna", groups)).await.body;
        let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
        let token =
            if token.is_empty() { world.store().key.sign("console form", "proxy anna") } else { token.to_owned() };
        let form = world.form(&path, None, &[("token", &token)]);
        assert_eq!(world.send(as_user(form, "anna", groups)).await.status, act, "{groups}");
    }
    // The token is of one user.
    let token = world.store().key.sign("console form", "proxy anna");
    let form = world.form(&path, None, &[("token", &token)]);
    assert_eq!(world.send(as_user(form, "boris", "bridge-owner")).await.status, 403);
    assert_eq!(last(&world).await.0, "boris");
    let twice = as_user(world.request("GET", "/", None), "anna", "bridge-viewer").header("x-remote-user", "eve");
    assert_eq!(world.send(twice).await.status, 401, "two names are none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_by_an_address_that_nobody_trusts_is_no_name_and_is_noted() {
    let world = behind("10.0.0.5").await;
    world.filled("Город", "Область").await;
    let request = world.request("GET", "/", None).header("x-remote-user", "anna");
    assert_eq!(world.send(request.header("x-remote-groups", "bridge-owner")).await.status, 401);
    assert_eq!(
        last(&world).await,
        ("stranger".to_owned(), "refused".to_owned(), r#"{"why":"untrusted proxy"}"#.to_owned())
    );
    // One-time addresses work on this machine as ever.
    let cookie = world.session("Anna", Role::Viewer).await;
    assert_eq!(world.get("/", Some(&cookie)).await.status, 200);
    let both = world.request("GET", "/people", Some(&cookie)).header("x-remote-user", "olga");
    assert_eq!(
        world.send(both.header("x-remote-groups", "bridge-owner")).await.status,
        403,
        "the session's role counts"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_fill_the_audit() {
    let world = World::new().await;
    for _ in 0..60 {
        world.post("/enter", None, &[("link", "guess")]).await;
    }
    assert_eq!(world.audit().await.iter().filter(|act| act.act == "refused").count(), 30);
}
