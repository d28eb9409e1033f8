//! RetailCRM's trigger machinery from end to end: Symfony's ExpressionLanguage decides, Twig renders,
//! PHP's own HTTP clients send what the shop was told to paste; ingress takes it, the worker acts.

use harness::php::{Answered, CLIENTS, Case, Firing, PASSED, To, fire};
use harness::{Collect, Placed, World};
use serde_json::{Value, json};

/// A trigger form with what was pasted into it.
#[derive(Debug, Clone)]
pub(crate) struct Pasted {
    pub(crate) condition: String,
    pub(crate) url: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// By which client, and how parameters are passed.
pub(crate) type Way = (&'static str, &'static str);

pub(crate) fn changed(field: &str, old: Value, new: Value) -> Value {
    json!({"kind": "update", "fields": {field: {"old": old, "new": new}}})
}

pub(crate) fn moved(from: &str, to: &str) -> Value {
    changed("delivery_type", json!({"code": from}), json!({"code": to}))
}

/// What RetailCRM makes of a form when an order is saved.
fn firing(world: &World, order: &Placed, form: &Pasted, changes: Value, way: Way) -> Firing {
    let card = world.crm.order(world.shops[order.shop].account, order.id).expect("the order");
    let data = &card["delivery"]["data"];
    let data = (data.is_object()).then(|| json!({"declared": "3790.00", "extra": data["extraData"]}));
    let (client, pass) = way;
    let case = Case {
        condition: form.condition.clone(),
        parameters: form.parameters.clone(),
        strict: false,
        order: json!({"number": card["number"], "status": card["status"], "type": card["delivery"]["code"], "data": data}),
        changes,
        to: Some(To { url: form.url.clone(), client, pass }),
    };
    fire(&[case]).pop().expect("one")
}

/// The answer to the trigger that a save fires; `None` when its condition does not hold.
pub(crate) fn saved(world: &World, order: &Placed, form: &Pasted, changes: Value, way: Way) -> Option<Answered> {
    let firing = firing(world, order, form, changes, way);
    assert!(firing.fires.is_some() && firing.body.is_some(), "{:?}: {}", firing.why, form.condition);
    firing.answer
}

#[track_caller]
pub(crate) fn accepted(answer: Option<Answered>) {
    let answer = answer.expect("the condition holds");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Creates, edits, and whether it is cancelled.
pub(crate) fn effects(world: &World, order: &Placed) -> (u32, u32, bool) {
    let there = world.measoft.order(&world.orderno(order)).expect("at the courier's");
    (there.creates, there.edits, there.status == "CANCELED")
}

/// The manager chooses the first tariff, which brings the order its key.
pub(crate) async fn tariff_is_chosen(world: &World, order: &Placed) {
    let account = world.shops[order.shop].account;
    let tariffs = world.crm.calculate(account, order.id).await.expect("an answer").as_manager_sees().expect("tariffs");
    world.crm.choose_tariff(account, order.id, &tariffs["result"][0]).expect("chosen");
}

/// Sent, changed and moved to another carrier: what the three forms do with it.
async fn lived_through(world: &World, order: &Placed, [send, update, cancel]: &[Pasted; 3], way: Way) {
    let account = world.shops[order.shop].account;
    let own = world.shops[order.shop].delivery_type.as_str();
    tariff_is_chosen(world, order).await;
    let status = changed("status", json!({"code": "new"}), json!({"code": "SentMeaSoft"}));
    accepted(saved(world, order, send, status.clone(), way));
    world.settled("the send is served").await;
    // Each later save fires it again: one order all the same.
    accepted(saved(world, order, send, changed("manager_comment", Value::Null, json!("звонить")), way));
    world.settled("the repeat is served").await;
    assert_eq!(effects(world, order), (1, 0, false), "{way:?}");
    assert!(world.crm.edit(account, order.id, |draft| draft.set_phone("+7 (916) 555-00-79")));
    accepted(saved(world, order, update, changed("phone", json!("1"), json!("2")), way));
    world.settled("the update is served").await;
    assert_eq!(effects(world, order), (1, 1, false), "{way:?}");
    assert!(saved(world, order, cancel, changed("phone", json!("1"), json!("2")), way).is_none());
    assert!(world.crm.edit(account, order.id, |draft| draft.set_delivery_type("russian-post")));
    for form in [send, update] {
        assert!(saved(world, order, form, moved(own, "russian-post"), way).is_none(), "no order of ours any more");
    }
    accepted(saved(world, order, cancel, moved(own, "russian-post"), way));
    world.settled("the cancel is served").await;
    assert!(effects(world, order).2, "{way:?}");
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

/// As a browser shows it and a person copies it.
fn shown(html: &str) -> String {
    quick_xml::escape::unescape(html).expect("well-formed").trim().to_owned()
}

/// What the manager finds on the module's page, tab «Триггеры».
async fn on_the_page(world: &World, shop: usize) -> [Pasted; 3] {
    let shop = &world.shops[shop];
    let opened = world.crm.open_account_page(shop.account, &shop.module).await.expect("an answer");
    let cookie = opened.header("set-cookie").expect("a session").split(';').next().expect("a pair").to_owned();
    let url = format!("{}/retailcrm/account/triggers", world.ingress());
    let page = simulators::http().build().expect("a client").get(url).header("cookie", cookie).send().await;
    let page = page.expect("an answer").text().await.expect("a page");
    ["send", "update", "cancel"].map(|which| {
        let form = between(&page, &format!("<section class=\"card\" id=\"form-{which}\">"), "</section>");
        let condition = between(form, &format!("id=\"condition-{which}\""), "</textarea>");
        let rows = between(form, "<tbody>", "</tbody>").split("</tr>").filter(|row| row.contains("<td>"));
        let parameters = rows.map(|row| {
            let mut cells =
                row.split("<code>").skip(1).map(|cell| shown(cell.split("</code>").next().expect("a cell")));
            (cells.next().expect("a name"), cells.next().expect("a value"))
        });
        Pasted {
            condition: shown(condition.split_once('>').expect("a text").1),
            parameters: parameters.collect(),
            url: shown(between(form, "<dd><code>", "</code>")),
        }
    })
}

/// The vendor's guide for its own integration: a shop that followed it changes the host alone.
fn of_the_vendor_s_guide(world: &World) -> [Pasted; 3] {
    let types = r#"["outcity","incity"]"#;
    let fields: Vec<String> =
        simulators::retailcrm::WATCHED.iter().map(|field| format!("changeSet.hasChangedField(\"{field}\")")).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let common = [
        pair("id", "{{ order.getNumber() }}"),
        pair("sum", "{{ order.getIntegrationDeliveryData().getDeclaredSum() }}"),
    ];
    let key = pair("key", "{{ order.getIntegrationDeliveryData().getExtraData().deliveryApiKey }}");
    let ours = format!("order.getDeliveryType().getCode() in {types}");
    let usual: Vec<_> = common.iter().cloned().chain([key]).collect();
    let keys = world.shops.iter().map(|shop| (shop.delivery_type.clone(), shop.key.clone()));
    // After a change of the type the order has no delivery data: a strict Twig would end here, and
    // RetailCRM sends cancels, so its Twig is not.
    let cancel = common.iter().cloned().chain(keys).collect();
    [
        ("trigger", format!("order.getStatus().getCode() in [\"SentMeaSoft\"] and {ours}"), usual.clone()),
        ("update", format!("changeSet.isUpdate() and ( {} ) and {ours}", fields.join(" or ")), usual),
        (
            "cancel",
            format!(
                "changeSet.hasChangedField(\"delivery_type\") and \
                 changeSet.getOldValue(\"delivery_type\").getCode() in {types}"
            ),
            cancel,
        ),
    ]
    .map(|(path, condition, parameters)| Pasted {
        condition,
        parameters,
        url: format!("{}/reintegrations/requests/{path}/retailcrm", world.ingress()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_does_what_it_says_by_each_client_and_each_way_to_pass_parameters() {
    let world = World::embedded("machinery-page").unregistered().start().await;
    world.register(0).await;
    let forms = on_the_page(&world, 0).await;
    for (n, (client, pass)) in (1..).zip(CLIENTS.iter().flat_map(|client| PASSED.map(|pass| (*client, pass)))) {
        let order = world.place(0, n, Collect::Cash);
        lived_through(&world, &order, &forms, (client, pass)).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_followed_the_vendor_s_guide_changes_nothing_but_the_host() {
    let world = World::scaled("machinery-guide").unregistered().start().await;
    world.register(0).await;
    let forms = of_the_vendor_s_guide(&world);
    for (n, client) in (1..).zip(CLIENTS) {
        let order = world.place(0, n, Collect::Rest);
        lived_through(&world, &order, &forms, (client, "form")).await;
    }
    world.finish().await;
}
