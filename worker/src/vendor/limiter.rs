//! The gate before every request to MeaSoft: budget and circuit breakers, by account and by
//! address. A closed gate costs an order nothing; its intent waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::Clock;
use shared::measoft::{Break, MeasoftError};
use shared::message::{Outcome, RetryWhy};
use shared::telemetry::metrics::BreakerState;
use url::Url;

use crate::policy::LONGEST_ASKED;
use crate::vendor::address::Address;
use crate::vendor::breaker::{Breaker, Came};
use crate::vendor::budget::{Budget, Priority};

/// A request that was given up by its caller counts as silence when it took this long.
const SILENCE: Duration = Duration::from_secs(3);

/// Scheme, host and port: one server.
pub fn address_of(account: &str) -> String {
    let url = account.split('|').next().unwrap_or_default();
    match Url::parse(url) {
        Ok(url) => match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
            (host, _) => format!("{}://{}", url.scheme(), host.unwrap_or_default()),
        },
        Err(_) => url.to_owned(),
    }
}

/// What a breaker held back stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub what: Target,
    /// The address, or the account with its address, number and login.
    pub name: String,
    pub state: BreakerState,
    pub until: Timestamp,
    /// What the last request came to.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Address,
    Account,
}

#[derive(Default)]
struct Circuits {
    addresses: BTreeMap<String, (Address, String)>,
    accounts: BTreeMap<String, (Breaker, String)>,
}

/// Budget and breakers of one process.
pub struct Limiter {
    clock: Clock,
    budget: Budget,
    first_pause: Duration,
    longest_asked: Duration,
    circuits: Mutex<Circuits>,
}

impl Limiter {
    pub fn new(clock: Clock, budget: Budget, breaker_open: Duration) -> Arc<Self> {
        Self::with_longest_asked(clock, budget, breaker_open, LONGEST_ASKED)
    }

