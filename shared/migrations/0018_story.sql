-- What happened as codes and values, which are made into words when they are shown. The texts
-- beside them are the same in English, for searches and for whoever knows no more of them.

ALTER TABLE journal ADD COLUMN story TEXT;
ALTER TABLE dead_letters ADD COLUMN details TEXT;
