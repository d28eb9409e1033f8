//! Another key for the triggers of an integration.

use shared::crypto::{SecretKey, random_hex};
use shared::domain::{Integration, IntegrationId, Secret};
use shared::store::audit::{Act, Who};
use shared::store::{Store, StoreError};

/// What the mark of a key is good for.
const MARK: &str = "mark of a trigger key";

/// Why there is no other key.
#[derive(Debug, thiserror::Error)]
pub enum NotRotated {
    #[error("the key is another by now than the one that was to be replaced")]
    Another,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names the present key without telling anything of it.
pub fn mark(key: &SecretKey, integration: &Integration) -> String {
    key.sign(MARK, integration.secrets.delivery_api_key.expose())
}

/// Makes a new deliveryApiKey: triggers with the old one are refused from then on. With `seen` only
/// if the key is still the one of that [`mark`]: a form that is sent twice makes one.
///
/// # Errors
/// [`NotRotated`]: then the old one is good.
pub async fn rotate(store: &Store, id: IntegrationId, seen: Option<&str>, who: &Who) -> Result<Secret, NotRotated> {
    let fresh = Secret::new(format!("dk-{}", random_hex::<16>()));
    let rotated = |i: &mut Integration| {
        if seen.is_some_and(|seen| seen != mark(&store.key, i)) {
            return Err(NotRotated::Another);
        }
        i.secrets.delivery_api_key.clone_from(&fresh);
        Ok(())
    };
    store.change_integration_by(id, Some((who, Act::KeyRotated)), rotated).await?;
    Ok(fresh)
}
