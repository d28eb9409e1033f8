//! Words that the commands and the pages share.

use shared::domain::{DeliveryState, Fault, Language};
use shared::explain;
use shared::reason::{BAD_PHONE, Explanation};

/// The one of two texts.
pub const fn of<'a>(language: Language, ru: &'a str, en: &'a str) -> &'a str {
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

/// Who has to act.
pub const fn who_acts(fault: Fault, language: Language) -> &'static str {
    match fault {
        Fault::Shop => of(language, "решает магазин", "the shop mends it"),
        Fault::Courier => of(language, "решает курьерская служба", "the courier service's matter"),
        Fault::Crm => of(language, "вопрос к RetailCRM", "RetailCRM's matter"),
        Fault::Bridge => of(language, "решает администратор интеграции", "the operator's matter"),
    }
}

/// Where an order is.
pub const fn state(state: DeliveryState, language: Language) -> &'static str {
    match state {
        DeliveryState::Planned => of(language, "ещё не отправлен в MeaSoft", "not sent to MeaSoft yet"),
        DeliveryState::Sending | DeliveryState::Unknown => {
            of(language, "неизвестно, принят ли в MeaSoft", "whether MeaSoft has it is not known")
        }
        DeliveryState::Created => of(language, "в MeaSoft, работа не начата", "at MeaSoft, not begun"),
        DeliveryState::InWork => of(language, "у курьерской службы", "with the courier service"),
        DeliveryState::Delivered => of(language, "вручён", "delivered"),
        DeliveryState::Partly => of(language, "вручён частично", "delivered in part"),
        DeliveryState::NotDelivered => of(language, "не вручён", "not delivered"),
        DeliveryState::Returned => of(language, "возвращён", "returned"),
        DeliveryState::Lost => of(language, "утерян", "lost"),
        DeliveryState::Cancelled => of(language, "отменён в MeaSoft", "cancelled at MeaSoft"),
        DeliveryState::Rejected => of(language, "не передан в MeaSoft", "not at MeaSoft, refused"),
    }
}

/// What a command was to do, by its kind.
pub fn command(kind: &str, language: Language) -> &'static str {
    match kind {
        "SendOrder" => of(language, "отправка заказа", "send the order"),
        "UpdateOrder" => of(language, "изменение заказа", "change the order"),
        "CancelOrder" => of(language, "отмена заказа", "cancel the order"),
        "SyncStatuses" => of(language, "получение статусов", "fetch statuses"),
        "PushStatuses" => of(language, "передача статусов в RetailCRM", "tell RetailCRM statuses"),
        "SyncPayments" => of(language, "передача оплат в RetailCRM", "tell RetailCRM payments"),
        "Reconcile" => of(language, "сверка", "compare both sides"),
        _ => of(language, "служебная задача", "upkeep"),
    }
}

/// What a reason says. One of them is MeaSoft's own English sentence, as the users of its hosted
/// integration know it; here it is said in the reader's language.
pub fn reason(reason: &str, language: Language) -> Explanation {
    let words = explain::reason(reason, language);
    if reason != BAD_PHONE {
        return words;
    }
    let text =
        of(language, "В заказе нет годного телефона получателя.", "The order has no valid phone of the receiver.");
    Explanation { text, ..words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_said_in_the_readers_language() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        for label in explain::all_reasons() {
            let (ru, en) = (reason(label, Language::Ru), reason(label, Language::En));
            assert!(cyrillic(ru.text) && cyrillic(ru.next_step) && !cyrillic(en.text), "{label}: {}", ru.text);
        }
    }
}
