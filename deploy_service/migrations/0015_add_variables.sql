-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The variables of apps, in one environment or, where it is '', in all. Values are encrypted, those that are no secrets too.
CREATE TABLE variables (
    project_id uuid NOT NULL,
    app_id uuid NOT NULL,
    name text NOT NULL,
    environment text NOT NULL,
    is_secret boolean NOT NULL,
    -- Which of the keys it is encrypted with, and what that made: a nonce of 12 bytes, then the rest.
    key_id bytea NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by uuid NOT NULL,
    CONSTRAINT variables_pkey PRIMARY KEY (project_id, app_id, name, environment),
    CONSTRAINT variables_app_fkey FOREIGN KEY (project_id, app_id) REFERENCES apps (project_id, id),
    CONSTRAINT variables_name CHECK (name ~ '^[A-Z_][A-Z0-9_]{0,127}$'),
    CONSTRAINT variables_key_id_length CHECK (octet_length(key_id) = 8),
    CONSTRAINT variables_sealed_length CHECK (octet_length(sealed) BETWEEN 28 AND 32796)
);

-- How often the variables of an app have changed, by the environment that the change was for.
CREATE TABLE variable_revisions (
    project_id uuid NOT NULL,
    app_id uuid NOT NULL,
    environment text NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT variable_revisions_pkey PRIMARY KEY (project_id, app_id, environment),
    CONSTRAINT variable_revisions_app_fkey FOREIGN KEY (project_id, app_id) REFERENCES apps (project_id, id)
);

GRANT SELECT, INSERT, UPDATE (is_secret, key_id, sealed, updated_at, updated_by), DELETE ON variables TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE (revision) ON variable_revisions TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