    /// With another longest pause that a server is believed.
    pub fn with_longest_asked(
        clock: Clock,
        budget: Budget,
        breaker_open: Duration,
        longest_asked: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { clock, budget, first_pause: breaker_open, longest_asked, circuits: Mutex::default() })
    }

    fn new_address(&self) -> (Address, String) {
        (Address::new(self.first_pause).with_longest_asked(self.longest_asked), String::new())
    }

    fn new_account(&self) -> (Breaker, String) {
        (Breaker::new(self.first_pause).with_longest_asked(self.longest_asked), String::new())
    }

    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    fn circuits(&self) -> MutexGuard<'_, Circuits> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether work for an account makes sense now; unlike [`Limiter::pass`] it takes nothing.
    /// `Err`: when to ask again.
    pub fn open_for(&self, account: &str) -> Result<(), Timestamp> {
        let now = self.clock.now();
        let circuits = self.circuits();
        let address = circuits.addresses.get(&address_of(account)).map_or(Ok(()), |(a, _)| a.ready(account, now));
        let own = circuits.accounts.get(account).map_or(Ok(()), |(breaker, _)| breaker.ready(now));
        match (address, own) {
            (Err(one), Err(other)) => Err(one.max(other)),
            (one, other) => one.and(other),
        }
    }

    /// Passes one request, waiting a moment for the budget if it is about to be free.
    /// `Err`: the outcome of the order that wanted it.
    pub async fn pass(self: &Arc<Self>, account: &str, priority: Priority) -> Result<Ticket, Outcome> {
        let now = self.clock.now();
        {
            let mut circuits = self.circuits();
            let Circuits { addresses, accounts } = &mut *circuits;
            let address = addresses.entry(address_of(account)).or_insert_with(|| self.new_address());
            let own = accounts.get_mut(account);
            let passed = match own {
                // The address is asked last: it may let one through alone.
                Some((breaker, _)) => {
                    breaker.pass(now).and_then(|()| address.0.pass(account, now).inspect_err(|_| breaker.forgo()))
                }
                None => address.0.pass(account, now),
            };
            passed.map_err(|until| Outcome::RetryLater { why: RetryWhy::BreakerOpen, not_before: Some(until) })?;
        }
        let ticket = Ticket { limiter: self.clone(), account: account.to_owned(), sent: None, is_used: false };
        match self.budget.take(account, priority).await {
            Ok(()) => Ok(ticket),
            Err(free_at) => Err(Outcome::RetryLater { why: RetryWhy::Budget, not_before: Some(free_at) }),
        }
    }

    fn report(&self, account: &str, came: Came, whole: bool, why: &str) {
        let now = self.clock.now();
        let mut circuits = self.circuits();
        let Circuits { addresses, accounts } = &mut *circuits;
        let (address, address_why) = addresses.entry(address_of(account)).or_insert_with(|| self.new_address());
        address.report(account, came, whole, now);
        why.clone_into(address_why);
        if came == Came::Good {
            // Of a request that was under way before, it takes back nothing that was asked for since.
            if accounts.get(account).is_some_and(|(own, _)| own.state(now) != BreakerState::Open) {
                accounts.remove(account);
            }
            return;
        }
        let (breaker, own_why) = accounts.entry(account.to_owned()).or_insert_with(|| self.new_account());
        breaker.report(came, now);
        why.clone_into(own_why);
    }

    fn forgo(&self, account: &str) {
        let mut circuits = self.circuits();
        if let Some((address, _)) = circuits.addresses.get_mut(&address_of(account)) {
            address.forgo(account);
        }
        if let Some((breaker, _)) = circuits.accounts.get_mut(account) {
            breaker.forgo();
        }
    }

    /// What is held back now, addresses first.
    pub fn held(&self) -> Vec<Held> {
        let now = self.clock.now();
        let circuits = self.circuits();
        let addresses = circuits
            .addresses
            .iter()
            .map(|(name, (address, why))| (Target::Address, name, address.state(now), address.until(), why));
        let accounts = circuits
            .accounts
            .iter()
            .map(|(name, (breaker, why))| (Target::Account, name, breaker.state(now), breaker.until(), why));
        addresses
            .chain(accounts)
            .filter(|(_, _, state, ..)| *state != BreakerState::Closed)
            .map(|(what, name, state, until, why)| Held {
                what,
                name: name.clone(),
                state,
                until: until.unwrap_or(now),
                why: why.clone(),
            })
            .collect()
    }
}

/// The right to one request, and the duty to say what it came to. One that is dropped before
/// its request left costs nothing; one that waited for a while for its answer met silence.
pub struct Ticket {
    limiter: Arc<Limiter>,
    account: String,
    sent: Option<Timestamp>,
    is_used: bool,
}

impl Ticket {
    /// Makes the request; breakers learn from its result.
    pub async fn make<T>(mut self, call: impl Future<Output = Result<T, MeasoftError>>) -> Result<T, MeasoftError> {
        self.sends();
        let result = call.await;
        self.report(result.as_ref().map(|_| ()));
        result
    }

    /// The request leaves now.
    pub fn sends(&mut self) {
        self.sent = Some(self.limiter.clock.now());
    }

    /// Reports what came of the request.
    pub fn report(mut self, result: Result<(), &MeasoftError>) {
        self.is_used = true;
        let why = result.err().map(words).unwrap_or_default();
        let (came, whole) = result.map_or_else(came, |()| (Came::Good, false));
        self.limiter.report(&self.account, came, whole, &why);
    }

    /// The request was not made, or what it came to says nothing of MeaSoft.
    pub fn forgo(mut self) {
        self.is_used = true;
        self.limiter.forgo(&self.account);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let now = self.limiter.clock.now();
        if self.sent.is_some_and(|sent| now.duration_since(sent).unsigned_abs() >= SILENCE) {
            self.limiter.report(&self.account, Came::Silent, false, "no answer before its caller gave up");
        } else {
            self.limiter.forgo(&self.account);
        }
    }
}

