//! Why the database did not do it, in words that say whose trouble it is and never hold values
//! of a row.

use crate::tls_trouble;

/// Why the store did not do it. The text never holds values of a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database is not reachable{}", words(.0))]
    Unreachable(#[source] sqlx::Error),
    /// It lets nobody in until a person has done something.
    #[error("{0}{words}", words = words(.1))]
    Closed(&'static str, #[source] sqlx::Error),
    /// It is there and cannot do its work: a full disk, a standby, a lock that stays. What was
    /// asked of it is not at fault, and is good again once the trouble is over.
    #[error("{0}{words}", words = words(.1))]
    Failing(&'static str, #[source] sqlx::Error),
    /// It gave no answer in time; what was asked of it may have happened.
    #[error("the database did not answer within {seconds} s ({what})")]
    Silent { what: String, seconds: u64 },
    /// Two transactions stood in each other's way and this one gave way: the same again works.
    #[error("the database let another transaction go first{}", words(.0))]
    Contended(#[source] sqlx::Error),
    #[error("the database refused the statement{}", words(.0))]
    Refused(#[source] sqlx::Error),
    /// An earlier statement of the transaction failed, so nothing of it happened.
    #[error("an earlier statement of the transaction failed")]
    Broken,
    #[error("a row holds something unreadable in column {0}")]
    BadRow(&'static str),
    /// The row was written between its reading and this write; nothing was changed.
    #[error("somebody else changed it at the same moment, so nothing was changed: look at it and do it again")]
    ChangedMeanwhile,
    #[error("a stored secret cannot be decrypted: BRIDGE_SECRET_KEY is not the key it was written with")]
    WrongKey,
    #[error("{0}")]
    Config(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = code(&error) else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_) => Self::Unreachable(error),
                // The write connection of SQLite is in a state it is thrown away for.
                sqlx::Error::BeginFailed | sqlx::Error::InvalidSavePointStatement => Self::Contended(error),
                other => Self::Refused(other),
            };
        };
        let meaning = match &code {
            Code::Postgres(state) if state == "28000" => Meaning::Closed(of_login(message(&error))),
            Code::Postgres(state) => of_postgres(state),
            Code::Sqlite(code) => of_sqlite(*code),
        };
        match meaning {
            Meaning::Away => Self::Unreachable(error),
            Meaning::Closed(why) => Self::Closed(why, error),
            Meaning::Failing(why) => Self::Failing(why, error),
            Meaning::Contended => Self::Contended(error),
            Meaning::Statement => Self::Refused(error),
        }
    }
}

/// What a code of either database means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Away,
    Closed(&'static str),
    Failing(&'static str),
    Contended,
    Statement,
}

/// What stands between us and PostgreSQL lends its connections out by the transaction.
pub(super) const NO_SESSIONS: &str = "DATABASE_URL leads to a pooler that shares connections between transactions \
                                      (PgBouncer's pool_mode transaction or statement): set pool_mode = session for it, or \
                                      connect to PostgreSQL itself";

/// By PostgreSQL's SQLSTATE (its documentation, appendix A).
fn of_postgres(state: &str) -> Meaning {
    match state {
        "3D000" => {
            Meaning::Closed("the database that DATABASE_URL names does not exist: create it, or correct the URL")
        }
        "28P01" => Meaning::Closed("PostgreSQL refuses the user name or password of DATABASE_URL"),
        // Which rule it was, its words say: see `of_login`.
        "28000" => Meaning::Closed("PostgreSQL does not let the user of DATABASE_URL log in"),
        "42501" => {
            Meaning::Closed("the user of DATABASE_URL may not use the tables: grant it the rights of their owner")
        }
        // Statements are prepared under names that are unique in a session of ours.
        "42P05" | "26000" => Meaning::Closed(NO_SESSIONS),
        "53300" => {
            Meaning::Closed("PostgreSQL has no connection left: run fewer processes, or raise its max_connections")
        }
        "25006" => {
            Meaning::Failing("PostgreSQL takes no writes: DATABASE_URL leads to a standby, or it was made read-only")
        }
        "53100" => Meaning::Failing("PostgreSQL's disk is full"),
        "55P03" => Meaning::Failing("a table or row of the database stays locked by another session"),
        "57014" => Meaning::Failing("PostgreSQL ended a statement that took too long or was cancelled"),
        "40001" | "40P01" => Meaning::Contended,
        _ => match state.get(..2) {
            // The server is going down or starting up; the connection broke.
            Some("57" | "08") => Meaning::Away,
            Some("53") => Meaning::Failing("PostgreSQL has run out of something it needs"),
            Some("58" | "XX" | "F0") => Meaning::Failing("PostgreSQL is in trouble: its own log says more"),
            _ => Meaning::Statement,
        },
    }
}

/// What PostgreSQL's file of who may log in from where says no to, by its words (its source,
/// `auth.c`; «SSL off» before version 14).
fn of_login(words: &str) -> &'static str {
    let by_rule = words.contains("pg_hba.conf");
    if by_rule && (words.contains("no encryption") || words.contains("SSL off")) {
        return "PostgreSQL takes only encrypted connections from here (pg_hba.conf): put sslmode=require into \
                DATABASE_URL, and see that its `ssl` is on";
    }
    if by_rule {
        return "PostgreSQL's pg_hba.conf lets this user into this database from our address not at all: add a line for it";
    }
    if words.contains("client certificate") || words.contains("certificate authentication") {
        return "PostgreSQL wants a certificate that its authority has signed for the user of DATABASE_URL: name it and its key \
                in TLS_CERT_FILE and TLS_KEY_FILE";
    }
    "PostgreSQL does not let the user of DATABASE_URL log in"
}

fn message(error: &sqlx::Error) -> &str {
    match error {
        sqlx::Error::Database(db) => db.message(),
        _ => "",
    }
}

/// By SQLite's result code (<https://www.sqlite.org/rescode.html>), whose low byte is the kind.
fn of_sqlite(code: i32) -> Meaning {
    match code & 0xff {
        5 | 6 => Meaning::Contended,
        3 | 8 | 23 => Meaning::Failing("the database file may not be written to: look at its owner and mode"),
        7 => Meaning::Failing("SQLite has no memory left"),
        10 => Meaning::Failing("the disk under the database file does not read or write"),
        11 | 26 => {
            Meaning::Failing("the database file is damaged: move it away and `bridge restore` the latest backup")
        }
        13 => Meaning::Failing("the disk under the database file is full"),
        14 => Meaning::Failing("the database file cannot be opened"),
        _ => Meaning::Statement,
    }
}

enum Code {
    Postgres(String),
    Sqlite(i32),
}

fn code(error: &sqlx::Error) -> Option<Code> {
    let sqlx::Error::Database(db) = error else { return None };
    let code = db.code()?;
    Some(match db.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        Some(_) => Code::Sqlite(code.parse().unwrap_or(1)),
        None => Code::Postgres(code.into_owned()),
    })
}

/// The code, and the server's own words where they speak of itself and not of a row.
fn words(error: &sqlx::Error) -> String {
    let own = |meaning: Meaning| meaning != Meaning::Statement && meaning != Meaning::Contended;
    match (error, code(error)) {
        (sqlx::Error::Database(db), Some(Code::Postgres(state))) if own(of_postgres(&state)) => {
            format!(" (PostgreSQL: {}; SQLSTATE {state})", db.message())
        }
        (_, Some(Code::Postgres(state))) => format!(" (SQLSTATE {state})"),
        (sqlx::Error::Database(db), Some(Code::Sqlite(code))) if own(of_sqlite(code)) => {
            format!(" (SQLite: {}; code {code})", db.message())
        }
        (_, Some(Code::Sqlite(code))) => format!(" (SQLite code {code})"),
        (sqlx::Error::Io(error), None) => format!(": {}", tls_trouble::explained(&error.to_string())),
        (sqlx::Error::Tls(error), None) => format!(": TLS: {}", tls_trouble::explained(&error.to_string())),
        (sqlx::Error::PoolTimedOut, None) => ": no connection became free in time".to_owned(),
        _ => String::new(),
    }
}

impl StoreError {
    /// The database's own trouble, whatever it was asked: the same is worth asking again later,
    /// and nothing is said about an order.
    pub const fn is_the_databases(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Closed(..) | Self::Failing(..) | Self::Silent { .. } | Self::Contended(_)
        )
    }

    /// A lock that another session holds did not end in time.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Failing(_, error) if matches!(code(error), Some(Code::Postgres(state)) if state == "55P03"))
    }

    /// The connection may only read: SQLite opened its file so, because it could not be written
    /// to at that moment, and never looks again.
    pub fn is_of_a_read_only_connection(&self) -> bool {
        matches!(self, Self::Failing(_, error) if matches!(code(error), Some(Code::Sqlite(code)) if code & 0xff == 8))
    }

    /// The server ended the session before it had done what was asked: it says so instead of
    /// answering, and what it has committed it answers.
    pub(super) fn is_of_an_ended_session(&self) -> bool {
        matches!(self, Self::Unreachable(error) if matches!(code(error), Some(Code::Postgres(state)) if state == "57P01"))
    }

    /// A connection that was there broke. What was asked over it may have happened.
    pub(super) fn is_of_a_broken_connection(&self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let Self::Unreachable(sqlx::Error::Io(error)) = self else { return false };
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    }

    /// A pooler of transactions stands before PostgreSQL.
    pub fn is_without_sessions(&self) -> bool {
        matches!(self, Self::Closed(why, _) if *why == NO_SESSIONS)
            || matches!(self, Self::Config(why) if why == NO_SESSIONS)
    }

    /// The statement names a table that is not there.
    pub fn is_missing_table(&self) -> bool {
        let Self::Refused(error @ sqlx::Error::Database(db)) = self else { return false };
        match code(error) {
            Some(Code::Postgres(state)) => state == "42P01",
            Some(Code::Sqlite(_)) => db.message().starts_with("no such table"),
            None => false,
        }
    }

    /// Worth the same again at once.
    pub const fn is_contention(&self) -> bool {
        matches!(self, Self::Contended(_))
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_standby_and_a_locked_table_are_not_the_statements_fault() {
        for state in ["25006", "53100", "53200", "55P03", "57014", "58030", "XX001"] {
            assert!(matches!(of_postgres(state), Meaning::Failing(_)), "{state}");
        }
        // SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_READONLY_DBMOVED, SQLITE_CORRUPT, SQLITE_CANTOPEN.
        for code in [13, 778, 1032, 11, 14] {
            assert!(matches!(of_sqlite(code), Meaning::Failing(_)), "{code}");
        }
        for state in ["23505", "22P02", "42P01"] {
            assert_eq!(of_postgres(state), Meaning::Statement);
        }
        assert_eq!(of_sqlite(2067), Meaning::Statement, "a unique key");
    }

    #[test]
    fn a_rule_of_who_may_log_in_is_told_from_a_wrong_password() {
        let unencrypted = [
            r#"no pg_hba.conf entry for host "10.0.0.7", user "u", database "d", no encryption"#,
            r#"pg_hba.conf rejects connection for host "10.0.0.7", user "u", database "d", no encryption"#,
            r#"no pg_hba.conf entry for host "10.0.0.7", user "u", database "d", SSL off"#,
        ];
        assert!(unencrypted.iter().all(|words| of_login(words).contains("sslmode=require")));
        let address = r#"no pg_hba.conf entry for host "10.0.0.7", user "u", database "d", SSL encryption"#;
        assert!(of_login(address).contains("add a line"));
        assert!(of_login("role \"u\" is not permitted to log in").contains("log in"));
    }

    #[test]
    fn a_server_that_goes_down_is_away_and_a_deadlock_is_tried_again() {
        assert_eq!(["57P01", "57P03", "08006"].map(of_postgres), [Meaning::Away; 3]);
        assert_eq!(["40P01", "40001"].map(of_postgres), [Meaning::Contended; 2]);
        assert_eq!([5, 517, 6].map(of_sqlite), [Meaning::Contended; 3]);
    }
}
