#!/usr/bin/env bash
# What: the usual claim of a job table, `UPDATE … WHERE id IN (SELECT id … LIMIT 2 FOR UPDATE SKIP
#       LOCKED)`, takes all fifty rows that are due, at the first burst after a quiet time.
# Versions: PostgreSQL 18.6 by PGlite 0.5.16 (npm); 15.18 does the same.
# Guess before the run: the subquery runs once; to see it run again takes a planner with its ways
#       switched off one by one.
# Seen: statistics of a table that held one row when it was counted last make a nested loop good
#       enough, which runs the subquery for each row. Rows this statement has changed are passed
#       over by SKIP LOCKED, so each run finds the next ones. `= ANY (ARRAY (…))` and a CTE that is
#       MATERIALIZED take two. After the next ANALYZE the first form does, too.
# For whom: whoever leases jobs this way: one worker gets what was meant for all, long after the
#       tests.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @electric-sql/pglite@0.5.16
cat >"$folder/run.mjs" <<'JS'
import { PGlite } from "@electric-sql/pglite";

const database = new PGlite();
await database.exec("CREATE TABLE jobs (id BIGINT PRIMARY KEY, state TEXT, run_at BIGINT)");
const due = `SELECT id FROM jobs WHERE state = 'due' ORDER BY run_at LIMIT 2
    FOR UPDATE SKIP LOCKED`;
const claims = {
    "IN (SELECT …)": `UPDATE jobs SET state = 'taken' WHERE id IN (${due})`,
    "= ANY (ARRAY (SELECT …))": `UPDATE jobs SET state = 'taken' WHERE id = ANY (ARRAY (${due}))`,
    "a materialized CTE": `WITH taken AS MATERIALIZED (${due})
        UPDATE jobs SET state = 'taken' WHERE id IN (SELECT id FROM taken)`,
};
for (const [name, claim] of Object.entries(claims)) {
    for (const counted of ["when it held one row", "as it is"]) {
        await database.exec("TRUNCATE jobs; INSERT INTO jobs VALUES (1, 'due', 1)");
        if (counted === "when it held one row") await database.exec("ANALYZE jobs");
        await database.exec("INSERT INTO jobs SELECT i, 'due', i FROM generate_series(2, 50) i");
        if (counted === "as it is") await database.exec("ANALYZE jobs");
        const { affectedRows } = await database.query(claim);
        console.log(`${name}, the table counted ${counted}: ${affectedRows} of 50 rows`);
    }
}
JS
node "$folder/run.mjs" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
IN (SELECT …), the table counted when it held one row: 50 of 50 rows
IN (SELECT …), the table counted as it is: 2 of 50 rows
= ANY (ARRAY (SELECT …)), the table counted when it held one row: 2 of 50 rows
= ANY (ARRAY (SELECT …)), the table counted as it is: 2 of 50 rows
a materialized CTE, the table counted when it held one row: 2 of 50 rows
a materialized CTE, the table counted as it is: 2 of 50 rows
SEEN
echo "as described"
