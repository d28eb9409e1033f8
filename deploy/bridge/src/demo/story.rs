//! What is told: orders of all sorts, lost answers, repeats, changes, and the ledger held against
//! the simulators' own record.

use std::collections::BTreeSet;
use std::time::Instant;

use bridge_console::seen::story::Story;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use shared::domain::{CrmOrderId, Delivery};
use shared::phrases::Reader;
use shared::store::dead_letters::DeadFilter;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::{AccountId, OrderBuilder, TriggerKind, an_order};

use super::stage::Stage;
use crate::args::Demo;
use crate::language::language;
use crate::order;
use crate::output::{Output, bold, dim, green, red};
use crate::stdout::say;

/// What a demo order shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    CashOnDelivery,
    PaidOnSite,
    /// Unpaid, but to be paid on the site: nothing to collect at the door.
    ToPayOnSite,
    PartlyPaid,
    BadPhone,
    WrongSum,
}

struct Placed {
    shop: usize,
    id: i64,
    number: String,
    sort: Sort,
    /// Kopecks the courier has to collect.
    collect: i64,
}

fn build(number: &str, n: u32, sort: Sort, delivery_type: &str) -> (OrderBuilder, i64) {
    let price = 100_000 + i64::from(n) * 1_017;
    let fee = 35_000;
    let total = 2 * price + fee;
    let order = an_order()
        .number(number)
        .delivery_type(delivery_type)
        .status("SentMeaSoft")
        .item("Стул складной", price, 2, 2300)
        .delivery_cost(fee)
        .receiver("Петрова Анна", "+7 (916) 000-11-22")
        .address("Москва", "ул. Льва Толстого, д. 16, кв. 42");
    match sort {
        Sort::CashOnDelivery => (order.payment("cash", total, "not-paid"), total),
        Sort::PaidOnSite => (order.payment("bank-card", total, "paid"), 0),
        Sort::ToPayOnSite => (order.payment("2", total, "not-paid"), 0),
        Sort::PartlyPaid => {
            (order.payment("bank-card", 50_000, "paid").payment("cash", total - 50_000, "not-paid"), total - 50_000)
        }
        Sort::BadPhone => (order.payment("cash", total, "not-paid").receiver("Петрова Анна", "нет"), total),
        Sort::WrongSum => (order.payment("cash", total - 12_345, "not-paid"), 0),
    }
}

/// True when the ledger is right.
pub(super) async fn tell(args: &Demo, out: &Output, stage: &Stage) -> anyhow::Result<bool> {
    let orders = place(args.orders, stage);
    let mut accepted = send_all(stage, &orders).await?;
    accepted += save_again(stage, &orders).await?;
    let (changed, moved, mended) = (&orders[0], &orders[1], &orders[3]);
    accepted += change(stage, changed, moved, mended).await?;
    let differences = stage.check(&orders, moved, changed).await?;
    let eventful = stage.most_eventful(&orders).await?;
    if !out.json {
        say!();
        let reader = Reader::new(language(), stage.ctx.config.display_zone.clone());
        order::lines(&eventful, false, false, &reader).iter().for_each(|line| say!("{line}"));
        say!();
    }
    sum_up(out, accepted, &stage.counts().await?, &differences);
    Ok(differences.is_empty())
}

/// Puts the orders into RetailCRM, in turn over the shops.
fn place(count: u32, stage: &Stage) -> Vec<Placed> {
    let order = |n: u32| {
        let shop = (n as usize) % stage.shops.len();
        let sort = match n {
            3 => Sort::BadPhone,
            4 => Sort::WrongSum,
            _ => [Sort::CashOnDelivery, Sort::PaidOnSite, Sort::ToPayOnSite, Sort::PartlyPaid][(n as usize) % 4],
        };
        let number = format!("{}{}", 1001 + n, if n.is_multiple_of(2) { "A" } else { "C" });
        let (builder, collect) = build(&number, n, sort, stage.shops[shop].delivery_type);
        let id = stage.crm.add_order(stage.shops[shop].account, builder);
        Placed { shop, id, number, sort, collect }
    };
    (0..count).map(order).collect()
}

