//! The decision as a specification, to be read beside ARCHITECTURE.md, «States».
//!
//! A row is: what it says · the unserved requests in the order they came · what RetailCRM
//! shows · what the ledger says · what is done. Requests: `send`, `update`, `cancel`. The
//! ledger: `-` for no delivery, else its state and words:
//! `same`/`differs`/`declared` (from what MeaSoft holds or refused; in the declared value only) ·
//! `told` (RetailCRM knows the state) · `error` (it shows what gave up) · `reread` (read again as
//! often as is allowed) · `locked` (changing and cancelling is switched off) · `doubt` (a writer
//! lost its lease)
//! · `looked` (MeaSoft was asked in this attempt) · `over` (it ended long ago) · `foreign` (it
//! bears another integration's delivery).

use proptest::prelude::*;

use crate::order::decide::*;

fn requests(text: &str) -> Requested {
    // A cancel and a send after it, both served, under a doubt.
    let (text, send_again) = match text.strip_prefix("(cancel, send)") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let list: Vec<&str> = text.split(", ").filter(|wish| *wish != "-" && !wish.is_empty()).collect();
    let at = |wish: &str| list.iter().rposition(|other| *other == wish);
    for wish in &list {
        assert!(["send", "update", "cancel"].contains(wish), "no wish {wish}");
    }
    Requested {
        send: at("send").is_some(),
        update: at("update").is_some(),
        cancel: at("cancel").is_some(),
        send_after_cancel: send_again || at("send").is_some() && at("send") > at("cancel"),
        send_again,
    }
}

fn shows(text: &str) -> Presence {
    match text {
        "ours" => Presence::Ours,
        "elsewhere" => Presence::Elsewhere,
        "not found" => Presence::NotFound,
        other => panic!("RetailCRM does not show {other}"),
    }
}

fn situation(wanted: &str, shown: &str, ledger: &str) -> Situation {
    let mut words: Vec<&str> = ledger.split(' ').collect();
    let state = words.remove(0);
    let mut take = |word: &str| match words.iter().position(|other| *other == word) {
        Some(index) => {
            words.remove(index);
            true
        }
        None => false,
    };
    let (rereads, locked, verify, looked) = (take("reread"), take("locked"), take("doubt"), take("looked"));
    let (over, foreign) = (take("over"), take("foreign"));
    let (same, differs, written_back, shows_error) = (take("same"), take("differs"), take("told"), take("error"));
    let shown_before = take("declared") || same;
    assert!(words.is_empty(), "no words {words:?}");
    assert!(!(same && differs), "{ledger}");
    let known = (state != "-").then(|| {
        let state = S::parse(state).unwrap_or_else(|| panic!("no state {state}"));
        Known { state, cancelled_by_us: state == S::Cancelled, same, shown_before, written_back, shows_error }
    });
    Situation {
        wanted: requests(wanted),
        shown: shows(shown),
        known,
        over,
        foreign,
        rereads: if rereads { REREADS } else { 0 },
        allow_edit_cancel: !locked,
        verify,
        looked,
        saving: false,
    }
}

fn told(decision: &Decision) -> String {
    match decision {
        Decision::Create => "create".to_owned(),
        Decision::Recreate => "recreate".to_owned(),
        Decision::Edit => "edit".to_owned(),
        Decision::Cancel => "cancel".to_owned(),
        Decision::LookUp => "look up".to_owned(),
        Decision::WriteBack => "write back".to_owned(),
        Decision::Withdraw => "withdraw".to_owned(),
        Decision::CancelByNumber => "cancel by number".to_owned(),
        Decision::AlreadyDone(_) => "already done".to_owned(),
        Decision::Superseded(_) => "superseded".to_owned(),
        Decision::ReadAgain => "read again".to_owned(),
        Decision::GiveUp(give_up) => format!("give up: {}", give_up.reason),
    }
}

