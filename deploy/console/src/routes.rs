//! Every address of the console: its method, who may use it, and what answers. The one place that
//! says so.

use shared::store::console::Role;

/// Who may use an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: there is nothing to see yet.
    Nobody,
    /// Somebody who is signed in and may at least so much.
    Role(Role),
}

/// What an address shows or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Style,
    Icon,
    EntryForm,
    Enter,
    SignIn,
    SignedIn,
    Leave,
    Now,
    NowCsv,
    Causes,
    CausesCsv,
    Acknowledge,
    Snooze,
    Wake,
    DiscardCause,
    PlanReplay,
    Replays,
    ReplayOf,
    StartReplay,
    StopReplay,
    PaceReplay,
    Letters,
    LettersCsv,
    Replay,
    Discard,
    Waiting,
    WaitingCsv,
    Hurry,
    Drop,
    Find,
    Order,
    Preview,
    AskPreview,
    AskMeasoft,
    Correct,
    Integrations,
    Integration,
    Pause,
    Resume,
    Sync,
    EditForm,
    Edit,
    Check,
    Register,
    RotateKey,
    Compare,
    AskCompare,
    CompareCsv,
    Repair,
    Shadow,
    ShadowCsv,
    Budget,
    BudgetCsv,
    Audit,
    AuditCsv,
    People,
    EndSession,
}

/// One address.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET` answers `HEAD` too.
    pub method: &'static str,
    /// `{}` is any one part.
    pub path: &'static str,
    pub needs: Needs,
    pub what: What,
}

const NOBODY: Needs = Needs::Nobody;
const VIEWER: Needs = Needs::Role(Role::Viewer);
const OPERATOR: Needs = Needs::Role(Role::Operator);
const OWNER: Needs = Needs::Role(Role::Owner);

const fn get(path: &'static str, needs: Needs, what: What) -> Route {
    Route { method: "GET", path, needs, what }
}

const fn post(path: &'static str, needs: Needs, what: What) -> Route {
    Route { method: "POST", path, needs, what }
}

pub const ROUTES: &[Route] = &[
    get("/console.css", NOBODY, What::Style),
    get("/icon.svg", NOBODY, What::Icon),
    get("/enter/{}", NOBODY, What::EntryForm),
    post("/enter", NOBODY, What::Enter),
    get("/sign-in", NOBODY, What::SignIn),
    get("/sign-in/done", NOBODY, What::SignedIn),
    post("/leave", VIEWER, What::Leave),
    get("/", VIEWER, What::Now),
    get("/now.csv", VIEWER, What::NowCsv),
    get("/causes", VIEWER, What::Causes),
    get("/causes.csv", VIEWER, What::CausesCsv),
    post("/causes/acknowledge", OPERATOR, What::Acknowledge),
    post("/causes/snooze", OPERATOR, What::Snooze),
    post("/causes/wake", OPERATOR, What::Wake),
    post("/causes/discard", OPERATOR, What::DiscardCause),
    post("/causes/replay", OPERATOR, What::PlanReplay),
    get("/replays", VIEWER, What::Replays),
    get("/replays/{}", VIEWER, What::ReplayOf),
    post("/replays/{}/start", OPERATOR, What::StartReplay),
    post("/replays/{}/stop", OPERATOR, What::StopReplay),
    post("/replays/{}/pace", OPERATOR, What::PaceReplay),
    get("/letters", VIEWER, What::Letters),
    get("/letters.csv", VIEWER, What::LettersCsv),
    post("/letters/{}/replay", OPERATOR, What::Replay),
    post("/letters/{}/discard", OPERATOR, What::Discard),
    get("/waiting", VIEWER, What::Waiting),
    get("/waiting.csv", VIEWER, What::WaitingCsv),
    post("/waiting/hurry", OPERATOR, What::Hurry),
    post("/waiting/drop", OPERATOR, What::Drop),
    get("/orders", VIEWER, What::Find),
    get("/orders/{}/{}", VIEWER, What::Order),
    get("/orders/{}/{}/preview", VIEWER, What::Preview),
    post("/orders/{}/{}/preview", OPERATOR, What::AskPreview),
    post("/orders/{}/{}/ask", OPERATOR, What::AskMeasoft),
    post("/orders/{}/{}/correct", OPERATOR, What::Correct),
    get("/integrations", VIEWER, What::Integrations),
    get("/integrations/{}", VIEWER, What::Integration),
    post("/integrations/{}/pause", OPERATOR, What::Pause),
    post("/integrations/{}/resume", OPERATOR, What::Resume),
    post("/integrations/{}/sync", OPERATOR, What::Sync),
    get("/integrations/{}/edit", OWNER, What::EditForm),
    post("/integrations/{}/edit", OWNER, What::Edit),
    post("/integrations/{}/check", OWNER, What::Check),
    post("/integrations/{}/register", OWNER, What::Register),
    post("/integrations/{}/rotate-key", OWNER, What::RotateKey),
    get("/compare", VIEWER, What::Compare),
    get("/compare.csv", VIEWER, What::CompareCsv),
    post("/compare", OPERATOR, What::AskCompare),
    post("/compare/repair", OPERATOR, What::Repair),
    get("/shadow", VIEWER, What::Shadow),
    get("/shadow.csv", VIEWER, What::ShadowCsv),
    get("/budget", VIEWER, What::Budget),
    get("/budget.csv", VIEWER, What::BudgetCsv),
    get("/audit", VIEWER, What::Audit),
    get("/audit.csv", VIEWER, What::AuditCsv),
    get("/people", OWNER, What::People),
    post("/people/end", OWNER, What::EndSession),
];

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// With what stands in the place of each `{}`.
    Route(usize, Vec<String>),
    /// The address is there, and takes these methods.
    OtherMethod(Vec<&'static str>),
    Nothing,
}

