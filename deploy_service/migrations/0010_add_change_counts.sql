-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- How many changes were made, each of which has an audit event: `flowpin verify` compares the two. The next migration
-- counts. Services write none of these columns.
ALTER TABLE apps ADD COLUMN change_count integer NOT NULL DEFAULT 0;
ALTER TABLE runtimes ADD COLUMN change_count integer NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN mark_count integer NOT NULL DEFAULT 0;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
