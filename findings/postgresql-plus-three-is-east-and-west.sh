#!/usr/bin/env bash
# What: in PostgreSQL `SET TimeZone = '+3'` and a moment written with `+3` mean Moscow, and `AT TIME
#       ZONE '+3'` means three hours west of Greenwich: six hours apart, with the same three
#       letters.
# Versions: PostgreSQL 18.6 by PGlite 0.5.16 (npm); 15.18 says the same but for the last point.
# Guess before the run: one of both signs, but the same in all places.
# Seen: `UTC+3` is the other way about: west in both statements, east inside a moment. An interval
#       and the zone's name are the same everywhere; `MSK` is, too, except that `SET` refuses it.
#       Since 18 the session's own letters come first, so under `UTC+3` even «12:00 UTC» is 15:00.
# For whom: whoever turns a courier's local times into UTC in SQL with an offset instead of a name:
#       what works as a setting is six hours off as an expression.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @electric-sql/pglite@0.5.16
cat >"$folder/run.mjs" <<'JS'
import { PGlite } from "@electric-sql/pglite";

const database = new PGlite();
const noon = "TIMESTAMPTZ '2026-11-29 12:00+00'";
const ask = async (sql) => {
    try {
        return (await database.query(`SELECT to_char(${sql}, 'HH24:MI') AS answer`)).rows[0].answer;
    } catch {
        return "refused";
    }
};
for (const zone of ["+3", "UTC+3", "MSK", "Europe/Moscow"]) {
    const setting = database.exec(`SET TimeZone = '${zone}'`);
    const set = await setting.then(() => ask(noon), () => "refused");
    await database.exec("SET TimeZone = 'UTC'");
    const at = await ask(`${noon} AT TIME ZONE '${zone}'`);
    const written = await ask(`TIMESTAMPTZ '2026-11-29 15:00 ${zone}'`);
    const both = `12:00 UTC is ${set} by SET, ${at} by AT`;
    console.log(`${zone}: ${both}; 15:00 ${zone} is ${written} UTC`);
}
await database.exec("SET TimeZone = 'UTC+3'");
console.log("under SET UTC+3:", "12:00 UTC is",
    await ask("TIMESTAMPTZ '2026-11-29 12:00 UTC' AT TIME ZONE 'Europe/London'"), "in London");
console.log("interval:", await ask(`${noon} AT TIME ZONE INTERVAL '3 hours'`), "by AT");
JS
node "$folder/run.mjs" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
+3: 12:00 UTC is 15:00 by SET, 09:00 by AT; 15:00 +3 is 12:00 UTC
UTC+3: 12:00 UTC is 09:00 by SET, 09:00 by AT; 15:00 UTC+3 is 18:00 UTC
MSK: 12:00 UTC is refused by SET, 15:00 by AT; 15:00 MSK is 12:00 UTC
Europe/Moscow: 12:00 UTC is 15:00 by SET, 15:00 by AT; 15:00 Europe/Moscow is 12:00 UTC
under SET UTC+3: 12:00 UTC is 15:00 in London
interval: 15:00 by AT
SEEN
echo "as described"
