-- What a courier brought back of each line, on its way to the order's lines at RetailCRM. Written
-- once for both databases.

-- One row a delivery, with the newest facts.
CREATE TABLE line_returns (
    id BIGSERIAL PRIMARY KEY,
    integration_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL UNIQUE,
    facts TEXT NOT NULL,
    state TEXT NOT NULL,
    written TEXT,
    attempt BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX line_returns_wanted ON line_returns (integration_id, due_at) WHERE state = 'wanted';
-- As of the other tables (0008).
ALTER TABLE line_returns ALTER COLUMN id SET DEFAULT nextval('line_returns_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
