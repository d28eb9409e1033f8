-- Statuses and payments on their way back to RetailCRM. Written once for both databases:
-- BIGINT, BYTEA and BIGSERIAL are translated for SQLite.
-- Moments are UTC milliseconds, money is kopecks, flags are 0/1.

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE status_batches (
    id BIGSERIAL PRIMARY KEY,
    account TEXT NOT NULL,
    stream_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    row_count BIGINT NOT NULL DEFAULT 0,
    content TEXT,
    created_at BIGINT NOT NULL,
    sealed_at BIGINT,
    committed_at BIGINT
);
CREATE INDEX status_batches_newest ON status_batches (account, stream_id, id);

CREATE TABLE status_rows (
    id BIGSERIAL PRIMARY KEY,
    batch_id BIGINT NOT NULL,
    account TEXT NOT NULL,
    order_key TEXT NOT NULL,
    mark TEXT NOT NULL,
    orderno TEXT,
    ordercode TEXT,
    delivery_id BIGINT,
    integration_id BIGINT,
    state TEXT NOT NULL,
    why TEXT,
    facts TEXT,
    seq BIGINT NOT NULL,
    repeats BIGINT NOT NULL DEFAULT 0,
    attempt BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account, mark)
);
CREATE INDEX status_rows_pending ON status_rows (account, due_at) WHERE state = 'pending';
CREATE INDEX status_rows_by_order ON status_rows (account, order_key, seq);
CREATE INDEX status_rows_by_batch ON status_rows (batch_id);
CREATE INDEX status_rows_by_age ON status_rows (updated_at);

CREATE TABLE tracking_outbox (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    orderno TEXT NOT NULL,
    code TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    comment TEXT,
    state TEXT NOT NULL,
    why TEXT,
    attempt BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    sent_at BIGINT,
    UNIQUE (delivery_id, orderno, code, made_at)
);
CREATE INDEX tracking_outbox_waiting ON tracking_outbox (integration_id, due_at) WHERE state = 'waiting';
CREATE INDEX tracking_outbox_by_age ON tracking_outbox (seen_at);

CREATE TABLE payment_moves (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    facts_mark TEXT NOT NULL,
    facts TEXT NOT NULL,
    state TEXT NOT NULL,
    plan TEXT,
    step BIGINT NOT NULL DEFAULT 0,
    why TEXT,
    attempt BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (delivery_id, facts_mark)
);
CREATE INDEX payment_moves_open ON payment_moves (integration_id, due_at) WHERE state IN ('wanted', 'moving');
CREATE INDEX payment_moves_by_age ON payment_moves (updated_at);
