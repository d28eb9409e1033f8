-- Written once for both databases: BIGINT, BYTEA and BIGSERIAL are translated for SQLite.
-- Moments are UTC milliseconds, money is kopecks, flags are 0/1.

CREATE TABLE integrations (
    id BIGSERIAL PRIMARY KEY,
    title TEXT NOT NULL,
    crm_url TEXT NOT NULL,
    measoft_url TEXT NOT NULL,
    extra TEXT NOT NULL,
    login TEXT NOT NULL,
    prefix TEXT NOT NULL,
    settings TEXT NOT NULL,
    crm_api_key BYTEA NOT NULL,
    password BYTEA NOT NULL,
    delivery_api_key BYTEA NOT NULL,
    client_id BYTEA NOT NULL,
    delivery_api_key_hash TEXT NOT NULL UNIQUE,
    client_id_hash TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    paused_by TEXT,
    paused_reason TEXT,
    version BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE deliveries (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL REFERENCES integrations (id),
    crm_order_id BIGINT NOT NULL,
    number TEXT NOT NULL,
    site TEXT NOT NULL DEFAULT '',
    delivery_type TEXT NOT NULL DEFAULT '',
    orderno TEXT NOT NULL,
    ordercode TEXT,
    generation BIGINT NOT NULL DEFAULT 1,
    state TEXT NOT NULL,
    status TEXT,
    status_at BIGINT,
    cancelled_by_us BIGINT NOT NULL DEFAULT 0,
    sent_hash TEXT,
    sending_hash TEXT,
    sending TEXT,
    sent_at BIGINT,
    price BIGINT,
    item_codes TEXT NOT NULL DEFAULT '{}',
    overlay TEXT,
    crm_written TEXT,
    reject_reason TEXT,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    requests BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (integration_id, crm_order_id),
    UNIQUE (integration_id, orderno)
);
CREATE INDEX deliveries_by_number ON deliveries (number);
CREATE INDEX deliveries_by_orderno ON deliveries (orderno);
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE intents (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL REFERENCES integrations (id),
    number TEXT NOT NULL,
    delivery_id BIGINT,
    requested BIGINT NOT NULL,
    served BIGINT NOT NULL DEFAULT 0,
    send_seq BIGINT NOT NULL DEFAULT 0,
    update_seq BIGINT NOT NULL DEFAULT 0,
    cancel_seq BIGINT NOT NULL DEFAULT 0,
    candidates TEXT,
    declared BIGINT,
    verify BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    rereads BIGINT NOT NULL DEFAULT 0,
    wanted_at BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 0,
    traceparent TEXT,
    command_id TEXT,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (integration_id, number)
);
CREATE INDEX intents_due ON intents (integration_id, due_at) WHERE requested > served;
CREATE INDEX intents_settled ON intents (updated_at) WHERE requested = served;

CREATE TABLE journal (
    id BIGSERIAL PRIMARY KEY,
    at BIGINT NOT NULL,
    integration_id BIGINT,
    number TEXT,
    orderno TEXT,
    what TEXT NOT NULL,
    vendor TEXT,
    op TEXT,
    outcome TEXT,
    duration_ms BIGINT,
    http_status BIGINT,
    text TEXT NOT NULL DEFAULT '',
    request TEXT,
    response TEXT
);
CREATE INDEX journal_by_number ON journal (number, at) WHERE number IS NOT NULL;
CREATE INDEX journal_by_orderno ON journal (orderno, at) WHERE orderno IS NOT NULL;
CREATE INDEX journal_by_time ON journal (at);

CREATE TABLE dead_letters (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT,
    delivery_id BIGINT,
    number TEXT,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    fault TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 1,
    tries BIGINT NOT NULL DEFAULT 0,
    command TEXT,
    raw BYTEA,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_why TEXT
);
CREATE INDEX dead_letters_open ON dead_letters (state, created_at);
CREATE INDEX dead_letters_by_number ON dead_letters (number);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    lane TEXT NOT NULL,
    body BYTEA NOT NULL,
    run_at BIGINT NOT NULL,
    lease_by TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    deliveries BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (lane, run_at);

CREATE TABLE slots (
    job TEXT NOT NULL,
    slot BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    published_at BIGINT,
    PRIMARY KEY (job, slot)
);

CREATE TABLE reference_cache (
    integration_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    fetched_at BIGINT NOT NULL,
    PRIMARY KEY (integration_id, name)
);

CREATE TABLE budget_slices (
    scope TEXT NOT NULL,
    slice BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (scope, slice)
);
