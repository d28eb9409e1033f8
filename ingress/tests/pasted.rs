//! What is printed for RetailCRM's trigger forms, run on what RetailCRM runs it on (Symfony's
//! ExpressionLanguage, Twig), and what comes of it posted to ingress.

mod harness;

use ::harness::php::{Case, Firing, fire};
use harness::{FORM, World};
use serde_json::{Value, json};
use shared::domain::{Integration, Kopecks};
use shared::message::Command;
use shared::trigger_forms::{self, GAP, Served, Tied, TriggerForm, Which};

/// One CRM account with three integrations: one that names its types, one whose types only
/// RetailCRM knows, and one with codes that an older release took.
struct Account {
    world: World,
    integrations: Vec<Integration>,
    tied: Vec<Tied>,
}

impl Account {
    async fn new() -> Self {
        let world = World::new().await;
        let mut integrations = Vec::new();
        for types in [vec!["incity", "express"], vec![], vec!["a\"b", "c\\d"]] {
            let (mut integration, key) = world.integration("one").await;
            integration.settings.delivery_types = types.into_iter().map(str::to_owned).collect();
            world.ctx.store.update_integration(&integration).await.expect("stored");
            world.until_known(&key).await;
            integrations.push(integration);
        }
        let code = |n: usize| integrations[n].code("measoft");
        let tied = vec![("incity".to_owned(), code(0)), ("region".to_owned(), code(1)), ("pickup".to_owned(), code(1))];
        Self { world, integrations, tied }
    }

    fn served(&self) -> Vec<Served<'_>> {
        Served::all(&self.integrations, "measoft", &self.tied)
    }

    fn forms(&self, n: usize) -> Vec<TriggerForm> {
        trigger_forms::forms(self.integrations[n].id, &self.served(), "https://bridge.example")
    }

    fn key(&self, n: usize) -> &str {
        self.integrations[n].secrets.delivery_api_key.expose()
    }

    /// Posts a body to the path of a form.
    async fn post(&self, form: &TriggerForm, body: &str) -> harness::Answer {
        let path = form.url.strip_prefix("https://bridge.example").expect("the public address");
        self.world.post(path, FORM, body.as_bytes()).await
    }
}

/// Types of the three, then nobody's and none.
const TYPES: [Option<&str>; 8] = [
    Some("incity"),
    Some("express"),
    Some("region"),
    Some("pickup"),
    Some("a\"b"),
    Some("c\\d"),
    Some("russian-post"),
    None,
];

const fn owner(kind: Option<&str>) -> Option<usize> {
    match kind {
        Some(kind) => match kind.as_bytes() {
            b"incity" | b"express" => Some(0),
            b"region" | b"pickup" => Some(1),
            b"a\"b" | b"c\\d" => Some(2),
            _ => None,
        },
        None => None,
    }
}

fn order(kind: Option<&str>, data: Value) -> Value {
    json!({"number": "1234A", "status": "SentMeaSoft", "type": kind, "data": data})
}

fn changes(fields: &[&str]) -> Value {
    let fields: serde_json::Map<String, Value> =
        fields.iter().map(|name| ((*name).to_owned(), json!({"old": 1, "new": 2}))).collect();
    json!({"kind": "update", "fields": fields})
}

fn moved(old: Option<&str>, new: Option<&str>) -> Value {
    let coded = |kind: Option<&str>| kind.map(|code| json!({ "code": code }));
    json!({"kind": "update", "fields": {"delivery_type": {"old": coded(old), "new": coded(new)}}})
}

fn case(form: &TriggerForm, order: Value, changes: Value) -> Case {
    let (condition, parameters) = (form.condition.clone(), form.parameters.clone());
    Case { condition, parameters, strict: false, order, changes, to: None }
}

/// With the key itself in the place of its template.
fn literal(form: &TriggerForm) -> Vec<(String, String)> {
    let key = form.literal_key.clone().expect("a key");
    form.parameters
        .iter()
        .map(|(name, value)| (name.clone(), if name == "key" { key.clone() } else { value.clone() }))
        .collect()
}

#[track_caller]
fn verdict(firing: &Firing, case: &Case) -> bool {
    firing.fires.unwrap_or_else(|| panic!("{:?}: {} {}", firing.why, case.condition, case.order))
}

#[tokio::test]
async fn the_vendor_s_own_conditions_end_with_an_error_on_an_order_without_a_type() {
    let send = r#"order.getStatus().getCode() in ["SentMeaSoft"] and order.getDeliveryType().getCode() in ["incity"]"#;
    let cancel = r#"changeSet.hasChangedField("delivery_type") and changeSet.getOldValue("delivery_type").getCode() in ["incity"]"#;
    let case = |condition: &str, order: Value, changes: Value| Case {
        condition: condition.to_owned(),
        parameters: vec![],
        strict: false,
        order,
        changes,
        to: None,
    };
    let fired = fire(&[
        case(send, order(None, Value::Null), changes(&[])),
        case(cancel, order(Some("incity"), Value::Null), moved(None, Some("incity"))),
        case(send, order(Some("incity"), Value::Null), changes(&[])),
    ]);
    for error in &fired[..2] {
        assert!(error.fires.is_none() && error.why.as_deref().is_some_and(|why| why.contains("RuntimeException")));
    }
    assert_eq!(fired[2].fires, Some(true));
}

