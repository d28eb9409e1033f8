-- A segment lives for seconds: compressing it costs PostgreSQL more than all the rest of storing it.
ALTER TABLE status_segments ALTER COLUMN content SET STORAGE EXTERNAL;
