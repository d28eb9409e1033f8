#!/usr/bin/env bash
# What: in a quorum queue of RabbitMQ 4.3 a message without a priority overtakes those with priority
#       1 to 3, since it counts as 4; in a classic queue it counts as 0, and 4.0 knows only two
#       levels, which take turns.
# Versions: RabbitMQ 4.0.5 and 4.3.6 (Debian 13 and `forky`); pika 1.4.4 (PyPI).
# Guess before the run: no priority is 0, the lowest, as AMQP's classic priority queues have it.
# Seen: on 4.3 the order is strict, 5, then 4 and none as they came, then 3, 1, 0. On 4.0 all below
#       5 is one level, and of it comes one message after each two of the other.
# For whom: whoever lowers the priority of mass jobs on a new broker and leaves the others as they
#       are gets what was meant; whoever raises urgent ones to 1, 2 or 3 puts them behind the rest.
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
kinds = {"classic": {"x-max-priority": 5}, "quorum": {"x-queue-type": "quorum"}}
for kind, arguments in kinds.items():
    channel.queue_declare(kind, durable=True, arguments=arguments)
    for priority in (0, 1, 3, None, 4, 5, 5, 5):
        body = "none" if priority is None else str(priority)
        channel.basic_publish("", kind, body.encode(), pika.BasicProperties(priority=priority))
    time.sleep(0.5)
    order = [channel.basic_get(kind, auto_ack=True)[2].decode() for _ in range(8)]
    print(f"{version} {kind}: sent 0 1 3 none 4 5 5 5, got", *order)
PYTHON
for broker in trixie=4.0.5-6+deb13u2 forky=4.3.6-1; do
    suite=${broker%%=*}
    port=$(free_port)
    debian "$folder/$suite" "$suite" "rabbitmq-server=${broker#*=}"
    rabbitmq "$folder/$suite" "$port"
    "$folder/venv/bin/python" "$folder/run.py" "$port" "${broker#*=}"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
4.0.5 classic: sent 0 1 3 none 4 5 5 5, got 5 5 5 4 3 1 0 none
4.0.5 quorum: sent 0 1 3 none 4 5 5 5, got 5 5 0 5 1 3 none 4
4.3.6 classic: sent 0 1 3 none 4 5 5 5, got 5 5 5 4 3 1 0 none
4.3.6 quorum: sent 0 1 3 none 4 5 5 5, got 5 5 5 none 4 3 1 0
SEEN
echo "as described"
