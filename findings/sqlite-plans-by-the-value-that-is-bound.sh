#!/usr/bin/env bash
# What: SQLite looks at the value bound to a `?` when it plans: a partial index `WHERE state =
#       'due'` serves the statement `state = ?` while 'due' is bound, and the same statement reads
#       the whole table as soon as another value is.
# Versions: SQLite 3.54.1 by apsw 3.54.1.0 (PyPI).
# Guess before the run: a plan is made before values are known, so only a literal finds the index.
# Seen: the bound 'due' is searched like the literal one, and binding another value makes a new
#       plan. The switch that promises stable plans (QPSG) is what takes the index away.
# For whom: whoever has jobs, outboxes or deliveries behind a partial index in SQLite: binding the
#       state is safe there, but a plan seen with one value says nothing about another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check apsw==3.54.1.0
cat >"$folder/run.py" <<'PYTHON'
import apsw

db = apsw.Connection(":memory:")
db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT, run_at INTEGER)")
db.execute("CREATE INDEX due ON jobs (run_at) WHERE state = 'due'")
db.execute("""WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO jobs SELECT i, iif(i % 1000 = 0, 'due', 'done'), i FROM n""")

def look(what, sql, values):
    plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, values)]
    steps = 0
    def step():
        nonlocal steps
        steps += 1
        return False
    db.set_progress_handler(step, 1)
    rows = len(db.execute(sql, values).fetchall())
    db.set_progress_handler(None)
    cost = "few" if steps < 200 else "many"
    print(f"{what}: {plan[0]}, {rows} rows, {cost} steps")

literal = "SELECT id FROM jobs WHERE state = 'due' AND run_at < ?"
bound = "SELECT id FROM jobs WHERE state = ? AND run_at < ?"
look("literal due", literal, (5000,))
look("bound due", bound, ("due", 5000))
look("bound failed", bound, ("failed", 5000))
look("bound due again", bound, ("due", 5000))
db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
look("bound due, stable plans", bound, ("due", 5000))
look("literal due, stable plans", literal, (5000,))
PYTHON
"$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
literal due: SEARCH jobs USING COVERING INDEX due (run_at<?), 4 rows, few steps
bound due: SEARCH jobs USING COVERING INDEX due (run_at<?), 4 rows, few steps
bound failed: SCAN jobs, 0 rows, many steps
bound due again: SEARCH jobs USING COVERING INDEX due (run_at<?), 4 rows, few steps
bound due, stable plans: SCAN jobs, 4 rows, many steps
literal due, stable plans: SEARCH jobs USING COVERING INDEX due (run_at<?), 4 rows, few steps
SEEN
echo "as described"
