-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- In a transaction of its own, so that reads and writes go on meanwhile.
ALTER TABLE versions VALIDATE CONSTRAINT versions_note_length;
ALTER TABLE versions VALIDATE CONSTRAINT versions_noted;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