/// Every order once, every second one again: a send trigger fires on each later save. Answers how
/// many were accepted.
async fn send_all(stage: &Stage, orders: &[Placed]) -> anyhow::Result<usize> {
    stage.measoft.set_faults(vec![
        FaultRule::new(FaultAction::FailAfter).op("neworder").every(3),
        FaultRule::new(FaultAction::Html { status: 200, act: false }).op("neworder").skip(1).first(1),
    ]);
    let mut triggers: Vec<&Placed> = orders.iter().collect();
    triggers.extend(orders.iter().step_by(2));
    stage.say.line(&format!(
        "  {} orders; MeaSoft loses every third answer after acting, and sends one HTML page",
        orders.len()
    ));
    let begun = Instant::now();
    let sending = triggers.iter().map(|order| stage.fire(TriggerKind::Send, order));
    let answers: Vec<usize> = futures_util::stream::iter(sending).buffer_unordered(16).try_collect().await?;
    let accepted = answers.iter().sum();
    stage.say.line(&format!(
        "  {accepted} of {} send triggers answered 200 in {} ms",
        triggers.len(),
        begun.elapsed().as_millis()
    ));
    stage.settled("the orders are placed").await?;
    Ok(accepted)
}

/// Saving an order again fires its trigger again: nothing may happen at MeaSoft.
async fn save_again(stage: &Stage, orders: &[Placed]) -> anyhow::Result<usize> {
    stage.measoft.clear_faults();
    let before = stage.measoft.requests().len();
    let mut accepted = 0;
    for order in orders.iter().step_by(5) {
        accepted += stage.fire(TriggerKind::Send, order).await?;
    }
    stage.settled("repeats are recognised").await?;
    stage.say.line(&format!("  {} requests to MeaSoft for the repeats", stage.measoft.requests().len() - before));
    Ok(accepted)
}

/// A manager mends the phone, another changes an order, a third moves one to the post.
async fn change(stage: &Stage, changed: &Placed, moved: &Placed, mended: &Placed) -> anyhow::Result<usize> {
    stage.crm.edit(stage.account(mended), mended.id, |o| o.set_phone("+7 916 000-11-33"));
    stage.crm.edit(stage.account(changed), changed.id, |o| o.set_address("Москва", "Тверская ул., д. 7"));
    stage.crm.edit(stage.account(moved), moved.id, |o| o.set_delivery_type("russian-post"));
    let mut accepted = 0;
    for (kind, order) in [(TriggerKind::Update, mended), (TriggerKind::Update, changed), (TriggerKind::Cancel, moved)] {
        accepted += stage.fire(kind, order).await?;
    }
    stage.say.line("  then: a phone mended, an address changed, one order moved to the post");
    stage.settled("the changes have arrived").await?;
    Ok(accepted)
}

struct Counts {
    placed: usize,
    cancelled: usize,
    already_done: i64,
    dead: usize,
}

fn sum_up(out: &Output, accepted: usize, counts: &Counts, differences: &[String]) {
    let Counts { placed, cancelled, already_done, dead } = counts;
    let document = json!({
        "accepted": accepted, "placed": placed, "cancelled": cancelled,
        "already_done": already_done, "dead": dead, "differences": differences,
    });
    out.answer(&document, || {
        say!("{}", bold("accepted  placed  cancelled  already done  dead"));
        say!("{accepted:<9} {placed:<7} {cancelled:<10} {already_done:<13} {dead}");
        say!("{}", dim("the one dead letter is the order whose payments do not add up: refused, not guessed"));
        if differences.is_empty() {
            say!("{}", green("The ledger equals the simulators: every order once, every sum right, RetailCRM told."));
        }
        differences.iter().for_each(|difference| say!("{}", red(difference)));
    });
}

impl Stage {
    fn account(&self, order: &Placed) -> AccountId {
        self.shops[order.shop].account
    }

    /// Fires a trigger as RetailCRM would; answers how many were accepted.
    async fn fire(&self, kind: TriggerKind, order: &Placed) -> anyhow::Result<usize> {
        let shop = &self.shops[order.shop];
        let key = shop.integration.secrets.delivery_api_key.expose();
        let name = if kind == TriggerKind::Cancel { shop.delivery_type } else { "key" };
        let answer = self.crm.fire(kind, &self.ingress, &order.number, "", &[(name, key)]).await?;
        Ok(usize::from(answer.status == 200))
    }

