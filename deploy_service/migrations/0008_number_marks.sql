-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Orders an app's marks: the app's revision when the mark was made. A clock can be set back, a revision cannot.
ALTER TABLE deployments ADD COLUMN mark_number bigint;

CREATE FUNCTION number_mark() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    new.mark_number := (SELECT revision FROM apps WHERE project_id = new.project_id AND id = new.app_id);
    RETURN new;
END
$$;

-- A trigger, so that replicas of the release before this one, which know nothing of the column, number their marks too.
-- It waits for the marks under way and holds off others, so that what comes next misses none.
CREATE TRIGGER deployments_number_mark BEFORE UPDATE OF health ON deployments
FOR EACH ROW EXECUTE FUNCTION number_mark();

-- Earlier marks keep their order, and come before the later ones: a revision is never negative.
UPDATE deployments d SET mark_number = -m.place
FROM (
    SELECT project_id, app_id, number,
        row_number() OVER (PARTITION BY project_id, app_id ORDER BY marked_at DESC, number DESC) AS place
    FROM deployments WHERE health IS NOT NULL
) m
WHERE d.project_id = m.project_id AND d.app_id = m.app_id AND d.number = m.number;

-- Finds the newest mark of a version. deployments_marks_idx is for the release before this one.
-- Not CONCURRENTLY, which a transaction cannot do: only marked deployments are in it, and those were marked by hand.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deployments_mark_numbers_idx ON deployments (project_id, app_id, version_id, mark_number)
WHERE health IS NOT NULL;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
