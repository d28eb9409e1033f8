//! The console's pages on a store that has been in use for long: 20 integrations, 100,000 finished
//! deliveries, 1,000,000 rows of journal on PostgreSQL. Each is asked for one after the other, as
//! one person would.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::{Full, GROWING, LONG, Role, World, eventually};

use crate::end_to_end::ms;
use crate::measure::{Samples, say};
use crate::report::{Report, Target};
use crate::rig::lifted;

const FULL: Full = Full { deliveries: 100_000, journal: 1_000_000 };
const INTEGRATIONS: usize = 20;
const TURNS: usize = 15;
/// A page may take so long, ms.
const LIMIT: f64 = 50.0;
/// After so long without work a session of PostgreSQL has told all that it counted.
const COUNTED: Duration = Duration::from_secs(12);

/// The pages, each with what its address is; `{}` is an order's number.
const PAGES: [(&str, &str); 22] = [
    ("now", "/"),
    ("causes", "/causes"),
    ("causes of one integration", "/causes?integration=1&fault=shop"),
    ("failures", "/letters"),
    ("failures, closed ones too", "/letters?closed=1"),
    ("failures of one cause", "/letters?reason=bad_phone&integration=1"),
    ("failures of one order", "/letters?number={}"),
    ("waiting", "/waiting"),
    ("waiting of one integration", "/waiting?integration=1"),
    ("search for an order", "/orders?number={}"),
    ("search for an order by our old number", "/orders?number=P{}"),
    ("search for nothing", "/orders?number=nothing"),
    ("an order's story", "/orders/{of}/{}"),
    ("an order's preview", "/orders/{of}/{}/preview"),
    ("replays", "/replays"),
    ("a replay", "/replays/1"),
    ("integrations", "/integrations"),
    ("an integration", "/integrations/1"),
    ("an integration's settings", "/integrations/1/edit"),
    ("limits", "/budget"),
    ("acts", "/audit"),
    ("people", "/people"),
];

/// A console with somebody in it.
struct Open {
    http: reqwest::Client,
    at: String,
    cookie: String,
}

impl Open {
    async fn of(world: &World, at: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let link = world.bridge(&["console", "open", "--role", "owner", "--as", "Anna", "--json"]).await.json();
        let token = link["url"].as_str().and_then(|url| url.rsplit('/').next()).context("an address")?.to_owned();
        let enter = || http.post(format!("{at}/enter")).header("origin", at).form(&[("link", token.as_str())]).send();
        let entered =
            eventually("the console answers", LONG, || async { enter().await.map_err(|e| e.to_string()) }).await;
        let cookie = entered.headers().get("set-cookie").context("nobody is let in")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { http, at: at.to_owned(), cookie })
    }

    /// A page, and how long it took until its last byte.
    async fn get(&self, path: &str) -> anyhow::Result<(String, Duration)> {
        let begun = Instant::now();
        let answer = self.http.get(format!("{}{path}", self.at)).header("cookie", &self.cookie).send().await?;
        let status = answer.status().as_u16();
        let body = answer.text().await?;
        anyhow::ensure!([200, 303].contains(&status), "{path}: HTTP {status}");
        Ok((body, begun.elapsed()))
    }
}

/// The address of a list's next page.
fn next_of(page: &str) -> Option<String> {
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let next = links.map(|link| link.replace("&#38;", "&").replace("&amp;", "&"));
    next.into_iter().find(|link| ["before=", "after="].iter().any(|word| link.contains(word)))
}

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let [own, ops] = [free_address()?, free_address()?];
    let at = format!("http://{own}");
    let builder = World::scaled("bench-pages").with(Role::Worker, 0).with(Role::Scheduler, 0);
    let builder = lifted(builder).set("CONSOLE_LISTEN", &own).set("OPS_LISTEN", &ops);
    let mut world = builder.start().await;
    world.grow_to(INTEGRATIONS).await;
    say(format_args!("pages: filling a store"));
    FULL.fill(world.postgres().url.as_str()).await?;
    let whose = format!("SELECT integration_id AS n FROM deliveries WHERE number = '{}'", FULL.number());
    let of = world.ledger.count(&whose).await?.to_string();
    let before = read_through(&world).await?;
    let serving = world.serve(&["console", "serve"]);
    let open = Open::of(&world, &at).await?;
    for (name, path) in PAGES {
        let path = path.replace("{of}", &of).replace("{}", &FULL.number());
        let mut path = Some((name.to_owned(), path));
        while let Some((name, at)) = path.take() {
            let (page, _) = open.get(&at).await?;
            let mut samples = Samples::default();
            for _ in 0..TURNS {
                samples.add(open.get(&at).await?.1);
            }
            report.figure(format!("page, {name}: median"), ms(&samples, 0.5), "ms", Target::AtMost(LIMIT));
            report.figure(format!("page, {name}: longest"), ms(&samples, 1.0), "ms", Target::None);
            if !name.ends_with("next page") {
                path = next_of(&page).map(|at| (format!("{name}, next page"), at));
            }
        }
    }
    tokio::time::sleep(COUNTED).await;
    let after = read_through(&world).await?;
    report.figure("pages: growing tables that were read through", (after - before) as f64, "", Target::AtMost(0.0));
    drop(serving);
    world.discard().await;
    Ok(())
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// How often a growing table was read from its beginning to its end.
async fn read_through(world: &World) -> anyhow::Result<i64> {
    let tables = GROWING.map(|table| format!("'{table}'")).join(", ");
    let sql = format!("SELECT SUM(seq_scan)::BIGINT AS n FROM pg_stat_user_tables WHERE relname IN ({tables})");
    world.ledger.count(&sql).await
}
