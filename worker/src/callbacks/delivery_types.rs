//! Which delivery types RetailCRM ties to which module: the page of an integration that names
//! none asks for it.

use serde_json::json;

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, result, texts};

/// Answers pairs `[delivery type code, instance code of its module]`; types without a module
/// are left out. The body is not looked at.
pub async fn delivery_types(_context: &CallbackContext, request: &Request) -> Answered {
    match request.active.vendors.crm.delivery_types().await {
        Ok(all) => {
            let tied: Vec<_> =
                all.into_iter().filter_map(|kind| Some(json!([kind.code, kind.integration_code?]))).collect();
            Ok(result(tied))
        }
        Err(error) => {
            tracing::info!(integration = request.active.id().0, %error, "delivery types could not be read");
            let text = texts::unavailable(request.language()).text;
            Err(Refusal::new("crm_unavailable", text))
        }
    }
}
