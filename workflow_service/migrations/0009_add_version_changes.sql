-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What happened to the versions of a workflow after they were saved, for those who follow them. A save itself is in
-- versions: with its number it is at a place of its own in this order, so that saves write nothing more.
-- Only the triggers below write here, under the workflow's lock, so it needs no foreign key.
CREATE TABLE version_changes (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    -- The latest version's number at the time, and which change since that save it is.
    version_count integer NOT NULL,
    place integer NOT NULL,
    kind text NOT NULL,
    -- The version that it is about; NULL when a label was removed.
    number integer,
    label text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT version_changes_pkey PRIMARY KEY (project_id, workflow_id, version_count, place),
    CONSTRAINT version_changes_place CHECK (version_count >= 1 AND place >= 1),
    CONSTRAINT version_changes_kind
    CHECK (kind IN ('archived', 'unarchived', 'deleted', 'noted', 'labeled', 'unlabeled')),
    CONSTRAINT version_changes_number CHECK ((number IS NULL) = (kind = 'unlabeled')),
    CONSTRAINT version_changes_label CHECK ((label IS NOT NULL) = (kind IN ('labeled', 'unlabeled')))
);

CREATE FUNCTION note_version_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    what text;
    moved text;
BEGIN
    IF tg_table_name = 'label_moves' THEN
        what := CASE WHEN new.number IS NULL THEN 'unlabeled' ELSE 'labeled' END;
        moved := new.name;
    ELSIF old.deleted_at IS DISTINCT FROM new.deleted_at THEN
        what := 'deleted';
    ELSIF old.archived_at IS DISTINCT FROM new.archived_at THEN
        what := CASE WHEN new.archived_at IS NULL THEN 'unarchived' ELSE 'archived' END;
    ELSE
        what := 'noted';
    END IF;
    INSERT INTO version_changes (project_id, workflow_id, version_count, place, kind, number, label)
    SELECT w.project_id, w.id, w.version_count, coalesce((
            SELECT max(c.place) FROM version_changes c
            WHERE c.project_id = w.project_id AND c.workflow_id = w.id AND c.version_count = w.version_count
        ), 0) + 1, what, new.number, moved
    FROM workflows w WHERE w.project_id = new.project_id AND w.id = new.workflow_id;
    RETURN NULL;
END
$$;

-- Triggers, so that replicas of the release before this one, which know nothing of the table, write changes too.
-- They wait for the writes under way and hold off others for a moment. Reads go on.
CREATE TRIGGER versions_note_change AFTER UPDATE OF archived_at, deleted_at, note ON versions
FOR EACH ROW WHEN (
    old.archived_at IS DISTINCT FROM new.archived_at OR old.deleted_at IS DISTINCT FROM new.deleted_at
    OR old.note IS DISTINCT FROM new.note
)
EXECUTE FUNCTION note_version_change();
CREATE TRIGGER label_moves_note_change AFTER INSERT ON label_moves
FOR EACH ROW EXECUTE FUNCTION note_version_change();

GRANT SELECT, INSERT ON version_changes TO flowpin_workflow;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