#[tokio::test]
async fn a_printed_condition_holds_for_its_own_orders_and_ends_with_an_error_for_none() {
    let account = Account::new().await;
    let mut cases: Vec<(Case, bool)> = Vec::new();
    for own in 0..3 {
        let forms = account.forms(own);
        let [send, update, cancel] = forms.as_slice() else { panic!("three forms") };
        for kind in TYPES {
            let ours = owner(kind) == Some(own);
            for status in ["SentMeaSoft", "new"] {
                let mut order = order(kind, Value::Null);
                order["status"] = status.into();
                cases.push((case(send, order, changes(&["status"])), ours && status == "SentMeaSoft"));
            }
            for (fields, relevant, wider) in [
                (&["phone", "status"][..], true, true),
                (&["payments.amount"], true, true),
                (&["delivery_address.flat"], false, true),
                (&["customer_comment"], false, true),
                (&["delivery_cost"], false, true),
                (&["status"], false, false),
                (&[], false, false),
            ] {
                let plain = case(update, order(kind, Value::Null), changes(fields));
                let extended = update.extended_condition.clone().expect("an extended condition");
                cases.push((Case { condition: extended, ..plain.clone() }, ours && wider));
                cases.push((plain, ours && relevant));
                let mut created = case(update, order(kind, Value::Null), changes(fields));
                created.changes["kind"] = "create".into();
                cases.push((created, false));
            }
            for new in TYPES {
                let wanted = owner(kind).is_some();
                cases.push((case(cancel, order(new, Value::Null), moved(kind, new)), wanted));
            }
            cases.push((case(cancel, order(kind, Value::Null), changes(&["phone"])), false));
        }
    }
    assert!(cases.len() > 700, "{}", cases.len());
    let fired = fire(&cases.iter().map(|(case, _)| case.clone()).collect::<Vec<_>>());
    for ((case, wanted), firing) in cases.iter().zip(&fired) {
        assert_eq!(verdict(firing, case), *wanted, "{} {} {}", case.condition, case.order, case.changes);
    }
}

