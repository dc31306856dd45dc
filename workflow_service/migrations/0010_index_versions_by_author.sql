-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Finds the versions that one person saved.
-- Not CONCURRENTLY, which a transaction cannot do: flows are kept outside the rows, and a million are indexed in seconds.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX versions_author_idx ON versions (project_id, workflow_id, created_by, number) WHERE deleted_at IS NULL;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
