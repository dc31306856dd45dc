-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A note on a version, which can be edited, and who wrote it when.
ALTER TABLE versions
ADD COLUMN note text,
ADD COLUMN noted_at timestamptz,
ADD COLUMN noted_by uuid;
ALTER TABLE versions ADD CONSTRAINT versions_note_length CHECK (length(note) BETWEEN 1 AND 2000) NOT VALID;
ALTER TABLE versions ADD CONSTRAINT versions_noted CHECK (
    (note IS NULL) = (noted_at IS NULL) AND (note IS NULL) = (noted_by IS NULL)
) NOT VALID;

-- Named pointers of a workflow to one of its versions.
CREATE TABLE labels (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    name text NOT NULL,
    -- The version that it names; NULL once the label is removed. Its row stays: a later label goes on counting.
    number integer,
    -- How often it was moved, the removals included.
    revision bigint NOT NULL DEFAULT 1,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_by uuid NOT NULL,
    moved_by_name text NOT NULL,
    CONSTRAINT labels_pkey PRIMARY KEY (project_id, workflow_id, name),
    CONSTRAINT labels_version_fkey FOREIGN KEY (project_id, workflow_id, number)
    REFERENCES versions (project_id, workflow_id, number),
    CONSTRAINT labels_workflow_fkey FOREIGN KEY (project_id, workflow_id) REFERENCES workflows (project_id, id),
    CONSTRAINT labels_name CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$' AND name <> 'latest'),
    CONSTRAINT labels_revision CHECK (revision >= 1)
) WITH (fillfactor = 80);

-- The history of labels: one row for each revision.
CREATE TABLE label_moves (
    project_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    name text NOT NULL,
    revision bigint NOT NULL,
    number integer,
    moved_at timestamptz NOT NULL,
    moved_by uuid NOT NULL,
    moved_by_name text NOT NULL,
    CONSTRAINT label_moves_pkey PRIMARY KEY (project_id, workflow_id, name, revision),
    CONSTRAINT label_moves_label_fkey FOREIGN KEY (project_id, workflow_id, name)
    REFERENCES labels (project_id, workflow_id, name),
    CONSTRAINT label_moves_version_fkey FOREIGN KEY (project_id, workflow_id, number)
    REFERENCES versions (project_id, workflow_id, number)
);

-- The serving role can neither rewrite the history of a label nor remove a label's row.
GRANT UPDATE (note, noted_at, noted_by) ON versions TO flowpin_workflow;
GRANT SELECT, INSERT, UPDATE (number, revision, moved_at, moved_by, moved_by_name) ON labels TO flowpin_workflow;
GRANT SELECT, INSERT ON label_moves TO flowpin_workflow;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
