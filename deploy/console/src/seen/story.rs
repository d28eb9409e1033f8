//! What happened to one order, or to each of several that bore one number.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::{CrmOrderId, Delivery, IntegrationId};
use shared::store::corrections::Correction;
use shared::store::journal::StoredEntry;
use shared::store::past_deliveries::PastDelivery;
use shared::store::replays::WaitingReplay;
use shared::store::{self, Store};

use crate::seen::why::{self, Row};

/// An order at an integration.
pub type Key = (IntegrationId, CrmOrderId);

/// What is known under a number: RetailCRM's or ours at MeaSoft.
#[derive(Debug)]
pub struct Story {
    pub number: String,
    pub deliveries: Vec<Delivery>,
    /// Deliveries that are over, and what bore a number before it was placed anew.
    pub past: Vec<PastDelivery>,
    /// Of all of them, oldest first.
    pub timeline: Vec<StoredEntry>,
    /// What the integrations that are named anywhere in it are called.
    pub titles: BTreeMap<IntegrationId, String>,
    /// Requests that wait: why, since when and until when.
    pub waits: Vec<Row>,
    /// Letters that are to be tried again, and when.
    pub replays: Vec<WaitingReplay>,
    /// What people set right of the orders, and RetailCRM has not overtaken as far as anybody saw.
    pub corrections: Vec<(IntegrationId, Correction)>,
}

impl Story {
    /// The ledger's rows under a number, what is over, and the timeline.
    pub async fn of(store: &Store, number: &str, integration: Option<IntegrationId>) -> store::Result<Self> {
        let deliveries = store.deliveries_by_number(number, integration).await?;
        let mut past = store.past_by_number(number, integration).await?;
        // Whatever number an order had then.
        let mut keys: BTreeSet<Key> = deliveries.iter().map(|d| (d.integration, d.crm_order)).collect();
        keys.extend(past.iter().map(|past| (past.integration, past.crm_order)));
        for (integration, order) in &keys {
            let more = store.past_deliveries(*integration, &[*order]).await?;
            past.extend(more.into_iter().filter(|m| !past.contains(m)).collect::<Vec<_>>());
        }
        past.sort_by_key(|past| (past.integration, past.crm_order, past.generation));
        let mut story = Self {
            number: number.to_owned(),
            deliveries,
            past,
            timeline: Vec::new(),
            titles: BTreeMap::new(),
            waits: Vec::new(),
            replays: Vec::new(),
            corrections: Vec::new(),
        };
        let mut timeline = store.timeline(number, &[], integration).await?;
        for (integration, order) in &keys {
            let own = store.corrections(*integration, &[*order]).await?;
            story.corrections.extend(own.into_iter().map(|one| (*integration, one)));
            let (numbers, ordernos) = story.names(&(*integration, *order));
            // RetailCRM's exchanges about one order are kept under its id.
            for name in numbers.into_iter().chain([format!("id:{order}")]) {
                timeline.extend(store.timeline(&name, &ordernos, Some(*integration)).await?);
            }
        }
        timeline.sort_by_key(|kept| (kept.at, kept.id));
        timeline.dedup_by_key(|kept| kept.id);
        story.timeline = timeline;
        let mut waiting = store.waiting_by_number(number, integration).await?;
        for (integration, order) in &keys {
            // It may have had another number when it was asked for.
            let own = store.order_waiting(*integration, *order, number).await?;
            waiting.extend(own.filter(|own| waiting.iter().all(|known| known.key != own.key)));
        }
        let named = story.timeline.iter().filter_map(|kept| kept.integration);
        let named = named.chain(keys.iter().map(|(integration, _)| *integration));
        let named: BTreeSet<IntegrationId> = named.chain(waiting.iter().map(|one| one.integration)).collect();
        let held = if waiting.is_empty() { Vec::new() } else { store.breakers().await? };
        for id in named {
            let found = store.integration(id).await?;
            let own = waiting.iter().filter(|one| one.integration == id);
            story.waits.extend(own.map(|one| why::of_order(one, found.as_ref(), &held)));
            story.titles.extend(found.map(|found| (id, found.title)));
        }
        let waiting = store.waiting_replays().await?;
        story.replays = waiting.into_iter().filter(|letter| story.concerns(letter)).collect();
        Ok(story)
    }

