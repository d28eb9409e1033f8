//! `bridge compare`: a day's orders in three books, and what they do not agree on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use bridge_console::seen::compared;
use bridge_worker::compare::books::{Found, Repair};
use bridge_worker::compare::{Comparison, compare, repair};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::{Integration, Language};
use shared::store::Store;
use shared::store::audit::Who;

use crate::args::Compare;
use crate::filters;
use crate::language::{language, of};
use crate::output::{Failure, Output, Progress, bold, cell};
use crate::stdout::say;

/// What one integration's books came to.
struct Compared {
    integration: Integration,
    /// `Err`: why they cannot be read.
    read: Result<Read, String>,
}

struct Read {
    books: Comparison,
    /// What was asked for, and how often.
    asked: BTreeMap<&'static str, usize>,
}

pub async fn run(args: Compare, who: &Who, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let day = match &args.day {
        Some(given) => {
            given.parse().map_err(|_| Failure::Usage(format!("--day: «{given}» is no day like 2026-12-01")))?
        }
        None => compared::yesterday(store.clock.now(), &config.display_zone).map_err(anyhow::Error::from)?,
    };
    let integrations = match args.integration {
        Some(id) => vec![filters::live_integration(id, store).await?],
        None => store.integrations().await?.into_iter().filter(Integration::is_active).collect(),
    };
    let (progress, config) = (Progress::new(out), Arc::new(config.clone()));
    let mut all = Vec::new();
    for integration in integrations {
        let id = integration.id;
        let tell = |step| progress.say(&format!("integration {id}: {}", compared::reads(step, Language::En)));
        let read = compare(&config, store, &integration, day, &tell).await;
        progress.clear();
        let read = match read {
            Ok(books) if args.repair => {
                let asked = repair::repair(store, &integration, &books, who).await?;
                Ok(Read { books, asked })
            }
            Ok(books) => Ok(Read { books, asked: BTreeMap::new() }),
            Err(error) if args.integration.is_some() => {
                return Err(error.context(format!("integration {id}")).into());
            }
            // A vendor that does not answer keeps nobody from the others' books.
            Err(error) => Err(format!("{error:#}")),
        };
        all.push(Compared { integration, read });
    }
    let agree = all.iter().all(|one| one.read.as_ref().is_ok_and(|read| read.books.found.is_empty()));
    if args.csv {
        csv(&all).iter().for_each(|line| say!("{line}"));
    } else {
        let language = language();
        let document = json!({
            "day": day.to_string(), "agree": agree, "integrations": all.iter().map(Compared::document).collect::<Vec<_>>(),
        });
        out.answer(&document, || all.iter().flat_map(|one| one.lines(language, out)).for_each(|line| say!("{line}")));
    }
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const COLUMNS: [&str; 10] =
    ["integration", "what", "book", "order", "crm_order_id", "orderno", "retailcrm", "ledger", "measoft", "repair"];

fn csv(all: &[Compared]) -> Vec<String> {
    let mut lines = vec![COLUMNS.join(",")];
    for one in all {
        let found = match &one.read {
            Ok(read) => &read.books.found[..],
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "bridge: integration {}: {error}", one.integration.id);
                &[]
            }
        };
        for found in found {
            let [crm, ledger, measoft] = found.says.clone().map(Option::unwrap_or_default);
            let cells = [
                one.integration.id.to_string(),
                found.what.as_str().to_owned(),
                found.book.as_str().to_owned(),
                found.number.clone(),
                found.order.map_or_else(String::new, |id| id.to_string()),
                found.orderno.clone().unwrap_or_default(),
                crm,
                ledger,
                measoft,
                found.repair.map_or("", Repair::as_str).to_owned(),
            ];
            lines.push(cells.map(cell).join(","));
        }
    }
    lines
}

