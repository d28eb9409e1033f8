#!/usr/bin/env bash
# What: since RabbitMQ 4.3 a message that is handed back with `basic.nack` is never taken out by its
#       quorum queue's delivery limit, while one handed back with `basic.reject` still is.
# Versions: RabbitMQ 3.10.8, 4.0.5 and 4.3.6 (Debian 12, 13 and `forky`); pika 1.4.4 (PyPI).
# Guess before the run: both count, as they do in 3.10 and 4.0; for one message they mean the same.
# Seen: with a limit of 3 the nacked message was delivered 30 times and more came. Such a return is
#       counted in `x-acquired-count` alone, and `x-delivery-count`, which older brokers count
#       everything in, does not even appear.
# For whom: whoever relies on the limit against poison messages and lets a client library's «nack
#       and requeue» do the returning: after the update to 4.3 such a message goes round for ever.
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
channel.queue_declare("dead")
for way in ("nack", "reject"):
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 3,
                 "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare(way, durable=True, arguments=arguments)
    channel.basic_publish("", way, b"poison")
    delivered, headers = 0, {}
    while delivered < 30:
        for _ in range(20):
            method, properties, _ = channel.basic_get(way)
            if method is not None:
                break
            time.sleep(0.05)
        else:
            break
        delivered, headers = delivered + 1, properties.headers or {}
        if way == "nack":
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_reject(method.delivery_tag, requeue=True)
    dead = channel.queue_declare("dead", passive=True).method.message_count
    channel.queue_purge("dead")
    counts = {name: int(count) for name, count in headers.items() if name.endswith("-count")}
    print(f"{version} {way}: delivered {delivered} times, dead-lettered {dead}, at last {counts}")
PYTHON
for broker in bookworm=3.10.8-1.1+deb12u1 trixie=4.0.5-6+deb13u2 forky=4.3.6-1; do
    suite=${broker%%=*}
    port=$(free_port)
    debian "$folder/$suite" "$suite" "rabbitmq-server=${broker#*=}"
    rabbitmq "$folder/$suite" "$port"
    "$folder/venv/bin/python" "$folder/run.py" "$port" "${broker#*=}"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
3.10.8 nack: delivered 4 times, dead-lettered 1, at last {'x-delivery-count': 3}
3.10.8 reject: delivered 4 times, dead-lettered 1, at last {'x-delivery-count': 3}
4.0.5 nack: delivered 4 times, dead-lettered 1, at last {'x-delivery-count': 3}
4.0.5 reject: delivered 4 times, dead-lettered 1, at last {'x-delivery-count': 3}
4.3.6 nack: delivered 30 times, dead-lettered 0, at last {'x-acquired-count': 29}
4.3.6 reject: delivered 4 times, dead-lettered 1, at last {'x-acquired-count': 3, 'x-delivery-count': 3}
SEEN
echo "as described"
