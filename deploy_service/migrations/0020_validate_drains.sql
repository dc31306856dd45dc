-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- In a transaction of its own: adding them took a lock that validating does not need.
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_drained_once_replaced;
ALTER TABLE deployments VALIDATE CONSTRAINT deployments_drained_with_counts;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
