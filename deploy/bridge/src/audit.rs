//! `bridge audit`: who did what, when, and what it was before; and whether all of it is there.

use std::process::ExitCode;

use bridge_console::seen::acts::{act_words, changes, flaw_words, object, place, who};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::Language;
use shared::store::Store;
use shared::store::audit::{Act, AuditFilter as Filter, Audited, Verified};

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
    let filter = Filter { integration, act: act.transpose()?, since, before: None, limit: which.limit };
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

fn document(one: &Audited) -> Value {
    json!({
        "seq": one.seq, "at": one.at.to_string(), "who": one.who, "via": one.via, "os_user": one.os_user, "act": one.act,
        "integration": one.integration, "object": one.object, "before": object(&one.before),
        "after": object(&one.after), "hash": one.hash,
    })
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