#[tokio::test]
async fn a_send_or_update_carries_number_sum_and_key_of_whatever_the_order_has() {
    let account = Account::new().await;
    let key = account.key(0);
    let data = [
        (Value::Null, None, false),
        (json!({"declared": null, "extra": null}), None, false),
        (json!({"declared": "", "extra": []}), None, false),
        (json!({"declared": 0, "extra": {}}), Some(0), false),
        (json!({"declared": 3790, "extra": {"other": "x"}}), Some(379_000), false),
        (json!({"declared": 3790.5, "extra": {"deliveryApiKey": null}}), Some(379_050), false),
        (json!({"declared": "3 790,50", "extra": {"deliveryApiKey": key}}), Some(379_050), true),
        (json!({"declared": -1, "extra": {"deliveryApiKey": key}}), None, true),
        (json!({"declared": null, "extra": {"deliveryApiKey": key}}), None, true),
    ];
    let mut cases = Vec::new();
    for form in &account.forms(0)[..2] {
        for strict in [false, true] {
            for (data, declared, knows_key) in &data {
                let plain = Case { strict, ..case(form, order(Some("incity"), data.clone()), changes(&["phone"])) };
                let given = Case { parameters: literal(form), ..plain.clone() };
                cases.push((form.clone(), plain, *declared, *knows_key));
                cases.push((form.clone(), given, *declared, true));
            }
        }
    }
    let fired = fire(&cases.iter().map(|(_, case, ..)| case.clone()).collect::<Vec<_>>());
    for ((form, case, declared, knows_key), firing) in cases.into_iter().zip(fired) {
        let what = format!("{} {} strict: {}", form.which.as_str(), case.order, case.strict);
        assert!(verdict(&firing, &case), "{what}");
        let before = account.world.published().len();
        let Some(body) = &firing.body else {
            // Nobody's key is nobody's order: what a strict Twig refuses, ingress would refuse too.
            assert!(case.strict && !knows_key, "{what}: {:?}", firing.why);
            continue;
        };
        let answer = account.post(&form, body).await;
        if !knows_key {
            answer.error(403);
            assert_eq!(account.world.published().len(), before, "{what}");
            continue;
        }
        answer.accepted();
        let envelope = account.world.published().pop().expect("published");
        assert_eq!(envelope.integration, Some(account.integrations[0].id), "{what}");
        let (number, sum) = match envelope.command {
            Command::SendOrder { number, declared } if form.which == Which::Send => (number, declared),
            Command::UpdateOrder { number, declared } if form.which == Which::Update => (number, declared),
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!((number.as_str(), sum), ("1234A", declared.map(Kopecks)), "{what}");
    }
}

#[tokio::test]
async fn a_moved_order_is_cancelled_with_every_integration_of_the_account_as_a_candidate() {
    let account = Account::new().await;
    let mut cases = Vec::new();
    for own in 0..3 {
        for strict in [false, true] {
            for (new, data) in [
                (None, Value::Null),
                (Some("russian-post"), Value::Null),
                (Some("region"), json!({"declared": null, "extra": null})),
                (Some("express"), json!({"declared": 5, "extra": {"deliveryApiKey": account.key(0)}})),
            ] {
                let form = account.forms(own).pop().expect("the cancel form");
                let case = Case { strict, ..case(&form, order(new, data), moved(Some("pickup"), new)) };
                cases.push((form, case));
            }
        }
    }
    let fired = fire(&cases.iter().map(|(_, case)| case.clone()).collect::<Vec<_>>());
    for ((form, case), firing) in cases.into_iter().zip(fired) {
        assert!(verdict(&firing, &case));
        let body = firing.body.unwrap_or_else(|| panic!("{:?}", firing.why));
        account.post(&form, &body).await.accepted();
        let Some(Command::CancelOrder { number, candidates, .. }) = account.world.published().pop().map(|e| e.command)
        else {
            panic!("{body}")
        };
        assert_eq!(number.as_str(), "1234A");
        let found: Vec<(&str, i64)> = candidates.iter().map(|c| (c.delivery_type.as_str(), c.integration.0)).collect();
        let id = |n: usize| account.integrations[n].id.0;
        let wanted = [
            ("incity", id(0)),
            ("express", id(0)),
            ("region", id(1)),
            ("pickup", id(1)),
            ("a\"b", id(2)),
            ("c\\d", id(2)),
        ];
        assert_eq!(found, wanted, "{body}");
    }
}

#[tokio::test]
async fn an_integration_whose_types_nobody_knows_has_a_pair_of_its_own_and_a_gap_that_never_fires() {
    let account = Account::new().await;
    let served = Served::all(&account.integrations, "measoft", &[]);
    assert_eq!(trigger_forms::without_types(&served), [&account.integrations[1]]);
    let forms = trigger_forms::forms(account.integrations[1].id, &served, "https://bridge.example");
    let cancel = &forms[2].parameters;
    assert!(cancel.contains(&(GAP.to_owned(), account.key(1).to_owned())), "its key is offered");
    assert!(cancel.contains(&("incity".to_owned(), account.key(0).to_owned())), "the others' too");
    let mut cases = Vec::new();
    for kind in TYPES {
        cases.push(case(&forms[0], order(kind, Value::Null), changes(&["status"])));
        cases.push(case(&forms[1], order(kind, Value::Null), changes(&["phone"])));
    }
    for (firing, case) in fire(&cases).iter().zip(&cases) {
        assert!(!verdict(firing, case), "{}", case.condition);
    }
    // Named by the shop in the place of the gap, it works.
    let fill = |text: &str| text.replace(GAP, "region");
    let filled = Case {
        condition: fill(&forms[2].condition),
        parameters: cancel.iter().map(|(name, value)| (fill(name), value.clone())).collect(),
        ..case(&forms[2], order(None, Value::Null), moved(Some("region"), None))
    };
    let firing = fire(&[filled]).pop().expect("one");
    assert_eq!(firing.fires, Some(true));
    account.post(&forms[2], &firing.body.expect("a body")).await.accepted();
}

#[tokio::test]
async fn numbers_escaped_by_twig_and_values_pasted_with_line_ends_arrive_as_they_were_meant() {
    let account = Account::new().await;
    let forms = account.forms(0);
    let pasted = |form: &TriggerForm, around: &str| -> Vec<(String, String)> {
        literal(form)
            .into_iter()
            .map(|(name, value)| (format!("{around}{name}{around}"), format!("{around}{value}{around}")))
            .collect()
    };
    let mut cases = Vec::new();
    for (number, arrives) in [
        ("1234A", "1234A"),
        ("A&B", "A&amp;B"),
        ("<1>", "&lt;1&gt;"),
        ("\"7\" и 'другое'", "&quot;7&quot; и &#039;другое&#039;"),
        ("A&amp;B", "A&amp;amp;B"),
        ("№ 12 / 34+5%", "№ 12 / 34+5%"),
    ] {
        for around in ["", "\n", "\r\n", " ", "\u{a0}", "\u{200b}", "\u{feff}"] {
            for form in &forms[..2] {
                let mut order = order(Some("incity"), json!({"declared": 1.5, "extra": null}));
                order["number"] = number.into();
                let case = Case { parameters: pasted(form, around), ..case(form, order, changes(&["phone"])) };
                cases.push((form, case, arrives, around));
            }
        }
    }
    let fired = fire(&cases.iter().map(|(_, case, ..)| case.clone()).collect::<Vec<_>>());
    for ((form, _, arrives, around), firing) in cases.iter().zip(&fired) {
        let body = firing.body.as_deref().unwrap_or_else(|| panic!("{:?}", firing.why));
        account.post(form, body).await.accepted();
        let (Some(Command::SendOrder { number, declared }) | Some(Command::UpdateOrder { number, declared })) =
            account.world.published().pop().map(|envelope| envelope.command)
        else {
            panic!("{body}")
        };
        assert_eq!((number.as_str(), declared), (*arrives, Some(Kopecks(150))), "{around:?} {body}");
    }
}
