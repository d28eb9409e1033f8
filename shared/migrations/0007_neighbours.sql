-- One neighbour's trouble stays its own.

-- What each worker holds back for now, so that it can be told.
CREATE TABLE breakers (
    process TEXT NOT NULL,
    target TEXT NOT NULL,
    name TEXT NOT NULL,
    why TEXT NOT NULL,
    held_until BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (process, target, name)
);
-- Shows that the API key was accepted at the account's address: a mark of both, made with our
-- secret key. What was stored before is examined by the next worker.
ALTER TABLE integrations ADD COLUMN crm_proof TEXT;
UPDATE integrations SET crm_proof = 'assumed';
