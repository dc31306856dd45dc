-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What replicas load of the versions that deployments pin, one row a digest. It may hold secrets that were saved in flows.
CREATE TABLE loadables (
    project_id uuid NOT NULL,
    digest bytea NOT NULL,
    document json NOT NULL,
    CONSTRAINT loadables_pkey PRIMARY KEY (project_id, digest),
    CONSTRAINT loadables_digest_length CHECK (octet_length(digest) = 32)
);

ALTER TABLE loadables ALTER COLUMN document SET STORAGE EXTERNAL;

ALTER TABLE deployments
    -- What its replicas load. NULL when it was made before loadables were kept, or the SDK cannot load its flow.
    ADD COLUMN loadable_digest bytea,
    -- When the routers had taken it up, or were no longer waited for, and what people should know of that.
    ADD COLUMN routed_at timestamptz,
    ADD COLUMN rollout_notes text[] NOT NULL DEFAULT '{}';
ALTER TABLE deployments ADD CONSTRAINT deployments_loadable_fkey
FOREIGN KEY (project_id, loadable_digest) REFERENCES loadables (project_id, digest) NOT VALID;
ALTER TABLE deployments ADD CONSTRAINT deployments_routed_once_live
CHECK (routed_at IS NULL OR live_from IS NOT NULL) NOT VALID;

-- Finds the rollouts of an app. One that is live from the start is never in it.
-- Not CONCURRENTLY, which a transaction cannot do: hardly any row is in it, and a million are looked at in a second.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deployments_under_way_idx ON deployments (project_id, app_id) WHERE finished_at IS NULL;

-- What became of a deployment where it was to be brought up. The first report counts.
CREATE TABLE rollout_reports (
    project_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    -- Of what a replica has parsed, when it is up.
    digest bytea,
    -- Why it cannot be brought up.
    reason text,
    message text,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rollout_reports_pkey PRIMARY KEY (project_id, deployment_id),
    CONSTRAINT rollout_reports_deployment_fkey FOREIGN KEY (project_id, deployment_id)
    REFERENCES deployments (project_id, id),
    CONSTRAINT rollout_reports_outcome CHECK ((digest IS NULL) = (reason IS NOT NULL AND message IS NOT NULL)),
    CONSTRAINT rollout_reports_digest_length CHECK (octet_length(digest) = 32)
);

-- Routers, which serve what is live. Deploys wait for those whose lease is not over.
CREATE TABLE routers (
    id uuid NOT NULL,
    name text NOT NULL,
    -- Those whose apps it serves.
    projects uuid[] NOT NULL,
    lease_until timestamptz NOT NULL,
    CONSTRAINT routers_pkey PRIMARY KEY (id),
    CONSTRAINT routers_name_length CHECK (length(name) BETWEEN 1 AND 200)
);

-- Which revision of an app a router serves.
CREATE TABLE route_acknowledgements (
    project_id uuid NOT NULL,
    app_id uuid NOT NULL,
    router_id uuid NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT route_acknowledgements_pkey PRIMARY KEY (router_id, project_id, app_id),
    CONSTRAINT route_acknowledgements_router_fkey FOREIGN KEY (router_id) REFERENCES routers (id) ON DELETE CASCADE
);

GRANT SELECT, INSERT ON loadables, rollout_reports TO flowpin_deploy;
GRANT UPDATE (routed_at, rollout_notes) ON deployments TO flowpin_deploy;
-- Leases are no history: those of routers that are gone are removed.
GRANT SELECT, INSERT, UPDATE (name, projects, lease_until), DELETE ON routers TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE (revision) ON route_acknowledgements TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
