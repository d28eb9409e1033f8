//! An operator's night: 20 integrations, 300 failures of five causes, one account that refuses, one
//! that hangs, one whose password was changed. Each of ten questions is answered by one command
//! and by one page, over either installation.

use std::time::{Duration, Instant};

use harness::{Builder, Cli, Collect, Console, LONG, Placed, World, a_parcel, within};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind::Send;

use crate::load::all_accepted;

/// RetailCRM accounts, of two integrations each.
const ACCOUNTS: usize = 10;
const LETTERS: usize = 300;
/// The first so many have failures, each as many of each cause.
const FAILING: usize = 6;
const REFUSING: usize = 15;
const HANGING: usize = 16;
const LOCKED_OUT: usize = 17;
/// Of these an order's trigger never came.
const MISSED: [usize; 2] = [18, 19];

/// Reasons, with who must act.
const CAUSES: [(&str, &str); 5] = [
    ("bad_phone", "shop"),
    ("no_address", "shop"),
    ("sum_mismatch", "shop"),
    ("order_not_found", "shop"),
    ("unknown_code", "courier"),
];
const OF_A_CAUSE: usize = LETTERS / CAUSES.len();
const OF_A_CAUSE_AND_SHOP: usize = OF_A_CAUSE / FAILING;
/// Where the page tries one cause of one integration again.
const TRIED_ON_THE_PAGE: usize = 4;
const A_MINUTE: u64 = 20;
/// No integration is synced while the story lasts.
const SYNC_S: u64 = 3600;

/// The nth order that fails.
fn failing(world: &World, n: usize) -> Placed {
    let (cause, shop) = (n % CAUSES.len(), n / CAUSES.len() % FAILING);
    // MeaSoft refuses what has a K.
    let number = format!("{}{n}", if cause == 4 { "K" } else { "L" });
    let (order, collect) = a_parcel(n, &number, &world.shops[shop].delivery_type, Collect::Cash);
    let order = match cause {
        0 => order.text("phone", "нет"),
        1 => order.address("Москва", ""),
        2 => order.item("Ваза", 10_000, 1, 100),
        3 => return Placed { shop, id: 0, number, collect: 0 },
        _ => order,
    };
    world.place_as(shop, &number, order, collect)
}

/// Looks again twice a second: a command is a process.
async fn until<Fut: Future<Output = Result<(), String>>>(label: &str, look: impl FnMut() -> Fut) {
    let seen = within(LONG, Duration::from_millis(500), look).await;
    seen.unwrap_or_else(|seen| panic!("in vain: {label}; last seen: {seen}"));
}

struct Night<'a> {
    world: &'a World,
    console: Console<'a>,
    letters: Vec<Placed>,
}

impl Night<'_> {
    async fn said(&self, arguments: &[&str]) -> Cli {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--as", "Анна", "--json"]).collect();
        self.world.bridge(&arguments).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        self.said(arguments).await.json()
    }

    fn id(&self, shop: usize) -> String {
        self.world.shops[shop].integration.to_string()
    }

    /// The nth order that fails for a cause.
    fn of(&self, cause: usize, n: usize) -> &Placed {
        &self.letters[n * CAUSES.len() + cause]
    }

    fn all_of(&self, cause: usize) -> impl Iterator<Item = &Placed> {
        self.letters.iter().skip(cause).step_by(CAUSES.len())
    }

    fn at(&self, order: &Placed) -> String {
        format!("/orders/{}/{}", self.id(order.shop), order.number)
    }

    async fn is_placed(&self, order: &Placed) {
        let orderno = self.world.orderno(order);
        until(&format!("{orderno} is placed"), || async {
            self.world.measoft.order(&orderno).map(|_| ()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
    }

    /// The open failure of an order.
    async fn letter(&self, order: &Placed) -> String {
        let all = self.json(&["dead", "list", "--integration", &self.id(order.shop)]).await;
        let of_it = list(&all).iter().find(|dead| dead["order"] == order.number.as_str());
        of_it.unwrap_or_else(|| panic!("no letter of {}: {all}", order.number))["id"].to_string()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}"))
}

/// What is said of an integration in a list.
fn row<'a>(rows: &'a Value, world: &World, shop: usize) -> &'a Value {
    let found = list(rows).iter().find(|row| row["integration"] == world.shops[shop].integration);
    found.unwrap_or_else(|| panic!("nothing of shop {shop}: {rows}"))
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))).expect("small")
}

