-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The list of a project's apps as it is sorted by default, and how many there are. Deploys do not change it.
-- Not CONCURRENTLY, which a transaction cannot do: the table holds small rows, and a million are indexed in seconds.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX apps_name_idx ON apps (project_id, name, id DESC) WHERE deleted_at IS NULL;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
