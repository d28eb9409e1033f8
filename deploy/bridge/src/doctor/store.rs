//! The ledger: reachable, migrated, readable with our key, and nothing waiting too long.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::Clock;
use shared::config::{Config, Database};
use shared::crypto::SecretKey;
use shared::store::broker_notes::{LostQueue, PolicyNote};
use shared::store::promotion::Window;
use shared::store::{Store, StoreError, migrations};
use shared::tls_trouble::TlsTrouble;
use shared::{bootstrap, existing};

use crate::doctor::finding::{Area, Finding, Findings, tell};

/// How long a takeover is told.
const TOLD_HOURS: i64 = 72;
/// The doctor's patience with one look at the database.
const LIMIT: Duration = Duration::from_secs(8);
/// Rows of the outbox or of the embedded queue this old mean that nobody takes them.
const OLD_JOB_MINUTES: i64 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub database: String,
    pub is_sqlite: bool,
    pub state: State,
    /// With a broker the job table is the outbox.
    pub with_broker: bool,
    pub kept: Contents,
}

/// What is read in a database that is good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Since when the oldest due message of the job table has been due.
    pub oldest_job: Option<Timestamp>,
    /// Letters whose replay waits for its turn, and when the next one's comes.
    pub replays: Option<(usize, Timestamp)>,
    /// The last time that the ledger went back to an earlier state.
    pub takeover: Option<Window>,
    /// Replicas follow that confirm nothing.
    pub replicates_behind: bool,
    /// Policies of the broker that took commands out of a queue.
    pub policies: Vec<PolicyNote>,
    /// Queues of the broker that had to be made anew.
    pub lost_queues: Vec<LostQueue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// One sentence.
    Missing(String),
    /// One sentence.
    Unusable(String),
    /// The schema's version, and the newest this release knows.
    Schema {
        found: i64,
        newest: i64,
    },
    WrongKey,
    Unreadable(String),
    /// It can be read; what is written fails.
    Unwritable(String),
    Good {
        found: i64,
        newest: i64,
    },
}

/// The facts, and the store when it can be worked with.
pub async fn gather(config: &Config, clock: Clock) -> (Facts, Option<Store>) {
    let (database, is_sqlite) = match &config.database {
        Database::Sqlite(path) => (format!("SQLite {}", path.display()), true),
        Database::Postgres(_) => ("PostgreSQL".to_owned(), false),
    };
    let (state, store) = open(config, clock).await;
    let kept = match &store {
        Some(store) => read(store).await,
        None => Contents::default(),
    };
    (Facts { database, is_sqlite, state, with_broker: config.amqp_url.is_some(), kept }, store)
}

async fn open(config: &Config, clock: Clock) -> (State, Option<Store>) {
    if let Err(sentence) = existing::check(config).await {
        return (State::Missing(sentence), None);
    }
    // Without a key, what is sealed says that it is another's.
    let key = config.find_secret_key().map(|key| key.unwrap_or_else(|| SecretKey::from_bytes([0; 32])));
    let opened = match key {
        Ok(key) => bootstrap::open_store(config, key, clock).await,
        Err(bad) => Err(bad.into()),
    };
    match opened {
        Ok(mut store) => {
            store.db = store.db.with_limit(LIMIT);
            let state = look(&store).await;
            let is_good = matches!(state, State::Good { .. });
            (state, is_good.then_some(store))
        }
        Err(error) => (State::Unusable(format!("{error:#}")), None),
    }
}

async fn read(store: &Store) -> Contents {
    let replays = store.waiting_replays().await.unwrap_or_default();
    Contents {
        oldest_job: store.oldest_waiting_job().await.ok().flatten(),
        replays: replays.first().map(|next| (replays.len(), next.due)),
        takeover: store.last_takeover().await.ok().flatten(),
        replicates_behind: store.replicates_behind().await.unwrap_or(false),
        policies: store.policy_notes().await.unwrap_or_default(),
        lost_queues: store.lost_queues().await.unwrap_or_default(),
    }
}

async fn look(store: &Store) -> State {
    let newest = migrations::newest();
    let version = match store.db.needs_sessions().await {
        Ok(()) => store.db.schema_version().await,
        Err(error) => Err(error),
    };
    let found = match version {
        Ok(found) => found,
        Err(error) => {
            let why = store.db.explained(error).await.to_string();
            return State::Unusable(match store.db.server() {
                Some(server) => format!("{why} [{server}]"),
                None => why,
            });
        }
    };
    if found < newest {
        return State::Schema { found, newest };
    }
    match store.integrations().await {
        Ok(_) => {}
        Err(StoreError::WrongKey) => return State::WrongKey,
        Err(error) => return State::Unreadable(error.to_string()),
    }
    let problem = match store.problem("doctor", LIMIT).await {
        None => store.grow().await.err().map(|error| error.to_string()),
        problem => problem,
    };
    problem.map_or(State::Good { found, newest }, State::Unwritable)
}