/// The text of a page after some words, up to a mark.
fn after<'a>(page: &'a str, words: &str, end: &str) -> &'a str {
    let rest = page.split(words).nth(1).unwrap_or_else(|| panic!("no «{words}» in {page}"));
    rest.split(end).next().unwrap_or_default()
}

/// Failures, and three accounts in trouble. Answers the password that was good.
async fn begin(world: &World) -> (Vec<Placed>, String) {
    let cabinet = |shop: usize| &world.shops[shop].cabinet;
    let refused = FaultAction::Refuse { code: 999, text: "Отказано".to_owned() };
    let busy = FaultAction::Status { status: 503, retry_after: None, act: false };
    world.measoft.set_faults(vec![
        FaultRule::new(refused).op("neworder").orderno("K"),
        FaultRule::new(busy).account(cabinet(REFUSING)),
        FaultRule::new(FaultAction::Hang).op("neworder").account(cabinet(HANGING)),
    ]);
    let mut password = String::new();
    let changed = |account: &mut simulators::measoft::Account| {
        password = std::mem::replace(&mut account.pass, "another".to_owned());
    };
    assert!(world.measoft.update_account(cabinet(LOCKED_OUT), changed));
    world.take_history_slots(SYNC_S, Duration::from_secs(600)).await.expect("taken");
    let letters: Vec<Placed> = (0..LETTERS).map(|n| failing(world, n)).collect();
    let mut waiting = vec![world.place(HANGING, 901, Collect::Cash), world.place(LOCKED_OUT, 902, Collect::Cash)];
    waiting.extend((910..916).map(|n| world.place(REFUSING, n, Collect::Cash)));
    let sends: Vec<_> = waiting.iter().chain(&letters).map(|order| (Send, order)).collect();
    all_accepted(&world.storm(&sends, 32).await);
    until("all have failed", || async {
        let open = world.ledger.count("SELECT COUNT(*) AS n FROM dead_letters WHERE state = 'open'").await;
        let open = open.map_err(|error| error.to_string())?;
        if usize::try_from(open) == Ok(LETTERS) { Ok(()) } else { Err(format!("{open} have")) }
    })
    .await;
    (letters, password)
}

