//! The accountant's page of the rule, in both languages: its table of examples is computed by
//! the rule itself.

use std::path::Path;

use serde_json::json;
use shared::domain::Language;
use shared::explain;
use shared::retailcrm::wire::order::read_single;

use crate::order::money::*;

/// Payment rows of an example: type, status, roubles (0 = not given).
type Rows = &'static [(&'static str, &'static str, i64)];

struct Example {
    total: i64,
    rows: Rows,
    ru: &'static str,
    en: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const fn example(total: i64, rows: Rows, ru: &'static str, en: &'static str) -> Example {
    Example { total, rows, ru, en, settings: &[] }
}

const EXAMPLES: &[Example] = &[
    example(1000, &[("cash", "not-paid", 1000)], "наличными при получении", "cash on delivery"),
    example(1000, &[("bank-card", "not-paid", 1000)], "картой при получении", "card on delivery"),
    example(1000, &[("site", "paid", 1000)], "оплачен на сайте", "paid on the site"),
    example(1000, &[("site", "not-paid", 1000)], "будет оплачен на сайте", "to be paid on the site"),
    example(
        1000,
        &[("site", "paid", 400), ("cash", "not-paid", 600)],
        "предоплата и остаток курьеру",
        "a prepayment, the rest to the courier",
    ),
    example(
        1000,
        &[("site", "not-paid", 400), ("cash", "not-paid", 600)],
        "часть на сайте, часть курьеру",
        "a part on the site, a part to the courier",
    ),
    example(1000, &[("cash", "paid", 400)], "задаток, об остатке оплаты нет", "a deposit, no payment for the rest"),
    example(1500, &[("site", "paid", 1000)], "оплачен, затем добавлен товар", "paid, then goods were added"),
    example(1000, &[], "оплат нет", "no payments"),
    example(1000, &[("cash", "not-paid", 0)], "сумма оплаты не указана", "the payment has no amount"),
    example(
        1000,
        &[("site", "paid", 400), ("cash", "not-paid", 0)],
        "сумма остатка не указана",
        "the rest has no amount",
    ),
    example(1000, &[("site", "paid", 0)], "оплачен, сумма не указана", "paid, without an amount"),
    example(
        1000,
        &[("cash", "not-paid", 700), ("bank-card", "not-paid", 300)],
        "двумя способами при получении",
        "two ways at the door",
    ),
    example(
        1000,
        &[("bank-card", "fail", 1000), ("cash", "not-paid", 1000)],
        "оплата не прошла, платят курьеру",
        "a payment failed, the courier is paid",
    ),
    example(1000, &[("cash", "not-paid", 900)], "оплат меньше суммы заказа", "payments below the total"),
    example(
        350,
        &[("cash", "not-paid", 1350)],
        "товары отменены, оплата прежняя",
        "goods cancelled, payment unchanged",
    ),
    example(1000, &[("kurier", "not-paid", 1000)], "о типе оплаты ничего не известно", "an unknown payment type"),
    Example {
        total: 1000,
        rows: &[("cash", "paid", 400)],
        ru: "то же с «Не передавать»",
        en: "the deposit with «Do not hand it over»",
        settings: &[("uncovered_rest", "refuse")],
    },
    Example {
        total: 1000,
        rows: &[("cash", "paid", 400)],
        ru: "то же с «Ничего не получать»",
        en: "the deposit with «Collect nothing»",
        settings: &[("uncovered_rest", "nothing")],
    },
    Example {
        total: 1000,
        rows: &[("site", "not-paid", 1000)],
        ru: "на сайте, «Вся неоплаченная сумма»",
        en: "on the site, with the vendor's policy",
        settings: &[("cod_policy", "as_vendor")],
    },
];

impl Example {
    fn payments(&self, language: Language) -> String {
        let words = |status: &str| match (status, language) {
            ("paid", Language::Ru) => "оплачено",
            ("fail", Language::Ru) => "не прошла",
            (_, Language::Ru) => "не оплачено",
            ("paid", Language::En) => "paid",
            ("fail", Language::En) => "failed",
            (_, Language::En) => "not paid",
        };
        let rows = self.rows.iter().map(|(kind, status, sum)| match sum {
            0 => format!("`{kind}` — {}", words(status)),
            sum => format!("`{kind}` {sum} {}", words(status)),
        });
        let rows: Vec<String> = rows.collect();
        if rows.is_empty() { "—".to_owned() } else { rows.join(", ") }
    }

