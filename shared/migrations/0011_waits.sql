-- Why a request waits, as whoever put it off says. It holds only while it is due at the moment
-- noted beside it: whoever gives it another one, an earlier release too, has taken it back.

ALTER TABLE intents ADD COLUMN waits_for TEXT;
ALTER TABLE intents ADD COLUMN waits_until BIGINT;
ALTER TABLE order_intents ADD COLUMN waits_for TEXT;
ALTER TABLE order_intents ADD COLUMN waits_until BIGINT;