/// Finds what answers.
pub fn find(method: &str, path: &str) -> Found {
    let method = if method == "HEAD" { "GET" } else { method };
    let fitting: Vec<(usize, Vec<String>)> =
        ROUTES.iter().enumerate().filter_map(|(n, route)| Some((n, fit(route.path, path)?))).collect();
    match fitting.iter().find(|(n, _)| ROUTES[*n].method == method) {
        Some((n, parts)) => Found::Route(*n, parts.clone()),
        None if fitting.is_empty() => Found::Nothing,
        None => Found::OtherMethod(fitting.iter().map(|(n, _)| ROUTES[*n].method).collect()),
    }
}

/// What stands in the place of each `{}`, unescaped.
fn fit(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parts),
            (Some("{}"), Some(part)) if !part.is_empty() => {
                // A path escapes as a form does, but for what only a form gives a meaning.
                let part = part.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
                let (text, _) = url::form_urlencoded::parse(part.as_bytes()).next()?;
                parts.push(text.into_owned());
            }
            (Some(one), Some(other)) if one == other && one != "{}" => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> Option<(What, Vec<String>)> {
        match find(method, path) {
            Found::Route(n, parts) => Some((ROUTES[n].what, parts)),
            _ => None,
        }
    }

    #[test]
    fn an_address_is_found_with_its_parts() {
        assert_eq!(found("GET", "/"), Some((What::Now, vec![])));
        assert_eq!(found("HEAD", "/causes"), Some((What::Causes, vec![])));
        let parts = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        assert_eq!(found("GET", "/orders/1/1234A"), Some((What::Order, parts(["1", "1234A"]))));
        assert_eq!(found("GET", "/orders/1/12%2F3%20%D0%90+1"), Some((What::Order, parts(["1", "12/3 А+1"]))));
        assert_eq!(found("GET", "/orders/1/a=b%26c"), Some((What::Order, parts(["1", "a=b&c"]))));
        assert_eq!(find("DELETE", "/causes"), Found::OtherMethod(vec!["GET"]));
        assert_eq!(find("GET", "/causes/snooze"), Found::OtherMethod(vec!["POST"]));
        for nothing in ["", "/nothing", "/orders/1", "/orders//1", "/causes/", "/integrations/1/pause/now", "//"] {
            assert_eq!(find("GET", nothing), Found::Nothing, "{nothing}");
        }
    }

    #[test]
    fn whatever_changes_something_is_posted_by_somebody_who_may() {
        for route in ROUTES {
            let free = matches!(route.what, What::Enter | What::Leave);
            let needs_more = matches!(route.needs, Needs::Role(Role::Operator | Role::Owner));
            assert!(route.method == "GET" || free || needs_more, "{route:?}");
        }
    }
}
