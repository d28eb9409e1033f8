//! What the tests of the store put into it.

use shared::domain::{Secret, Settings};
use shared::store::integrations::NewIntegration;

pub const CRM_KEY: &str = "planted-crm-key-4cc1";
pub const PASSWORD: &str = "planted-password-9b27";

pub fn new_integration(prefix: &str) -> NewIntegration {
    NewIntegration {
        title: "Магазин".to_owned(),
        crm_url: "https://shop.retailcrm.ru".to_owned(),
        crm_api_key: Secret::new(CRM_KEY),
        measoft_url: "https://home.courierexe.ru/api/".to_owned(),
        extra: "8".to_owned(),
        login: "shop-demo".to_owned(),
        password: Secret::new(PASSWORD),
        prefix: prefix.to_owned(),
        settings: Settings::default(),
    }
}
