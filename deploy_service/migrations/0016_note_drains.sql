-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What became of the calls that a deployment had when it was replaced, as the run service has said.
ALTER TABLE deployments
    ADD COLUMN drained_at timestamptz,
    ADD COLUMN drained_calls integer,
    ADD COLUMN killed_calls integer;
-- Not validated: the columns are new, so there is no row that could break it.
ALTER TABLE deployments ADD CONSTRAINT deployments_drained_once_replaced
CHECK (drained_at IS NULL OR live_to IS NOT NULL) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_drained_with_counts
CHECK (
    (drained_at IS NULL AND drained_calls IS NULL AND killed_calls IS NULL)
    OR (drained_at IS NOT NULL AND drained_calls >= 0 AND killed_calls >= 0)
) NOT VALID;

GRANT UPDATE (drained_at, drained_calls, killed_calls) ON deployments TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
