//! Telling RetailCRM the statuses of deliveries.

use shared::retailcrm::CrmError;
use shared::retailcrm::wire::tracking::TrackingUpdate;

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Tells RetailCRM. Where it refuses, it is told once more without the module's fields: a module
/// that was registered by an earlier release declares none, and a status must not fail for them.
///
/// # Errors
/// What RetailCRM says, of the last request.
pub async fn track(
    tools: &Tools,
    active: &ActiveIntegration,
    mut updates: Vec<TrackingUpdate>,
) -> Result<(), CrmError> {
    let code = active.integration.code(&tools.module_code);
    let told = active.vendors.crm.tracking(&code, &updates).await;
    let filled = updates.iter().any(|update| !update.extra_data.is_empty());
    if !(filled && matches!(told, Err(CrmError::Refused { .. }))) {
        return told;
    }
    updates.iter_mut().for_each(|update| update.extra_data.clear());
    active.vendors.crm.tracking(&code, &updates).await
}

#[cfg(test)]
mod tests {
    use shared::domain::{CrmOrderId, Delivery};
    use shared::retailcrm::wire::tracking::TrackingEntry;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn a_status_does_not_fail_for_a_field_that_retailcrm_does_not_know() {
        let world = World::new().await;
        let (order, active) = (world.place("A-1").await, world.first());
        let update = |code: &str| TrackingUpdate {
            delivery_id: Delivery::external_id(active.id(), CrmOrderId(order)),
            track_number: None,
            cost: None,
            history: vec![TrackingEntry {
                code: code.to_owned(),
                updated_at: world.tools.clock.now().to_zoned_datetime(jiff::tz::TimeZone::UTC),
                comment: None,
            }],
            extra_data: [("unheardOf".to_owned(), "?".to_owned())].into(),
        };
        track(&world.tools, &active, vec![update("ACCEPTED")]).await.expect("told without it");
        assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
        let refused = track(&world.tools, &active, vec![update("NO_SUCH_CODE")]).await;
        assert!(matches!(refused, Err(CrmError::Refused { .. })), "what is wrong beside it is still said");
    }
}
