//! Who did what: in the commit of the act, in a chain that shows what was done to it.

use futures_util::future::join_all;
use shared::crypto::SecretKey;
use shared::domain::{Fault, IntegrationState, PausedBy, Secret};
use shared::store::audit::{Act, AuditFilter, Audited, Flaw, NewAudit, Verified, Who};
use shared::store::causes::Word;
use shared::store::dead_letters::DeadFilter;
use shared::store::replays::Replay;
use shared::store::{Store, StoreError};

use crate::bench::{Bench, dead};
use crate::sample::new_integration;

fn anna() -> Who {
    Who::at_machine(Some("Анна".to_owned()), "root".to_owned())
}

/// The newest first.
async fn acts(bench: &Bench) -> Vec<Audited> {
    bench.store.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).await.expect("listed")
}

async fn verified(store: &Store) -> Verified {
    store.verify_audit(None).await.expect("read")
}

async fn note(bench: &Bench, count: usize) {
    let who = anna();
    for n in 0..count {
        let entry = NewAudit::new(&who, Act::Edited, None, format!("thing {n}")).with("n", n, n + 1);
        bench.store.note_act(&entry).await.expect("noted");
    }
}

async fn sql(bench: &Bench, sql: &str) {
    bench.store.db.exec(sql, vec![]).await.expect("done behind its back");
}

async fn every_act_is_noted_with_who_did_it_and_what_it_was_before(bench: &Bench) {
    let (store, who) = (&bench.store, anna());
    let id = store.add_integration_by(new_integration(""), Some(&who)).await.expect("added").id;
    let edit = |i: &mut shared::domain::Integration| -> Result<(), StoreError> {
        "Область".clone_into(&mut i.title);
        i.secrets.password = Secret::new("hunter2".to_owned());
        Ok(())
    };
    store.change_integration_by(id, Some((&who, Act::Edited)), edit).await.expect("changed");
    store.change_integration_by(id, Some((&who, Act::Edited)), edit).await.expect("nothing differs");
    let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: "a move".to_owned() };
    assert!(store.set_integration_state_by(&who, id, &paused).await.expect("paused"));
    assert!(!store.set_integration_state_by(&who, id, &paused).await.expect("paused before"));
    assert!(store.set_integration_state_by(&who, id, &IntegrationState::Active).await.expect("resumed"));
    let mut letter = dead(Some(id), Some("7"), "bad_phone", Fault::Shop);
    letter.command = None;
    let letter = bench.add_dead_letter(&letter).await;
    store.say_of_causes("bad_phone", &DeadFilter::default(), Word::Acknowledged, &who).await.expect("said");
    let letter = store.dead_letter(letter).await.expect("read").expect("there");
    let nothing = store.replay_dead_letter(&letter, bench.now(), "replayed", &who).await.expect("asked");
    assert_eq!(nothing, Replay::Nothing, "an act that was none is not noted");
    assert!(store.set_integration_state_by(&who, id, &IntegrationState::Removed).await.expect("removed"));
    let mut all = acts(bench).await;
    all.reverse();
    let told: Vec<_> = all.iter().map(|a| (a.seq, a.act.as_str(), a.object.as_str())).collect();
    let (of_it, cause) = (format!("integration {id}"), "cause bad_phone");
    assert_eq!(
        told,
        [
            (1, "added", of_it.as_str()),
            (2, "edited", &of_it),
            (3, "paused", &of_it),
            (4, "resumed", &of_it),
            (5, "acknowledged", cause),
            (6, "removed", &of_it),
        ]
    );
    assert!(all.iter().all(|a| a.who == "Анна" && a.os_user.as_deref() == Some("root") && a.via == "named"));
    assert!(all.iter().all(|a| a.integration == Some(id.0) && a.at == bench.now()));
    assert!(all[1].before.contains("(secret)") && all[1].after.contains("Область"), "{:?}", all[1]);
    assert!(all[2].before.contains("active") && all[2].after.contains("a move"), "{:?}", all[2]);
    let text = format!("{all:?}");
    let kept = store.integration(id).await.expect("read").expect("kept").secrets;
    for secret in [kept.crm_api_key, kept.password, kept.delivery_api_key, kept.client_id] {
        assert!(!text.contains(secret.expose()), "a secret is noted");
    }
    // As asked for.
    let of = async |filter: AuditFilter| store.audit(&AuditFilter { limit: 99, ..filter }).await.expect("listed").len();
    assert_eq!(of(AuditFilter { act: Some(Act::Edited), ..AuditFilter::default() }).await, 1);
    assert_eq!(of(AuditFilter { since: Some(bench.after(1)), ..AuditFilter::default() }).await, 0);
    assert_eq!(verified(store).await.flaws, []);
}

async fn an_act_and_its_note_are_one_commit(bench: &Bench) {
    let (store, who) = (&bench.store, anna());
    let id = store.add_integration_by(new_integration(""), Some(&who)).await.expect("added").id;
    // Where the note cannot be written, nothing is done.
    sql(bench, "ALTER TABLE audit RENAME TO audit_elsewhere").await;
    store.set_integration_state_by(&who, id, &IntegrationState::Removed).await.expect_err("not noted");
    let rename = |i: &mut shared::domain::Integration| -> Result<(), StoreError> {
        "Область".clone_into(&mut i.title);
        Ok(())
    };
    store.change_integration_by(id, Some((&who, Act::Edited)), rename).await.expect_err("not noted");
    store.add_integration_by(new_integration("X"), Some(&who)).await.expect_err("not noted");
    sql(bench, "ALTER TABLE audit_elsewhere RENAME TO audit").await;
    let [kept] = &store.integrations().await.expect("read")[..] else { panic!("one") };
    assert!(kept.is_active() && kept.title != "Область");
    assert_eq!((acts(bench).await.len(), verified(store).await.flaws), (1, vec![]));
}