pub fn judge(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let (database, kept) = (&facts.database, &facts.kept);
    let mut say = Findings::of(Area::Store);
    state(facts, &mut say);
    if let Some((waiting, next)) = kept.replays {
        tell!(say, Ok: "{waiting} dead letter(s) wait to be tried again, the next at {next}");
    }
    if kept.replicates_behind {
        tell!(say, Warning: "{database} is replicated asynchronously: a 200 is worth this one server's disk"
            => "set synchronous_standby_names if nothing may be lost when a replica takes over; without it the window of a \
                takeover is told here, and the reconcile over it starts by itself");
    }
    if let Some(Window { from, until }) = kept.takeover.filter(|window| is_lately(window.until, now)) {
        tell!(say, Warning: "a backup was restored or another PostgreSQL server has taken over: triggers accepted between {from} and \
                {until} may be missing"
            => "the reconcile was started by itself and finds those of integrations with send_statuses; for the others \
                look in RetailCRM for orders of that time that were not sent, and save them again");
    }
    say.all.extend(notes_of_the_broker(kept, now));
    let minutes = kept.oldest_job.map_or(0, |oldest| now.duration_since(oldest).as_mins());
    if minutes >= OLD_JOB_MINUTES && facts.with_broker {
        tell!(say, Warning: "the outbox holds messages that have been due for {minutes} min"
            => "they go out as soon as the broker takes messages again: see the broker's findings, and that at least \
                one of ingress, worker and scheduler runs");
    } else if minutes >= OLD_JOB_MINUTES {
        tell!(say, Warning: "the queue holds messages that have been due for {minutes} min"
            => "start `bridge up`; if it runs, its log and /live say what hangs");
    }
    say.all
}

fn state(facts: &Facts, say: &mut Findings) {
    let database = &facts.database;
    match &facts.state {
        State::Missing(sentence) => tell!(say, Error: "{sentence}"
            => "run this with the settings the bridge runs with; `bridge config check` says which database they mean"),
        State::Unusable(why) => {
            tell!(say, Error: "{database} cannot be used: {why}" => "{}", make_usable(why, facts.is_sqlite));
        }
        State::Schema { found, newest } => {
            tell!(say, Error: "the schema of {database} is at version {found}, this release needs {newest}"
                => "run `bridge migrate`; it is safe while the previous release runs");
        }
        State::WrongKey => {
            tell!(say, Error: "the secrets in {database} were written with another key than the present one"
            => "give back the key they were written with (BRIDGE_SECRET_KEY, or secret.key in DATA_DIR, from the backup); \
                if it is lost, enter every API key and password anew with `bridge integration add`")
        }
        State::Unreadable(why) => tell!(say, Error: "the integrations in {database} cannot be read: {why}"
            => "check which release wrote them: an older one may not understand a newer one's rows"),
        State::Unwritable(why) if facts.is_sqlite => tell!(say, Error: "{database} takes no writes: {why}"
            => "make room on its disk or give the file and its folder to the user that runs the bridge; it goes on \
                by itself then. The vendors were not asked: what is asked is counted in the database"),
        State::Unwritable(why) => tell!(say, Error: "{database} takes no writes: {why}"
            => "see what its words and its log say (a full disk, a standby, a lock: `select * from pg_stat_activity`); \
                the bridge goes on by itself then. The vendors were not asked: what is asked is counted in the database"),
        State::Good { found, newest } if found > newest => {
            tell!(say, Warning: "the schema of {database} is at version {found}; this release knows {newest}"
                => "a newer release has migrated it: finish the upgrade on every machine");
        }
        State::Good { found, .. } => {
            tell!(say, Ok: "{database} takes what is written, is at schema version {found}, and the key fits");
        }
    }
}

fn make_usable(why: &str, is_sqlite: bool) -> String {
    let words = if is_sqlite {
        "check DATA_DIR and DATABASE_URL: the folder must be writable and the file an SQLite database of ours; \
         a damaged file is moved away, and the latest backup put there by `bridge restore`"
    } else if let Some(trouble) = TlsTrouble::in_words(why) {
        return trouble.remedy("DATABASE_URL");
    } else if why.contains("pg_hba.conf") {
        "do what it says in pg_hba.conf or DATABASE_URL; the password is not what it minds"
    } else {
        "check that PostgreSQL runs and that host, user, password and database in DATABASE_URL are right \
         (`psql \"$DATABASE_URL\" -c 'select 1'` shows its own words)"
    };
    words.to_owned()
}

fn is_lately(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).as_hours() < TOLD_HOURS
}

/// What processes have noted of the broker's queues.
fn notes_of_the_broker(kept: &Contents, now: Timestamp) -> Vec<Finding> {
    let mut say = Findings::of(Area::Broker);
    for PolicyNote { queue, reason, count, last } in kept.policies.iter().filter(|note| is_lately(note.last, now)) {
        let policy = bridge_worker::consume::dead_letters::policy_of(reason).unwrap_or("a limit");
        tell!(say, Warning: "a policy of RabbitMQ with {policy} takes commands out of {queue} ({reason}): {count} so far, \
                the last at {last}; they were taken in all the same"
            => "see `rabbitmqctl list_policies` and `rabbitmqctl list_operator_policies`, and narrow the pattern so that it \
                leaves out our queues: while no worker runs, the same policy may drop what was put aside");
    }
    for LostQueue { queue, window } in kept.lost_queues.iter().filter(|lost| is_lately(lost.window.until, now)) {
        let Window { from, until } = window;
        tell!(say, Warning: "the queue {queue} was gone and was made anew: triggers accepted between {from} and {until} may \
                be missing"
            => "the reconcile was started by itself and finds those of integrations with send_statuses; for the others look \
                in RetailCRM for orders of that time that were not sent, and save them again. A policy with expires \
                (`rabbitmqctl list_policies`), a deleted queue or a lost disk of the broker does this");
    }
    say.all
}
