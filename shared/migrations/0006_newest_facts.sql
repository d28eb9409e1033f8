-- Payments by the newest facts alone, and statuses in the order in which they were read.

-- Steps of a payment's plan that were begun: one that was begun may have happened.
ALTER TABLE payment_moves ADD COLUMN tried BIGINT NOT NULL DEFAULT 0;
-- The delivery is not closed any more: its next closing counts anew, also with the same facts.
ALTER TABLE payment_moves ADD COLUMN reopened BIGINT NOT NULL DEFAULT 0;
-- What RetailCRM is told as a status's time where MeaSoft's own is older than what was told
-- before.
ALTER TABLE tracking_outbox ADD COLUMN tell_at BIGINT;
-- When the status the ledger holds was read at MeaSoft.
ALTER TABLE deliveries ADD COLUMN status_seen_at BIGINT;
