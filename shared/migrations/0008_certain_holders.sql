-- Who holds what, told without doubt: fences and ids that never repeat, and a register of the
-- processes whose lock in the database says that they live. Written once for both databases.

-- The fence before the present one: whether others held the row since it was looked at.
ALTER TABLE deliveries ADD COLUMN prior_fence BIGINT NOT NULL DEFAULT 0;

CREATE TABLE holders (
    owner TEXT PRIMARY KEY,
    lock_key BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- A replica that was behind when it took over hands a sequence's numbers out again: the lower
-- twenty bits of an id are random, and no row is taken for the one that had its number before.
-- SQLite has no replicas and keeps its ids.
ALTER TABLE deliveries ALTER COLUMN id SET DEFAULT nextval('deliveries_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
ALTER TABLE intents ALTER COLUMN id SET DEFAULT nextval('intents_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
ALTER TABLE order_intents ALTER COLUMN id SET DEFAULT nextval('order_intents_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
ALTER TABLE status_rows ALTER COLUMN id SET DEFAULT nextval('status_rows_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
ALTER TABLE tracking_outbox ALTER COLUMN id SET DEFAULT nextval('tracking_outbox_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
ALTER TABLE payment_moves ALTER COLUMN id SET DEFAULT nextval('payment_moves_id_seq') * 1048576 + floor(random() * 1048576)::bigint;
