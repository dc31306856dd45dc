-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What runtimes are made of, one row a digest: each package with its version, as in a requirements file.
CREATE TABLE runtime_locks (
    digest bytea NOT NULL,
    lock bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT runtime_locks_pkey PRIMARY KEY (digest),
    CONSTRAINT runtime_locks_digest CHECK (digest = sha256(lock)),
    CONSTRAINT runtime_locks_lock_length CHECK (octet_length(lock) BETWEEN 1 AND 262144)
);

-- The lock that was registered last. NULL: none was, so that nothing says what is installed where apps run.
ALTER TABLE runtimes ADD COLUMN lock_digest bytea;
ALTER TABLE runtimes ADD CONSTRAINT runtimes_lock_fkey
FOREIGN KEY (lock_digest) REFERENCES runtime_locks (digest) NOT VALID;

-- The lock of the runtime that is pinned. NULL when the runtime had none by then.
ALTER TABLE deployments ADD COLUMN runtime_digest bytea;
ALTER TABLE deployments ADD CONSTRAINT deployments_runtime_lock_fkey
FOREIGN KEY (runtime_digest) REFERENCES runtime_locks (digest) NOT VALID;

-- Another lock is a change of the runtime, which has an audit event.
CREATE OR REPLACE TRIGGER runtimes_count_change BEFORE UPDATE OF label, deprecated, lock_digest ON runtimes
FOR EACH ROW EXECUTE FUNCTION count_change();

GRANT SELECT, INSERT ON runtime_locks TO flowpin_deploy;
GRANT UPDATE (lock_digest) ON runtimes TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
