-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What happened to deployments, for those who follow them. Only the triggers below write here, so it needs no foreign key.
CREATE SEQUENCE deployment_events_number_seq;
CREATE TABLE deployment_events (
    project_id uuid NOT NULL,
    -- Orders what one app's changes wrote. It is given before the commit, so a higher number can be visible first.
    number bigint NOT NULL,
    app_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    kind text NOT NULL,
    -- What a deployment was marked.
    health text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The project's own count, given after the commit and under the lock of its feed: a lower one never appears later.
    sequence bigint,
    CONSTRAINT deployment_events_pkey PRIMARY KEY (project_id, number),
    CONSTRAINT deployment_events_kind
    CHECK (kind IN ('asked_for', 'deploying', 'live', 'failed', 'canceled', 'ended', 'marked')),
    CONSTRAINT deployment_events_health CHECK ((health IS NOT NULL) = (kind = 'marked')),
    CONSTRAINT deployment_events_sequence CHECK (sequence >= 1)
);
ALTER TABLE deployment_events ALTER COLUMN number SET DEFAULT nextval('deployment_events_number_seq');
ALTER SEQUENCE deployment_events_number_seq OWNED BY deployment_events.number;

-- The table is new and empty.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX deployment_events_sequence_idx ON deployment_events (project_id, sequence)
WHERE sequence IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deployment_events_app_idx ON deployment_events (project_id, app_id, sequence) WHERE sequence IS NOT NULL;
-- Finds what has no sequence yet: nearly nothing.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deployment_events_unnumbered_idx ON deployment_events (number) WHERE sequence IS NULL;

-- How far the events of a project are numbered.
CREATE TABLE deployment_feeds (
    project_id uuid NOT NULL,
    last_sequence bigint NOT NULL DEFAULT 0,
    CONSTRAINT deployment_feeds_pkey PRIMARY KEY (project_id),
    CONSTRAINT deployment_feeds_last_sequence CHECK (last_sequence >= 0)
) WITH (fillfactor = 50);

CREATE FUNCTION note_new_deployments() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO deployment_events (project_id, app_id, deployment_id, kind)
    SELECT project_id, app_id, id, CASE WHEN live_from IS NULL THEN 'asked_for' ELSE 'live' END
    FROM added ORDER BY app_id, number;
    RETURN NULL;
END
$$;

CREATE FUNCTION note_deployment_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO deployment_events (project_id, app_id, deployment_id, kind, health)
    SELECT new.project_id, new.app_id, new.id, change.kind, CASE change.kind WHEN 'marked' THEN new.health END
    FROM (VALUES (
        CASE WHEN old.mark_count <> new.mark_count THEN 'marked'
        WHEN old.live_to IS DISTINCT FROM new.live_to THEN 'ended'
        WHEN new.status = 'succeeded' THEN 'live' ELSE new.status END
    )) AS change (kind)
    WHERE change.kind <> 'pending';  -- it waits for another replica to take it up
    RETURN NULL;
END
$$;

-- Triggers, so that replicas of the release before this one, which know nothing of the tables, write events too.
-- They wait for the writes under way and hold off others for a moment. Reads go on.
CREATE TRIGGER deployments_note_new AFTER INSERT ON deployments REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION note_new_deployments();
CREATE TRIGGER deployments_note_change AFTER UPDATE OF status, live_to, health ON deployments
FOR EACH ROW WHEN (
    old.status <> new.status OR old.live_to IS DISTINCT FROM new.live_to OR old.mark_count <> new.mark_count
)
EXECUTE FUNCTION note_deployment_change();

-- The serving role numbers events, and can neither change nor remove one.
GRANT USAGE ON SEQUENCE deployment_events_number_seq TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE (sequence) ON deployment_events TO flowpin_deploy;
GRANT SELECT, INSERT, UPDATE (last_sequence) ON deployment_feeds TO flowpin_deploy;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