fn check(table: &[(&str, &str, &str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (name, wanted, shown, ledger, expected) in table {
        let found = told(&decide(&situation(wanted, shown, ledger)));
        if found != *expected {
            wrong.push(format!("{name} ({wanted} · {shown} · {ledger}): expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[rustfmt::skip]
#[test]
fn send() {
    check(&[
        ("an order seen for the first time is placed",               "send", "ours", "-",                         "create"),
        ("an order that was planned is placed",                      "send", "ours", "planned differs",           "create"),
        ("a refused order is tried again",                           "send", "ours", "rejected differs",          "create"),
        ("a refused order is tried again though nothing changed",    "send", "ours", "rejected same",             "create"),
        ("a repeat of what is placed changes nothing",               "send", "ours", "created same told",         "already done"),
        ("placed, but RetailCRM was not told",                       "send", "ours", "created same",              "write back"),
        ("placed and right again: the error goes away",              "send", "ours", "created same error",        "write back"),
        ("a repeat of a changed order is an update",                 "send", "ours", "created differs told",      "edit"),
        ("changing is switched off: a send asks for none",           "send", "ours", "created differs told locked", "already done"),
        ("in work and unchanged",                                    "send", "ours", "in_work same told",         "already done"),
        ("in work and changed: only an update insists",              "send", "ours", "in_work differs told",      "already done"),
        ("in work, changed, and the error is shown: it stays",       "send", "ours", "in_work differs error",     "already done"),
        ("in work before RetailCRM was ever told",                   "send", "ours", "in_work differs",           "write back"),
        ("a lost answer is looked up first",                         "send", "ours", "unknown differs",           "look up"),
        ("a send that broke off is looked up first",                 "send", "ours", "sending differs",           "look up"),
        ("the trigger may be ahead of RetailCRM",                    "send", "not found", "-",                    "read again"),
        ("there is no such order",                                   "send", "not found", "- reread",             "give up: order_not_found"),
        ("another integration has handed it over",                   "send", "ours", "- foreign",                 "give up: handed_over_elsewhere"),
        ("also one that has a row here by now",                      "send", "ours", "planned differs foreign",   "give up: handed_over_elsewhere"),
        ("and it stays so",                                          "send", "ours", "rejected differs foreign",  "give up: handed_over_elsewhere"),
        ("the type may not show yet",                                "send", "elsewhere", "-",                    "read again"),
        ("the order went elsewhere",                                 "send", "elsewhere", "- reread",             "superseded"),
        ("the order went elsewhere after it was placed",             "send", "elsewhere", "created same told reread", "superseded"),
    ]);
}

#[rustfmt::skip]
#[test]
fn send_to_a_delivery_that_has_ended_never_ships_twice() {
    check(&[
        ("delivered",                          "send", "ours", "delivered same told",        "already done"),
        ("delivered, then the payment set",    "send", "ours", "delivered differs told",     "already done"),
        ("partly delivered",                   "send", "ours", "partly differs told",        "already done"),
        ("refused at the door",                "send", "ours", "not_delivered differs told", "already done"),
        ("returned",                           "send", "ours", "returned differs told",      "already done"),
        ("lost",                               "send", "ours", "lost differs told",          "already done"),
        ("ended before RetailCRM was told",    "send", "ours", "returned same",              "write back"),
        ("ended so long ago that only that is known", "send", "ours", "- over",              "already done"),
    ]);
}

#[rustfmt::skip]
#[test]
fn update() {
    check(&[
        ("a change of a placed order is sent",                        "update", "ours", "created differs told",        "edit"),
        ("no difference: the commit may be behind",                   "update", "ours", "created same told",           "read again"),
        ("no difference, not told: reading again comes first",        "update", "ours", "created same",                "read again"),
        ("no difference after all",                                   "update", "ours", "created same told reread",    "already done"),
        ("a new declared value alone: the lines may be behind",       "update", "ours", "created declared told",       "read again"),
        ("a new declared value after all",                            "update", "ours", "created declared told reread", "edit"),
        ("a refused order with a new declared value alone",           "update", "ours", "rejected declared",           "read again"),
        ("no difference after all, RetailCRM was not told",           "update", "ours", "created same reread",         "write back"),
        ("changing is switched off",                                  "update", "ours", "created differs told locked", "give up: edit_cancel_off"),
        ("switched off does not matter without a difference",         "update", "ours", "created same told locked reread", "already done"),
        ("never seen",                                                "update", "ours", "-",                           "already done"),
        ("never sent",                                                "update", "ours", "planned differs",             "already done"),
        ("a refused order that was corrected is placed",              "update", "ours", "rejected differs",            "create"),
        ("a refused order that looks the same is read again",         "update", "ours", "rejected same",               "read again"),
        ("a refused order that stays the same is tried once more",    "update", "ours", "rejected same reread",        "create"),
        ("in work: the end may be about to show",                     "update", "ours", "in_work differs told",        "read again"),
        ("in work: too late",                                         "update", "ours", "in_work differs told reread", "give up: too_late"),
        ("in work, no difference yet",                                "update", "ours", "in_work same told",           "read again"),
        ("in work and nothing relevant changed",                      "update", "ours", "in_work same told reread",    "already done"),
        ("our own payment edit on a delivered order",                 "update", "ours", "delivered differs told",      "already done"),
        ("our own payment edit on a partly delivered order",          "update", "ours", "partly differs told",         "already done"),
        ("a change of an order that came back",                       "update", "ours", "returned differs told",       "already done"),
        ("a change of an order we cancelled does not place it",       "update", "ours", "cancelled differs told",      "already done"),
        ("a lost answer is looked up first",                          "update", "ours", "unknown differs",             "look up"),
        ("the order went elsewhere",                                  "update", "elsewhere", "created differs told",   "superseded"),
        ("the order is not to be found yet",                          "update", "not found", "created differs told",   "read again"),
        ("the order is gone",                                         "update", "not found", "created differs told reread", "give up: order_not_found"),
    ]);
}

#[rustfmt::skip]
#[test]
fn send_and_update_of_one_save() {
    check(&[
        ("the send reads fresh data and serves both",          "update, send", "ours", "-",                           "create"),
        ("whatever their order",                               "send, update", "ours", "planned differs",             "create"),
        ("placed and changed: one edit",                       "send, update", "ours", "created differs told",        "edit"),
        ("no difference: the update makes it read again",      "send, update", "ours", "created same told",           "read again"),
        ("no difference after all",                            "send, update", "ours", "created same told reread",    "already done"),
        ("in work: the update's refusal is not lost",          "update, send", "ours", "in_work differs told reread", "give up: too_late"),
        ("changing is switched off: nor is this one",          "update, send", "ours", "created differs told locked", "give up: edit_cancel_off"),
        ("refused and corrected",                              "update, send", "ours", "rejected differs",            "create"),
        ("refused and not corrected yet",                      "update, send", "ours", "rejected same",               "read again"),
        ("cancelled by us, then wanted again",                 "update, send", "ours", "cancelled differs",           "recreate"),
        ("ended",                                              "update, send", "ours", "delivered differs told",      "already done"),
    ]);
}

#[rustfmt::skip]
#[test]
fn cancel() {
    check(&[
        ("a placed order is cancelled",                        "cancel", "elsewhere", "created same told",           "cancel"),
        ("also one that changed meanwhile",                    "cancel", "elsewhere", "created differs",             "cancel"),
        ("cancelling is switched off",                         "cancel", "elsewhere", "created same told locked",    "give up: edit_cancel_off"),
        ("cancelled before",                                   "cancel", "elsewhere", "cancelled same",              "already done"),
        ("nothing was sent",                                   "cancel", "elsewhere", "planned differs",             "withdraw"),
        ("it was refused",                                     "cancel", "elsewhere", "rejected differs",            "withdraw"),
        ("a lost answer is looked up first",                   "cancel", "elsewhere", "unknown differs",             "look up"),
        ("a send that broke off is looked up first",           "cancel", "elsewhere", "sending differs",             "look up"),
        ("in work: too late",                                  "cancel", "elsewhere", "in_work same told",           "give up: too_late"),
        ("delivered: too late",                                "cancel", "elsewhere", "delivered same told",         "give up: too_late"),
        ("partly delivered: too late",                         "cancel", "elsewhere", "partly same told",            "give up: too_late"),
        ("refused at the door: nothing is left to cancel",     "cancel", "elsewhere", "not_delivered same told",     "already done"),
        ("returned: nothing is left to cancel",                "cancel", "elsewhere", "returned same told",          "already done"),
        ("lost: nothing is left to cancel",                    "cancel", "elsewhere", "lost same told",              "already done"),
        ("no ledger knows the order",                          "cancel", "elsewhere", "-",                           "cancel by number"),
        ("the number is not to be found yet",                  "cancel", "not found", "created same told",           "read again"),
        ("the order is gone: what is placed is cancelled",     "cancel", "not found", "created same told reread",    "cancel"),
        ("gone while the answer was lost: looked up first",    "cancel", "not found", "unknown differs reread",      "look up"),
        ("gone while in work: a person's",                     "cancel", "not found", "in_work same told reread",    "give up: too_late"),
        ("gone, and nothing of it is known",                   "cancel", "not found", "- reread",                    "give up: order_not_found"),
        ("it ended long ago",                                  "cancel", "elsewhere", "- over",                      "already done"),
        ("an update beside it has nothing to change",          "update, cancel", "elsewhere", "created differs told", "cancel"),
        ("a cancel is never repeated in doubt",                "cancel", "elsewhere", "cancelled same doubt looked", "already done"),
    ]);
}

#[rustfmt::skip]
#[test]
fn send_and_cancel() {
    check(&[
        ("before anything was sent: nothing happens",          "send, cancel", "elsewhere", "-",                     "withdraw"),
        ("before anything was sent, the row is there",         "send, cancel", "elsewhere", "planned differs",       "withdraw"),
        ("a cancel beats a waiting send of a refused order",   "send, cancel", "elsewhere", "rejected differs",      "withdraw"),
        ("a repeated send does not save a placed order",       "send, cancel", "elsewhere", "created same told",     "cancel"),
        ("the answer of the send was lost",                    "send, cancel", "elsewhere", "unknown differs",       "look up"),
        ("a send after the cancel: its save may not show yet", "cancel, send", "elsewhere", "created same told",     "read again"),
        ("it does not show: the type decides",                 "cancel, send", "elsewhere", "created same told reread", "cancel"),
        ("back before the cancel was served: all stays",       "cancel, send", "ours", "created same told",          "already done"),
        ("back and changed",                                   "cancel, send", "ours", "created differs told",       "edit"),
        ("never placed: the later send goes out",              "cancel, send", "ours", "planned differs",            "create"),
        ("the later send goes out for a new order too",        "cancel, send", "ours", "-",                          "create"),
    ]);
}

#[rustfmt::skip]
#[test]
fn recreation_after_our_own_cancel() {
    check(&[
        ("a send after the cancel was served",                 "send", "ours", "cancelled differs",                   "recreate"),
        ("though nothing changed",                             "send", "ours", "cancelled same",                      "recreate"),
        ("the order's own move back fires a cancel as well",   "cancel, send", "ours", "cancelled differs",           "recreate"),
        ("and it may come after the send: read again first",   "send, cancel", "ours", "cancelled differs",           "read again"),
        ("then the type decides",                              "send, cancel", "ours", "cancelled differs reread",    "recreate"),
        ("a cancel alone brings nothing back",                 "cancel", "ours", "cancelled differs reread",          "superseded"),
        ("an update alone brings nothing back",                "update", "ours", "cancelled differs reread",          "already done"),
        ("the order is still elsewhere",                       "send", "elsewhere", "cancelled differs reread",       "superseded"),
        ("refused at the door was no cancel of ours",          "send", "ours", "not_delivered differs told",          "already done"),
    ]);
}

/// A change of type between two of our delivery types names both in its cancel; each
/// integration decides for itself.
#[rustfmt::skip]
#[test]
fn moves_between_two_integrations() {
    check(&[
        ("the old one cancels",                                     "cancel", "elsewhere", "created same told",        "cancel"),
        ("the new one waits whether it still shows the old type",   "cancel", "ours", "-",                             "read again"),
        ("the new one is not cancelled",                            "cancel", "ours", "- reread",                      "superseded"),
        ("nor is what it has placed",                               "cancel", "ours", "created same told reread",      "superseded"),
        ("nor what is in work there",                               "cancel", "ours", "in_work same told reread",      "superseded"),
        ("nor what it has delivered",                               "cancel", "ours", "delivered same told reread",    "superseded"),
        ("the new one's send came first",                           "send, cancel", "ours", "-",                       "read again"),
        ("and goes out",                                            "send, cancel", "ours", "- reread",                "create"),
        ("the new one's send came last: no waiting",                "cancel, send", "ours", "-",                       "create"),
        ("a late cancel does not hold up an update for ever",       "update, cancel", "ours", "created differs reread", "edit"),
        ("a refused order whose cancel does not concern it",        "cancel", "ours", "rejected differs reread",       "superseded"),
        ("the old one never had it",                                "cancel", "elsewhere", "-",                        "cancel by number"),
    ]);
}

#[rustfmt::skip]
#[test]
fn a_writer_lost_its_lease() {
    check(&[
        ("MeaSoft is asked before anything else",              "-", "ours", "created same told doubt",                "look up"),
        ("also when nothing was sent as far as we know",       "send", "ours", "planned differs doubt",               "look up"),
        ("also behind an order that left",                     "cancel", "elsewhere", "planned differs doubt",        "look up"),
        ("what it holds is replaced by the newest",            "-", "ours", "created differs told doubt looked",      "edit"),
        ("unless that is switched off",                        "-", "ours", "created differs told doubt looked locked", "already done"),
        ("a late create behind a cancel is cancelled",         "cancel", "elsewhere", "created differs doubt looked", "cancel"),
        ("nothing is placed for a doubt alone",                "-", "ours", "planned differs doubt looked",           "already done"),
        ("nor for a refused order",                            "-", "ours", "rejected differs doubt looked",          "already done"),
        ("nor brought back",                                   "-", "ours", "cancelled differs doubt looked",         "already done"),
        ("a cancel came to pass after the send behind it",     "(cancel, send)", "ours", "cancelled differs doubt looked", "recreate"),
        ("the send behind it stands",                          "(cancel, send)", "ours", "created same told doubt looked", "already done"),
        ("in work: nothing to be done about it",               "-", "ours", "in_work differs told doubt looked",      "already done"),
        ("ended",                                              "-", "ours", "delivered differs told doubt looked",    "already done"),
        ("elsewhere and never cancelled: the type decides",    "-", "elsewhere", "created differs doubt looked",      "superseded"),
        ("a send in doubt, found absent, goes out",            "send", "ours", "planned differs doubt looked",        "create"),
    ]);
}

fn any_situation() -> impl Strategy<Value = Situation> {
    let wanted = any::<(bool, bool, bool, bool, bool)>().prop_map(|(send, update, cancel, after, again)| Requested {
        send,
        update,
        cancel,
        send_after_cancel: after || again,
        send_again: again,
    });
    let shown = prop::sample::select(vec![Presence::NotFound, Presence::Ours, Presence::Elsewhere]);
    let known = (prop::sample::select(S::ALL.to_vec()), any::<(bool, bool, bool, bool)>()).prop_map(
        |(state, (cancelled_by_us, same, written_back, shows_error))| Known {
            shown_before: same,
            state,
            cancelled_by_us,
            same,
            written_back,
            shows_error,
        },
    );
    (wanted, shown, prop::option::weighted(0.9, known), 0..4_u32, any::<(bool, bool, bool, bool, bool)>()).prop_map(
        |(wanted, shown, known, rereads, (allow_edit_cancel, verify, looked, over, foreign))| Situation {
            wanted,
            shown,
            over: over && known.is_none(),
            foreign,
            known,
            rereads,
            allow_edit_cancel,
            verify,
            looked,
            saving: false,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_situation_keeps_the_promises(s in any_situation()) {
        let decision = decide(&s);
        let places = matches!(decision, Decision::Create | Decision::Recreate);
        if let Some(known) = s.known {
            prop_assert!(!(places && known.state.is_ended()), "an ended delivery is not placed again: {:?}", decision);
            prop_assert!(!(places && known.state.is_placed()), "what is placed is not placed again: {:?}", decision);
            prop_assert!(!(places && known.state.needs_lookup()), "an unknown outcome is looked up: {:?}", decision);
            prop_assert!(!(places && s.verify && !s.looked), "a doubt is looked up: {:?}", decision);
            if decision == Decision::Recreate {
                prop_assert!(known.state == S::Cancelled && known.cancelled_by_us);
            }
            if matches!(decision, Decision::Edit | Decision::Cancel) {
                prop_assert_eq!(known.state, S::Created);
            }
        }
        if places {
            prop_assert!(s.shown == Presence::Ours, "only an order that is with us is placed");
            prop_assert!(!s.over, "what is over is not placed again");
            let anew = decision == Decision::Recreate || s.known.is_some_and(|known| s.wanted.send_again && !known.cancelled_by_us);
            prop_assert!(anew || !s.foreign, "what another integration handed over is not placed");
            prop_assert!(s.wanted.send || s.wanted.update || s.wanted.send_again, "nothing is placed unasked");
        }
        if matches!(decision, Decision::Cancel | Decision::Withdraw | Decision::CancelByNumber) {
            prop_assert!(s.shown != Presence::Ours && s.wanted.cancel, "only what left is cancelled: {:?}", decision);
        }
        if !s.allow_edit_cancel {
            prop_assert!(!matches!(decision, Decision::Edit | Decision::Cancel), "switched off: {:?}", decision);
        }
        if s.rereads >= REREADS {
            prop_assert!(decision != Decision::ReadAgain, "readings come to an end");
        }
        if s.shown == Presence::Ours && s.rereads >= REREADS && s.wanted.update {
            let insists = s.known.is_some_and(|known| matches!(known.state, S::Created | S::InWork) && !known.same);
            let concluded = matches!(decision, Decision::Edit | Decision::GiveUp(_) | Decision::LookUp);
            prop_assert!(!insists || concluded, "a change is never dropped in silence: {:?}", decision);
        }
    }
}
