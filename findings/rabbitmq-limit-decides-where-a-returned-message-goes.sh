#!/usr/bin/env bash
# What: in RabbitMQ up to 4.0 a message that is handed back to a quorum queue goes to the end of the
#       queue, unless the queue has a delivery limit: then it is the next one again. In 4.3 it is
#       the next one always.
# Versions: RabbitMQ 3.10.8, 4.0.5 and 4.3.6 (Debian 12, 13 and `forky`); pika 1.4.4 (PyPI).
# Guess before the run: it keeps its place, as in a classic queue; a limit has to do with counting.
# Seen: 3.10 has no limit of its own, so first in, first out ends with the first return; 4.0 has one
#       of 20, so the same declaration gives another order, and `x-delivery-limit: -1` the old one.
# For whom: whoever needs an order's messages in their order, or counts on a poison message standing
#       aside for others: an update of the broker turns one into the other.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pika==1.4.4
cat >"$folder/run.py" <<'PYTHON'
import sys, time
import pika

connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
version = sys.argv[2].split("-")[0]
channel = connection.channel()
channel.confirm_delivery()
kinds = {"classic": {}, "quorum": {"x-queue-type": "quorum"},
         "limit 5": {"x-queue-type": "quorum", "x-delivery-limit": 5},
         "limit -1": {"x-queue-type": "quorum", "x-delivery-limit": -1}}
if version.startswith("3."):
    del kinds["limit -1"]  # is refused there
for kind, arguments in kinds.items():
    channel.queue_declare(kind, durable=True, arguments=arguments)
    for body in "abcd":
        channel.basic_publish("", kind, body.encode())
    method, _, _ = channel.basic_get(kind)
    channel.basic_reject(method.delivery_tag, requeue=True)
    time.sleep(0.5)
    order = "".join(channel.basic_get(kind, auto_ack=True)[2].decode() for _ in "abcd")
    print(f"{version} {kind}: a is handed back, then come {order}")
PYTHON
for broker in bookworm=3.10.8-1.1+deb12u1 trixie=4.0.5-6+deb13u2 forky=4.3.6-1; do
    suite=${broker%%=*}
    port=$(free_port)
    debian "$folder/$suite" "$suite" "rabbitmq-server=${broker#*=}"
    rabbitmq "$folder/$suite" "$port"
    "$folder/venv/bin/python" "$folder/run.py" "$port" "${broker#*=}"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
3.10.8 classic: a is handed back, then come abcd
3.10.8 quorum: a is handed back, then come bcda
3.10.8 limit 5: a is handed back, then come abcd
4.0.5 classic: a is handed back, then come abcd
4.0.5 quorum: a is handed back, then come abcd
4.0.5 limit 5: a is handed back, then come abcd
4.0.5 limit -1: a is handed back, then come bcda
4.3.6 classic: a is handed back, then come abcd
4.3.6 quorum: a is handed back, then come abcd
4.3.6 limit 5: a is handed back, then come abcd
4.3.6 limit -1: a is handed back, then come abcd
SEEN
echo "as described"
