-- Dead letters that are tried again in their turn: who asked, at what pace, and what came of each.

CREATE TABLE replays (
    id BIGSERIAL PRIMARY KEY,
    who TEXT NOT NULL,
    -- JSON: which letters were meant.
    filter TEXT NOT NULL,
    per_minute BIGINT NOT NULL,
    -- planned, running, stopped, done.
    state TEXT NOT NULL,
    -- When the next letter's turn comes.
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);

CREATE TABLE replay_letters (
    replay_id BIGINT NOT NULL REFERENCES replays (id),
    letter_id BIGINT NOT NULL,
    -- queued, sent (on its way), taken (recorded as a request), done, dead (again), skipped.
    state TEXT NOT NULL,
    -- Of the command as it was sent.
    command_id TEXT,
    sent_at BIGINT,
    PRIMARY KEY (replay_id, letter_id)
);
CREATE INDEX replay_letters_open ON replay_letters (replay_id, state) WHERE state IN ('queued', 'sent', 'taken');
CREATE INDEX replay_letters_by_letter ON replay_letters (letter_id) WHERE state = 'queued';
CREATE INDEX replay_letters_by_command ON replay_letters (command_id) WHERE command_id IS NOT NULL;
