//! Words that the commands and the pages share.

use shared::domain::{DeliveryState, Language};
pub use shared::explain::translated as reason;
pub use shared::phrases::who_acts;

/// The one of two texts.
pub const fn of<'a>(language: Language, ru: &'a str, en: &'a str) -> &'a str {
    match language {
        Language::Ru => ru,
        Language::En => en,
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
        "SyncReturns" => {
            of(language, "передача возвратов по позициям в RetailCRM", "tell RetailCRM what was brought back")
        }
        "Reconcile" => of(language, "сверка", "compare both sides"),
        "CompareShadow" => of(language, "сверка тени", "compare the shadow"),
        _ => of(language, "служебная задача", "upkeep"),
    }
}
