//! The integration that a shop has before it moves in: it takes RetailCRM's triggers and places the
//! orders at MeaSoft, as its documentation describes. Payment types are none of its business: whatever
//! is not prepaid is collected in cash. What it asks MeaSoft is not counted as anybody's request.

use serde_json::Value;

use crate::measoft::MeasoftSim;
use crate::retailcrm::{AccountId, RetailcrmSim};

/// One RetailCRM account tied to one cabinet.
pub struct Predecessor {
    measoft: MeasoftSim,
    crm: RetailcrmSim,
    account: AccountId,
    auth: String,
    prefix: String,
}

impl Predecessor {
    /// Of a cabinet (`extra:login`).
    ///
    /// # Panics
    /// When there is no such cabinet.
    pub fn new(measoft: &MeasoftSim, crm: &RetailcrmSim, account: AccountId, cabinet: &str, prefix: &str) -> Self {
        let mut auth = None;
        measoft.update_account(cabinet, |known| {
            let (extra, login, pass) = (&known.extra, &known.login, &known.pass);
            auth = Some(format!(r#"<auth extra="{extra}" login="{login}" pass="{pass}"/>"#));
        });
        Self {
            measoft: measoft.clone(),
            crm: crm.clone(),
            account,
            auth: auth.expect("a cabinet"),
            prefix: prefix.to_owned(),
        }
    }

    /// «Отправка заказа в MeaSoft». Whether MeaSoft took it.
    ///
    /// # Panics
    /// When RetailCRM has no such order.
    pub fn send(&self, id: i64) -> bool {
        self.send_as(id, |_| {})
    }

    /// The same with something in RetailCRM's order that it reads otherwise.
    ///
    /// # Panics
    /// When RetailCRM has no such order.
    pub fn send_as(&self, id: i64, misread: impl FnOnce(&mut Value)) -> bool {
        let mut order = self.crm.order(self.account, id).expect("an order");
        misread(&mut order);
        let document = format!("<neworder>{}{}</neworder>", self.auth, self.order(&order));
        self.measoft.answer(&document).rows.iter().all(|(_, error)| *error == 0)
    }

    /// «Отмена заказа в MeaSoft».
    pub fn cancel(&self, number: &str) {
        let order = format!(r#"<order orderno="{}{number}"/>"#, self.prefix);
        self.measoft.answer(&format!("<cancelorder>{}{order}</cancelorder>", self.auth));
    }

    fn order(&self, order: &Value) -> String {
        let text = |value: &Value| match value {
            Value::String(text) => escaped(text),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        let delivery = &order["delivery"];
        let person = ["lastName", "firstName", "patronymic"].map(|part| text(&order[part])).join(" ");
        let collect = number(&order["totalSumm"]) - number(&order["prepaySum"]);
        let mut lines = String::new();
        for (n, item) in order["items"].as_array().into_iter().flatten().enumerate() {
            let (price, quantity) = (number(&item["initialPrice"]), text(&item["quantity"]));
            let name = text(&item["offer"]["name"]);
            lines += &format!(r#"<item extcode="v{n}" quantity="{quantity}" retprice="{price:.2}">{name}</item>"#);
        }
        let prepaid = number(&order["prepaySum"]);
        if prepaid > 0.0 && collect > 0.0 {
            lines +=
                &format!(r#"<item extcode="paid" quantity="1" type="4" retprice="-{prepaid:.2}">Предоплата</item>"#);
        }
        let (paytype, weight) = (if collect > 0.0 { "CASH" } else { "NO" }, number(&order["weight"]) / 1000.0);
        format!(
            r#"<order orderno="{}{}"><receiver><person>{}</person><phone>{}</phone><town>{} город</town>
            <address>{}</address><date>{}</date></receiver><weight>{weight:.3}</weight><paytype>{paytype}</paytype>
            <deliveryprice>{:.2}</deliveryprice><items>{lines}</items></order>"#,
            self.prefix,
            text(&order["number"]),
            person.trim(),
            text(&order["phone"]),
            text(&delivery["address"]["city"]),
            text(&delivery["address"]["text"]),
            text(&delivery["date"]),
            number(&delivery["cost"]),
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