    fn outcome(&self, language: Language) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .enumerate()
            .map(|(id, (kind, status, sum))| json!({"id": id, "type": kind, "status": status, "amount": sum}))
            .collect();
        let paid: i64 = self.rows.iter().filter(|(_, status, _)| *status == "paid").map(|(.., sum)| sum).sum();
        let order = json!({"id": 1, "number": "1", "totalSumm": self.total, "prepaySum": paid, "payments": rows,
            "items": [], "delivery": {"code": "incity"}});
        let order = read_single(&order).expect("an order");
        let mut settings = Settings::default();
        for (key, value) in self.settings {
            settings.set(key, value).expect("a setting");
        }
        let lists = References::with(&["paid"], &[("incity", "site", Some(false))], &[]);
        let ru = language == Language::Ru;
        match money(&order, &settings, &lists, None) {
            Ok(money) if money.collect.is_zero() => if ru { "ничего" } else { "nothing" }.to_owned(),
            Ok(money) => {
                let way = match (money.paytype, ru) {
                    (PayType::Card, true) => "картой",
                    (PayType::Card, false) => "by card",
                    (_, true) => "наличными",
                    (_, false) => "in cash",
                };
                format!("{} {way}", money.collect.0 / 100)
            }
            Err(give_up) => {
                let words = explain::reason(give_up.reason, language).text;
                format!("{}: {words}", if ru { "не передаётся" } else { "not handed over" })
            }
        }
    }
}

fn table(language: Language) -> String {
    let ru = language == Language::Ru;
    let mut text = String::from(if ru {
        "\n| Случай | Сумма заказа | Оплаты | Курьер получает |\n|---|---|---|---|\n"
    } else {
        "\n| Case | Total | Payments | The courier collects |\n|---|---|---|---|\n"
    });
    for example in EXAMPLES {
        let case = if ru { example.ru } else { example.en };
        let (payments, outcome) = (example.payments(language), example.outcome(language));
        text.push_str(&format!("| {case} | {} | {payments} | {outcome} |\n", example.total));
    }
    text.push('\n');
    text
}

#[test]
fn the_accountants_page_says_what_the_rule_does() {
    for (name, language) in [("money.ru.md", Language::Ru), ("money.en.md", Language::En)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/manager").join(name);
        let text = std::fs::read_to_string(&path).expect(name);
        let (before, rest) = text.split_once("<!-- examples -->\n").expect("the table's beginning");
        let (found, after) = rest.split_once("<!-- /examples -->").expect("the table's end");
        let wanted = table(language);
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            let text = format!("{before}<!-- examples -->\n{wanted}<!-- /examples -->{after}");
            std::fs::write(&path, text).expect("the page can be written");
            continue;
        }
        assert!(found == wanted, "{name}: run this test with UPDATE_DOCUMENTS=1 to bring its table up to date");
        // Settings and their values are named as they are.
        for setting in
            ["uncovered_rest", "no_payment", "cod_policy", "currency", "paytype_map", "ended_payment_statuses"]
        {
            assert!(text.contains(&format!("`{setting}")), "{name} does not name {setting}");
            let known = serde_json::to_value(Settings::default()).expect("settings serialise");
            assert!(known.get(setting).is_some(), "there is no setting {setting}");
        }
        for value in ["collect", "refuse", "nothing", "by_payment_type", "as_vendor"] {
            assert!(text.contains(&format!("`{value}`")), "{name} does not name {value}");
        }
    }
}
