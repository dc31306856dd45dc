-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Counts every change of an app, of what it has live, and of how that was marked. A deploy is decided on one revision
-- and is written on no other.
ALTER TABLE apps ADD COLUMN revision bigint NOT NULL DEFAULT 0;

GRANT UPDATE (revision) ON apps TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
