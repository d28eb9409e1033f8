#!/usr/bin/env bash
# What: in five retry libraries jitter ends where it is needed most: once the waits have grown to
#       the maximum, each client waits exactly the maximum, all in step.
# Versions: tenacity 9.2.1, stamina 26.1.0, urllib3 2.8.0 (PyPI); retry 0.13.1 (below async-retry),
#       p-retry 7.1.1 (npm).
# Guess before the run: a wait at the maximum is spread as well, somewhere below it.
# Seen: each adds its jitter first and cuts at the maximum afterwards. Of a hundred clients whose
#       first waits all differ, the tenth waits are one and the same.
# For whom: whoever lets many workers retry against a vendor that was away for minutes: they come
#       back in one blow, each time, although jitter is switched on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check tenacity==9.2.1 stamina==26.1.0 \
    urllib3==2.8.0
npm install --silent --no-audit --no-fund --prefix "$folder" retry@0.13.1 p-retry@7.1.1
cat >"$folder/run.py" <<'PYTHON'
import time
import stamina, tenacity, urllib3

waits = []
time.sleep = waits.append

def fails():
    raise OSError("away")

def tenacity_waits():
    wait = tenacity.wait_exponential_jitter(initial=1, max=60, jitter=10)
    try:
        stop = tenacity.stop_after_attempt(11)
        tenacity.Retrying(wait=wait, stop=stop, sleep=waits.append)(fails)
    except tenacity.RetryError:
        pass

def stamina_waits():
    try:
        stamina.retry(on=OSError, attempts=11, timeout=None, wait_initial=1, wait_max=60,
                      wait_jitter=10)(fails)()
    except OSError:
        pass

def urllib3_waits():
    # Its first retry never waits, so ten waits take eleven failures.
    retry = urllib3.Retry(20, backoff_factor=1, backoff_jitter=10, backoff_max=60)
    for number in range(11):
        retry = retry.increment("GET", "/", error=urllib3.exceptions.ConnectTimeoutError())
        if number:
            waits.append(retry.get_backoff_time())

stamina.instrumentation.set_on_retry_hooks([])
for client in (tenacity_waits, stamina_waits, urllib3_waits):
    first, tenth = set(), set()
    for _ in range(100):
        waits.clear()
        client()
        first.add(waits[0])
        tenth.add(waits[9])
    print(client.__name__.removesuffix("_waits"), len(first), "first waits, tenth:", *tenth)
PYTHON
cat >"$folder/run.mjs" <<'JS'
import retry from "retry";
import pRetry from "p-retry";

const options = { retries: 10, minTimeout: 1000, maxTimeout: 60000, factor: 2, randomize: true };
const waits = async () => {
    const asked = [];
    const timer = globalThis.setTimeout;
    globalThis.setTimeout = (then, ms) => (asked.push(ms), timer(then, 0));
    await pRetry(() => Promise.reject(new Error("away")), options).catch(() => {});
    globalThis.setTimeout = timer;
    return asked;
};
for (const [name, client] of [["retry", async () => retry.timeouts(options)], ["p-retry", waits]]) {
    const first = new Set(), tenth = new Set();
    for (let number = 0; number < 100; number++) {
        const all = await client();
        first.add(all[0]);
        tenth.add(all[9]);
    }
    console.log(name, first.size > 50 ? "differing" : first.size, "first waits, tenth:", ...tenth);
}
JS
{
    "$folder/venv/bin/python" "$folder/run.py"
    node "$folder/run.mjs"
} | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
tenacity 100 first waits, tenth: 60.0
stamina 100 first waits, tenth: 60.0
urllib3 100 first waits, tenth: 60.0
retry differing first waits, tenth: 60000
p-retry differing first waits, tenth: 60000
SEEN
echo "as described"
