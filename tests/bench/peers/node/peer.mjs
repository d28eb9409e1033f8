// The ingress a Node developer would write in an afternoon: fastify reads the form, the key is
// looked up, a persistent message is published with a confirm, and only then comes the answer.
import { randomUUID } from "node:crypto";

import amqp from "amqplib";
import Fastify from "fastify";

const { AMQP_URL, PEER_EXCHANGE, PEER_ROUTE, PEER_KEY } = process.env;
const connection = await amqp.connect(AMQP_URL);
const channel = await connection.createConfirmChannel();
const keys = new Map([[PEER_KEY, 1]]);

const publish = (body) =>
  new Promise((resolve, reject) => {
    const options = { persistent: true, mandatory: true, contentType: "application/json" };
    channel.publish(PEER_EXCHANGE, PEER_ROUTE, body, options, (error) =>
      error ? reject(error) : resolve(),
    );
  });

const app = Fastify({ logger: false });
app.addContentTypeParser(
  "application/x-www-form-urlencoded",
  { parseAs: "string" },
  (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(body))),
);
app.post("/reintegrations/requests/trigger/retailcrm", async (request, reply) => {
  const { id, sum, key } = request.body ?? {};
  const integration = keys.get(key);
  if (!id || integration === undefined) return reply.code(403).send({ success: false });
  const command = {
    id: randomUUID(), kind: "SendOrder", integration, order: id, sum,
    received_at: new Date().toISOString(),
  };
  try {
    await publish(Buffer.from(JSON.stringify(command)));
  } catch {
    return reply.code(503).send({ success: false });
  }
  return { success: true, id };
});
await app.listen({ host: "127.0.0.1", port: 0 });
const { address, port } = app.server.address();
console.log(`${address}:${port}`);
