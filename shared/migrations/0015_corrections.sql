-- What somebody set right for one order. It holds until RetailCRM's own value changes; then the
-- row goes.

CREATE TABLE corrections (
    integration_id BIGINT NOT NULL,
    crm_order_id BIGINT NOT NULL,
    -- phone, name, town, address, date, window, comment.
    field TEXT NOT NULL,
    -- Sealed JSON: what RetailCRM showed, and what is meant.
    value BYTEA NOT NULL,
    who TEXT NOT NULL,
    -- Of the order's corrections; the newest is the largest.
    version BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (integration_id, crm_order_id, field)
);
CREATE INDEX corrections_by_time ON corrections (made_at);
