-- What one answer of MeaSoft's status stream brought, as it was read: written before the
-- answer is acknowledged, unpacked into status_rows after.

CREATE TABLE status_segments (
    id BIGSERIAL PRIMARY KEY,
    batch_id BIGINT NOT NULL,
    account TEXT NOT NULL,
    stream_id BIGINT NOT NULL,
    first_place BIGINT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX status_segments_by_stream ON status_segments (account, stream_id, id);
