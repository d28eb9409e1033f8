use super::*;
use crate::retailcrm::samples;
use proptest::prelude::*;
use serde_json::json;

fn read(module: &Value) -> IntegrationModule {
    Node::root("module", module).read(IntegrationModule::read).expect("readable")
}

#[test]
fn the_sample_survives_reading_and_writing_field_by_field() {
    let sample = samples::read("module-edit-request.json")["integrationModule"].clone();
    let written = serde_json::to_value(read(&sample)).expect("JSON");
    assert_eq!(samples::without_nothings(&written), samples::without_nothings(&sample));
}

#[test]
fn what_the_manager_set_is_read() {
    let module = read(&samples::read("module-get-response.json")["integrationModule"]);
    assert_eq!(module.code, "measoft-17");
    assert!(module.is_working());
    let settings = module.settings().expect("settings");
    assert_eq!(settings.is_cod("cash"), Some(true));
    assert_eq!(settings.is_cod("2"), Some(false));
    assert_eq!(settings.is_cod("other"), None);
    assert_eq!(settings.locked_by_default, Some(true));
    assert_eq!(settings.default_payer_type, Some(PayerType::Sender));
    assert_eq!(
        settings.statuses[1],
        StatusMapping { tracking_status_code: "COMPLETE".into(), code: "complete".into() }
    );
    assert_eq!(settings.delivery_extra_data["deliveryApiKey"], json!("dk-7f3c9a52e1b04d6f8a90c1e2"));
    let delivery = module.integrations.delivery.as_ref().expect("delivery");
    assert_eq!(delivery.actions["tariffList"], "/retailcrm/callback/tariffs");
    assert!(delivery.status_list[0].is_preprocessing && delivery.status_list[5].is_error);
}

#[test]
fn settings_come_as_lists_or_as_maps() {
    let settings = json!({
        "paymentTypes": {"cash": {"active": 1, "cod": "1"}, "2": {"code": "2", "active": true}},
        "statuses": {"COMPLETE": "complete", "NEW": {"code": "new"}, "x": {"trackingStatusCode": "LOST", "code": null}},
        "deliveryExtraData": [],
    });
    let settings = Node::root("settings", &settings).read(ModuleSettings::read).expect("readable");
    assert_eq!(settings.is_cod("cash"), Some(true));
    assert_eq!(settings.is_cod("2"), Some(false));
    let pairs: Vec<(&str, &str)> =
        settings.statuses.iter().map(|s| (s.tracking_status_code.as_str(), s.code.as_str())).collect();
    assert_eq!(pairs, [("COMPLETE", "complete"), ("NEW", "new"), ("LOST", "")]);
}

#[test]
fn choices_come_as_a_list_or_as_a_map() {
    let field = json!({"code": "packing", "type": "choice", "choices": {"box": "Короб", "none": {"label": "Без"}}});
    let field = Node::root("field", &field).read(DataField::read).expect("readable");
    assert_eq!(field.choices[0], Choice { value: "box".into(), label: "Короб".into() });
    assert_eq!(field.choices[1], Choice { value: "none".into(), label: "Без".into() });
}

#[test]
fn the_answer_to_an_edit_may_name_a_delivery_type() {
    let info = ModuleInfo::read(&samples::read("module-edit-response.json"));
    assert_eq!(info.delivery_type, Some((Some(34), "measoft-17".into())));
    assert_eq!(ModuleInfo::read(&json!({"success": true, "info": []})), ModuleInfo::default());
}

#[test]
fn debug_shows_neither_the_client_id_nor_the_delivery_key() {
    let debug = format!("{:?}", read(&samples::read("module-get-response.json")["integrationModule"]));
    assert!(!debug.contains("c1f0a6de") && !debug.contains("dk-7f"), "{debug}");
}

#[test]
fn settings_are_left_out_of_a_later_registration() {
    let mut module = read(&samples::read("module-get-response.json")["integrationModule"]);
    module.integrations.delivery.as_mut().expect("delivery").settings = None;
    let written = serde_json::to_value(module).expect("JSON");
    assert!(written["integrations"]["delivery"].get("settings").is_none());
    assert!(written.get("freeze").is_none());
}

proptest! {
    #[test]
    fn no_field_makes_the_module_reader_panic(value in samples::any_json(), at in 0usize..400) {
        let mut module = samples::read("module-get-response.json")["integrationModule"].clone();
        let pointers = samples::pointers(&module);
        *module.pointer_mut(&pointers[at % pointers.len()]).expect("exists") = value.clone();
        let _ = Node::root("module", &module).read(IntegrationModule::read);
        let _ = ModuleInfo::read(&value);
    }
}