/// What an error says of the account and, when the flag is set, of the whole address.
fn came(error: &MeasoftError) -> (Came, bool) {
    match error {
        // The limit of an account is its own; a server that is away is away for all.
        MeasoftError::Http { status: 429 | 403, retry_after: Some(asked), .. } => (Came::Asked(*asked), false),
        MeasoftError::Http { status: 503, retry_after: Some(asked), .. } => (Came::Asked(*asked), true),
        MeasoftError::NoAnswer { how: Break::Timeout, .. } => (Came::Silent, false),
        MeasoftError::NoAnswer { .. } => (Came::Lost, false),
        error if error.looks_blocked() => (Came::Bad, false),
        _ => (Came::Good, false),
    }
}

/// For people, without the vendor's own text.
fn words(error: &MeasoftError) -> String {
    let asked = error.retry_after().map(|pause| format!(", and asks for a pause of {} s", pause.as_secs()));
    format!("{error}{}", asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for (account, address) in [
            ("https://home.courierexe.ru/api/|8|shop", "https://home.courierexe.ru:443"),
            ("https://HOME.courierexe.ru:443/api|9|other", "https://home.courierexe.ru:443"),
            ("https://home.courierexe.ru:8443/api/|8|shop", "https://home.courierexe.ru:8443"),
            ("http://127.0.0.1:9000/api/|8|shop", "http://127.0.0.1:9000"),
            ("nothing|8|shop", "nothing"),
        ] {
            assert_eq!(address_of(account), address, "{account}");
        }
    }

    #[tokio::test]
    async fn a_good_answer_to_an_earlier_request_takes_back_no_pause_of_the_account() {
        use shared::crypto::SecretKey;
        use shared::store::{Db, Store};
        const ACCOUNT: &str = "https://home.courierexe.ru/api/|8|shop";
        let clock = Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"));
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("a schema");
        let limits = shared::config::Budgets {
            measoft_per_minute: 100,
            measoft_per_20min: 100,
            measoft_account_per_hour: 100,
            crm_rps: 10,
            time_scale: 1,
        };
        let budget = Budget::new(Store::new(db, SecretKey::from_bytes([7; 32]), clock.clone()), &limits);
        let limiter = Limiter::new(clock.clone(), budget, Duration::from_millis(50));
        let asks = async || limiter.pass(ACCOUNT, Priority::Interactive).await.map(|mut ticket| ticket.is_used = true);
        limiter.report(ACCOUNT, Came::Asked(Duration::from_secs(2)), false, "429");
        limiter.report(ACCOUNT, Came::Good, false, "");
        assert!(asks().await.is_err(), "the pause that was asked for is kept");
        clock.advance(Duration::from_secs(3));
        assert!(asks().await.is_ok(), "then one may try");
        limiter.report(ACCOUNT, Came::Good, false, "");
        assert!(asks().await.is_ok() && asks().await.is_ok());
    }

    #[test]
    fn what_an_answer_says_of_account_and_address() {
        use shared::measoft::Op;
        let http =
            |status, retry_after| MeasoftError::Http { op: Op::NewOrder, status, retry_after, excerpt: String::new() };
        let minute = Some(Duration::from_secs(60));
        let no_answer = |how| MeasoftError::NoAnswer { op: Op::NewOrder, how };
        for (error, expected) in [
            (http(429, minute), (Came::Asked(Duration::from_secs(60)), false)),
            (http(503, minute), (Came::Asked(Duration::from_secs(60)), true)),
            (http(502, None), (Came::Bad, false)),
            (no_answer(Break::Timeout), (Came::Silent, false)),
            (no_answer(Break::Cut), (Came::Lost, false)),
            (MeasoftError::EmptyRequest { op: Op::NewOrder }, (Came::Good, false)),
        ] {
            assert_eq!(came(&error), expected, "{error}");
        }
    }
}
