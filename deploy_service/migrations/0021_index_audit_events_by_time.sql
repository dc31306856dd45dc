-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Finds the newest events of a project.
-- Not CONCURRENTLY, which a transaction cannot do: rows are short, and a million are indexed in seconds.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_events_time_idx ON audit_events (project_id, created_at);

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
