#!/usr/bin/env bash
# What: a message published anew with the headers of the one it is a copy of, as retry code does,
#       says on its first delivery that it had been delivered seven times; RabbitMQ 3.10 put 0
#       there.
# Versions: RabbitMQ 3.10.8 and 4.3.6 (Debian 12 and `forky`); pika 1.4.4 (PyPI).
# Guess before the run: `x-delivery-count` is the broker's own and tells of this message alone.
# Seen: 4.x writes a count only when it is above 0, so the copied one stays until then. On 4.3 the
#       second delivery bears both at once: the broker's own `x-acquired-count` of 1 and, since a
#       nack is no failure there, the copied `x-delivery-count` of 7.
# For whom: whoever republishes with all headers and judges by the broker's counts: each copy begins
#       with the counts of all copies before it, and gives up early.
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
channel.queue_declare("work", durable=True, arguments={"x-queue-type": "quorum"})

def get():
    time.sleep(0.5)
    method, properties, _ = channel.basic_get("work")
    return method, {name: int(count) for name, count in sorted((properties.headers or {}).items())}

channel.basic_publish("", "work", b"first")
method, headers = get()
for _ in range(7):
    channel.basic_reject(method.delivery_tag, requeue=True)
    method, headers = get()
print(f"{version} the first, handed back seven times: {headers}")
copied = pika.BasicProperties(headers=headers)
channel.basic_publish("", "work", b"copy", copied)
channel.basic_ack(method.delivery_tag)
method, headers = get()
print(f"{version} its copy, first time: {headers}, redelivered={method.redelivered}")
channel.basic_nack(method.delivery_tag, requeue=True)
method, headers = get()
print(f"{version} its copy, second time: {headers}, redelivered={method.redelivered}")
PYTHON
for broker in bookworm=3.10.8-1.1+deb12u1 forky=4.3.6-1; do
    suite=${broker%%=*}
    port=$(free_port)
    debian "$folder/$suite" "$suite" "rabbitmq-server=${broker#*=}"
    rabbitmq "$folder/$suite" "$port"
    "$folder/venv/bin/python" "$folder/run.py" "$port" "${broker#*=}"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
3.10.8 the first, handed back seven times: {'x-delivery-count': 7}
3.10.8 its copy, first time: {'x-delivery-count': 0}, redelivered=False
3.10.8 its copy, second time: {'x-delivery-count': 1}, redelivered=True
4.3.6 the first, handed back seven times: {'x-acquired-count': 7, 'x-delivery-count': 7}
4.3.6 its copy, first time: {'x-acquired-count': 7, 'x-delivery-count': 7}, redelivered=False
4.3.6 its copy, second time: {'x-acquired-count': 1, 'x-delivery-count': 7}, redelivered=True
SEEN
echo "as described"
