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

use super::{Area, Finding};

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
    /// Since when the oldest due message of the job table has been due.
    pub oldest_job: Option<Timestamp>,
    /// Letters whose replay waits for its turn, and when the next one's comes.
    pub replays: Option<(usize, Timestamp)>,
    /// With a broker the job table is the outbox.
    pub with_broker: bool,
    /// The last time that another PostgreSQL server took over.
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
    let mut facts = Facts {
        database,
        is_sqlite,
        state: State::Unusable(String::new()),
        oldest_job: None,
        replays: None,
        with_broker: config.amqp_url.is_some(),
        takeover: None,
        replicates_behind: false,
        policies: Vec::new(),
        lost_queues: Vec::new(),
    };
    if let Err(sentence) = existing::check(config).await {
        facts.state = State::Missing(sentence);
        return (facts, None);
    }
    // Without a key, what is sealed says that it is another's.
    let key = config.find_secret_key().map(|key| key.unwrap_or_else(|| SecretKey::from_bytes([0; 32])));
    let opened = match key {
        Ok(key) => bootstrap::open_store(config, key, clock).await.map(|mut store| {
            store.db = store.db.with_limit(LIMIT);
            store
        }),
        Err(bad) => Err(bad.into()),
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            facts.state = State::Unusable(format!("{error:#}"));
            return (facts, None);
        }
    };
    facts.state = look(&store).await;
    if !matches!(facts.state, State::Good { .. }) {
        return (facts, None);
    }
    facts.oldest_job = store.oldest_waiting_job().await.ok().flatten();
    let replays = store.waiting_replays().await.unwrap_or_default();
    facts.replays = replays.first().map(|next| (replays.len(), next.due));
    facts.takeover = store.last_takeover().await.ok().flatten();
    facts.replicates_behind = store.replicates_behind().await.unwrap_or(false);
    facts.policies = store.policy_notes().await.unwrap_or_default();
    facts.lost_queues = store.lost_queues().await.unwrap_or_default();
    (facts, Some(store))
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
    let area = Area::Store;
    let database = &facts.database;
    let mut findings = vec![match &facts.state {
        State::Missing(sentence) => Finding::error(
            area,
            sentence,
            "run this with the settings the bridge runs with; `bridge config check` says which database they mean",
        ),
        State::Unusable(why) => Finding::error(
            area,
            format!("{database} cannot be used: {why}"),
            if facts.is_sqlite {
                "check DATA_DIR and DATABASE_URL: the folder must be writable and the file an SQLite database of ours; \
                 a damaged file is replaced by the latest backup"
                    .to_owned()
            } else if let Some(trouble) = TlsTrouble::in_words(why) {
                trouble.remedy("DATABASE_URL")
            } else if why.contains("pg_hba.conf") {
                "do what it says in pg_hba.conf or DATABASE_URL; the password is not what it minds".to_owned()
            } else {
                "check that PostgreSQL runs and that host, user, password and database in DATABASE_URL are right \
                 (`psql \"$DATABASE_URL\" -c 'select 1'` shows its own words)"
                    .to_owned()
            },
        ),
        State::Schema { found, newest } => Finding::error(
            area,
            format!("the schema of {database} is at version {found}, this release needs {newest}"),
            "run `bridge migrate`; it is safe while the previous release runs",
        ),
        State::WrongKey => Finding::error(
            area,
            format!("the secrets in {database} were written with another key than the present one"),
            "give back the key they were written with (BRIDGE_SECRET_KEY, or secret.key in DATA_DIR, from the backup); \
             if it is lost, enter every API key and password anew with `bridge integration add`",
        ),
        State::Unreadable(why) => Finding::error(
            area,
            format!("the integrations in {database} cannot be read: {why}"),
            "check which release wrote them: an older one may not understand a newer one's rows",
        ),
        State::Unwritable(why) => Finding::error(
            area,
            format!("{database} takes no writes: {why}"),
            if facts.is_sqlite {
                "make room on its disk or give the file and its folder to the user that runs the bridge; it goes on \
                 by itself then. The vendors were not asked: what is asked is counted in the database"
            } else {
                "see what its words and its log say (a full disk, a standby, a lock: `select * from pg_stat_activity`); \
                 the bridge goes on by itself then. The vendors were not asked: what is asked is counted in the database"
            },
        ),
        State::Good { found, newest } if found > newest => Finding::warning(
            area,
            format!("the schema of {database} is at version {found}; this release knows {newest}"),
            "a newer release has migrated it: finish the upgrade on every machine",
        ),
        State::Good { found, .. } => Finding::ok(
            area,
            format!("{database} takes what is written, is at schema version {found}, and the key fits"),
        ),
    }];
    if let Some((waiting, next)) = facts.replays {
        findings
            .push(Finding::ok(area, format!("{waiting} dead letter(s) wait to be tried again, the next at {next}")));
    }
    if facts.replicates_behind {
        findings.push(Finding::warning(
            area,
            format!("{database} is replicated asynchronously: a 200 is worth this one server's disk"),
            "set synchronous_standby_names if nothing may be lost when a replica takes over; without it the window of a \
             takeover is told here, and the reconcile over it starts by itself",
        ));
    }
    if let Some(window) = facts.takeover.filter(|window| now.duration_since(window.until).as_hours() < TOLD_HOURS) {
        findings.push(Finding::warning(
            area,
            format!(
                "another PostgreSQL server has taken over: triggers accepted between {} and {} may be missing",
                window.from, window.until
            ),
            "the reconcile was started by itself and finds those of integrations with send_statuses; for the others \
             look in RetailCRM for orders of that time that were not sent, and save them again",
        ));
    }
    findings.extend(notes_of_the_broker(facts, now));
    if let Some(oldest) = facts.oldest_job {
        let minutes = now.duration_since(oldest).as_mins();
        if minutes >= OLD_JOB_MINUTES {
            let (what, remedy) = if facts.with_broker {
                (
                    format!("the outbox holds messages that have been due for {minutes} min"),
                    "they go out as soon as the broker takes messages again: see the broker's findings, and that at least \
                     one of ingress, worker and scheduler runs",
                )
            } else {
                (
                    format!("the queue holds messages that have been due for {minutes} min"),
                    "start `bridge up`; if it runs, its log and /live say what hangs",
                )
            };
            findings.push(Finding::warning(area, what, remedy));
        }
    }
    findings
}

