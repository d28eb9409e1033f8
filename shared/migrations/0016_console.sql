-- Who may come into the console, and who is in it. What a person holds is kept as its hash alone.

CREATE TABLE console_links (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    os_user TEXT,
    role TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE console_sessions (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    os_user TEXT,
    role TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What came of the last day, hour by hour.
CREATE INDEX deliveries_by_creation ON deliveries (created_at);
