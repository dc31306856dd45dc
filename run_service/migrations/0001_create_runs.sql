-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The calls of apps, and tests of flows. What they were given and what they answered is not kept.
CREATE TABLE runs (
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    -- A test is a run without a deployment: of a version or of a canvas, with an app's variables or none.
    app_id uuid,
    environment text,
    deployment_id uuid,
    version_id uuid,
    version_number integer,
    status text NOT NULL,
    is_stream boolean NOT NULL,
    -- By the clock of the router: a run begins and ends without a word to Postgres.
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    error_code text,
    error_message text,
    error_node text,
    -- The caller's key. A public app has none, nor has a person who invokes an app or tests a flow.
    access_key_id uuid,
    access_key_preview text,
    user_id uuid,
    CONSTRAINT runs_pkey PRIMARY KEY (project_id, id),
    CONSTRAINT runs_status CHECK (status IN ('created', 'started', 'completed', 'failed', 'canceled')),
    CONSTRAINT runs_ended CHECK ((ended_at IS NULL) = (status IN ('created', 'started'))),
    CONSTRAINT runs_failed_says_why CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CONSTRAINT runs_error CHECK ((error_code IS NULL) = (error_message IS NULL)),
    CONSTRAINT runs_error_message_length CHECK (length(error_message) <= 2000),
    CONSTRAINT runs_access_key CHECK ((access_key_id IS NULL) = (access_key_preview IS NULL)),
    CONSTRAINT runs_environment CHECK ((app_id IS NULL) = (environment IS NULL)),
    CONSTRAINT runs_version CHECK ((version_id IS NULL) = (version_number IS NULL)),
    CONSTRAINT runs_deployment CHECK (deployment_id IS NULL OR (app_id IS NOT NULL AND version_id IS NOT NULL))
);

-- Finds an app's runs, newest first, and those that one deployment answered.
CREATE INDEX runs_app_idx ON runs (project_id, app_id, started_at DESC, id DESC);
CREATE INDEX runs_deployment_idx ON runs (project_id, deployment_id, started_at DESC, id DESC);
-- Finds what never ended.
CREATE INDEX runs_open_idx ON runs (started_at) WHERE ended_at IS NULL;

-- The serving role can neither move a run to another deployment nor remove one.
GRANT SELECT ON schema_migrations TO flowpin_run;
GRANT SELECT, INSERT ON runs TO flowpin_run;
GRANT UPDATE (status, ended_at, error_code, error_message, error_node) ON runs TO flowpin_run;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