impl Compared {
    fn document(&self) -> Value {
        let (id, title) = (self.integration.id.0, &self.integration.title);
        let Read { books, asked } = match &self.read {
            Ok(read) => read,
            Err(error) => return json!({ "integration": id, "title": title, "error": error }),
        };
        let [crm, ledger, measoft] = books.orders;
        let found = |one: &Found| {
            let [crm, ledger, measoft] = &one.says;
            json!({
                "what": one.what.as_str(), "book": one.book.as_str(), "order": one.number,
                "crm_order_id": one.order.map(|id| id.0), "orderno": one.orderno,
                "retailcrm": crm, "ledger": ledger, "measoft": measoft, "repair": one.repair.map(Repair::as_str),
            })
        };
        json!({
            "integration": id, "title": title,
            "orders": { "retailcrm": crm, "ledger": ledger, "measoft": measoft },
            "unlisted": books.unlisted, "unasked": books.unasked,
            "found": books.found.iter().map(found).collect::<Vec<_>>(), "asked_for": asked,
        })
    }

    fn lines(&self, language: Language, out: &Output) -> Vec<String> {
        let (id, title) = (self.integration.id, &self.integration.title);
        let Read { books, asked } = match &self.read {
            Ok(read) => read,
            Err(error) => {
                let (place, unread) = match language {
                    Language::Ru => ("Интеграция", "не сверена"),
                    Language::En => ("Integration", "not compared"),
                };
                return vec![bold(&format!("{place} {id} «{title}»")), format!("    {unread}: {error}")];
            }
        };
        let ([crm, ledger, measoft], day) = (books.orders, books.day);
        let head = match language {
            Language::Ru => {
                format!("Интеграция {id} «{title}», {day}: RetailCRM {crm}, у нас {ledger}, MeaSoft {measoft}")
            }
            Language::En => {
                format!("Integration {id} «{title}», {day}: RetailCRM {crm}, ledger {ledger}, MeaSoft {measoft}")
            }
        };
        let mut lines = vec![bold(&head)];
        if books.unlisted {
            let words = "в настройках нет типов доставки: заказы, которых нет у нас, в RetailCRM не ищем";
            let en = "no delivery types are set: what we lack is not looked for in RetailCRM";
            lines.push(format!("    {}", of(language, words, en)));
        }
        if books.unasked > 0 {
            let words = of(language, "не проверено в MeaSoft:", "not asked about at MeaSoft:");
            lines.push(format!("    {words} {}", books.unasked));
        }
        if books.found.is_empty() {
            lines.push(format!("    {}", of(language, "расхождений нет", "the books agree")));
            return lines;
        }
        let rows: Vec<Vec<String>> = books.found.iter().map(|one| row(one, language)).collect();
        let header = match language {
            Language::Ru => ["ЗАКАЗ", "ЧТО", "RETAILCRM", "У НАС", "MEASOFT", "ИСПРАВИТ"],
            Language::En => ["ORDER", "WHAT", "RETAILCRM", "LEDGER", "MEASOFT", "REPAIR"],
        };
        lines.extend(out.rows(&header, &rows).into_iter().map(|line| format!("    {line}")));
        let asked: Vec<String> = asked.iter().map(|(what, number)| format!("{what} × {number}")).collect();
        if !asked.is_empty() {
            lines.push(format!("    {} {}", of(language, "Запрошено:", "Asked for:"), asked.join(", ")));
        }
        lines
    }
}

fn row(one: &Found, language: Language) -> Vec<String> {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let name = if one.number.is_empty() { one.orderno.clone().unwrap_or_default() } else { one.number.clone() };
    let [crm, ledger, measoft] = &one.says;
    vec![
        name,
        compared::what(one, language).to_owned(),
        shown(crm),
        shown(ledger),
        shown(measoft),
        one.repair.map_or("-", Repair::as_str).to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_whatever_it_holds() {
        for (text, expected) in
            [("A-1", "A-1"), ("а,б", "\"а,б\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("-5", "'-5"), ("", "")]
        {
            assert_eq!(cell(text.to_owned()), expected);
        }
    }
}
