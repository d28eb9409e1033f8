//! Who ordered: a person, or a company with its legal data.

use serde_json::Value;

use crate::debug::hidden_debug;
use crate::retailcrm::tolerant::{Fields, Misread, object, text};

object! {
    /// A customer or a contact person.
    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct Customer(c) {
        /// `customer` or `customer_corporate`.
        pub kind: Option<String> = c.lax("type", text),
        pub last_name: Option<String> = c.get("lastName", text)?,
        pub first_name: Option<String> = c.get("firstName", text)?,
        pub patronymic: Option<String> = c.get("patronymic", text)?,
        pub nick_name: Option<String> = c.lax("nickName", text),
        pub email: Option<String> = c.lax("email", text),
        pub phones: Vec<String> = phones(c)?,
        pub contragent: Option<Contragent> = c.nested("contragent", Contragent::read)?,
    }

    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct Company(c) {
        pub name: Option<String> = c.get("name", text)?,
        pub contragent: Option<Contragent> = c.nested("contragent", Contragent::read)?,
    }

    /// Legal data of a customer or company.
    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct Contragent(c) {
        /// `individual`, `legal-entity` or `enterpreneur` (the vendor's spelling). Callbacks call
        /// it `type` (protocols/retailcrm.md#save).
        pub contragent_type: Option<String> = c.lax("contragentType", text).or_else(|| c.lax("type", text)),
        pub legal_name: Option<String> = c.lax("legalName", text),
        pub inn: Option<String> = c.lax("INN", text),
    }
}

hidden_debug!(Customer, Company, Contragent);

impl Customer {
    /// The legal data, when the customer is no private person.
    pub fn legal(&self) -> Option<&Contragent> {
        self.contragent.as_ref().filter(|c| c.contragent_type.as_deref().is_some_and(|kind| kind != "individual"))
    }
}

/// Orders have objects, callbacks plain texts.
fn phones(customer: &Fields<'_>) -> Result<Vec<String>, Misread> {
    customer.some("phones", |node| match node.value {
        Value::Object(_) => node.fields()?.get("number", text),
        _ => node.scalar(text),
    })
}
