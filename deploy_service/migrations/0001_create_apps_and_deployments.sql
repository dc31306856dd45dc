-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What runs flows; the same for every project.
CREATE TABLE runtimes (
    id uuid NOT NULL,
    version text NOT NULL,
    label text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    deprecated boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT runtimes_pkey PRIMARY KEY (id),
    CONSTRAINT runtimes_version_key UNIQUE (version),
    CONSTRAINT runtimes_default_is_current CHECK (NOT (is_default AND deprecated))
);

CREATE UNIQUE INDEX runtimes_one_default_idx ON runtimes (is_default) WHERE is_default;

INSERT INTO runtimes (id, version, label, is_default)
VALUES ('01937f00-0000-7000-8000-000000000001', '0.69', 'Dynamiq 0.69', true);

CREATE TABLE apps (
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    access_type text NOT NULL,
    -- The number of its newest deployment. Deploys and cut-overs take turns on this row's lock.
    deployment_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by uuid NOT NULL,
    deleted_at timestamptz,
    deleted_by uuid,
    CONSTRAINT apps_pkey PRIMARY KEY (project_id, id),
    CONSTRAINT apps_name CHECK (length(name) BETWEEN 1 AND 128),
    CONSTRAINT apps_description_length CHECK (length(description) <= 512),
    CONSTRAINT apps_access_type CHECK (access_type IN ('private', 'public')),
    CONSTRAINT apps_deployment_count CHECK (deployment_count >= 0),
    CONSTRAINT apps_deleted CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
) WITH (fillfactor = 80);

-- The flows that deployments pin, one row a digest, so that a rollback asks nobody.
CREATE TABLE flows (
    project_id uuid NOT NULL,
    digest bytea NOT NULL,
    flow json NOT NULL,
    CONSTRAINT flows_pkey PRIMARY KEY (project_id, digest),
    CONSTRAINT flows_digest_length CHECK (octet_length(digest) = 32)
);

ALTER TABLE flows ALTER COLUMN flow SET STORAGE EXTERNAL;

CREATE TABLE deployments (
    project_id uuid NOT NULL,
    app_id uuid NOT NULL,
    -- Orders an app's deployments; a rollout never goes live over a higher number.
    number integer NOT NULL,
    id uuid NOT NULL,
    environment text NOT NULL,
    kind text NOT NULL,
    reason text,
    -- The pins, and what they were called at the time.
    workflow_id uuid NOT NULL,
    workflow_name text NOT NULL,
    workflow_description text NOT NULL,
    version_id uuid NOT NULL,
    version_number integer NOT NULL,
    version_description text NOT NULL,
    version_digest bytea NOT NULL,
    version_created_at timestamptz NOT NULL,
    runtime_id uuid NOT NULL,
    runtime_version text NOT NULL,
    runtime_label text NOT NULL,
    config json NOT NULL,
    warnings text[] NOT NULL,
    created_by uuid NOT NULL,
    created_by_name text NOT NULL,
    -- The rollout.
    status text NOT NULL DEFAULT 'pending',
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    error_code text,
    error_message text,
    live_from timestamptz,
    live_to timestamptz,
    -- Which replica works on it, and until when that holds without a renewal.
    lease_owner uuid,
    lease_until timestamptz,
    CONSTRAINT deployments_pkey PRIMARY KEY (project_id, app_id, number),
    CONSTRAINT deployments_id_key UNIQUE (project_id, id),
    CONSTRAINT deployments_app_fkey FOREIGN KEY (project_id, app_id) REFERENCES apps (project_id, id),
    CONSTRAINT deployments_flow_fkey FOREIGN KEY (project_id, version_digest) REFERENCES flows (project_id, digest),
    CONSTRAINT deployments_runtime_fkey FOREIGN KEY (runtime_id) REFERENCES runtimes (id),
    CONSTRAINT deployments_number CHECK (number >= 1),
    CONSTRAINT deployments_kind CHECK (kind IN ('deploy', 'rollback')),
    CONSTRAINT deployments_status CHECK (status IN ('pending', 'deploying', 'succeeded', 'failed', 'canceled')),
    CONSTRAINT deployments_reason_length CHECK (length(reason) <= 512),
    CONSTRAINT deployments_finished CHECK ((finished_at IS NULL) = (status IN ('pending', 'deploying'))),
    CONSTRAINT deployments_live_once_succeeded CHECK ((live_from IS NOT NULL) = (status = 'succeeded')),
    CONSTRAINT deployments_live_is_a_span CHECK (live_to > live_from),
    CONSTRAINT deployments_live_to_needs_from CHECK (live_to IS NULL OR live_from IS NOT NULL),
    CONSTRAINT deployments_failed_says_why CHECK (status <> 'failed' OR error_code IS NOT NULL),
    CONSTRAINT deployments_error CHECK ((error_code IS NULL) = (error_message IS NULL)),
    CONSTRAINT deployments_lease CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT deployments_lease_while_open CHECK (lease_owner IS NULL OR finished_at IS NULL)
);

-- At most one live deployment in each environment of an app.
CREATE UNIQUE INDEX deployments_one_live_idx ON deployments (project_id, app_id, environment)
WHERE live_from IS NOT NULL AND live_to IS NULL;
-- Finds what an app has had live.
CREATE INDEX deployments_version_idx ON deployments (project_id, app_id, version_id, number)
WHERE live_from IS NOT NULL;
-- Finds rollouts to work on.
CREATE INDEX deployments_open_idx ON deployments (started_at) WHERE finished_at IS NULL;

CREATE TABLE idempotency_keys (
    project_id uuid NOT NULL,
    principal_id uuid NOT NULL,
    rpc text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    answer bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (project_id, principal_id, rpc, key),
    CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255)
);

-- The serving role can neither rewrite what a deployment pins nor remove one, not even by a bug.
GRANT SELECT ON schema_migrations, runtimes TO flowpin_deploy;
GRANT SELECT, INSERT ON apps, flows, deployments TO flowpin_deploy;
GRANT UPDATE (
    name, description, access_type, deployment_count, updated_at, updated_by, deleted_at, deleted_by
) ON apps TO flowpin_deploy;
GRANT UPDATE (
    status, finished_at, error_code, error_message, live_from, live_to, lease_owner, lease_until
) ON deployments TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
