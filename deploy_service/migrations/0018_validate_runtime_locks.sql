-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- In a transaction of its own, so that reads and writes go on meanwhile.
ALTER TABLE runtimes VALIDATE CONSTRAINT runtimes_lock_fkey;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_runtime_lock_fkey;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