/// What processes have noted of the broker's queues.
fn notes_of_the_broker(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let lately = |at: Timestamp| now.duration_since(at).as_hours() < TOLD_HOURS;
    let mut findings = Vec::new();
    for note in facts.policies.iter().filter(|note| lately(note.last)) {
        let policy = bridge_worker::consume::dead_letters::policy_of(&note.reason).unwrap_or("a limit");
        findings.push(Finding::warning(
            Area::Broker,
            format!(
                "a policy of RabbitMQ with {policy} takes commands out of {} ({}): {} so far, the last at {}; they were \
                 taken in all the same",
                note.queue, note.reason, note.count, note.last
            ),
            "see `rabbitmqctl list_policies` and `rabbitmqctl list_operator_policies`, and narrow the pattern so that it \
             leaves out our queues: while no worker runs, the same policy may drop what was put aside",
        ));
    }
    for lost in facts.lost_queues.iter().filter(|lost| lately(lost.window.until)) {
        findings.push(Finding::warning(
            Area::Broker,
            format!(
                "the queue {} was gone and was made anew: triggers accepted between {} and {} may be missing",
                lost.queue, lost.window.from, lost.window.until
            ),
            "the reconcile was started by itself and finds those of integrations with send_statuses; for the others look \
             in RetailCRM for orders of that time that were not sent, and save them again. A policy with expires \
             (`rabbitmqctl list_policies`), a deleted queue or a lost disk of the broker does this",
        ));
    }
    findings
}
