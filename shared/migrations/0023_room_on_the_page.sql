-- A row that is written several times in a minute finds room for its next version on its own page:
-- no index is written then, and the log holds only what changed. PostgreSQL alone packs pages full.
ALTER TABLE deliveries SET (fillfactor = 50);
ALTER TABLE intents SET (fillfactor = 50);
ALTER TABLE order_intents SET (fillfactor = 50);
ALTER TABLE tracking_outbox SET (fillfactor = 70);
ALTER TABLE payment_moves SET (fillfactor = 70);
