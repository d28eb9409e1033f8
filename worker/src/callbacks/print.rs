//! `print`: one PDF for any number of deliveries.

use std::collections::BTreeMap;

use lopdf::{Document, Object, ObjectId};
use shared::domain::{Language, OrderNo};
use shared::measoft::MeasoftError;
use shared::message::CallbackReply;
use shared::retailcrm::wire::callbacks::PrintRequest;

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, delivery_of, texts};
use crate::vendor::ActiveIntegration;

/// Orders of one request to MeaSoft.
const TOGETHER: usize = 25;
/// Most orders of one document; RetailCRM is told so.
pub const LIMIT: usize = 100;

/// # Errors
/// Which delivery cannot be printed, or what MeaSoft says.
pub async fn print(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let asked = PrintRequest::parse(&request.body.to_string()).map_err(|bad| texts::misread(language, &bad))?;
    if asked.delivery_ids.is_empty() || asked.delivery_ids.len() > LIMIT || asked.entity_type != "order" {
        return Err(cannot(language, "").with_status(400));
    }
    let forms = &active.integration.settings.print_forms;
    let Some(form) = forms.iter().find(|form| form.code == asked.kind).or_else(|| forms.first()) else {
        return Err(cannot(language, "").with_status(404));
    };
    let mut orders = Vec::with_capacity(asked.delivery_ids.len());
    let mut missing = Vec::new();
    for id in &asked.delivery_ids {
        match delivery_of(context, active, id).await? {
            Some(delivery) if delivery.state.is_placed() => orders.push(delivery.orderno),
            Some(delivery) => missing.push(delivery.number),
            None => missing.push(id.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(cannot(language, &missing.join(", ")).with_status(404));
    }
    let mut parts = Vec::new();
    for chunk in orders.chunks(TOGETHER) {
        parts.push(waybill(context, active, chunk, &form.form).await?);
    }
    match merged(parts) {
        Some(pdf) => Ok(CallbackReply::pdf(pdf)),
        None => Err(texts::wrong_format(language)),
    }
}

async fn waybill(
    context: &CallbackContext,
    active: &ActiveIntegration,
    orders: &[OrderNo],
    form: &str,
) -> Result<Vec<u8>, Refusal> {
    match context.tools.ask(active, active.vendors.courier.waybill(orders, form)).await {
        Err(held) => Err(texts::held_back(active.integration.settings.language, &held)),
        Ok(Err(MeasoftError::TooLarge { limit, .. })) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Err(texts::too_large(active.integration.settings.language, limit.saturating_add(1), limit))
        }
        Ok(Err(error)) => Err(texts::courier(context, active, None, &error).await),
        Ok(Ok(pdf)) => Ok(pdf),
    }
}

fn cannot(language: Language, which: &str) -> Refusal {
    let text = match (language, which) {
        (Language::Ru, "") => {
            "Нечего печатать: выберите от 1 до 100 заказов, переданных в курьерскую службу".to_owned()
        }
        (Language::En, "") => "Nothing to print: choose 1 to 100 orders handed over to the courier service".to_owned(),
        (Language::Ru, which) => format!("Эти заказы ещё не переданы в курьерскую службу: {which}"),
        (Language::En, which) => format!("These orders were not handed over to the courier service yet: {which}"),
    };
    Refusal::new("not_printable", text)
}

/// The pages of all documents, in order. `None` when one of them cannot be read.
fn merged(mut parts: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    if parts.len() == 1 {
        return parts.pop();
    }
    let mut next_id = 1;
    let mut pages: Vec<ObjectId> = Vec::new();
    let mut objects: BTreeMap<ObjectId, Object> = BTreeMap::new();
    for part in parts {
        let mut document = Document::load_mem(&part).ok()?;
        document.renumber_objects_with(next_id);
        next_id = document.max_id + 1;
        for (_, id) in document.get_pages() {
            // What a page inherits from its document's tree has to come along.
            let inherited = inherited(&document, id);
            let page = document.get_object_mut(id).ok()?.as_dict_mut().ok()?;
            for (key, value) in inherited {
                if !page.has(&key) {
                    page.set(key, value);
                }
            }
            pages.push(id);
        }
        objects.extend(document.objects);
    }
    let mut whole = Document::with_version("1.5");
    let tree_id = (next_id, 0);
    let catalog_id = (next_id + 1, 0);
    for id in &pages {
        if let Some(page) = objects.get_mut(id).and_then(|page| page.as_dict_mut().ok()) {
            page.set("Parent", tree_id);
        }
    }
    // The parts' own catalogues and trees would only be ballast.
    objects.retain(|_, object| {
        let kind = object.as_dict().ok().and_then(|dict| dict.get(b"Type").ok()).and_then(|kind| kind.as_name().ok());
        !matches!(kind, Some(b"Catalog" | b"Pages" | b"Outlines" | b"ObjStm" | b"XRef"))
    });
    whole.objects = objects;
    let count = i64::try_from(pages.len()).ok()?;
    let kids: Vec<Object> = pages.into_iter().map(Object::Reference).collect();
    whole.objects.insert(
        tree_id,
        Object::Dictionary(lopdf::dictionary! { "Type" => "Pages", "Count" => count, "Kids" => kids }),
    );
    whole
        .objects
        .insert(catalog_id, Object::Dictionary(lopdf::dictionary! { "Type" => "Catalog", "Pages" => tree_id }));
    whole.trailer.set("Root", catalog_id);
    whole.max_id = catalog_id.0;
    whole.renumber_objects();
    let mut bytes = Vec::new();
    whole.save_to(&mut bytes).ok()?;
    Some(bytes)
}

/// Attributes a page takes over from the nodes above it (ISO 32000 §7.7.3.4).
fn inherited(document: &Document, page: ObjectId) -> Vec<(Vec<u8>, Object)> {
    let mut found: Vec<(Vec<u8>, Object)> = Vec::new();
    let mut at = page;
    // A broken tree may point at itself.
    for _ in 0..32 {
        let Ok(node) = document.get_dictionary(at) else { break };
        for key in [&b"Resources"[..], b"MediaBox", b"CropBox", b"Rotate"] {
            if let Ok(value) = node.get(key)
                && !found.iter().any(|(known, _)| known == key)
            {
                found.push((key.to_vec(), value.clone()));
            }
        }
        match node.get(b"Parent").and_then(Object::as_reference) {
            Ok(parent) => at = parent,
            Err(_) => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use lopdf::{Stream, dictionary};

    /// A document whose pages inherit size and font, as generators write them.
    fn pdf(texts: &[&str]) -> Vec<u8> {
        let mut document = Document::with_version("1.4");
        let tree = document.new_object_id();
        let font =
            document.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica" });
        let kids: Vec<Object> = texts
            .iter()
            .map(|text| {
                let content = format!("BT /F1 12 Tf 10 10 Td ({text}) Tj ET");
                let stream = document.add_object(Stream::new(dictionary! {}, content.into_bytes()));
                document.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => stream }).into()
            })
            .collect();
        let pages = dictionary! {
            "Type" => "Pages",
            "Count" => i64::try_from(texts.len()).expect("few"),
            "Kids" => kids,
            "MediaBox" => vec![0.into(), 0.into(), 298.into(), 420.into()],
            "Resources" => dictionary! { "Font" => dictionary! { "F1" => font } },
        };
        document.objects.insert(tree, Object::Dictionary(pages));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
        document.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).expect("written");
        bytes
    }

    #[test]
    fn several_documents_become_one_with_every_page_in_order() {
        let whole = merged(vec![pdf(&["A-1", "A-2"]), pdf(&["B-1"])]).expect("merged");
        assert!(whole.starts_with(b"%PDF"));
        let document = Document::load_mem(&whole).expect("readable");
        let pages = document.get_pages();
        assert_eq!(pages.len(), 3);
        let texts: Vec<String> =
            (1..=3).map(|n| document.extract_text(&[n]).expect("text").trim().to_owned()).collect();
        assert_eq!(texts, ["A-1", "A-2", "B-1"]);
        for id in pages.values() {
            let page = document.get_dictionary(*id).expect("a page");
            assert!(page.has(b"MediaBox") && page.has(b"Resources"), "what was inherited came along");
        }
    }

    #[test]
    fn one_document_stays_as_it_is_and_a_broken_one_is_noticed() {
        let one = pdf(&["A-1"]);
        assert_eq!(merged(vec![one.clone()]), Some(one.clone()));
        assert_eq!(merged(vec![one, b"%PDF-1.4 broken".to_vec()]), None);
    }
}
