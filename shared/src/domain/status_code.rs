//! MeaSoft's status codes (protocols/measoft.md#status-codes). The set grows on the vendor's side,
//! so an unknown code is data, never an error.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::Language;

macro_rules! status_codes {
    ($($variant:ident $text:literal $ru:literal $en:literal;)*) => {
        /// A status of a shipment.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum StatusCode {
            $($variant,)*
            /// A code this program does not know yet, as it was sent.
            Unknown(String),
        }

        impl StatusCode {
            /// Every known code, in the order of the vendor's table.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)*];

            /// Trims; never fails.
            pub fn parse(text: &str) -> Self {
                match text.trim() {
                    $($text => Self::$variant,)*
                    other => Self::Unknown(other.to_owned()),
                }
            }

            /// The vendor's code.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown(text) => text,
                }
            }

            /// For people, in Russian; an unknown code names itself.
            pub fn name_ru(&self) -> &str {
                match self {
                    $(Self::$variant => $ru,)*
                    Self::Unknown(text) => text,
                }
            }

            /// For people, in English; an unknown code names itself.
            pub fn name_en(&self) -> &str {
                match self {
                    $(Self::$variant => $en,)*
                    Self::Unknown(text) => text,
                }
            }
        }
    };
}

status_codes! {
    AwaitingSync "AWAITING_SYNC" "Ожидает синхронизации" "Waiting for synchronisation";
    New "NEW" "Новый" "New";
    NewPickup "NEWPICKUP" "Создан забор" "Pick-up created";
    Pickup "PICKUP" "Забран у отправителя" "Picked up from the sender";
    WmsAssembled "WMSASSEMBLED" "Скомплектован на складе" "Assembled at the warehouse";
    WmsDisassembled "WMSDISASSEMBLED" "Разукомплектован на складе" "Disassembled at the warehouse";
    Accepted "ACCEPTED" "Получен складом" "Received by the warehouse";
    StoreTake "STORETAKE" "Принят складом на хранение" "Taken into storage";
    CustomsProcess "CUSTOMSPROCESS" "Таможенный контроль" "In customs";
    CustomsFinished "CUSTOMSFINISHED" "Таможенный контроль пройден" "Cleared by customs";
    Confirm "CONFIRM" "Согласована доставка" "Delivery agreed";
    Unconfirm "UNCONFIRM" "Не удалось согласовать доставку" "Delivery could not be agreed";
    Departuring "DEPARTURING" "Планируется отправка" "Dispatch planned";
    Departure "DEPARTURE" "Отправлено со склада" "Left the warehouse";
    TransAccepted "TRANSACCEPTED" "Прибыл на склад перевозчика" "At the carrier's warehouse";
    PickupTrans "PICKUPTRANS" "Забран у перевозчика" "Taken over from the carrier";
    Inventory "INVENTORY" "Инвентаризация" "Stock-taking";
    PickupReady "PICKUPREADY" "Готов к выдаче" "Ready for collection";
    Delivery "DELIVERY" "Выдан курьеру на доставку" "With the courier";
    CourierDelivered "COURIERDELIVERED" "Доставлен (предварительно)" "Delivered (preliminary)";
    CourierPartially "COURIERPARTIALLY" "Доставлен частично (предварительно)" "Delivered in part (preliminary)";
    CourierCanceled "COURIERCANCELED" "Отказ (предварительно)" "Refused (preliminary)";
    CourierReturn "COURIERRETURN" "Курьер вернул на склад" "Brought back to the warehouse";
    DateChange "DATECHANGE" "Перенос" "Rescheduled";
    Complete "COMPLETE" "Доставлен" "Delivered";
    Partially "PARTIALLY" "Доставлен частично" "Delivered in part";
    Canceled "CANCELED" "Не доставлен (Возврат/Отмена)" "Not delivered (return or cancellation)";
    Returning "RETURNING" "Планируется возврат" "Return planned";
    Returned "RETURNED" "Возвращен" "Returned";
    PartlyReturning "PARTLYRETURNING" "Планируется возврат остатка" "Return of the rest planned";
    PartlyReturned "PARTLYRETURNED" "Остаток возвращен" "The rest was returned";
    Lost "LOST" "Утрачен" "Lost";
    DepartureDelay "DEPARTUREDELAY" "Отправка задерживается" "Dispatch delayed";
    CustomsDelay "CUSTOMSDELAY" "Задержка на таможне" "Delayed in customs";
    WithdrawnFromPickupPoint "WITHDRAWN_FROM_PICKUP_POINT" "Изъят из пункта выдачи" "Withdrawn from the pick-up point";
}

impl StatusCode {
    pub fn name(&self, lang: Language) -> &str {
        match lang {
            Language::Ru => self.name_ru(),
            Language::En => self.name_en(),
        }
    }

    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// No further *delivery* outcome is expected; what was not taken may still travel
    /// back, and the vendor may correct itself.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Complete
                | Self::Partially
                | Self::Canceled
                | Self::Returning
                | Self::Returned
                | Self::PartlyReturning
                | Self::PartlyReturned
                | Self::Lost
        )
    }

    /// The receiver has the goods, all or some, and money was settled. The preliminary
    /// `COURIER…` codes are not it.
    pub const fn is_delivered(&self) -> bool {
        matches!(self, Self::Complete | Self::Partially | Self::PartlyReturning | Self::PartlyReturned)
    }

    /// The courier service still lets the client change or cancel the order
    /// (protocols/measoft.md#editorder).
    pub const fn is_editable(&self) -> bool {
        matches!(self, Self::New | Self::AwaitingSync)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_code_reads_back_and_has_two_names() {
        assert_eq!(StatusCode::KNOWN.len(), 35);
        for code in StatusCode::KNOWN {
            assert_eq!(&StatusCode::parse(code.as_str()), code);
            assert!(!code.name_ru().is_ascii() && code.name_en().is_ascii(), "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_kept_as_it_came() {
        let code = StatusCode::parse(" SOMETHING_NEW ");
        assert_eq!(code, StatusCode::Unknown("SOMETHING_NEW".into()));
        assert!(!code.is_final() && !code.is_known());
        let json = serde_json::to_string(&code).expect("json");
        assert_eq!(json, "\"SOMETHING_NEW\"");
        assert_eq!(serde_json::from_str::<StatusCode>(&json).expect("json"), code);
    }

    #[test]
    fn preliminary_reports_are_not_final() {
        for code in StatusCode::KNOWN.iter().filter(|code| code.as_str().starts_with("COURIER")) {
            assert!(!code.is_final() && !code.is_delivered(), "{code}");
        }
    }
}