impl Night<'_> {
    /// 1: which fails? 2: why? 3: who must act?
    async fn what_fails(&self) {
        let now = self.json(&["now"]).await;
        let page = self.console.page("/").await;
        let each = OF_A_CAUSE_AND_SHOP;
        for shop in 0..FAILING {
            let failures = &row(&now["integrations"], self.world, shop)["failures"];
            assert_eq!((number(&failures["shop"]), number(&failures["courier"])), (4 * each, each), "{failures}");
        }
        for (count, who) in [(4 * each, "исправляет магазин"), (each, "решает курьерская служба")]
        {
            assert_eq!(page.matches(&format!("<b>{count}</b> · {who}")).count(), FAILING, "{page}");
        }
        for shop in 0..self.world.shops.len() {
            assert!(page.contains(&format!("href=\"/integrations/{}\"", self.id(shop))), "shop {shop}: {page}");
        }

        let (causes, page) = (self.json(&["causes"]).await, self.console.page("/causes").await);
        for (reason, fault) in CAUSES {
            let of_it = || list(&causes).iter().filter(|cause| cause["reason"] == reason);
            let letters: usize = of_it().map(|cause| number(&cause["count"])).sum();
            assert_eq!((of_it().count(), letters), (FAILING, OF_A_CAUSE), "{reason}: {causes}");
            for cause in of_it() {
                let told = ["text", "next_step", "first_seen"].map(|name| cause[name].as_str().unwrap_or_default());
                assert!(cause["fault"] == fault && told.iter().all(|text| !text.is_empty()), "{cause}");
            }
            assert_eq!(page.matches(&format!("<code>{reason}</code>")).count(), FAILING, "{reason}: {page}");
        }
        let (mine, page) =
            (self.json(&["causes", "--fault", "courier"]).await, self.console.page("/causes?fault=courier").await);
        assert!(list(&mine).iter().all(|cause| cause["reason"] == "unknown_code") && list(&mine).len() == FAILING);
        assert!(page.contains("unknown_code") && !page.contains("bad_phone"), "{page}");
    }

    /// 6: what waits, and why?
    async fn what_waits(&self) {
        let login = |shop: usize| self.world.shops[shop].cabinet.split_once(':').expect("extra:login").1;
        let why = [(REFUSING, "breaker_open"), (HANGING, "in_hand"), (LOCKED_OUT, "paused")];
        until("a command says why each waits", || async {
            let look = self.json(&["waiting"]).await;
            let waits = |(shop, cause): &(usize, &str)| {
                let of_it = |row: &&Value| row["integration"] == self.world.shops[*shop].integration;
                list(&look["waiting"]).iter().filter(of_it).any(|row| row["what"] == "orders" && row["cause"] == *cause)
            };
            let held = list(&look["breakers"]).iter().any(|held| {
                held["name"].as_str().is_some_and(|name| name.ends_with(&format!("login {}", login(REFUSING))))
            });
            let paused = row_by(&look["paused"], "by", "courier_credentials");
            if why.iter().all(waits) && held && paused { Ok(()) } else { Err(look.to_string()) }
        })
        .await;
        let words = [
            "отдыхает после отказов до".to_owned(),
            format!("логин {}", login(REFUSING)),
            "в работе".to_owned(),
            "курьерская служба не принимает логин и пароль".to_owned(),
        ];
        until("a page says why each waits", || async {
            let page = self.console.page("/waiting").await;
            if words.iter().all(|words| page.contains(words)) { Ok(()) } else { Err(page) }
        })
        .await;
    }

    /// 7: what would be sent? 5: a phone is mended, and tried again.
    async fn a_phone_is_mended(&self) {
        let [by_command, by_page] = [self.of(0, 0), self.of(0, 1)];
        for order in [by_command, by_page] {
            let account = self.world.shops[order.shop].account;
            assert!(self.world.crm.edit(account, order.id, |order| order.set_phone("+7 (916) 555-00-77")));
        }
        let id = self.id(by_command.shop);
        let seen = self.json(&["order", "preview", &by_command.number, "--integration", &id]).await;
        assert_eq!(seen["decisions"][0]["decision"], "create", "{seen}");
        let request = &list(&seen["requests"])[0];
        assert_eq!((&request["op"], list(&request["ordernos"]).len()), (&"neworder".into(), 1), "{seen}");
        let at = format!("{}/preview", self.at(by_page));
        assert_eq!(self.console.act(&at, &[]).await, at);
        let page = self.console.ended(&at).await;
        assert!(page.contains("будет создан в MeaSoft") && page.contains("neworder"), "{page}");
        for order in [by_command, by_page] {
            assert!(self.world.measoft.order(&self.world.orderno(order)).is_none(), "looking sends nothing");
        }
        let letter = self.letter(by_command).await;
        assert_eq!(self.json(&["dead", "replay", &letter]).await["replayed"][0].to_string(), letter);
        let path = format!("/letters/{}/replay", self.letter(by_page).await);
        assert!(self.console.act(&path, &[("back", "/letters")]).await.ends_with("done=replayed"));

        // Where the shop is asleep, for this order alone.
        let [corrected, on_the_page] = [self.of(0, 2), self.of(0, 3)];
        let id = self.id(corrected.shop);
        let arguments = ["order", "correct", &corrected.number, "--integration", &id, "--phone", "+7 903 765-43-21"];
        assert_eq!(self.json(&arguments).await["version"], 1);
        let at = format!("{}/correct", self.at(on_the_page));
        let fields = [("seen", "0"), ("phone", "8 903 765-43-21"), ("back", "/")];
        assert!(self.console.act(&at, &fields).await.ends_with("done=corrected"));
        for order in [by_command, by_page, corrected, on_the_page] {
            self.is_placed(order).await;
        }
        for order in [corrected, on_the_page] {
            let there = self.world.measoft.order(&self.world.orderno(order)).expect("placed");
            assert_eq!(there.receiver.phone, "+79037654321");
        }
    }

    /// 8: one is paused, whoever does it where, and goes on.
    async fn one_is_paused(&self) {
        let [by_command, by_page] = [self.id(12), self.id(13)];
        self.json(&["integration", "pause", &by_command, "--why", "переезд склада"]).await;
        let why = [("why", "учёт товара"), ("back", "/")];
        self.console.act(&format!("/integrations/{by_page}/pause"), &why).await;
        let (now, page) = (self.json(&["now"]).await, self.console.page("/").await);
        for (shop, why) in [(12, "переезд склада"), (13, "учёт товара")] {
            let found = row(&now["integrations"], self.world, shop);
            assert_eq!((&found["paused_by"], &found["paused_reason"]), (&"operator".into(), &why.into()), "{found}");
            assert!(page.contains(&format!("приостановлена администратором: {why}")), "{page}");
        }
        self.json(&["integration", "resume", &by_page]).await;
        self.console.act(&format!("/integrations/{by_command}/resume"), &[("back", "/")]).await;
        let now = self.json(&["now"]).await;
        assert!([12, 13].iter().all(|shop| row(&now["integrations"], self.world, *shop)["state"] == "active"), "{now}");
    }

    /// 9: what is left of each account's budget?
    async fn what_is_left(&self) {
        let spent = self.json(&["budget"]).await;
        let page = self.console.page("/budget").await;
        for shop in 0..FAILING {
            let (extra, login) = self.world.shops[shop].cabinet.split_once(':').expect("extra:login");
            let name = format!("courier {extra} login {login}");
            let is_it = |account: &&Value| account["account"].as_str().is_some_and(|found| found.ends_with(&name));
            let account = list(&spent["accounts"]).iter().find(is_it).unwrap_or_else(|| panic!("{name}: {spent}"));
            let windows = list(&account["windows"]);
            assert_eq!(windows.len(), 3, "{account}");
            assert!(windows.iter().all(|one| number(&one["used"]) <= number(&one["limit"])), "{account}");
            let own = windows.iter().find(|one| one["window"] == "account_hour").expect("the account's own");
            assert!(number(&own["used"]) > 0, "{account}");
            let card = after(&page, &format!("служба {extra}, логин {login}</code>"), "</section>");
            assert!(
                card.contains(&format!("из {}", own["limit"])) && card.contains("за час учётной записью"),
                "{card}"
            );
        }
    }
}

