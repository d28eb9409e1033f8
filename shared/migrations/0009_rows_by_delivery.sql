-- Taking status rows over costs the same however many are stored: those of a delivery are found
-- through an index. What `bridge doctor` asks of the rows of a batch it may search for.

CREATE INDEX status_rows_by_delivery ON status_rows (delivery_id) WHERE delivery_id IS NOT NULL;
DROP INDEX status_rows_by_batch;
