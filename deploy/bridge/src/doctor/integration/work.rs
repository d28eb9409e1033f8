//! What waits, what gave up, and what keeps the work from going on.

use shared::telemetry::metrics::BreakerTarget;

use crate::doctor::finding::{Findings, tell};
use crate::doctor::integration::facts::Facts;

/// An order that has been due for longer waits for something.
const WAITS_TOO_LONG_MINUTES: i64 = 10;
/// A few statuses may be missed by a restart of the courier's.
const MISSED: i64 = 3;

pub fn judge(facts: &Facts, say: &mut Findings) {
    let (id, letters) = (facts.integration.id, facts.letters.open);
    if letters > 0 {
        tell!(say, Warning: "{letters} open dead letter(s)"
            => "`bridge dead list --integration {id}` says what happened to each and what to do");
    }
    if !facts.letters.denied.is_empty() {
        let scopes = facts.letters.denied.iter().copied().collect::<Vec<_>>().join(", ");
        tell!(say, Error: "RetailCRM denied a call: the API key needs {scopes}"
            => "in RetailCRM open the API key and tick {scopes}, then replay (`bridge dead list --integration {id}`)");
    }
    statuses(facts, say);
    for other in &facts.strangers {
        tell!(say, Warning: "integration {other} names the same RetailCRM address with another API key, and nothing shows that \
                both are of one account: a cancel trigger that names both is refused"
            => "if they are, give both the same API key, or register both modules (`bridge integration register {id}`, \
                `bridge integration register {other}`): a worker then finds it out by itself");
    }
    held(facts, say);
    let (count, oldest) = facts.waiting;
    let minutes = oldest.map_or(0, |at| facts.now.duration_since(at).as_mins());
    if minutes >= WAITS_TOO_LONG_MINUTES {
        tell!(say, Warning: "{count} order(s) wait, the oldest for {minutes} min"
            => "start a worker, or see in its log what it waits for (a vendor that is away, a spent budget, a pause)");
    } else if letters == 0 {
        tell!(say, Ok: "no open dead letters, nothing waits too long");
    }
}

fn statuses(facts: &Facts, say: &mut Findings) {
    let id = facts.integration.id;
    if let Some(first) = facts.unmapped_statuses.first() {
        let codes = facts.unmapped_statuses.join(", ");
        tell!(say, Warning: "MeaSoft sends status codes that nothing maps, and RetailCRM is not told of them: {codes}"
            => "ask the courier service what they mean, then `bridge integration edit {id} --set status_map.{first}=STATUS` \
                (empty: not to be told)");
    }
    let (missed, stream) = (facts.missed_by_stream, facts.integration.settings.stream_id);
    if missed >= MISSED {
        tell!(say, Warning: "{missed} statuses of the last 7 days did not come through the status stream {stream}: another \
                installation or program reads the same stream of this cabinet and acknowledges what it takes"
            => "give the integration a stream of its own with `bridge integration edit {id} --set stream_id=N` (100 to \
                10000), or stop the other program");
    }
}

/// What a worker leaves alone for now.
fn held(facts: &Facts, say: &mut Findings) {
    for held in &facts.held {
        let what = match held.target {
            BreakerTarget::Measoft => "MeaSoft's address",
            BreakerTarget::Account => "the MeaSoft account",
            BreakerTarget::Retailcrm => "the RetailCRM account",
        };
        let seconds = held.until.duration_since(facts.now).as_secs().max(0);
        tell!(say, Warning: "{what} {} failed in a row and is left alone, {seconds} s more: {}", held.name, held.why
            => "nothing is lost: its orders wait and go on by themselves. If it stays so, ask whoever runs it, with that \
                answer");
    }
}
