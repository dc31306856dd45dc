-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The test of a flow is a run without a deployment: of a version or of a canvas, with an app's variables or none.
-- A person who invokes an app or tests a flow has no access key.
ALTER TABLE runs
    ALTER COLUMN app_id DROP NOT NULL,
    ALTER COLUMN environment DROP NOT NULL,
    ALTER COLUMN deployment_id DROP NOT NULL,
    ALTER COLUMN version_id DROP NOT NULL,
    ALTER COLUMN version_number DROP NOT NULL,
    ADD COLUMN user_id uuid,
    ADD CONSTRAINT runs_environment CHECK ((app_id IS NULL) = (environment IS NULL)),
    ADD CONSTRAINT runs_version CHECK ((version_id IS NULL) = (version_number IS NULL)),
    ADD CONSTRAINT runs_deployment CHECK (deployment_id IS NULL OR (app_id IS NOT NULL AND version_id IS NOT NULL));

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
