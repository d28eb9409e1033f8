-- What RetailCRM shows beside a status: the planned date, and the sealed names of who carries the
-- parcel and who took it. Gone once RetailCRM has been told.

ALTER TABLE tracking_outbox ADD COLUMN details TEXT;