fn row_by(rows: &Value, field: &str, value: &str) -> bool {
    list(rows).iter().any(|row| row[field] == value)
}

impl Night<'_> {
    fn mend(&self, order: &Placed, mend: impl FnOnce(&mut simulators::retailcrm::OrderDraft)) {
        assert!(self.world.crm.edit(self.world.shops[order.shop].account, order.id, mend), "{}", order.number);
    }

    /// 4: one cause is tried again at a pace, stopped half-way, and then to its end.
    async fn a_cause_is_tried_again(&self) {
        self.all_of(1).for_each(|order| self.mend(order, |order| order.set_address("Москва", "ул. Новая, 5")));
        let of_one_shop = |order: &&Placed| order.shop == TRIED_ON_THE_PAGE;
        self.all_of(2).filter(of_one_shop).for_each(|order| self.mend(order, |order| order.adjust_payment()));
        let pace = A_MINUTE.to_string();
        let planned = self.json(&["replay", "plan", "--reason", "no_address", "--per-minute", &pace]).await;
        assert_eq!((number(&planned["letters"]), &planned["state"]), (OF_A_CAUSE, &"planned".into()), "{planned}");
        let id = planned["id"].to_string();
        let place = self.id(TRIED_ON_THE_PAGE);
        let of = [("reason", "sum_mismatch"), ("integration", place.as_str()), ("back", "/causes")];
        let at = self.console.act("/causes/replay", &of).await;
        let at = at.strip_suffix("?done=planned").unwrap_or_else(|| panic!("{at}")).to_owned();
        assert!(self.console.page(&at).await.contains(&format!("неудач: {OF_A_CAUSE_AND_SHOP}")));
        let act = async |what: &str, fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().copied().chain([("back", &*at)]).collect();
            self.console.act(&format!("{at}/{what}"), &fields).await
        };
        act("pace", &[("per_minute", &pace)]).await;

        let begun = Instant::now();
        self.json(&["replay", "start", &id]).await;
        assert!(act("start", &[]).await.ends_with("done=replay-started"));
        let count = |page: &str, name: &str| -> usize {
            after(page, &format!("<dt>{name}</dt><dd>"), "<").parse().expect("a number")
        };
        until("both are on their way", || async {
            let shown = self.json(&["replay", "show", &id]).await;
            let page = self.console.page(&at).await;
            let done = (number(&shown["counts"]["done"]), count(&page, "Удалось"));
            if done.0 >= 2 && done.1 >= 2 { Ok(()) } else { Err(format!("{done:?}")) }
        })
        .await;
        let stopped = self.json(&["replay", "stop", &id]).await;
        assert!(act("stop", &[]).await.ends_with("done=replay-stopped"));
        // A turn at once, then one each three seconds.
        let most = 1 + begun.elapsed().as_secs() * A_MINUTE / 60;
        let queued = number(&stopped["counts"]["queued"]);
        let turns = OF_A_CAUSE - queued;
        assert!(stopped["state"] == "stopped" && turns as u64 <= most, "{turns} of {most}: {stopped}");
        let page = self.console.page(&at).await;
        let left = count(&page, "В очереди");
        assert!(page.contains("остановлен") && (1..OF_A_CAUSE_AND_SHOP - 1).contains(&left), "half-way: {page}");
        until("what had no turn stays open", || async {
            let open = |causes: &Value| list(causes).iter().map(|cause| number(&cause["count"])).sum::<usize>();
            let all = open(&self.json(&["causes", "--reason", "no_address"]).await);
            let here = open(&self.json(&["causes", "--reason", "sum_mismatch", "--integration", &place]).await);
            if (all, here) == (queued, left) { Ok(()) } else { Err(format!("{all} and {here}")) }
        })
        .await;

        self.json(&["replay", "pace", &id, "--per-minute", "6000"]).await;
        self.json(&["replay", "start", &id]).await;
        act("pace", &[("per_minute", "6000")]).await;
        act("start", &[]).await;
        until("both come to their end", || async {
            let shown = self.json(&["replay", "show", &id]).await;
            let page = self.console.page(&at).await;
            let done = (number(&shown["counts"]["done"]), count(&page, "Удалось"));
            if done == (OF_A_CAUSE, OF_A_CAUSE_AND_SHOP) { Ok(()) } else { Err(format!("{done:?}")) }
        })
        .await;
    }

    /// 10: yesterday is compared, and what is missing made good.
    async fn yesterday_is_compared(&self) {
        // Moscow is three hours ahead.
        let day = (Timestamp::now() - SignedDuration::from_hours(24 - 3)).to_string()[..10].to_owned();
        let missed = |shop: usize| {
            let number = format!("M{shop}");
            let (order, collect) = a_parcel(shop, &number, &self.world.shops[shop].delivery_type, Collect::Cash);
            self.world.place_as(shop, &number, order.created_at(&format!("{day} 12:00:00")), collect)
        };
        let [here, there] = MISSED;
        let order = missed(here);
        let said = self.said(&["compare", "--day", &day, "--repair"]).await;
        let read: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        assert_eq!((said.code, &read["agree"]), (1, &false.into()), "{read}");
        let found = row(&read["integrations"], self.world, here);
        assert_eq!((&found["found"][0]["what"], &found["found"][0]["order"]), (&"missing".into(), &"M18".into()));
        assert_eq!(found["asked_for"]["send"], 1, "{found}");
        // Nobody waits for the account that refuses.
        let refusing = row(&read["integrations"], self.world, REFUSING);
        assert!(refusing["error"].as_str().is_some_and(|error| !error.is_empty()), "{refusing}");
        self.is_placed(&order).await;

        let order = missed(there);
        let place = self.id(there);
        let of = [("day", day.as_str()), ("integration", place.as_str())];
        let at = self.console.act("/compare", &of).await;
        let page = self.console.ended(&at).await;
        assert!(page.contains("не передан") && page.contains(&self.at(&order)), "{page}");
        let done = self.console.act("/compare/repair", &[of[0], of[1], ("back", &at)]).await;
        assert!(done.ends_with("done=repaired"), "{done}");
        self.is_placed(&order).await;
    }
}