async fn what_was_done_to_the_chain_is_found(bench: &Bench) {
    assert_eq!(verified(&bench.store).await, Verified { entries: 0, head: None, flaws: vec![], has_noted: None });
    note(bench, 5).await;
    let good = verified(&bench.store).await;
    assert_eq!((good.entries, good.flaws, good.head.as_ref().map(|(seq, _)| *seq)), (5, vec![], Some(5)));
    for (harm, flaw) in [
        ("UPDATE audit SET who = 'Пётр' WHERE seq = 2", Flaw::Changed { seq: 2 }),
        ("UPDATE audit SET after = '{}' WHERE seq = 5", Flaw::Changed { seq: 5 }),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", Flaw::Changed { seq: 1 }),
        ("DELETE FROM audit WHERE seq = 3", Flaw::Missing { before: 4 }),
        ("DELETE FROM audit WHERE seq = 1", Flaw::Missing { before: 2 }),
        ("DELETE FROM audit WHERE seq = 5", Flaw::CutOff { last: 4 }),
        ("DELETE FROM audit", Flaw::CutOff { last: 0 }),
        ("DELETE FROM cursors WHERE name = 'audit head'", Flaw::Unsigned),
    ] {
        sql(bench, "CREATE TABLE kept AS SELECT * FROM audit").await;
        sql(bench, "CREATE TABLE kept_head AS SELECT * FROM cursors WHERE name = 'audit head'").await;
        sql(bench, harm).await;
        assert!(verified(&bench.store).await.flaws.contains(&flaw), "{harm}");
        for back in [
            "DELETE FROM audit",
            "INSERT INTO audit SELECT * FROM kept",
            "DELETE FROM cursors WHERE name = 'audit head'",
            "INSERT INTO cursors SELECT * FROM kept_head",
            "DROP TABLE kept",
            "DROP TABLE kept_head",
        ] {
            sql(bench, back).await;
        }
        assert_eq!(verified(&bench.store).await.flaws, [], "{harm}");
    }
}

async fn a_chain_that_somebody_else_wrote_anew_is_found_however_long_it_grows(bench: &Bench) {
    note(bench, 3).await;
    let (_, noted) = verified(&bench.store).await.head.expect("a newest one");
    // Somebody with this very program and all rights on the database, but without the key.
    let forger = Store::new(bench.store.db.clone(), SecretKey::from_bytes([8; 32]), bench.store.clock.clone());
    sql(bench, "DELETE FROM audit").await;
    sql(bench, "DELETE FROM cursors WHERE name = 'audit head'").await;
    let who = anna();
    for n in 0..3 {
        let entry = NewAudit::new(&who, Act::Edited, None, format!("nothing {n}"));
        forger.note_act(&entry).await.expect("forged");
    }
    assert_eq!(verified(&forger).await.flaws, [], "it is whole for whoever wrote it");
    assert_eq!(verified(&bench.store).await.flaws, [Flaw::Unsigned]);
    note(bench, 2).await;
    assert_eq!(verified(&bench.store).await.flaws, [Flaw::Unlinked { seq: 4 }], "and what follows does not hide it");
    assert_eq!(bench.store.verify_audit(Some(&noted)).await.expect("read").has_noted, Some(false));
}

async fn a_hash_that_was_noted_stays_in_the_chain(bench: &Bench) {
    note(bench, 2).await;
    let (_, noted) = verified(&bench.store).await.head.expect("a newest one");
    note(bench, 2).await;
    let look = bench.store.verify_audit(Some(&noted)).await.expect("read");
    assert_eq!((look.has_noted, look.flaws), (Some(true), vec![]));
}

async fn another_secret_key_goes_on_with_the_chain(bench: &Bench) {
    note(bench, 2).await;
    let (old, new) = (SecretKey::from_bytes([7; 32]), SecretKey::from_bytes([9; 32]));
    let both = Store::new(bench.store.db.clone(), new.clone().beside(old), bench.store.clock.clone());
    both.reseal(|_, _, _| None, |_| ()).await.expect("sealed anew");
    let alone = Store::new(bench.store.db.clone(), new, bench.store.clock.clone());
    assert_eq!(verified(&alone).await.flaws, []);
    alone.note_act(&NewAudit::new(&anna(), Act::Resealed, None, "secret key")).await.expect("noted");
    assert_eq!((verified(&alone).await.entries, verified(&alone).await.flaws), (3, vec![]));
}

async fn acts_of_several_at_once_are_one_chain(bench: &Bench) {
    let others = [bench.neighbour().await, bench.neighbour().await, bench.neighbour().await];
    let who = anna();
    let write = |store: &Store, n: usize| {
        let (store, who) = (store.clone(), who.clone());
        async move {
            for m in 0..5 {
                let entry = NewAudit::new(&who, Act::Edited, None, format!("thing {n}.{m}"));
                store.note_act(&entry).await.expect("noted");
            }
        }
    };
    join_all(others.iter().enumerate().map(|(n, store)| write(store, n))).await;
    let look = verified(&bench.store).await;
    assert_eq!((look.entries, look.flaws), (15, vec![]));
}

contract![
    every_act_is_noted_with_who_did_it_and_what_it_was_before,
    an_act_and_its_note_are_one_commit,
    what_was_done_to_the_chain_is_found,
    a_chain_that_somebody_else_wrote_anew_is_found_however_long_it_grows,
    a_hash_that_was_noted_stays_in_the_chain,
    another_secret_key_goes_on_with_the_chain,
    acts_of_several_at_once_are_one_chain,
];
