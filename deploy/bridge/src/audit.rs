//! `bridge audit`: who did what, when, and what it was before; and whether all of it is there.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use shared::domain::Language;
use shared::store::Store;
use shared::store::audit::{Act, AuditFilter as Filter, Audited, Flaw, Verified, Via};

use crate::args::{self, AuditCommand, AuditFilter};
use crate::filters;
use crate::language::{language, of};
use crate::moments;
use crate::output::{Failure, Output, bold, dim, green, red};
use crate::stdout::say;

pub async fn run(
    which: AuditFilter,
    command: Option<AuditCommand>,
    zone: &TimeZone,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        None => list(which, zone, store, out).await,
        Some(_) if which.integration.is_some() || which.act.is_some() || which.since.is_some() => {
            Err(Failure::Usage("verify reads all acts: it takes no filter".to_owned()))
        }
        Some(AuditCommand::Verify { head }) => verify(head.as_deref(), store, out).await,
    }
}

async fn list(which: AuditFilter, zone: &TimeZone, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = Act::ALL.iter().map(|act| act.as_str()).collect();
    let act = which.act.map(|given| Act::parse(&given).ok_or_else(|| filters::one_of("--act", &given, &words)));
    let since = which.since.map(|text| args::since(&text, store.clock.now())).transpose().map_err(Failure::Usage)?;
    let integration = filters::integration(which.integration, store).await?;
    let filter = Filter { integration, act: act.transpose()?, since, limit: which.limit };
    let found = store.audit(&filter).await?;
    let documents: Vec<Value> = found.iter().map(document).collect();
    out.answer(&json!(documents), || {
        let language = language();
        if found.is_empty() {
            return say!("{}", of(language, "Никто ничего не менял.", "Nobody has changed anything."));
        }
        let times = of(language, "время", "times");
        say!("{}", bold(&format!("{} ({times}: {})", of(language, "Действия", "Acts"), moments::name(zone))));
        for one in &found {
            let at = dim(&moments::second(one.at, zone));
            let (who, act) = (who(one, language), act_words(one, language));
            say!("{:>5} {at} {who}: {act} {}", one.seq, one.object);
            changes(one).iter().for_each(|line| say!("        {line}"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn document(one: &Audited) -> Value {
    json!({
        "seq": one.seq, "at": one.at.to_string(), "who": one.who, "via": one.via, "os_user": one.os_user, "act": one.act,
        "integration": one.integration, "object": one.object, "before": object(&one.before),
        "after": object(&one.after), "hash": one.hash,
    })
}

/// With the user of the machine, where a name was given beside it.
fn who(one: &Audited, language: Language) -> String {
    match (Via::parse(&one.via), &one.os_user) {
        (Some(Via::Named), Some(user)) => format!("{} ({user})", one.who),
        (Some(Via::Manager), _) => {
            let id = one.integration.map_or_else(String::new, |id| format!(" {id}"));
            format!("{}{id}", of(language, "менеджер магазина, интеграция", "the shop's manager, integration"))
        }
        _ => one.who.clone(),
    }
}

fn act_words(one: &Audited, language: Language) -> String {
    let words = |ru, en| of(language, ru, en).to_owned();
    match Act::parse(&one.act) {
        Some(Act::Added) => words("добавлено:", "added"),
        Some(Act::Edited) => words("изменено:", "edited"),
        Some(Act::KeyRotated) => words("новый ключ триггеров:", "made a new trigger key of"),
        Some(Act::Paused) => words("приостановлено:", "paused"),
        Some(Act::Resumed) => words("возобновлено:", "resumed"),
        Some(Act::Removed) => words("удалено:", "removed"),
        Some(Act::Registered) => words("зарегистрировано в RetailCRM:", "registered in RetailCRM"),
        Some(Act::Replayed) => words("повторено:", "replayed"),
        Some(Act::Discarded) => words("закрыто без повтора:", "discarded"),
        Some(Act::Acknowledged) => words("принято в работу:", "acknowledged"),
        Some(Act::Snoozed) => words("отложено:", "snoozed"),
        Some(Act::Woken) => words("снова на виду:", "took up again"),
        Some(Act::Resealed) => words("перешифровано новым ключом:", "sealed everything anew,"),
        // Of a later release.
        None => one.act.clone(),
    }
}

/// `title: "Город" → "Область"`.
fn changes(one: &Audited) -> Vec<String> {
    let (before, after) = (object(&one.before), object(&one.after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let line = |name: &String| match (before.get(name), after.get(name)) {
        (Some(was), Some(is)) => format!("{name}: {was} → {is}"),
        (None, Some(is)) => format!("{name}: {is}"),
        (was, None) => format!("{name}: {} →", was.unwrap_or(&Value::Null)),
    };
    names.into_iter().map(line).collect()
}

async fn verify(noted: Option<&str>, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let found = store.verify_audit(noted).await?;
    let good = found.flaws.is_empty() && found.has_noted != Some(false);
    let language = language();
    let mut problems: Vec<(Option<i64>, String)> =
        found.flaws.iter().map(|flaw| (place(*flaw), flaw_words(*flaw, language))).collect();
    if found.has_noted == Some(false) {
        let words =
            of(language, "записанного раньше хеша в цепочке нет", "the hash that was noted is not in the chain");
        problems.push((None, words.to_owned()));
    }
    let documents = problems.iter().map(|(seq, text)| json!({ "seq": seq, "text": text })).collect::<Vec<_>>();
    let head = found.head.as_ref().map(|(seq, hash)| json!({ "seq": seq, "hash": hash }));
    let document = json!({ "ok": good, "entries": found.entries, "head": head, "problems": documents });
    out.answer(&document, || told(&found, &problems, language));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(found: &Verified, problems: &[(Option<i64>, String)], language: Language) {
    for (_, text) in problems {
        say!("{} {text}", red(of(language, "плохо", "bad ")));
    }
    if problems.is_empty() {
        let words = of(language, "все действия на месте, как записаны:", "all acts are there as they were noted:");
        say!("{} {words} {}", green("ok  "), found.entries);
    }
    if let Some((seq, hash)) = &found.head {
        let words = of(language, "последнее", "the newest");
        let keep = "его хеш стоит хранить отдельно: `bridge audit verify --head ХЕШ`";
        say!("     {words}: {seq} {hash}");
        say!("     {}", of(language, keep, "keep its hash elsewhere: `bridge audit verify --head HASH`"));
    }
}

/// The act where it shows.
const fn place(flaw: Flaw) -> Option<i64> {
    match flaw {
        Flaw::Missing { before: seq }
        | Flaw::Changed { seq }
        | Flaw::Unlinked { seq }
        | Flaw::CutOff { last: seq }
        | Flaw::Added { after: seq } => Some(seq),
        Flaw::Unsigned => None,
    }
}

fn flaw_words(flaw: Flaw, language: Language) -> String {
    match (flaw, language) {
        (Flaw::Missing { before }, Language::Ru) => format!("перед действием {before} записи удалены"),
        (Flaw::Missing { before }, Language::En) => format!("acts before {before} were taken out"),
        (Flaw::Changed { seq }, Language::Ru) => format!("действие {seq} изменено после записи"),
        (Flaw::Changed { seq }, Language::En) => format!("act {seq} was changed after it was noted"),
        (Flaw::Unlinked { seq }, Language::Ru) => format!("действие {seq} не продолжает цепочку: её переписали"),
        (Flaw::Unlinked { seq }, Language::En) => {
            format!("act {seq} does not follow the one before it: that was rewritten")
        }
        (Flaw::CutOff { last }, Language::Ru) => format!("записи после действия {last} удалены"),
        (Flaw::CutOff { last }, Language::En) => format!("acts after {last} were taken out"),
        (Flaw::Added { after }, Language::Ru) => format!("записи после действия {after} добавлены не этой программой"),
        (Flaw::Added { after }, Language::En) => format!("acts after {after} were added by something else"),
        (Flaw::Unsigned, Language::Ru) => "последний хеш не подписан ключом этой установки".to_owned(),
        (Flaw::Unsigned, Language::En) => "the newest hash is not signed with this installation's key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_and_flaw_is_said_in_both_languages() {
        let cyrillic = |text: &str| text.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
        for act in Act::ALL {
            let one = Audited {
                seq: 1,
                at: jiff::Timestamp::UNIX_EPOCH,
                who: "Anna".to_owned(),
                via: Via::Named.as_str().to_owned(),
                os_user: Some("root".to_owned()),
                act: act.as_str().to_owned(),
                integration: Some(1),
                object: "integration 1".to_owned(),
                before: r#"{"title":"A","gone":1}"#.to_owned(),
                after: r#"{"title":"B","why":"x"}"#.to_owned(),
                prior: String::new(),
                hash: String::new(),
            };
            let (ru, en) = (act_words(&one, Language::Ru), act_words(&one, Language::En));
            assert!(cyrillic(&ru) && !cyrillic(&en), "{ru} / {en}");
            assert_eq!(who(&one, Language::En), "Anna (root)");
            assert_eq!(changes(&one), ["gone: 1 →", "title: \"A\" → \"B\"", "why: \"x\""]);
        }
        for flaw in [
            Flaw::Missing { before: 3 },
            Flaw::Changed { seq: 3 },
            Flaw::Unlinked { seq: 3 },
            Flaw::CutOff { last: 3 },
            Flaw::Added { after: 3 },
            Flaw::Unsigned,
        ] {
            let (ru, en) = (flaw_words(flaw, Language::Ru), flaw_words(flaw, Language::En));
            assert!(cyrillic(&ru) && !cyrillic(&en), "{ru} / {en}");
            assert!(place(flaw).is_none_or(|seq| seq == 3));
        }
    }
}
