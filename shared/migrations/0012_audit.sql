-- Who did what. Rows are added and never changed: each bears the hash of the one before it. The
-- newest one's is signed, in `cursors` under «audit head».

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    os_user TEXT,
    act TEXT NOT NULL,
    integration_id BIGINT,
    object TEXT NOT NULL,
    -- JSON objects: what the change is about, as it was and as it is.
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    prior TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
