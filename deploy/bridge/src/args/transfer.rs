//! What is said of a move and of backups.

pub const MOVE_HELP: &str = "Stop all roles first; the command refuses a database on which one runs. Every table is copied in one \
commit into an empty database (SQLite, PostgreSQL, either way), read back there and compared by the sum of its rows, and the \
source is read once more: nothing of it may have changed. It is only read. What was cut short left the target empty: begin again. \
Messages that wait in the embedded queue are among the rows. Secrets stay sealed with the same key, which is not copied: the \
answer says where the new installation has to find it.";

pub const BACKUP_HELP: &str = "Written while the bridge runs, as of one moment, readable by its owner alone, and under its name \
once it is whole. The format is the same for SQLite and PostgreSQL, so that a backup of one is restored into the other. API keys \
and passwords in it are sealed; the secret key is not in it, only its fingerprint. Keep that key in another place. Orders' data \
is in it as in the database.";

pub const RESTORE_HELP: &str = "Into the database of the settings, which must be empty (SQLite: its file may be missing) and on which \
nothing may run. The file is read to its end before anything is written. A backup of an older release is brought up to this \
release's schema. The ledger is older than the world then: for an hour after the first start MeaSoft is asked before anything is \
sent, and both sides are compared. Exits 1 when the file is damaged, 64 when the secret key is another.";
