//! Which number an order gets at MeaSoft: the first of its own that no other order of the
//! integration has, and that none ever had. MeaSoft keeps old ones.

use std::collections::HashSet;

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId, OrderNo, OrderNumber};
use crate::mutant::{Mutant, is_mutant};
use crate::store::Store;
use crate::store::db::{Result, StoreError, Tx, Value};

/// Numbers looked at in one question.
const AT_ONCE: usize = 8;
/// Questions before it is given up.
const QUESTIONS: usize = 100;

/// The numbers an order may have from a generation on, with the generation of each, best first:
/// its own, then by its id, which another order may bear as a real number, then the next.
pub fn numbers(
    prefix: &str,
    number: &OrderNumber,
    order: CrmOrderId,
    first: u32,
) -> impl Iterator<Item = (u32, OrderNo)> {
    let by_id = move |generation: u32| {
        let suffix = if generation > 1 { format!("-{generation}") } else { String::new() };
        OrderNo::known(format!("{prefix}R{order}{suffix}"))
    };
    let own = OrderNo::derive(prefix, number, order, first);
    // What is placed anew keeps its look.
    let next: Vec<(u32, OrderNo)> = if first > 1 {
        (first + 1..first + 20).map(|n| (n, OrderNo::derive(prefix, number, order, n))).collect()
    } else {
        Vec::new()
    };
    std::iter::once((first, own)).chain(next).chain((first..first.saturating_add(1000)).map(move |n| (n, by_id(n))))
}

/// The same for what goes by its id already.
pub fn numbers_by_id(prefix: &str, order: CrmOrderId, first: u32) -> impl Iterator<Item = (u32, OrderNo)> {
    (first..first.saturating_add(1000)).map(move |n| {
        let suffix = if n > 1 { format!("-{n}") } else { String::new() };
        (n, OrderNo::known(format!("{prefix}R{order}{suffix}")))
    })
}

const TAKEN: &str = "every number of this order is taken";

impl Tx {
    /// The first of the numbers that no order of the integration has or had.
    pub async fn free_number(
        &mut self,
        integration: IntegrationId,
        numbers: impl Iterator<Item = (u32, OrderNo)>,
    ) -> Result<(u32, OrderNo)> {
        let mut free = self.free_numbers(integration, vec![numbers]).await?;
        free.pop().ok_or_else(|| StoreError::Config(TAKEN.to_owned()))
    }

    /// The same for several orders, none of which gets another's.
    pub(crate) async fn free_numbers<I: Iterator<Item = (u32, OrderNo)>>(
        &mut self,
        integration: IntegrationId,
        wanted: Vec<I>,
    ) -> Result<Vec<(u32, OrderNo)>> {
        let mut wanted: Vec<I> = wanted;
        let mut found: Vec<Option<(u32, OrderNo)>> = wanted.iter().map(|_| None).collect();
        let mut taken: HashSet<String> = HashSet::new();
        for round in 0..QUESTIONS {
            // The first is mostly free.
            let at_once = if round == 0 { 2 } else { AT_ONCE };
            let asked: Vec<(usize, Vec<(u32, OrderNo)>)> = wanted
                .iter_mut()
                .enumerate()
                .filter(|(at, _)| found[*at].is_none())
                .map(|(at, numbers)| (at, numbers.by_ref().take(at_once).collect()))
                .collect();
            let of_all = || asked.iter().flat_map(|(_, numbers)| numbers.iter().map(|(_, orderno)| orderno.as_str()));
            if of_all().next().is_none() {
                break;
            }
            if !is_mutant(Mutant::NumberUnchecked) {
                let among = self.dialect().among("orderno", 2);
                let sql = format!(
                    "SELECT orderno FROM deliveries WHERE integration_id = $1 AND {among} \
                     UNION SELECT orderno FROM past_deliveries WHERE integration_id = $1 AND {among}"
                );
                let rows = self.fetch(sql, vec![integration.into(), Value::texts(of_all())]).await?;
                for row in rows {
                    taken.insert(row.text("orderno")?);
                }
            }
            for (at, numbers) in asked {
                found[at] = numbers.into_iter().find(|(_, orderno)| taken.insert(orderno.as_str().to_owned()));
            }
        }
        found.into_iter().collect::<Option<_>>().ok_or_else(|| StoreError::Config(TAKEN.to_owned()))
    }
}

impl Store {
    /// [`Tx::free_number`] on its own: another order may take it until it is written.
    pub async fn free_number(
        &self,
        integration: IntegrationId,
        numbers: impl Iterator<Item = (u32, OrderNo)>,
    ) -> Result<(u32, OrderNo)> {
        let mut tx = self.db.begin().await?;
        let free = tx.free_number(integration, numbers).await?;
        tx.commit().await?;
        Ok(free)
    }

    /// Whether an order other than this one has, or had, a number at MeaSoft.
    pub async fn number_is_another_s(
        &self,
        integration: IntegrationId,
        orderno: &OrderNo,
        order: CrmOrderId,
    ) -> Result<bool> {
        let sql = "SELECT crm_order_id FROM deliveries WHERE integration_id = $1 AND orderno = $2 AND crm_order_id <> $3 \
                   UNION SELECT crm_order_id FROM past_deliveries WHERE integration_id = $1 AND orderno = $2 \
                   AND crm_order_id <> $3";
        let row = self.db.fetch_one(sql, args![integration, orderno.as_str(), order]).await?;
        Ok(row.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(prefix: &str, number: &str, generation: u32, n: usize) -> Vec<(u32, String)> {
        let number = OrderNumber::parse(number).expect("a number");
        numbers(prefix, &number, CrmOrderId(7), generation).take(n).map(|(g, o)| (g, o.as_str().to_owned())).collect()
    }

    #[test]
    fn an_order_asks_for_its_own_number_then_for_one_by_its_id() {
        let names = |all: Vec<(u32, String)>| all.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(first("S-", "100", 1, 4)), ["S-100", "S-R7", "S-R7-2", "S-R7-3"]);
        assert_eq!(names(first("", "заказ", 1, 3)), ["R7", "R7", "R7-2"]);
    }

    #[test]
    fn what_is_placed_anew_keeps_its_look_and_takes_the_next_generation() {
        assert_eq!(first("", "100", 2, 3), [(2, "100-2".to_owned()), (3, "100-3".to_owned()), (4, "100-4".to_owned())]);
    }
}