    /// Compares the ledger with the simulators' own record; every difference is a sentence.
    async fn check(&self, orders: &[Placed], moved: &Placed, changed: &Placed) -> anyhow::Result<Vec<String>> {
        let mut differences = Vec::new();
        let mut expected = BTreeSet::new();
        for order in orders {
            let id = CrmOrderId(order.id);
            let delivery = self.ctx.store.delivery_by_order(self.shops[order.shop].integration.id, id).await?;
            if order.sort == Sort::WrongSum {
                if delivery.is_some_and(|d| d.state.is_placed()) {
                    differences.push(format!("{}: placed although its payments do not add up", order.number));
                }
                continue;
            }
            let Some(delivery) = delivery else {
                differences.push(format!("{}: the ledger does not know it", order.number));
                continue;
            };
            expected.insert(delivery.orderno.to_string());
            let is = |other: &Placed| order.number == other.number;
            let found = self.differences_of(order, &delivery, is(moved), is(changed));
            differences.extend(found.into_iter().map(|found| format!("{}: {found}", order.number)));
        }
        let strange = self.measoft.orders().into_iter().filter(|there| !expected.contains(&there.orderno));
        differences.extend(strange.map(|there| format!("MeaSoft has {}, which nobody asked for", there.orderno)));
        Ok(differences)
    }

    /// What is wrong with one order.
    fn differences_of(&self, order: &Placed, delivery: &Delivery, is_moved: bool, is_changed: bool) -> Vec<String> {
        let mut differences = Vec::new();
        let Some(there) = self.measoft.order(delivery.orderno.as_str()) else {
            return vec!["MeaSoft does not have it".to_owned()];
        };
        let creates = self.measoft.effects().get(delivery.orderno.as_str()).map_or(0, |e| e.creates);
        if creates != 1 {
            differences.push(format!("created {creates} times"));
        }
        if is_moved {
            if there.status.as_str() != "CANCELED" {
                differences.push(format!("moved to the post and not cancelled ({})", there.status.as_str()));
            }
            return differences;
        }
        if there.price_kopecks != order.collect || delivery.price.map(|p| p.0) != Some(order.collect) {
            differences.push(format!(
                "to collect {}, MeaSoft has {}, the ledger {:?}",
                order.collect, there.price_kopecks, delivery.price
            ));
        }
        if is_changed && !there.receiver.address.contains("Тверская") {
            differences.push("the changed address did not arrive".to_owned());
        }
        let card = self.crm.order(self.account(order), order.id).unwrap_or_default();
        let told = card["delivery"]["data"]["externalId"].as_str().unwrap_or_default();
        if told != Delivery::external_id(delivery.integration, delivery.crm_order) {
            differences.push("RetailCRM was not told".to_owned());
        }
        differences
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let live = self.measoft.orders();
        let cancelled = live.iter().filter(|o| o.status.as_str() == "CANCELED").count();
        let rows = self
            .ctx
            .store
            .db
            .fetch("SELECT COUNT(*) AS n FROM journal WHERE what = 'decision' AND outcome IN ('already_done', 'superseded')", vec![])
            .await?;
        let dead = self.ctx.store.dead_letters(&DeadFilter::default()).await?.len();
        let already_done = rows.first().map(|row| row.int("n")).transpose()?.unwrap_or(0);
        Ok(Counts { placed: live.len() - cancelled, cancelled, already_done, dead })
    }

    /// The order with the longest story; one whose answer was lost, if there is one.
    async fn most_eventful(&self, orders: &[Placed]) -> anyhow::Result<Story> {
        let mut best = None;
        for order in orders {
            let story = Story::of(&self.ctx.store, &order.number, None)
                .await
                .map_err(|_| anyhow::anyhow!("the timeline cannot be read"))?;
            let lost = story.timeline.iter().any(|kept| kept.text.contains("lost"));
            let rank = story.timeline.len() + if lost { 100 } else { 0 };
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, story));
            }
        }
        best.map(|(_, story)| story).ok_or_else(|| anyhow::anyhow!("the demonstration has no orders"))
    }
}
