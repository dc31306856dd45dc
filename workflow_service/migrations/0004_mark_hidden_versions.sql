-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Which of each thousand numbers of a workflow (block 0: 1 to 1000) are archived and not deleted, and which are deleted;
-- the first bit is the lowest number. Pages of versions are found with it. A block without a row hides none.
CREATE TABLE hidden_versions (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    block integer NOT NULL,
    archived bit(1000) NOT NULL DEFAULT 0::bit(1000),
    deleted bit(1000) NOT NULL DEFAULT 0::bit(1000),
    CONSTRAINT hidden_versions_pkey PRIMARY KEY (project_id, workflow_id, block),
    CONSTRAINT hidden_versions_workflow_fkey
    FOREIGN KEY (project_id, workflow_id) REFERENCES workflows (project_id, id),
    CONSTRAINT hidden_versions_block CHECK (block >= 0),
    CONSTRAINT hidden_versions_archived_or_deleted CHECK (bit_count(archived & deleted) = 0)
) WITH (fillfactor = 80);

-- A trigger, so that replicas of the release before this one, which know nothing of the table, keep it as well.
CREATE FUNCTION mark_hidden_version() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO hidden_versions (project_id, workflow_id, block)
    VALUES (new.project_id, new.workflow_id, (new.number - 1) / 1000) ON CONFLICT DO NOTHING;
    UPDATE hidden_versions
    SET archived = set_bit(
            archived, (new.number - 1) % 1000, (new.archived_at IS NOT NULL AND new.deleted_at IS NULL)::integer
        ),
        deleted = set_bit(deleted, (new.number - 1) % 1000, (new.deleted_at IS NOT NULL)::integer)
    WHERE project_id = new.project_id AND workflow_id = new.workflow_id AND block = (new.number - 1) / 1000;
    RETURN NULL;
END
$$;

-- It waits for the archives and deletes under way and holds off others, so that what comes next misses none.
CREATE TRIGGER versions_mark_hidden AFTER UPDATE OF archived_at, deleted_at ON versions
FOR EACH ROW EXECUTE FUNCTION mark_hidden_version();

INSERT INTO hidden_versions (project_id, workflow_id, block, archived, deleted)
SELECT project_id, workflow_id, (number - 1) / 1000,
    bit_or(set_bit(0::bit(1000), (number - 1) % 1000, (deleted_at IS NULL)::integer)),
    bit_or(set_bit(0::bit(1000), (number - 1) % 1000, (deleted_at IS NOT NULL)::integer))
FROM versions
WHERE archived_at IS NOT NULL OR deleted_at IS NOT NULL
GROUP BY 1, 2, 3;

GRANT SELECT, INSERT, UPDATE (archived, deleted) ON hidden_versions TO flowpin_workflow;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