    fn concerns(&self, letter: &WaitingReplay) -> bool {
        let key = letter.integration.zip(letter.order);
        key.is_some_and(|key| self.orders().contains(&key))
            || (letter.number.as_deref() == Some(&self.number)
                && letter
                    .integration
                    .is_none_or(|integration| self.titles.contains_key(&integration) || self.orders().is_empty()))
    }

    pub fn orders(&self) -> BTreeSet<Key> {
        let known = self.deliveries.iter().map(|d| (d.integration, d.crm_order));
        known.chain(self.past.iter().map(|past| (past.integration, past.crm_order))).collect()
    }

    /// Numbers of an order in RetailCRM, and at MeaSoft.
    pub fn names(&self, key: &Key) -> (Vec<String>, Vec<String>) {
        let mut numbers = BTreeSet::new();
        let mut ordernos = BTreeSet::new();
        for d in self.deliveries.iter().filter(|d| (d.integration, d.crm_order) == *key) {
            numbers.insert(d.number.clone());
            ordernos.insert(d.orderno.as_str().to_owned());
        }
        for past in self.past.iter().filter(|past| (past.integration, past.crm_order) == *key) {
            numbers.insert(past.number.clone());
            ordernos.insert(past.orderno.as_str().to_owned());
        }
        (numbers.into_iter().collect(), ordernos.into_iter().collect())
    }

    /// Whose an entry is; `None` when it names only a number that several bore.
    pub fn order_of(&self, kept: &StoredEntry) -> Option<Key> {
        let of_integration: Vec<Key> = self
            .orders()
            .into_iter()
            .filter(|(integration, _)| kept.integration.is_none_or(|named| named == *integration))
            .collect();
        let by = |fits: &dyn Fn(&Key) -> bool| match of_integration.iter().filter(|key| fits(key)).collect::<Vec<_>>()[..]
        {
            [only] => Some(*only),
            _ => None,
        };
        if let Some(orderno) = &kept.orderno
            && let Some(key) = by(&|key| self.names(key).1.contains(orderno))
        {
            return Some(key);
        }
        let number = kept.number.as_deref()?;
        by(&|(_, order)| number == format!("id:{order}"))
            .or_else(|| by(&|key| self.names(key).0.iter().any(|n| n == number)))
    }

    /// Nothing is known of it.
    pub fn is_empty(&self) -> bool {
        self.orders().is_empty() && self.timeline.is_empty() && self.waits.is_empty() && self.replays.is_empty()
    }

    /// Each order with what is its own, and what is said by the number alone.
    pub fn by_order(&self) -> (Vec<(Key, Vec<&StoredEntry>)>, Vec<&StoredEntry>) {
        let (mut whose, mut left): (Vec<(Key, Vec<&StoredEntry>)>, Vec<&StoredEntry>) =
            (self.orders().iter().map(|key| (*key, Vec::new())).collect(), Vec::new());
        for kept in &self.timeline {
            let key = self.order_of(kept);
            match whose.iter_mut().find(|(other, _)| Some(*other) == key) {
                Some((_, entries)) => entries.push(kept),
                None => left.push(kept),
            }
        }
        // One order's story is not torn apart.
        if let [(key, entries)] = &mut whose[..] {
            let (own, others): (Vec<&StoredEntry>, Vec<&StoredEntry>) =
                self.timeline.iter().partition(|kept| kept.integration.is_none_or(|named| named == key.0));
            (*entries, left) = (own, others);
        }
        (whose, left)
    }
}
