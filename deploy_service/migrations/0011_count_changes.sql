-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    new.change_count := old.change_count + 1;
    RETURN new;
END
$$;

CREATE FUNCTION count_mark() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    new.mark_count := old.mark_count + 1;
    RETURN new;
END
$$;

-- Triggers, so that replicas of the release before this one, which know nothing of the columns, count too. They wait for
-- the changes under way and hold off others, so that the counts below miss none. Reads go on.
-- Deploys, cut-overs and locks change none of these columns.
CREATE TRIGGER apps_count_change BEFORE UPDATE OF name, description, access_type, archived_at, deleted_at ON apps
FOR EACH ROW EXECUTE FUNCTION count_change();
-- Not of is_default: another runtime that becomes the default takes it away, which is that one's event.
CREATE TRIGGER runtimes_count_change BEFORE UPDATE OF label, deprecated ON runtimes
FOR EACH ROW EXECUTE FUNCTION count_change();
CREATE TRIGGER deployments_count_mark BEFORE UPDATE OF health ON deployments
FOR EACH ROW EXECUTE FUNCTION count_mark();

-- Earlier changes are taken to be those that have an event.
UPDATE apps a SET change_count = e.changes
FROM (
    SELECT project_id, subject_id, count(*) AS changes FROM audit_events
    WHERE action IN ('UpdateApp', 'ArchiveApp', 'UnarchiveApp', 'DeleteApp') GROUP BY 1, 2
) e
WHERE e.project_id = a.project_id AND e.subject_id = a.id;
UPDATE runtimes r SET change_count = e.changes
FROM (SELECT subject_id, count(*) AS changes FROM audit_events WHERE action = 'UpdateRuntime' GROUP BY 1) e
WHERE e.subject_id = r.id;
UPDATE deployments d SET mark_count = e.marks
FROM (
    SELECT project_id, target_id, count(*) AS marks FROM audit_events WHERE action = 'MarkDeployment' GROUP BY 1, 2
) e
WHERE e.project_id = d.project_id AND e.target_id = d.id;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
