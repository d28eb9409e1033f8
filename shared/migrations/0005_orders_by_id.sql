-- What is wanted is kept by RetailCRM's order id from the first read on; a number is only how
-- triggers speak. The table `intents` stays as it is for triggers by number: the previous
-- release writes and reads it meanwhile. Written once for both databases.
-- Moments are UTC milliseconds, money is kopecks, flags are 0/1.

CREATE TABLE order_intents (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL REFERENCES integrations (id),
    crm_order_id BIGINT NOT NULL,
    number TEXT NOT NULL,
    requested BIGINT NOT NULL,
    served BIGINT NOT NULL DEFAULT 0,
    send_seq BIGINT NOT NULL DEFAULT 0,
    update_seq BIGINT NOT NULL DEFAULT 0,
    cancel_seq BIGINT NOT NULL DEFAULT 0,
    candidates TEXT,
    withdrawn_at BIGINT,
    declared BIGINT,
    verify BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    rereads BIGINT NOT NULL DEFAULT 0,
    spent_ms BIGINT NOT NULL DEFAULT 0,
    wanted_at BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 0,
    traceparent TEXT,
    command_id TEXT,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (integration_id, crm_order_id)
);
CREATE INDEX order_intents_due ON order_intents (integration_id, due_at) WHERE requested > served;
CREATE INDEX order_intents_by_number ON order_intents (number);
CREATE INDEX order_intents_settled ON order_intents (updated_at) WHERE requested = served;

-- Time spent trying, and when the newest send arrived.
ALTER TABLE intents ADD COLUMN spent_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN send_at BIGINT;

-- Whose order a letter is about, where that is known.
ALTER TABLE dead_letters ADD COLUMN crm_order_id BIGINT;

-- Numbers used at MeaSoft by deliveries that are over, for good: nothing of them is done twice.
CREATE TABLE past_deliveries (
    integration_id BIGINT NOT NULL,
    orderno TEXT NOT NULL,
    crm_order_id BIGINT NOT NULL,
    number TEXT NOT NULL,
    generation BIGINT NOT NULL,
    state TEXT NOT NULL,
    status TEXT,
    ended_at BIGINT NOT NULL,
    PRIMARY KEY (integration_id, orderno)
);
CREATE INDEX past_deliveries_by_order ON past_deliveries (integration_id, crm_order_id);
CREATE INDEX past_deliveries_by_number ON past_deliveries (number);

-- What was wanted of the orders known so far. What is not served yet stays with its number, and
-- is handed over by whoever takes it next.
INSERT INTO order_intents (integration_id, crm_order_id, number, requested, served, send_seq, update_seq, cancel_seq,
    candidates, declared, due_at, wanted_at, created_at, updated_at)
SELECT d.integration_id, d.crm_order_id, d.number, i.requested, i.requested, i.send_seq, i.update_seq, i.cancel_seq,
    i.candidates, COALESCE(i.declared, newest.declared), i.due_at, i.wanted_at, i.created_at, i.updated_at
FROM deliveries d
JOIN (SELECT delivery_id, MAX(id) AS id, MAX(declared) AS declared FROM intents WHERE delivery_id IS NOT NULL
    GROUP BY delivery_id) newest ON newest.delivery_id = d.id
JOIN intents i ON i.id = newest.id;

-- The first number of what was placed anew after a cancel.
INSERT INTO past_deliveries (integration_id, orderno, crm_order_id, number, generation, state, ended_at)
SELECT integration_id, SUBSTR(orderno, 1, LENGTH(orderno) - LENGTH(CAST(generation AS TEXT)) - 1), crm_order_id, number,
    1, 'cancelled', updated_at
FROM deliveries WHERE generation > 1
ON CONFLICT (integration_id, orderno) DO NOTHING;
