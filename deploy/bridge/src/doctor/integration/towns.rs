//! Towns in use that the courier's list does not have, or has more than once.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use shared::domain::IntegrationId;
use shared::store::Store;
use shared::store::journal::NO_TOWN;

use crate::doctor::finding::{Findings, tell};

const LOOKED_BACK_DAYS: i64 = 30;
/// Journal rows looked at.
const ROWS: u32 = 5_000;
/// Towns named in one finding; the rest is counted.
const NAMED: usize = 10;

/// Each town with how often it was asked for in vain in the last 30 days.
pub type Unmapped = BTreeMap<String, usize>;

pub async fn gather(store: &Store, integration: IntegrationId, now: Timestamp) -> Unmapped {
    let since = now.checked_sub((LOOKED_BACK_DAYS * 24).hours()).unwrap_or(Timestamp::UNIX_EPOCH);
    let told = store.town_complaints(integration, since, ROWS).await.unwrap_or_default();
    let mut towns = Unmapped::new();
    for town in told.iter().filter_map(|text| town_of(text)) {
        *towns.entry(town.to_owned()).or_default() += 1;
    }
    towns
}

/// The town a text is about.
fn town_of(text: &str) -> Option<&str> {
    let from = text.find(NO_TOWN).unwrap_or(0);
    let (_, rest) = text[from..].split_once('«')?;
    let (town, _) = rest.split_once('»')?;
    Some(town.trim()).filter(|town| !town.is_empty())
}

pub fn judge(towns: &Unmapped, say: &mut Findings) {
    if towns.is_empty() {
        return;
    }
    let mut often: Vec<_> = towns.iter().collect();
    often.sort_by_key(|(town, count)| (std::cmp::Reverse(**count), *town));
    let mut named: Vec<String> = often.iter().take(NAMED).map(|(town, count)| format!("«{town}» ({count})")).collect();
    if often.len() > NAMED {
        named.push(format!("and {} more", often.len() - NAMED));
    }
    tell!(say, Warning: "{} town(s) of the last {LOOKED_BACK_DAYS} days are not in the courier's list, or it is not clear \
            which is meant: {}", often.len(), named.join(", ")
        => "in the order choose the town from the suggestions, with its region, type and postal index; ask the courier \
            service to add what its list lacks");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_town_is_found_in_every_kind_of_text() {
        let texts = [
            "gave up (town_unclear, shop): It is not clear … [Городов «Калиновка» несколько (Курская область): укажите]",
            "callback calculate refused: Город «Калиновка» не найден в справочнике курьерской службы",
            "other «words»; the courier's list has no town «Калиновка»; placed at MeaSoft as 7, 0.00 to collect",
        ];
        for text in texts {
            assert_eq!(town_of(text), Some("Калиновка"), "{text}");
        }
        assert_eq!(town_of("placed at MeaSoft"), None);
    }
}
