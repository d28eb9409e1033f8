//! Words for every reason, whoever's it is.

pub mod measoft;

use crate::domain::Language;
use crate::message::Needless;
use crate::reason::{BAD_PHONE, Explanation, OURS};

/// Every reason there is, ours and MeaSoft's.
pub fn all_reasons() -> impl Iterator<Item = &'static str> {
    OURS.iter().map(|(label, ..)| *label).chain(measoft::reasons())
}

/// The words for a reason, ours or MeaSoft's.
pub fn reason(reason: &str, language: Language) -> Explanation {
    if let Some((_, _, ru, en)) = OURS.iter().find(|(label, ..)| *label == reason) {
        return match language {
            Language::Ru => *ru,
            Language::En => *en,
        };
    }
    measoft::explain(reason, language)
}

/// The same, all of it in the reader's language. One reason is MeaSoft's own English sentence, as the
/// users of its hosted integration know it.
pub fn translated(label: &str, language: Language) -> Explanation {
    let words = reason(label, language);
    let text = match language {
        _ if label != BAD_PHONE => return words,
        Language::Ru => "В заказе нет правильного телефона получателя.",
        Language::En => "The order has no valid phone of the receiver.",
    };
    Explanation { text, ..words }
}

/// Why nothing was to be done.
pub const fn needless(why: Needless, language: Language) -> &'static str {
    let (ru, en) = match why {
        Needless::EndedBefore => ("доставка завершилась раньше", "the delivery has ended before"),
        Needless::Ended => ("доставка завершена", "the delivery has ended"),
        Needless::EndedWithoutHandOver => {
            ("доставка завершилась без вручения", "the delivery has ended without a hand-over")
        }
        Needless::AnotherType => ("у заказа теперь другой тип доставки", "the order has another delivery type now"),
        Needless::TypeStands => {
            ("у заказа всё ещё или снова этот тип доставки", "the order has this delivery type still or again")
        }
        Needless::LookedAgain => ("повторная проверка для RetailCRM", "looked at again for RetailCRM's sake"),
        Needless::NeverSent => ("заказ не отправлялся", "the order was never sent"),
        Needless::Refused => ("заказ не был принят", "the order was refused"),
        Needless::Cancelled => ("отменён раньше", "cancelled before"),
        Needless::CancelledUntilSent => {
            ("отменён раньше; новая отправка создаст его заново", "cancelled before; a new send would place it again")
        }
        Needless::AsItIs => ("в MeaSoft заказ такой же", "MeaSoft has the order as it is"),
        Needless::ChangingIsOff => {
            ("заказ уже создан, а изменение заказов выключено", "placed before; changing orders is switched off")
        }
        Needless::InWork => ("курьер уже работает с заказом", "the courier is working on it"),
        Needless::NotAtMeasoft => ("такого заказа в MeaSoft нет", "MeaSoft has no such order"),
        Needless::NothingSent => ("ничего не было отправлено", "nothing was sent"),
        Needless::NeverOurs => ("такого заказа у нас не было", "we never had the order"),
        Needless::NeverTheirs => ("у этой курьерской службы заказа не было", "this courier never had the order"),
        Needless::KnownToNobody => ("заказа нет ни у нас, ни в MeaSoft", "neither we nor MeaSoft know the order"),
        Needless::NotActive => ("интеграция не работает", "the integration is not active"),
        Needless::NotForThisJob => ("для этой команды действий нет", "nothing to do for this command"),
        Needless::Gone => ("интеграции больше нет", "the integration is gone"),
        Needless::ChangedMeanwhile => ("интеграцию тем временем изменили", "the integration was changed meanwhile"),
        Needless::StillRefused => ("доступа всё ещё нет", "still refused"),
        Needless::OthersTurn => ("этим занят другой процесс", "another worker does it"),
        Needless::NothingWaits => ("ничего не ждёт", "nothing waits"),
        Needless::NothingNew => ("новых данных нет", "nothing is new"),
        Needless::Answered => ("ответ дан", "it is answered"),
        Needless::InShadow => {
            ("интеграция в режиме тени ничего не записывает", "an integration in mode shadow writes nothing")
        }
    };
    match language {
        Language::Ru => ru,
        Language::En => en,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_not_done_is_said_in_its_own_words_in_both_languages() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        let mut seen = std::collections::BTreeSet::new();
        for why in Needless::ALL {
            let (ru, en) = (needless(why, Language::Ru), needless(why, Language::En));
            assert!(cyrillic(ru) && !cyrillic(en) && seen.insert(ru) && seen.insert(en), "{why:?}");
        }
    }

    #[test]
    fn every_reason_is_said_in_the_readers_language() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        for label in all_reasons() {
            let (ru, en) = (translated(label, Language::Ru), translated(label, Language::En));
            assert!(cyrillic(ru.text) && cyrillic(ru.next_step) && !cyrillic(en.text), "{label}: {}", ru.text);
        }
    }
}
