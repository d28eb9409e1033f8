#!/usr/bin/env bash
# What: a message that was received before a reconnect and acknowledged after it takes another
#       message out of the queue: the one that is being worked on now is lost if its worker then
#       dies.
# Versions: amqp-connection-manager 5.0.0 with amqplib 2.3.1 (npm); RabbitMQ 4.0.5 (Debian 13).
# Guess before the run: the late acknowledgement is refused, since its delivery tag is of a channel
#       that is gone.
# Seen: the wrapper sends it over the new channel, where the tag 1 is the next message. The broker
#       has no way to notice. `ack` of amqplib's own closed channel would have thrown.
# For whom: whoever has handlers that run on while the connection is renewed, as calls to vendors
#       do: remember at which connection a message came, and drop its acknowledgement after that.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
npm install --silent --no-audit --no-fund --prefix "$folder" \
    amqp-connection-manager@5.0.0 amqplib@2.3.1
debian "$folder/broker" trixie rabbitmq-server=4.0.5-6+deb13u2
port=$(free_port)
rabbitmq "$folder/broker" "$port"
cat >"$folder/run.mjs" <<'JS'
import net from "net";
import { setTimeout as pause } from "timers/promises";
import amqplib from "amqplib";
import manager from "amqp-connection-manager";

const port = Number(process.argv[2]);
const until = async (look) => {
    for (let tries = 0; tries < 400; tries++) {
        const found = await look();
        if (found) return found;
        await pause(50);
    }
    throw new Error("waited in vain");
};
// The network between the worker and the broker, which can be cut.
const sockets = new Set();
let up = true;
const network = net.createServer((near) => {
    if (!up) return near.destroy();
    const far = net.connect(port, "127.0.0.1");
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) sockets.add(socket.on("error", () => {}));
});
const cut = () => {
    up = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
};
await new Promise((ready) => network.listen(0, "127.0.0.1", ready));

const other = await (await amqplib.connect(`amqp://127.0.0.1:${port}`)).createConfirmChannel();
await other.assertQueue("orders", { durable: true });
for (const order of ["A", "B"]) other.sendToQueue("orders", Buffer.from(order));
await other.waitForConfirms();

const received = [];
const connection = manager.connect([`amqp://127.0.0.1:${network.address().port}`], {
    reconnectTimeInSeconds: 1,
});
const channel = connection.createChannel({
    setup: async (fresh) => {
        await fresh.prefetch(1);
        await fresh.consume("orders", (message) => received.push(message));
    },
});
const names = () => received.map((message) => message.content.toString()).join(" ");
await until(() => received.length === 1);
cut();
// Another worker has taken A over before this one is back.
const taken = await until(async () => {
    const message = await other.get("orders");
    if (message && message.content.toString() === "A") return message;
    if (message) other.nack(message);
});
up = true;
await until(() => received.length === 2);
console.log("the worker received", names());
if (process.argv[3] === "sent") channel.ack(received[0]);
await pause(1000);
cut();
other.ack(taken);
await pause(2000);
const { messageCount } = await other.checkQueue("orders");
console.log(`late acknowledgement of A: ${process.argv[3]}; B waits: ${messageCount}`);
await other.purgeQueue("orders");
process.exit(0);
JS
for way in none sent; do node "$folder/run.mjs" "$port" "$way"; done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
the worker received A B
late acknowledgement of A: none; B waits: 1
the worker received A B
late acknowledgement of A: sent; B waits: 0
SEEN
echo "as described"
