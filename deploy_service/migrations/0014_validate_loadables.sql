-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- In a transaction of its own, so that reads and writes go on meanwhile.
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_loadable_fkey;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_routed_once_live;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
