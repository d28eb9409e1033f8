#!/usr/bin/env bash
# What: a hot standby of PostgreSQL gives out an advisory lock that a session of its primary holds,
#       and the session that has it there keeps it when the standby is promoted.
# Versions: PostgreSQL 17.12 (Debian 13); psycopg 3.3.9 (PyPI).
# Guess before the run: refused during recovery, as `LISTEN`, `nextval` and `FOR UPDATE` are.
# Seen: locks are each server's own. After the promotion all who ask the new primary wait for a
#       session that had only been reading; the lock of the old primary's holder is not known there
#       at all.
# For whom: whoever elects a leader or marks a living worker by a lock, with a list of hosts of
#       which a connection may reach the standby: two have it. Ask `pg_is_in_recovery()` beside the
#       lock.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
run() { postgres "$folder/debian" "$@"; }
stop() {
    for server in primary standby; do run pg_ctl -D "/tmp/$server" -m immediate stop || true; done
    rm -rf "$folder"
}
trap 'stop >/dev/null' EXIT
debian "$folder/debian" trixie postgresql-17=17.12-0+deb13u1
{
    run initdb -D /tmp/primary -A trust -U postgres --no-sync
    cat >>"$folder/debian/tmp/primary/postgresql.conf" <<'SETTINGS'
listen_addresses = ''
unix_socket_directories = '/tmp'
dynamic_shared_memory_type = mmap
fsync = off
port = 1
SETTINGS
    run pg_ctl -D /tmp/primary -l /tmp/primary.log -w start
    run pg_basebackup -h /tmp -p 1 -U postgres -D /tmp/standby -R -X stream -c fast
    echo 'port = 2' >>"$folder/debian/tmp/standby/postgresql.conf"
    run pg_ctl -D /tmp/standby -l /tmp/standby.log -w start
} >/dev/null
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "psycopg[binary]==3.3.9"
cat >"$folder/run.py" <<'PYTHON'
import sys
import psycopg

def connect(port):
    return psycopg.connect(host=sys.argv[1], port=port, user="postgres", autocommit=True)

def ask(who, connection, question):
    try:
        answer = connection.execute(f"SELECT {question}").fetchone()[0]
    except psycopg.Error as error:
        answer = error.diag.message_primary
    print(f"{who}: {question}: {answer}")

PRIMARY, STANDBY = 1, 2
holder, reader = connect(PRIMARY), connect(STANDBY)
ask("holder at the primary", holder, "pg_try_advisory_lock(42)")
ask("another at the primary", connect(PRIMARY), "pg_try_advisory_lock(42)")
ask("reader at the standby", reader, "pg_is_in_recovery()")
ask("reader at the standby", reader, "pg_current_xact_id()")
ask("reader at the standby", reader, "pg_try_advisory_lock(42)")
ask("standby", connect(STANDBY), "pg_promote()")
ask("reader at the new primary", reader, "pg_is_in_recovery()")
ask("another at the new primary", connect(STANDBY), "pg_try_advisory_lock(42)")
reader.close()
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/debian/tmp" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
holder at the primary: pg_try_advisory_lock(42): True
another at the primary: pg_try_advisory_lock(42): False
reader at the standby: pg_is_in_recovery(): True
reader at the standby: pg_current_xact_id(): cannot execute pg_current_xact_id() during recovery
reader at the standby: pg_try_advisory_lock(42): True
standby: pg_promote(): True
reader at the new primary: pg_is_in_recovery(): False
another at the new primary: pg_try_advisory_lock(42): False
SEEN
echo "as described"
