-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Who did what to which workflow or app, when, in which request. It outlives what it speaks of, so it has no foreign key.
CREATE TABLE audit_events (
    project_id uuid NOT NULL,
    -- The workflow or the app whose history it belongs to.
    subject_id uuid NOT NULL,
    id uuid NOT NULL,
    action text NOT NULL,
    target_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    actor_name text NOT NULL,
    token_id text NOT NULL,
    request_id text NOT NULL,
    details json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT audit_events_pkey PRIMARY KEY (project_id, subject_id, id)
);

GRANT SELECT, INSERT ON audit_events TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
