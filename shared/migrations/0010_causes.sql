-- What people have said of a cause: a reason at an integration, of which dead letters are open.
-- Which causes there are, the letters say; a row goes when the first letter of a new spell comes.

CREATE TABLE causes (
    -- 0: letters of no integration.
    integration_id BIGINT NOT NULL,
    reason TEXT NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at BIGINT,
    snoozed_by TEXT,
    snoozed_until BIGINT,
    PRIMARY KEY (integration_id, reason)
);
