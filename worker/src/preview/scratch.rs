//! A ledger to try things on: a database of its own with what the real one knows of some orders,
//! gone when it is dropped.

use std::path::PathBuf;

use anyhow::Context as _;
use shared::config::Config;
use shared::domain::{CrmOrderId, Delivery, DeliveryState, Integration, IntegrationId, OrderNumber};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::numbers::numbers;
use shared::store::{Db, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::order::decide::REREADS;

/// Numbers at MeaSoft of an order that are looked at, so that it gets the same one here.
const NUMBERS: usize = 24;
/// When nothing is due, milliseconds.
const FAR: i64 = 32_503_680_000_000;

pub struct Scratch {
    pub store: Store,
    folder: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Scratch {
    pub async fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("bridge-preview-{}", uuid::Uuid::new_v4().simple()));
        make_private(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let (file, runtime) = (folder.join("preview.db"), Handle::current());
        // Migrations stay on one thread, and a preview may be asked for on any.
        let made = spawn_blocking(move || {
            runtime.block_on(async {
                let db = Db::open_sqlite(&file).await?;
                db.migrate().await?;
                anyhow::Ok(db)
            })
        });
        let db = made.await??;
        let scratch = Store::new(db, store.key.clone(), store.clock.clone()).with_measoft_url(&config.measoft_url);
        Ok(Self { store: scratch, folder })
    }

    /// What the real ledger knows of the orders, and who has the numbers that they may get.
    pub async fn copy(
        &self,
        store: &Store,
        integration: &Integration,
        named: &[OrderNumber],
        ids: &[CrmOrderId],
    ) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        for id in ids {
            let generation = store.delivery_by_order(integration.id, *id).await?.map_or(1, |d| d.generation);
            for first in [1, generation, generation + 1] {
                for number in named {
                    let few = numbers(&integration.prefix, number, *id, first).take(NUMBERS);
                    taken.extend(few.map(|(_, orderno)| orderno.as_str().to_owned()));
                }
            }
        }
        let names: Vec<&str> = named.iter().map(OrderNumber::as_str).collect();
        store.copy_orders_to(&self.store, integration.id, &names, ids, &taken).await?;
        Ok(())
    }

    /// What is wanted: what is asked for, else what waits, else what a trigger would want of the
    /// order as it stands. It is due now, and read for the last time: «read again» is no answer.
    pub async fn request(
        &self,
        integration: IntegrationId,
        number: &OrderNumber,
        ids: &[CrmOrderId],
        asked: Option<RequestKind>,
    ) -> anyhow::Result<Option<RequestKind>> {
        let (waiting, _) = self.store.backlog_of(integration).await?;
        let want = match asked {
            None if waiting > 0 => None,
            None => Some(self.usual(integration, number, ids).await?),
            asked => asked,
        };
        let now = self.store.clock.now();
        if let Some(want) = want {
            self.store.record_requests(&[OrderRequest::at(now, integration, number.clone(), want)]).await?;
        }
        for table in ["intents", "order_intents"] {
            let sql = format!(
                "UPDATE {table} SET due_at = {}, rereads = {REREADS}, lease_owner = NULL, lease_until = 0 \
                 WHERE requested > served",
                now.as_millisecond()
            );
            self.store.db.exec(sql, vec![]).await?;
        }
        // An order that has a request of its own takes over what waits by its number first.
        let sql = format!(
            "UPDATE order_intents SET due_at = {FAR} WHERE EXISTS (SELECT 1 FROM intents WHERE requested > served)"
        );
        self.store.db.exec(sql, vec![]).await?;
        Ok(want)
    }

    /// Has what is wanted besides come up: the requests that nothing was handed over to, and what
    /// the orders' own outcome asks for a moment later, the cancel of a parcel left behind for one.
    /// What was read for the last time already waits for something else. Whether there is any.
    pub async fn bring_up(&self) -> Result<bool, StoreError> {
        let now = self.store.clock.now().as_millisecond();
        let sql = format!(
            "UPDATE order_intents SET due_at = {now}, rereads = {REREADS} \
             WHERE (due_at = {FAR} AND requested > served) OR (rereads < {REREADS} \
             AND (send_seq > served OR update_seq > served OR cancel_seq > served))"
        );
        Ok(self.store.db.exec(sql, vec![]).await? > 0)
    }

    /// A change of what is at MeaSoft, a send of all else.
    async fn usual(
        &self,
        integration: IntegrationId,
        number: &OrderNumber,
        ids: &[CrmOrderId],
    ) -> anyhow::Result<RequestKind> {
        let known = self.deliveries(integration, std::slice::from_ref(number), ids).await?;
        let is_there = |d: &Delivery| matches!(d.state, DeliveryState::Created | DeliveryState::InWork);
        Ok(if known.iter().any(is_there) { RequestKind::Update } else { RequestKind::Send })
    }

    /// The deliveries of the orders, as they are here.
    pub async fn deliveries(
        &self,
        integration: IntegrationId,
        named: &[OrderNumber],
        ids: &[CrmOrderId],
    ) -> anyhow::Result<Vec<Delivery>> {
        let mut found: Vec<Delivery> = Vec::new();
        for id in ids {
            found.extend(self.store.delivery_by_order(integration, *id).await?);
        }
        for number in named {
            for d in self.store.deliveries_by_number(number.as_str(), Some(integration)).await? {
                if !found.iter().any(|other| other.id == d.id) {
                    found.push(d);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(unix)]
fn make_private(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)
}
