-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE workflows (
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    -- The number of the latest version; 0 is a draft. Saves take turns on this row's lock.
    version_count integer NOT NULL DEFAULT 0,
    -- How many of its versions are archived and not deleted, and how many are deleted: the list leaves them out.
    archived_count integer NOT NULL DEFAULT 0,
    deleted_count integer NOT NULL DEFAULT 0,
    -- Whether its first release was a save and no explicit release has come since.
    accepts_release boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by uuid NOT NULL,
    deleted_at timestamptz,
    deleted_by uuid,
    CONSTRAINT workflows_pkey PRIMARY KEY (project_id, id),
    CONSTRAINT workflows_name_is_slug CHECK (name ~ '^[a-z0-9]([a-z0-9]|-[a-z0-9])*$' AND length(name) <= 128),
    CONSTRAINT workflows_description_length CHECK (length(description) <= 512),
    CONSTRAINT workflows_version_count CHECK (version_count >= 0),
    -- The latest version is neither archived nor deleted.
    CONSTRAINT workflows_hidden_count CHECK (
        archived_count >= 0 AND deleted_count >= 0
        AND archived_count + deleted_count <= greatest(version_count - 1, 0)
    ),
    CONSTRAINT workflows_deleted CHECK ((deleted_at IS NULL) = (deleted_by IS NULL)),
    CONSTRAINT workflows_draft_is_not_hidden CHECK (deleted_at IS NULL OR version_count > 0)
) WITH (fillfactor = 80);

-- The canvas of a workflow that has no version yet.
CREATE TABLE drafts (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    flow json NOT NULL,
    flow_ui json NOT NULL,
    CONSTRAINT drafts_pkey PRIMARY KEY (project_id, workflow_id),
    CONSTRAINT drafts_workflow_fkey FOREIGN KEY (project_id, workflow_id)
    REFERENCES workflows (project_id, id) ON DELETE CASCADE
);

CREATE TABLE versions (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    number integer NOT NULL,
    id uuid NOT NULL,
    description text NOT NULL,
    digest bytea NOT NULL,
    canvas_digest bytea NOT NULL,
    -- json, not jsonb: it keeps the exact bytes.
    flow json NOT NULL,
    flow_ui json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by uuid NOT NULL,
    created_by_name text NOT NULL,
    archived_at timestamptz,
    archived_by uuid,
    deleted_at timestamptz,
    deleted_by uuid,
    revision integer NOT NULL DEFAULT 1,
    CONSTRAINT versions_pkey PRIMARY KEY (project_id, workflow_id, number),
    CONSTRAINT versions_id_key UNIQUE (project_id, id),
    CONSTRAINT versions_workflow_fkey FOREIGN KEY (project_id, workflow_id) REFERENCES workflows (project_id, id),
    CONSTRAINT versions_number CHECK (number >= 1),
    CONSTRAINT versions_description_length CHECK (length(description) <= 512),
    CONSTRAINT versions_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT versions_canvas_digest_length CHECK (octet_length(canvas_digest) = 32),
    CONSTRAINT versions_archived CHECK ((archived_at IS NULL) = (archived_by IS NULL)),
    CONSTRAINT versions_deleted CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
);

-- Not compressed: a 5 MB insert takes a fifth of the time.
ALTER TABLE versions ALTER COLUMN flow SET STORAGE EXTERNAL, ALTER COLUMN flow_ui SET STORAGE EXTERNAL;
ALTER TABLE drafts ALTER COLUMN flow SET STORAGE EXTERNAL, ALTER COLUMN flow_ui SET STORAGE EXTERNAL;

-- Finds the newest earlier version with the same digest.
CREATE INDEX versions_digest_idx ON versions (project_id, workflow_id, digest, number);
-- Finds where a page begins: its numbers are shifted by those before it that the list leaves out.
CREATE INDEX versions_hidden_idx ON versions (project_id, workflow_id, number)
WHERE archived_at IS NOT NULL OR deleted_at IS NOT NULL;

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

-- The serving role can neither rewrite a version's content nor remove a version, not even by a bug.
GRANT SELECT ON schema_migrations TO flowpin_workflow;
GRANT SELECT, INSERT, DELETE ON workflows TO flowpin_workflow;
GRANT UPDATE (
    name, description, version_count, archived_count, deleted_count, accepts_release, revision,
    updated_at, updated_by, deleted_at, deleted_by
) ON workflows TO flowpin_workflow;
GRANT SELECT, INSERT, DELETE ON drafts TO flowpin_workflow;
GRANT SELECT, INSERT ON versions TO flowpin_workflow;
GRANT UPDATE (archived_at, archived_by, deleted_at, deleted_by, revision) ON versions TO flowpin_workflow;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO flowpin_workflow;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
