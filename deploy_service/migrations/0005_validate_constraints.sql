-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- In a transaction of its own, so that reads and writes go on meanwhile.
ALTER TABLE apps VALIDATE CONSTRAINT apps_archived;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_kind;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_source_fkey;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_source;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_health;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_marked;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_health_note;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