async fn each_question_is_answered(installation: Builder) {
    let world = installation
        .accounts(ACCOUNTS)
        .setting("send_statuses=SentMeaSoft")
        .set("SYNC_INTERVAL_S", &SYNC_S.to_string())
        .set("BREAKER_OPEN_S", "2")
        .console()
        .start()
        .await;
    let (letters, password) = begin(&world).await;
    let night = Night { world: &world, console: world.console("operator", "Анна").await, letters };
    night.what_fails().await;
    night.what_waits().await;
    night.yesterday_is_compared().await;
    // The courier is well again, and the password right: of those nobody has to do anything.
    world.measoft.clear_faults();
    assert!(world.measoft.update_account(&world.shops[LOCKED_OUT].cabinet, |account| account.pass = password));
    night.a_phone_is_mended().await;
    night.one_is_paused().await;
    night.a_cause_is_tried_again().await;
    night.what_is_left().await;

    let Night { letters, .. } = night;
    world.served("what waited is placed").await;
    for (n, order) in letters.iter().enumerate() {
        let (cause, nth) = (n % CAUSES.len(), n / CAUSES.len());
        let mended = match cause {
            0 => nth < 4,
            1 => true,
            2 => order.shop == TRIED_ON_THE_PAGE,
            _ => false,
        };
        if !mended {
            world.expect_dead_letter(&order.number, CAUSES[cause].0);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_questions_of_a_night_are_answered_by_a_command_and_a_page_in_one_process() {
    each_question_is_answered(World::embedded("night")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_questions_of_a_night_are_answered_by_a_command_and_a_page_scaled_out() {
    each_question_is_answered(World::scaled("night-scaled")).await;
}
