-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE apps ADD COLUMN archived_at timestamptz, ADD COLUMN archived_by uuid;
ALTER TABLE apps ADD CONSTRAINT apps_archived CHECK ((archived_at IS NULL) = (archived_by IS NULL)) NOT VALID;

ALTER TABLE deployments
    -- What it rolls back to or promotes.
    ADD COLUMN source_deployment_id uuid,
    -- How it proved, and when that was said: the newest mark of a version decides.
    ADD COLUMN health text,
    ADD COLUMN health_note text,
    ADD COLUMN marked_at timestamptz;

-- It comes back wider in the next statement.
-- squawk-ignore ban-drop-constraint
ALTER TABLE deployments DROP CONSTRAINT deployments_kind;
ALTER TABLE deployments ADD CONSTRAINT deployments_kind CHECK (kind IN ('deploy', 'rollback', 'promote')) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_source_fkey
FOREIGN KEY (project_id, source_deployment_id) REFERENCES deployments (project_id, id) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_source
CHECK (CASE kind WHEN 'deploy' THEN source_deployment_id IS NULL
WHEN 'promote' THEN source_deployment_id IS NOT NULL ELSE true END) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_health CHECK (health IN ('good', 'bad')) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_marked CHECK ((health IS NULL) = (marked_at IS NULL)) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_health_note
CHECK (health_note IS NULL OR (health IS NOT NULL AND length(health_note) <= 512)) NOT VALID;

-- Finds the marks of a version. Nothing is marked yet, so the index is built empty.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deployments_marks_idx ON deployments (project_id, app_id, version_id, marked_at) WHERE health IS NOT NULL;

-- Keys for calling a project's apps; of the secret only its hash and a preview.
CREATE TABLE access_keys (
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    preview text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by uuid NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by uuid,
    CONSTRAINT access_keys_pkey PRIMARY KEY (project_id, id),
    CONSTRAINT access_keys_secret_hash_key UNIQUE (secret_hash),
    CONSTRAINT access_keys_secret_hash_length CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT access_keys_name CHECK (length(name) BETWEEN 1 AND 128),
    CONSTRAINT access_keys_preview_length CHECK (length(preview) <= 20),
    CONSTRAINT access_keys_revoked CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);

GRANT UPDATE (archived_at, archived_by) ON apps TO flowpin_deploy;
GRANT UPDATE (health, health_note, marked_at) ON deployments TO flowpin_deploy;
GRANT INSERT, UPDATE (label, is_default, deprecated) ON runtimes TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE (revoked_at, revoked_by) ON access_keys TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
