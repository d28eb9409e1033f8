//! Payments of RetailCRM's orders, and what is done to them.

use serde::{Deserialize, Serialize};

use crate::domain::Kopecks;
use crate::hidden::Known;
use crate::phrases::catalogue::phrases;
use crate::phrases::reader::Reader;
use crate::phrases::value::{Value, one};
use crate::reasons::{OURS, PAYMENT_ONLINE};

/// A sum and the code of the payment type it is to be paid by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub sum: Kopecks,
    pub kind: String,
}

impl Value for Sum {
    fn words(&self, _: &Reader) -> String {
        format!("{} {}", self.sum, self.kind)
    }

    fn hide(&mut self, known: &Known) {
        self.kind.hide(known);
    }

    fn some() -> Vec<Self> {
        vec![Self { sum: one(), kind: one() }]
    }
}

/// A payment of RetailCRM's order, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: i64,
    /// Its sum and the code of its type, where it was seen.
    pub was: Option<(Kopecks, String)>,
}

impl Value for Payment {
    fn words(&self, reader: &Reader) -> String {
        let payment = reader.of("оплата", "payment");
        match &self.was {
            Some((amount, kind)) => format!("{payment} {} ({amount} {kind})", self.id),
            None => format!("{payment} {}", self.id),
        }
    }

    fn hide(&mut self, known: &Known) {
        if let Some((_, kind)) = &mut self.was {
            kind.hide(known);
        }
    }

    fn some() -> Vec<Self> {
        vec![Self { id: 7, was: Some((one(), one())) }, Self { id: 7, was: None }]
    }
}

/// Why a payment cannot be settled: the label of one of our reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unsettled(pub String);

impl Value for Unsettled {
    fn words(&self, reader: &Reader) -> String {
        let ours = OURS.iter().find(|(label, ..)| *label == self.0);
        let text = ours.map_or(self.0.as_str(), |(_, _, ru, en)| reader.of(ru.text, en.text));
        text.trim_end_matches('.').to_owned()
    }

    fn some() -> Vec<Self> {
        vec![Self(PAYMENT_ONLINE.to_owned())]
    }
}

phrases! {
    /// What is done to the payments of RetailCRM's order.
    PaymentStep {
        AmountSet { payment: Payment, amount: Kopecks } => "{payment}: сумма {amount}", "{payment} set to {amount}";
        Marked { payment: Payment, status: String } => "{payment}: статус {status}", "{payment} marked {status}";
        Removed { payment: Payment } => "{payment} удалена", "{payment} removed";
        Entered { amount: Kopecks, kind: String, status: String } =>
            "внесена оплата {amount} {kind}, статус {status}", "{amount} {kind} entered as {status}";
        EnteredAsUsual { amount: Kopecks, kind: String } =>
            "внесена оплата {amount} {kind}", "{amount} {kind} entered as usual";
    }
}
